"""Read rows of landed files into the data frames that Great Expectations validates.

A frame holds a file's columns as text, and the place of each row: `source_file`, `line`. `x::timestamp` and
`x::numeric` are the column `x` cast to that type, null if the text is invalid. `users.created_at` is joined in from
another table.
"""

import html
import io
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from contract.csv_format import BLANKS, BYTE_ORDER_MARK, fields_of, is_blank, split_records
from contract.datasets import SONGS, USER_STREAMS, USERS, Dataset
from contract.rejections import fault_of
from expectations.report import MAX_EXAMPLE_LENGTH, LandedFile
from expectations.scan import FileFacts, decompressed

MAX_ROWS = 200_000  # of all files of a dataset
MAX_CHARACTERS = 50_000_000  # of these rows; the limit bounds the memory of a frame of long texts
_FEW_ROWS = 100
_ROWS_AT_ONCE = 10_000

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

Texts = Sequence[str | None]


@dataclass(frozen=True)
class Chunk:
    """Some rows of a file: the numbers of their first lines, and their fields by column without the blanks around."""

    lines: Sequence[int]
    columns: Mapping[str, Sequence[str]]
    characters: int


def records_of(file: LandedFile, facts: FileFacts, dataset: Dataset) -> Iterator[tuple[int, str]]:
    """Yield each record of a scanned file that is not blank, with the number of its first line."""
    with closing(file.open()) as stream:
        lines = io.TextIOWrapper(decompressed(file, stream), "utf-8", errors="replace")
        next(lines)
        number = 2
        for record in split_records(lines, facts.columns, dataset.unbroken):
            if not is_blank(record):
                yield number, record
            number += record.count("\n") + 1


def read_chunk(
    records: Iterator[tuple[int, str]], facts: FileFacts, dataset: Dataset, columns: Collection[str], count: int
) -> Chunk:
    """Read the next rows, `count` of them, or fewer if they are long or the records end.

    Corrupt records, which do not fit the file's columns, are noted in `facts`. Corrupt records of reference tables
    become rows, padded or cut, because the jobs read them so.
    """
    header, width = (facts.header or "").removeprefix(BYTE_ORDER_MARK), len(facts.columns)
    is_reference = dataset != USER_STREAMS
    lines, texts, characters = list[int](), {name: list[str]() for name in columns}, 0
    places = [(texts[name], facts.columns.index(name)) for name in columns]
    while len(lines) < count and characters < MAX_CHARACTERS and (found := next(records, None)):
        line, record = found
        fields, is_well_quoted = fields_of(record)
        if fault_of(record, fields, is_well_quoted=is_well_quoted, header=header, width=width):
            facts.note("misquoted_rows" if is_reference and not is_well_quoted else "corrupt_records", record, line)
            if not is_reference:
                continue
            fields += [""] * (width - len(fields))
        lines.append(line)
        characters += len(record)
        for column, position in places:
            column.append(fields[position])
    stripped = {name: [*map(str.strip, column, repeat(BLANKS))] for name, column in texts.items()}
    return Chunk(lines, stripped, characters)


class Rows:
    """The rows of a dataset to validate: of `landed` rows, `looked_at` were read, and the `count` sound ones kept."""

    def __init__(self, columns: Iterable[str], landed: int) -> None:
        self.looked_at, self.landed = 0, landed
        self.columns = {name: list[str | None]() for name in columns}
        self.files, self.lines = list[str](), list[int]()
        self._characters = 0

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def are_full(self) -> bool:
        """Whether the rows have reached the limit on memory."""
        return self.count >= MAX_ROWS or self._characters >= MAX_CHARACTERS

    def add(self, source_file: str, chunk: Chunk) -> None:
        """Add rows of a file."""
        self.files += [source_file] * len(chunk.lines)
        self.lines += chunk.lines
        for name, texts in self.columns.items():
            texts += [text or None for text in chunk.columns[name]]
        self._characters += chunk.characters

    def frame(self, further: Mapping[str, Any]) -> pd.DataFrame:
        """Return a frame of all texts, and of `further` columns."""
        places = {"source_file": _categories(self.files), "line": np.array(self.lines, np.int32)}
        texts = {name: _categories(texts) for name, texts in self.columns.items()}
        casts = {f"{name}::numeric": _numbers(self.columns[name]) for name in NUMERIC if name in self.columns}
        return pd.DataFrame({**places, **texts, **casts, **further}, copy=False)

    @cached_property
    def _positions(self) -> dict[tuple[str | None, int], int]:
        places = zip(map(shown, self.files), self.lines, strict=True)
        return {place: position for position, place in enumerate(places)}

    def position(self, index: int | Mapping[str, Any]) -> int:
        """Return the position of a row, which Great Expectations names by this position, or by file and line."""
        return index if isinstance(index, int) else self._positions[index["source_file"], index["line"]]


def shown(text: str | None) -> str | None:
    """Shorten a text for results, and escape markup in it, since Data Docs show values unescaped."""
    if text is None:
        return None
    return html.escape(text if len(text) <= MAX_EXAMPLE_LENGTH else f"{text[:MAX_EXAMPLE_LENGTH]}…", quote=False)


def _categories(texts: Texts) -> pd.Categorical:
    codes, distinct = pd.factorize(np.array(texts, dtype=object))  # the code of None is -1
    shown_codes, shown_texts = pd.factorize(np.array([*map(shown, distinct)], dtype=object))
    return pd.Categorical.from_codes(np.append(shown_codes, -1)[codes], pd.Index(shown_texts, dtype=object))


def _cast(texts: Texts, form: str, dtype: str, null: str) -> npt.NDArray[Any]:
    """Cast each distinct text once; those that do not have the form, and None, become `null`."""
    codes, distinct = pd.factorize(np.array(texts, dtype=object))
    has_form = re.compile(form).match
    return np.array([*(text if has_form(text) else null for text in distinct), null]).astype(dtype)[codes]


def _timestamps(texts: Texts, form: str) -> npt.NDArray[np.datetime64]:
    return _cast(texts, form, "datetime64[s]", "NaT")


def _numbers(texts: Texts) -> npt.NDArray[np.float64]:
    return _cast(texts, NUMBER, "float64", "nan").round(_DECIMALS)


def stream_rows(files: Sequence[tuple[LandedFile, FileFacts]]) -> Rows:
    """Read all rows of the stream files, or, if they are too many, the same share from the head of each file.

    If most times of a file have another format, its rows are left out, and its facts note the format instead.
    """
    rows = Rows(USER_STREAMS.needed, sum(facts.rows or 0 for _, facts in files))
    at_most = min(MAX_ROWS, rows.landed)
    for file, facts in files:
        room, before = -(-(facts.rows or 0) * at_most // max(1, rows.landed)), rows.count
        if rows.are_full:
            room = min(room, _FEW_ROWS)
        records = records_of(file, facts, USER_STREAMS)
        while (
            room and (chunk := read_chunk(records, facts, USER_STREAMS, rows.columns, min(room, _ROWS_AT_ONCE))).lines
        ):
            if rows.count == before and _note_times_of_another_form(chunk, facts):
                break
            rows.add(file.name, chunk)
            room = 0 if rows.are_full else room - len(chunk.lines)
        if facts.times_of_another_form:
            facts.rows_looked_at = len(chunk.lines) + facts.corrupt_records
            rows.landed -= facts.rows or 0
        else:
            facts.rows_looked_at = rows.count - before + facts.corrupt_records
            rows.looked_at += facts.rows_looked_at
    return rows


def _note_times_of_another_form(chunk: Chunk, facts: FileFacts) -> bool:
    """If most times of a file's first rows have another format than the expected one, note these times."""
    has_form, times = re.compile(FORM_OF_TIMESTAMP).match, chunk.columns["listen_time"]
    others = [(time, line) for time, line in zip(times, chunk.lines, strict=True) if time and not has_form(time)]
    if 2 * len(others) <= len(times):
        return False
    for time, line in others:
        facts.note("times_of_another_form", time, line)
    return True


def stream_frame(rows: Rows, latest: datetime, found: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Return the frame `user_streams` with the batch's latest time, and with the values `found` in users and songs."""
    users, songs, times = (rows.columns[name] for name in USER_STREAMS.needed)
    joined: dict[str, Any] = {
        "listen_time::timestamp": _timestamps(times, TIMESTAMP),
        "batch.latest_listen_time": np.full(rows.count, latest, "datetime64[s]"),
    }
    if (of_users := found.get(USERS.name)) is not None:
        joined["users.user_id"] = _categories([text if text in of_users else None for text in users])
        joined["users.created_at"] = _timestamps([of_users.get(text or "") for text in users], DATE_OR_TIMESTAMP)
    if (of_songs := found.get(SONGS.name)) is not None:
        joined["songs.track_id"] = _categories([text if text in of_songs else None for text in songs])
    return rows.frame(joined)


class SeenKeys:
    """The hashes of all keys so far, in sorted runs, each more than twice as long as the next.

    One sorted array would be sorted again for each chunk, which takes minutes for 20 million keys.
    """

    def __init__(self) -> None:
        self._runs = list[npt.NDArray[np.uint64]]()

    def add(self, keys: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Add keys; return for each whether it came before, among these keys or earlier."""
        hashes = pd.util.hash_array(np.array(keys, dtype=object))
        repeated = pd.Series(hashes).duplicated().to_numpy(copy=True)
        for run in self._runs:
            repeated |= run[np.searchsorted(run, hashes).clip(max=len(run) - 1)] == hashes
        new = np.sort(hashes[~repeated])
        while self._runs and len(self._runs[-1]) <= 2 * len(new):
            new = np.sort(np.concatenate([self._runs.pop(), new]), kind="stable")
        if len(new):
            self._runs.append(new)
        return repeated


def read_table(
    file: LandedFile, facts: FileFacts, dataset: Dataset, columns: Sequence[str], wanted: Collection[str | None]
) -> tuple[Rows, dict[str, str]]:
    """Read a whole reference table; return its first rows, and the `created_at` of `wanted` keys, empty if it has none.

    Missing and repeated keys are noted in `facts`; to find them, the function keeps 8 bytes per key.
    """
    (key_column,), names = dataset.unbroken, [name for name in columns if name in facts.columns]
    rows, found, seen = Rows(names, facts.rows or 0), dict[str, str](), SeenKeys()
    records = records_of(file, facts, dataset)
    while (chunk := read_chunk(records, facts, dataset, names, _ROWS_AT_ONCE)).lines:
        keys = chunk.columns[key_column]
        created = chunk.columns.get("created_at", repeat(""))
        for key, is_repeated, line, created_at in zip(keys, seen.add(keys), chunk.lines, created, strict=False):
            if not key:
                facts.note("rows_without_key", None, line)
            elif is_repeated:
                facts.note("repeated_keys", key, line)
            elif key in wanted:
                found[key] = created_at
        if not rows.are_full:
            rows.add(file.name, chunk)
    rows.looked_at = rows.count
    return rows, found
