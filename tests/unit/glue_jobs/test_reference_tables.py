"""Songs and users as the KPI jobs see them."""

from decimal import Decimal

from pyspark.sql import SparkSession

from glue_jobs.reference_tables import songs, users

SONG_SCHEMA = "id string, track_id string, track_name string, artists string, duration_ms string, track_genre string"


def test_of_a_repeated_track_the_lowest_id_counts_as_a_number(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [
            ("10", "t1", "ten", "a", "10", "g10"),
            ("9", " t1 ", "nine", "b", "9", "g9"),
            (None, "t1", "none", "c", "8", "g8"),
            ("x", "t1", "a", "d", "7", "g7"),
        ],
        SONG_SCHEMA,
    )
    (song,) = songs(rows).collect()
    assert song.asDict() == {
        "track_id": "t1",
        "track_name": "nine",
        "artists": "b",
        "duration_ms": Decimal(9),
        "track_genre": "g9",
    }


def test_a_track_without_genre_or_with_a_broken_duration_stays_a_track(spark: SparkSession) -> None:
    rows = spark.createDataFrame(
        [
            ("1", "t1", None, None, "3 min", None),
            ("2", "t2", "n", "a", "180000", "  "),
            ("3", "t3", " n ", " a", "1e3", " g\t  "),
        ],
        SONG_SCHEMA,
    )
    found = {song.track_id: (song.track_name, song.duration_ms, song.track_genre) for song in songs(rows).collect()}
    assert found["t1"] == (None, None, "unknown")
    assert found["t2"] == ("n", Decimal(180000), "unknown")
    assert found["t3"] == (" n ", 1000, " g\t")  # without the spaces at its end, which Redshift would not see


def test_an_age_outside_0_to_130_is_no_age(spark: SparkSession) -> None:
    ages = {"a": "0", "b": "130", "c": "131", "d": "-1", "e": "old", "f": None, "g": " 25 ", "h": "", "i": "25.9"}
    rows = spark.createDataFrame(list(ages.items()), "user_id string, user_age string")
    found = {user.user_id: user.user_age for user in users(rows).collect()}
    assert found == {"a": 0, "b": 130, "c": None, "d": None, "e": None, "f": None, "g": 25, "h": None, "i": 25}
