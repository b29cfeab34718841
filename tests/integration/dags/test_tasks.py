"""The tasks as Airflow calls them, from a landing prefix to the end of the run."""

import pytest
from airflow.sdk.exceptions import AirflowFailException
from music_streams import tasks

from contract import layout
from tests.integration.dags.conftest import Lake

BATCH = "20240626T000000Z-1a2b3c4d"


def validate(lake: Lake, recompute_from: str = "") -> None:
    tasks.validate_datasets(
        lake.bucket, BATCH, on_invalid_stream_file="fail", recompute_from=recompute_from, recompute_to=""
    )


def test_the_run_ends_with_what_validation_found(lake: Lake) -> None:
    lake.put(f"{layout.USER_STREAMS}/a.csv", "user_id,track_id\nu1,t1\n")

    with pytest.raises(AirflowFailException) as refused:
        validate(lake)
    with pytest.raises(AirflowFailException) as ended:
        tasks.end_dag(lake.bucket, BATCH, "a run", "failed")

    for fault in ("songs.csv", "users.csv", "user_streams/a.csv", "listen_time"):
        assert fault in str(refused.value)
    assert str(ended.value) == str(refused.value)


def test_the_run_ends_with_what_is_wrong_with_its_params(lake: Lake) -> None:
    with pytest.raises(AirflowFailException):
        validate(lake, recompute_from="2024-06-25")
    with pytest.raises(AirflowFailException, match="give both"):
        tasks.end_dag(lake.bucket, BATCH, "a run", "failed")
