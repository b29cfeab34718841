"""CSV files as records: RFC 4180, read front to back in chunks, so that one bad line never costs another.

A record is a line, but for quoted fields that hold line breaks. Where a quote is opened and the lines that follow do
not make a record of the header's width, it is a stray quote: its line is a record of its own, and the next starts
afresh. Whatever the size of the chunks, the records are the same.
"""

import csv
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from typing import BinaryIO

from expectations.report import MAX_EXAMPLES

CHUNK_BYTES = 12 * 1024**2
CHUNK_LINES = 300_000  # of short lines a chunk of bytes would hold far too many
MAX_LINE_LENGTH = 1024**2
MAX_LINES_OF_RECORD = 50
MAX_COLUMNS = 1000

BYTE_ORDER_MARK = "\ufeff"
BLANKS = " \t\r\n\f\v"
FORBIDDEN = "\0\uffff"  # databases refuse the one; Spark's CSV parser takes the other for the end of the text

_LONGEST_CHARACTER = 4
_BLOCK_BYTES = 1024**2
_ROWS_AT_ONCE = 1000  # many more lists than these keep the garbage collector busy
_OVERLONG_LINE = f"is not CSV: it has a line of more than {MAX_LINE_LENGTH:,} characters"
csv.field_size_limit(sys.maxsize)  # MAX_LINE_LENGTH is the limit
_MAGIC = {
    b"\x1f\x8b": "gzip-compressed",
    b"PK\x03\x04": "a ZIP archive or an Excel file",
    b"BZh": "bzip2-compressed",
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "Zstandard-compressed",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


class UnreadableFileError(Exception):
    """The file as a whole is no CSV file that the pipeline takes; the message says why."""


class EmptyFileError(UnreadableFileError):
    """The file holds nothing, or nothing but blank lines."""


@dataclass
class Oddities:
    """Lines with which the same thing is wrong: how many, and the first ones with their numbers."""

    count: int = 0
    first: list[tuple[int, str]] = field(default_factory=list)

    def add(self, line_number: int, text: str) -> None:
        """Count one line; `text` is the line, or what is wrong with it."""
        self.count += 1
        if len(self.first) < MAX_EXAMPLES:
            self.first.append((line_number, text))


@dataclass(frozen=True)
class Chunk:
    """Some records of a file, column by column.

    Attributes:
        columns: For each name of the header the fields as they stand; one that a record lacks is "".
        line_numbers: The line on which each record starts; the header is line 1.
        sound: Whether each record can be judged field by field; None when all can. See `CsvFile` for those that cannot.
    """

    columns: list[list[str]]
    line_numbers: range | list[int]
    sound: list[bool] | None

    def __len__(self) -> int:
        return len(self.line_numbers)


class CsvFile:
    """One pass over a CSV file. What it tells of the lines is complete once `chunks` is exhausted.

    A record that is not sound is counted under the first of these that applies: repeated_headers, misquoted,
    forbidden, misshapen.

    Attributes:
        header: The first line as it stands, a byte order mark included, without its line end.
        columns: Its names, blanks around them trimmed and the byte order mark removed.
        rows: Records read so far.
        line_per_record: False as soon as a line with an odd number of quotes was seen.
        undecodable: Lines that are not UTF-8; they are read with U+FFFD in place of the bad bytes.
        repeated_headers: Lines that are the header once more, with or without a byte order mark.
        misquoted: Lines with a field that begins with a quote and does not end with one.
        forbidden: Records that hold one of the FORBIDDEN characters.
        misshapen: Records whose number of fields is not the header's.

    Raises:
        EmptyFileError: at construction.
        UnreadableFileError: at construction or while reading.
    """

    def __init__(self, stream: BinaryIO, *, unbroken: Collection[str] = (), chunk_bytes: int = CHUNK_BYTES) -> None:
        """Read the header. The fields of the `unbroken` columns never hold line breaks."""
        self.rows = 0
        self.line_per_record = True
        self.undecodable = Oddities()
        self.repeated_headers = Oddities()
        self.misquoted = Oddities()
        self.forbidden = Oddities()
        self.misshapen = Oddities()
        self._next_line = 2
        self._bytes_before = 0
        self._lines_before = 0
        self._held_back: list[str] = []
        self._chunk_bytes = chunk_bytes
        self._blocks = _blocks(stream, min(chunk_bytes, _BLOCK_BYTES))
        self._gathered = self._read_header()
        self._unbroken = [index for index, name in enumerate(self.columns) if name in unbroken]

    def _read_header(self) -> list[str]:
        block = next(self._blocks, b"")
        for magic, kind in _MAGIC.items():
            if block.startswith(magic):
                raise UnreadableFileError(f"is {kind}, not CSV in UTF-8")
        lines = self._lines_of(block)
        self.header = lines.pop(0)
        text = self.header.removeprefix(BYTE_ORDER_MARK)
        self._headers = (text, BYTE_ORDER_MARK + text)
        if not text.strip(BLANKS):
            if any(line.strip(BLANKS) for line in lines) or any(block.strip() for block in self._blocks):
                raise UnreadableFileError("begins with a blank line: the first line must be the header")
            raise EmptyFileError("is empty")
        if self.undecodable.first and self.undecodable.first[0][0] == 1:
            raise UnreadableFileError(f"is not UTF-8: {self.undecodable.first[0][1]} (line 1)")
        if "\0" in text:
            raise UnreadableFileError("is not text: its first line holds NUL characters (a binary file, or UTF-16)")
        names, well_quoted = _fields(text)
        if not well_quoted:
            raise UnreadableFileError("is not CSV: its first line has a misplaced quote")
        if len(names) > MAX_COLUMNS:
            raise UnreadableFileError(f"has {len(names):,} columns, more than {MAX_COLUMNS:,}")
        self.columns = tuple(name.strip(BLANKS) for name in names)
        return lines

    def chunks(self) -> Iterator[Chunk]:
        """Yield the records after the header; blank lines are none. What was yielded is not kept."""
        return filter(len, self._chunks())

    def _chunks(self) -> Iterator[Chunk]:
        gathered_bytes = 0
        for block in self._blocks:
            self._gathered += self._lines_of(block)
            gathered_bytes += len(block)
            if gathered_bytes >= self._chunk_bytes or len(self._gathered) >= CHUNK_LINES:
                yield self._chunk(self._take_gathered())
                gathered_bytes = 0
        yield self._chunk(self._take_gathered())
        yield self._any_chunk([], last=True)

    def _take_gathered(self) -> list[str]:
        lines, self._gathered = self._gathered, []
        return lines

    def _chunk(self, lines: list[str]) -> Chunk:
        return self._plain_chunk(lines) or self._quoted_chunk(lines) or self._any_chunk(lines, last=False)

    def _lines_of(self, block: bytes) -> list[str]:
        try:
            text = block.decode()
        except UnicodeDecodeError:
            self._note_undecodable(block)
            text = block.decode(errors="replace")
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.removesuffix("\n").split("\n")
        if len(text) > MAX_LINE_LENGTH and max(map(len, lines)) > MAX_LINE_LENGTH:
            raise UnreadableFileError(_OVERLONG_LINE)
        self._bytes_before += len(block)
        self._lines_before += len(lines)
        return lines

    def _note_undecodable(self, block: bytes) -> None:
        offset = self._bytes_before
        for number, line in enumerate(block.splitlines(keepends=True), self._lines_before + 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                self.undecodable.add(number, f"byte 0x{line[error.start]:02x} at offset {offset + error.start:,}")
            offset += len(line)

    def _plain_chunk(self, lines: list[str]) -> Chunk | None:
        """Split lines into columns at once, if nothing about them asks for a closer look."""
        width = len(self.columns)
        if self._held_back or width == 1 or set(map(str.count, lines, repeat(","))) - {width - 1}:
            return None
        text = ",".join(lines)
        if '"' in text or _is_forbidden(text) or self._holds_header(lines):
            return None
        fields = text.split(",")
        return self._line_by_line([fields[index::width] for index in range(width)], len(lines))

    def _quoted_chunk(self, lines: list[str]) -> Chunk | None:
        """Split lines with quoted fields, if each is a sound record."""
        if self._held_back or self._holds_header(lines) or _is_forbidden("".join(lines)):
            return None
        if any(count % 2 for count in set(map(str.count, lines, repeat('"')))):
            return None
        columns: list[list[str]] = [[] for _ in self.columns]
        for start in range(0, len(lines), _ROWS_AT_ONCE):
            some = lines[start : start + _ROWS_AT_ONCE]
            try:
                rows = list(csv.reader(some, strict=True))
            except csv.Error:
                return None
            if len(rows) != len(some) or any(len(row) != len(columns) for row in rows):
                return None
            _move(rows, columns)
        return self._line_by_line(columns, len(lines))

    def _holds_header(self, lines: list[str]) -> bool:
        return any(header in lines for header in self._headers)

    def _line_by_line(self, columns: list[list[str]], lines: int) -> Chunk:
        first = self._next_line
        self._next_line += lines
        self.rows += lines
        return Chunk(columns, range(first, self._next_line), None)

    def _any_chunk(self, lines: list[str], *, last: bool) -> Chunk:
        """Split any lines; unless these are the `last`, hold back what later ones may belong to."""
        lines = self._held_back + lines
        width = len(self.columns)
        columns: list[list[str]] = [[] for _ in self.columns]
        rows: list[list[str]] = []
        line_numbers: list[int] = []
        sound: list[bool] = []
        index = 0
        while index < len(lines):
            record, taken, well_quoted = lines[index], 1, True
            if '"' not in record:
                fields = record.split(",")
            elif record.count('"') % 2 == 0:
                fields, well_quoted = _fields(record)
            else:
                self.line_per_record = False
                closing = _closing_line(lines, index)
                if closing is None and not last and len(lines) - index < MAX_LINES_OF_RECORD:
                    break
                joined = "\n".join(lines[index : closing + 1]) if closing else ""
                if closing and (joined_fields := self._joined_fields(joined)):
                    record, taken, fields = joined, closing + 1 - index, joined_fields
                else:
                    fields, well_quoted = _fields(record)
            is_row = well_quoted and len(fields) == width
            if is_row and not _is_forbidden(record) and record not in self._headers:
                line_numbers.append(self._next_line)
                sound.append(True)
                rows.append(fields)
            elif record.strip(BLANKS):
                self._note_unsound(self._next_line, record, well_quoted=well_quoted)
                line_numbers.append(self._next_line)
                sound.append(False)
                rows.append((fields + [""] * width)[:width])
            self._next_line += taken
            index += taken
            if len(rows) == _ROWS_AT_ONCE:
                _move(rows, columns)
        _move(rows, columns)
        self._held_back = lines[index:]
        self.rows += len(line_numbers)
        return Chunk(columns, line_numbers, None if all(sound) else sound)

    def _joined_fields(self, text: str) -> list[str] | None:
        """Return the fields of several lines, None if they are not one record."""
        try:
            rows = list(csv.reader([text], strict=True))
        except csv.Error:
            return None
        if len(rows) != 1 or len(rows[0]) != len(self.columns):
            return None
        return None if any("\n" in rows[0][index] for index in self._unbroken) else rows[0]

    def _note_unsound(self, line_number: int, record: str, *, well_quoted: bool) -> None:
        if record in self._headers:
            self.repeated_headers.add(line_number, record)
        elif not well_quoted:
            self.misquoted.add(line_number, record)
        elif _is_forbidden(record):
            self.forbidden.add(line_number, record)
        else:
            self.misshapen.add(line_number, record)


def _move(rows: list[list[str]], columns: list[list[str]]) -> None:
    for column, fields in zip(columns, zip(*rows, strict=True), strict=bool(rows)):
        column.extend(fields)
    rows.clear()


def _closing_line(lines: list[str], opening: int) -> int | None:
    """Return the index of the line that closes the quote which the line `opening` opens."""
    for index in range(opening + 1, min(len(lines), opening + MAX_LINES_OF_RECORD)):
        if lines[index].count('"') % 2:
            return index
    return None


def _blocks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the stream in pieces of at least `size` bytes that end with a line, and what is left."""
    pieces: list[bytes] = []
    length = 0
    while piece := stream.read(size):
        pieces.append(piece)
        length += len(piece)
        if length < size:
            continue
        block = b"".join(pieces)
        # A carriage return at the very end may be the first half of a line end.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        if end:
            yield block[:end]
        elif length > MAX_LINE_LENGTH * _LONGEST_CHARACTER:
            raise UnreadableFileError(_OVERLONG_LINE)
        pieces = [block[end:]]
        length = len(pieces[0])
    if length:
        yield b"".join(pieces)


def _is_forbidden(text: str) -> bool:
    return any(character in text for character in FORBIDDEN)


def _fields(line: str) -> tuple[list[str], bool]:
    """Return the fields of a line, and whether each that begins with a quote ends with one."""
    if '"' not in line:
        return line.split(","), True
    try:
        return next(csv.reader([line], strict=True)), True
    except csv.Error:
        return next(csv.reader([line])), False
