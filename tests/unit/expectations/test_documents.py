"""A report as files: for programs, and for people."""

import json
import posixpath
import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import NoReturn

import pytest

from expectations.documents import documents
from expectations.report import Ignored, ValidationReport
from tests.unit.expectations.landed import SONGS, STREAM, stream, validate

NASTY = "<script>alert('x')</script>&amp;$name ${icon} {{ 7*7 }} {count} é\U0001f3b5"
NAMES = ("user_streams/a b.csv", "user_streams/a_b.csv", "user_streams/a%b+é?.csv", f"user_streams/{NASTY}.csv")


@pytest.fixture(scope="module")
def report() -> ValidationReport:
    """A run full of markup."""
    return validate(
        *(stream(STREAM, name) for name in NAMES[:3]),
        stream(f"user_id,{NASTY}\n1,2\n{NASTY}\n".encode(), NAMES[3]),
        stream(f"user_id,track_id,listen_time\n1,track-1,{NASTY}\n1,{NASTY},2024-06-25 17:43:13\n".encode()),
        songs=SONGS + f"10,track-1,,T,{NASTY},-1,pop\n".encode(),
        ignored=[Ignored(NASTY, "stays")],
    )


def refuse_constant(name: str) -> NoReturn:
    raise AssertionError(f"{name} is no JSON")


class Page(HTMLParser):
    """What a browser makes of a page: its tags, what it would fetch, and its visible text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_results_and_summary_are_strict_json(report: ValidationReport) -> None:
    found = documents(report)

    results = json.loads(found["results.json"][0], parse_constant=refuse_constant)
    summary = json.loads(found["summary.json"][0], parse_constant=refuse_constant)

    assert found["results.json"][1] == found["summary.json"][1] == "application/json"
    assert set(results) == {"files", "songs", "users", "user_streams"}
    assert (summary["passed"], summary["message"]) == (False, report.summary())
    assert summary["time"] == "2024-06-26T00:00:03.123456+00:00"
    messages = [
        problem["message"] for part in (*summary["files"], summary["stream_rows"]) for problem in part["problems"]
    ]
    assert messages == [problem.message for problem in report.problems]
    assert summary["ignored"] == [{"key": NASTY, "reason": "stays"}]
    keys = {"name", "dataset", "passed", "rows", "columns", "line_per_record", "compression", "header", "problems"}
    assert all(set(file) == keys for file in summary["files"])


def test_the_front_page_names_every_problem_and_leads_to_the_data_docs(report: ValidationReport) -> None:
    found = documents(report)

    page = Page(found["index.html"][0])

    assert page.links == ["data_docs/index.html", "results.json", "summary.json"]
    assert set(page.links) <= set(found)
    for text in [*(file.name for file in report.files), *(problem.message for problem in report.problems), NASTY]:
        assert text in page.text


def test_data_docs_are_those_of_great_expectations(report: ValidationReport) -> None:
    found = documents(report)

    index = found["data_docs/index.html"][0]
    validations = [key for key in found if re.fullmatch(r"data_docs/validations/\w+/.*\.html", key)]

    assert {key.split("/")[2] for key in validations} == {"files", "songs", "users", "user_streams"}
    assert all(key.removeprefix("data_docs/").encode() in index for key in validations)
    assert all(content_type.startswith("text/html") for key, (_, content_type) in found.items() if "html" in key)
    suite = Page(found["data_docs/expectations/user_streams.html"][0]).text
    assert "curation rejects such rows" in suite
    assert "names the files and lines" in suite


def test_the_files_beside_the_front_page_are_those_that_the_pages_lead_to(report: ValidationReport) -> None:
    found = documents(report)

    led_to = {
        posixpath.normpath(posixpath.join(posixpath.dirname(key), link))
        for key, (content, _) in found.items()
        if key.endswith(".html")
        for link in Page(content).links
        if not link.startswith(("http", "#"))
    }

    # In the pages of results, Great Expectations names the icon's place one folder too low.
    assert led_to - set(found) == {"data_docs/validations/static/images/favicon.ico"}
    # The index lists the pages of results in a script.
    assert [key for key in set(found) - led_to if not key.endswith(".html")] == []


def test_no_page_takes_a_value_for_markup(report: ValidationReport) -> None:
    for key, (content, content_type) in documents(report).items():
        if content_type.startswith("text/html"):
            assert b"<script>alert" not in content, key
    (rows,) = (
        Page(content).text
        for key, (content, _) in documents(report).items()
        if key.startswith("data_docs/validations/songs/")
    )
    assert NASTY.replace("{{ 7*7 }}", "")[:20] in rows


def test_the_summary_for_people_tells_errors_first_and_the_way_out(report: ValidationReport) -> None:
    lines = report.summary().splitlines()

    kinds = [line.split()[0] for line in lines]
    assert lines[0].startswith("Validation of 7 files failed: 1 error in 1 file, ")
    assert kinds[1:-1] == sorted(kinds[1:-1], key=["ERROR", "warning", "left"].index)
    assert kinds[1] == "ERROR"
    assert lines[-1].startswith("Way out: ")


def test_a_run_that_moved_the_refused_files_aside_has_passed_and_says_so() -> None:
    bad = stream(b"", "user_streams/empty.csv")
    report = replace(validate(stream(STREAM), bad), moves_refused=True)

    page = Page(documents(report)["index.html"][0].partition(b"<body>")[2]).text
    summary = report.summary()

    assert json.loads(documents(report)["summary.json"][0])["passed"] is True
    assert "passed Validation of" in page
    assert "without what was refused: 1 of 4 files." in page
    assert "user_streams/empty.csv is empty" in page
    assert summary.startswith("Validation of 4 files passed, but for 1 refused file: 1 error in 1 file, 0 warnings\n")
    assert "refused user_streams/empty.csv is empty" in summary
    for misleading in ("failed", "land it", "Way out"):
        assert misleading not in page + summary


def test_plays_before_the_sign_up_are_a_number_in_the_results_and_hide_no_warning() -> None:
    rows = b"1,track-1,2023-06-25 17:43:13\n" * 5 + b"nobody,track-1,2024-06-25 17:43:13\n"
    report = validate(stream(b"user_id,track_id,listen_time\n" + rows))

    page = Page(documents(report)["index.html"][0]).text

    assert "before the user's created_at" not in report.summary()
    assert "1 warning\n" in report.summary()
    assert page.index("nobody") < page.index("before the user's created_at in 5 of 6 rows")


def test_a_file_that_lacks_many_columns_is_reported_in_one_sentence() -> None:
    report = validate(stream(STREAM), songs=b"track;artists\n1;A\n")

    (problem,) = report.problems
    assert problem.message == (
        "songs.csv: columns 'track_id', 'artists', 'track_name', 'duration_ms' and 'track_genre' are missing "
        "(has: track;artists): it is separated by semicolons, CSV takes commas"
    )


def test_a_summary_of_very_many_problems_stays_readable() -> None:
    report = validate(*(stream(b"", f"user_streams/{number}.csv") for number in range(60)))

    lines = report.summary().splitlines()

    assert sum(len(file.errors) for file in report.files) == 60
    assert len(lines) < 60
    assert lines[-2] == "ERROR   and 10 more: see the validation's results"
