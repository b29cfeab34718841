"""Splitting stream files into records, so that a bad line never costs another (docs/lake.md, "What becomes of a row").

A record is a line, except where RFC 4180 lets a quoted field hold line breaks. Only files in which some line has an odd
number of quotes can hold such records, or stray quotes; validation marks them, and only they are split in Python.
"""

import csv
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence

# A quoted field longer than this is a stray quote: giving up bounds the work on files full of them.
MAX_LINES_OF_RECORD = 50

_LINE_ENDS = "\r\n"

csv.field_size_limit(sys.maxsize)  # validation has refused files with endless lines


def split_records(lines: Iterable[str], columns: Sequence[str], needed: Sequence[str]) -> Iterator[str]:
    """Yield the records of a file, given its lines with their line ends; the records come without.

    Lines are joined while a quote is open, and only if the result is a row of `columns` with no line break in a
    `needed` field; otherwise the first line is a record of its own, to be rejected, and the next line starts afresh.
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
        if len(taken) > 1 and not (quotes % 2 == 0 and _is_row("".join(taken), columns, needed)):
            upcoming.extendleft(reversed(taken[1:]))
            taken = taken[:1]
        yield "".join(taken).rstrip(_LINE_ENDS)


def _is_row(record: str, columns: Sequence[str], needed: Sequence[str]) -> bool:
    try:
        rows = list(csv.reader([record], strict=True))
    except csv.Error:
        return False
    if len(rows) != 1 or len(rows[0]) != len(columns):
        return False
    fields = dict(zip(columns, rows[0], strict=True))
    return not any(end in fields[name] for name in needed for end in _LINE_ENDS)
