import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from music_streams.dbt import raise_what_dbt_found

MODEL = {"unique_id": "model.music_streams.stg_hourly_kpis", "status": "success", "message": "SUCCESS"}
PASSED = {"unique_id": "test.music_streams.unique_x.0a1b2c", "status": "pass", "message": None}
WARNED = {
    "unique_id": "test.music_streams.warned_x.0a1b2c",
    "status": "warn",
    "message": "Got 1 result, configured to warn if != 0",
    "relation_name": '"dev"."test_failures"."warned_x"',
}
SKIPPED = {"unique_id": "test.music_streams.not_null_x.0a1b2c", "status": "skipped", "message": None}
FAILED = {
    "unique_id": "test.music_streams.matches_its_audit_columns_stg_hourly_kpis.0a1b2c",
    "status": "fail",
    "message": "Got 2 results, configured to fail if != 0",
    "relation_name": '"dev"."test_failures"."matches_its_audit_columns_stg_hourly_kpis"',
}
BROKEN = {
    "unique_id": "model.music_streams.stg_hourly_kpis",
    "status": "error",
    "message": "Database Error\n  1023: serializable isolation violation",
}
UNTESTED = {"unique_id": "test.music_streams.unique_x.0a1b2c", "status": "error", "message": "connection lost"}


def after(folder: Path, *results: dict[str, Any]) -> None:
    (folder / "target").mkdir(parents=True)
    (folder / "target" / "run_results.json").write_text(json.dumps({"results": results}))
    raise_what_dbt_found(str(folder), context=Context())


def test_a_warning_is_logged_with_the_way_to_its_rows_and_nothing_is_amiss(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    after(tmp_path, MODEL, PASSED, WARNED)
    (message,) = caplog.messages
    assert message.startswith("test warned_x: Got 1 result")
    assert 'the rows are in "dev"."test_failures"."warned_x"' in message


def test_a_failed_test_is_named_with_the_way_to_its_rows_and_its_task_not_retried(tmp_path: Path) -> None:
    with pytest.raises(
        AirflowFailException, match=r"test matches_its_audit_columns_stg_hourly_kpis: Got 2 results"
    ) as raised:
        after(tmp_path, MODEL, PASSED, FAILED)
    assert 'the rows are in "dev"."test_failures"."matches_its_audit_columns_stg_hourly_kpis"' in str(raised.value)


@pytest.mark.parametrize("broken", [BROKEN, UNTESTED])
def test_what_could_not_run_is_named_and_its_task_retried(tmp_path: Path, broken: dict[str, Any]) -> None:
    with pytest.raises(AirflowException) as raised:
        after(tmp_path, broken, SKIPPED)

    assert not isinstance(raised.value, AirflowFailException)
    assert broken["message"] in str(raised.value)
    assert "not_null_x" not in str(raised.value)


def test_a_failed_test_counts_more_than_one_that_could_not_run(tmp_path: Path) -> None:
    with pytest.raises(AirflowFailException, match=r"(?s)matches_its_audit_columns.*connection lost"):
        after(tmp_path, MODEL, UNTESTED, FAILED)


def test_a_dbt_that_came_to_no_results_is_left_to_its_exit_status(tmp_path: Path) -> None:
    raise_what_dbt_found(str(tmp_path), context=Context())
