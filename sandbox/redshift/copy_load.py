"""COPY's work: files from S3 into a table, within the client's session and transaction, by position, in small pieces."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from sandbox.redshift.backend import Backend
from sandbox.redshift.copy_command import CopyCommand
from sandbox.redshift.errors import NOT_SUPPORTED, UNDEFINED_COLUMN, Refused
from sandbox.redshift.s3_files import S3File, files_of, local_copy
from sandbox.redshift.sql_text import literal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ROWS_AT_A_TIME = 20_000
_CHARACTERS = ("character varying", "character")
# Redshift demands the very type; what it does with others is not known here, so they are refused.
_PARQUET_TYPES: dict[str, Callable[[Any], bool]] = {
    "smallint": pa.types.is_int16,
    "integer": pa.types.is_int32,
    "bigint": pa.types.is_int64,
    "real": pa.types.is_float32,
    "double precision": pa.types.is_float64,
    "boolean": pa.types.is_boolean,
    "date": pa.types.is_date32,
    "timestamp without time zone": pa.types.is_timestamp,
    "character varying": pa.types.is_string,
    "character": pa.types.is_string,
}
_DATE, _TIMESTAMP = r"^\d{4}-\d\d-\d\d$", r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?$"


@dataclass(frozen=True)
class Column:
    """A column of the table; `width` is the n of varchar(n): bytes, not characters."""

    name: str
    type: str
    width: int | None


def load(backend: Backend, s3: "S3Client", command: CopyCommand) -> int:
    """Runs the COPY and returns the number of rows.

    Raises:
        Refused: files or values that Redshift would not load.
        BackendError: the table does not exist, or PostgreSQL refuses a value.
    """
    columns = _columns(backend, command)
    names = ", ".join('"' + column.name.replace('"', '""') + '"' for column in columns)
    batches = _Csv(command, columns) if command.format == "csv" else _Parquet(columns)

    def chunks() -> Iterator[bytes]:
        for file in files_of(s3, command):
            with local_copy(s3, file) as content:
                try:
                    for batch in batches.read(content, file):
                        yield _as_csv(batch)
                except pa.ArrowException as error:
                    raise Refused(f"COPY cannot read {file.url}: {error}") from error

    rows = backend.copy_in(f"copy {command.table} ({names}) from stdin (format csv)", chunks())
    backend.query(f"select set_config('redshift.last_copy_count', '{rows}', false)")
    return rows


def _columns(backend: Backend, command: CopyCommand) -> list[Column]:
    rows = backend.query(
        "select attname, format_type(atttypid, null), case when atttypmod > 4 then atttypmod - 4 end"
        f" from pg_catalog.pg_attribute where attrelid = {literal(command.table)}::regclass"
        " and attnum > 0 and not attisdropped order by attnum"
    )
    found = {str(name): Column(str(name), str(kind), int(width) if width else None) for name, kind, width in rows}
    unknown = [name for name in command.columns if name not in found]
    if unknown:
        raise Refused(f"{command.table} has no column {', '.join(unknown)}", UNDEFINED_COLUMN)
    return [found[name] for name in command.columns] or list(found.values())


class _Parquet:
    def __init__(self, columns: list[Column]) -> None:
        self._columns = columns

    def read(self, content: IO[bytes], file: S3File) -> Iterator[Any]:
        """Batches of the file, checked; columns stand for the table's by position, whatever their names."""
        with pyarrow.parquet.ParquetFile(content) as parquet:
            schema = parquet.schema_arrow
            if len(schema) != len(self._columns):
                raise Refused(
                    "Spectrum Scan Error. Unmatched number of columns between table and file. Table columns: "
                    f"{len(self._columns)}, Data columns: {len(schema)}, File name: {file.url}"
                )
            for column, field in zip(self._columns, schema, strict=True):
                if not _PARQUET_TYPES.get(column.type, lambda _: False)(field.type):
                    raise Refused(
                        f"Spectrum Scan Error. File '{file.url}' has an incompatible Parquet schema for column "
                        f"'{column.name}'. Column type: {column.type.upper()}, Parquet schema: {field.type} {field.name}"
                    )
            for batch in parquet.iter_batches(batch_size=_ROWS_AT_A_TIME):
                _check_widths(batch, self._columns, file)
                yield batch


class _Csv:
    def __init__(self, command: CopyCommand, columns: list[Column]) -> None:
        self._command, self._columns = command, columns

    def read(self, content: IO[bytes], file: S3File) -> Iterator[Any]:
        """Batches of the file, checked; all values are text, which PostgreSQL converts."""
        for _ in range(self._command.header_lines):
            content.readline()
        if not content.read(1):
            return
        content.seek(-1, io.SEEK_CUR)
        names = [column.name for column in self._columns]
        reader = pyarrow.csv.open_csv(
            content,
            pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
            pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
        for batch in reader:
            _check_widths(batch, self._columns, file)
            yield pa.record_batch(
                [self._value(column, values, file) for column, values in zip(self._columns, batch, strict=True)], names
            )

    def _value(self, column: Column, values: Any, file: S3File) -> Any:
        """Empty means empty in a character column and null in every other."""
        if column.type in _CHARACTERS:
            return values
        values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
        if column.type == "date" and not self._command.any_date:
            self._require(_DATE, "DATEFORMAT 'auto'", column, values, file)
        if column.type == "timestamp without time zone" and not self._command.any_timestamp:
            self._require(_TIMESTAMP, "TIMEFORMAT 'auto'", column, values, file)
        return values

    def _require(self, pattern: str, option: str, column: Column, values: Any, file: S3File) -> None:
        wrong = values.filter(pc.invert(pc.match_substring_regex(values, pattern)))
        if len(wrong):
            raise Refused(
                f"Load into table '{self._command.table}' failed: '{wrong[0]}' in column {column.name} of {file.url} has not "
                f"the default format, and COPY is not told {option}"
            )


def _check_widths(batch: Any, columns: list[Column], file: S3File) -> None:
    for column, values in zip(columns, batch, strict=True):
        if column.width is None or column.type not in _CHARACTERS:
            continue
        longest = pc.max(pc.binary_length(values)).as_py() or 0
        if longest > column.width:
            raise Refused(
                f"The length of the data column {column.name} is longer than the length defined in the table. "
                f"Table: {column.width}, Data: {longest}, File name: {file.url}"
            )


def _as_csv(batch: Any) -> bytes:
    out = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pyarrow.csv.write_csv(pa.Table.from_batches([batch]), out, options)
    return out.getvalue()
