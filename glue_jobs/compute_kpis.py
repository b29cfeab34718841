"""Glue jobs of the KPI tables: compute a committed batch's KPIs, write them as Parquet, and the COPY manifest last.

All jobs run this script; the argument `kpi_table` names the table, as in `contract.kpi_tables`.
"""

import datetime as dt
import io
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import KpiTable, kpi_table
from contract.records import CuratedFile, committed_batch, committed_files
from glue_jobs import reference_tables
from glue_jobs.arguments import parse_arguments
from glue_jobs.distribution import Distributed, decode, in_driver_or_on_spark
from glue_jobs.events import buckets_for
from glue_jobs.kernel import connection
from glue_jobs.kpis import PartOfDate, ReferenceTables, columns_of, combine_parts, compute_parts

ARGUMENTS = ("bucket", "batch_id", "kpi_table", "JOB_RUN_ID")
# The columns behind the KPIs that describe the row's date and batch.
AUDIT_COLUMNS = ("rows_of_date", "plays_of_date", "dates_of_batch", "batch_id", "computed_at")

# Another of Spark's Python workers costs a CPU second to start, about as much as these events cost to compute.
EVENTS_PER_TASK = 500_000


def tasks_of(dates: Iterable[str], files: Sequence[CuratedFile]) -> list[list[PartOfDate]]:
    """Return the tasks of the first stage: large dates are cut into parts, small dates share a task."""
    files_of = defaultdict[str, list[CuratedFile]](list)
    for file in files:
        files_of[file.listen_date].append(file)
    tasks: list[list[PartOfDate]] = []
    room = 0
    for date in dates:
        if events := sum(file.rows for file in files_of[date]):
            parts = PartOfDate.of(date, buckets_for(events), files_of[date])
            if events <= room and len(parts) == 1:
                tasks[-1] += parts
            else:
                tasks += [[part] for part in parts]
                room = EVENTS_PER_TASK
            room -= events
    return tasks


def compute(table: KpiTable, bucket: Bucket, tasks: Sequence[list[PartOfDate]], distributed: Distributed) -> pa.Table:
    """Return the KPI rows of all tasks, sorted by their key."""
    rows = [columns_of(table).empty_table()]
    if tasks:
        with distributed(table.glue_job, len(tasks)) as distribution, connection() as (database, folder):
            reference_tables.songs(database, bucket, layout.REFERENCE_SONGS, folder / "songs.parquet")
            reference_tables.users(database, bucket, layout.REFERENCE_USERS, folder / "users.parquet")
            reference = ReferenceTables(
                distribution.share(folder / "songs.parquet"), distribution.share(folder / "users.parquet")
            )
            blocks = distribution.run(
                tasks, partial(compute_parts, table, bucket, reference), partial(combine_parts, table)
            )
        rows += map(decode, blocks)
    return pa.concat_tables(rows).sort_by([(column, "ascending") for column in table.key])


def plays_by_date(rows: pa.Table) -> pa.Table:
    """Return the dates of KPI rows, each with its `rows_of_date` and its `plays_of_date`."""
    counted = rows.group_by("listen_date", use_threads=False).aggregate([([], "count_all"), ("listen_count", "sum")])
    return counted.select(["listen_date", "count_all", "listen_count_sum"]).rename_columns(
        ["listen_date", "rows_of_date", "plays_of_date"]
    )


def with_audit_columns(rows: pa.Table, *, batch_id: str, computed_at: dt.datetime) -> pa.Table:
    """Add AUDIT_COLUMNS to the rows: dbt compares the loaded rows with the counts that each of them holds."""
    dates = plays_by_date(rows)
    dates_of_rows = dates.take(
        pyarrow.compute.index_in(rows["listen_date"], value_set=dates["listen_date"].combine_chunks())
    )
    of_batch = (
        pa.scalar(len(dates), pa.int64()),
        pa.scalar(batch_id, pa.string()),
        pa.scalar(computed_at, pa.timestamp("us")),
    )
    columns = [
        dates_of_rows["rows_of_date"],
        dates_of_rows["plays_of_date"],
        *(pa.repeat(value, len(rows)) for value in of_batch),
    ]
    for name, column in zip(AUDIT_COLUMNS, columns, strict=True):
        rows = rows.append_column(name, column)
    return rows


def write(
    table: KpiTable, rows: pa.Table, bucket: Bucket, *, batch_id: str, attempt: str, computed_at: dt.datetime
) -> None:
    """Write the rows below this attempt's prefix, and then the COPY manifest, which commits them."""
    key = f"{table.output}/batch_id={batch_id}/attempt={attempt}/part-00000.parquet"
    content = io.BytesIO()
    pyarrow.parquet.write_table(with_audit_columns(rows, batch_id=batch_id, computed_at=computed_at), content)
    bucket.write(key, content.getvalue())
    dates = plays_by_date(rows).to_pylist()
    manifest: dict[str, Any] = {
        "entries": [{"url": bucket.url(key), "mandatory": True, "meta": {"content_length": len(content.getvalue())}}],
        "batch_id": batch_id,
        "computed_at": computed_at.isoformat(),
        "dates": {
            date["listen_date"].isoformat(): {"rows": date["rows_of_date"], "plays": date["plays_of_date"]}
            for date in dates
        },
    }
    bucket.write_json(table.copy_manifest(batch_id), manifest)
    print(f"batch {batch_id}: {len(dates)} dates computed, {len(rows)} rows in {bucket.url(key)}")


def main(argv: Sequence[str], distributed: Distributed = in_driver_or_on_spark) -> None:
    """Compute a KPI table for every date that the batch affects, from all committed events of those dates.

    Raises:
        LookupError: the batch is not committed, or the KPI table does not exist.
        ValueError: an argument is missing.
    """
    arguments = parse_arguments(argv, ARGUMENTS)
    table, bucket = kpi_table(arguments["kpi_table"]), Bucket(arguments["bucket"])
    dates = committed_batch(bucket, arguments["batch_id"])["dates"]
    # The time is taken before the store is listed, so that a later computation has read at least the same events.
    computed_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    tasks = tasks_of(dates, committed_files(bucket, dates))
    rows = compute(table, bucket, tasks, distributed)
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
