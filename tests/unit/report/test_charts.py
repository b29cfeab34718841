"""What each chart draws for what its reader has chosen, by the Vega that the page carries."""

import html
import json
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

import vl_convert

from report.charts import charts
from report.figures import Figures, columns
from tests.unit.report.made_up import AGES, figures, rows

SHOWN = figures(16, ["rock", "jazz", "unknown"], without=[date(2024, 6, 20)])


def drawn(name: str, chosen: Mapping[str, Any], shown: Figures = SHOWN) -> list[dict[str, str]]:
    """What a chart says of each of its marks to who cannot see it: `{"Plays": "3,000", …}`."""
    chart = charts(shown.genre_names, AGES)[name]
    values = {
        "first": "2024-06-15",
        "last": "2024-06-30",
        "newest": "2024-06-23",
        "genre": None,
        "colour": "red",
        **chosen,
    }
    chart["params"] = [{**param, "value": values[param["name"]]} for param in chart["params"]]
    chart["datasets"] = {"genres": rows(columns(shown.genres)), "hours": rows(columns(shown.hours))}
    svg = vl_convert.vegalite_to_svg(json.dumps({**chart, "width": 400}), vl_version="6.4")
    labels = re.findall(r'aria-label="([^"]*)" role="graphics-symbol" aria-roledescription="(?:bar|rect|point)', svg)
    return [dict(part.split(": ", 1) for part in html.unescape(label).split("; ")) for label in labels]


def test_plays_are_of_all_genres_or_of_the_chosen_one_within_the_chosen_dates() -> None:
    bars = drawn("plays", {"first": "2024-06-18"})
    assert [bar["Day (UTC)"] for bar in bars] == [f"2024-06-{day}" for day in range(18, 31) if day != 20]
    last = [row.plays for row in SHOWN.genres if str(row.listen_date) == "2024-06-30"]
    assert bars[-1]["Plays"] == f"{sum(last):,}"
    (bar,) = drawn("plays", {"first": "2024-06-30", "genre": "jazz"})
    assert bar["Plays"] == "1,104"


def test_listeners_are_the_genres_or_those_of_the_busiest_hour() -> None:
    assert [point["Listeners"] for point in drawn("listeners", {"first": "2024-06-30"})] == ["63"]
    assert [point["Listeners"] for point in drawn("listeners", {"first": "2024-06-30", "genre": "rock"})] == ["552"]


def test_genres_are_compared_over_the_7_days_to_the_last_chosen_one() -> None:
    def plays(genre: str, first: str, last: str) -> int:
        return sum(
            row.plays for row in SHOWN.genres if row.track_genre == genre and first <= str(row.listen_date) <= last
        )

    rock, jazz = drawn("genres", {"last": "2024-06-29"})
    now, before = plays("rock", "2024-06-23", "2024-06-29"), plays("rock", "2024-06-16", "2024-06-22")
    of_all = sum(plays(genre, "2024-06-23", "2024-06-29") for genre in ("rock", "jazz", "unknown"))
    assert rock == {
        **rock,
        "Genre": "rock",
        "Share": f"{now / of_all:.2%}",
        "Plays": f"{now:,}",
        "Plays, week before": f"{before:,}",
        "Change": f"{now / before - 1:+.1%}",
    }
    assert jazz["Genre"] == "jazz"


def test_of_many_genres_the_largest_are_drawn_and_the_chosen_one() -> None:
    many = figures(2, [f"genre {number:03}" for number in range(500)])
    bars = drawn("genres", {"genre": "genre 321"}, many)
    assert [bar["Genre"] for bar in bars] == [*(f"genre {number:03}" for number in range(12)), "genre 321"]


def test_the_heat_map_is_of_plays_per_day() -> None:
    cells = drawn("weekdays", {})
    assert len(cells) == 7 * 24
    plays = [row.plays for row in SHOWN.hours if row.listen_date.weekday() == 3 and row.listen_hour == 9]
    (cell,) = [cell for cell in cells if (cell["Weekday"], cell["Hour (UTC)"]) == ("Thu", "9")]
    assert (cell["Days"], cell["Mean plays per day"]) == (str(len(plays)), f"{sum(plays) / len(plays):,.1f}")


def test_diversity_is_weighted_by_plays() -> None:
    (point,) = drawn("diversity", {"first": "2024-06-30"})
    last = [row for row in SHOWN.hours if str(row.listen_date) == "2024-06-30"]
    assert point["Diversity"] == f"{sum(r.plays * r.diversity_index for r in last) / sum(r.plays for r in last):.3f}"


def test_ages_share_each_hour() -> None:
    bars = drawn("ages", {})
    assert {bar["Age in years"] for bar in bars} == set(AGES)
    assert [(bar["Days led"], bar["Share of days"]) for bar in bars if bar["Hour (UTC)"] == "5"] == [("15", "100%")]


def test_the_artists_that_led_most_hours_are_drawn() -> None:
    bars = drawn("artists", {})
    assert len(bars) == 10
    assert {(bar["Hours led"], bar["Days with such an hour"]) for bar in bars} == {("30", "15")}
