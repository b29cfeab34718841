"""Glue job `hourly-kpis`: per date and hour (UTC), how much is played, by whom, and whose music (docs/kpis.md)."""

import sys
from functools import reduce

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention
from pyspark.sql.types import (
    DateType,
    DoubleType,
    LongType,
    ShortType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from glue_jobs import kpi_output
from glue_jobs.genre_level_kpis import SONG_COLUMNS
from glue_jobs.lake import Bucket
from glue_jobs.reference_tables import read_csv, songs, users
from glue_jobs.text import fit, trimmed

SCHEMA = StructType(
    [
        StructField("listen_date", DateType()),
        StructField("listen_hour", ShortType()),
        StructField("listen_count", LongType()),
        StructField("unique_listeners", LongType()),
        StructField("listens_per_listener", DoubleType()),
        StructField("top_artist", StringType()),
        StructField("top_artist_listen_count", LongType()),
        StructField("diversity_index", DoubleType()),
        StructField("most_engaged_age_group", StringType()),
        StructField("batch_id", StringType()),
        StructField("computed_at", TimestampType()),
    ]
)
USER_COLUMNS = ("user_id", "user_age")

# (oldest age of the band in years, its name), youngest first.
AGE_BANDS = ((17, "<18"), (25, "18-25"), (35, "26-35"), (45, "36-45"), (55, "46-55"), (65, "56-65"), (130, "66+"))

HOUR = ["listen_date", "listen_hour"]


def hourly_kpis(events: DataFrame, tracks: DataFrame, listeners: DataFrame) -> DataFrame:
    """Return one row per (listen_date, listen_hour).

    Takes events (with listen_date), `reference_tables.songs` and `reference_tables.users`.
    """
    plays = events.withColumn("listen_hour", F.hour("listen_time"))
    by_user = plays.groupBy(*HOUR, "user_id").agg(F.count(F.lit(1)).alias("plays"))
    by_track = plays.groupBy(*HOUR, "track_id").agg(F.count(F.lit(1)).alias("plays"))
    counts = by_user.groupBy(*HOUR).agg(
        F.sum("plays").alias("listen_count"), F.count(F.lit(1)).alias("unique_listeners")
    )
    variety = by_track.groupBy(*HOUR).agg(F.count(F.lit(1)).alias("distinct_tracks"))
    return (
        counts.join(variety, HOUR)
        .join(top_artists(by_track, tracks), HOUR, "left")
        .join(most_engaged_age_groups(by_user, listeners), HOUR, "left")
        .select(
            *HOUR,
            "listen_count",
            "unique_listeners",
            (F.col("listen_count") / F.col("unique_listeners")).alias("listens_per_listener"),
            "top_artist",
            "top_artist_listen_count",
            (F.col("distinct_tracks") / F.col("listen_count")).alias("diversity_index"),
            "most_engaged_age_group",
        )
    )


def top_artists(by_track: DataFrame, tracks: DataFrame) -> DataFrame:
    """Return the artist with most plays of each hour; every artist of a `;` list is credited, a repeated one once."""
    artists = F.array_distinct(F.transform(F.split("artists", ";"), trimmed))
    credited = tracks.select("track_id", F.explode(artists).alias("artist")).where("artist <> ''")
    top = F.min(F.struct(-F.col("plays"), "artist"))
    return (
        by_track.join(F.broadcast(credited), "track_id")
        .groupBy(*HOUR, "artist")
        .agg(F.sum("plays").alias("plays"))
        .groupBy(*HOUR)
        .agg(top.alias("top"))
        .select(
            *HOUR,
            fit(F.col("top.artist"), 1024).alias("top_artist"),
            (-F.col("top.col1")).alias("top_artist_listen_count"),
        )
    )


def most_engaged_age_groups(by_user: DataFrame, listeners: DataFrame) -> DataFrame:
    """Return the age band with most plays of each hour; of bands with equally many, the younger."""
    top = F.min(F.struct(-F.col("plays"), "oldest", "band"))
    return (
        by_user.join(F.broadcast(listeners.where("user_age is not null")), "user_id")
        .select(*HOUR, "plays", age_band(F.col("user_age")).alias("age"))
        .groupBy(*HOUR, "age.oldest", "age.band")
        .agg(F.sum("plays").alias("plays"))
        .groupBy(*HOUR)
        .agg(top.alias("top"))
        .select(*HOUR, F.col("top.band").alias("most_engaged_age_group"))
    )


def age_band(age: Column) -> Column:
    """Return (oldest, band): the band of an age from 0 to 130 years, and its oldest age, which orders the bands."""
    oldest, band = AGE_BANDS[-1]
    return reduce(
        lambda rest, bounds: F.when(age <= bounds[0], _band(*bounds)).otherwise(rest),
        reversed(AGE_BANDS[:-1]),
        _band(oldest, band),
    )


def _band(oldest: int, band: str) -> Column:
    return F.struct(F.lit(oldest).alias("oldest"), F.lit(band).alias("band"))


def compute(events: DataFrame, spark: SparkSession, bucket: Bucket, reference_prefix: str) -> DataFrame:
    """Return the KPI rows of `events` with the reference tables in force."""
    tracks = songs(read_csv(spark, bucket, f"{reference_prefix}/songs.csv", SONG_COLUMNS)).select("track_id", "artists")
    listeners = users(read_csv(spark, bucket, f"{reference_prefix}/users.csv", USER_COLUMNS))
    return hourly_kpis(events, tracks, listeners)


KPI = kpi_output.Kpi("hourly-kpis", SCHEMA, compute)

if __name__ == "__main__":
    kpi_output.run(KPI, sys.argv)
