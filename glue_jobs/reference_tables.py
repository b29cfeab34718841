"""Songs and users as the KPI jobs need them, from the last CSV files that passed validation."""

import csv
import sys
from collections.abc import Iterator, Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention
from pyspark.sql.types import StringType, StructField, StructType

from glue_jobs.lake import Bucket
from glue_jobs.text import BLANKS, blank_as_null, fit, number, trimmed

UNKNOWN_GENRE = "unknown"
AGE_RANGE = (0, 130)
DURATION_RANGE_MS = (0, 10**12)

csv.field_size_limit(sys.maxsize)  # validation has refused files with endless lines


def read_csv(spark: SparkSession, bucket: Bucket, key: str, columns: Sequence[str]) -> DataFrame:
    """Return the named columns of an RFC 4180 file with a header, as text.

    A column that the file has not, a field that a row has not, and an empty one are null.
    """
    # Not by Spark's reader: of mixed line ends it knows but one, and it renames columns that are named twice.
    rows = spark.sparkContext.parallelize([(bucket.name, key, tuple(columns))], 1).flatMap(_rows_of_file)
    schema = StructType([StructField(name, StringType()) for name in columns])
    return spark.createDataFrame(rows, schema, verifySchema=False)


def _rows_of_file(file: tuple[str, str, tuple[str, ...]]) -> Iterator[tuple[str | None, ...]]:
    bucket_name, key, columns = file
    lines = Bucket(bucket_name).lines(key)
    records = csv.reader(line.decode("utf-8-sig" if index == 0 else "utf-8") for index, line in enumerate(lines))
    header = [name.strip(BLANKS) for name in next(records)]
    positions = [header.index(name) if name in header else -1 for name in columns]
    for record in filter(None, records):
        fields = dict(enumerate(record))
        yield tuple(fields.get(position) or None for position in positions)


def songs(rows: DataFrame) -> DataFrame:
    """Return one row per track: track_id, track_name, artists, duration_ms (decimal), track_genre ('unknown' for none).

    Of a repeated `track_id` the row with the lowest `id` counts. A duration that is negative, or endless, is none.
    """
    duration = number(F.col("duration_ms"))
    typed = rows.select(
        trimmed(F.col("track_id")).alias("track_id"),
        number(F.col("id")).alias("id"),
        "track_name",
        "artists",
        F.when(duration.between(*DURATION_RANGE_MS), duration).cast("decimal(20, 3)").alias("duration_ms"),
        # Redshift ignores trailing spaces when it compares: with them, one genre would be two rows of the same key.
        F.rtrim(fit(F.coalesce(blank_as_null(F.col("track_genre")), F.lit(UNKNOWN_GENRE)), 256)).alias("track_genre"),
    )
    # Rows without an id come last, and the other columns break the tie, so that the choice never depends on the order.
    choice = F.min(F.struct(F.col("id").isNull(), "id", "track_name", "artists", "duration_ms", "track_genre"))
    return typed.groupBy("track_id").agg(choice.alias("first")).select("track_id", "first.*").drop("col1", "id")


def users(rows: DataFrame) -> DataFrame:
    """Return one row per user: user_id, user_age (whole years; null when it is no age)."""
    age = number(F.col("user_age"))
    years = F.when(age.between(*AGE_RANGE), F.floor(age).cast("int"))
    return rows.select(trimmed(F.col("user_id")).alias("user_id"), years.alias("user_age"))
