"""Both KPI tables on a day small enough to be worked out by hand."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from glue_jobs.genre_level_kpis import SCHEMA as GENRE_SCHEMA
from glue_jobs.genre_level_kpis import genre_level_kpis
from glue_jobs.hourly_kpis import SCHEMA as HOURLY_SCHEMA
from glue_jobs.hourly_kpis import age_band, hourly_kpis

DAY = dt.date(2024, 6, 25)
NEXT_DAY = dt.date(2024, 6, 26)

# track_id, track_name, artists, duration_ms, track_genre
TRACKS = [
    ("t1", "One", "Zoë; Abba", 60_000, "pop"),
    ("t2", "Two", "Zoë", 120_000, "pop"),
    ("t3", "Three", "Abba;Abba; Abba ", 240_000, "rock"),
    ("t4", None, " ;;", None, "rock"),
    ("t5", "No genre", "ZZ", 1_000, "unknown"),
]
USERS = [("u1", 17), ("u2", 18), ("u3", 130), ("u4", None)]


def events(spark: SparkSession, rows: Sequence[str]) -> DataFrame:
    """Events written as `user track time`, the time as `HH:MM` of the day or as a whole timestamp."""
    fields = [row.split(" ", 2) for row in rows]
    times = [(user, track, f"{DAY} {time}:00" if len(time) == 5 else time) for user, track, time in fields]
    typed = spark.createDataFrame(times, "user_id string, track_id string, listen_time string")
    listen_time = F.col("listen_time").cast("timestamp")
    return typed.withColumn("listen_time", listen_time).withColumn("listen_date", F.to_date("listen_time"))


def genre_rows(spark: SparkSession, rows: Sequence[str]) -> dict[tuple[dt.date, str], dict[str, Any]]:
    typed = [(*track[:3], None if track[3] is None else Decimal(track[3]), track[4]) for track in TRACKS]
    schema = "track_id string, track_name string, artists string, duration_ms decimal(20, 3), track_genre string"
    tracks = spark.createDataFrame(typed, schema).drop("artists")
    found = genre_level_kpis(events(spark, rows), tracks).collect()
    assert len({(row.listen_date, row.track_genre) for row in found}) == len(found)
    return {(row.listen_date, row.track_genre): row.asDict() for row in found}


def hourly_rows(spark: SparkSession, rows: Sequence[str]) -> dict[tuple[dt.date, int], dict[str, Any]]:
    tracks = spark.createDataFrame([(track[0], track[2]) for track in TRACKS], "track_id string, artists string")
    listeners = spark.createDataFrame(USERS, "user_id string, user_age int")
    found = hourly_kpis(events(spark, rows), tracks, listeners).collect()
    assert len({(row.listen_date, row.listen_hour) for row in found}) == len(found)
    return {(row.listen_date, row.listen_hour): row.asDict() for row in found}


def test_genre_kpis_of_a_day_worked_out_by_hand(spark: SparkSession) -> None:
    rows = genre_rows(
        spark,
        [
            "u1 t1 10:00",
            "u1 t1 10:01",
            "u2 t2 10:02",
            "u2 t2 23:59",
            "u9 t3 00:00",
            "u1 t4 12:00",
            "u1 gone 12:00",
            "u1 t5 01:00",
        ],
    )
    assert rows == {
        (DAY, "pop"): {
            "listen_date": DAY,
            "track_genre": "pop",
            "listen_count": 4,
            "unique_listeners": 2,
            "popularity_index": 0.5,
            "average_duration": 90.0,
            "most_popular_track_id": "t1",
            "most_popular_track_name": "One",
        },
        (DAY, "rock"): {
            "listen_date": DAY,
            "track_genre": "rock",
            "listen_count": 2,
            "unique_listeners": 2,
            "popularity_index": 0.25,
            "average_duration": 240.0,
            "most_popular_track_id": "t3",
            "most_popular_track_name": "Three",
        },
        (DAY, "unknown"): {
            "listen_date": DAY,
            "track_genre": "unknown",
            "listen_count": 2,
            "unique_listeners": 1,
            "popularity_index": 0.25,
            "average_duration": None,
            "most_popular_track_id": "gone",
            "most_popular_track_name": None,
        },
    }


def test_dates_do_not_touch_each_other(spark: SparkSession) -> None:
    rows = genre_rows(spark, ["u1 t1 23:59", f"u1 t1 {NEXT_DAY} 00:00:00", f"u2 t3 {NEXT_DAY} 00:00:01"])
    shares = {key: row["popularity_index"] for key, row in rows.items()}
    assert shares == {(DAY, "pop"): 1.0, (NEXT_DAY, "pop"): 0.5, (NEXT_DAY, "rock"): 0.5}


def test_of_tracks_played_equally_often_the_smallest_id_is_most_popular(spark: SparkSession) -> None:
    rows = genre_rows(spark, ["u1 t2 10:00", "u1 t1 10:00", "u1 x 10:00", "u1 B 10:00", "u1 a 10:00"])
    assert rows[DAY, "pop"]["most_popular_track_id"] == "t1"
    assert rows[DAY, "unknown"]["most_popular_track_id"] == "B"


def test_hourly_kpis_of_an_hour_worked_out_by_hand(spark: SparkSession) -> None:
    rows = hourly_rows(
        spark, ["u1 t1 10:00", "u1 t1 10:30", "u2 t2 10:59", "u4 t3 10:59", "u3 gone 10:01", "u1 t1 11:00"]
    )
    assert set(rows) == {(DAY, 10), (DAY, 11)}
    assert rows[DAY, 10] == {
        "listen_date": DAY,
        "listen_hour": 10,
        "listen_count": 5,
        "unique_listeners": 4,
        "listens_per_listener": 1.25,
        "top_artist": "Abba",
        "top_artist_listen_count": 3,
        "diversity_index": 0.8,
        "most_engaged_age_group": "<18",
    }


def test_of_artists_played_equally_often_the_first_by_code_point_leads(spark: SparkSession) -> None:
    row = hourly_rows(spark, ["u1 t5 10:00", "u1 t2 10:00"])[DAY, 10]
    assert (row["top_artist"], row["top_artist_listen_count"]) == ("ZZ", 1)


def test_of_age_groups_that_play_equally_much_the_younger_leads(spark: SparkSession) -> None:
    assert hourly_rows(spark, ["u3 t1 10:00", "u2 t1 10:00"])[DAY, 10]["most_engaged_age_group"] == "18-25"


def test_without_a_known_track_or_age_there_is_no_leader(spark: SparkSession) -> None:
    row = hourly_rows(spark, ["u4 gone 10:00", "u9 t4 10:00"])[DAY, 10]
    assert (row["top_artist"], row["top_artist_listen_count"], row["most_engaged_age_group"]) == (None, None, None)


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "<18"), (17, "<18"), (18, "18-25"), (25, "18-25"), (26, "26-35"), (35, "26-35"), (36, "36-45"),
        (45, "36-45"), (46, "46-55"), (55, "46-55"), (56, "56-65"), (65, "56-65"), (66, "66+"), (130, "66+"),
    ],
)  # fmt: skip
def test_every_age_has_its_band(spark: SparkSession, age: int, band: str) -> None:
    assert spark.range(1).select(age_band(F.lit(age)).alias("age")).collect()[0].age.band == band


def test_the_columns_come_in_the_order_that_copy_maps(spark: SparkSession) -> None:
    for schema, rows in (
        (GENRE_SCHEMA, genre_rows(spark, ["u t1 10:00"])),
        (HOURLY_SCHEMA, hourly_rows(spark, ["u t1 10:00"])),
    ):
        (row,) = rows.values()
        assert [*row, "batch_id", "computed_at"] == schema.fieldNames()
