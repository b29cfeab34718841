"""The expectations of landed files and of their rows: one suite of Great Expectations for each frame.

The `meta` of each expectation holds the message that reports a failure, and the remedy.
"""

from collections.abc import Collection, Sequence
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.row_conditions import Column

from contract.csv_format import MAX_COLUMNS, MAX_LINE_LENGTH
from contract.datasets import SONGS, USER_STREAMS, USERS
from expectations.rows import DATE_OR_TIMESTAMP, NUMBER

MAX_DURATION_MS = 10**12
MAX_AGE = 130
# The columns of the reference tables' frames; a frame holds those that its file has.
COLUMNS = {SONGS.name: (*SONGS.needed, "popularity"), USERS.name: (*USERS.needed, "created_at")}

_ERROR, _WARNING, _NOTE = "critical", "warning", "info"
_PLACES = "The run's front page, index.html beside data_docs/, names the files and lines."
_LAND_IT = "land it and run again"
_FIX = f"fix the file, {_LAND_IT}"
_REWRITE = "write it so, land the file and run again"
_AS_CSV = "land it as CSV in UTF-8, or remove it, and run again"
_WITH_ROWS = "land it with rows, or remove it, and run again"
_REJECTED = "curation rejects such rows"
_PADDED_OR_CUT = "what it lacks is empty, what is too much left out"
_COUNTED = "such plays count all the same"
_NO_AVERAGE = "they do not enter into average durations"
_NO_AGE = "they are of no age group"
_NO_TIME = "is no date like 2024-06-25 or time like 2024-06-25 17:43:13"
_BINARY = "is not text: its first line holds NUL characters (a binary file, or UTF-16)"
_OVERLONG = f"is not CSV: it has a line of more than {MAX_LINE_LENGTH:,} characters"
_IN_ROWS = " in {count:,} of {rows_shown}: {shown}"
_NO_ROW = f"the record is no row of the header's columns{_IN_ROWS}"
_OTHER_TIMES = f"listen_time is not written like 2024-06-25 17:43:13{_IN_ROWS}"
_REPEATED_KEY = f"{{key}} is that of an earlier row{_IN_ROWS}"
_OF_STREAMS, _OF_TABLES = Column("dataset") == USER_STREAMS.name, Column("dataset") != USER_STREAMS.name
_OF_USERS, _OF_SONGS = Column("dataset") == USERS.name, Column("dataset") == SONGS.name


def files_suite() -> gx.ExpectationSuite:
    """Return the rules that refuse a file, and the rules that only warn."""
    expectations = [
        _null("unread", "{unread}", ""),
        _null("absence", "{absence}", _LAND_IT),
        _null("damage", "is {damage}", _AS_CSV),
        _null("other_format", "is {other_format}, not CSV in UTF-8", _AS_CSV),
        _within("header_lines", "is empty", _WITH_ROWS, min_value=1),
        _within("blank_lines_first", "begins with a blank line: the first line must be the header", _AS_CSV),
        _null("bad_byte_in_header", "is not UTF-8: {bad_byte_in_header} (line 1)", _AS_CSV),
        _within("nul_in_header", _BINARY, _AS_CSV),
        _null("misquoted_header", "is not CSV: its first line has a misplaced quote", _AS_CSV),
        _within("width", f"has {{width:,}} columns, more than {MAX_COLUMNS:,}", _AS_CSV, max_value=MAX_COLUMNS),
        _null("overlong_line", _OVERLONG, _AS_CSV),
        _null("missing_columns", "{missing_shown} missing (has: {columns_shown}){hint}", ""),
        _null("repeated_columns", "has a header that names {repeated_shown} more than once", _FIX),
        _within("undecodable_lines", f"the text is not UTF-8{_IN_ROWS}", f"write it in UTF-8, {_LAND_IT}"),
        _within("times_of_another_form", _OTHER_TIMES, _REWRITE, of=_OF_STREAMS),
        _within("rows", "holds a header and no rows", _WITH_ROWS, of=_OF_TABLES, min_value=1),
        _within("misquoted_rows", f"a field begins with a quote and does not end with one{_IN_ROWS}", _FIX),
        _within("rows_without_key", f"{{key}} is missing{_IN_ROWS}", f"give each row its {{key}}, {_LAND_IT}"),
        _within("repeated_keys", _REPEATED_KEY, f"leave one of each, {_LAND_IT}", of=_OF_USERS),
        _within("repeated_keys", _REPEATED_KEY, "the one with the lowest id counts", _WARNING, of=_OF_SONGS),
        _within("corrupt_records", _NO_ROW, _REJECTED, _WARNING, of=_OF_STREAMS),
        _within("corrupt_records", _NO_ROW, _PADDED_OR_CUT, _WARNING, of=_OF_TABLES),
    ]
    return _suite("files", "A row for each landed file. Unmet critical expectations refuse the file.", expectations)


def user_streams_suite(columns: Collection[str], judged: str) -> gx.ExpectationSuite:
    """Warn of rows that curation will reject or the KPIs will show as unknown, as far as the file has the `columns`."""
    time, later = "listen_time::timestamp", gxe.ExpectColumnPairValuesAToBeGreaterThanB
    options: Any = {"or_equal": True, "ignore_row_if": "either_value_is_missing"}
    is_time = gxe.ExpectColumnValuesToNotBeNull(column=time, row_condition=Column("listen_time").is_not_null())
    in_time = later(column_A="batch.latest_listen_time", column_B=time, **options)
    expectations = [
        *(_present(name, _REJECTED) for name in USER_STREAMS.needed),
        _warn(is_time, "listen_time is no time like 2024-06-25 17:43:13", _REJECTED),
        _warn(in_time, "listen_time is later than a day after the batch's time", _REJECTED),
    ]
    if "users.created_at" in columns:
        signed_up = later(column_A=time, column_B="users.created_at", **options)
        # This may hold for half of all plays, so a warning would hide the other warnings; it is only a note.
        expectations.append(_warn(signed_up, "listen_time is before the user's created_at", _COUNTED, _NOTE))
    for key, table in (("user_id", USERS.name), ("track_id", SONGS.name)):
        if f"{table}.{key}" in columns:
            is_present = Column(key).is_not_null()
            known = gxe.ExpectColumnValuesToNotBeNull(column=f"{table}.{key}", row_condition=is_present)
            expectations.append(_warn(known, f"{key} is not in {table}.csv", _COUNTED))
    return _suite(USER_STREAMS.name, f"Of all stream files {judged}; curation judges every row.", expectations)


def songs_suite(columns: Collection[str]) -> gx.ExpectationSuite:
    """Warn of values of songs that the KPIs cannot use."""
    expectations = [
        _present("artists", "their plays count for no artist"),
        _present("track_name", "they have no name in the KPIs"),
        _present("track_genre", "their plays count under 'unknown'"),
        _present("duration_ms", _NO_AVERAGE),
        *_number("duration_ms", MAX_DURATION_MS, _NO_AVERAGE),
        *(_number("popularity", 100, "the KPIs do not use it") if "popularity" in columns else ()),
    ]
    return _suite(SONGS.name, "The rows of songs.csv.", expectations)


def users_suite(columns: Collection[str]) -> gx.ExpectationSuite:
    """Warn of values of users that the KPIs cannot use."""
    sign_up, no_look = gxe.ExpectColumnToExist(column="created_at"), "plays before sign-up are not looked for"
    expectations = [
        _present("user_age", _NO_AGE),
        *_number("user_age", MAX_AGE, _NO_AGE),
        _warn(sign_up, "column 'created_at' is missing", no_look),
    ]
    if "created_at" in columns:
        is_date = gxe.ExpectColumnValuesToMatchRegex(column="created_at", regex=DATE_OR_TIMESTAMP)
        expectations.append(_warn(is_date, f"created_at {_NO_TIME}", no_look))
    return _suite(USERS.name, "The rows of users.csv.", expectations)


def _null(fact: str, unmet: str, remedy: str) -> gxe.Expectation:
    return _described(gxe.ExpectColumnValuesToBeNull(column=fact), _ERROR, unmet, remedy)


def _within(
    fact: str, unmet: str, remedy: str, severity: str = _ERROR, of: Any = None, **limits: int
) -> gxe.Expectation:
    """Expect a fact of the files `of` to be within the limits, or to be 0 if there are none."""
    within: dict[str, Any] = {**limits} or {"max_value": 0}
    is_within = gxe.ExpectColumnValuesToBeBetween(column=fact, row_condition=of, **within)
    return _described(is_within, severity, unmet, remedy)


def _suite(name: str, notes: str, expectations: Sequence[gxe.Expectation]) -> gx.ExpectationSuite:
    for order, expectation in enumerate(expectations):
        expectation.meta = {**(expectation.meta or {}), "order": order}
    return gx.ExpectationSuite(name, expectations=[*expectations], notes=f"{notes} {_PLACES}")


def _described(expectation: gxe.Expectation, severity: Any, says: str, remedy: str) -> gxe.Expectation:
    """Attach the message for people to an expectation; `says` is a format string that `problems` fills."""
    expectation.severity = severity
    expectation.meta = {"says": says, "remedy": remedy}
    expectation.description = f"{severity}: {says.replace(_IN_ROWS, '')}"
    expectation.notes = f"If not met: {remedy or _FIX}. {_PLACES}"
    return expectation


def _warn(expectation: gxe.Expectation, unmet: str, consequence: str, severity: str = _WARNING) -> gxe.Expectation:
    is_of_rows = not isinstance(expectation, gxe.ExpectColumnToExist)
    return _described(expectation, severity, unmet + _IN_ROWS * is_of_rows, consequence)


def _present(column: str, consequence: str) -> gxe.Expectation:
    return _warn(gxe.ExpectColumnValuesToNotBeNull(column=column), f"{column} is missing", consequence)


def _number(column: str, most: int, consequence: str) -> list[gxe.Expectation]:
    is_number = gxe.ExpectColumnValuesToMatchRegex(column=column, regex=NUMBER)
    in_range = gxe.ExpectColumnValuesToBeBetween(column=f"{column}::numeric", min_value=0, max_value=most)
    return [
        _warn(is_number, f"{column} is no number", consequence),
        _warn(in_range, f"{column} is not between 0 and {most:,}", consequence),
    ]
