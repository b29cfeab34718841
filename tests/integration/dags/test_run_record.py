"""The record of a run says what came in, what became of it, and what was left lying: however the run ended."""

import json

import pytest
from airflow.sdk.exceptions import AirflowFailException
from music_streams import tasks
from music_streams.ingestion import OnInvalidStreamFile

from contract import layout
from contract.kpi_tables import KPI_TABLES
from tests.integration.dags.conftest import Lake
from tests.pipeline import SONGS, USERS

RUN = "scheduled__2024-06-26T00:00:00+00:00"
BATCH = "20240626T000000Z-1a2b3c4d"
FOLDER = layout.BatchFolder(BATCH)
GOOD, BAD = f"{layout.USER_STREAMS}/good.csv", f"{layout.USER_STREAMS}/bad.csv"
STRANGE = f"{layout.ROOT}/streams/a.csv"
NOTHING = {
    "batch_id": BATCH,
    "run_id": RUN,
    "events_landed": 0,
    "accepted": 0,
    "duplicates": 0,
    "rejected": {},
    "late_events": 0,
    "events_by_date": {},
    "refused_files": [],
    "left_lying": [],
}


@pytest.fixture
def landed(lake: Lake) -> Lake:
    """A lake with a good file, a bad one, and one where no run looks."""
    lake.put(layout.SONGS, SONGS)
    lake.put(layout.USERS, USERS)
    lake.put(GOOD, "user_id,track_id,listen_time\nu1,t1,2024-06-25 17:43:13\n")
    lake.put(BAD, "user_id\n")
    lake.put(STRANGE)
    return lake


def validate(lake: Lake, policy: OnInvalidStreamFile) -> None:
    tasks.validate_datasets(lake.bucket, BATCH, on_invalid_stream_file=policy, recompute_from="", recompute_to="")


def record_of_run(lake: Lake) -> dict[str, object]:
    record = lake.record(FOLDER.run_record)
    assert record.pop("ended_at").endswith("+00:00")
    return record


def test_a_run_with_nothing_to_do_records_what_it_found_lying(lake: Lake) -> None:
    lake.put(STRANGE)
    tasks.end_dag(lake.bucket, BATCH, RUN, "nothing_to_do")
    assert record_of_run(lake) == {**NOTHING, "left_lying": [STRANGE]}


def test_a_run_whose_files_were_refused_records_which(landed: Lake) -> None:
    with pytest.raises(AirflowFailException):
        validate(landed, "fail")
    with pytest.raises(AirflowFailException):
        tasks.end_dag(landed.bucket, BATCH, RUN, "failed")
    assert record_of_run(landed) == {**NOTHING, "refused_files": [BAD], "left_lying": [STRANGE]}


def test_a_loaded_run_records_the_counts_of_its_batch_and_the_file_that_was_moved_aside(landed: Lake) -> None:
    validate(landed, "quarantine")
    counts = {"rows_read": 9, "rows_accepted": 5, "rows_duplicate": 1, "rows_late": 2, "rejected_by_reason": {"x": 3}}
    by_date = {"2024-06-24": 2, "2024-06-25": 3}
    curation = {"files": landed.record(FOLDER.manifest)["files"], "covers": [], "accepted_by_date": by_date, **counts}
    for key, record in {
        FOLDER.curation_record: curation,
        **{table.copy_manifest(BATCH): {} for table in KPI_TABLES},
    }.items():
        landed.put(key, json.dumps(record))

    tasks.move_files(landed.bucket, BATCH, RUN)

    assert record_of_run(landed) == {
        "batch_id": BATCH,
        "run_id": RUN,
        "events_landed": 9,
        "accepted": 5,
        "duplicates": 1,
        "rejected": {"x": 3},
        "late_events": 2,
        "events_by_date": by_date,
        "refused_files": [BAD],
        "left_lying": [STRANGE],
    }


def test_a_run_that_is_not_finished_leaves_no_record(landed: Lake) -> None:
    with pytest.raises(AirflowFailException, match="cannot be archived"):
        tasks.move_files(landed.bucket, BATCH, RUN)
    assert landed.keys(FOLDER.root) == []
