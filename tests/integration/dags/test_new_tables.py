"""Songs and users that land without stream files."""

import pytest
from music_streams.batches import DateRange
from music_streams.ingestion import ingest_batch
from music_streams.new_tables import NewTables, new_tables

from contract import layout
from contract.bucket import Bucket
from tests.integration.dags.conftest import Lake

SONGS = "id,track_id,artists,track_name,duration_ms,track_genre\n0,t1,Ann,One,1000,pop\n"
USERS = "user_id,user_age,created_at\nu1,30,2024-01-01\n"
GOOD = "user_id,track_id,listen_time\nu1,t1,2024-06-25 17:43:13\n"


def ingest(lake: Lake, batch: str, recompute: DateRange | None = None) -> str:
    bucket = Bucket(lake.bucket, lake.s3)
    return str(ingest_batch(bucket, batch, on_invalid_stream_file="fail", recompute=recompute)["outcome"])


def found(lake: Lake) -> NewTables | None:
    return new_tables(Bucket(lake.bucket, lake.s3))


@pytest.fixture
def taken_in(lake: Lake) -> Lake:
    """A lake whose tables a run has taken in, with events of three days."""
    lake.put(layout.SONGS, SONGS)
    lake.put(layout.USERS, USERS)
    lake.put(f"{layout.USER_STREAMS}/a.csv", GOOD)
    assert ingest(lake, "1") == "compute"
    lake.remove(f"{layout.USER_STREAMS}/a.csv")
    for date in ("2024-06-23", "2024-06-25", "2024-06-24"):
        lake.put(f"{layout.curated_date(date)}/batch_id=1/attempt=a/0.parquet")
    return lake


def test_tables_that_were_taken_in_are_not_new(taken_in: Lake) -> None:
    assert found(taken_in) is None


def test_a_table_that_lands_once_more_as_it_was_is_not_new(taken_in: Lake) -> None:
    taken_in.put(layout.SONGS, SONGS)
    assert found(taken_in) is None


def test_a_run_with_nothing_to_do_says_from_when_a_new_table_counts_and_how_to_apply_it(
    taken_in: Lake, caplog: pytest.LogCaptureFixture
) -> None:
    taken_in.put(layout.SONGS, SONGS.replace("pop", "rock"))

    assert ingest(taken_in, "2") == "nothing_to_do"

    (logged,) = [record.getMessage() for record in caplog.records if "anew" in record.getMessage()]
    assert logged.startswith(
        "songs.csv has landed anew: it counts from the next run on that computes dates, for the dates"
    )
    new = found(taken_in)
    assert new is not None
    assert new.params() == {"recompute_from": "2024-06-23", "recompute_to": "2024-06-25"}
    assert ingest(taken_in, "3", DateRange.from_params(**new.params())) == "compute"
    assert found(taken_in) is None


def test_before_the_first_events_there_are_no_dates_to_apply_tables_to(lake: Lake) -> None:
    lake.put(layout.SONGS, SONGS)
    lake.put(layout.USERS, USERS)

    new = found(lake)

    assert new is not None
    assert (new.names, new.params()) == (("songs.csv", "users.csv"), {})
    assert (
        new.sentence()
        == "songs.csv and users.csv have landed anew: they count from the next run on that computes dates"
    )


def test_without_tables_nothing_is_new(lake: Lake) -> None:
    assert found(lake) is None
