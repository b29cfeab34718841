from typing import Any

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowFailException
from music_streams.glue_sensor import GlueRunFailedError, GlueRunSensor, run_has_succeeded

from contract.jobs import FAILS_AGAIN


class Glue:
    """A client that knows one run."""

    def __init__(self, state: str, message: str | None = None) -> None:
        self._run = {"JobRunState": state} | ({"ErrorMessage": message} if message else {})

    def get_job_run(self, *, JobName: str, RunId: str) -> dict[str, Any]:  # noqa: N803 - boto3's names
        assert (JobName, RunId) == ("curate-user-streams", "jr_1")
        return {"JobRun": self._run}


def look(state: str, message: str | None = None) -> bool:
    client: Any = Glue(state, message)
    return run_has_succeeded(client, "curate-user-streams", "jr_1", remedy="Clear it.")


@pytest.mark.parametrize("state", ["STARTING", "RUNNING", "STOPPING", "WAITING"])
def test_a_run_that_has_not_ended_is_waited_for(state: str) -> None:
    assert look(state) is False


def test_a_run_that_succeeded_ends_the_wait() -> None:
    assert look("SUCCEEDED") is True


@pytest.mark.parametrize("state", ["FAILED", "TIMEOUT", "ERROR", "STOPPED", "EXPIRED"])
def test_every_other_end_is_a_failure_with_glues_reason(state: str) -> None:
    with pytest.raises(GlueRunFailedError) as failed:
        look(state, "OutOfMemory")
    assert str(failed.value) == f"Glue job curate-user-streams, run jr_1, ended {state}: OutOfMemory\nClear it."


def test_an_end_without_a_reason_leads_to_the_logs() -> None:
    with pytest.raises(GlueRunFailedError, match=r"ended STOPPED: Glue gives no reason; see the run's logs"):
        look("STOPPED")


def wait(monkeypatch: pytest.MonkeyPatch, client: object) -> bool:
    monkeypatch.setattr("music_streams.glue_sensor.boto3.client", lambda _: client)
    sensor = GlueRunSensor(
        task_id="wait", job_name="curate-user-streams", run_id="jr_1", trigger_task_id="trigger_curation"
    )
    return sensor.poke(Context())


def test_the_wait_for_a_lost_run_is_not_retried_and_names_the_task_to_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException, match="clear trigger_curation with what follows it"):
        wait(monkeypatch, Glue("FAILED", "OutOfMemory"))


def test_where_clearing_the_task_does_not_help_nobody_is_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AirflowFailException) as failed:
        wait(monkeypatch, Glue("FAILED", f"ValueError: 5 of 5 rows are rejected. {FAILS_AGAIN}"))
    assert "clear trigger_curation" not in str(failed.value)


def test_an_error_of_the_api_is_left_to_the_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AttributeError):  # stands for anything boto3 may raise
        wait(monkeypatch, object())
