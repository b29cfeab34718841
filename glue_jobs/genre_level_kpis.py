"""Glue job `genre_level_kpis`: per date and genre, how much is played, by whom, and what most (docs/kpis.md)."""

import sys

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention
from pyspark.sql.types import DateType, DoubleType, LongType, StringType, StructField, StructType, TimestampType

from glue_jobs import kpi_output
from glue_jobs.lake import Bucket
from glue_jobs.reference_tables import UNKNOWN_GENRE, read_csv, songs
from glue_jobs.text import fit

SCHEMA = StructType(
    [
        StructField("listen_date", DateType()),
        StructField("track_genre", StringType()),
        StructField("listen_count", LongType()),
        StructField("unique_listeners", LongType()),
        StructField("popularity_index", DoubleType()),
        StructField("average_duration", DoubleType()),
        StructField("most_popular_track_id", StringType()),
        StructField("most_popular_track_name", StringType()),
        StructField("batch_id", StringType()),
        StructField("computed_at", TimestampType()),
    ]
)
SONG_COLUMNS = ("id", "track_id", "track_name", "artists", "duration_ms", "track_genre")


def genre_level_kpis(events: DataFrame, tracks: DataFrame) -> DataFrame:
    """Return one row per (listen_date, track_genre) from events (with listen_date) and `reference_tables.songs`."""
    genre = ["listen_date", "track_genre"]
    plays = events.join(F.broadcast(tracks), "track_id", "left").withColumn(
        "track_genre", F.coalesce("track_genre", F.lit(UNKNOWN_GENRE))
    )
    # Two-level grouping: a third of the cost of countDistinct.
    listeners = (
        plays.groupBy(*genre, "user_id")
        .agg(F.count(F.lit(1)).alias("plays"))
        .groupBy(*genre)
        .agg(F.sum("plays").alias("listen_count"), F.count(F.lit(1)).alias("unique_listeners"))
    )
    by_track = plays.groupBy(*genre, "track_id", "track_name", "duration_ms").agg(F.count(F.lit(1)).alias("plays"))
    timed_plays = F.sum(F.when(F.col("duration_ms").isNotNull(), F.col("plays")))
    # Summed as decimals: the same events give the same bits in whatever order they come.
    milliseconds = F.sum(F.col("duration_ms") * F.col("plays")).cast("double")
    most_popular = F.min(F.struct(-F.col("plays"), "track_id", "track_name"))
    tracks_of_genre = by_track.groupBy(*genre).agg(
        (milliseconds / timed_plays / 1000).alias("average_duration"), most_popular.alias("most_popular")
    )
    is_known = F.col("track_genre") != UNKNOWN_GENRE
    return listeners.join(tracks_of_genre, genre).select(
        *genre,
        "listen_count",
        "unique_listeners",
        (F.col("listen_count") / F.sum("listen_count").over(Window.partitionBy("listen_date"))).alias(
            "popularity_index"
        ),
        F.when(is_known, F.col("average_duration")).alias("average_duration"),
        fit(F.col("most_popular.track_id"), 64).alias("most_popular_track_id"),
        fit(F.col("most_popular.track_name"), 1024).alias("most_popular_track_name"),
    )


def compute(events: DataFrame, spark: SparkSession, bucket: Bucket, reference_prefix: str) -> DataFrame:
    """Return the KPI rows of `events` with the reference tables in force."""
    tracks = songs(read_csv(spark, bucket, f"{reference_prefix}/songs.csv", SONG_COLUMNS)).drop("artists")
    return genre_level_kpis(events, tracks)


KPI = kpi_output.Kpi("genre_level_kpis", SCHEMA, compute)

if __name__ == "__main__":
    kpi_output.run(KPI, sys.argv)
