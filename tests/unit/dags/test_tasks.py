from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from music_streams import tasks
from music_streams.archive import BatchUnfinishedError
from music_streams.batches import LandingUnstableError, NamesRefusedError
from music_streams.ingestion import DatasetsRefusedError

BATCH = "20240626T000000Z-1a2b3c4d"


def validate(**params: str) -> dict[str, Any]:
    chosen = {"on_invalid_stream_file": "fail", "recompute_from": "", "recompute_to": "", **params}
    return tasks.validate_datasets("lake", BATCH, **chosen)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def verdicts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No S3; what is left there for the end of the run."""
    left: list[str] = []
    monkeypatch.setattr(tasks, "Bucket", lambda _name: None)
    monkeypatch.setattr(tasks, "write_verdict", lambda *_, passed, message: left.append(message))
    monkeypatch.setattr(tasks, "write_run_record", lambda *_: None)
    return left


def fails_with(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


@pytest.mark.parametrize("refused", [DatasetsRefusedError, NamesRefusedError])
def test_bad_data_are_not_tried_again(
    monkeypatch: pytest.MonkeyPatch, verdicts: list[str], refused: type[Exception]
) -> None:
    monkeypatch.setattr(tasks, "ingest_batch", fails_with(refused("songs.csv: track_id is missing")))
    with pytest.raises(AirflowFailException, match=r"songs\.csv: track_id is missing"):
        validate()
    assert verdicts == ["songs.csv: track_id is missing"]


def test_a_param_that_the_dag_does_not_have_fails_the_run_instead_of_starting_it_with_defaults(
    monkeypatch: pytest.MonkeyPatch, verdicts: list[str]
) -> None:
    monkeypatch.setattr(tasks, "ingest_batch", fails_with(AssertionError("nothing may be taken in")))
    with pytest.raises(AirflowFailException, match="'recompute_form': the DAG has no such param"):
        validate(unknown_params="'recompute_form': the DAG has no such param.")
    assert verdicts == ["'recompute_form': the DAG has no such param."]


@pytest.mark.parametrize("error", [LandingUnstableError("replaced"), ConnectionError("no route")])
def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    monkeypatch.setattr(tasks, "ingest_batch", fails_with(error))
    with pytest.raises(type(error)) as raised:
        validate()
    assert not isinstance(raised.value, AirflowFailException)


def test_dates_that_make_no_range_fail_before_anything_is_read(verdicts: list[str]) -> None:
    with pytest.raises(AirflowFailException, match="give both"):
        validate(recompute_from="2024-06-25")
    assert "give both" in verdicts[0]


@pytest.mark.parametrize(
    ("outcome", "next_task"), [("compute", "trigger"), ("nothing_to_do", "end_dag"), ("failed", "end_dag")]
)
def test_only_a_valid_batch_is_computed(outcome: str, next_task: str) -> None:
    assert tasks.check_validation(outcome, when_valid="trigger", otherwise="end_dag") == next_task


def test_the_end_is_green_when_there_is_nothing_to_do() -> None:
    tasks.end_dag("lake", BATCH, "a run", "nothing_to_do")


def test_the_end_is_red_with_the_reason_when_validation_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "refusal", lambda *_: "songs.csv: track_id is missing")
    with pytest.raises(AirflowFailException, match=r"songs\.csv: track_id is missing"):
        tasks.end_dag("lake", BATCH, "a run", "failed")


def test_the_end_leads_to_the_log_when_validation_gave_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "refusal", lambda *_: None)
    with pytest.raises(AirflowFailException, match=f"validate_datasets of batch {BATCH} failed before .* its log"):
        tasks.end_dag("lake", BATCH, "a run", "failed")


def test_files_of_an_unfinished_batch_are_not_moved_by_trying_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "finish_batch", fails_with(BatchUnfinishedError("lacks curation.json")))
    with pytest.raises(AirflowFailException, match=r"lacks curation\.json"):
        tasks.move_files("lake", BATCH, "a run")
