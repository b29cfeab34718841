"""Collect facts about a landed file in one pass over its bytes, in bounded memory whatever its size."""

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from typing import BinaryIO

import numpy as np

from contract.csv_format import (
    BLANKS,
    BYTE_ORDER_MARK,
    MAX_COLUMNS,
    MAX_LINE_LENGTH,
    fields_of,
    is_blank,
    split_records,
)
from contract.datasets import Dataset
from expectations.report import MAX_EXAMPLE_LENGTH, MAX_EXAMPLES, LandedFile

BLOCK_BYTES = 4 * 1024**2
_LONGEST_CHARACTER = 4  # bytes
_LINE_FEED = ord("\n")
_BLANK = f"{BLANKS},".encode()
_MAY_BEGIN_BLANK_LINE = np.isin(np.arange(256), np.frombuffer(_BLANK, np.uint8))
_FROM_FIRST_QUOTE = re.compile(rb'"[^\n]*')
_FORMATS = {
    b"\x1f\x8b": "gzip-compressed",
    b"PK\x03\x04": "a ZIP archive or an Excel file",
    b"BZh": "bzip2-compressed",
    b"PAR1": "a Parquet file",
    b"\x28\xb5\x2f\xfd": "Zstandard-compressed",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
}


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
        overlong_line: The length in characters of the first line that is longer than any reader accepts; at least this
            long if reading ended within the line.
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
    overlong_line: int | None = None
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


class _UnreadableError(Exception):
    """Reading on is pointless; the facts say why."""


def scan(file: LandedFile, dataset: Dataset) -> FileFacts:
    """Read a file to its end, or to a fault that makes further reading pointless.

    Raises:
        Exception: any error of opening or reading it that is not a fault of the data.
    """
    facts = FileFacts(file.name, dataset.name, compression="gzip" if is_gzip(file.name) else None)
    with closing(file.open()) as stream:
        try:
            facts.rows = _count_rows(_texts(decompressed(file, stream), facts, dataset), facts, dataset)
            facts.header_lines = int(bool(facts.columns or facts.rows))
            facts.blank_lines_first = facts.header_lines - bool(facts.columns)
        except EOFError:
            facts.damage = "a gzip file that is cut off"
        except (gzip.BadGzipFile, zlib.error):
            facts.damage = "no gzip file, or a damaged one, though its name ends in .gz"
        except _UnreadableError:
            pass
    return facts


def is_gzip(name: str) -> bool:
    """Return whether a file's name ends in `.gz`."""
    return name.lower().endswith(".gz")


def decompressed(file: LandedFile, stream: BinaryIO) -> BinaryIO:
    """Return the stream of the file's text."""
    return gzip.GzipFile(fileobj=stream) if is_gzip(file.name) else stream  # type: ignore[return-value]


def _blocks(stream: BinaryIO, facts: FileFacts) -> Iterator[bytes]:
    """Yield a stream in blocks of whole lines."""
    rest = b""
    while piece := stream.read(BLOCK_BYTES):
        block = rest + piece
        # A carriage return at the very end may be the first half of CR LF.
        end = max(block.rfind(b"\n"), block.rfind(b"\r", 0, -1)) + 1
        if not end and len(block) > MAX_LINE_LENGTH * _LONGEST_CHARACTER:
            facts.overlong_line = MAX_LINE_LENGTH + 1
            raise _UnreadableError
        if end:
            yield block[:end]
        rest = block[end:]
    if rest:
        yield rest


def _texts(stream: BinaryIO, facts: FileFacts, dataset: Dataset) -> Iterator[bytes]:
    """Yield the lines after the header, each of which ends with a line feed, in blocks; note what their bytes show."""
    lines = 0
    for block in _blocks(stream, facts):
        if not block.isascii():
            _note_undecodable(block, lines, facts)
        text = block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in block else block
        text = text if text.endswith(b"\n") else text + b"\n"
        if not lines:
            _read_header(text, facts, dataset)
        _refuse_long_lines(text, facts)
        facts.bytes += len(block)
        yield text if lines else text.partition(b"\n")[2]
        # bytes.count takes eight times as long.
        lines += int(np.count_nonzero(np.frombuffer(text, np.uint8) == _LINE_FEED))


def _read_header(text: bytes, facts: FileFacts, dataset: Dataset) -> None:
    """Examine the first line, and raise _UnreadableError if reading on makes no sense."""
    facts.other_format = next((kind for magic, kind in _FORMATS.items() if text.startswith(magic)), None)
    if facts.other_format:
        raise _UnreadableError
    line = text.partition(b"\n")[0]
    try:
        facts.header = line.decode()
    except UnicodeDecodeError as error:
        facts.bad_byte_in_header, facts.line = _byte_at(line, error.start, 0), 1
        raise _UnreadableError from error
    header = facts.header.removeprefix(BYTE_ORDER_MARK)
    if is_blank(header):
        return
    names, is_well_quoted = fields_of(header)
    facts.nul_in_header = header.count("\0")
    if facts.nul_in_header or not is_well_quoted:
        facts.misquoted_header = None if facts.nul_in_header else header
        raise _UnreadableError
    facts.columns, facts.width = tuple(name.strip(BLANKS) for name in names), len(names)
    if facts.width > MAX_COLUMNS:
        raise _UnreadableError
    facts.missing_columns = tuple(name for name in dataset.needed if name not in facts.columns)
    facts.repeated_columns = tuple(name for name in dataset.read if facts.columns.count(name) > 1)


def _note_undecodable(block: bytes, lines_before: int, facts: FileFacts) -> None:
    try:
        block.decode()
    except UnicodeDecodeError:
        offset = facts.bytes
        for number, line in enumerate(block.splitlines(keepends=True), lines_before + 1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                facts.note("undecodable_lines", _byte_at(line, error.start, offset), number)
            offset += len(line)


def _byte_at(line: bytes, position: int, offset: int) -> str:
    return f"byte 0x{line[position]:02x} at offset {offset + position:,}"


def _refuse_long_lines(text: bytes, facts: FileFacts) -> None:
    start = 0
    while len(text) - start > MAX_LINE_LENGTH:
        end = text.rfind(b"\n", start, start + MAX_LINE_LENGTH + 1)
        if end < 0:  # the line that begins at `start` has too many bytes
            end = text.find(b"\n", start)
            length = len(text[start:end].decode(errors="replace"))
            if length > MAX_LINE_LENGTH:
                facts.overlong_line = length
                raise _UnreadableError
        start = end + 1


def _count_rows(texts: Iterator[bytes], facts: FileFacts, dataset: Dataset) -> int:
    """Count the rows as curation reads them; from the first line on that may begin a longer record, one by one."""
    rows = 0
    for text in texts:
        if any(rest_of_line.count(b'"') % 2 for rest_of_line in _FROM_FIRST_QUOTE.findall(text)):
            facts.line_per_record = False
            records = split_records(_lines(chain([text], texts)), facts.columns, dataset.unbroken)
            return rows + sum(not is_blank(record) for record in records)
        rows += _count_filled(text)
    return rows


def _count_filled(text: bytes) -> int:
    """Count the lines that are not blank."""
    octets = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(octets == _LINE_FEED)
    starts = np.concatenate([[0], ends + 1])[: len(ends)]
    perhaps = np.flatnonzero(_MAY_BEGIN_BLANK_LINE[octets[starts]])
    blank = [line for line in perhaps.tolist() if not text[starts[line] : ends[line]].strip(_BLANK)]
    return len(ends) - len(blank)


def _lines(texts: Iterable[bytes]) -> Iterator[str]:
    return (line for text in texts for line in io.StringIO(text.decode(errors="replace")))
