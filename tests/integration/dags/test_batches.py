import pytest
from music_streams import lake as keys
from music_streams.batches import LandingUnstableError, list_landed, owed_batches, pin_streams
from music_streams.objects import in_parallel

from tests.integration.dags.conftest import Lake

STREAMS = "music_streams/user_streams"
BATCH = "20240626T000000Z-1a2b3c4d"


def test_only_csv_files_directly_below_user_streams_are_stream_files(lake: Lake) -> None:
    for name in ("b.csv", "a.csv", "c.CSV", "d.csv.tmp", "nested/e.csv", "empty.csv"):
        lake.put(f"{STREAMS}/{name}", b"" if name == "empty.csv" else "x")
    lake.put(f"{STREAMS}/", b"")  # the folder marker of the S3 console
    lake.put("music_streams/user_streams.csv")
    lake.put("music_streams/songs.csv.old")

    landed = list_landed(lake.s3, lake.bucket)

    assert [stream.key for stream in landed.streams] == [
        f"{STREAMS}/{name}" for name in ("a.csv", "b.csv", "empty.csv")
    ]
    assert (landed.songs, landed.users) == (None, None)


def test_more_files_than_one_listing_holds_are_all_pinned(lake: Lake) -> None:
    names = [f"{STREAMS}/part-{number:04d}.csv" for number in range(1005)]
    in_parallel(lake.put, names)

    pins = pin_streams(lake.s3, lake.bucket, BATCH, list_landed(lake.s3, lake.bucket).streams)

    assert [pin.landed.key for pin in pins] == names
    assert lake.keys(keys.BatchFolder(BATCH).pins) == [pin.copy.key for pin in pins]


@pytest.mark.parametrize(
    "name",
    ["two words.csv", "100%.csv", "a+b.csv", "it's.csv", 'quo"te.csv', "münchen ☂.csv", "[a-z]*?.csv", "%41.csv"],
)
def test_any_name_can_be_pinned_under_a_plain_one(lake: Lake, name: str) -> None:
    lake.put(f"{STREAMS}/{name}", name)

    (pin,) = pin_streams(lake.s3, lake.bucket, BATCH, list_landed(lake.s3, lake.bucket).streams)

    assert pin.landed.key == f"{STREAMS}/{name}"
    assert lake.get(pin.copy.key) == name.encode()
    assert (
        pin.copy.key.removeprefix(f"{keys.BatchFolder(BATCH).pins}/")
        .replace("-", "")
        .replace(".", "")
        .replace("_", "")
        .isalnum()
    )
    assert pin.copy.key.isascii()


def test_a_file_replaced_between_listing_and_pinning_is_pinned_as_it_is_then(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "old")
    landed = list_landed(lake.s3, lake.bucket).streams
    newer = lake.put(f"{STREAMS}/a.csv", "newer")

    (pin,) = pin_streams(lake.s3, lake.bucket, BATCH, landed)

    assert lake.get(pin.copy.key) == b"newer"
    assert (pin.landed.etag, pin.landed.size) == (newer, 5)


def test_a_file_withdrawn_between_listing_and_pinning_is_left_out(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "a")
    lake.put(f"{STREAMS}/b.csv", "b")
    landed = list_landed(lake.s3, lake.bucket).streams
    lake.remove(f"{STREAMS}/a.csv")

    assert [pin.landed.key for pin in pin_streams(lake.s3, lake.bucket, BATCH, landed)] == [f"{STREAMS}/b.csv"]


def test_a_file_that_never_rests_fails_the_attempt_with_its_name(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "0")
    versions = iter(range(1, 100))
    lake.before("CopyObject", lambda _: lake.put(f"{STREAMS}/a.csv", f"version {next(versions)}"))

    with pytest.raises(LandingUnstableError, match=r"user_streams/a\.csv was replaced 5 times"):
        pin_streams(lake.s3, lake.bucket, BATCH, list_landed(lake.s3, lake.bucket).streams)


def test_a_late_attempt_at_a_batch_leaves_the_pins_of_another_alone(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "validated")
    (validated,) = pin_streams(lake.s3, lake.bucket, BATCH, list_landed(lake.s3, lake.bucket).streams)
    lake.put(f"{STREAMS}/a.csv", "replaced")

    (late,) = pin_streams(lake.s3, lake.bucket, BATCH, list_landed(lake.s3, lake.bucket).streams)

    assert lake.get(validated.copy.key) == b"validated"
    assert lake.get(late.copy.key) == b"replaced"


def test_a_batch_is_owed_from_its_commit_until_it_is_loaded(lake: Lake) -> None:
    def write(batch: str, *records: str) -> None:
        for record in records:
            lake.put(f"{keys.BATCHES}/{batch}/{record}", "{}")

    write("20240601T000000Z-aaaaaaaa", "manifest.json", "curation.json", "loaded.json")
    write("20240603T000000Z-cccccccc", "manifest.json", "curation.json")
    write("20240602T000000Z-bbbbbbbb", "manifest.json", "curation.json", "input/loaded.json")
    write("20240604T000000Z-dddddddd", "manifest.json", "rejected.json")
    write(BATCH, "manifest.json", "curation.json")

    assert owed_batches(lake.s3, lake.bucket, besides=BATCH) == [
        "20240602T000000Z-bbbbbbbb",
        "20240603T000000Z-cccccccc",
    ]
