"""Read rows of landed files into the data frames that Great Expectations validates.

A frame holds a file's columns as text, and the place of each row: `source_file`, `line`. `x::timestamp` and
`x::numeric` are the column `x` cast to that type, null if the text is invalid. `users.created_at` is joined in from
another table.
"""

import html
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import accumulate, islice, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from contract.csv_format import BLANKS, BYTE_ORDER_MARK, fields_of, is_blank, is_forbidden, split_records
from contract.datasets import USER_STREAMS, Dataset
from expectations.report import MAX_EXAMPLE_LENGTH, LandedFile
from expectations.scan import FileFacts, Lines, Numbers, blocks, decompressed, with_newlines

MAX_ROWS = 200_000  # of all files of a dataset
MAX_TEXTS = 500_000  # distinct texts in a frame; the limit bounds its memory if few texts repeat
_FEW_ROWS = 100
_ROWS_THAT_SHOW_THE_FORM = 10_000
_RECORDS_AT_ONCE = 50_000

TIMESTAMP = (  # an existing time, in the format that every reader accepts
    r"^(?!0000)(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
    r" (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"
)
FORM_OF_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}$"
DATE_OR_TIMESTAMP = TIMESTAMP.replace(" (?:", "(?: (?:").removesuffix("$") + ")?$"
# ASCII digits, few enough for any reader: the numbers that the KPI jobs accept.
NUMBER = r"^[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?$"
NUMERIC = ("duration_ms", "popularity", "user_age")
_DECIMALS = 3

Distinct = Sequence[str | None]
Split = tuple[str, Numbers, list[tuple[int, str]]]  # plain records, the numbers of their lines, all other lines


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file; `columns` are their unchanged fields, and `order` sorts them by their `lines`."""

    lines: Numbers
    order: Numbers
    columns: Mapping[str, Sequence[str]]


def chunks(file: LandedFile, facts: FileFacts, dataset: Dataset, columns: Collection[str]) -> Iterator[Chunk]:
    """Yield the rows of a scanned file, with those of `columns` that it has.

    Corrupt records, which do not fit the file's columns, are noted in `facts`. Corrupt records of reference tables are
    also yielded, padded or cut, because the jobs read them so.
    """
    positions = {name: facts.columns.index(name) for name in columns if name in facts.columns}
    with closing(file.open()) as stream:
        texts = map(with_newlines, blocks(decompressed(file, stream)))
        for some in _lines(texts, len(facts.columns)) if facts.line_per_record else _records(texts, facts, dataset):
            yield _chunk(*some, facts, positions, is_reference=dataset != USER_STREAMS)


def _lines(texts: Iterator[bytes], width: int) -> Iterator[Split]:
    """Separate the lines that can be split at each comma from the lines that need the full CSV parser."""
    first = 1
    for text in texts:
        lines = Lines(text)
        plain = (lines.count(b",") == width - 1) & (lines.count(b'"') == 0) & ~lines.begin_blank
        plain[: first == 1] = False  # the header
        unusual = np.flatnonzero(~plain)
        pieces = zip([0, *lines.ends[unusual] + 1], [*lines.starts[unusual], len(lines.text)], strict=True)
        kept = b"".join([lines.text[start:end] for start, end in pieces]).decode(errors="replace")
        numbers = np.arange(first, first + len(plain))
        yield (
            kept,
            numbers[plain],
            [(first + at, lines.decoded(at, at + 1)[0]) for at in unusual.tolist() if first + at > 1],
        )
        first += len(plain)


def _records(texts: Iterator[bytes], facts: FileFacts, dataset: Dataset) -> Iterator[Split]:
    lines = islice((f"{line}\n" for text in texts for line in Lines(text).decoded()), 1, None)
    records = split_records(lines, facts.columns, dataset.unbroken)
    number = 2
    while some := list(islice(records, _RECORDS_AT_ONCE)):
        numbers = list(accumulate((record.count("\n") + 1 for record in some), initial=number))
        number = numbers.pop()
        yield "", np.empty(0, np.int64), list(zip(numbers, some, strict=True))


def _chunk(
    plain: str,
    lines: Numbers,
    unusual: list[tuple[int, str]],
    facts: FileFacts,
    positions: Mapping[str, int],
    *,
    is_reference: bool,
) -> Chunk:
    width, header = len(facts.columns), (facts.header or "").removeprefix(BYTE_ORDER_MARK)
    if is_forbidden(plain) or header in plain:
        unusual = sorted([*unusual, *zip(lines.tolist(), plain.split("\n"), strict=False)])
        plain, lines = "", lines[:0]
    fields = plain.replace("\n", ",").split(",")[: len(lines) * width]
    columns = {name: fields[at::width] for name, at in positions.items()}
    numbers = []
    for number, record in unusual:
        row, well_quoted = fields_of(record)
        is_row = len(row) == width and not is_forbidden(record) and record.removeprefix(BYTE_ORDER_MARK) != header
        if is_blank(record):
            continue
        if not (is_row and well_quoted):
            facts.note("corrupt_records" if well_quoted or not is_reference else "misquoted_rows", record, number)
        if (is_row and well_quoted) or is_reference:
            numbers.append(number)
            row += [""] * (width - len(row))
            for name, at in positions.items():
                columns[name].append(row[at])
    lines = np.concatenate([lines, np.array(numbers, np.int64)])
    return Chunk(lines, np.argsort(lines), columns)


class Texts:
    """A column of texts, which keeps, casts and looks up each distinct text once. Add all texts before reading it."""

    def __init__(self) -> None:
        self._numbers = defaultdict[str, int]()
        self._numbers.default_factory = self._numbers.__len__
        self._codes = [np.empty(0, np.int32)]

    def __len__(self) -> int:
        return len(self._numbers)

    def add(self, texts: Sequence[str], order: Numbers) -> None:
        """Append the texts at the positions `order`."""
        self._codes.append(np.fromiter(map(self._numbers.__getitem__, texts), np.int32, len(texts))[order])

    @cached_property
    def distinct(self) -> Distinct:
        """Return the distinct texts without the blanks around them; None for a missing text."""
        texts, self._numbers = self._numbers, defaultdict()
        return [text.strip(BLANKS) or None for text in texts]

    @cached_property
    def codes(self) -> npt.NDArray[np.int32]:
        """Return for each row the position of its text among the distinct texts."""
        codes, self._codes = np.concatenate(self._codes), []
        return codes

    def text(self, of_distinct: Distinct) -> pd.Categorical:
        """Return a column of text, given a text for each distinct one."""
        codes, texts = pd.factorize(np.array([*map(shown, of_distinct)], dtype=object))
        dtype = pd.CategoricalDtype(pd.Index(texts, dtype=object))
        return pd.Categorical.from_codes(codes.astype(np.int32)[self.codes], dtype=dtype)

    def timestamps(self, of_distinct: Distinct, form: str) -> npt.NDArray[np.datetime64]:
        """Return a column of times, given a text for each distinct one; null if the text does not have the form."""
        is_time = re.compile(form).match
        times = [text if text and is_time(text) else "NaT" for text in of_distinct]
        return np.array(times, dtype="datetime64[s]")[self.codes]

    def numbers(self) -> npt.NDArray[np.float64]:
        """Convert the column to numbers; null if a text is not a number."""
        is_number = re.compile(NUMBER).match
        numbers = [round(float(text), _DECIMALS) if text and is_number(text) else np.nan for text in self.distinct]
        return np.array(numbers, dtype=np.float64)[self.codes]


def shown(text: str | None) -> str | None:
    """Shorten a text for results, and escape markup in it, since Data Docs show values unescaped."""
    if text is None:
        return None
    return html.escape(text if len(text) <= MAX_EXAMPLE_LENGTH else f"{text[:MAX_EXAMPLE_LENGTH]}…", quote=False)


class Rows:
    """The rows of a dataset to validate: of `landed` rows, `looked_at` were read, and the `count` sound ones kept."""

    def __init__(self, columns: Iterable[str], landed: int) -> None:
        self.count, self.looked_at, self.landed = 0, 0, landed
        self.texts = {name: Texts() for name in columns}
        self._files, self._ends, self._lines = list[str](), list[int](), [np.empty(0, np.int32)]

    @property
    def are_full(self) -> bool:
        """Whether the rows have reached the limit on memory."""
        return self.count >= MAX_ROWS or sum(map(len, self.texts.values())) >= MAX_TEXTS

    def add(self, source_file: str, chunk: Chunk, room: int) -> None:
        """Add the first rows of a chunk, `room` at most."""
        order = chunk.order[: max(0, room)]
        for name, texts in self.texts.items():
            texts.add(chunk.columns[name], order)
        self._lines.append(chunk.lines[order].astype(np.int32))
        self.count += len(order)
        if self._files[-1:] != [source_file]:
            self._files.append(source_file)
            self._ends.append(0)
        self._ends[-1] = self.count

    @cached_property
    def lines(self) -> npt.NDArray[np.int32]:
        """The line on which each row begins."""
        return np.concatenate(self._lines)

    def frame(self, further: Mapping[str, Any]) -> pd.DataFrame:
        """Return a frame of all texts, and of `further` columns."""
        files = np.repeat(np.arange(len(self._files), dtype=np.int32), np.diff(self._ends, prepend=0).astype(int))
        places = {
            "source_file": pd.Categorical.from_codes(files, pd.Index([*map(shown, self._files)])),
            "line": self.lines,
        }
        texts = {name: texts.text(texts.distinct) for name, texts in self.texts.items()}
        casts = {f"{name}::numeric": self.texts[name].numbers() for name in NUMERIC if name in self.texts}
        return pd.DataFrame({**places, **texts, **casts, **further}, copy=False)

    def position(self, index: int | Mapping[str, Any]) -> int:
        """Return the position of a row, which Great Expectations names by this position, or by file and line."""
        if isinstance(index, int):
            return index
        file = [*map(shown, self._files)].index(index["source_file"])
        start = self._ends[file - 1] if file else 0
        return start + int(np.searchsorted(self.lines[start : self._ends[file]], index["line"]))

    def example(self, row: int, column: str) -> tuple[str | None, str, int]:
        """Return a field with its file and its line."""
        file = self._files[int(np.searchsorted(self._ends, row, side="right"))]
        return self.texts[column].distinct[self.texts[column].codes[row]], file, int(self.lines[row])


def stream_rows(files: Sequence[tuple[LandedFile, FileFacts]]) -> Rows:
    """Read all rows of the stream files, or, if they are too many, the same share from the head of each file.

    If most times of a file have another format, its rows are left out, and its facts note the format instead.
    """
    rows = Rows(USER_STREAMS.needed, sum(facts.rows or 0 for _, facts in files))
    for file, facts in files:
        room = -(-(facts.rows or 0) * min(MAX_ROWS, rows.landed) // max(1, rows.landed))
        if rows.are_full:
            room = min(room, _FEW_ROWS)
        before = rows.count
        for chunk in chunks(file, facts, USER_STREAMS, USER_STREAMS.needed) if room else ():
            if rows.count == before and _note_times_of_another_form(chunk, facts, room):
                break
            rows.add(facts.source_file, chunk, room - (rows.count - before))
            facts.rows_looked_at = min(rows.count - before + facts.corrupt_records, facts.rows or 0)
            if rows.count - before >= room or rows.are_full:
                break
        if facts.times_of_another_form:
            rows.landed -= facts.rows or 0
        else:
            rows.looked_at += facts.rows_looked_at or 0
    return rows


def _note_times_of_another_form(chunk: Chunk, facts: FileFacts, room: int) -> bool:
    """If most of the file's first times have another format than the expected one, note these times."""
    has_form, first = re.compile(FORM_OF_TIMESTAMP).match, chunk.order[: min(room, _ROWS_THAT_SHOW_THE_FORM)].tolist()
    times = {at: chunk.columns["listen_time"][at].strip(BLANKS) for at in first}
    others = [at for at, time in times.items() if time and not has_form(time)]
    if 2 * len(others) <= len(first):
        return False
    for at in others:
        facts.note("times_of_another_form", times[at], int(chunk.lines[at]))
    facts.rows_looked_at = len(first)
    return True


def stream_frame(rows: Rows, latest: datetime, found: Mapping[str, Mapping[str, str | None]]) -> pd.DataFrame:
    """Return the frame `user_streams` with the batch's latest time, and with the values `found` in users and songs."""
    users, songs, times = (rows.texts[name] for name in USER_STREAMS.needed)
    joined: dict[str, Any] = {
        "listen_time::timestamp": times.timestamps(times.distinct, TIMESTAMP),
        "batch.latest_listen_time": np.full(rows.count, latest, "datetime64[s]"),
    }
    if (of_users := found.get("users")) is not None:
        joined["users.user_id"] = users.text([text if text in of_users else None for text in users.distinct])
        created = [of_users.get(text) if text else None for text in users.distinct]
        joined["users.created_at"] = users.timestamps(created, DATE_OR_TIMESTAMP)
    if (of_songs := found.get("songs")) is not None:
        joined["songs.track_id"] = songs.text([text if text in of_songs else None for text in songs.distinct])
    return rows.frame(joined)


class SeenHashes:
    """The hashes of all keys so far, in sorted runs, each more than twice as long as the next.

    One sorted array would be sorted again for each chunk, which takes minutes for 20 million keys.
    """

    def __init__(self) -> None:
        self._runs = list[npt.NDArray[np.uint64]]()

    def hold(self, hashes: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Return for each hash whether it was added before."""
        held = np.zeros(len(hashes), np.bool_)
        for run in self._runs:
            held |= run[np.searchsorted(run, hashes).clip(max=len(run) - 1)] == hashes
        return held

    def add(self, hashes: npt.NDArray[np.uint64]) -> None:
        """Add hashes."""
        new = np.sort(hashes)
        while self._runs and len(self._runs[-1]) <= 2 * len(new):
            new = np.sort(np.concatenate([self._runs.pop(), new]), kind="stable")
        if len(new):
            self._runs.append(new)


def read_table(
    file: LandedFile, facts: FileFacts, dataset: Dataset, columns: Sequence[str], wanted: Collection[str | None]
) -> tuple[Rows, dict[str, str | None]]:
    """Read a whole reference table; return its first rows, and the `created_at` of `wanted` keys.

    Missing and repeated keys are noted in `facts`; to find them, the function keeps 8 bytes per key.
    """
    (key,) = dataset.unbroken
    rows = Rows([name for name in columns if name in facts.columns], facts.rows or 0)
    found = dict[str, str | None]()
    earlier = SeenHashes()
    for chunk in chunks(file, facts, dataset, columns):
        keys = np.array([*map(str.strip, chunk.columns[key], repeat(BLANKS))], dtype=object)[chunk.order]
        hashes, present, lines = pd.util.hash_array(keys), keys != "", chunk.lines[chunk.order]
        repeated = present & (pd.Series(hashes).duplicated().to_numpy() | earlier.hold(hashes))
        earlier.add(hashes[present & ~repeated])
        for at in np.flatnonzero(~present):
            facts.note("rows_without_key", None, int(lines[at]))
        for at in np.flatnonzero(repeated):
            facts.note("repeated_keys", keys[at], int(lines[at]))
        others = chunk.columns.get("created_at", keys)
        for at, text in zip(chunk.order, keys, strict=True):
            if text in wanted:
                found.setdefault(text, others[at])
        if not rows.are_full:
            rows.add(facts.source_file, chunk, MAX_ROWS - rows.count)
    rows.looked_at = rows.count
    return rows, found
