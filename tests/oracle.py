"""The KPI tables worked out a second time, in plain Python straight from the CSV bytes: the pipeline's measure.

Independent on purpose: no Spark, SQL or pandas, and nothing imported from the project. Each rule of docs/kpis.md stands
here in its simplest form. Files that are not RFC 4180, or that validation would refuse, are not its business: it
raises.
"""

import csv
import io
import math
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal

Value = str | int | float | date | None
Row = dict[str, Value]
GenreKey = tuple[date, str]
HourKey = tuple[date, int]

GENRE_KEY = ("listen_date", "track_genre")
HOUR_KEY = ("listen_date", "listen_hour")
KEYS = {"genre_level_kpis": GENRE_KEY, "hourly_kpis": HOUR_KEY}

BLANKS = " \t\n\r\f\v"
FORBIDDEN = "\0\uffff"
UNKNOWN = "unknown"
ID_BYTES, GENRE_BYTES, NAME_BYTES = 64, 256, 1024
AGE_BANDS = [(17, "<18"), (25, "18-25"), (35, "26-35"), (45, "36-45"), (55, "46-55"), (65, "56-65"), (130, "66+")]

THOUSANDTH, WIDE, ENDLESS = Decimal("0.001"), Context(prec=60), Decimal("1e35")
LONGEST_MS, OLDEST = 10**12, 130

csv.field_size_limit(sys.maxsize)
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
_LISTEN_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}")


@dataclass(frozen=True)
class Expected:
    """The KPI tables by key, and what became of the rows."""

    genre_level_kpis: dict[GenreKey, Row]
    hourly_kpis: dict[HourKey, Row]
    accepted: int
    duplicates: int
    rejected: Counter[str]
    accepted_by_date: dict[date, int]

    def differences(self, found: Mapping[str, str]) -> str:
        """What differs between all KPI tables and those `found` by name as CSV; empty when nothing does."""
        tables = (differences(getattr(self, name), found[name], key) for name, key in KEYS.items())
        return "\n".join(filter(None, tables))


@dataclass(frozen=True)
class Song:
    """What a play needs to know of its track."""

    artists: frozenset[str]
    name: str | None
    duration_ms: Decimal | None
    genre: str


@dataclass(frozen=True)
class Event:
    """A play; equal ones are the same play."""

    user_id: str
    track_id: str
    time: datetime


@dataclass
class _Plays:
    """The plays of one row of a table."""

    events: list[Event] = field(default_factory=list)

    def top(self, counts: Counter[str]) -> str:
        """The name counted most; of tied names the smallest in code-point order."""
        most = max(counts.values())
        return min(name for name, count in counts.items() if count == most)

    @property
    def tracks(self) -> Counter[str]:
        return Counter(event.track_id for event in self.events)

    @property
    def users(self) -> set[str]:
        return {event.user_id for event in self.events}


def expected_tables(
    songs: bytes,
    users: bytes,
    stream_files: Iterable[tuple[str, bytes]],
    batch_time: datetime | Mapping[str, datetime],
) -> Expected:
    """The KPI tables of all events in the files, whatever batch they came in.

    Args:
        songs: The bytes of songs.csv.
        users: The bytes of users.csv.
        stream_files: Name and bytes of each stream file that was ever processed, replaced versions included.
        batch_time: The time of the batch that took the files, or of each file by name. Aware.

    Raises:
        ValueError: A file is no CSV, is empty or lacks a column, or users.csv names a user twice.
    """
    accepted: Counter[Event] = Counter()
    rejected: Counter[str] = Counter()
    for name, content in stream_files:
        time = batch_time[name] if isinstance(batch_time, Mapping) else batch_time
        for judged in _judged_rows(name, content, time):
            if isinstance(judged, Event):
                accepted[judged] += 1
            else:
                rejected[judged] += 1
    song_of, age_of = _songs(songs), _ages(users)
    return Expected(
        genre_level_kpis=_genre_level_kpis(accepted, song_of),
        hourly_kpis=_hourly_kpis(accepted, song_of, age_of),
        accepted=len(accepted),
        duplicates=accepted.total() - len(accepted),
        rejected=rejected,
        accepted_by_date=dict(Counter(event.time.date() for event in accepted)),
    )


def _judged_rows(name: str, content: bytes, batch_time: datetime) -> Iterator[Event | str]:
    """Each row's event, or the reason why it is none."""
    header, rows = _read(name, content, ("user_id", "track_id", "listen_time"))
    columns = [column.strip(BLANKS) for column in header]
    user, track, listen_time = (columns.index(column) for column in ("user_id", "track_id", "listen_time"))
    for row in rows:
        if row == header or [row[0].removeprefix("\ufeff"), *row[1:]] == header:
            yield "repeated header"
        elif any(character in text for text in row for character in FORBIDDEN):
            yield "forbidden character"
        elif len(row) != len(columns):
            yield "wrong number of fields"
        else:
            yield _judged(row[user].strip(BLANKS), row[track].strip(BLANKS), row[listen_time].strip(BLANKS), batch_time)


def _judged(user_id: str, track_id: str, listen_time: str, batch_time: datetime) -> Event | str:
    for column, text in (("user_id", user_id), ("track_id", track_id), ("listen_time", listen_time)):
        if not text:
            return f"{column} is missing"
    if not _LISTEN_TIME.fullmatch(listen_time):
        return "listen_time is not a timestamp"
    try:
        time = datetime.fromisoformat(listen_time).replace(tzinfo=UTC)
    except ValueError:
        return "listen_time is not a timestamp"
    if time > batch_time + timedelta(days=1):
        return "listen_time is in the future"
    return Event(user_id, track_id, time)


def _genre_level_kpis(events: Iterable[Event], song_of: Mapping[str, Song]) -> dict[GenreKey, Row]:
    plays_of_date: Counter[date] = Counter()
    groups: defaultdict[GenreKey, _Plays] = defaultdict(_Plays)
    for event in events:
        song = song_of.get(event.track_id)
        genre = song.genre if song else UNKNOWN
        plays_of_date[event.time.date()] += 1
        groups[event.time.date(), genre].events.append(event)

    rows: dict[GenreKey, Row] = {}
    for (day, genre), plays in groups.items():
        known = [song_of[event.track_id] for event in plays.events if event.track_id in song_of]
        durations = [song.duration_ms for song in known if song.duration_ms is not None]
        most_popular = plays.top(plays.tracks)
        song = song_of.get(most_popular)
        rows[day, genre] = {
            "listen_date": day,
            "track_genre": genre,
            "listen_count": len(plays.events),
            "unique_listeners": len(plays.users),
            "popularity_index": len(plays.events) / plays_of_date[day],
            "average_duration": float(sum(durations) / 1000 / len(durations))
            if durations and genre != UNKNOWN
            else None,
            "most_popular_track_id": cut(most_popular, ID_BYTES),
            "most_popular_track_name": cut(song.name, NAME_BYTES) if song and song.name else None,
        }
    return rows


def _hourly_kpis(
    events: Iterable[Event], song_of: Mapping[str, Song], age_of: Mapping[str, int | None]
) -> dict[HourKey, Row]:
    groups: defaultdict[HourKey, _Plays] = defaultdict(_Plays)
    for event in events:
        groups[event.time.date(), event.time.hour].events.append(event)

    rows: dict[HourKey, Row] = {}
    for (day, hour), plays in groups.items():
        artists = Counter(
            artist for event in plays.events if event.track_id in song_of for artist in song_of[event.track_id].artists
        )
        bands = Counter(band for event in plays.events if (band := age_band(age_of.get(event.user_id))) is not None)
        top_artist = plays.top(artists) if artists else None
        rows[day, hour] = {
            "listen_date": day,
            "listen_hour": hour,
            "listen_count": len(plays.events),
            "unique_listeners": len(plays.users),
            "listens_per_listener": len(plays.events) / len(plays.users),
            "top_artist": cut(top_artist, NAME_BYTES) if top_artist is not None else None,
            "top_artist_listen_count": artists[top_artist] if top_artist is not None else None,
            "diversity_index": len(plays.tracks) / len(plays.events),
            "most_engaged_age_group": _youngest_of_the_most_engaged(bands),
        }
    return rows


def _youngest_of_the_most_engaged(bands: Counter[str]) -> str | None:
    # max keeps the first of equals, and the bands stand from young to old.
    return max((band for _, band in AGE_BANDS if band in bands), key=lambda band: bands[band], default=None)


def age_band(age: int | None) -> str | None:
    """The band of an age in years; None for no age, or one that nobody has."""
    if age is None or not 0 <= age <= 130:
        return None
    return next(band for oldest, band in AGE_BANDS if age <= oldest)


def cut(text: str, limit: int) -> str:
    """The longest beginning of `text`, forbidden characters left out, that has at most `limit` bytes of UTF-8."""
    return "".join(letter for letter in text if letter not in FORBIDDEN).encode()[:limit].decode(errors="ignore")


def _songs(content: bytes) -> dict[str, Song]:
    """Songs by track; of a track that comes twice, the row with the lowest id."""
    required = ("track_id", "artists", "track_name", "duration_ms", "track_genre")
    lowest: dict[str, Decimal | float] = {}
    songs: dict[str, Song] = {}
    for row in _records("songs.csv", content, required):
        track_id = row["track_id"].strip(BLANKS)
        id_ = _number(row.get("id", ""))
        rank = math.inf if id_ is None else id_
        if track_id in songs and rank >= lowest[track_id]:
            continue
        lowest[track_id] = rank
        duration = _number(row["duration_ms"])
        songs[track_id] = Song(
            artists=frozenset(artist for part in row["artists"].split(";") if (artist := part.strip(BLANKS))),
            name=row["track_name"] or None,
            duration_ms=duration if duration is not None and 0 <= duration <= LONGEST_MS else None,
            genre=cut(row["track_genre"], GENRE_BYTES).rstrip(" ") if row["track_genre"].strip(BLANKS) else UNKNOWN,
        )
    return songs


def _ages(content: bytes) -> dict[str, int | None]:
    ages: dict[str, int | None] = {}
    for row in _records("users.csv", content, ("user_id", "user_age")):
        user_id = row["user_id"].strip(BLANKS)
        if user_id in ages:
            raise ValueError(f"users.csv: user_id {user_id!r} comes twice")
        age = _number(row["user_age"])
        ages[user_id] = math.floor(age) if age is not None and 0 <= age <= OLDEST else None
    return ages


def _number(text: str) -> Decimal | None:
    """A number in ASCII digits, to a thousandth."""
    text = text.strip(BLANKS)
    value = Decimal(text) if _NUMBER.fullmatch(text) else ENDLESS
    return value.quantize(THOUSANDTH, ROUND_HALF_UP, WIDE) if abs(value) < ENDLESS else None


def _records(name: str, content: bytes, required: Sequence[str]) -> Iterator[dict[str, str]]:
    header, rows = _read(name, content, required)
    columns = [column.strip(BLANKS) for column in header]
    for row in rows:
        yield dict(zip(columns, [*row, *[""] * len(columns)], strict=False))


def _read(name: str, content: bytes, required: Sequence[str]) -> tuple[list[str], Iterator[list[str]]]:
    """The header as it stands, and the rows that are not blank."""
    text = io.StringIO(content.decode("utf-8-sig"), newline="")
    rows = (row for row in csv.reader(text, strict=True) if not _is_blank(row))
    header = next(rows, None)
    if header is None:
        raise ValueError(f"{name} is empty")
    missing = [column for column in required if column not in (column.strip(BLANKS) for column in header)]
    if missing:
        raise ValueError(f"{name} lacks the columns {missing}")
    return header, rows


def _is_blank(row: Sequence[str]) -> bool:
    # An empty field in quotes is a field.
    return not row or (len(row) == 1 and row[0] != "" and not row[0].strip(BLANKS))


def differences(expected: Mapping[GenreKey, Row] | Mapping[HourKey, Row], found: str, key: Sequence[str]) -> str:
    """What differs between expected rows and rows read as CSV with a header; empty when nothing does.

    Columns that nothing is expected of are ignored. An empty field is null; other fields are read as the type of the
    expected value. Doubles may differ by a billionth.

    Args:
        expected: Rows by key, from `expected_tables`.
        found: CSV text, as `make query` prints it.
        key: The columns of the key.
    """
    reader = csv.DictReader(io.StringIO(found, newline=""), strict=True)
    found_rows: dict[tuple[str, ...], dict[str, str]] = {}
    lines = []
    for row in reader:
        found_key = tuple(row[column] for column in key)
        if found_key in found_rows:
            lines.append(f"{_shown(found_key)}: comes more than once")
        found_rows[found_key] = row
    expected_rows = {tuple(str(part) for part in expected_key): row for expected_key, row in expected.items()}
    for row_key in sorted(expected_rows.keys() | found_rows.keys()):
        if row_key not in found_rows:
            lines.append(f"{_shown(row_key)}: missing")
        elif row_key not in expected_rows:
            lines.append(f"{_shown(row_key)}: not expected")
        else:
            lines += _differences_of_row(row_key, expected_rows[row_key], found_rows[row_key])
    return "\n".join(lines)


def _differences_of_row(key: tuple[str, ...], expected: Row, found: Mapping[str, str]) -> Iterator[str]:
    for column, value in expected.items():
        if column not in found:
            yield f"{_shown(key)}: no column {column}"
        elif not _equal(value, found[column]):
            yield f"{_shown(key)}: {column} is {found[column]!r}, expected {value!r}"


def _equal(value: Value, found: str) -> bool:
    if isinstance(value, float):
        try:
            return math.isclose(value, float(found), rel_tol=1e-9, abs_tol=0)
        except ValueError:
            return False
    return found == ("" if value is None else str(value))


def _shown(key: tuple[str, ...]) -> str:
    return " / ".join(key)
