"""The page is one file that asks for no other, small, quick, and right for whatever the marts hold."""

import re
import time
from datetime import UTC, date, datetime

import pytest

from report.figures import Figures
from report.findings import NOTHING, findings
from report.page import page
from tests.unit.report.made_up import LAST, Page, figures, rows

MADE = datetime(2024, 7, 1, 5, 30, tzinfo=UTC)
SCRIPT = "<script>alert('ha')</script>"
RUN = {
    "batch_id": "20240701T000000Z-1a2b3c4d",
    "run_id": "scheduled",
    "ended_at": "2024-07-01T00:04:51+00:00",
    "events_landed": 34000,
    "accepted": 33458,
    "rejected": {"track_id is missing": 30, "<b>": 4},
    "late_events": 612,
    "refused_files": ["music_streams/user_streams/broken.csv"],
    "left_lying": ["music_streams/user-streams/a.csv", "music_streams/b.txt"],
    "events_by_date": {"2024-06-30": 33458},
}


def test_90_days_of_114_genres_are_within_2_megabytes_and_10_seconds() -> None:
    shown = figures(90, [f"genre {number}" for number in range(114)])
    began = time.process_time()
    made = page(shown, [RUN] * 10, MADE)
    seconds = time.process_time() - began
    print(f"{len(made.encode()):,} bytes in {seconds:.1f} CPU seconds")
    assert len(made.encode()) < 2_000_000
    assert seconds < 10


def test_the_page_asks_nobody_for_anything() -> None:
    found = Page(page(figures(3, ["rock"]), [RUN], MADE))
    assert not [tag for tag, attributes in found.elements if attributes.keys() & {"src", "href", "action", "data"}]
    assert {tag for tag, _ in found.elements}.isdisjoint({"link", "iframe", "img", "object", "base"})
    (policy,) = [attributes["content"] for _, attributes in found.elements if "http-equiv" in attributes]
    assert policy == (
        "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"
    )


def test_airflows_plugin_finds_the_end_of_the_head_once() -> None:
    assert page(figures(1, ["rock"]), [], MADE).count("</head>") == 1, "it puts a script before each"


def test_the_page_holds_each_figure_of_the_views() -> None:
    shown = figures(9, ["rock", "jazz"], without=[date(2024, 6, 25)])
    found = Page(page(shown, [], MADE))
    assert found.rows("genres") == [
        {**row._asdict(), "listen_date": row.listen_date.isoformat()} for row in shown.genres
    ]
    assert found.rows("hours") == [{**row._asdict(), "listen_date": row.listen_date.isoformat()} for row in shown.hours]
    now = [row for row in shown.genres if row.listen_date > date(2024, 6, 23)]
    assert found.texts["plays-of-the-week"] == f"{sum(row.plays for row in now):,}"
    assert found.texts["plays-of-the-day"] == f"{sum(row.plays for row in now if row.listen_date == LAST):,}"


def test_names_are_text_whatever_they_hold() -> None:
    hostile = [SCRIPT, "</script>", "{{ x }}", "$style", "\u2028", "'\"&", "a\\u003cb", "x" * 256]
    found = Page(page(figures(8, hostile), [RUN], MADE))
    tags = [tag for tag, _ in found.elements]
    assert tags.count("script") == 3
    assert tags.count("option") == 1 + len(hostile)
    assert {row["track_genre"] for row in found.rows("genres")} == {*hostile[:-1], "x" * 99 + "…"}
    assert any(title.startswith(f"{SCRIPT} led") for title in found.titles)
    assert "b" not in tags


@pytest.mark.parametrize("shown", [Figures([], []), Figures([], figures(1, ["rock"]).hours)], ids=["none", "half"])
def test_without_plays_the_page_says_so(shown: Figures) -> None:
    found = Page(page(shown, [], MADE))
    assert found.content["charts"] == {}
    assert [attributes for tag, attributes in found.elements if tag == "form"] == [{"hidden": None}]
    assert set(findings(shown).values()) == {NOTHING}


def test_one_day_of_one_genre_makes_a_page() -> None:
    found = Page(page(figures(1, ["unknown"]), [], MADE))
    assert found.titles == [
        "1,000 plays in the 7 days to 30 June 2024",
        "No genre is known of what was played in the 7 days to 30 June 2024",
        "Sundays at 23:00 UTC are busiest: 50 plays a day",
        "Most listen at 23:00 UTC on 30 June 2024: 63 in one hour",
        "Diversity was 0.615 on 30 June 2024",
        "Ages <18 led 17% of the hours",
        "artist 9 led most hours: 2 of 24",
    ]


def test_500_genres_have_a_colour_each_and_it_is_the_same_in_all_charts() -> None:
    names = [f"genre {number:03}" for number in range(500)]
    content = Page(page(figures(2, names), [], MADE)).content
    assert content["colours"].keys() == {*names, "unknown"}
    assert len(set(content["colours"].values())) > 300
    scales = re.findall(r'"scale": ?\{"domain": ?\[.*?\]', str(content["charts"]["genres"]).replace("'", '"'))
    assert len(scales) == 1


def test_the_table_tells_what_the_last_runs_took_in() -> None:
    made = page(figures(1, ["rock"]), [RUN], MADE)
    cells = re.findall(r"<td>(.*?)</td>", made)
    assert cells == [
        "2024-07-01 00:04",
        "34,000",
        "33,458",
        "34 <small>&lt;b&gt; 4; track_id is missing 30</small>",
        "612",
        "1",
        "2",
        "<code>20240701T000000Z-1a2b3c4d</code>",
    ]


def test_without_records_of_runs_there_is_no_table_of_them() -> None:
    found = Page(page(figures(1, ["rock"]), [], MADE))
    assert "table" not in [tag for tag, _ in found.elements]


def test_a_column_of_numbers_stays_and_one_of_texts_is_counted() -> None:
    assert rows({"plays": [3, 4], "genre": {"places": [0, 0], "values": ["rock"]}}) == [
        {"plays": 3, "genre": "rock"},
        {"plays": 4, "genre": "rock"},
    ]
