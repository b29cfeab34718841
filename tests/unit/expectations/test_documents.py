import json
import re
from html.parser import HTMLParser
from typing import NoReturn

from expectations.report import ValidationReport
from tests.unit.expectations.landed import SONGS, STREAM, stream, validate

NASTY = "<script>alert('x')</script>&amp;$name ${icon} {{ 7*7 }} é\U0001f3b5"


def nasty_report() -> ValidationReport:
    return validate(
        stream(f"user_id,track_id,listen_time\n1,track-1,{NASTY}\n1,{NASTY},2024-06-25 17:43:13\n".encode()),
        stream(f"user_id,{NASTY}\n1,2\n{NASTY}\n".encode(), f"user_streams/{NASTY}.csv"),
        songs=SONGS + f"10,track-1,,T,{NASTY},-1,pop\n".encode(),
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


def pages(report: ValidationReport) -> dict[str, Page]:
    return {key: Page(content) for key, (content, _) in report.as_documents().items() if key.endswith(".html")}


def test_results_and_summary_are_strict_json() -> None:
    documents = nasty_report().as_documents()

    results = json.loads(documents["results.json"][0], parse_constant=refuse_constant)
    summary = json.loads(documents["summary.json"][0], parse_constant=refuse_constant)

    assert documents["results.json"][1] == documents["summary.json"][1] == "application/json"
    assert list(results) == [file["name"] for file in summary["files"]]
    songs = results["songs.csv"]
    assert songs["suite_name"] == "songs"
    [negative] = [part for part in songs["results"] if part["result"].get("partial_unexpected_list") == [-1]]
    assert negative["expectation_config"]["type"] == "expect_column_values_to_be_between"
    assert negative["result"]["unexpected_count"] == 1


def test_the_summary_tells_all_problems_by_file() -> None:
    report = nasty_report()

    summary = json.loads(report.as_documents()["summary.json"][0])

    assert summary["passed"] is False
    assert summary["time"] == "2024-06-26T00:00:03.123456+00:00"
    assert summary["message"] == report.summary()
    told = [problem["message"] for file in summary["files"] for problem in file["problems"]]
    assert told == [problem.message for problem in report.problems]


def test_the_index_leads_to_a_page_for_each_file() -> None:
    report = validate(
        stream(STREAM, "user_streams/a b.csv"),
        stream(STREAM, "user_streams/a_b.csv"),
        stream(STREAM, "user_streams/a%b+é?.csv"),
        stream(STREAM, "index"),
        stream(STREAM, ".csv"),
    )

    documents = report.as_documents()

    index = Page(documents["index.html"][0])
    assert set(index.links) == set(documents) - {"index.html"}
    assert len(documents) == 3 + len(report.files)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", key) for key in documents)
    for file in report.files:
        assert file.name in index.text


def test_pages_need_nothing_beside_them() -> None:
    for page in pages(nasty_report()).values():
        assert not {"script", "link", "img", "iframe"} & set(page.tags)
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", link) for link in page.links)


def test_pages_show_values_and_names_as_text_never_as_markup() -> None:
    report = nasty_report()
    for (key, page), name in zip(pages(report).items(), ["", *(file.name for file in report.files)], strict=True):
        assert "script" not in page.tags, key
        assert name in page.text

    stream_page = pages(report)["user_streams-2024-06-25.csv.html"]
    assert stream_page.text.count(NASTY) >= 4  # both values, in the message and in Great Expectations' table


def test_pages_are_those_of_great_expectations() -> None:
    page = pages(validate(STREAM))["user_streams-2024-06-25.csv.html"]

    for text in ("Statistics", "Evaluated Expectations", "Table-Level Expectations", "listen_time", "100% not null"):
        assert text in page.text


def test_pages_tell_the_lines_on_which_something_is_missing() -> None:
    page = pages(validate(STREAM, songs=SONGS + b"10,,A,T,1,1,pop\n"))["songs.csv.html"]

    assert "Values must not be missing." in page.text
    assert page.text.count("line 11") == 2  # in the message and in Great Expectations' table


def test_the_summary_for_people_tells_errors_first_and_the_way_out() -> None:
    lines = nasty_report().summary().splitlines()

    kinds = [line.split()[0] for line in lines]
    assert lines[0].startswith("Validation of 4 files failed: 2 errors in 1 file, ")
    assert kinds[1:-1] == sorted(kinds[1:-1])
    assert kinds[1] == "ERROR"
    assert lines[-1].startswith("Way out: ")


def test_the_summary_of_a_good_batch_is_one_line() -> None:
    assert validate(STREAM).summary() == "Validation of 3 files passed: 0 warnings"


def test_a_summary_of_very_many_problems_stays_readable() -> None:
    report = validate(*(stream(b"", f"user_streams/{number}.csv") for number in range(60)))

    lines = report.summary().splitlines()

    assert len(lines) < 60
    assert lines[-2] == "ERROR   and 10 more: see the validation's results"
