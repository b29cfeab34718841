"""The titles of the charts say what is true."""

from datetime import date, timedelta

import pytest

from report.figures import Figures, GenreOfDate, HourOfDate
from report.findings import findings

LAST = date(2024, 6, 30)


def week(plays: int, *, before: int = 0, genre: str = "rock", days: int = 7) -> list[GenreOfDate]:
    """As many plays of a genre on each of two weeks' days; of the last week `days` have any."""
    return [
        GenreOfDate(LAST - timedelta(days=age), genre, plays if age < 7 else before, 1)
        for age in reversed(range(14))
        if (plays and age < days) or (before and age >= 7)
    ]


def hour(day: date, hour: int, plays: int, artist: str | None = None, diversity: float = 0.5) -> HourOfDate:
    return HourOfDate(day, hour, plays, plays, diversity, artist, None)


def titles(genres: list[GenreOfDate], hours: list[HourOfDate] | None = None) -> dict[str, str]:
    return findings(Figures(genres, hours or [hour(LAST, 0, 1)]))


@pytest.mark.parametrize(
    ("genres", "title"),
    [
        (week(110, before=100), "Plays rose 10.0% in the 7 days to 30 June 2024"),
        (week(50, before=100), "Plays fell 50.0% in the 7 days to 30 June 2024"),
        (week(1000, before=1001), "Plays stayed level in the 7 days to 30 June 2024"),
        (
            week(10, before=10, days=3),
            "Plays fell 57.1% in the 7 days to 30 June 2024 (3 with plays, 7 the week before)",
        ),
        (week(1000), "7,000 plays in the 7 days to 30 June 2024"),
    ],
)
def test_plays_are_compared_with_the_week_before_where_there_was_one(genres: list[GenreOfDate], title: str) -> None:
    assert titles(genres)["plays"] == title


def test_the_genre_that_leads_need_not_be_the_one_that_gained() -> None:
    genres = sorted([*week(60, before=70), *week(30, before=10, genre="jazz"), *week(10, genre="unknown")])
    assert titles(genres)["genres"] == (
        "rock led the 7 days to 30 June 2024 with 60.0% of plays; jazz gained most, 140 plays"
    )


def test_a_weekdays_mean_counts_its_days_without_plays_in_the_hour() -> None:
    monday = date(2024, 6, 17)
    hours = [hour(monday, 8, 100), hour(monday + timedelta(days=1), 9, 90), hour(monday + timedelta(days=7), 7, 1)]
    assert titles(week(1), hours)["weekdays"] == "Tuesdays at 09:00 UTC are busiest: 90 plays a day"


def test_diversity_is_weighted_by_plays_and_compared_with_the_date_before() -> None:
    hours = [
        hour(LAST - timedelta(days=2), 1, 5, diversity=0.5),
        hour(LAST, 1, 1, diversity=1),
        hour(LAST, 2, 3, diversity=0.2),
    ]
    assert titles(week(1), hours)["diversity"] == "Diversity was 0.400 on 30 June 2024, 0.100 below 28 June 2024"


def test_what_is_unknown_is_said_to_be() -> None:
    found = titles(week(1, genre="unknown"))
    assert found["ages"] == "No listener's age is known"
    assert found["artists"] == "No artist is known of what was played"
    assert found["genres"] == "No genre is known of what was played in the 7 days to 30 June 2024"
