"""The KPI tables on a day small enough to be worked out by hand."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import pytest

from contract.kpi_tables import KPI_TABLES, kpi_table
from glue_jobs.kernel import connection, text_of
from glue_jobs.kpis import columns_of

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


def kpi_rows(table: str, events: Sequence[str], parts: int = 1) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rows of a KPI table by key, of events written as `user track time`.

    A time is `HH:MM` of the day, or a whole timestamp. The users are dealt out to so many parts.
    """
    fields = [event.split(" ", 2) for event in events]
    users = sorted({user for user, _, _ in fields})
    with connection() as (database, _):
        _fill(database)
        for part in range(parts):
            of_part = [
                (user, track, f"{DAY} {time}:00" if len(time) == 5 else time)
                for user, track, time in fields
                if users.index(user) % parts == part
            ]
            database.execute(
                "create or replace temp table events (user_id varchar, track_id varchar, listen_time timestamp)"
            )
            if of_part:
                database.executemany("insert into events values (?, ?, ?)", of_part)
            partial = text_of(f"kpis/{table}/partial.sql")
            database.execute(f"insert into partials {partial}" if part else f"create temp table partials as {partial}")
        rows = database.sql(text_of(f"kpis/{table}/final.sql")).to_arrow_table().to_pylist()
    key = kpi_table(table).key
    found = {tuple(row[name] for name in key): row for row in rows}
    assert len(found) == len(rows)
    return found


def _fill(database: duckdb.DuckDBPyConnection) -> None:
    columns = "track_id varchar, track_name varchar, artists varchar, duration_ms decimal(20, 3), track_genre varchar"
    database.execute(f"create temp table songs ({columns})")
    typed = [(*track[:3], None if track[3] is None else Decimal(track[3]), track[4]) for track in TRACKS]
    database.executemany("insert into songs values (?, ?, ?, ?, ?)", typed)
    database.execute("create temp table users (user_id varchar, user_age smallint)")
    database.executemany("insert into users values (?, ?)", USERS)


def genre_rows(events: Sequence[str], parts: int = 1) -> dict[tuple[Any, ...], dict[str, Any]]:
    return kpi_rows("genre_level_kpis", events, parts)


def hourly_rows(events: Sequence[str], parts: int = 1) -> dict[tuple[Any, ...], dict[str, Any]]:
    return kpi_rows("hourly_kpis", events, parts)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_genre_kpis_of_a_day_worked_out_by_hand(parts: int) -> None:
    rows = genre_rows(
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
        parts,
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


def test_dates_do_not_touch_each_other() -> None:
    rows = genre_rows(["u1 t1 23:59", f"u1 t1 {NEXT_DAY} 00:00:00", f"u2 t3 {NEXT_DAY} 00:00:01"])
    shares = {key: row["popularity_index"] for key, row in rows.items()}
    assert shares == {(DAY, "pop"): 1.0, (NEXT_DAY, "pop"): 0.5, (NEXT_DAY, "rock"): 0.5}


def test_of_tracks_played_equally_often_the_smallest_id_is_most_popular() -> None:
    rows = genre_rows(["u1 t2 10:00", "u1 t1 10:00", "u1 x 10:00", "u1 B 10:00", "u1 a 10:00"])
    assert rows[DAY, "pop"]["most_popular_track_id"] == "t1"
    assert rows[DAY, "unknown"]["most_popular_track_id"] == "B"


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_hourly_kpis_of_an_hour_worked_out_by_hand(parts: int) -> None:
    rows = hourly_rows(
        ["u1 t1 10:00", "u1 t1 10:30", "u2 t2 10:59", "u4 t3 10:59", "u3 gone 10:01", "u1 t1 11:00"], parts
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


def test_a_track_that_several_parts_play_is_one_track() -> None:
    assert hourly_rows(["u1 t1 10:00", "u2 t1 10:00"], parts=2)[DAY, 10]["diversity_index"] == 0.5


def test_of_artists_played_equally_often_the_first_by_code_point_leads() -> None:
    row = hourly_rows(["u1 t5 10:00", "u1 t2 10:00"])[DAY, 10]
    assert (row["top_artist"], row["top_artist_listen_count"]) == ("ZZ", 1)


def test_of_age_groups_that_play_equally_much_the_younger_leads() -> None:
    assert hourly_rows(["u3 t1 10:00", "u2 t1 10:00"])[DAY, 10]["most_engaged_age_group"] == "18-25"


def test_without_a_known_track_or_age_there_is_no_leader() -> None:
    row = hourly_rows(["u4 gone 10:00", "u9 t4 10:00"])[DAY, 10]
    assert (row["top_artist"], row["top_artist_listen_count"], row["most_engaged_age_group"]) == (None, None, None)


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "<18"), (17, "<18"), (18, "18-25"), (25, "18-25"), (26, "26-35"), (35, "26-35"), (36, "36-45"),
        (45, "36-45"), (46, "46-55"), (55, "46-55"), (56, "56-65"), (65, "56-65"), (66, "66+"), (130, "66+"),
    ],
)  # fmt: skip
def test_every_age_has_its_band(monkeypatch: pytest.MonkeyPatch, age: int, band: str) -> None:
    monkeypatch.setitem(globals(), "USERS", [("u1", age)])
    assert hourly_rows(["u1 t1 10:00"])[DAY, 10]["most_engaged_age_group"] == band


@pytest.mark.parametrize("table", KPI_TABLES, ids=lambda table: table.name)
def test_the_key_of_a_table_is_among_what_its_parts_are_combined_by_or_within(table: Any) -> None:
    names = columns_of(table).names
    assert names[: len(table.key)] == list(table.key)
    assert set(table.combined_by) <= set(table.key)
