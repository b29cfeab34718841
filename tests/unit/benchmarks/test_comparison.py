"""Nothing that one contestant computes otherwise passes for the same."""

from dataclasses import replace

import pyarrow as pa
import pytest

from benchmarks.comparison import differences
from benchmarks.contestants import Results

GENRES = [
    {"listen_date": "2024-06-25", "track_genre": "pop", "listen_count": 3, "average_duration": 0.1 + 0.2},
    {"listen_date": "2024-06-25", "track_genre": "unknown", "listen_count": 1, "average_duration": None},
]
HOURS = [{"listen_date": "2024-06-25", "listen_hour": 7, "listen_count": 4}]


def results(genres: list[dict[str, object]]) -> Results:
    tables = {"genre_level_kpis": pa.Table.from_pylist(genres), "hourly_kpis": pa.Table.from_pylist(HOURS)}
    return Results(tables, {"2024-06-25": 4}, {"track_id is missing": 1})


def test_the_same_rows_in_another_order_are_the_same() -> None:
    assert differences(results(GENRES), results(GENRES[::-1])) == []


def test_a_double_may_differ_by_rounding_only() -> None:
    assert differences(results(GENRES), results([GENRES[0] | {"average_duration": 0.3}, GENRES[1]])) == []
    assert len(differences(results(GENRES), results([GENRES[0] | {"average_duration": 0.3001}, GENRES[1]]))) == 1


@pytest.mark.parametrize(
    "theirs",
    [
        GENRES[:1],
        [*GENRES, GENRES[0] | {"track_genre": "rock"}],
        [*GENRES, GENRES[0]],
        [GENRES[0] | {"listen_count": 4}, GENRES[1]],
        [GENRES[0], GENRES[1] | {"average_duration": 0.5}],
    ],
    ids=["a row less", "a row more", "a row twice", "another count", "a value for none"],
)
def test_other_rows_are_reported(theirs: list[dict[str, object]]) -> None:
    assert differences(results(GENRES), results(theirs)) != []


def test_other_counts_of_rows_are_reported() -> None:
    ours = results(GENRES)
    assert len(differences(ours, replace(ours, accepted={"2024-06-25": 5}))) == 1
    assert len(differences(ours, replace(ours, rejected={}))) == 1
