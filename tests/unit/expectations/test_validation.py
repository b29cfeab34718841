"""What validation reports of files and rows; files share a run where they can: each costs a second."""

import gzip
from collections import Counter
from datetime import datetime

import pytest

from expectations import rows as rows_module
from expectations.report import MAX_EXAMPLE_LENGTH, MAX_EXAMPLES, Ignored, LandedFile, ValidationReport
from expectations.validation import validate_files
from tests.integration.glue_jobs.malformed_input import FILES, ROWS, SONG_ROWS, USER_ROWS, Case, cases
from tests.unit.expectations.landed import (
    BATCH_TIME,
    SONGS,
    STREAM,
    USERS,
    Trickle,
    file_report,
    landed,
    only_stream,
    stream,
    validate,
)

HEADER = b"user_id,track_id,listen_time\n"
TIME = "2024-06-25 10:00:00"
REJECTS = "; curation rejects such rows"
REASONS = {
    "misplaced quote": "corrupt",
    "wrong number of fields": "corrupt",
    "repeated header": "corrupt",
    "forbidden character": "corrupt",
}


def messages(report: ValidationReport, name: str | None = None) -> list[str]:
    return [problem.message for problem in report.problems if name is None or problem.file == name]


def stream_of(*rows: str) -> bytes:
    return HEADER + "\n".join([*rows, ""]).encode()


@pytest.fixture(scope="module")
def of_the_page() -> ValidationReport:
    """One run with every malformed file and row of docs/malformed_input.md, but for whole reference files."""
    files = [stream(case.content(TIME=TIME), f"user_streams/{n}.csv") for n, case in enumerate(cases(FILES))]
    good = stream_of(*[f"u1,t1,{TIME}"] * 2)
    rows = [stream(good + case.content(TIME=TIME), f"user_streams/row-{n}.csv") for n, case in enumerate(cases(ROWS))]
    songs = [case.content(TRACK=f"k{n}", GENRE=f"g{n}") for n, case in enumerate(cases(SONG_ROWS))]
    users = [case.content(USER=f"k{n}") for n, case in enumerate(cases(USER_ROWS))]
    return validate(
        *files,
        *rows,
        songs=b"\n".join([b"id,track_id,artists,track_name,duration_ms,track_genre", *songs, b""]),
        users=b"\n".join([b"user_id,user_name,user_age,user_country,created_at", *users, b""]),
    )


@pytest.mark.parametrize(("number", "case"), [*enumerate(cases(FILES))], ids=lambda given: getattr(given, "name", ""))
def test_stream_files_are_refused_as_the_page_says(of_the_page: ValidationReport, number: int, case: Case) -> None:
    file, outcome = file_report(of_the_page, f"user_streams/{number}.csv"), case.outcomes[0]
    assert file.passed == (outcome.kind != "refused")
    if not file.passed:
        assert file.problems[0].message.removeprefix(file.name).lstrip(": ").startswith(outcome.reasons[0])
    else:
        assert file.rows == sum(outcome.kind != "no row" for outcome in case.outcomes)


def test_rows_are_warned_of_as_the_page_says(of_the_page: ValidationReport) -> None:
    reasons = [
        reason
        for section in (ROWS, FILES)
        for case in cases(section)
        for out in case.outcomes
        if out.kind == "rejected"
        for reason in out.reasons
    ]
    expected = Counter(REASONS.get(reason, reason) for reason in reasons)
    reported = Counter[str]()
    refused = {file.name for file in of_the_page.files if not file.passed}
    for problem in of_the_page.problems:
        if problem.file not in refused and REJECTS in problem.message and "user_streams" in problem.file:
            names = {"expect_column_pair_values_a_to_be_greater_than_b": "listen_time is in the future"}
            is_time = "no time like" in problem.message
            reason = "listen_time is not a timestamp" if is_time else f"{problem.column} is missing"
            reason = "corrupt" if problem.column is None else names.get(problem.expectation, reason)
            reported[reason] += problem.unexpected_count
    assert reported == expected


@pytest.mark.parametrize(("name", "section"), [("songs.csv", SONG_ROWS), ("users.csv", USER_ROWS)])
def test_rows_of_reference_tables_are_warned_of_as_the_page_says(
    of_the_page: ValidationReport, name: str, section: str
) -> None:
    reported = {
        problem.message.removeprefix(f"{name}: ").partition(" in ")[0]: problem.unexpected_count
        for problem in file_report(of_the_page, name).problems
    }
    assert reported == Counter(warning for case in cases(section) for warning in case.cells[1].split("; ") if warning)


@pytest.fixture(scope="module")
def mixed() -> ValidationReport:
    """One run with good files, bad ones and odd names."""
    return validate(
        stream(STREAM, "user_streams/good.csv"),
        landed("user_streams", "user_streams/A/B.CSV.GZ", gzip.compress(STREAM), piece=3),
        stream(gzip.compress(STREAM)[:-10], "user_streams/cut.csv.gz"),
        stream(HEADER, "user_streams/empty.csv"),
        stream(
            b"\xef\xbb\xbfextra, listen_time,track_id,user_id\r\nx,2024-06-25 17:43:13, track-1 ,\t1\r\n",
            "user_streams/bom.csv",
        ),
        stream(
            stream_of(
                "1,track-1,2023-12-31 23:59:59",
                "nobody,track-1,2024-06-25 17:43:13",
                "1,no-track,2024-06-25 17:43:13",
                "01,TRACK-1,2024-06-25 17:43:13",
                "1,track-1,2024-06-27 00:00:03",
                "1,track-1,2024-06-27 00:00:04",
                ",,",
                f"1,{'x' * 5000},never",
                "1,track-1",
                '1,"track-1,2024-06-25 17:43:13',
            ),
            "user_streams/odd.csv",
        ),
        songs=SONGS + b"0, track-1,A,T,1,1,pop\n",
        users=USERS + b",,,,\r\n,,\r\n",
    )


def test_a_file_with_dates_of_a_spreadsheet_is_one_message_and_its_rows_are_reported_nowhere_else() -> None:
    report = validate(
        stream(stream_of(*(f"nobody,no-track,7/{day}/2024 17:43" for day in range(1, 6))), "user_streams/excel.csv"),
        stream(STREAM),
    )
    assert [problem.message for problem in report.problems] == [
        (
            "user_streams/excel.csv: listen_time is not written like 2024-06-25 17:43:13 in 5 of 5 rows: "
            "'7/1/2024 17:43' (line 2), '7/2/2024 17:43' (line 3), '7/3/2024 17:43' (line 4), …; "
            "write it so, land the file and run again"
        )
    ]
    assert (report.stream_rows.judged, report.stream_rows.landed) == (3, 3)


def test_the_first_rows_of_a_large_file_show_how_its_times_are_written() -> None:
    good, odd = ["1,track-1,2024-06-25 17:43:13"] * 5_000, ["1,track-1,7/1/2024 17:43"] * 5_001

    assert not only_stream(validate(stream_of(*good[1:], *odd, *good, *good))).passed
    assert only_stream(validate(stream_of(*good, *odd))).passed


def test_files_as_they_should_be_pass_without_a_word(mixed: ValidationReport) -> None:
    for name, rows in (("users.csv", 9), ("user_streams/good.csv", 3), ("user_streams/empty.csv", 0)):
        file = file_report(mixed, name)
        assert (file.passed, file.problems, file.rows, file.compression) == (True, (), rows, None)


def test_compressed_files_are_judged_as_what_they_hold(mixed: ValidationReport) -> None:
    file = file_report(mixed, "user_streams/A/B.CSV.GZ")
    assert (file.problems, file.rows, file.compression) == ((), 3, "gzip")
    assert messages(mixed, "user_streams/cut.csv.gz") == [
        "user_streams/cut.csv.gz is a gzip file that is cut off: land it as CSV in UTF-8, or remove it, and run again"
    ]


def test_the_report_tells_header_and_columns_for_the_manifest(mixed: ValidationReport) -> None:
    file = file_report(mixed, "user_streams/bom.csv")
    assert file.header == "\ufeffextra, listen_time,track_id,user_id"
    assert file.columns == ("extra", "listen_time", "track_id", "user_id")
    assert (file.rows, file.line_per_record, file.problems) == (1, True, ())
    assert not file_report(mixed, "user_streams/odd.csv").line_per_record


def test_warnings_of_rows_name_file_line_and_value(mixed: ValidationReport) -> None:
    file, cut = "user_streams/odd.csv", "x" * MAX_EXAMPLE_LENGTH
    assert messages(mixed, file) == [
        (
            f"{file}: the record is no row of the header's columns in 2 of 9 rows: "
            f"'1,track-1' (line 10), '1,\"track-1,2024-06-25 17:43:13' (line 11){REJECTS}"
        )
    ]
    assert messages(mixed, "user_streams") == [
        (
            f"user_streams: listen_time is no time like 2024-06-25 17:43:13 in 1 of 16 rows: "
            f"'never' ({file} line 9){REJECTS}"
        ),
        (
            f"user_streams: listen_time is later than a day after the batch's time in 1 of 16 rows: "
            f"'2024-06-27 00:00:04' ({file} line 7){REJECTS}"
        ),
        (
            f"user_streams: listen_time is before the user's created_at in 1 of 16 rows: "
            f"'2023-12-31 23:59:59' ({file} line 2); such plays count all the same"
        ),
        (
            f"user_streams: user_id is not in users.csv in 2 of 16 rows: 'nobody' ({file} line 3), "
            f"'01' ({file} line 5); such plays count all the same"
        ),
        (
            f"user_streams: track_id is not in songs.csv in 3 of 16 rows: 'no-track' ({file} line 4), "
            f"'TRACK-1' ({file} line 5), '{cut}…' ({file} line 9); such plays count all the same"
        ),
    ]
    assert messages(mixed, "songs.csv") == [
        (
            "songs.csv: track_id is that of an earlier row in 1 of 10 rows: 'track-1' (line 11); "
            "the one with the lowest id counts"
        )
    ]


def test_results_are_those_of_great_expectations(mixed: ValidationReport) -> None:
    assert set(mixed.results) == {"files", "songs", "users", "user_streams"}
    [known] = [
        part
        for part in mixed.results["user_streams"]["results"]
        if part["expectation_config"]["kwargs"].get("column") == "users.user_id"
    ]
    assert known["result"]["unexpected_count"] == 2
    places = [{**place, "users.user_id": None} for place in known["result"]["partial_unexpected_index_list"]]
    assert places == [{"users.user_id": None, "source_file": "user_streams/odd.csv", "line": line} for line in (3, 5)]


def test_of_too_many_rows_the_same_share_is_looked_at_from_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", 30)
    files = [stream(stream_of(*["1,no-track,2024-06-25 17:43:13"] * n), f"user_streams/{n}.csv") for n in (20, 40)]

    report = validate(*files)

    assert (report.stream_rows.judged, report.stream_rows.landed) == (30, 60)
    (message,) = messages(report, "user_streams")
    assert message.startswith("user_streams: track_id is not in songs.csv in 30 of the 30 rows looked at, of 60: ")
    (problem,) = report.stream_rows.problems
    assert len(problem.examples) == MAX_EXAMPLES
    assert [file.rows for file in report.files[2:]] == [20, 40]


def test_long_rows_fill_the_memory_sooner_and_some_rows_of_every_file_are_looked_at_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows_module, "MAX_CHARACTERS", 1000)
    good, odd = [f"1,{'x' * 100},{TIME}"] * 50, ["1,track-1,7/1/2024 17:43"] * 500

    report = validate(stream(stream_of(*good), "user_streams/a.csv"), stream(stream_of(*odd), "user_streams/b.csv"))

    assert (report.stream_rows.judged, report.stream_rows.landed) == (9, 50)
    assert [file.name for file in report.refused] == ["user_streams/b.csv"]


def test_keys_are_unique_in_the_whole_table_however_few_of_its_rows_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows_module, "MAX_ROWS", 5)
    users = USERS + b"".join(f"u{n},A,1,SE,2024-01-01\n".encode() for n in range(500)) + b" 1 ,A,20,SE,\n\t,A,20,SE,\n"

    report = validate(
        landed("user_streams", "a.csv", STREAM), landed("users", "users.csv", users, piece=100), users=None
    )

    assert messages(report, "users.csv") == [
        "users.csv: user_id is missing in 1 of 511 rows: line 512; give each row its user_id, land it and run again",
        (
            "users.csv: user_id is that of an earlier row in 1 of 511 rows: '1' (line 511); "
            "leave one of each, land it and run again"
        ),
    ]
    assert not report.passed


@pytest.mark.parametrize(
    ("streams", "beside"), [(0, ""), (1, " beside 1 new stream file"), (3, " beside 3 new stream files")]
)
def test_reference_tables_that_are_not_there_or_not_once_are_errors(streams: int, beside: str) -> None:
    files = [stream(STREAM, f"user_streams/{number}.csv") for number in range(streams)]

    report = validate(landed("users", "a/users.csv", USERS), *files, songs=None)

    assert messages(report) == [
        f"songs.csv is missing{beside}: land it and run again",
        "users.csv has landed 2 times: land it and run again",
    ]
    assert [file.passed for file in report.files] == [False, False, *[True] * streams]


def test_a_broken_table_keeps_no_other_file_from_being_checked() -> None:
    report = validate(
        stream(b"user_id,track_id\n1,track-1\n", "user_streams/a.csv"),
        stream(stream_of("1,no-track,never", f"1,no-track,{TIME}"), "user_streams/c.csv"),
        users=USERS.replace(b"created_at", b"since"),
        songs=b"\0\0\0",
    )

    assert [(problem.file, problem.severity) for problem in report.problems] == [
        ("songs.csv", "error"),
        ("users.csv", "warning"),
        ("user_streams/a.csv", "error"),
        ("user_streams", "warning"),
    ]
    assert "column 'created_at' is missing; plays before sign-up are not looked for" in messages(report, "users.csv")[0]


def test_what_lies_beside_is_reported_with_its_reason() -> None:
    left = Ignored("music_streams/user_streams/notes.txt", "does not end in .csv or .csv.gz: it stays")

    report = validate(ignored=[left])

    assert report.passed
    assert report.summary().splitlines()[1:] == [f"left    {left.key} {left.reason}"]


def test_a_failing_read_is_no_fault_of_the_data() -> None:
    def broken() -> Trickle:
        raise ConnectionResetError("the network")

    with pytest.raises(ConnectionResetError, match="the network"):
        validate(LandedFile("user_streams", "a.csv", broken))  # type: ignore[arg-type]


def test_every_stream_that_is_opened_is_closed() -> None:
    opened = []

    def opening() -> object:
        opened.append(stream(STREAM).open())
        return opened[-1]

    validate(LandedFile("user_streams", "a.csv", opening))  # type: ignore[arg-type]

    assert [file.closed for file in opened] == [True, True]


def test_a_batch_time_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        validate_files([], batch_time=datetime(2024, 6, 26))  # noqa: DTZ001


def test_a_key_is_found_again_in_whatever_piece_of_the_file_it_comes_back() -> None:
    rows = [f"u{number},A,30,NL,2024-01-01\n" for number in range(200)]
    again = [0, 1, 63, 120, 198]
    users = "".join(["user_id,user_name,user_age,user_country,created_at\n", *rows, *(rows[at] for at in again)])
    files = [stream(STREAM), landed("songs", "songs.csv", SONGS), landed("users", "users.csv", users.encode(), 40)]

    report = validate_files(files, batch_time=BATCH_TIME)

    (repeated,) = file_report(report, "users.csv").errors
    assert repeated.unexpected_count == len(again)
    assert repeated.examples == tuple(f"u{at}" for at in again)
    assert f"'u0' (line {len(rows) + 2})" in repeated.message
