"""Records as the data frames that the suites judge.

A frame holds the columns that a suite names, trimmed, missing fields as nulls, each row indexed by its line number.
What no built-in expectation can see in one chunk (an id that an earlier row had, an unknown user) is a column of its
own that names the fact and holds the offending values, null elsewhere.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from expectations.records import BLANKS, Chunk

Texts = npt.NDArray[np.object_]  # of str and None
Flags = npt.NDArray[np.bool_]
Columns = dict[str, npt.NDArray[Any]]

AS_NUMBER = "as number"
NO_NUMBER = "no number"
NO_TIME = "no time"
TOO_LATE = "too late"
REPEATED = "repeated"
UNKNOWN = "unknown"
BEFORE_SIGN_UP = "before sign-up"

NEVER = np.iinfo(np.int64).min
_TIME = "0000-00-00 00:00:00"
_DATE_LENGTH = len("0000-00-00")


def fact(column: str, name: str) -> str:
    """Name the column of a frame that holds what is noted about `column`."""
    return f"{column}: {name}"


def subject(column: str) -> str:
    """Return the column of the file that a column of a frame tells of."""
    return column.partition(": ")[0]


class Keys:
    """The keys of a reference table and a number for each, in 16 bytes a key however long it is.

    Keys are kept as 64-bit hashes: among ten million, the odds that any two collide are one in 400,000.
    """

    def __init__(self) -> None:
        self._index = pd.Index([], dtype=np.uint64)
        self._numbers = np.empty(0, np.int64)

    def add(self, texts: Texts, numbers: npt.NDArray[np.int64]) -> Flags:
        """Take in keys, the first of each with its number; return which were there before. Nulls are no keys."""
        present = _present(texts)
        hashes = pd.Series(pd.util.hash_array(texts)[present])
        repeated = (hashes.duplicated() | hashes.isin(self._index)).to_numpy()
        self._index = self._index.append(pd.Index(hashes[~repeated].to_numpy()))
        self._numbers = np.concatenate([self._numbers, numbers[present][~repeated]])
        flags = np.zeros(len(texts), np.bool_)
        flags[present] = repeated
        return flags

    def find(self, texts: Texts) -> npt.NDArray[np.int64]:
        """Return the positions of keys, -1 for one that is not there."""
        return self._index.get_indexer(pd.Index(pd.util.hash_array(texts))).astype(np.int64)

    def numbers(self, positions: npt.NDArray[np.int64], default: int) -> npt.NDArray[np.int64]:
        """Return the numbers at `positions`, `default` for -1."""
        return np.where(positions >= 0, np.append(self._numbers, default)[positions], default)


def stream_frame(
    chunk: Chunk, columns: Sequence[str], *, users: Keys | None, songs: Keys | None, latest: float
) -> pd.DataFrame:
    """Return the sound records of a stream file. `latest` (epoch seconds) is the last moment that a play may have."""
    texts = _texts(chunk, columns, ("user_id", "track_id", "listen_time"), sound_only=True)
    frame: Columns = dict(texts)
    if "listen_time" in texts:
        times = texts["listen_time"]
        seconds = epoch_seconds(times)
        frame[fact("listen_time", NO_TIME)] = _where((seconds == NEVER) & _present(times), times)
        frame[fact("listen_time", TOO_LATE)] = _where(seconds > latest, times)
    if "track_id" in texts and songs is not None:
        ids = texts["track_id"]
        frame[fact("track_id", UNKNOWN)] = _where((songs.find(ids) < 0) & _present(ids), ids)
    if "user_id" in texts and users is not None:
        ids = texts["user_id"]
        positions = users.find(ids)
        frame[fact("user_id", UNKNOWN)] = _where((positions < 0) & _present(ids), ids)
        if "listen_time" in texts:
            before = (seconds < users.numbers(positions, NEVER)) & (seconds != NEVER)
            frame[fact("listen_time", BEFORE_SIGN_UP)] = _where(before, times)
    return _frame(frame, _line_numbers(chunk, sound_only=True))


def songs_frame(chunk: Chunk, columns: Sequence[str], keys: Keys) -> pd.DataFrame:
    """Return the records of songs.csv, and add their track_ids to `keys`."""
    text_columns = ("track_id", "artists", "track_name", "track_genre", "duration_ms", "popularity")
    texts = _texts(chunk, columns, text_columns)
    frame: Columns = texts | _numbers(texts, ("duration_ms", "popularity"))
    if "track_id" in texts:
        ids = texts["track_id"]
        frame[fact("track_id", REPEATED)] = _where(keys.add(ids, np.zeros(len(ids), np.int64)), ids)
    return _frame(frame, _line_numbers(chunk))


def users_frame(chunk: Chunk, columns: Sequence[str], keys: Keys) -> pd.DataFrame:
    """Return the records of users.csv, and add their user_ids with the time of sign-up to `keys`."""
    texts = _texts(chunk, columns, ("user_id", "user_age", "created_at"))
    frame: Columns = texts | _numbers(texts, ("user_age",))
    sign_up = np.full(len(chunk), NEVER)
    if "created_at" in texts:
        times = texts["created_at"]
        sign_up = epoch_seconds(np.array([_with_time_of_day(time) for time in times], dtype=object))
        frame[fact("created_at", NO_TIME)] = _where((sign_up == NEVER) & _present(times), times)
    if "user_id" in texts:
        ids = texts["user_id"]
        frame[fact("user_id", REPEATED)] = _where(keys.add(ids, sign_up), ids)
    return _frame(frame, _line_numbers(chunk))


def epoch_seconds(texts: Texts) -> npt.NDArray[np.int64]:
    """Return the seconds since 1970 of times written just as `2024-06-25 17:43:13`, UTC; NEVER for any other text."""
    seconds = np.full(len(texts), NEVER)
    candidates = np.fromiter((text is not None and len(text) == len(_TIME) for text in texts), np.bool_, len(texts))
    letters = "".join(compress(texts, candidates)).encode("ascii", "replace")
    characters = np.frombuffer(letters, np.uint8).reshape(-1, len(_TIME))
    is_digit = np.array([character == "0" for character in _TIME])
    digits = characters[:, is_digit] - ord("0")
    well_formed = (digits <= 9).all(axis=1)
    well_formed &= (characters[:, ~is_digit] == np.frombuffer(b"-- ::", np.uint8)).all(axis=1)

    def number(first: int, length: int) -> npt.NDArray[np.int64]:
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


def _with_time_of_day(text: str | None) -> str | None:
    return f"{text} 00:00:00" if text is not None and len(text) == _DATE_LENGTH else text


def _texts(chunk: Chunk, columns: Sequence[str], wanted: Iterable[str], *, sound_only: bool = False) -> Columns:
    texts: Columns = {}
    for name in wanted:
        if name in columns:
            fields: Iterable[str] = chunk.columns[columns.index(name)]
            if sound_only and chunk.sound is not None:
                fields = compress(fields, chunk.sound)
            texts[name] = np.array([field.strip(BLANKS) or None for field in fields], dtype=object)
    return texts


def _line_numbers(chunk: Chunk, *, sound_only: bool = False) -> pd.Index:
    numbers = np.asarray(chunk.line_numbers, np.int64)
    return pd.Index(numbers[chunk.sound] if sound_only and chunk.sound is not None else numbers)


def _numbers(texts: Mapping[str, Texts], names: Iterable[str]) -> Columns:
    columns: Columns = {}
    for name in names:
        if name in texts:
            numbers = pd.to_numeric(pd.Series(texts[name], dtype=object), errors="coerce").to_numpy(np.float64)
            numbers[~np.isfinite(numbers)] = np.nan
            columns[fact(name, NO_NUMBER)] = _where(np.isnan(numbers) & _present(texts[name]), texts[name])
            columns[fact(name, AS_NUMBER)] = numbers
    return columns


def _present(texts: Texts) -> Flags:
    return ~pd.isna(texts)


def _where(flags: Flags, texts: Texts) -> Texts:
    column = texts.copy()
    column[~flags] = None
    return column


def _frame(columns: Columns, line_numbers: pd.Index) -> pd.DataFrame:
    return pd.DataFrame(columns, index=line_numbers)
