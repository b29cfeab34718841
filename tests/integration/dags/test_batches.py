from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from music_streams.batches import (
    LANDED_NAME_LIMIT,
    LandingUnstableError,
    NamesRefusedError,
    batch_id,
    list_landed,
    pin_streams,
)

from contract import layout
from contract.bucket import Bucket, in_parallel
from contract.records import pending_batches
from tests.integration.dags.conftest import Lake

STREAMS = "music_streams/user_streams"
BATCH = "20240626T000000Z-1a2b3c4d"
MAX_KEY_BYTES = 1024
FIRST_NIGHT = datetime(2024, 6, 26, tzinfo=UTC)


def test_csv_files_are_taken_from_folders_compressed_or_not_and_all_else_is_reported(lake: Lake) -> None:
    taken = ("2024/06/a.csv", "2024/06/a.csv.gz", "b.csv", "c.CSV", "d.Csv.GZ", "empty.csv")
    left = ("a.gz", "d.csv.tmp", "nested/csv")
    for name in (*taken, *left):
        lake.put(f"{STREAMS}/{name}", b"" if name == "empty.csv" else "x")
    lake.put(f"{STREAMS}/", b"")  # the folder marker of the S3 console
    lake.put("music_streams/user_streams.csv")
    lake.put("music_streams/songs.csv.old")
    lake.put("music_streams/user-streams/misspelt.csv")
    for own in layout.FOLDERS - {"user_streams"}:
        lake.put(f"music_streams/{own}/a.csv")

    landed = list_landed(Bucket(lake.bucket, lake.s3))

    assert [stream.key for stream in landed.streams] == [f"{STREAMS}/{name}" for name in taken]
    assert (landed.songs, landed.users) == (None, None)
    assert [item.key for item in landed.left] == [
        "music_streams/songs.csv.old",
        "music_streams/user_streams.csv",
        *[f"{STREAMS}/{name}" for name in left],
        "music_streams/user-streams/misspelt.csv",
    ]
    assert {item.reason for item in landed.left} == {
        "is neither songs.csv nor users.csv, nor below user_streams/: it stays",
        "does not end in .csv or .csv.gz: it stays",
        "lies in a folder that the pipeline does not know: it stays",
    }


def test_a_name_too_long_for_the_archive_is_refused_before_anything_is_taken_in(lake: Lake) -> None:
    longest = "folder/" + "é" * (LANDED_NAME_LIMIT // 2 - 6) + "x.csv"
    lake.put(f"{STREAMS}/{longest}")
    (stream,) = list_landed(Bucket(lake.bucket, lake.s3)).streams
    for key in (
        f"{layout.BatchFolder(BATCH).archive}/{longest}",
        f"{layout.BatchFolder(BATCH).quarantined_files}/{longest}.reason.json",
        pin_streams(Bucket(lake.bucket, lake.s3), BATCH, [stream]).pins[0].copy.key,
    ):
        assert len(key.encode()) <= MAX_KEY_BYTES

    lake.put(f"{STREAMS}/+{longest}")
    with pytest.raises(NamesRefusedError, match=r"user_streams/\+folder/ééé.*\.csv: the name has more than 900 bytes"):
        list_landed(Bucket(lake.bucket, lake.s3))


@pytest.mark.parametrize(
    "name",
    ["two words.csv", "100%.csv", "a+b.csv", "it's.csv", 'quo"te.csv', "münchen ☂.csv", "[a-z]*?.csv", "%41.csv"],
)
def test_any_name_can_be_pinned_under_a_plain_one(lake: Lake, name: str) -> None:
    lake.put(f"{STREAMS}/{name}", name)

    (pin,) = pin_streams(Bucket(lake.bucket, lake.s3), BATCH, list_landed(Bucket(lake.bucket, lake.s3)).streams).pins

    assert pin.landed.key == f"{STREAMS}/{name}"
    assert lake.get(pin.copy.key) == name.encode()
    assert (
        pin.copy.key.removeprefix(f"{layout.BatchFolder(BATCH).pins}/")
        .replace("-", "")
        .replace(".", "")
        .replace("_", "")
        .isalnum()
    )
    assert pin.copy.key.isascii()


def test_a_file_replaced_between_listing_and_pinning_is_pinned_as_it_is_then(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "old")
    landed = list_landed(Bucket(lake.bucket, lake.s3)).streams
    newer = lake.put(f"{STREAMS}/a.csv", "newer")

    (pin,) = pin_streams(Bucket(lake.bucket, lake.s3), BATCH, landed).pins

    assert lake.get(pin.copy.key) == b"newer"
    assert (pin.landed.etag, pin.landed.size) == (newer, 5)


def test_a_file_withdrawn_between_listing_and_pinning_is_left_out(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "a")
    lake.put(f"{STREAMS}/b.csv", "b")
    landed = list_landed(Bucket(lake.bucket, lake.s3)).streams
    lake.remove(f"{STREAMS}/a.csv")

    assert [pin.landed.key for pin in pin_streams(Bucket(lake.bucket, lake.s3), BATCH, landed).pins] == [
        f"{STREAMS}/b.csv"
    ]


def test_a_file_that_never_rests_fails_the_attempt_with_its_name(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "0")
    versions = iter(range(1, 100))
    lake.before("CopyObject", lambda _: lake.put(f"{STREAMS}/a.csv", f"version {next(versions)}"))

    with pytest.raises(LandingUnstableError, match=r"user_streams/a\.csv was replaced 5 times"):
        pin_streams(Bucket(lake.bucket, lake.s3), BATCH, list_landed(Bucket(lake.bucket, lake.s3)).streams)


def test_a_late_attempt_at_a_batch_leaves_the_pins_of_another_alone(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "validated")
    (validated,) = pin_streams(
        Bucket(lake.bucket, lake.s3), BATCH, list_landed(Bucket(lake.bucket, lake.s3)).streams
    ).pins
    lake.put(f"{STREAMS}/a.csv", "replaced")

    (late,) = pin_streams(Bucket(lake.bucket, lake.s3), BATCH, list_landed(Bucket(lake.bucket, lake.s3)).streams).pins

    assert lake.get(validated.copy.key) == b"validated"
    assert lake.get(late.copy.key) == b"replaced"


def test_a_batch_is_pending_from_its_commit_until_it_is_loaded(lake: Lake) -> None:
    def write(batch: str, *records: str) -> None:
        for record in records:
            lake.put(f"{layout.BATCHES}/{batch}/{record}", "{}")

    write("20240601T000000Z-aaaaaaaa", "manifest.json", "curation.json", "loaded.json")
    write("20240603T000000Z-cccccccc", "manifest.json", "curation.json")
    write("20240602T000000Z-bbbbbbbb", "manifest.json", "curation.json", "input/loaded.json")
    write("20240604T000000Z-dddddddd", "manifest.json", "rejected.json")
    write("20240605T000000Z-eeeeeeee", "manifest.json", "loaded.json", "validation/curation.json")
    write(BATCH, "manifest.json", "curation.json")

    pending = ["20240602T000000Z-bbbbbbbb", "20240603T000000Z-cccccccc"]
    assert pending_batches(Bucket(lake.bucket, lake.s3), besides=BATCH) == pending


def test_to_look_for_pending_batches_a_batch_is_five_names_however_many_files_it_holds(lake: Lake) -> None:
    batches = [batch_id(FIRST_NIGHT + timedelta(days=number), f"run {number}") for number in range(8)]
    files = [f"input/{number:05d}-a.csv" for number in range(9)] + [f"validation/{number}.html" for number in range(9)]
    records = ["manifest.json", "curation.json", "loaded.json"]
    in_parallel(lake.put, [f"{layout.BATCHES}/{batch}/{name}" for batch in batches for name in (*files, *records)])
    lake.remove(layout.BatchFolder(batches[2]).loaded_record)
    pages = list[str]()

    def list_ten_at_once(params: dict[str, Any], **_: object) -> None:
        params["MaxKeys"] = 10
        pages.append(params["Prefix"])

    lake.s3.meta.events.register("provide-client-params.s3.ListObjectsV2", list_ten_at_once)
    assert pending_batches(Bucket(lake.bucket, lake.s3), besides=BATCH) == [batches[2]]
    assert len(pages) == 4  # of 8 * 5 - 1 names; as keys they would be 8 * 21 - 1
