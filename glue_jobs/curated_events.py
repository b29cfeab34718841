"""The event store: every accepted event once, as Parquet, and the commit records that say which files count."""

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention
from pyspark.sql.types import StringType, StructField, StructType, TimestampType

from glue_jobs.lake import CURATION_RECORD, LOADED_RECORD, RECORD_CUT, Bucket

EVENT_KEY = ("user_id", "track_id", "listen_time")
SCHEMA = StructType(
    [
        StructField("user_id", StringType()),
        StructField("track_id", StringType()),
        StructField("listen_time", TimestampType()),
    ]
)


def committed_files(bucket: Bucket, curated_prefix: str, batches_prefix: str, dates: Iterable[str]) -> list[str]:
    """Return the keys of all Parquet files that hold committed events of `dates` (ISO dates).

    A file exists for a reader only when its batch's commit record lists it: what a crashed attempt left does not count.
    """
    wanted = set(dates)
    batch_ids = {
        part.removeprefix("batch_id=")
        for date in wanted
        for key, _ in bucket.keys(f"{curated_prefix}/listen_date={date}/")
        for part in key.split("/")
        if part.startswith("batch_id=")
    }
    records = bucket.read_many_json(f"{batches_prefix}/{batch_id}/{CURATION_RECORD}" for batch_id in sorted(batch_ids))
    return sorted(
        file["key"]
        for record in records
        if record is not None
        for file in record["curated_files"]
        if file["listen_date"] in wanted
    )


def read_events(spark: SparkSession, bucket: Bucket, keys: list[str]) -> DataFrame:
    """Return the events of the curated files `keys`, with their `listen_date`."""
    if keys:
        events = spark.read.schema(SCHEMA).parquet(*[bucket.url(key) for key in keys])
    else:
        events = spark.createDataFrame([], SCHEMA)
    return events.withColumn("listen_date", F.to_date("listen_time"))


def committed_batch(bucket: Bucket, batches_prefix: str, batch_id: str) -> dict[str, Any]:
    """Return the commit record of a batch.

    Raises:
        LookupError: the batch is not committed.
    """
    key = f"{batches_prefix}/{batch_id}/{CURATION_RECORD}"
    record = bucket.read_json(key)
    if record is None:
        raise LookupError(
            f"{bucket.url(key)} is missing: batch {batch_id} is not curated; run curate-user-streams first"
        )
    return record


def owed_batches(bucket: Bucket, batches_prefix: str) -> list[str]:
    """Return the ids of the committed batches that no run has loaded yet, oldest first.

    Every batch of the past is listed, but as five names: a thousand names, one request, are two hundred batches.
    """
    committed, loaded = set[str](), set[str]()
    for key in bucket.cut_keys(f"{batches_prefix}/", RECORD_CUT):
        batch_id, _, name = key.removeprefix(f"{batches_prefix}/").partition("/")
        if name == _cut(CURATION_RECORD):
            committed.add(batch_id)
        elif name == _cut(LOADED_RECORD):
            loaded.add(batch_id)
    return sorted(committed - loaded)


def _cut(name: str) -> str:
    return name[: name.index(RECORD_CUT) + 1]
