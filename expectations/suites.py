"""The suites: what each dataset must look like, how bad it is when it does not, and what to say then.

An expectation's `meta` says `unmet`, what is the matter then, and `remedy`, what to do or what follows. Errors
(critical in Great Expectations' words) fail the batch; warnings are counted and told.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from expectations.frames import AS_NUMBER, BEFORE_SIGN_UP, NO_NUMBER, NO_TIME, REPEATED, TOO_LATE, UNKNOWN, fact
from expectations.gx import (
    BatchExpectation,
    Expectation,
    ExpectColumnToExist,
    ExpectColumnValuesToBeBetween,
    ExpectColumnValuesToBeNull,
    ExpectColumnValuesToNotBeNull,
    FailureSeverity,
    LegacyDiagnosticRendererType,
    renderer,
)
from expectations.records import CsvFile, Oddities
from expectations.report import Dataset

E = TypeVar("E", bound=Expectation)

ERROR = FailureSeverity.CRITICAL
WARNING = FailureSeverity.WARNING

NEEDED_COLUMNS: Mapping[Dataset, tuple[str, ...]] = {
    "songs": ("track_id", "artists", "track_name", "duration_ms", "track_genre"),
    "users": ("user_id", "user_age"),
    "user_streams": ("user_id", "track_id", "listen_time"),
}
# Columns that something reads and that must not be named twice, whether they are needed or not.
READ_COLUMNS: Mapping[Dataset, tuple[str, ...]] = {**NEEDED_COLUMNS, "songs": ("id", *NEEDED_COLUMNS["songs"])}
# Keys and times, of which no line break can be a part.
UNBROKEN_COLUMNS: Mapping[Dataset, tuple[str, ...]] = {
    "songs": ("track_id",),
    "users": ("user_id",),
    "user_streams": NEEDED_COLUMNS["user_streams"],
}

MAX_DURATION_MS = 10**12

_REJECTED = "curation rejects such rows"
_MEND = "mend the file, land it and run again"
_COUNTED = "such plays count all the same"


class ExpectFactToBeAbsent(ExpectColumnValuesToBeNull):
    """Base of expectations on a column that a frame adds: it holds the values that are not as expected."""

    fact_name: ClassVar[str]

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
    def _diagnostic_observed_value_renderer(cls, *_: Any, result: Any = None, **__: Any) -> Any:
        return cls._get_observed_value_from_evr(result=result)


class ExpectColumnValuesToBeTimes(ExpectFactToBeAbsent):
    """Times are written in the one way that every reader understands alike, and exist."""

    fact_name = NO_TIME


class ExpectColumnValuesNotToLieInTheFuture(ExpectFactToBeAbsent):
    """Nothing was played later than the batch's time, give or take a day for clocks that are wrong."""

    fact_name = TOO_LATE


class ExpectColumnValuesToBeKnown(ExpectFactToBeAbsent):
    """Ids stand in the reference table."""

    fact_name = UNKNOWN


class ExpectColumnValuesNotToPrecedeSignUp(ExpectFactToBeAbsent):
    """Users play music after they signed up."""

    fact_name = BEFORE_SIGN_UP


class ExpectColumnValuesNotToRepeat(ExpectFactToBeAbsent):
    """No row has the key of an earlier one, wherever in the file that stands."""

    fact_name = REPEATED


class ExpectColumnValuesToBeNumbers(ExpectFactToBeAbsent):
    """Numbers can be read as such."""

    fact_name = NO_NUMBER


class ExpectReadingToFindNone(BatchExpectation):
    """Base of expectations on a file as a whole, which no data frame shows: `found` is how much is amiss."""

    found: int
    success_keys: ClassVar[tuple[str, ...]] = ("found",)

    def _validate(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {"success": self.found == 0, "result": {"observed_value": self.found}}


class ExpectFileToHaveLanded(ExpectReadingToFindNone):
    """The reference tables are there, once each."""


class ExpectFileToHoldRows(ExpectReadingToFindNone):
    """There is something to take in."""


class ExpectFileToBeCsv(ExpectReadingToFindNone):
    """The file is text in lines, with a header."""


class ExpectReadColumnsToBeNamedOnce(ExpectReadingToFindNone):
    """It is clear which column is meant."""


class ExpectNoLinesToBeAmiss(ExpectReadingToFindNone):
    """Base of expectations on the lines of a file; `found` of them, `among` so many, are not as expected."""

    among: int
    success_keys: ClassVar[tuple[str, ...]] = ("found", "among")

    def _validate(self, *_: Any, **__: Any) -> dict[str, Any]:
        return {
            "success": self.found == 0,
            "result": {"element_count": self.among, "unexpected_count": self.found},
        }


class ExpectLinesToBeUtf8(ExpectNoLinesToBeAmiss):
    """All text can be decoded."""


class ExpectHeaderToStandOnce(ExpectNoLinesToBeAmiss):
    """The header is not among the rows."""


class ExpectQuotesToEncloseFields(ExpectNoLinesToBeAmiss):
    """No quote swallows what follows, and nothing follows the quote that ends a field."""


class ExpectRowsToHaveOneFieldPerColumn(ExpectNoLinesToBeAmiss):
    """No row is cut off, or holds a comma that separates nothing."""


class ExpectRowsToHoldNoForbiddenCharacter(ExpectNoLinesToBeAmiss):
    """No row holds a character that databases or CSV parsers refuse."""


def suite(dataset: Dataset, frame_columns: Collection[str], *, latest: datetime) -> list[Expectation]:
    """Return what is expected of a file of `dataset`, as far as a frame with `frame_columns` can show it."""
    rows = {"songs": _songs, "users": _users}.get(dataset, lambda: _user_streams(latest))
    return [
        *_column_existence(dataset),
        *(expectation for expectation in rows() if expectation.configuration.kwargs["column"] in frame_columns),
    ]


def _column_existence(dataset: Dataset) -> Iterator[Expectation]:
    for column in NEEDED_COLUMNS[dataset]:
        yield _expect(
            ExpectColumnToExist,
            ERROR,
            unmet=f"column '{column}' is missing",
            remedy="",
            description="The column must exist.",
            column=column,
        )
    if dataset == "users":
        yield _expect(
            ExpectColumnToExist,
            WARNING,
            unmet="column 'created_at' is missing",
            remedy="plays before sign-up are not looked for",
            description="The column should exist.",
            column="created_at",
        )


def _user_streams(latest: datetime) -> Iterator[Expectation]:
    for column in NEEDED_COLUMNS["user_streams"]:
        yield _present(column, WARNING, remedy=_REJECTED)
    yield _fact(
        ExpectColumnValuesToBeTimes,
        "listen_time",
        WARNING,
        unmet="listen_time is no time like 2024-06-25 17:43:13",
        remedy=_REJECTED,
        description="Values must be times like 2024-06-25 17:43:13.",
    )
    yield _fact(
        ExpectColumnValuesNotToLieInTheFuture,
        "listen_time",
        WARNING,
        unmet=f"listen_time is later than a day after the batch's time ({latest:%Y-%m-%d %H:%M:%S})",
        remedy=_REJECTED,
        description=f"Values must not be later than {latest:%Y-%m-%d %H:%M:%S}, a day after the batch's time.",
    )
    yield _fact(
        ExpectColumnValuesNotToPrecedeSignUp,
        "listen_time",
        WARNING,
        unmet="listen_time is before the user's created_at",
        remedy=_COUNTED,
        description="Values should not precede the user's created_at.",
    )
    for column, table in (("user_id", "users.csv"), ("track_id", "songs.csv")):
        yield _fact(
            ExpectColumnValuesToBeKnown,
            column,
            WARNING,
            unmet=f"{column} is not in {table}",
            remedy=_COUNTED,
            description=f"Values should be in {table}.",
        )


def _songs() -> Iterator[Expectation]:
    yield _present("track_id", ERROR, remedy="give each song its track_id, land songs.csv and run again")
    yield _fact(
        ExpectColumnValuesNotToRepeat,
        "track_id",
        WARNING,
        unmet="track_id is that of an earlier row",
        remedy="of each the row with the lowest id counts",
        description="Values should be unique.",
    )
    yield _present("artists", WARNING, remedy="their plays count for no artist")
    yield _present("track_name", WARNING, remedy="they have no name in the KPIs")
    yield _present("track_genre", WARNING, remedy="their plays count under 'unknown'")
    yield _present("duration_ms", WARNING, remedy="they do not enter into average durations")
    yield _number("duration_ms", remedy="they do not enter into average durations")
    yield _between(
        "duration_ms",
        f"between 0 and {MAX_DURATION_MS:,}",
        remedy="they do not enter into average durations",
        min_value=0,
        max_value=MAX_DURATION_MS,
    )
    yield _number("popularity", remedy="the KPIs do not use it")
    yield _between("popularity", "between 0 and 100", remedy="the KPIs do not use it", min_value=0, max_value=100)


def _users() -> Iterator[Expectation]:
    yield _present("user_id", ERROR, remedy="give each user a user_id, land users.csv and run again")
    yield _fact(
        ExpectColumnValuesNotToRepeat,
        "user_id",
        ERROR,
        unmet="user_id is that of an earlier row",
        remedy="leave one row for each user, land users.csv and run again",
        description="Values must be unique.",
    )
    of_no_age = "they are of no age group"
    yield _present("user_age", WARNING, remedy=of_no_age)
    yield _number("user_age", remedy=of_no_age)
    yield _between("user_age", "between 0 and 130", remedy=of_no_age, min_value=0, max_value=130)
    yield _fact(
        ExpectColumnValuesToBeTimes,
        "created_at",
        WARNING,
        unmet="created_at is no date like 2024-06-25 or time like 2024-06-25 17:43:13",
        remedy="plays before these users' sign-up are not looked for",
        description="Values should be dates like 2024-06-25 or times like 2024-06-25 17:43:13.",
    )


@dataclass(frozen=True)
class Reading:
    """An expectation on the file's bytes and lines, and the first lines that do not meet it."""

    expectation: ExpectReadingToFindNone
    lines: Oddities = field(default_factory=Oddities)


def reading_suite(dataset: Dataset, file: CsvFile) -> list[Reading]:
    """Return what is expected of the bytes and lines of a file that was read to its end."""
    in_streams = dataset == "user_streams"
    fate = _REJECTED if in_streams else None
    repeated = [column for column in READ_COLUMNS[dataset] if file.columns.count(column) > 1]
    width = len(file.columns)

    def lines(
        kind: type[ExpectNoLinesToBeAmiss], severity: FailureSeverity, oddities: Oddities, **words: str
    ) -> Reading:
        return Reading(_expect(kind, severity, found=oddities.count, among=file.rows, **words), oddities)

    return [
        *([] if file.rows else [no_rows("holds a header and no rows")]),
        Reading(
            _expect(
                ExpectReadColumnsToBeNamedOnce,
                ERROR,
                unmet=f"has a header that names {' and '.join(map(repr, repeated))} more than once",
                remedy=_MEND,
                description="The header must not name a column twice that is read.",
                found=len(repeated),
            )
        ),
        lines(
            ExpectLinesToBeUtf8,
            ERROR,
            file.undecodable,
            unmet="the text is not UTF-8",
            remedy="write it in UTF-8, land it and run again",
            description="All lines must be UTF-8.",
        ),
        lines(
            ExpectQuotesToEncloseFields,
            WARNING if in_streams else ERROR,
            file.misquoted,
            unmet="a field begins with a quote and does not end with one",
            remedy=fate or _MEND,
            description="A field that begins with a quote must end with one.",
        ),
        lines(
            ExpectRowsToHaveOneFieldPerColumn,
            WARNING,
            file.misshapen,
            unmet=f"the number of fields is not {width}, as in the header,",
            remedy=fate or "fields that are missing are read as empty, surplus ones are left out",
            description=f"Rows must have {width} fields, as the header has.",
        ),
        lines(
            ExpectHeaderToStandOnce,
            WARNING,
            file.repeated_headers,
            unmet="the header stands among the rows",
            remedy=fate or "it is read as data",
            description="The header should stand only once.",
        ),
        lines(
            ExpectRowsToHoldNoForbiddenCharacter,
            WARNING,
            file.forbidden,
            unmet="there is a NUL or a U+FFFF",
            remedy=fate or "it is left out",
            description="Rows should hold neither NUL nor U+FFFF.",
        ),
    ]


def no_rows(reason: str) -> Reading:
    """Return the one expectation that a file fails in which there is nothing."""
    return _refusal(
        ExpectFileToHoldRows,
        reason,
        remedy="land it with rows, or remove it, and run again",
        description="The file must hold rows.",
    )


def unreadable(reason: str) -> Reading:
    """Return the one expectation that a file fails which cannot be read."""
    return _refusal(
        ExpectFileToBeCsv,
        reason,
        remedy="land it as CSV in UTF-8, or remove it, and run again",
        description="The file must be CSV in UTF-8.",
    )


def not_landed(reason: str) -> Reading:
    """Return the one expectation that a reference table fails which is not there, or there more than once."""
    return _refusal(
        ExpectFileToHaveLanded,
        reason,
        remedy="land it and run again",
        description="The file must have landed, once.",
    )


def _refusal(kind: type[ExpectReadingToFindNone], reason: str, **words: str) -> Reading:
    return Reading(_expect(kind, ERROR, unmet=reason, found=1, **words))


def _present(column: str, severity: FailureSeverity, *, remedy: str) -> Expectation:
    return _expect(
        ExpectColumnValuesToNotBeNull,
        severity,
        unmet=f"{column} is missing",
        remedy=remedy,
        description=f"Values {'must' if severity == ERROR else 'should'} not be missing.",
        column=column,
    )


def _number(column: str, *, remedy: str) -> Expectation:
    return _fact(
        ExpectColumnValuesToBeNumbers,
        column,
        WARNING,
        unmet=f"{column} is no number",
        remedy=remedy,
        description="Values should be numbers.",
    )


def _between(column: str, words: str, *, remedy: str, **limits: Any) -> Expectation:
    return _expect(
        ExpectColumnValuesToBeBetween,
        WARNING,
        unmet=f"{column} is not {words}",
        remedy=remedy,
        description=f"Values should be {words}.",
        column=fact(column, AS_NUMBER),
        **limits,
    )


def _fact(kind: type[ExpectFactToBeAbsent], column: str, severity: FailureSeverity, **words: str) -> Expectation:
    return _expect(kind, severity, column=fact(column, kind.fact_name), **words)


def _expect(
    kind: type[E], severity: FailureSeverity, *, unmet: str, remedy: str, description: str, **arguments: Any
) -> E:
    return kind(severity=severity, meta={"unmet": unmet, "remedy": remedy}, description=description, **arguments)
