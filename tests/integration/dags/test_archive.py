from typing import Any

import pytest
from music_streams.archive import BatchUnfinishedError, InputLostError, finish_batch
from music_streams.batches import list_landed, pin_streams

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import KPI_TABLES
from contract.records import pending_batches
from tests.death import Death, Died
from tests.integration.dags.conftest import Lake

STREAMS = "music_streams/user_streams"
EARLIER = "20240625T000000Z-0f0f0f0f"
BATCH = "20240626T000000Z-1a2b3c4d"


def commit(lake: Lake, batch: str, covers: list[str] | None = None) -> list[dict[str, Any]]:
    """Pin what has landed and commit it, as validation and curation would."""
    pins = pin_streams(Bucket(lake.bucket, lake.s3), batch, list_landed(Bucket(lake.bucket, lake.s3)).streams).pins
    files = [pin.as_record() for pin in pins]
    record = {"batch_id": batch, "files": files, "covers": covers or []}
    Bucket(lake.bucket, lake.s3).write_json(layout.BatchFolder(batch).curation_record, record)
    return files


def compute(lake: Lake, batch: str, *kpis: str) -> None:
    for table in KPI_TABLES:
        if table.name in kpis or not kpis:
            lake.put(table.copy_manifest(batch), "{}")


def test_processed_files_move_under_their_own_names(lake: Lake) -> None:
    names = [
        "a.csv",
        "june/a.csv",
        "july/a.CSV.gz",
        "two words.csv",
        "two_words.csv",
        "100%.csv",
        "a+b.csv",
        "münchen ☂.csv",
    ]
    for name in names:
        lake.put(f"{STREAMS}/{name}", name)
    commit(lake, BATCH)
    compute(lake, BATCH)

    result = finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert result == {"batch_id": BATCH, "covered": [], "archived_files": 8, "replaced_files": 0}
    assert lake.keys(STREAMS) == []
    assert {key: lake.get(key) for key in lake.keys(layout.ARCHIVE)} == {
        f"music_streams/user-streams-archived/{BATCH}/{name}": name.encode() for name in names
    }


def test_a_file_replaced_since_it_was_pinned_stays_and_its_pinned_version_is_archived(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    commit(lake, BATCH)
    compute(lake, BATCH)
    lake.put(f"{STREAMS}/a.csv", "replaced")

    result = finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert result["replaced_files"] == 1
    assert lake.get(f"{STREAMS}/a.csv") == b"replaced"
    assert lake.get(f"{layout.ARCHIVE}/{BATCH}/a.csv") == b"pinned"


def test_a_file_replaced_in_the_moment_of_its_deletion_stays(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    commit(lake, BATCH)
    compute(lake, BATCH)
    lake.before("DeleteObject", lambda _: lake.put(f"{STREAMS}/a.csv", "replaced"))

    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert lake.get(f"{STREAMS}/a.csv") == b"replaced"


def test_a_file_that_its_producer_withdrew_is_archived_all_the_same(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    commit(lake, BATCH)
    compute(lake, BATCH)
    lake.remove(f"{STREAMS}/a.csv")

    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert lake.get(f"{layout.ARCHIVE}/{BATCH}/a.csv") == b"pinned"


def test_finishing_again_changes_nothing_and_takes_no_newer_file(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    commit(lake, BATCH)
    compute(lake, BATCH)
    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)
    loaded = lake.record(layout.BatchFolder(BATCH).loaded_record)
    lake.put(f"{STREAMS}/a.csv", "tomorrow's")

    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert lake.record(layout.BatchFolder(BATCH).loaded_record) == loaded
    assert lake.get(f"{STREAMS}/a.csv") == b"tomorrow's"
    assert lake.get(f"{layout.ARCHIVE}/{BATCH}/a.csv") == b"pinned"


def test_finishing_again_after_the_pins_have_expired_is_harmless(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    (file,) = commit(lake, BATCH)
    compute(lake, BATCH)
    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)
    lake.remove(file["copy"])

    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert lake.get(f"{layout.ARCHIVE}/{BATCH}/a.csv") == b"pinned"


def test_a_file_whose_pin_has_gone_is_archived_from_where_it_landed(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    (file,) = commit(lake, BATCH)
    compute(lake, BATCH)
    lake.remove(file["copy"])

    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert lake.get(f"{layout.ARCHIVE}/{BATCH}/a.csv") == b"pinned"
    assert lake.keys(STREAMS) == []


@pytest.mark.parametrize("landed", ["replaced", None])
def test_a_file_whose_bytes_are_lost_is_named_and_its_batch_stays_pending(lake: Lake, landed: str | None) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    lake.put(f"{STREAMS}/b.csv", "safe")
    file, _ = commit(lake, BATCH)
    compute(lake, BATCH)
    lake.remove(file["copy"])
    if landed:
        lake.put(f"{STREAMS}/a.csv", landed)
    else:
        lake.remove(f"{STREAMS}/a.csv")

    with pytest.raises(InputLostError, match=rf"{STREAMS}/a\.csv was counted, but its pin .*{file['copy']} has gone"):
        finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert pending_batches(Bucket(lake.bucket, lake.s3), besides="") == [BATCH]
    assert lake.get(f"{STREAMS}/b.csv") == b"safe"


@pytest.mark.parametrize("operation", ["CopyObject", "PutObject", "DeleteObject"])
@pytest.mark.parametrize("writes", [0, 1])
def test_a_death_at_any_write_leaves_counted_bytes_archived_or_their_batch_pending(
    lake: Lake, operation: str, writes: int
) -> None:
    for name in ("a.csv", "b.csv"):
        lake.put(f"{STREAMS}/{name}", f"earlier {name}")
    commit(lake, EARLIER)
    for name in ("a.csv", "b.csv"):
        lake.put(f"{STREAMS}/{name}", f"later {name}")
    commit(lake, BATCH, covers=[EARLIER])
    compute(lake, BATCH)
    death = Death()
    lake.s3.meta.events.register("before-call.s3", death.at_writes(frozenset({operation})))

    with pytest.raises(Died), death.after(writes):
        finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    pending = pending_batches(Bucket(lake.bucket, lake.s3), besides="")
    for batch, age in ((EARLIER, "earlier"), (BATCH, "later")):
        archived = {lake.get(key) for key in lake.keys(f"{layout.ARCHIVE}/{batch}/")}
        assert batch in pending or archived == {f"{age} a.csv".encode(), f"{age} b.csv".encode()}
    finish_batch(Bucket(lake.bucket, lake.s3), BATCH)
    assert lake.keys(STREAMS) == []
    assert pending_batches(Bucket(lake.bucket, lake.s3), besides="") == []


def test_a_finished_batch_pays_what_the_batches_it_covers_owe(lake: Lake) -> None:
    lake.put(f"{STREAMS}/a.csv", "died after its curation")
    commit(lake, EARLIER)
    lake.put(f"{STREAMS}/b.csv", "new")
    commit(lake, BATCH, covers=[EARLIER])
    compute(lake, BATCH)
    assert pending_batches(Bucket(lake.bucket, lake.s3), besides="") == [EARLIER, BATCH]

    result = finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert result["covered"] == [EARLIER]
    assert pending_batches(Bucket(lake.bucket, lake.s3), besides="") == []
    assert lake.record(layout.BatchFolder(BATCH).loaded_record)["covered"] == [EARLIER]
    assert lake.record(layout.BatchFolder(EARLIER).loaded_record)["covered_by"] == BATCH
    assert lake.keys(STREAMS) == []
    assert lake.keys(layout.ARCHIVE) == [
        f"{layout.ARCHIVE}/{EARLIER}/a.csv",
        f"{layout.ARCHIVE}/{BATCH}/a.csv",  # it still lay there, so this batch pinned it again
        f"{layout.ARCHIVE}/{BATCH}/b.csv",
    ]


@pytest.mark.parametrize("computed", [[], ["genre_level_kpis"], ["hourly_kpis"]])
def test_nothing_moves_before_both_kpis_are_computed(lake: Lake, computed: list[str]) -> None:
    lake.put(f"{STREAMS}/a.csv", "pinned")
    commit(lake, BATCH)
    if computed:
        compute(lake, BATCH, *computed)

    with pytest.raises(BatchUnfinishedError) as refused:
        finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    for table in KPI_TABLES:
        assert (table.copy_manifest(BATCH) in str(refused.value)) == (table.name not in computed)
    assert lake.keys(STREAMS) == [f"{STREAMS}/a.csv"]
    assert pending_batches(Bucket(lake.bucket, lake.s3), besides="") == [BATCH]


def test_a_batch_that_was_never_curated_is_not_finished(lake: Lake) -> None:
    compute(lake, BATCH)

    with pytest.raises(BatchUnfinishedError, match=f"batches/{BATCH}/curation.json"):
        finish_batch(Bucket(lake.bucket, lake.s3), BATCH)

    assert lake.keys(layout.BATCHES) == []
