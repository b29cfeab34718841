from collections.abc import Iterator
from datetime import datetime

import pytest

from expectations.report import MAX_EXAMPLE_LENGTH, MAX_EXAMPLES, LandedFile, ValidationReport
from expectations.validation import validate_files
from tests.unit.expectations.landed import (
    BATCH_TIME,
    SONGS,
    SONGS_HEADER,
    STREAM,
    USERS,
    file_report,
    landed,
    only,
    only_stream,
    stream,
    validate,
)

NAME = "user_streams/2024-06-25.csv"


def messages(report: ValidationReport) -> list[str]:
    return [problem.message for problem in report.problems]


def stream_of(*rows: str, header: str = "user_id,track_id,listen_time") -> bytes:
    return "\n".join([header, *rows, ""]).encode()


def songs_of(*rows: str) -> bytes:
    return "\n".join(["id,track_id,artists,track_name,popularity,duration_ms,track_genre", *rows, ""]).encode()


def users_of(*rows: str) -> bytes:
    return "\n".join(["user_id,user_name,user_age,user_country,created_at", *rows, ""]).encode()


def test_files_as_they_should_be_pass_without_a_word() -> None:
    report = validate(STREAM)

    assert report.passed
    assert report.problems == ()
    assert [(file.name, file.rows) for file in report.files] == [("songs.csv", 9), ("users.csv", 9), (NAME, 3)]
    assert all(file.passed and file.line_per_record for file in report.files)


def test_the_report_tells_header_and_columns_for_the_manifest() -> None:
    file = only_stream(
        validate(b"\xef\xbb\xbfextra, listen_time,track_id,user_id\r\nx,2024-06-25 17:43:13,track-1,1\r\n")
    )

    assert file.header == "\ufeffextra, listen_time,track_id,user_id"
    assert file.columns == ("extra", "listen_time", "track_id", "user_id")
    assert file.problems == ()


def test_columns_come_in_any_order_beside_others_with_blanks_around_ids() -> None:
    content = stream_of(
        '"note, ""free""",2024-06-25 17:43:13, track-1 ,\t1',
        '"two\nlines", 2024-06-25 17:43:13 ,"track-2","2"',
        header='note,listen_time,"track_id",user_id',
    )

    file = only_stream(validate(content))

    assert file.problems == ()
    assert file.rows == 2
    assert not file.line_per_record


def test_all_columns_of_the_real_songs_file_are_taken() -> None:
    row = (
        '0,track-1,"A;B","Album","Title, with ""quotes""\nand é",73,230666,False,' + "0.5," * 5 + "1," * 7 + "acoustic"
    )
    assert row.count(",") - 1 == SONGS_HEADER.count(",")

    file = file_report(validate(STREAM, songs=f"{SONGS_HEADER}\r\n{row}\r\n".encode()), "songs.csv")

    assert file.problems == ()
    assert file.rows == 1


def test_a_missing_column_is_an_error_that_names_file_and_columns() -> None:
    report = validate(b"user_id,listen_time\n1,2024-06-25 17:43:13\n")

    problem = only(report.problems)
    assert problem.message == f"{NAME}: column 'track_id' is missing (has: user_id, listen_time)"
    assert (problem.file, problem.column, problem.severity) == (NAME, "track_id", "error")
    assert problem.expectation == "expect_column_to_exist"
    assert not report.passed


@pytest.mark.parametrize("column", ["track_id", "artists", "track_name", "duration_ms", "track_genre"])
def test_each_needed_column_of_songs_is_missed(column: str) -> None:
    report = validate(STREAM, songs=SONGS.replace(column.encode(), b"other", 1))

    errors = [problem for problem in report.problems if problem.severity == "error"]
    assert [(problem.file, problem.column) for problem in errors] == [("songs.csv", column)]


@pytest.mark.parametrize("column", ["user_id", "user_age"])
def test_each_needed_column_of_users_is_missed(column: str) -> None:
    report = validate(STREAM, users=USERS.replace(column.encode(), b"other", 1))

    assert only(report.problems).message.startswith(f"users.csv: column '{column}' is missing (has: ")
    assert not report.passed


def test_users_without_created_at_pass_with_a_warning() -> None:
    report = validate(STREAM, users=USERS.replace(b"created_at", b"since"))

    assert only(report.problems).message == (
        "users.csv: column 'created_at' is missing (has: user_id, user_name, user_age, user_country, since); "
        "plays before sign-up are not looked for"
    )
    assert report.passed


def test_songs_need_neither_id_nor_popularity() -> None:
    songs = b"track_id,artists,track_name,duration_ms,track_genre\ntrack-1,A,T,1000,pop\n"

    assert file_report(validate(STREAM, songs=songs), "songs.csv").problems == ()


@pytest.mark.parametrize(
    ("header", "hint"),
    [
        ("user_id;track_id;listen_time", "it is separated by semicolons, CSV takes commas"),
        ("user_id\ttrack_id\tlisten_time", "it is separated by tabs, CSV takes commas"),
    ],
)
def test_other_separators_are_recognised(header: str, hint: str) -> None:
    report = validate(stream_of("1;track-1;2024-06-25 17:43:13", header=header))

    assert messages(report) == [
        f"{NAME}: column '{column}' is missing (has: {header.strip()}): {hint}"
        for column in ("user_id", "track_id", "listen_time")
    ]


def test_names_of_columns_are_taken_to_the_letter() -> None:
    report = validate(stream_of("1,track-1,2024-06-25 17:43:13", header="User_ID,track_id,listen_time"))

    assert only(report.problems).message == (
        f"{NAME}: column 'user_id' is missing (has: User_ID, track_id, listen_time): 'User_ID' is not 'user_id', "
        "capitals count"
    )


def test_a_needed_column_named_twice_is_an_error_and_another_is_not() -> None:
    twice = validate(stream_of("1,track-1,2024-06-25 17:43:13,1", header="user_id,track_id,listen_time,user_id"))
    other = validate(stream_of("1,track-1,2024-06-25 17:43:13,,", header="user_id,track_id,listen_time,x,x"))

    assert messages(twice) == [
        f"{NAME} has a header that names 'user_id' more than once: mend the file, land it and run again"
    ]
    assert not twice.passed
    assert other.problems == ()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "is empty"),
        (b"\r\n \r\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"user_id,track_id,listen_time\n", "holds a header and no rows"),
        (b"user_id,track_id,listen_time\r\n\r\n", "holds a header and no rows"),
        (b"user_id,track_id,listen_time", "holds a header and no rows"),
    ],
)
def test_an_empty_file_is_an_error(content: bytes, what: str) -> None:
    report = validate(content)

    problem = only(report.problems)
    assert problem.message == f"{NAME} {what}: land it with rows, or remove it, and run again"
    assert problem.severity == "error"
    assert only_stream(report).rows == 0


@pytest.mark.parametrize(("table", "name"), [("songs", "songs.csv"), ("users", "users.csv")])
def test_an_empty_reference_table_is_an_error_and_makes_no_unknown_ids(table: str, name: str) -> None:
    header = {"songs": SONGS, "users": USERS}[table].splitlines()[0]

    for content in (b"", header):
        report = validate(STREAM, **{table: content})
        assert only(report.problems).file == name
        assert not report.passed


def test_text_that_is_not_utf8_is_an_error_with_byte_and_line() -> None:
    report = validate(
        STREAM + "4,track-4,2024-06-25 12:00:00,é\n".encode("latin-1") + b"5,track-5,2024-06-25 12:00:00\n"
    )

    error = only(only_stream(report).errors)
    assert error.message == (
        f"{NAME}: the text is not UTF-8 in 1 of 5 rows: 'byte 0xe9 at offset 149' (line 5); "
        "write it in UTF-8, land it and run again"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x1f\x8b\x08\x00rest", "is gzip-compressed, not CSV in UTF-8"),
        ("user_id,track_id,listen_time\n".encode("utf-16"), "is UTF-16 text, not CSV in UTF-8"),
        (bytes(range(256)) * 10, "is not text: its first line holds NUL characters (a binary file, or UTF-16)"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is not UTF-8: byte 0x89 at offset 0 (line 1)"),
    ],
)
def test_what_is_no_csv_file_is_an_error(content: bytes, why: str) -> None:
    report = validate(content)

    assert messages(report) == [f"{NAME} {why}: land it as CSV in UTF-8, or remove it, and run again"]
    assert not report.passed


def test_text_that_is_no_table_lacks_all_columns() -> None:
    report = validate(b'{"user_id": 1}\n')

    assert [problem.column for problem in report.problems if problem.expectation == "expect_column_to_exist"] == [
        "user_id",
        "track_id",
        "listen_time",
    ]


@pytest.mark.parametrize(
    ("streams", "beside"),
    [(0, ""), (1, " beside 1 new stream file"), (3, " beside 3 new stream files")],
)
@pytest.mark.parametrize("table", ["songs", "users"])
def test_a_reference_table_that_is_not_there_is_an_error(table: str, streams: int, beside: str) -> None:
    files = [stream(STREAM, f"user_streams/{number}.csv") for number in range(streams)]

    report = validate(*files, **{table: None})

    assert messages(report) == [f"{table}.csv is missing{beside}: land it and run again"]
    assert not report.passed
    assert all(file.passed for file in report.files if file.dataset == "user_streams")


def test_a_reference_table_that_landed_twice_is_an_error() -> None:
    report = validate(landed("songs", "other/songs.csv", SONGS), STREAM)

    assert messages(report) == ["songs.csv has landed 2 times: land it and run again"]


def test_users_need_their_id_once() -> None:
    report = validate(
        stream_of("1,track-1,2024-06-25 17:43:13"),
        users=users_of("1,A,20,FR,2024-01-01", " ,B,20,FR,2024-01-01", " 1 ,C,20,FR,2024-01-01", ",D,20,FR,2024-01-01"),
    )

    assert messages(report) == [
        (
            "users.csv: user_id is missing in 2 of 4 rows: line 3, line 5; "
            "give each user a user_id, land users.csv and run again"
        ),
        (
            "users.csv: user_id is that of an earlier row in 1 of 4 rows: '1' (line 4); "
            "leave one row for each user, land users.csv and run again"
        ),
    ]
    assert not report.passed


def test_songs_need_their_id_and_a_repeated_one_is_a_warning() -> None:
    report = validate(
        stream_of("1,track-1,2024-06-25 17:43:13"),
        songs=songs_of("1,track-1,A,T,1,1,pop", "2,,A,T,1,1,pop", "0,track-1,A,T,1,1,pop"),
    )

    assert [(problem.severity, problem.message) for problem in report.problems] == [
        (
            "error",
            (
                "songs.csv: track_id is missing in 1 of 3 rows: line 3; give each song its track_id, "
                "land songs.csv and run again"
            ),
        ),
        (
            "warning",
            (
                "songs.csv: track_id is that of an earlier row in 1 of 3 rows: 'track-1' (line 4); "
                "of each the row with the lowest id counts"
            ),
        ),
    ]


def test_odd_values_of_songs_are_warnings_with_counts() -> None:
    report = validate(
        stream_of("1,track-1,2024-06-25 17:43:13"),
        songs=songs_of(
            "1,track-1,A,T,101,0,pop",
            "2,track-2,A,T,-1,-7.5,pop",
            "3,track-3,,,x,3 min, ",
            "4,track-4,A,T,,,pop",
            "5,track-5,A,T,100,inf,pop",
            "6,track-6,A,T,0,1e3,pop",
        ),
    )

    assert report.passed
    assert {
        (problem.expectation, problem.column): (problem.unexpected_count, problem.examples)
        for problem in report.problems
    } == {
        ("expect_column_values_to_not_be_null", "artists"): (1, ()),
        ("expect_column_values_to_not_be_null", "track_name"): (1, ()),
        ("expect_column_values_to_not_be_null", "track_genre"): (1, ()),
        ("expect_column_values_to_not_be_null", "duration_ms"): (1, ()),
        ("expect_column_values_to_be_numbers", "duration_ms"): (2, ("3 min", "inf")),
        ("expect_column_values_to_be_between", "duration_ms"): (1, ("-7.5",)),
        ("expect_column_values_to_be_numbers", "popularity"): (1, ("x",)),
        ("expect_column_values_to_be_between", "popularity"): (2, ("101", "-1")),
    }


def test_unusual_ages_and_dates_of_users_are_warnings_with_counts() -> None:
    report = validate(
        stream_of("1,track-1,2024-06-25 17:43:13"),
        users=users_of(
            "1,A,0,FR,2024-01-01",
            "2,A,130,FR,2024-01-01 10:00:00",
            "3,A,-1,FR,01/02/2024",
            "4,A,131,FR,",
            "5,A,old,FR,2024-02-30",
            "6,A,,FR,2024-01-01",
        ),
    )

    assert report.passed
    assert [(problem.message.split(";")[0], problem.severity) for problem in report.problems] == [
        ("users.csv: user_age is missing in 1 of 6 rows: line 7", "warning"),
        ("users.csv: user_age is no number in 1 of 6 rows: 'old' (line 6)", "warning"),
        ("users.csv: user_age is not between 0 and 130 in 2 of 6 rows: -1 (line 4), 131 (line 5)", "warning"),
        (
            (
                "users.csv: created_at is no date like 2024-06-25 or time like 2024-06-25 17:43:13 in 2 of 6 rows: "
                "'01/02/2024' (line 4), '2024-02-30' (line 6)"
            ),
            "warning",
        ),
    ]


def test_a_column_of_numbers_without_any_number_is_no_crash() -> None:
    report = validate(stream_of("1,track-1,2024-06-25 17:43:13"), users=users_of("1,A,,FR,2024-01-01"))

    assert only(report.problems).message.startswith("users.csv: user_age is missing in 1 of 1 row")


def test_rows_that_curation_rejects_are_warnings_each_counted_once() -> None:
    report = validate(
        stream_of(
            "1,track-1,2024-06-25 17:43:13",
            ",track-1,2024-06-25 17:43:13",
            "1, ,2024-06-25 17:43:13",
            "1,track-1,",
            "1,track-1",
            "1,track-1,2024-06-25 17:43:13,",
            "1,track-1,yesterday",
            "1,track-1,2024-02-30 00:00:00",
            "1,track-1,2024-06-27 00:00:03",
            "1,track-1,2024-06-27 00:00:04",
            "user_id,track_id,listen_time",
            '1,"track-1,2024-06-25 17:43:13',
            "1,track\0-1,2024-06-25 17:43:13",
        )
    )

    assert report.passed
    rejects = "curation rejects such rows"
    assert messages(report) == [
        (
            f"{NAME}: a field begins with a quote and does not end with one in 1 of 13 rows: "
            f"'1,\"track-1,2024-06-25 17:43:13' (line 13); {rejects}"
        ),
        (
            f"{NAME}: the number of fields is not 3, as in the header, in 2 of 13 rows: "
            f"'1,track-1' (line 6), '1,track-1,2024-06-25 17:43:13,' (line 7); {rejects}"
        ),
        (
            f"{NAME}: the header stands among the rows in 1 of 13 rows: "
            f"'user_id,track_id,listen_time' (line 12); {rejects}"
        ),
        (
            f"{NAME}: there is a NUL or a U+FFFF in 1 of 13 rows: "
            f"'1,track\\x00-1,2024-06-25 17:43:13' (line 14); {rejects}"
        ),
        f"{NAME}: user_id is missing in 1 of 13 rows: line 3; {rejects}",
        f"{NAME}: track_id is missing in 1 of 13 rows: line 4; {rejects}",
        f"{NAME}: listen_time is missing in 1 of 13 rows: line 5; {rejects}",
        (
            f"{NAME}: listen_time is no time like 2024-06-25 17:43:13 in 2 of 13 rows: "
            f"'yesterday' (line 8), '2024-02-30 00:00:00' (line 9); {rejects}"
        ),
        (
            f"{NAME}: listen_time is later than a day after the batch's time (2024-06-27 00:00:03) in 1 of 13 rows: "
            f"'2024-06-27 00:00:04' (line 11); {rejects}"
        ),
    ]
    assert not only_stream(report).line_per_record


def test_a_file_of_nothing_but_bad_rows_warns_and_passes() -> None:
    report = validate(stream_of("1,track-1", "garbage", '"'))

    assert report.passed
    assert only_stream(report).rows == 3


def test_unknown_ids_and_plays_before_sign_up_are_warnings() -> None:
    report = validate(
        stream_of(
            "1,track-1,2023-12-31 23:59:59",
            "1,track-1,2024-01-01 00:00:00",
            "nobody,track-1,2024-06-25 17:43:13",
            "1,no-track,2024-06-25 17:43:13",
            "nobody,no-track,2020-06-25 17:43:13",
        )
    )

    assert report.passed
    assert messages(report) == [
        (
            f"{NAME}: listen_time is before the user's created_at in 1 of 5 rows: '2023-12-31 23:59:59' (line 2); "
            "such plays count all the same"
        ),
        (
            f"{NAME}: user_id is not in users.csv in 2 of 5 rows: 'nobody' (line 4), 'nobody' (line 6); "
            "such plays count all the same"
        ),
        (
            f"{NAME}: track_id is not in songs.csv in 2 of 5 rows: 'no-track' (line 5), 'no-track' (line 6); "
            "such plays count all the same"
        ),
    ]


def test_ids_are_compared_without_the_blanks_around_them_and_otherwise_to_the_letter() -> None:
    report = validate(
        stream_of(" 1 ,\ttrack-1,2024-06-25 17:43:13", "01,TRACK-1,2024-06-25 17:43:13"),
        users=users_of(" 1,A,20,FR,2024-01-01"),
        songs=songs_of("1,track-1 ,A,T,1,1,pop"),
    )

    assert [problem.examples for problem in report.problems] == [("01",), ("TRACK-1",)]


def test_a_broken_table_keeps_no_other_file_from_being_checked() -> None:
    report = validate(
        stream(b"user_id,track_id\n1,track-1\n", "user_streams/a.csv"),
        stream(b"", "user_streams/b.csv"),
        stream(stream_of("1,no-track,never"), "user_streams/c.csv"),
        stream(b"\xff\xff", "user_streams/d.csv"),
        users=b"\0\0\0",
        songs=SONGS + b"11,,A,T,1,1,pop\n",
    )

    found = [(problem.file, problem.severity, problem.expectation) for problem in report.problems]
    assert found == [
        ("songs.csv", "error", "expect_column_values_to_not_be_null"),
        ("users.csv", "error", "expect_file_to_be_csv"),
        ("user_streams/a.csv", "error", "expect_column_to_exist"),
        ("user_streams/b.csv", "error", "expect_file_to_hold_rows"),
        ("user_streams/c.csv", "warning", "expect_column_values_to_be_times"),
        ("user_streams/c.csv", "warning", "expect_column_values_to_be_known"),
        ("user_streams/d.csv", "error", "expect_file_to_be_csv"),
    ]


def test_a_quote_left_open_in_a_reference_table_is_an_error() -> None:
    report = validate(STREAM, songs=SONGS + b'10,track-10,A,"Title,1,1000,pop\n11,track-11,A,T,1,1000,pop\n')

    error = only(file_report(report, "songs.csv").errors)
    assert error.message == (
        "songs.csv: a field begins with a quote and does not end with one in 1 of 11 rows: "
        "'10,track-10,A,\"Title,1,1000,pop' (line 11); mend the file, land it and run again"
    )


def test_the_first_twenty_examples_are_kept_and_long_ones_are_cut() -> None:
    report = validate(stream_of(*(f"1,{'x' * 5000}{number},2024-06-25 17:43:13" for number in range(50))))

    problem = only(report.problems)
    assert problem.unexpected_count == 50
    assert len(problem.examples) == MAX_EXAMPLES
    assert all(len(example) <= MAX_EXAMPLE_LENGTH + 1 for example in problem.examples)
    assert len(problem.message) < 1000


def test_the_report_does_not_depend_on_the_size_of_chunks() -> None:
    songs = songs_of(
        *(f'{number},track-{number % 40},"A\n{number}",T,{number * 3},{number - 5},' for number in range(60)), ",,,,,,"
    )
    users = users_of(*(f"{number % 55},A,{number * 3},FR,2024-{number % 14:02}-01" for number in range(60)))
    content = stream_of(
        *(
            f"{number % 70},track-{number % 50},2024-06-{number % 32:02} {number % 25:02}:00:00"
            for number in range(200)
        ),
        '1,"track-1,2024-06-25 00:00:00',
        *("1,track-1" for _ in range(30)),
        '"1","track-1","2024-06-25 00:00:00"',
    )

    def told(report: ValidationReport) -> list[object]:
        return [
            (file.name, file.rows, file.header, file.line_per_record, file.problems, file.result.to_json_dict())  # type: ignore[no-untyped-call]
            for file in report.files
        ]

    whole = told(validate(content, songs=songs, users=users))
    assert whole == told(validate(content, songs=songs, users=users, chunk_bytes=700))
    assert whole == told(validate(content, songs=songs, users=users, chunk_bytes=4000))


def test_files_come_in_whatever_pieces_the_network_gives() -> None:
    report = validate(
        landed("user_streams", NAME, STREAM, piece=3),
        landed("songs", "songs.csv", SONGS, piece=1),
        songs=None,
    )

    assert report.passed
    assert [file.rows for file in report.files] == [9, 9, 3]


def test_many_files_are_reported_in_their_order_after_the_reference_tables() -> None:
    names = [f"user_streams/{number}.csv" for number in (3, 1, 2)]

    report = validate(*(stream(STREAM, name) for name in names))

    assert [file.name for file in report.files] == ["songs.csv", "users.csv", *names]


def test_progress_is_told_by_file_and_rows() -> None:
    told: list[tuple[str, int]] = []

    validate(STREAM, progress=lambda name, rows: told.append((name, rows)), chunk_bytes=40)

    assert told[-1] == (NAME, 3)
    assert {name for name, _ in told} == {"songs.csv", "users.csv", NAME}
    assert [rows for name, rows in told if name == NAME] == sorted(rows for name, rows in told if name == NAME)


def test_a_failing_read_is_no_fault_of_the_data() -> None:
    def broken() -> Iterator[bytes]:
        raise ConnectionResetError("the network")

    with pytest.raises(ConnectionResetError, match="the network"):
        validate(LandedFile("user_streams", NAME, broken))  # type: ignore[arg-type]


def test_each_file_is_opened_once_and_closed() -> None:
    opened = []

    def opening() -> object:
        opened.append(stream(STREAM).open())
        return opened[-1]

    validate(LandedFile("user_streams", NAME, opening))  # type: ignore[arg-type]

    assert [file.closed for file in opened] == [True]


def test_a_batch_time_without_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        validate_files([], batch_time=datetime(2024, 6, 26))  # noqa: DTZ001


def test_the_batch_time_may_be_in_any_time_zone() -> None:
    assert validate(STREAM).batch_time == BATCH_TIME


def test_results_have_the_shape_of_great_expectations() -> None:
    report = validate(stream_of("1,track-1,2024-06-25 17:43:13", "1,no-track,2024-06-25 17:43:13"))

    result = only_stream(report).result
    assert result.statistics["evaluated_expectations"] == len(result.results)
    assert result.statistics["unsuccessful_expectations"] == 1
    [known] = [part for part in result.results if not part.success]
    assert known.expectation_config is not None
    assert known.expectation_config.type == "expect_column_values_to_be_known"
    assert known.expectation_config.kwargs == {"column": "track_id"}
    assert known.result == {
        "element_count": 2,
        "unexpected_count": 1,
        "unexpected_percent": 50.0,
        "partial_unexpected_list": ["no-track"],
        "partial_unexpected_index_list": [3],
        "partial_unexpected_counts": [{"value": "no-track", "count": 1}],
    }
