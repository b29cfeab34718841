"""Read curated events in kernels: the committed files of a part of a date, from S3 into DuckDB.

A date is cut into parts by the hash of `user_id`, and the number of parts is a power of two. Hashes modulo powers of
two nest, so a reader can find its part in files that were cut into more or fewer parts than it wants.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import duckdb

from contract.bucket import Bucket, in_parallel
from contract.records import CuratedFile
from glue_jobs.kernel import literal

EVENTS_PER_BUCKET = 4_000_000
BYTES_PER_EVENT = 45  # the least length of a line in a stream file


def buckets_for(events: int) -> int:
    """Return the number of parts into which a date with this many events is cut."""
    buckets = 1
    while events > buckets * EVENTS_PER_BUCKET:
        buckets *= 2
    return buckets


def overlapping(files: Iterable[CuratedFile], bucket: int, buckets: int) -> list[CuratedFile]:
    """Return the files that may hold events of part `bucket` of `buckets`."""
    return [file for file in files if not (file.bucket - bucket) % min(file.buckets, buckets)]


def select_events(
    database: duckdb.DuckDBPyConnection,
    bucket: Bucket,
    folder: Path,
    files: Sequence[CuratedFile],
    *,
    name: str,
    part: tuple[int, int] | None = None,
) -> None:
    """Download the files to `folder`, and make a view (user_id, track_id, listen_time) of them.

    `part` is (bucket, buckets): the view selects only events of this part, or all events without it.
    """
    selects = ["select null::varchar as user_id, null::varchar as track_id, null::timestamp as listen_time limit 0"]

    def download(numbered: tuple[int, CuratedFile]) -> str:
        number, file = numbered
        path = folder / f"{name}-{number}.parquet"
        bucket.download(file.key, path)
        # Files that Spark wrote hold times with a zone, which is UTC.
        select = f"select user_id, track_id, make_timestamp(epoch_us(listen_time)) from read_parquet({literal(path)})"  # noqa: S608
        if part and file.buckets < part[1]:
            select += f" where md5_number_lower(user_id) % {part[1]} = {part[0]}"
        return select

    if files:
        selects += in_parallel(download, list(enumerate(files)))
    database.execute(f"create or replace temp view {name} as {' union all '.join(f'({select})' for select in selects)}")
