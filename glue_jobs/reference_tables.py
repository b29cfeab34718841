"""Songs and users as Parquet for the KPI jobs, made once per job from the last CSV files that passed validation.

A file of any size streams through Arrow and DuckDB in pieces: rows do not become Python objects, and DuckDB spills
rows that do not fit into memory.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.csv

from contract.bucket import Bucket
from contract.csv_format import BLANKS, BYTE_ORDER_MARK, fields_of, is_blank
from glue_jobs.kernel import literal, text_of

PIECE_BYTES = 16 * 1024**2  # validation refuses files with longer records
HEADER_BYTES = 64 * 1024  # read per step until the header's end
SONG_COLUMNS = ("id", "track_id", "track_name", "artists", "duration_ms", "track_genre")
USER_COLUMNS = ("user_id", "user_age")


def songs(database: duckdb.DuckDBPyConnection, bucket: Bucket, key: str, file: Path) -> None:
    """Write one row per track to `file`: track_id, track_name, artists, duration_ms (decimal), track_genre.

    If a `track_id` repeats, the row with the lowest `id` counts. A negative or infinite duration becomes null. A track
    without a genre gets the genre `unknown`.
    """
    _load(database, bucket, key, SONG_COLUMNS)
    _prepare(database, "songs.sql", file)


def users(database: duckdb.DuckDBPyConnection, bucket: Bucket, key: str, file: Path) -> None:
    """Write one row per user to `file`: user_id, user_age (whole years; null if the value is not a valid age)."""
    _load(database, bucket, key, USER_COLUMNS)
    _prepare(database, "users.sql", file)


def _load(database: duckdb.DuckDBPyConnection, bucket: Bucket, key: str, columns: Sequence[str]) -> None:
    landed = ", ".join(f"{name} varchar" for name in columns)
    database.execute(f"create or replace temp table landed_rows ({landed})")
    for table in read_csv(bucket, key, columns):
        database.register("piece", table)
        database.execute("insert into landed_rows select * from piece")
        database.unregister("piece")


def _prepare(database: duckdb.DuckDBPyConnection, query: str, file: Path) -> None:
    database.execute(f"copy ({text_of(query)}) to {literal(file)} (format parquet, compression snappy)")
    database.execute("drop table landed_rows")


def read_csv(bucket: Bucket, key: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Yield the named columns of an RFC 4180 file with a header, as text, in pieces.

    A column that the file lacks, a field that a row lacks, and an empty field are null. Blank lines are skipped.
    """
    header = _header(bucket, key)
    names = [f"field_{position}" for position in range(len(header))]
    chosen = [names[header.index(name)] if name in header else None for name in columns]
    misshapen: list[str] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        misshapen.append(row.text)
        return "skip"

    with bucket.open(key) as body:
        reader = pa.csv.open_csv(
            pa.PythonFile(body, mode="r"),
            read_options=pa.csv.ReadOptions(
                column_names=names, block_size=PIECE_BYTES, skip_rows_after_names=1, use_threads=False
            ),
            parse_options=pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=keep),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                include_columns=sorted({name for name in chosen if name}),
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        for batch in reader:
            yield _as_table(columns, [batch[name] if name else pa.nulls(len(batch), pa.string()) for name in chosen])
    if rows := [fields_of(record)[0] for record in misshapen if not is_blank(record)]:
        yield _as_table(columns, [_field_of_each(rows, names.index(name) if name else None) for name in chosen])


def _header(bucket: Bucket, key: str) -> list[str]:
    """Return the names in the first line, without the blanks around them."""
    beginning = b""
    with bucket.open(key) as body:
        while not beginning.splitlines()[1:] and (some := body.read(HEADER_BYTES)):
            beginning += some
    line = beginning.decode(errors="replace").removeprefix(BYTE_ORDER_MARK).replace("\r", "\n").partition("\n")[0]
    return [name.strip(BLANKS) for name in next(csv.reader([line]))]


def _as_table(names: Sequence[str], columns: Sequence[pa.Array]) -> pa.Table:
    return pa.Table.from_arrays(list(columns), names=list(names))


def _field_of_each(rows: Sequence[Sequence[str]], position: int | None) -> pa.Array:
    fields = [row[position] if position is not None and position < len(row) else None for row in rows]
    return pa.array(fields, pa.string())
