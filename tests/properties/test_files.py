"""Producers do as they please: whatever they land, replace or withdraw, and when, each pinned event counts once."""

import csv
import io
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from music_streams.batches import LANDED_NAME_LIMIT, NamesRefusedError

from contract import layout
from tests.properties.histories import SONGS, USERS
from tests.properties.world import BUCKET, STEPS, Batch, StepError, World

MAX_KEY_BYTES = 1024
IN_ALL_FILES = "u2,t2,2024-06-24 23:59:59"

DECOMPOSED = unicodedata.normalize("NFD", "é.csv")
ODD_NAMES = (
    *("two  words.csv", " .csv", "%20.csv", "+.csv", "a b.csv", "a+b.csv", "a%2Bb.csv", "100%.csv", "it's.csv"),
    *('quo"te.csv', "a#b.csv", "a?b=c.csv", "a&amp;b.csv", "<a>.csv", "*.csv", "{a,b}.csv", "[a-z].csv", "a,b.csv"),
    *("back\\slash.csv", "a:b.csv", "é.csv", DECOMPOSED, "日本語 🎵.csv", ".csv", "a.csv.csv", "..csv", "~$a.csv"),
    *("A.CSV", "2024/06/a.csv", "2024/06/b/a.csv"),
    "é" * ((LANDED_NAME_LIMIT - len(".csv")) // 2) + ".csv",
)
EMPTY = 'no "rows" é%20+.csv'


@pytest.fixture
def landing(world: World) -> World:
    """The world, with songs and users and nothing else in it."""
    world.forget()
    world.put(layout.SONGS, SONGS)
    world.put(layout.USERS, USERS)
    return world


def test_what_was_pinned_counts_once_whatever_producers_do_to_the_file_while_the_run_goes_on(landing: World) -> None:
    versions = iter(range(60))
    for name in (
        *("kept", "replaced while pinned", "withdrawn while pinned", "replaced before Glue", "withdrawn before Glue"),
        *("replaced before the archive", "withdrawn before the archive", "replaced in the archive"),
    ):
        land(landing, name, next(versions))
    batch = landing.new_batch()

    with (
        just_before(
            landing,
            "CopyObject",
            source("replaced while pinned"),
            lambda: land(landing, "replaced while pinned", next(versions)),
        ),
        just_before(
            landing,
            "CopyObject",
            source("withdrawn while pinned"),
            lambda: landing.withdraw("withdrawn while pinned.csv"),
        ),
    ):
        landing.step(batch, "ingest")
    # Of these versions no run has ever seen a byte.
    landing.landed = [
        file for file in landing.landed if file[0] not in ("replaced while pinned.csv", "withdrawn while pinned.csv")
    ]
    landing.landed.append(("replaced while pinned.csv", landing.landing["replaced while pinned.csv"]))

    land(landing, "late for Glue", next(versions))
    land(landing, "replaced before Glue", next(versions))
    landing.withdraw("withdrawn before Glue.csv")
    with lost_pin(landing, batch, "kept") as pin, pytest.raises(Exception, match=re.escape(pin)):
        landing.step(batch, "curate")
    for step in STEPS[1:-1]:
        landing.step(batch, step)

    land(landing, "late for the archive", next(versions))
    land(landing, "replaced before the archive", next(versions))
    landing.withdraw("withdrawn before the archive.csv")
    with (
        lost_pin(landing, batch, "withdrawn before the archive") as pin,
        pytest.raises(Exception, match=re.escape(pin)),
    ):
        landing.step(batch, "finish")
    with just_before(
        landing,
        "DeleteObject",
        source("replaced in the archive"),
        lambda: land(landing, "replaced in the archive", next(versions)),
    ):
        landing.step(batch, "finish")

    assert_all_is_well(landing, events=8)
    names_left = [
        "late for Glue",
        "late for the archive",
        "replaced before Glue",
        "replaced before the archive",
        "replaced in the archive",
    ]
    assert names(landing, layout.USER_STREAMS) == [f"{name}.csv" for name in names_left]

    landing.run(landing.new_batch())

    assert_all_is_well(landing, events=13)
    assert names(landing, layout.USER_STREAMS) == []


def test_files_count_under_any_name_and_what_is_none_of_ours_stays(
    landing: World, caplog: pytest.LogCaptureFixture
) -> None:
    for number, name in enumerate(ODD_NAMES):
        landing.land(name, content(number, "u1,t1"))
    others = ("_SUCCESS", "2024/", "2024/06/notes.txt", "a.csv.tmp", "")
    for name in others:
        landing.put(f"{layout.USER_STREAMS}/{name}", content(59) if "a.csv" in name else b"")
    landing.land(EMPTY, b"")
    with pytest.raises(StepError, match=re.escape(f"user_streams/{EMPTY} is empty")):
        landing.step(landing.new_batch(), "ingest")
    landing.land(f"a{ODD_NAMES[-1]}", content(58))
    with pytest.raises(NamesRefusedError, match="more than 900 bytes"):
        landing.step(landing.new_batch(), "ingest")
    landing.landed.pop()
    landing.withdraw(f"a{ODD_NAMES[-1]}")

    batch = landing.new_batch(on_invalid_stream_file="quarantine")
    landing.run(batch)

    assert_all_is_well(landing, events=len(ODD_NAMES) + 1)
    folder = layout.BatchFolder(batch.batch_id)
    assert names(landing, folder.archive) == sorted(ODD_NAMES)
    assert names(landing, layout.USER_STREAMS) == sorted(name for name in others if name and not name.endswith("/"))
    for name in ("_SUCCESS", "2024/06/notes.txt", "a.csv.tmp"):
        assert f"{layout.USER_STREAMS}/{name} does not end in .csv or .csv.gz: it stays" in caplog.text
    reasons = [name for name in names(landing, folder.quarantined_files) if name.endswith(".reason.json")]
    assert [record(landing, f"{folder.quarantined_files}/{name}")["file"] for name in reasons] == [
        f"{layout.USER_STREAMS}/{EMPTY}"
    ]
    rejected = [
        json.loads(line)["source_file"]
        for found in landing.lake.objects(f"{folder.quarantined_rows}/")
        for line in landing.content(found.key).splitlines()
    ]
    assert sorted(rejected) == sorted(f"{layout.USER_STREAMS}/{name}" for name in ODD_NAMES)
    assert max(len(found.key.encode()) for found in landing.lake.objects("")) <= MAX_KEY_BYTES


def test_more_files_than_one_listing_holds_all_count_and_are_all_archived(landing: World) -> None:
    count = 45
    for number in range(count):
        landing.land(f"{number:04d}.csv", content(number))

    batch = landing.new_batch()
    with pages_of(landing, 20) as continued:
        landing.run(batch)

    assert continued[f"{layout.USER_STREAMS}/"] >= count // 20
    assert_all_is_well(landing, events=count + 1)
    assert len(names(landing, layout.BatchFolder(batch.batch_id).archive)) == count
    assert names(landing, layout.USER_STREAMS) == []


def content(number: int, *more: str) -> bytes:
    """A stream file with an event of its own and one that is in all files."""
    own = f"u1,t1,2024-06-24 {number // 3600:02d}:{number // 60 % 60:02d}:{number % 60:02d}"
    return "".join(f"{line}\n" for line in ("user_id,track_id,listen_time", own, IN_ALL_FILES, *more)).encode()


def land(world: World, name: str, number: int) -> None:
    world.land(f"{name}.csv", content(number))


def source(name: str) -> str:
    return f"{layout.USER_STREAMS}/{name}.csv"


@contextmanager
def just_before(world: World, operation: str, key: str, act: Callable[[], None]) -> Iterator[None]:
    """Let a producer act once, in the moment between the decision to copy or delete `key` and the request."""
    moments = list[str]()

    def handler(params: Mapping[str, Any], **_: object) -> None:
        if key == params.get("CopySource", params).get("Key", params["Key"]) and not moments:
            moments.append(key)
            act()

    world.s3.meta.events.register(f"provide-client-params.s3.{operation}", handler)
    try:
        yield
    finally:
        world.s3.meta.events.unregister(f"provide-client-params.s3.{operation}", handler)
    assert moments == [key]


@contextmanager
def pages_of(world: World, keys: int) -> Iterator[Counter[str]]:
    """Let S3 list so many keys at once, in place of 1,000; gives how often a listing of each prefix was continued."""
    continued = Counter[str]()

    def handler(params: dict[str, Any], **_: object) -> dict[str, Any]:
        continued[params["Prefix"]] += "ContinuationToken" in params
        return {"MaxKeys": keys, **params}

    assert boto3.DEFAULT_SESSION is not None
    of_clients: tuple[Any, ...] = (world.s3.meta.events, boto3.DEFAULT_SESSION.events)
    for events in of_clients:
        events.register("provide-client-params.s3.ListObjectsV2", handler)
    try:
        yield continued
    finally:
        for events in of_clients:
            events.unregister("provide-client-params.s3.ListObjectsV2", handler)


@contextmanager
def lost_pin(world: World, batch: Batch, name: str) -> Iterator[str]:
    """Somebody has deleted the pin of a file, and will restore it; its key."""
    files = record(world, layout.BatchFolder(batch.batch_id).manifest)["files"]
    (pin,) = [str(file["copy"]) for file in files if file["key"] == source(name)]
    pinned = world.content(pin)
    world.s3.delete_object(Bucket=BUCKET, Key=pin)
    yield pin
    world.put(pin, pinned)


def record(world: World, key: str) -> dict[str, Any]:
    found = world.lake.read_json(key)
    assert found is not None, key
    return found


def names(world: World, folder: str) -> list[str]:
    return sorted(found.key.removeprefix(f"{folder}/") for found in world.lake.objects(f"{folder}/"))


def assert_all_is_well(world: World, events: int) -> None:
    """The tables hold all accepted events, so many, each once; and each file is where it belongs."""
    assert world.differences() == ""
    assert sum(int(row["listen_count"]) for row in csv.DictReader(io.StringIO(world.table("hourly_kpis")))) == events
    assert world.pending() == []
    assert world.uncounted_rows() == []
    assert world.miscounted_dates() == {}
    assert world.homeless_files() == []
    assert world.misplaced_files() == []
    assert world.files_wrongly_listed() == []
    assert world.unarchived_files() == []
