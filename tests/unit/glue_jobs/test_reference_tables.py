"""Songs and users as the KPI jobs see them, and the macros that read them."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from glue_jobs.kernel import connection, text_of
from glue_jobs.reference_tables import SONG_COLUMNS, USER_COLUMNS


def prepared(query: str, columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> list[dict[str, Any]]:
    with connection() as (database, _):
        database.execute(f"create temp table landed_rows ({', '.join(f'{name} varchar' for name in columns)})")
        database.executemany(f"insert into landed_rows values ({', '.join('?' * len(columns))})", rows)
        found: list[dict[str, Any]] = database.sql(text_of(query)).to_arrow_table().to_pylist()
        return found


def songs(*rows: Sequence[str | None]) -> list[dict[str, Any]]:
    return prepared("songs.sql", SONG_COLUMNS, rows)


def test_of_a_repeated_track_the_lowest_id_counts_as_a_number() -> None:
    (song,) = songs(
        ("10", "t1", "ten", "a", "10", "g10"),
        ("9", " t1 ", "nine", "b", "9", "g9"),
        (None, "t1", "none", "c", "8", "g8"),
        ("x", "t1", "a", "d", "7", "g7"),
    )
    assert song == {
        "track_id": "t1",
        "track_name": "nine",
        "artists": "b",
        "duration_ms": Decimal(9),
        "track_genre": "g9",
    }


def test_a_track_without_genre_or_with_a_broken_duration_stays_a_track() -> None:
    rows = songs(
        ("1", "t1", None, None, "3 min", None),
        ("2", "t2", "n", "a", "180000", "  "),
        ("3", "t3", " n ", " a", "1e3", " g\t  "),
    )
    found = {song["track_id"]: (song["track_name"], song["duration_ms"], song["track_genre"]) for song in rows}
    assert found["t1"] == (None, None, "unknown")
    assert found["t2"] == ("n", Decimal(180000), "unknown")
    assert found["t3"] == (" n ", 1000, " g\t")  # without the spaces at its end, which Redshift would not see


def test_an_age_outside_0_to_130_is_no_age() -> None:
    ages = {"a": "0", "b": "130", "c": "131", "d": "-1", "e": "old", "f": None, "g": " 25 ", "h": "", "i": "25.9"}
    found = {user["user_id"]: user["user_age"] for user in prepared("users.sql", USER_COLUMNS, list(ages.items()))}
    assert found == {"a": 0, "b": 130, "c": None, "d": None, "e": None, "f": None, "g": 25, "h": None, "i": 25}


def test_text_is_cut_to_bytes_at_a_character() -> None:
    expected = {
        "short": "short",
        "éééé": "ééé",
        "aéééé": "aéé",
        "曲曲曲": "曲曲",
        "🎵🎵": "🎵",
        "abcde🎵": "abcde",
        "abcdefg": "abcdef",
        "a\0b\uffff": "ab",
        "": "",
    }
    with connection() as (database, _):
        found = [database.execute("select fit(?, 6)", [text]).fetchall() for text in expected]
    assert found == [[(text,)] for text in expected.values()]


def test_numbers_are_ascii_and_count_to_a_thousandth() -> None:
    expected = {
        " 5\t": "5.000",
        "\v-0.5\f": "-0.500",
        "+05.": "5.000",
        ".5e3": "500.000",
        "1.8E+5": "180000.000",
        "1e-9": "0.000",
        "0.0005": "0.001",
        "-0.0005": "-0.001",
        "1.0005e0": "1.001",
        "9" * 20: f"{'9' * 20}.000",
        "9" * 21: None,
        "1e99": None,
        "1e-999999999": None,
        "": None,
        "1 2": None,
        "1,5": None,
        "1_0": None,
        "0x1": None,
        "NaN": None,
        "Infinity": None,
        "1d": None,
        "٣": None,
        "\uff11": None,
        "1\u2028": None,
        "1\n2": None,
    }
    with connection() as (database, _):
        found = [database.execute("select cast(as_number(?) as varchar)", [text]).fetchall() for text in expected]
    assert found == [[(number,)] for number in expected.values()]
