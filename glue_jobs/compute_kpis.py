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
import pyarrow.parquet

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import KpiTable, kpi_table
from contract.records import CuratedFile, committed_batch, committed_files
from glue_jobs import reference_tables
from glue_jobs.arguments import parse_arguments
from glue_jobs.distribution import Distributed, in_driver_or_on_spark
from glue_jobs.events import buckets_for, overlapping
from glue_jobs.kernel import connection, text_of
from glue_jobs.kpis import EventsOfTask, ReferenceTables, columns_of, combine_partials, compute_partials
from glue_jobs.stages import decode

ARGUMENTS = ("bucket", "batch_id", "kpi_table", "JOB_RUN_ID")
# The columns behind the KPIs that describe the row's date and batch, which audit_columns.sql adds.
AUDIT_COLUMNS = ("rows_of_date", "plays_of_date", "dates_of_batch", "batch_id", "computed_at")

# Tasks of this size use many cores well: another one costs a CPU second to start, about as much as these events cost.
EVENTS_PER_TASK = 500_000


def tasks_of(dates: Iterable[str], files: Sequence[CuratedFile]) -> list[EventsOfTask]:
    """Return the tasks of the first stage: one, if it need not be cut; else large dates are cut, small dates share."""
    files_of = defaultdict[str, list[CuratedFile]](list)
    for file in files:
        files_of[file.listen_date].append(file)
    parts, whole_dates = list[EventsOfTask](), list[list[CuratedFile]]()
    events_of_all = sum(file.rows for file in files)
    events_per_task = EVENTS_PER_TASK if buckets_for(events_of_all) > 1 else events_of_all
    room = 0
    for date in dates:
        of_date = files_of[date]
        events = sum(file.rows for file in of_date)
        buckets = buckets_for(events)
        if buckets > 1:
            parts += [EventsOfTask(overlapping(of_date, bucket, buckets), bucket, buckets) for bucket in range(buckets)]
        elif events > room:
            whole_dates.append(of_date)
            room = max(0, events_per_task - events)
        elif events:
            whole_dates[-1] += of_date
            room -= events
    return [*parts, *map(EventsOfTask, whole_dates)]


def compute(table: KpiTable, bucket: Bucket, tasks: Sequence[EventsOfTask], distributed: Distributed) -> pa.Table:
    """Return the KPI rows of all tasks."""
    if not tasks:
        return columns_of(table).empty_table()
    with distributed(table.glue_job, len(tasks)) as distribution, connection() as (database, folder):
        reference_tables.songs(database, bucket, layout.REFERENCE_SONGS, folder / "songs.parquet")
        reference_tables.users(database, bucket, layout.REFERENCE_USERS, folder / "users.parquet")
        reference = ReferenceTables(
            distribution.share(folder / "songs.parquet"), distribution.share(folder / "users.parquet")
        )
        blocks = distribution.run(
            tasks, partial(compute_partials, table, bucket, reference), partial(combine_partials, table)
        )
    return pa.concat_tables(map(decode, blocks))


def with_audit_columns(rows: pa.Table, *, batch_id: str, computed_at: dt.datetime) -> pa.Table:
    """Sort the rows by key, and add AUDIT_COLUMNS: dbt compares the loaded rows with the counts in each of them."""
    with connection() as (database, _folder):
        database.register("kpi_rows", rows)
        parameters = {"batch_id": batch_id, "computed_at": computed_at}
        return database.sql(text_of("audit_columns.sql"), params=parameters).to_arrow_table()


def write(
    table: KpiTable, rows: pa.Table, bucket: Bucket, *, batch_id: str, attempt: str, computed_at: dt.datetime
) -> None:
    """Write the rows below this attempt's prefix, and then the COPY manifest, which commits them."""
    key = f"{table.output}/batch_id={batch_id}/attempt={attempt}/part-00000.parquet"
    content = io.BytesIO()
    pyarrow.parquet.write_table(rows, content)
    bucket.write(key, content.getvalue())
    dates = {
        row["listen_date"].isoformat(): {"rows": row["rows_of_date"], "plays": row["plays_of_date"]}
        for row in rows.select(["listen_date", "rows_of_date", "plays_of_date"]).to_pylist()
    }
    manifest: dict[str, Any] = {
        "entries": [{"url": bucket.url(key), "mandatory": True, "meta": {"content_length": len(content.getvalue())}}],
        "batch_id": batch_id,
        "computed_at": computed_at.isoformat(),
        "dates": dates,
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
    batch_id, rows = arguments["batch_id"], compute(table, bucket, tasks, distributed)
    rows = with_audit_columns(rows, batch_id=batch_id, computed_at=computed_at)
    write(table, rows, bucket, batch_id=batch_id, attempt=arguments["JOB_RUN_ID"], computed_at=computed_at)


if __name__ == "__main__":
    main(sys.argv)
