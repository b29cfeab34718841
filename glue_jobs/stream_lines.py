"""Read pinned stream files as rows of text: pieces of about 32 MB, cut at line ends, each line split into fields.

The blanks around fields are trimmed. Arrow splits the lines that are plain CSV, which nearly all are. Python splits
lines with a quote or a forbidden character, and repeated headers, by the rules of validation.
"""

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv

from contract.bucket import Bucket
from contract.csv_format import BLANKS, BYTE_ORDER_MARK, FORBIDDEN, fields_of, is_blank, split_records
from contract.datasets import USER_STREAMS
from contract.rejections import fault_of

PIECE_BYTES = 32 * 1024**2
UNCUT_BYTES = 64 * 1024**2  # one task reads as many bytes in less time than Spark takes to start and to read them
TAIL_BYTES = 64 * 1024  # read per step to find the end of a line that continues after its piece
ROWS_AT_ONCE = 1000
RECORDS_OF_TABLE = 50_000

ROWS_SCHEMA = pa.schema(
    [
        ("file", pa.int32()),
        ("user_id", pa.string()),
        ("track_id", pa.string()),
        ("listen_time", pa.string()),
        ("fault", pa.string()),
        ("raw_line", pa.string()),
    ]
)

_LINE_END = re.compile(rb"[\r\n]")
_FORBIDDEN = tuple(character.encode() for character in FORBIDDEN)


class PinChangedError(Exception):
    """A pinned file differs from its entry in the manifest."""


@dataclass(frozen=True)
class PinnedFile:
    """A stream file of the batch, from its entry in the manifest.

    Attributes:
        number: the file's position in the manifest.
        size: in bytes.
        header: the first line without a byte order mark.
        line_per_record: whether every record is one line, because no quoted field can hold a line break.
        compression: `gzip`, or None.
    """

    number: int
    key: str
    copy: str
    size: int
    header: str
    columns: tuple[str, ...]
    line_per_record: bool
    compression: str | None = None

    @classmethod
    def of(cls, number: int, entry: Mapping[str, Any]) -> "PinnedFile":
        """Make it from its manifest entry; entries of earlier versions have no compression."""
        return cls(
            number,
            entry["key"],
            entry["copy"],
            entry["size"],
            entry["header"].removeprefix(BYTE_ORDER_MARK),
            tuple(entry["columns"]),
            entry["line_per_record"],
            entry.get("compression"),
        )

    @property
    def in_one_piece(self) -> bool:
        """Whether rows can only be found by reading the file from its start."""
        return not self.line_per_record or self.compression is not None


@dataclass(frozen=True)
class Piece:
    """The lines of a file that begin at a byte from `first` until before `end`."""

    file: PinnedFile
    first: int
    end: int


def plan(files: Sequence[PinnedFile], piece_bytes: int) -> list[list[Piece]]:
    """Return tasks of about `piece_bytes` each: large files are cut into pieces, small files share a task.

    Files of at most UNCUT_BYTES together are one task of several pieces.
    """
    tasks: list[list[Piece]] = []
    task_bytes = piece_bytes if sum(file.size for file in files) > UNCUT_BYTES else UNCUT_BYTES
    room = 0
    for file in sorted(files, key=lambda file: (file.columns, file.number)):
        step = max(file.size, 1) if file.in_one_piece else piece_bytes
        for first in range(0, max(file.size, 1), step):
            piece = Piece(file, first, min(first + step, file.size))
            if not tasks or piece.end - piece.first > room:
                tasks.append([])
                room = task_bytes
            tasks[-1].append(piece)
            room -= piece.end - piece.first
    return tasks


def rows(bucket: Bucket, pieces: Iterable[Piece], at_once: int = PIECE_BYTES) -> Iterator[pa.Table]:
    """Yield the rows of the pieces (ROWS_SCHEMA) in tables of at least `at_once` bytes; the last may be smaller.

    Blank lines are skipped here, except lines of blanks and separators, which `judge_rows.sql` may leave out.

    Raises:
        PinChangedError: a file's size differs from the manifest's, or its gzip stream is broken.
        GoneError: a file is gone.
    """
    gathered: list[pa.Table] = []
    gathered_bytes = 0
    for piece in pieces:
        for table in _tables(bucket, piece, at_once):
            gathered.append(table)
            gathered_bytes += table.nbytes
            if gathered_bytes >= at_once:
                yield pa.concat_tables(gathered)
                gathered, gathered_bytes = [], 0
    if gathered:
        yield pa.concat_tables(gathered)


def _tables(bucket: Bucket, piece: Piece, at_once: int) -> Iterator[pa.Table]:
    file = piece.file
    texts = _texts_of_file(bucket, file, at_once) if file.in_one_piece else _texts_of_range(bucket, piece)
    if file.line_per_record:
        for text in texts:
            yield from split_lines(file, text)
    else:
        lines = itertools.chain.from_iterable(io.StringIO(text.decode(), newline="") for text in texts)
        for records in _in_batches(split_records(lines, file.columns, USER_STREAMS.unbroken), RECORDS_OF_TABLE):
            yield _odd_rows(file, records)


def _texts_of_range(bucket: Bucket, piece: Piece) -> Iterator[bytes]:
    text = whole_lines(bucket, piece.file, piece.first, piece.end)
    yield text if piece.first else _without_first_line(text)


def _texts_of_file(bucket: Bucket, file: PinnedFile, at_once: int) -> Iterator[bytes]:
    with bucket.open(file.copy) as body:
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=body)) if file.compression == "gzip" else body
        header_is_ahead = True
        try:
            for text in stream_texts(stream, at_once):
                yield _without_first_line(text) if header_is_ahead else text
                header_is_ahead = False
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise PinChangedError(
                f"{bucket.url(file.copy)} (pinned from {file.key}) is no whole gzip file ({error}), and was one when "
                "it was validated: restore that version, or trigger a new run, which pins anew"
            ) from error


def whole_lines(bucket: Bucket, file: PinnedFile, first: int, end: int) -> bytes:
    """Return the whole lines of a file that begin at a byte from `first` until before `end`.

    Raises:
        PinChangedError: the file's size differs from the manifest's.
    """
    if not file.size:
        return b""
    text = _read(bucket, file, max(first - 1, 0), end)
    if first:  # the text begins one byte early, to include a line that begins exactly at `first`
        line_end = _LINE_END.search(text)
        if not line_end:
            return b""
        text = text[line_end.end() :]
    if not text:
        return b""
    parts = [text]
    while end < file.size and not parts[-1].endswith((b"\n", b"\r")):
        tail = _read(bucket, file, end, min(end + TAIL_BYTES, file.size))
        line_end = _LINE_END.search(tail)
        parts.append(tail[: line_end.end()] if line_end else tail)
        end += len(tail)
    return b"".join(parts)


def _read(bucket: Bucket, file: PinnedFile, first: int, end: int) -> bytes:
    content, size = bucket.read_range(file.copy, first, end)
    if size != file.size:
        raise PinChangedError(
            f"{bucket.url(file.copy)} (pinned from {file.key}) has {size:,} bytes, and had {file.size:,} when it was "
            "validated: restore that version (the bucket keeps old ones), or trigger a new run, which pins anew"
        )
    return content


def stream_texts(stream: BinaryIO, at_once: int) -> Iterator[bytes]:
    """Yield a stream in texts of whole lines, of at least `at_once` bytes each; the last may be shorter."""
    pieces: list[bytes] = []
    length = 0
    while piece := stream.read(at_once):
        pieces.append(piece)
        length += len(piece)
        if length < at_once:
            continue
        text = b"".join(pieces)
        # A carriage return at the very end may be the first half of CR LF.
        end = max(text.rfind(b"\n"), text.rfind(b"\r", 0, -1)) + 1
        if end:
            yield text[:end]
        pieces = [text[end:]]
        length = len(pieces[0])
    if length:
        yield b"".join(pieces)


def _without_first_line(text: bytes) -> bytes:
    line_end = _LINE_END.search(text)
    return text[line_end.end() :] if line_end else b""


def split_lines(file: PinnedFile, text: bytes) -> Iterator[pa.Table]:
    """Yield the rows (ROWS_SCHEMA) of whole lines, each of which is a record."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    odd = _lines_with(text, (b'"', *_FORBIDDEN, file.header.encode()))
    if odd:
        yield _odd_rows(file, (text[start:end].decode() for start, end in odd))
        ends = (0, *(end for _, end in odd))
        text = b"".join(
            text[end:start] for end, start in zip(ends, (*(start for start, _ in odd), len(text)), strict=True)
        )
    yield from _plain_rows(file, text)


def _lines_with(text: bytes, signs: Iterable[bytes]) -> list[tuple[int, int]]:
    """Return the start and end (without line end) of each line that holds one of the signs, in order."""
    found = set[tuple[int, int]]()
    for sign in signs:
        position = text.find(sign)
        while position >= 0:
            start, end = text.rfind(b"\n", 0, position) + 1, text.find(b"\n", position)
            end = len(text) if end < 0 else end
            found.add((start, end))
            position = text.find(sign, end)
    return sorted(found)


def _plain_rows(file: PinnedFile, text: bytes) -> Iterator[pa.Table]:
    """Yield the rows of lines without a quote, by splitting them at commas."""
    misshapen: list[str] = []

    def keep(row: pa.csv.InvalidRow) -> str:
        misshapen.append(row.text)
        return "skip"

    names = [f"field_{position}" for position in range(len(file.columns))]
    if text.strip(b"\n"):
        table = pa.csv.read_csv(
            pa.py_buffer(text),
            read_options=pa.csv.ReadOptions(column_names=names, block_size=len(text) + 1, use_threads=False),
            parse_options=pa.csv.ParseOptions(
                quote_char=False, escape_char=False, double_quote=False, invalid_row_handler=keep
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, check_utf8=False
            ),
        )
        yield _as_rows(file, table)
    if misshapen:
        yield _odd_rows(file, misshapen)


def _as_rows(file: PinnedFile, table: pa.Table) -> pa.Table:
    columns = table.combine_chunks().columns
    # The lines were only split at commas, so joining the fields by commas restores them.
    raw_line = pa.compute.binary_join_element_wise(*columns, ",") if len(columns) > 1 else columns[0]
    needed = [
        pa.compute.ascii_trim(columns[file.columns.index(name)], characters=BLANKS) for name in USER_STREAMS.needed
    ]
    return pa.Table.from_arrays(
        [
            pa.repeat(pa.scalar(file.number, pa.int32()), len(table)),
            *needed,
            pa.nulls(len(table), pa.string()),
            raw_line,
        ],
        schema=ROWS_SCHEMA,
    )


def _odd_rows(file: PinnedFile, records: Iterable[str]) -> pa.Table:
    """Return the rows of any records, each with its fault if it has one."""
    positions = [file.columns.index(name) for name in USER_STREAMS.needed]
    split = _Split()
    for some in _in_batches((record for record in records if not is_blank(record)), ROWS_AT_ONCE):
        for record, (fields, is_well_quoted) in zip(some, _fields_of_each(some), strict=True):
            fault = fault_of(record, fields, is_well_quoted=is_well_quoted, header=file.header, width=len(file.columns))
            trimmed: list[str | None] = (
                [None, None, None] if fault else [fields[position].strip(BLANKS) for position in positions]
            )
            split.add(trimmed, fault, record)
    count = len(split.raw_lines)
    return pa.Table.from_arrays(
        [
            pa.repeat(pa.scalar(file.number, pa.int32()), count),
            *(pa.array(column, pa.string()) for column in (*split.needed, split.faults, split.raw_lines)),
        ],
        schema=ROWS_SCHEMA,
    )


@dataclass
class _Split:
    """Rows, stored by column."""

    needed: tuple[list[str | None], ...] = field(default_factory=lambda: ([], [], []))
    faults: list[str | None] = field(default_factory=list)
    raw_lines: list[str] = field(default_factory=list)

    def add(self, needed: Sequence[str | None], fault: str | None, raw_line: str) -> None:
        for column, text in zip(self.needed, needed, strict=True):
            column.append(text)
        self.faults.append(fault)
        self.raw_lines.append(raw_line)


def _in_batches(records: Iterable[str], size: int) -> Iterator[list[str]]:
    iterator = iter(records)
    while batch := list(itertools.islice(iterator, size)):
        yield batch


def _fields_of_each(records: Sequence[str]) -> Iterable[tuple[list[str], bool]]:
    """Return the fields of each record; parse all records in one call if every one is well-formed."""
    try:
        rows_of_all = list(csv.reader(records, strict=True))
    except csv.Error:
        return map(fields_of, records)
    # A quote that stays open joins a record with the next one, so the numbers differ.
    return ((row, True) for row in rows_of_all) if len(rows_of_all) == len(records) else map(fields_of, records)
