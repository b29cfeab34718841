"""What both KPI jobs share: from a committed batch to Parquet parts, counts, and the COPY manifest, written last."""

import csv
import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention
from pyspark.sql.types import StructType

from glue_jobs.arguments import parse_arguments
from glue_jobs.curated_events import committed_batch, committed_files, read_events
from glue_jobs.lake import MANIFEST, Bucket
from glue_jobs.session import Session, spark_session

ARGUMENTS = (
    "bucket",
    "batch_id",
    "batches_prefix",
    "curated_prefix",
    "reference_prefix",
    "output_prefix",
    "JOB_RUN_ID",
)
COUNTS = "counts.csv"
COUNTS_COLUMNS = ("listen_date", "row_count", "play_count", "batch_id", "computed_at")


@dataclass(frozen=True)
class Kpi:
    """One KPI table: the job that computes it, its columns in the order that COPY maps them, and how it is computed."""

    job_name: str
    schema: StructType
    compute: Callable[[DataFrame, SparkSession, Bucket, str], DataFrame]
    """(events, spark, bucket, reference prefix) -> the KPI columns, without batch_id and computed_at."""


def run(kpi: Kpi, argv: Sequence[str], session: Session = spark_session) -> None:
    """Compute the KPIs of every date that the batch affects, from all committed events of those dates.

    Raises:
        LookupError: the batch is not committed.
        ValueError: an argument is missing.
    """
    arguments = parse_arguments(argv, ARGUMENTS)
    bucket = Bucket(arguments["bucket"])
    dates = committed_batch(bucket, arguments["batches_prefix"], arguments["batch_id"])["dates"]
    # Taken before the store is listed: of two computations the later one has seen at least as much.
    computed_at = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    files = committed_files(bucket, arguments["curated_prefix"], arguments["batches_prefix"], dates)
    with session(kpi.job_name) as spark:
        events = read_events(spark, bucket, files)
        rows = kpi.compute(events, spark, bucket, arguments["reference_prefix"])
        write(stamped(rows, kpi.schema, arguments, computed_at), bucket, arguments, computed_at)


def stamped(rows: DataFrame, schema: StructType, arguments: Mapping[str, str], computed_at: dt.datetime) -> DataFrame:
    """Return the KPI rows with batch and time, in the order and types of `schema`, in one sorted partition."""
    stamps = {
        "batch_id": F.lit(arguments["batch_id"]),
        "computed_at": F.lit(computed_at.isoformat(" ")).cast("timestamp"),
    }
    ordered = rows.withColumns(stamps).select(*[F.col(field.name).cast(field.dataType) for field in schema])
    return ordered.coalesce(1).sortWithinPartitions(*ordered.columns[:2])


def write(rows: DataFrame, bucket: Bucket, arguments: Mapping[str, str], computed_at: dt.datetime) -> None:
    """Write the parts below this attempt's prefix, the counts, and last the COPY manifest that makes them count."""
    output_prefix, batch_id = arguments["output_prefix"], arguments["batch_id"]
    folder = f"{output_prefix}/batch_id={batch_id}"
    attempt = f"{folder}/attempt={arguments['JOB_RUN_ID']}"
    rows.write.parquet(bucket.url(attempt))
    parts = [(key, size) for key, size in bucket.keys(f"{attempt}/") if key.endswith(".parquet")]
    written = rows.sparkSession.read.schema(rows.schema).parquet(*[bucket.url(key) for key, _ in parts])
    totals = (
        written.groupBy("listen_date")
        .agg(F.count(F.lit(1)).alias("row_count"), F.sum("listen_count").alias("play_count"))
        .orderBy("listen_date")
        .collect()
    )
    bucket.write_text(f"{folder}/{COUNTS}", counts_csv(totals, batch_id, computed_at), "text/csv")
    bucket.write_json(
        f"{folder}/{MANIFEST}",
        {
            "entries": [
                {"url": bucket.url(key), "mandatory": True, "meta": {"content_length": size}} for key, size in parts
            ],
            "batch_id": batch_id,
            "computed_at": computed_at.isoformat(),
            "dates": {
                row["listen_date"].isoformat(): {"rows": row["row_count"], "plays": row["play_count"]} for row in totals
            },
        },
    )
    print(
        f"batch {batch_id}: {len(totals)} dates computed, {sum(row['row_count'] for row in totals)} rows in {attempt}"
    )


def counts_csv(totals: Sequence[Row], batch_id: str, computed_at: dt.datetime) -> str:
    """Return the counts per date as CSV with a header: dbt loads them to compare with what COPY loaded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COUNTS_COLUMNS)
    for row in totals:
        writer.writerow([row["listen_date"], row["row_count"], row["play_count"], batch_id, computed_at.isoformat(" ")])
    return text.getvalue()
