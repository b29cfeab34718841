"""Collect facts about a landed file in one pass over its bytes, in bounded memory whatever its size."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from contract.csv_format import (
    BLANKS,
    BYTE_ORDER_MARK,
    MAX_COLUMNS,
    MAX_LINE_LENGTH,
    MAX_LINES_OF_RECORD,
    fields_of,
    is_blank,
    split_records,
)
from contract.datasets import Dataset
from expectations.report import MAX_EXAMPLE_LENGTH, MAX_EXAMPLES, LandedFile

Numbers = npt.NDArray[np.int64]

BLOCK_BYTES = 4 * 1024**2
_LONGEST_CHARACTER = 4  # bytes
_GZIP = b"\x1f\x8b"
_FORMATS = {
    _GZIP: "gzip-compressed",
    b"PK\x03\x04": "a ZIP archive or an Excel file",
    b"BZh": "bzip2-compressed",
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "Zstandard-compressed",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}
_BLANK = f"{BLANKS},".encode()
_IS_BLANK = np.isin(np.arange(256), np.frombuffer(_BLANK, np.uint8))


@dataclass
class FileFacts:
    """One row of the frame `files`. A fact that cannot be determined for the file is None.

    Attributes:
        line: The first line with a fault, if there are faults on lines.
        unread: The reason why the file cannot be read.
        absence: The fault of a reference table that has not landed, or not exactly once.
        bytes: The size after decompression.
        header: The unchanged first line with a byte order mark, but without its line end.
        columns: The header's names, without the blanks around them and the byte order mark.
        longest_line: The length in characters of the longest line read.
        rows: The number of records after the header without blank lines, counted as curation counts them.
        line_per_record: False if some line holds an odd number of quotes: a quoted line break, or a stray quote.
        rows_looked_at, corrupt_records: The number of rows read for validation, and how many do not fit the columns.
        times_of_another_form: The number of times found in another format, if most times of a stream file have one;
            otherwise 0.
        examples: For each count the first values that it counts, with their lines.
    """

    source_file: str
    dataset: str
    line: int | None = None
    unread: str | None = None
    absence: str | None = None
    compression: str | None = None
    damage: str | None = None
    other_format: str | None = None
    bytes: int = 0
    header: str | None = None
    header_lines: int | None = None
    blank_lines_first: int | None = None
    bad_byte_in_header: str | None = None
    nul_in_header: int | None = None
    misquoted_header: str | None = None
    columns: tuple[str, ...] = ()
    width: int | None = None
    missing_columns: tuple[str, ...] = ()
    repeated_columns: tuple[str, ...] = ()
    longest_line: int | None = None
    undecodable_lines: int = 0
    rows: int | None = None
    rows_looked_at: int | None = None
    line_per_record: bool = True
    corrupt_records: int = 0
    times_of_another_form: int = 0
    misquoted_rows: int = 0
    rows_without_key: int = 0
    repeated_keys: int = 0
    examples: dict[str, list[tuple[str | None, int]]] = field(default_factory=dict)

    @property
    def has_rows_to_read(self) -> bool:
        """Return whether the file has rows, could be read to its end, and has the needed columns."""
        return bool(self.rows and self.columns and not (self.missing_columns or self.repeated_columns))

    def note(self, fact: str, example: str | None, line: int) -> None:
        """Increase the count that `fact` names, and keep the example."""
        setattr(self, fact, getattr(self, fact) + 1)
        self.line = min(line, self.line or line)
        examples = self.examples.setdefault(fact, [])
        if len(examples) < MAX_EXAMPLES:
            examples.append((example and example[: MAX_EXAMPLE_LENGTH + 1], line))


class _EndlessLineError(Exception):
    """A line is longer than any reader accepts."""


def scan(file: LandedFile, dataset: Dataset) -> FileFacts:
    """Read a file to its end, or to a fault that makes further reading pointless.

    Raises:
        Exception: any error of opening or reading it that is not a fault of the data.
    """
    facts = FileFacts(file.name, dataset.name, compression="gzip" if is_gzip(file.name) else None)
    with closing(file.open()) as stream:
        try:
            _Scan(facts, dataset).read(decompressed(file, stream))
        except EOFError:
            facts.damage = "a gzip file that is cut off"
        except (gzip.BadGzipFile, zlib.error):
            facts.damage = "no gzip file, or a damaged one, though its name ends in .gz"
        except _EndlessLineError:
            facts.longest_line = MAX_LINE_LENGTH + 1
    return facts


def is_gzip(name: str) -> bool:
    """Return whether a file's name ends in `.gz`."""
    return name.lower().endswith(".gz")


def decompressed(file: LandedFile, stream: BinaryIO) -> BinaryIO:
    """Return the stream of the file's text."""
    return gzip.GzipFile(fileobj=stream) if is_gzip(file.name) else stream  # type: ignore[return-value]


def blocks(stream: BinaryIO, size: int = BLOCK_BYTES) -> Iterator[bytes]:
    """Yield a stream in blocks of whole lines, of about `size` bytes each.

    Raises:
        _EndlessLineError: a line is too long.
    """
    rest = b""
    while piece := stream.read(size):
        block = rest + piece
        # A carriage return at the very end may be the first half of CR LF.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        if not end and len(block) > MAX_LINE_LENGTH * _LONGEST_CHARACTER:
            raise _EndlessLineError
        if end:
            yield block[:end]
        rest = block[end:]
    if rest:
        yield rest


def with_newlines(block: bytes) -> bytes:
    """Return the block with line feeds for all line ends."""
    return block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block


class Lines:
    """The lines of a text, each of which ends with a line feed, except perhaps the last.

    Attributes:
        starts, ends: The positions of each line's first byte and of its line feed.
        begin_blank: Whether each line begins with a blank or a comma, or is empty.
    """

    def __init__(self, text: bytes) -> None:
        self.text = text if text.endswith(b"\n") or not text else text + b"\n"
        self._octets = np.frombuffer(self.text, np.uint8)
        self.ends = np.flatnonzero(self._octets == ord("\n"))
        self.starts = np.concatenate([[0], self.ends + 1])[: len(self.ends)]
        self.begin_blank = _IS_BLANK[self._octets[self.starts]]

    def count(self, character: bytes) -> Numbers:
        """Count a character in each line."""
        if character not in self.text:
            return np.zeros(len(self.ends), np.int64)
        positions = np.flatnonzero(self._octets == ord(character))
        return np.diff(np.searchsorted(positions, self.ends), prepend=0)

    def is_blank(self, line: int) -> bool:
        """Return whether a line is blank, and so not a row."""
        return not self.text[self.starts[line] : self.ends[line]].strip(_BLANK)

    def decoded(self, first: int = 0, end: int | None = None) -> list[str]:
        """Return some lines as text."""
        starts, ends = self.starts[first:end].tolist(), self.ends[first:end].tolist()
        return self.text[starts[0] : ends[-1]].decode(errors="replace").split("\n") if starts else []


class _Scan:
    def __init__(self, facts: FileFacts, dataset: Dataset) -> None:
        self._facts = facts
        self._dataset = dataset
        self._rows = 0
        self._lines = 0
        self._held_back = b""

    def read(self, stream: BinaryIO) -> None:
        facts = self._facts
        for block in blocks(stream):
            if facts.bytes == 0 and not self._begin(block):
                return
            if not block.isascii():
                self._note_undecodable(block)
            facts.bytes += len(block)
            text = with_newlines(block)
            lines = text.count(b"\n")
            self._count(text if self._lines else text.partition(b"\n")[2], last=False)
            self._lines += lines
        self._count(b"", last=True)
        facts.rows = self._rows
        facts.header_lines = int(bool(facts.columns))
        if not facts.columns and self._rows:
            facts.header_lines, facts.blank_lines_first = 1, 1

    def _begin(self, block: bytes) -> bool:
        """Examine the first line; return whether reading on makes sense."""
        facts = self._facts
        facts.other_format = next((kind for magic, kind in _FORMATS.items() if block.startswith(magic)), None)
        line = with_newlines(block).partition(b"\n")[0]
        try:
            facts.header = line.decode()
        except UnicodeDecodeError as error:
            facts.bad_byte_in_header, facts.line = _byte_at(line, error.start, 0), 1
        if facts.other_format or facts.header is None:
            facts.bad_byte_in_header = None if facts.other_format else facts.bad_byte_in_header
            return False
        text = facts.header.removeprefix(BYTE_ORDER_MARK)
        if is_blank(text):
            return True
        names, well_quoted = fields_of(text)
        facts.nul_in_header, facts.longest_line = text.count("\0"), len(text)
        if facts.nul_in_header or len(text) > MAX_LINE_LENGTH or not well_quoted:
            facts.misquoted_header = None if well_quoted or facts.nul_in_header else text
            return False
        facts.columns, facts.width = tuple(name.strip(BLANKS) for name in names), len(names)
        if facts.width > MAX_COLUMNS:
            return False
        facts.missing_columns = tuple(name for name in self._dataset.needed if name not in facts.columns)
        facts.repeated_columns = tuple(name for name in self._dataset.read if facts.columns.count(name) > 1)
        return True

    def _note_undecodable(self, block: bytes) -> None:
        try:
            block.decode()
        except UnicodeDecodeError:
            offset = self._facts.bytes
            for number, line in enumerate(block.splitlines(keepends=True), self._lines + 1):
                try:
                    line.decode()
                except UnicodeDecodeError as error:
                    self._facts.note("undecodable_lines", _byte_at(line, error.start, offset), number)
                offset += len(line)

    def _count(self, text: bytes, *, last: bool) -> None:
        """Count the rows of some whole lines; hold back those that may continue on later lines."""
        lines = Lines(self._held_back + text)
        self._measure(lines)
        is_row = np.ones(len(lines.ends), np.bool_)
        for line in np.flatnonzero(lines.begin_blank).tolist():
            is_row[line] = not lines.is_blank(line)
        end = self._join_lines(lines, is_row, last=last)
        self._held_back = lines.text[lines.starts[end] :] if end < len(is_row) else b""
        self._rows += int(np.count_nonzero(is_row[:end]))

    def _measure(self, lines: Lines) -> None:
        lengths = lines.ends - lines.starts
        longest = int(lengths.max(initial=0))
        if longest > MAX_LINE_LENGTH:  # in bytes
            longest = max(
                len(lines.decoded(at, at + 1)[0]) for at in np.flatnonzero(lengths > MAX_LINE_LENGTH).tolist()
            )
        self._facts.longest_line = max(longest, self._facts.longest_line or 0)
        if longest > MAX_LINE_LENGTH:
            raise _EndlessLineError

    def _join_lines(self, lines: Lines, is_row: npt.NDArray[np.bool_], *, last: bool) -> int:
        """Unmark as rows the continuation lines of multi-line records; return the number of lines that can be counted.

        A record of several lines begins on a line with an odd number of quotes, and ends on the next such line.
        """
        odd = np.flatnonzero(lines.count(b'"') % 2).tolist()
        end_of_record = 0
        for opening, closing_ in zip(odd, [*odd[1:], None], strict=False):
            self._facts.line_per_record = False
            if opening < end_of_record:
                continue
            if closing_ is None:
                return len(is_row) if last or len(is_row) - opening >= MAX_LINES_OF_RECORD else opening
            if closing_ - opening < MAX_LINES_OF_RECORD:
                some = [f"{line}\n" for line in lines.decoded(opening, closing_ + 1)]
                if "\n" in next(split_records(some, self._facts.columns, self._dataset.unbroken)):
                    is_row[opening + 1 : closing_ + 1] = False
                    end_of_record = closing_ + 1
        return len(is_row)


def _byte_at(line: bytes, position: int, offset: int) -> str:
    return f"byte 0x{line[position]:02x} at offset {offset + position:,}"
