"""Glue jobs of the KPI tables: from a committed batch to Parquet parts, counts, and the COPY manifest, written last.

One script for all: the argument `kpi_table` says which table, by its name in `contract.kpi_tables`.
"""

import csv
import datetime as dt
import io
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import KpiTable, kpi_table
from contract.records import CuratedFile, committed_batch, committed_files
from glue_jobs import reference_tables
from glue_jobs.arguments import parse_arguments
from glue_jobs.distribution import Distributed, decode, on_spark
from glue_jobs.events import buckets_for
from glue_jobs.kernel import connection
from glue_jobs.kpis import PartOfDate, ReferenceTables, columns_of, combine_parts, compute_part

ARGUMENTS = ("bucket", "batch_id", "kpi_table", "JOB_RUN_ID")
COUNTS_COLUMNS = ("listen_date", "row_count", "play_count", "batch_id", "computed_at")


def parts_of(dates: Iterable[str], files: Sequence[CuratedFile]) -> list[PartOfDate]:
    """The tasks of the first stage: each date that has events, in parts of about equal size."""
    files_of = defaultdict[str, list[CuratedFile]](list)
    for file in files:
        files_of[file.listen_date].append(file)
    return [
        part
        for date in dates
        if date in files_of
        for part in PartOfDate.of(date, buckets_for(sum(file.rows for file in files_of[date])), files_of[date])
    ]


def compute(table: KpiTable, bucket: Bucket, parts: Sequence[PartOfDate], distributed: Distributed) -> pa.Table:
    """The KPI rows of all parts, in the order of their key."""
    rows = [columns_of(table).empty_table()]
    if parts:
        with distributed(table.glue_job) as distribution, connection() as (database, folder):
            reference_tables.songs(database, bucket, layout.REFERENCE_SONGS, folder / "songs.parquet")
            reference_tables.users(database, bucket, layout.REFERENCE_USERS, folder / "users.parquet")
            reference = ReferenceTables(
                distribution.share(folder / "songs.parquet"), distribution.share(folder / "users.parquet")
            )
            blocks = distribution.run(
                parts, partial(compute_part, table, bucket, reference), partial(combine_parts, table)
            )
        rows += map(decode, blocks)
    return pa.concat_tables(rows).sort_by([(column, "ascending") for column in table.key])


def write(
    table: KpiTable, rows: pa.Table, bucket: Bucket, *, batch_id: str, attempt: str, computed_at: dt.datetime
) -> None:
    """Write the rows below this attempt's prefix, the counts, and last the COPY manifest that makes them count."""
    stamped = rows.append_column("batch_id", pa.repeat(pa.scalar(batch_id), len(rows))).append_column(
        "computed_at", pa.repeat(pa.scalar(computed_at, pa.timestamp("us")), len(rows))
    )
    folder = f"{table.output}/batch_id={batch_id}"
    key = f"{folder}/attempt={attempt}/part-00000.parquet"
    content = io.BytesIO()
    pyarrow.parquet.write_table(stamped, content)
    bucket.write(key, content.getvalue())
    row_counts, play_counts = Counter[str](), Counter[str]()
    for date, plays in zip(rows["listen_date"].to_pylist(), rows["listen_count"].to_pylist(), strict=True):
        row_counts[date.isoformat()] += 1
        play_counts[date.isoformat()] += plays
    bucket.write(f"{folder}/counts.csv", counts_csv(row_counts, play_counts, batch_id, computed_at), "text/csv")
    manifest: dict[str, Any] = {
        "entries": [{"url": bucket.url(key), "mandatory": True, "meta": {"content_length": len(content.getvalue())}}],
        "batch_id": batch_id,
        "computed_at": computed_at.isoformat(),
        "dates": {date: {"rows": count, "plays": play_counts[date]} for date, count in sorted(row_counts.items())},
    }
    bucket.write_json(table.copy_manifest(batch_id), manifest)
    print(f"batch {batch_id}: {len(row_counts)} dates computed, {len(rows)} rows in {bucket.url(key)}")


def counts_csv(row_counts: Counter[str], play_counts: Counter[str], batch_id: str, computed_at: dt.datetime) -> bytes:
    """Return the counts per date as CSV with a header: dbt loads them to compare with what COPY loaded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COUNTS_COLUMNS)
    for date, count in sorted(row_counts.items()):
        writer.writerow([date, count, play_counts[date], batch_id, computed_at.isoformat(" ")])
    return text.getvalue().encode()


def main(argv: Sequence[str], distributed: Distributed = on_spark) -> None:
    """Compute a KPI table for every date that the batch affects, from all committed events of those dates.

    Raises:
        LookupError: the batch is not committed, or there is no such KPI table.
        ValueError: an argument is missing.
    """
    arguments = parse_arguments(argv, ARGUMENTS)
    table, bucket = kpi_table(arguments["kpi_table"]), Bucket(arguments["bucket"])
    dates = committed_batch(bucket, arguments["batch_id"])["dates"]
    # Taken before the store is listed: of two computations the later one has seen at least as much.
    computed_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    parts = parts_of(dates, committed_files(bucket, dates))
    rows = compute(table, bucket, parts, distributed)
    write(
        table,
        rows,
        bucket,
        batch_id=arguments["batch_id"],
        attempt=arguments["JOB_RUN_ID"],
        computed_at=computed_at,
    )


if __name__ == "__main__":
    main(sys.argv)
