"""Seeded sample data: `python -m sandbox.sample_events FOLDER --day 2024-06-25`.

Writes `songs.csv`, `users.csv` and the day's `user_streams/*.csv` in the producers' format, with the traits of real
files: skewed popularity, late and repeated events, unknown users and tracks, and occasional invalid rows.

Row i of a day is a pure function of (seed, day, i). So a day can repeat events of an earlier day without keeping any,
and 100 million rows need no more memory than 100,000.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sandbox.sample_catalogue import UNKNOWN_TRACKS, UNKNOWN_USERS, Catalogue, Draws, Text, draws, text_table

FIRST_DAY = date(2024, 6, 25)
DEFAULT_EVENTS = 34_000
DEFAULT_FILES = 3

HEADER = b"user_id,track_id,listen_time\n"
_ROWS_PER_CHUNK = 100_000
_ANCHOR_EVERY = 4  # every fourth row is an ordinary event, which other rows may repeat
_ODD_EVERY = 1000  # of so many rows, one is invalid, and one has extra blanks or quotes
_LATE_DAYS = 3
_REPEATED_DAYS = 7
_PLAYS_BY_HOUR = [18, 12, 7, 4, 3, 4, 10, 25, 45, 50, 48, 47, 52, 50, 47, 48, 55, 66, 72, 74, 70, 62, 48, 32]

_SPLIT = np.uint64(32)
_LOW_HALF = np.uint64(0xFFFF_FFFF)

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """Events as positions in tables: user, track, days before the file's day, second of the day."""

    user: Numbers
    track: Numbers
    days_back: Numbers
    second: Numbers

    def replace(self, rows: npt.NDArray[np.bool_], other: "Events") -> None:
        """Put `other`'s events, in order, where `rows` is true."""
        for name in ("user", "track", "days_back", "second"):
            getattr(self, name)[rows] = getattr(other, name)


class SampleEvents:
    """The listening events of every day of one catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        # The distribution is flat enough that a genre's top tracks are often tied.
        self._plays_up_to_rank = np.cumsum([10**9 // (rank + 600) for rank in range(catalogue.songs)], dtype=np.uint64)
        self._hours = np.repeat(np.arange(24), _PLAYS_BY_HOUR)

    @cached_property
    def _user_ids(self) -> Text:
        return self._catalogue.user_ids()

    @cached_property
    def _track_ids(self) -> Text:
        return self._catalogue.track_ids()

    @cached_property
    def _times_of_day(self) -> Text:
        return text_table([f" {s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d}" for s in range(86_400)])

    def files(self, day: date, events: int, files: int) -> Iterator[Iterator[bytes]]:
        """Yield the day's files, each in pieces of whole lines.

        Raises:
            ValueError: Fewer than four rows for each file.
        """
        if files < 1 or events < files * _ANCHOR_EVERY:
            raise ValueError(f"{events} events in {files} files: give each file at least {_ANCHOR_EVERY} events")
        starts = [number * events // files // _ANCHOR_EVERY * _ANCHOR_EVERY for number in range(files)]
        ends = [*starts[1:], events]
        sources = [range(start, end, _ANCHOR_EVERY) for start, end in zip(starts, ends, strict=True)]
        return (
            self._file(day, range(starts[number], ends[number]), sources[number], sources[number - 1], events)
            for number in range(files)
        )

    def _file(self, day: date, rows: range, this_file: range, another_file: range, events: int) -> Iterator[bytes]:
        yield HEADER
        for start in range(rows.start, rows.stop, _ROWS_PER_CHUNK):
            yield self._lines(
                day,
                np.arange(start, min(start + _ROWS_PER_CHUNK, rows.stop), dtype=np.uint64),
                this_file=this_file,
                another_file=another_file,
                whole_day=range(0, events, _ANCHOR_EVERY),
            )

    def _lines(self, day: date, rows: Draws, *, this_file: range, another_file: range, whole_day: range) -> bytes:
        """Return the rows as CSV; the ranges hold the ordinary rows that may be repeated."""
        events = self._ordinary(day, rows)
        dice = self._draws("kind of row", day, rows)
        kind = np.where(rows % np.uint64(_ANCHOR_EVERY) == 0, 999, dice % np.uint64(1000))
        chosen = dice >> _SPLIT

        late = kind < 20
        events.days_back[late] = 1 + (chosen[late] % np.uint64(_LATE_DAYS)).astype(np.int64)
        for repeated, source in ((_between(kind, 20, 27), this_file), (_between(kind, 27, 34), another_file)):
            events.replace(repeated, self._ordinary(day, _pick(source, chosen[repeated])))
        earlier_days = min(_REPEATED_DAYS, max(0, (day - FIRST_DAY).days))
        for days_back in range(1, earlier_days + 1):
            repeated = _between(kind, 34, 41) & (dice // np.uint64(1000) % np.uint64(earlier_days) == days_back - 1)
            source_day = day - timedelta(days=days_back)
            events.replace(repeated, self._ordinary(source_day, _pick(whole_day, chosen[repeated]), days_back))
        return self._csv(day, rows, events)

    def _draws(self, purpose: str, day: date, rows: Draws) -> Draws:
        return draws(f"{self._catalogue.seed}/{day.isoformat()}/{purpose}", rows)

    def _ordinary(self, day: date, rows: Draws, days_back: int = 0) -> Events:
        """Return an ordinary event for each row."""
        users, tracks = np.uint64(self._catalogue.users), np.uint64(self._catalogue.songs)
        who = self._draws("user", day, rows)
        what = self._draws("track", day, rows)
        when = self._draws("time", day, rows)
        # The lower of two random numbers, so that the first users listen more.
        user = np.minimum((who & _LOW_HALF) % users, (who >> _SPLIT) % users)
        play = (what >> np.uint64(8)) % self._plays_up_to_rank[-1]
        rank = np.searchsorted(self._plays_up_to_rank, play, side="right").astype(np.uint64)
        track = rank * np.uint64(1_000_003) % tracks  # scatters the hits over songs.csv
        unknown = what & np.uint64(0xFF)
        user = np.where(unknown == 1, users + who % np.uint64(UNKNOWN_USERS), user)
        track = np.where(unknown == 2, tracks + who % np.uint64(UNKNOWN_TRACKS), track)
        hour = self._hours[(when & _LOW_HALF) % np.uint64(len(self._hours))]
        second = hour * 3600 + ((when >> _SPLIT) % np.uint64(3600)).astype(np.int64)
        return Events(user.astype(np.int64), track.astype(np.int64), np.full(len(rows), days_back), second)

    def _csv(self, day: date, rows: Draws, events: Events) -> bytes:
        count = len(rows)
        dates = text_table([(day - timedelta(days=back)).isoformat() for back in range(_REPEATED_DAYS + 1)])
        comma, line_end = np.full((count, 1), ord(","), np.uint8), np.full((count, 1), ord("\n"), np.uint8)
        room = np.zeros((count, 8), np.uint8)
        user_ids, track_ids = self._user_ids[events.user], self._track_ids[events.track]
        times = (dates[events.days_back], self._times_of_day[events.second])
        lines = np.concatenate([user_ids, comma, track_ids, comma, *times, line_end, room], axis=1)
        for place in (499, 899):
            for row in np.flatnonzero(rows % np.uint64(_ODD_EVERY) == place).tolist():
                user, track, time = lines[row][lines[row] != 0].tobytes().decode().rstrip("\n").split(",")
                turn = int(rows[row]) // _ODD_EVERY + day.toordinal()
                line = _no_event(user, track, time, turn) if place == 499 else _dressed(user, track, time, turn)
                lines[row] = np.frombuffer(line.encode().ljust(lines.shape[1], b"\0"), dtype=np.uint8)
        return bytes(lines[lines != 0].tobytes())


def _between(kind: npt.NDArray[np.uint64], low: int, high: int) -> npt.NDArray[np.bool_]:
    return (low <= kind) & (kind < high)


def _pick(source: range, chosen: Draws) -> Draws:
    return np.uint64(source.start) + chosen % np.uint64(len(source)) * np.uint64(source.step)


def _no_event(user: str, track: str, time: str, turn: int) -> str:
    """Return a line that curation must reject; the kinds take turns."""
    kinds = [
        f",{track},{time}",
        f"{user},{track},{time[:10]} 25:61:00",
        f"{user},{track}",
        f"{user},{track},2099-12-31 23:59:59",
        f"{user},,{time}",
        f"{user},{track},2024-02-30 12:00:00",
        f"{user},{track},{time},extra",
        f"{user},{track},",
        f"{user},{track},{time[8:10]}/{time[5:7]}/{time[:4]} {time[11:16]}",
    ]
    return kinds[turn % len(kinds)] + "\n"


def _dressed(user: str, track: str, time: str, turn: int) -> str:
    """Return the same event with extra blanks or quotes."""
    return [f" {user},{track} , {time} \n", f'"{user}","{track}","{time}"\n'][turn % 2]


def write_sample_day(
    folder: Path,
    day: date,
    *,
    events: int = DEFAULT_EVENTS,
    files: int = DEFAULT_FILES,
    catalogue: Catalogue | None = None,
    rewrite_reference: bool = False,
) -> list[Path]:
    """Write the day's stream files below `folder`, and songs.csv and users.csv if they are missing or to be rewritten.

    The same arguments give the same bytes. Rows that repeat an earlier day's match only if that day has as many events.

    Returns:
        The stream files.

    Raises:
        ValueError: Fewer than four events for each file.
    """
    catalogue = catalogue or Catalogue()
    contents = SampleEvents(catalogue).files(day, events, files)
    streams = folder / "user_streams"
    streams.mkdir(parents=True, exist_ok=True)
    if rewrite_reference or not (folder / "songs.csv").exists():
        catalogue.write_songs(folder / "songs.csv")
    if rewrite_reference or not (folder / "users.csv").exists():
        catalogue.write_users(folder / "users.csv")

    paths = []
    for number, pieces in enumerate(contents, start=1):
        path = streams / f"{day.isoformat()}_part{number}.csv"
        unfinished = path.with_name(path.name + ".unfinished")
        with unfinished.open("wb") as file:
            file.writelines(pieces)
        unfinished.replace(path)
        paths.append(path)
    return paths


def main(arguments: list[str] | None = None) -> int:
    """Write sample data to a folder."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.sample_events", description="Writes seeded sample data.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--day", type=date.fromisoformat, default=FIRST_DAY, help="the events' day (%(default)s)")
    parser.add_argument(
        "--events", type=int, default=DEFAULT_EVENTS, help="rows over all files of the day (%(default)s)"
    )
    parser.add_argument("--files", type=int, default=DEFAULT_FILES, help="stream files of the day (%(default)s)")
    parser.add_argument("--seed", type=int, default=Catalogue.seed, help="another seed, other data (%(default)s)")
    parser.add_argument("--songs", type=int, default=Catalogue.songs, help="distinct tracks in songs.csv (%(default)s)")
    parser.add_argument("--users", type=int, default=Catalogue.users, help="rows of users.csv (%(default)s)")
    parser.add_argument(
        "--rewrite-reference", action="store_true", help="write songs.csv and users.csv though they exist"
    )
    options = parser.parse_args(arguments)
    try:
        paths = write_sample_day(
            options.folder,
            options.day,
            events=options.events,
            files=options.files,
            catalogue=Catalogue(options.seed, options.songs, options.users),
            rewrite_reference=options.rewrite_reference,
        )
    except ValueError as error:
        parser.error(str(error))
    sys.stdout.writelines(f"{path}\n" for path in paths)
    return 0


if __name__ == "__main__":
    sys.exit(main())
