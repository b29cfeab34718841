"""CSV as the pipeline takes it: RFC 4180, any line ends, and no bad line costs another (docs/malformed_input.md).

A record is a line, except where RFC 4180 lets a quoted field hold line breaks. Only files in which some line has an odd
number of quotes can hold such records, or stray quotes; validation marks them, and only they are split by
`split_records`.
"""

import csv
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

BYTE_ORDER_MARK = "\ufeff"
BLANKS = " \t\r\n\f\v"
FORBIDDEN = "\0\uffff"  # databases refuse the one; some parsers take the other for the end of the text
LINE_ENDS = "\r\n"

MAX_LINE_LENGTH = 1024**2  # characters
MAX_COLUMNS = 1000
# A quoted field longer than this is a stray quote: giving up bounds the work on files full of them.
MAX_LINES_OF_RECORD = 50

csv.field_size_limit(sys.maxsize)  # MAX_LINE_LENGTH is the limit


def is_blank(record: str) -> bool:
    """Whether a record is blank: it holds only ASCII blanks, and commas with nothing between them."""
    return not record.strip(f"{BLANKS},")


def is_forbidden(text: str) -> bool:
    """Whether the text holds a character that the warehouse or a parser refuses."""
    return any(character in text for character in FORBIDDEN)


def fields_of(record: str) -> tuple[list[str], bool]:
    """The fields of a record, and whether each that begins with a quote ends with one."""
    if '"' not in record:
        return record.split(","), True
    try:
        rows = list(csv.reader([record], strict=True))
    except csv.Error:
        return next(csv.reader([record])), False
    # A line break outside of quotes would make several rows of it: the record was not split where it should be.
    return (rows[0], True) if len(rows) == 1 else (record.split(","), False)


def split_records(lines: Iterable[str], columns: Sequence[str], unbroken: Sequence[str]) -> Iterator[str]:
    """Yield the records of a file, given its lines with their line ends; the records come without.

    Lines are joined while a quote is open, and only if the result is a row of `columns` with no line break in an
    `unbroken` field; otherwise the first line is a record of its own, and the next line starts afresh.
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
