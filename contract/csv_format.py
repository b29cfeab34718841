"""The CSV that the pipeline accepts: RFC 4180, any line ends; a bad line loses only itself (docs/malformed_input.md).

A record is a line, except where RFC 4180 lets a quoted field hold line breaks. A file can hold such records, or stray
quotes, only if some line has an odd number of quotes. Validation marks these files, and `split_records` splits only
them.
"""

import csv
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

BYTE_ORDER_MARK = "\ufeff"
BLANKS = " \t\r\n\f\v"
NUL, NONCHARACTER = "\0", "\uffff"
FORBIDDEN = NUL + NONCHARACTER  # databases refuse the first; some parsers take the second for the end of the text
LINE_ENDS = "\r\n"
_BLANKS_AND_COMMAS = f"{BLANKS},"

MAX_LINE_LENGTH = 1024**2  # characters
MAX_COLUMNS = 1000
# A quote still open after so many lines is a stray quote; the limit bounds the work on files full of them.
MAX_LINES_OF_RECORD = 50

csv.field_size_limit(sys.maxsize)  # MAX_LINE_LENGTH is the limit


def is_blank(record: str) -> bool:
    """Return whether a record is blank: it holds nothing but ASCII blanks and commas."""
    return not record.strip(_BLANKS_AND_COMMAS)


def is_forbidden(text: str) -> bool:
    """Return whether the text holds a character that the warehouse or a parser refuses."""
    return NUL in text or NONCHARACTER in text


def fields_of(record: str) -> tuple[list[str], bool]:
    """Return the fields of a record, and whether every field that begins with a quote ends with one."""
    if '"' not in record:
        return record.split(","), True
    try:
        rows = list(csv.reader([record], strict=True))
    except csv.Error:
        return next(csv.reader([record])), False
    # Several rows mean that the record holds a line break outside of quotes: it was not split where it should be.
    return (rows[0], True) if len(rows) == 1 else (record.split(","), False)


def split_records(lines: Iterable[str], columns: Sequence[str], unbroken: Sequence[str]) -> Iterator[str]:
    """Yield the records of a file without line ends, given its lines with their line ends.

    Lines are joined while a quote is open, but only if the result is a row of `columns` with no line break in an
    `unbroken` field. Otherwise the first line is a record of its own, and the next line starts a new record.
    """
    upcoming = deque[str]()
    source = iter(lines)

    def next_line() -> str | None:
        return upcoming.popleft() if upcoming else next(source, None)

    while (line := next_line()) is not None:
        taken = [line]
        quotes = line.count('"')
        while quotes % 2 and len(taken) < MAX_LINES_OF_RECORD and (line := next_line()) is not None:
            taken.append(line)
            quotes += line.count('"')
        if len(taken) > 1 and not (quotes % 2 == 0 and _is_row("".join(taken), columns, unbroken)):
            upcoming.extendleft(reversed(taken[1:]))
            taken = taken[:1]
        yield "".join(taken).rstrip(LINE_ENDS)


def _is_row(record: str, columns: Sequence[str], unbroken: Sequence[str]) -> bool:
    try:
        rows = list(csv.reader([record], strict=True))
    except csv.Error:
        return False
    if len(rows) != 1 or len(rows[0]) != len(columns):
        return False
    fields = dict(zip(columns, rows[0], strict=True))
    return not any(end in fields[name] for name in unbroken if name in fields for end in LINE_ENDS)
