"""Runs COPY: loads files from S3 into a table, by position, in the client's transaction, in small pieces."""

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
from sandbox.redshift.errors import RefusedError
from sandbox.redshift.s3_files import files_of, local_copy
from sandbox.redshift.sql_text import literal

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ROWS_AT_A_TIME = 20_000
# Redshift requires exactly this type. Whether it accepts others is not documented, so they are refused.
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
}
# The formats that CSV values must have, unless the option is 'auto'.
_CSV_FORMATS = {
    "date": ("dateformat", r"^\d{4}-\d\d-\d\d$"),
    "timestamp without time zone": ("timeformat", r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?$"),
}


@dataclass(frozen=True)
class Column:
    """A column of the table; `width` is the n of varchar(n): bytes, not characters."""

    name: str
    type: str
    width: int | None


def load(s3_as: Callable[[str | None], "S3Client"], backend: Backend, command: CopyCommand) -> None:
    """Runs the COPY, reading S3 as the command's role.

    Raises:
        RefusedError: Redshift would not load the files or their values.
        BackendError: the table does not exist, or PostgreSQL refuses a value.
    """
    columns = _columns(backend, command.table)

    def chunks() -> Iterator[bytes]:
        s3 = s3_as(command.role)
        for file in files_of(s3, command):
            with local_copy(s3, file) as content:
                try:
                    for batch in (_parquet if command.parquet else _csv)(content, columns, command):
                        _check_widths(batch, columns)
                        yield _encoded(batch)
                except (pa.ArrowException, RefusedError) as error:
                    raise RefusedError(f"COPY cannot load {file.url}: {error}") from error

    rows = backend.copy_in(f"copy {command.table} from stdin (format csv)", chunks())
    backend.query(f"select set_config('redshift.last_copy_count', '{rows}', false)")


def _columns(backend: Backend, table: str) -> list[Column]:
    rows = backend.query(
        "select attname, format_type(atttypid, null), case when atttypmod > 4 then atttypmod - 4 end "  # noqa: S608
        f"from pg_catalog.pg_attribute where attrelid = {literal(table)}::regclass "
        "and attnum > 0 and not attisdropped order by attnum"
    )
    return [Column(str(name), str(kind), int(width) if width else None) for name, kind, width in rows]


def _parquet(content: IO[bytes], columns: list[Column], _: CopyCommand) -> Iterator[Any]:
    """Yields batches of a Parquet file; its columns map to the table's by position, whatever their names."""
    with pyarrow.parquet.ParquetFile(content) as parquet:
        schema = parquet.schema_arrow
        if len(schema) != len(columns):
            raise RefusedError(
                "Spectrum Scan Error. Unmatched number of columns between table and file. "
                f"Table columns: {len(columns)}, Data columns: {len(schema)}"
            )
        for column, given in zip(columns, schema, strict=True):
            if not _PARQUET_TYPES.get(column.type, lambda _: False)(given.type):
                raise RefusedError(
                    f"Spectrum Scan Error. The file has an incompatible Parquet schema for column '{column.name}'. "
                    f"Column type: {column.type.upper()}, Parquet schema: {given.type} {given.name}"
                )
        yield from parquet.iter_batches(batch_size=_ROWS_AT_A_TIME)


def _csv(content: IO[bytes], columns: list[Column], command: CopyCommand) -> Iterator[Any]:
    """Yields batches of a CSV file; all values are text, which PostgreSQL converts."""
    for _ in range(command.header_lines):
        content.readline()
    if not content.read(1):
        return
    content.seek(-1, io.SEEK_CUR)
    names = [column.name for column in columns]
    reader = pyarrow.csv.open_csv(
        content,
        pyarrow.csv.ReadOptions(column_names=names, use_threads=False),
        pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
    )
    for batch in reader:
        yield pa.record_batch([_csv_values(*pair, command) for pair in zip(columns, batch, strict=True)], names)


def _csv_values(column: Column, values: Any, command: CopyCommand) -> Any:
    """Returns a column's values: an empty field is empty text in a varchar column, and null in any other."""
    if column.type == "character varying":
        return values
    values = pc.if_else(pc.equal(values, ""), pa.scalar(None, pa.string()), values)
    option, pattern = _CSV_FORMATS.get(column.type, ("", ""))
    if option and option not in command.automatic_formats:
        wrong = values.filter(pc.invert(pc.match_substring_regex(values, pattern)))
        if len(wrong):
            raise RefusedError(
                f"'{wrong[0]}' in column {column.name} has not the default format, and COPY no {option.upper()} 'auto'"
            )
    return values


def _check_widths(batch: Any, columns: list[Column]) -> None:
    for column, values in zip(columns, batch, strict=True):
        if column.type == "character varying" and column.width is not None:
            longest = pc.max(pc.binary_length(values)).as_py() or 0
            if longest > column.width:
                raise RefusedError(
                    f"The length of the data column {column.name} is longer than the length defined in the table. "
                    f"Table: {column.width}, Data: {longest}"
                )


def _encoded(batch: Any) -> bytes:
    """Returns the rows as CSV for PostgreSQL."""
    out = io.BytesIO()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pyarrow.csv.write_csv(pa.Table.from_batches([batch]), out, options)
    return out.getvalue()
