"""Songs and users as the KPI jobs need them, from the last CSV files that passed validation."""

from collections.abc import Sequence

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from glue_jobs.lake import Bucket
from glue_jobs.text import BYTE_ORDER_MARK, blank_as_null, fit, trimmed

UNKNOWN_GENRE = "unknown"
AGE_RANGE = (0, 130)


def read_csv(spark: SparkSession, bucket: Bucket, key: str, columns: Sequence[str]) -> DataFrame:
    """Return the named columns of an RFC 4180 file with a header, as text; a column that the file has not is null."""
    raw = (
        spark.read.option("header", "true")
        .option("quote", '"')
        .option("escape", '"')
        .option("multiLine", "true")
        .csv(bucket.url(key))
    )
    position = {name.removeprefix(BYTE_ORDER_MARK).strip(): index for index, name in enumerate(raw.columns)}
    fields = raw.toDF(*[f"field_{index}" for index in range(len(raw.columns))])
    return fields.select(
        *[
            (F.col(f"field_{position[name]}") if name in position else F.lit(None).cast("string")).alias(name)
            for name in columns
        ]
    )


def songs(rows: DataFrame) -> DataFrame:
    """Return one row per track: track_id, track_name, artists, duration_ms (decimal), track_genre ('unknown' for none).

    Of a repeated `track_id` the row with the lowest `id` counts.
    """
    typed = rows.select(
        trimmed(F.col("track_id")).alias("track_id"),
        F.expr("try_cast(id as bigint)").alias("id"),
        "track_name",
        "artists",
        F.expr("try_cast(duration_ms as decimal(20, 3))").alias("duration_ms"),
        fit(F.coalesce(blank_as_null(F.col("track_genre")), F.lit(UNKNOWN_GENRE)), 256).alias("track_genre"),
    )
    # Rows without an id come last, and the other columns break the tie, so that the choice never depends on the order.
    choice = F.min(F.struct(F.col("id").isNull(), "id", "track_name", "artists", "duration_ms", "track_genre"))
    return typed.groupBy("track_id").agg(choice.alias("first")).select("track_id", "first.*").drop("col1", "id")


def users(rows: DataFrame) -> DataFrame:
    """Return one row per user: user_id, user_age (years; null when it is no age)."""
    age = F.expr("try_cast(user_age as int)")
    return rows.select(
        trimmed(F.col("user_id")).alias("user_id"), F.when(age.between(*AGE_RANGE), age).alias("user_age")
    )
