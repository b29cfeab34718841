"""Moving a landed file aside by hand."""

from datetime import UTC, datetime
from typing import Any

import pytest
from music_streams.removal import NotRemovedError, main, remove_landed_file

from contract import layout
from contract.bucket import Bucket
from tests.integration.dags.conftest import Lake

NOW = datetime(2024, 6, 26, tzinfo=UTC)
STREAMS = "music_streams/user_streams"


def remove(lake: Lake, name: str) -> str:
    return remove_landed_file(Bucket(lake.bucket, lake.s3), name, NOW)


@pytest.mark.parametrize(
    "name", ["user_streams/evil.csv", "user_streams/a/two words é.CSV.gz", "user_streams/notes.txt", "songs.csv.old"]
)
def test_a_removed_file_lies_in_quarantine_beside_its_reason(lake: Lake, name: str) -> None:
    lake.put(f"{layout.ROOT}/{name}", "content")
    lake.put(f"{STREAMS}/other.csv", "other")

    moved = remove(lake, name)

    assert lake.keys(f"{layout.ROOT}/") == sorted([moved, f"{moved}.reason.json", f"{STREAMS}/other.csv"])
    assert moved.startswith(f"{layout.REMOVED_FILES}/20240626T000000.000000Z-")
    assert lake.get(moved) == b"content"
    reason = lake.record(f"{moved}.reason.json")
    assert reason["file"] == f"{layout.ROOT}/{name}"
    assert [entry["message"] for entry in reason["reasons"]] == ["removed by hand"]


def test_a_name_as_long_as_s3_allows_can_be_removed(lake: Lake) -> None:
    name = "user_streams/" + "é" * 490 + ".csv"
    lake.put(f"{layout.ROOT}/{name}")

    remove(lake, name)

    assert lake.keys(STREAMS) == []


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (
            "evil.csv",
            r"evil\.csv has not landed\. Nearest to that: user_streams/evil\.csv, user_streams/june/evil\.csv",
        ),
        ("user_streams/evli.csv", r"Nearest to that: user_streams/evil\.csv"),
        ("music_streams/user_streams/good.csv", r"Nearest to that: user_streams/good\.csv"),
        ("x", r"There are user_streams/evil\.csv, user_streams/good\.csv, user_streams/june/evil\.csv and 1 more"),
        ("../batches/a.json", "has not landed"),
        ("batches/a.json", "has not landed"),
    ],
)
def test_a_name_that_has_not_landed_is_answered_with_the_nearest_ones(lake: Lake, typed: str, said: str) -> None:
    names = ["evil.csv", "good.csv", "june/evil.csv", "zebra.csv"]
    keys = [*(f"{STREAMS}/{name}" for name in names), f"{layout.BATCHES}/a.json"]
    for key in keys:
        lake.put(key)

    with pytest.raises(NotRemovedError, match=said):
        remove(lake, typed)

    assert lake.keys() == sorted(keys)


def test_where_nothing_waits_this_is_said(lake: Lake) -> None:
    with pytest.raises(NotRemovedError, match="Nothing waits there"):
        remove(lake, "user_streams/a.csv")


@pytest.mark.parametrize("table", ["songs.csv", "users.csv"])
def test_a_table_that_every_run_needs_stays(lake: Lake, table: str) -> None:
    lake.put(f"{layout.ROOT}/{table}")
    with pytest.raises(NotRemovedError, match="land a corrected one"):
        remove(lake, table)
    assert lake.keys() == [f"{layout.ROOT}/{table}"]


@pytest.mark.parametrize("moment", ["CopyObject", "DeleteObject"])
def test_a_file_that_is_replaced_meanwhile_stays(lake: Lake, moment: str) -> None:
    lake.put(f"{STREAMS}/a.csv", "old")
    lake.before(moment, lambda _: lake.put(f"{STREAMS}/a.csv", "new"))

    with pytest.raises(NotRemovedError, match="was replaced just now"):
        remove(lake, "user_streams/a.csv")

    assert lake.get(f"{STREAMS}/a.csv") == b"new"


def test_the_command_says_where_the_file_lies_or_why_it_stays(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSIC_STREAMS_BUCKET", lake.bucket)
    lake.put(f"{STREAMS}/a.csv")

    assert f"s3://{lake.bucket}/{layout.REMOVED_FILES}/" in main(["user_streams/a.csv"])

    arguments: list[Any] = [["user_streams/a.csv"], []]
    for wrong in arguments:
        with pytest.raises(SystemExit):
            main(wrong)
