"""Query single events by SQL: DuckDB reads the files that Athena reads on AWS."""

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import TextIO

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pyarrow.fs

from contract.bucket import Bucket
from contract.event_lists import listed_files
from sandbox.home import SandboxError
from sandbox.settings import REGION

# The columns of infra/templates/events.yaml; the date is not in the files, since it is the partition.
COLUMNS = pa.schema(
    [
        ("user_id", pa.string()),
        ("track_id", pa.string()),
        ("listen_time", pa.timestamp("us")),
        ("listen_date", pa.date32()),
    ]
)
# The view keeps conditions on the time from pyarrow, which refuses them for files of Spark, whose times have a zone.
VIEW = """
create view events as
select * replace (make_timestamp(epoch_us(listen_time)) as listen_time)
from event_files
"""
ROWS_AT_ONCE = 10_000


def store(endpoint: str, access_key_id: str, secret_access_key: str) -> pa.fs.S3FileSystem:
    """Return a file system of the S3 objects at an endpoint."""
    scheme, _, place = endpoint.partition("://")
    return pa.fs.S3FileSystem(
        access_key=access_key_id,
        secret_key=secret_access_key,
        region=REGION,
        scheme=scheme,
        endpoint_override=place,
    )


def write_csv(bucket: Bucket, objects: pa.fs.FileSystem, sql: str, output: TextIO) -> None:
    """Run one statement on the table `events`, and write its rows as CSV with a header; NULL is the empty field.

    Raises:
        SandboxError: DuckDB refuses the statement.
    """
    with connection(bucket, objects) as database:
        try:
            database.execute(sql)
            writer = csv.writer(output, lineterminator="\n")
            writer.writerow([column[0] for column in database.description])
            while rows := database.fetchmany(ROWS_AT_ONCE):
                writer.writerows(rows)
        except duckdb.Error as error:
            raise SandboxError(str(error)) from error


@contextmanager
def connection(bucket: Bucket, objects: pa.fs.FileSystem) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a database with the table `events`; a query opens only the files of the dates that it selects."""
    files = listed_files(bucket)
    events = pa.dataset.FileSystemDataset.from_paths(
        [f"{bucket.name}/{file.key}" for file in files],
        schema=COLUMNS,
        format=pa.dataset.ParquetFileFormat(),
        filesystem=objects,
        partitions=[
            pa.dataset.field("listen_date") == pa.scalar(date.fromisoformat(file.listen_date)) for file in files
        ],
    )
    with duckdb.connect() as database:
        database.register("event_files", events)
        database.execute(VIEW)
        yield database
