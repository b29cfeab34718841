"""Records as the data frames that the suites judge.

A frame holds the columns that a suite names, trimmed, missing fields as nulls, each row indexed by its line number.
What no built-in expectation can see in one chunk (an id that an earlier row had, an unknown user) is a column of its
own that names the fact and holds the offending values, null elsewhere.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, repeat
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from expectations.records import BLANKS, Chunk

Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]
Strings = npt.NDArray[np.object_]
FrameColumns = dict[str, "pd.Categorical | npt.NDArray[np.float64]"]

AS_NUMBER = "as number"
NO_NUMBER = "no number"
NO_TIME = "no time"
TOO_LATE = "too late"
REPEATED = "repeated"
UNKNOWN = "unknown"
BEFORE_SIGN_UP = "before sign-up"

NEVER = np.iinfo(np.int64).min
# ASCII digits, few enough for any reader; as the KPI jobs take them.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,20}(?:\.[0-9]{0,20})?|\.[0-9]{1,20})(?:[eE][+-]?[0-9]{1,2})?")
_DECIMALS = 3
_TIME = "0000-00-00 00:00:00"
_DATE_LENGTH = len("0000-00-00")


def fact(column: str, name: str) -> str:
    """Name the column of a frame that holds what is noted about `column`."""
    return f"{column}: {name}"


def subject(column: str) -> str:
    """Return the column of the file that a column of a frame tells of."""
    return column.partition(": ")[0]


class Texts:
    """A column's fields, trimmed; an empty one is missing. Each distinct text is kept, and judged, once.

    Attributes:
        distinct: The distinct texts.
        codes: For each row the position of its text in `distinct`, -1 where it is missing.
    """

    def __init__(self, fields: Iterable[str]) -> None:
        codes, distinct = pd.factorize(np.array(list(fields), dtype=object))
        trimmed = list(map(str.strip, distinct, repeat(BLANKS)))
        if "" in trimmed or trimmed != list(distinct):
            again, distinct = pd.factorize(np.array([text or None for text in trimmed], dtype=object))
            codes = np.append(again, -1)[codes]
        self.codes: Integers = codes
        self.distinct: Strings = distinct
        self._dtype = pd.CategoricalDtype(pd.Index(distinct))

    @property
    def present(self) -> Flags:
        """Whether each row has a text."""
        return self.codes >= 0

    def of_each_row(self, of_distinct: npt.NDArray[Any], default: Any) -> npt.NDArray[Any]:
        """Spread what is known of each distinct text over the rows."""
        return np.append(of_distinct, np.array([default], of_distinct.dtype))[self.codes]

    def where(self, flags: Flags | None = None) -> pd.Categorical:
        """Return the texts of the rows with flags, null elsewhere; without `flags` those of all rows."""
        codes = self.codes if flags is None else np.where(flags, self.codes, -1)
        return pd.Categorical.from_codes(codes, dtype=self._dtype)


class Keys:
    """The keys of a reference table and a number for each, in 16 bytes a key however long it is.

    Keys are kept as 64-bit hashes: among ten million, the odds that any two collide are one in 370,000.
    """

    def __init__(self) -> None:
        self._index = pd.Index([], dtype=np.uint64)
        self._numbers = np.empty(0, np.int64)

    def add(self, texts: Texts, numbers: Integers) -> Flags:
        """Take in keys, the first of each with its number; return which rows have the key of an earlier one."""
        present = texts.present
        hashes = pd.Series(texts.of_each_row(pd.util.hash_array(texts.distinct), 0)[present])
        repeated = (hashes.duplicated() | hashes.isin(self._index)).to_numpy()
        self._index = self._index.append(pd.Index(hashes[~repeated].to_numpy()))
        self._numbers = np.concatenate([self._numbers, numbers[present][~repeated]])
        flags = np.zeros(len(present), np.bool_)
        flags[present] = repeated
        return flags

    def find(self, texts: Texts) -> Integers:
        """Return the position of each distinct text among the keys, -1 for one that is none."""
        return self._index.get_indexer(pd.Index(pd.util.hash_array(texts.distinct))).astype(np.int64)

    def numbers(self, positions: Integers, default: int) -> Integers:
        """Return the numbers of the keys at `positions`, `default` for -1."""
        return np.append(self._numbers, default)[positions]


def stream_frame(
    chunk: Chunk, columns: Sequence[str], *, users: Keys | None, songs: Keys | None, latest: float
) -> pd.DataFrame:
    """Return the sound records of a stream file. `latest` (epoch seconds) is the last moment that a play may have."""
    texts = _texts(chunk, columns, ("user_id", "track_id", "listen_time"), sound_only=True)
    frame = _as_they_are(texts)
    played = np.full(0, NEVER)
    if "listen_time" in texts:
        times = texts["listen_time"]
        played = times.of_each_row(epoch_seconds(times.distinct), NEVER)
        frame[fact("listen_time", NO_TIME)] = times.where(played == NEVER)
        frame[fact("listen_time", TOO_LATE)] = times.where(played > latest)
    if "track_id" in texts and songs is not None:
        ids = texts["track_id"]
        frame[fact("track_id", UNKNOWN)] = ids.where(ids.of_each_row(songs.find(ids) < 0, default=False))
    if "user_id" in texts and users is not None:
        ids = texts["user_id"]
        positions = users.find(ids)
        frame[fact("user_id", UNKNOWN)] = ids.where(ids.of_each_row(positions < 0, default=False))
        if "listen_time" in texts:
            signed_up = ids.of_each_row(users.numbers(positions, NEVER), NEVER)
            frame[fact("listen_time", BEFORE_SIGN_UP)] = texts["listen_time"].where(
                (played != NEVER) & (played < signed_up)
            )
    return _frame(frame, _line_numbers(chunk, sound_only=True))


def songs_frame(chunk: Chunk, columns: Sequence[str], keys: Keys) -> pd.DataFrame:
    """Return the records of songs.csv, and add their track_ids to `keys`."""
    text_columns = ("track_id", "artists", "track_name", "track_genre", "duration_ms", "popularity")
    texts = _texts(chunk, columns, text_columns)
    frame = _as_they_are(texts) | _numbers(texts, ("duration_ms", "popularity"))
    if "track_id" in texts:
        frame[fact("track_id", REPEATED)] = texts["track_id"].where(
            keys.add(texts["track_id"], np.zeros(len(chunk), int))
        )
    return _frame(frame, _line_numbers(chunk))


def users_frame(chunk: Chunk, columns: Sequence[str], keys: Keys) -> pd.DataFrame:
    """Return the records of users.csv, and add their user_ids with the time of sign-up to `keys`."""
    texts = _texts(chunk, columns, ("user_id", "user_age", "created_at"))
    frame = _as_they_are(texts) | _numbers(texts, ("user_age",))
    signed_up = np.full(len(chunk), NEVER)
    if "created_at" in texts:
        times = texts["created_at"]
        signed_up = times.of_each_row(epoch_seconds(_with_time_of_day(times.distinct)), NEVER)
        frame[fact("created_at", NO_TIME)] = times.where(signed_up == NEVER)
    if "user_id" in texts:
        frame[fact("user_id", REPEATED)] = texts["user_id"].where(keys.add(texts["user_id"], signed_up))
    return _frame(frame, _line_numbers(chunk))


def epoch_seconds(texts: Strings) -> Integers:
    """Return the seconds since 1970 of times written just as `2024-06-25 17:43:13`, UTC; NEVER for any other text."""
    seconds = np.full(len(texts), NEVER)
    candidates = np.fromiter(map(len, texts), np.int64, len(texts)) == len(_TIME)
    letters = "".join(texts[candidates]).encode("ascii", "replace")
    characters = np.frombuffer(letters, np.uint8).reshape(-1, len(_TIME))
    is_digit = np.array([character == "0" for character in _TIME])
    digits = characters[:, is_digit] - ord("0")
    well_formed = (digits <= 9).all(axis=1)
    well_formed &= (characters[:, ~is_digit] == np.frombuffer(b"-- ::", np.uint8)).all(axis=1)

    def number(first: int, length: int) -> Integers:
        powers = 10 ** np.arange(length - 1, -1, -1)
        return digits[:, first : first + length].astype(np.int64) @ powers

    year, month, day, hour, minute, second = number(0, 4), *(number(first, 2) for first in (4, 6, 8, 10, 12))
    real = well_formed & (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1)
    real &= (hour <= 23) & (minute <= 59) & (second <= 59)
    months = (np.where(real, year, 1970) - 1970) * 12 + np.where(real, month, 1) - 1
    first_day, next_first_day = (
        (months + shift).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64) for shift in (0, 1)
    )
    real &= day <= next_first_day - first_day
    moment = (first_day + day - 1) * 86_400 + hour * 3_600 + minute * 60 + second
    seconds[candidates] = np.where(real, moment, NEVER)
    return seconds


def _with_time_of_day(texts: Strings) -> Strings:
    return np.array([f"{text} 00:00:00" if len(text) == _DATE_LENGTH else text for text in texts], dtype=object)


def _texts(
    chunk: Chunk, columns: Sequence[str], wanted: Iterable[str], *, sound_only: bool = False
) -> dict[str, Texts]:
    texts = {}
    for name in wanted:
        if name in columns:
            fields: Iterable[str] = chunk.columns[columns.index(name)]
            texts[name] = Texts(compress(fields, chunk.sound) if sound_only and chunk.sound is not None else fields)
    return texts


def _line_numbers(chunk: Chunk, *, sound_only: bool = False) -> pd.Index:
    numbers = np.asarray(chunk.line_numbers, np.int64)
    return pd.Index(numbers[chunk.sound] if sound_only and chunk.sound is not None else numbers)


def _as_they_are(texts: Mapping[str, Texts]) -> FrameColumns:
    return {name: column.where() for name, column in texts.items()}


def _numbers(texts: Mapping[str, Texts], names: Iterable[str]) -> FrameColumns:
    columns: FrameColumns = {}
    for name in names:
        if name in texts:
            column = texts[name]
            numbers = column.of_each_row(np.array([_number(text) for text in column.distinct], np.float64), np.nan)
            columns[fact(name, NO_NUMBER)] = column.where(np.isnan(numbers))
            columns[fact(name, AS_NUMBER)] = numbers
    return columns


def _number(text: str) -> float:
    return round(float(text), _DECIMALS) if _NUMBER.fullmatch(text) else np.nan


def _frame(columns: FrameColumns, line_numbers: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(columns, index=line_numbers)
