"""What docs/malformed_input.md says of each malformed row and file is what validation and the jobs do with it."""

import csv
import datetime as dt
import io
import itertools
import json
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from contract import layout
from sandbox.aws.endpoint import AwsEndpoint
from tests.integration.glue_jobs.malformed_input import (
    FILES,
    ROWS,
    SONG_ROWS,
    USER_ROWS,
    Case,
    cases,
    code,
    unescaped,
)
from tests.oracle import expected_tables
from tests.pipeline import SONGS, USERS, Pipeline

BATCH = "20240626T000000Z-00000001"
HEADER = b"user_id,track_id,listen_time\n"
TIMES = [f"{dt.datetime(2024, 6, 25, 10) + dt.timedelta(seconds=number)}" for number in range(3600)]  # noqa: DTZ001

Event = tuple[str, str, str]


@dataclass(frozen=True)
class Placed:
    """A case in a file: a whole one, or rows between two good ones. Its time, by its number, is its own."""

    case: Case
    number: int
    is_row: bool

    @property
    def time(self) -> str:
        return TIMES[self.number]

    @property
    def input(self) -> bytes:
        return self.case.content(TIME=self.time)

    @property
    def lines(self) -> bytes:
        if not self.is_row:
            return self.input
        before, after = (",".join(event).encode() for event in self.good_rows)
        return before + b"\n" + self.input + b"\n" + after + b"\n"

    @property
    def good_rows(self) -> list[Event]:
        if not self.is_row:
            return []
        return [(f"before-{self.number}", "t1", self.time), (f"after-{self.number}", "t1", self.time)]

    @property
    def events(self) -> list[Event]:
        """All that it adds to the store."""
        return self.good_rows + [
            (
                outcome.fields.get("user_id", "u1"),
                outcome.fields.get("track_id", "t1"),
                outcome.fields.get("listen_time", self.time),
            )
            for outcome in self.case.outcomes
            if outcome.kind == "accepted"
        ]

    @property
    def file(self) -> str:
        """The name of its file: rows of one outcome share one, as every file costs; odd quotes have theirs alone."""
        outcomes = self.case.outcomes
        if not self.is_row or len(outcomes) > 1 or self.input.count(b'"') % 2:
            return f"case-{self.number:03}.csv"
        return "-".join((outcomes[0].kind, *outcomes[0].reasons)).replace(" ", "-") + ".csv"


PLACED = [
    Placed(case, number, is_row)
    for number, (case, is_row) in enumerate(
        itertools.chain(zip(cases(ROWS), itertools.repeat(True)), zip(cases(FILES), itertools.repeat(False)))
    )
]
REFUSED = [placed for placed in PLACED if placed.case.outcomes[0].kind == "refused"]
TAKEN = defaultdict[str, list[Placed]](list)
for placed in PLACED:
    if placed not in REFUSED:
        TAKEN[placed.file].append(placed)


def content_of(file: Sequence[Placed]) -> bytes:
    return b"".join([HEADER if file[0].is_row else b"", *[placed.lines for placed in file]])


USUAL = {
    "average_duration": "60.0",
    "most_popular_track_name": "Song",
    "top_artist": "Ann",
}
SONG_CASES, USER_CASES = cases(SONG_ROWS), cases(USER_ROWS)


def hour_of_song(number: int) -> dt.datetime:
    """The hour of a case; those that share a genre are of days of their own."""
    is_unknown = "`unknown`" in SONG_CASES[number].cells[0]
    return dt.datetime(2023, 1, 1) + dt.timedelta(days=100 * is_unknown, hours=24**is_unknown * number)  # noqa: DTZ001


def hour_of_user(number: int) -> dt.datetime:
    return dt.datetime(2022, 1, 1) + dt.timedelta(hours=number)  # noqa: DTZ001


def reference_file(header: str, usual: str, section: Sequence[Case], key: str) -> bytes:
    """All cases of a table in one file, each between two rows as they should be; `key` is their placeholder."""
    lines = [header.encode()]
    for number, case in enumerate(section):
        lines += [
            usual.replace(key, f"between-{number}").encode(),
            case.content(**{key: f"k{number}", "GENRE": f"g{number}"}),
        ]
    return b"\n".join([*lines, usual.replace(key, "last").encode(), b""])


SONG_FILE = reference_file(SONGS.decode().partition("\n")[0], "1,TRACK,Ann,Song,60000,pop", SONG_CASES, "TRACK")
USER_FILE = reference_file(USERS.decode().partition("\n")[0], "USER,Ann,25,SE,2024-01-01", USER_CASES, "USER")
# Each case of a reference table is played once, in an hour of its own, and each row beside them once on one day.
PLAYS: list[Event] = [
    *[("last", f"k{number}", f"{hour_of_song(number)}") for number in range(len(SONG_CASES))],
    *[(f"k{number}", "last", f"{hour_of_user(number)}") for number in range(len(USER_CASES))],
    *[("last", f"between-{number}", "2021-01-01 10:00:00") for number in range(len(SONG_CASES))],
    *[(f"between-{number}", "last", "2021-01-02 10:00:00") for number in range(len(USER_CASES))],
]


@dataclass(frozen=True)
class Run:
    """What one run with all rows and stream files did, by the name of the file where there is one."""

    lake: Pipeline
    record: dict[str, Any]
    rows_read: dict[str, int]
    validated: list[dict[str, Any]]
    rejected: dict[str, list[tuple[str, bytes]]]
    refused: dict[str, tuple[str, list[dict[str, Any]]]]
    stored: Counter[Event]
    tables: dict[str, str]

    def row(self, table: str, *key: str) -> dict[str, str]:
        """The row of a table by the first columns."""
        (found,) = [
            row
            for row in csv.DictReader(io.StringIO(self.tables[table], newline=""))
            if tuple(row.values())[: len(key)] == key
        ]
        return found


@pytest.fixture(scope="module")
def environment(aws: AwsEndpoint) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in aws.environment().items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def run(environment: None) -> Run:
    lake = Pipeline.with_songs_and_users(f"malformed-{uuid.uuid4()}")
    for name, file in TAKEN.items():
        lake.land(name, content_of(file))
    for refused in REFUSED:
        lake.land(refused.file, refused.input)
    lake.land("plays.csv", as_csv(PLAYS))
    lake.put(layout.SONGS, SONG_FILE)
    lake.put(layout.USERS, USER_FILE)
    lake.ingest(BATCH, on_invalid_stream_file="quarantine")
    record = lake.curate(BATCH, max_reject_rate=1)
    files = lake.record(f"{layout.BatchFolder(BATCH).validation}/summary.json")["files"]
    return Run(
        lake=lake,
        record=record,
        rows_read={name_of(file["key"]): file["rows_read"] for file in record["files"]},
        validated=files,
        rejected=rejected_rows(lake),
        refused={
            name_of(lake.record(key)["file"]): (key.removesuffix(".reason.json"), lake.record(key)["reasons"])
            for key in lake.keys(f"{layout.QUARANTINED_FILES}/{BATCH}/")
            if key.endswith(".reason.json")
        },
        stored=Counter(lake.events(record)),
        tables=lake.compute_all(BATCH),
    )


def as_csv(events: Iterable[Event]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([("user_id", "track_id", "listen_time"), *events])
    return text.getvalue().encode()


def name_of(key: str) -> str:
    return key.rpartition("/")[2]


def rejected_rows(lake: Pipeline) -> dict[str, list[tuple[str, bytes]]]:
    found = defaultdict[str, list[tuple[str, bytes]]](list)
    for key in lake.keys(f"{layout.BatchFolder(BATCH).quarantined_rows}/"):
        for line in lake.text(key).removesuffix("\n").split("\n"):
            row = json.loads(line)
            found[name_of(row["source_file"])].append((row["reason"], row["raw_line"].encode()))
    return found


@pytest.mark.parametrize(
    "placed", [placed for file in TAKEN.values() for placed in file], ids=lambda placed: placed.case.name
)
def test_rows_become_what_the_page_says(run: Run, placed: Placed) -> None:
    outcomes = placed.case.outcomes
    reasons = Counter(outcome.reasons[0] for outcome in outcomes if outcome.kind == "rejected")
    rejected = run.rejected.get(placed.file, [])
    assert set(placed.events) <= set(run.stored)
    if placed.is_row and len(outcomes) == 1:
        assert [reason for reason, raw_line in rejected if raw_line == placed.input] == [*reasons]
    else:
        assert Counter(reason for reason, _ in rejected) == reasons


@pytest.mark.parametrize("name", TAKEN)
def test_every_row_is_counted_as_validation_counted_it(run: Run, name: str) -> None:
    file, rejected = TAKEN[name], run.rejected.get(name, [])
    outcomes = [outcome for placed in file for outcome in placed.case.outcomes if outcome.kind != "no row"]
    (validated,) = [found for found in run.validated if name_of(found["name"]) == name]

    assert len(rejected) == sum(outcome.kind == "rejected" for outcome in outcomes)
    rows_in_all = len(outcomes) + sum(len(placed.good_rows) for placed in file)
    assert run.rows_read[name] == validated["rows"] == rows_in_all
    # Byte for byte: without the rejected lines, the header and as many others as there are good rows are left.
    left = content_of(file)
    for _, raw_line in rejected:
        left = without_line(left, raw_line)
    if file[0].is_row:
        kept = [line for line in re.split(rb"[\r\n]", left) if line.strip(b" \t\f\v,")]
        assert len(kept) == 1 + rows_in_all - len(rejected)


def without_line(content: bytes, line: bytes) -> bytes:
    start, ends = content.find(line, 1), b"\r\n"
    while start > 0 and not (content[start - 1] in ends and (content + b"\n")[start + len(line)] in ends):
        start = content.find(line, start + 1)
    assert start > 0, line[:200]
    return content[:start] + content[start + len(line) :]


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: refused.case.name)
def test_files_are_refused_as_the_page_says(run: Run, refused: Placed) -> None:
    (outcome,) = refused.case.outcomes
    kept_as, reasons = run.refused[refused.file]
    message = reasons[0]["message"].removeprefix(f"user_streams/{refused.file}").lstrip(": ")
    assert message.startswith(outcome.reasons[0])
    assert refused.file not in run.rows_read
    assert run.lake.bucket.read(kept_as) == refused.input


def test_the_store_holds_what_is_accepted_once(run: Run) -> None:
    taken = [placed for file in TAKEN.values() for placed in file]
    assert run.stored == Counter([*PLAYS, *[event for placed in taken for event in placed.events]])
    counts = {name: run.record[f"rows_{name}"] for name in ("read", "accepted", "duplicate", "rejected")}
    assert counts["read"] == counts["accepted"] + counts["duplicate"] + counts["rejected"]
    assert counts["accepted"] == run.stored.total()
    assert counts["duplicate"] == sum(
        outcome.kind == "duplicate" for placed in taken for outcome in placed.case.outcomes
    )
    assert set(run.refused) == {placed.file for placed in REFUSED}


def test_the_tables_are_those_worked_out_in_plain_python(run: Run) -> None:
    time = dt.datetime.fromisoformat(run.lake.record(layout.BatchFolder(BATCH).manifest)["time"])
    expected = expected_tables(SONG_FILE, USER_FILE, [("all.csv", as_csv(run.stored))], time)
    assert expected.differences(run.tables) == ""


def test_longer_ids_are_cut_to_what_the_warehouse_takes(run: Run) -> None:
    for day, track in (("2024-06-23", "t" * 64), ("2024-06-22", "é" * 32)):
        assert run.row("genre_level_kpis", day, "unknown")["most_popular_track_id"] == track


@pytest.mark.parametrize("number", range(len(SONG_CASES)), ids=[case.name for case in SONG_CASES])
def test_songs_count_as_the_page_says(run: Run, number: int) -> None:
    said, hour = SONG_CASES[number].cells[0], hour_of_song(number)
    usual = {**USUAL, "track_genre": f"g{number}"}
    expected = {name: code(said, name) or "" if name in said else value for name, value in usual.items()}
    assert (said == "as usual") == (expected == usual)

    day = f"{hour:%Y-%m-%d}"
    found = {
        **run.row("hourly_kpis", day, str(hour.hour)),
        **run.row("genre_level_kpis", day, expected["track_genre"]),
    }

    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("number", range(len(USER_CASES)), ids=[case.name for case in USER_CASES])
def test_users_count_as_the_page_says(run: Run, number: int) -> None:
    said, hour = USER_CASES[number].cells[0], hour_of_user(number)
    found = run.row("hourly_kpis", f"{hour:%Y-%m-%d}", str(hour.hour))
    assert found["most_engaged_age_group"] == ("" if said == "null" else said.strip("`"))


def test_no_row_of_a_reference_table_costs_another(run: Run) -> None:
    assert run.row("genre_level_kpis", "2021-01-01", "pop")["listen_count"] == f"{len(SONG_CASES)}"
    hour = run.row("hourly_kpis", "2021-01-02", "10")
    assert (hour["most_engaged_age_group"], hour["listen_count"]) == ("18-25", f"{len(USER_CASES)}")


@pytest.mark.parametrize(("name", "section"), [("songs.csv", SONG_CASES), ("users.csv", USER_CASES)])
def test_validation_warns_of_what_the_page_says(run: Run, name: str, section: Sequence[Case]) -> None:
    (file,) = [file for file in run.validated if file["name"] == name]
    reported = Counter({unmet(problem["message"], name): problem["unexpected_count"] for problem in file["problems"]})
    assert reported == Counter(warning for case in section for warning in case.cells[1].split("; ") if warning)


def unmet(message: str, name: str) -> str:
    found = re.fullmatch(rf"{name}: (.*?) in [\d,]+ of [\d,]+ rows?: .*", message, re.DOTALL)
    assert found, message
    return found[1]


def test_the_page_has_the_cases_once() -> None:
    for section in (ROWS, FILES, SONG_ROWS, USER_ROWS):
        found = cases(section)
        assert len({case.name for case in found}) == len({case.written for case in found}) == len(found)
    assert len(PLACED) > 150


def test_inputs_are_read_as_the_page_writes_them() -> None:
    assert unescaped(r"a\n\r\t\0\\{b\x20*2}\xff\u00e9{,c*2}${x}") == b"a\n\r\t\0\\b b \xff\xc3\xa9,c,c${x}"
