"""The sample data: what a producer could have landed, the same bytes each time."""

import csv
import hashlib
import subprocess
import sys
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from sandbox.sample_catalogue import SONG_COLUMNS, USER_COLUMNS, Catalogue
from sandbox.sample_events import FIRST_DAY, SampleEvents, main, write_sample_day

SMALL = Catalogue(seed=7, songs=3_000, users=2_000)
NEXT_DAY = FIRST_DAY + timedelta(days=1)


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, strict=True))


def events_of(paths: list[Path]) -> list[tuple[str, ...]]:
    """The rows that are events, without the blanks around their fields."""
    rows = (tuple(field.strip() for field in row) for path in paths for row in read(path)[1:])
    return [row for row in rows if is_event(row)]


def songs_of(streams: list[Path]) -> Path:
    return streams[0].parents[1] / "songs.csv"


def is_event(row: tuple[str, ...]) -> bool:
    if len(row) != 3 or not all(row):
        return False
    try:
        return datetime.strptime(row[2], "%Y-%m-%d %H:%M:%S").date() <= NEXT_DAY  # noqa: DTZ007
    except ValueError:
        return False


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    folder = tmp_path_factory.mktemp("sample")
    first, second = (write_sample_day(folder, day, events=34_000, catalogue=SMALL) for day in (FIRST_DAY, NEXT_DAY))
    return first, second


@pytest.fixture(scope="module")
def default_day(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_sample_day(tmp_path_factory.mktemp("default"), FIRST_DAY)


def test_the_bytes_depend_on_the_arguments_only(tmp_path: Path) -> None:
    written = [tmp_path / "songs.csv", tmp_path / "users.csv"]
    for day in (FIRST_DAY, NEXT_DAY):
        written += write_sample_day(tmp_path, day, events=3_000, catalogue=SMALL)
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in written)).hexdigest()
    # Fixed, so that another version of Python or NumPy that changes a byte is noticed.
    assert digest[:16] == "b46a0c6469df022d"


def test_another_seed_gives_other_songs_users_and_events() -> None:
    one, other = Catalogue(seed=1, songs=50, users=50), Catalogue(seed=2, songs=50, users=50)
    assert not {row.tobytes() for row in one.track_ids()} & {row.tobytes() for row in other.track_ids()}
    assert _lines(one) != _lines(other)


def _lines(catalogue: Catalogue) -> bytes:
    return b"".join(piece for file in SampleEvents(catalogue).files(FIRST_DAY, 200, 1) for piece in file)


def test_a_day_has_its_rows_in_several_files_named_by_the_day(two_days: tuple[list[Path], list[Path]]) -> None:
    first, _ = two_days
    assert [path.name for path in first] == [f"2024-06-25_part{number}.csv" for number in (1, 2, 3)]
    assert {path.parent.name for path in first} == {"user_streams"}
    assert {tuple(read(path)[0]) for path in first} == {("user_id", "track_id", "listen_time")}
    assert sum(len(read(path)) - 1 for path in first) == 34_000


def test_stream_files_have_one_record_per_line_and_no_stray_quote(two_days: tuple[list[Path], list[Path]]) -> None:
    for path in two_days[0]:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) == len(read(path))
        assert all(line.count('"') in (0, 6) for line in lines)


def test_events_repeat_within_a_file_across_files_and_from_the_day_before(
    two_days: tuple[list[Path], list[Path]],
) -> None:
    first, second = two_days
    in_files = [Counter(events_of([path])) for path in first]
    assert all(any(times > 1 for times in events.values()) for events in in_files)
    assert set(in_files[0]) & set(in_files[1])
    assert set(in_files[1]) & set(in_files[2])
    assert len(set(events_of(first)) & set(events_of(second))) > 50


def test_the_first_day_needs_no_day_before_it_but_later_ones_reach_a_week_back(tmp_path: Path) -> None:
    week = [FIRST_DAY + timedelta(days=days) for days in range(8)]
    held = [
        set(events_of(write_sample_day(tmp_path, day, events=8_000, catalogue=SMALL))) for day in (week[0], week[7])
    ]
    assert held[0] & held[1]
    assert all(event[2] >= "2024-06-22" for event in held[0])


def test_some_new_events_are_late(two_days: tuple[list[Path], list[Path]]) -> None:
    first, second = two_days
    late = {event for event in events_of(second) if event[2] < NEXT_DAY.isoformat()} - set(events_of(first))
    assert {event[2][:10] for event in late} == {"2024-06-23", "2024-06-24", "2024-06-25"}


def test_a_few_rows_are_no_events_and_stay_far_below_the_reject_limit(two_days: tuple[list[Path], list[Path]]) -> None:
    rows = [tuple(row) for path in two_days[0] for row in read(path)[1:]]
    bad = [row for row in rows if not is_event(tuple(field.strip() for field in row))]
    assert 20 <= len(bad) <= 0.01 * len(rows)
    assert {len(row) for row in bad} == {2, 3, 4}
    assert any(row[0] == "" for row in bad)
    assert any(row[1] == "" for row in bad)
    assert any(len(row) == 3 and row[2] == "" for row in bad)
    assert any(len(row) == 3 and row[2].startswith("2099") for row in bad)


def test_every_hour_has_plays_and_popularity_is_skewed(two_days: tuple[list[Path], list[Path]]) -> None:
    events = events_of(two_days[0])
    assert len({event[2][11:13] for event in events}) == 24
    plays = Counter(event[1] for event in events)
    top_tenth = sum(times for _, times in plays.most_common(len(plays) // 10))
    assert top_tenth > 0.2 * len(events)


def test_many_genres_have_tied_top_tracks_at_the_default_size(default_day: list[Path]) -> None:
    genres = {row[1]: row[-1] for row in read(songs_of(default_day))[1:]}
    plays: dict[str, Counter[str]] = {}
    for _, track, _ in events_of(default_day):
        plays.setdefault(genres.get(track, ""), Counter())[track] += 1
    tied = [genre for genre, tracks in plays.items() if list(tracks.values()).count(max(tracks.values())) > 1]
    assert len(tied) >= 10


def test_some_events_have_an_unknown_user_or_track(two_days: tuple[list[Path], list[Path]]) -> None:
    folder = two_days[0][0].parents[1]
    users = {row[0] for row in read(folder / "users.csv")[1:]}
    tracks = {row[1] for row in read(folder / "songs.csv")[1:]}
    events = events_of(two_days[0])
    assert 0 < sum(event[0] not in users for event in events) < 0.02 * len(events)
    assert 0 < sum(event[1] not in tracks for event in events) < 0.02 * len(events)


def test_songs_have_the_producers_columns_and_their_oddities(default_day: list[Path]) -> None:
    header, *rows = read(songs_of(default_day))
    assert header == SONG_COLUMNS
    assert len(header) == 21
    songs = [dict(zip(header, row, strict=True)) for row in rows]
    ids = [int(song["id"]) for song in songs]
    assert len(set(ids)) == len(ids)
    assert max(ids) > len(ids)
    titles = [song["track_name"] for song in songs]
    assert all(any(mark in title for title in titles) for mark in (",", '"', "\n", "é", "夜", "\\"))
    assert any(title != title.strip() for title in titles)
    artists = [song["artists"] for song in songs]
    assert all(any(mark in names for names in artists) for mark in (";", " ; ", '"', ", "))
    assert any(len(names.split(";")) > len(set(names.split(";"))) for names in artists)
    assert any(song["track_genre"] == "" for song in songs)
    assert len({song["track_genre"] for song in songs}) == 115
    assert all(int(song["duration_ms"]) > 0 and 0 <= int(song["popularity"]) <= 100 for song in songs)


def test_a_few_tracks_come_twice_and_the_lower_id_is_not_always_first(default_day: list[Path]) -> None:
    ids: dict[str, list[int]] = {}
    for row in read(songs_of(default_day))[1:]:
        ids.setdefault(row[1], []).append(int(row[0]))
    repeated = [numbers for numbers in ids.values() if len(numbers) > 1]
    assert len(ids) == 90_000
    assert 2 <= len(repeated) <= 50
    assert any(numbers == sorted(numbers) for numbers in repeated)
    assert any(numbers != sorted(numbers) for numbers in repeated)


def test_users_are_unique_and_half_of_the_events_precede_the_sign_up(default_day: list[Path]) -> None:
    events = events_of(default_day)
    header, *rows = read(songs_of(default_day).with_name("users.csv"))
    assert header == USER_COLUMNS
    assert len({row[0] for row in rows}) == len(rows) == 50_000
    assert {"", "-1", "0", "130", "131", "999"} <= {row[2] for row in rows}
    assert any("," in row[3] for row in rows)
    signed_up = {row[0]: row[4] for row in rows}
    before = sum(event[2][:10] < signed_up.get(event[0], "") for event in events)
    assert 0.4 < before / len(events) < 0.6


def test_songs_and_users_are_kept_unless_asked(tmp_path: Path) -> None:
    (tmp_path / "songs.csv").write_text("mine", encoding="utf-8")
    write_sample_day(tmp_path, FIRST_DAY, events=12, catalogue=SMALL)
    assert (tmp_path / "songs.csv").read_text(encoding="utf-8") == "mine"
    write_sample_day(tmp_path, FIRST_DAY, events=12, catalogue=SMALL, rewrite_reference=True)
    assert read(tmp_path / "songs.csv")[0] == SONG_COLUMNS


@pytest.mark.parametrize(("events", "files"), [(12, 3), (13, 3), (4, 1), (101, 7)])
def test_few_events_fill_every_file(tmp_path: Path, events: int, files: int) -> None:
    paths = write_sample_day(tmp_path, NEXT_DAY, events=events, files=files, catalogue=SMALL)
    rows = [len(read(path)) - 1 for path in paths]
    assert len(rows) == files
    assert min(rows) >= 4
    assert sum(rows) == events


def test_too_few_events_are_refused_with_the_way_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([str(tmp_path), "--events", "5"])
    assert "give each file at least 4 events" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_file_of_several_chunks_has_all_its_rows_once() -> None:
    lines = b"".join(next(iter(SampleEvents(SMALL).files(FIRST_DAY, 250_000, 1)))).splitlines()
    assert len(lines) == 250_001
    assert lines.count(b"user_id,track_id,listen_time") == 1
    assert len(set(lines)) > 240_000


def test_memory_does_not_grow_with_the_events(tmp_path: Path) -> None:
    script = (
        "import sys; from datetime import date; from sandbox.sample_catalogue import Catalogue;"
        "from sandbox.sample_events import SampleEvents;"
        "sum(len(piece) for file in SampleEvents(Catalogue()).files(date(2024, 7, 9), 2_000_000, 2) for piece in file);"
        # Not ru_maxrss, which begins with what the parent held when it forked.
        "print(*[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert int(done.stdout) // 1024 < 300
