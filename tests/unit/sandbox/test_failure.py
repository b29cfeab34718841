"""Finding the task that is to blame, and its own words."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.airflow_api import TaskState
from sandbox.failure import diagnose, error_in, task_log
from sandbox.home import Home

RUN = "manual__2024-06-26T00:00:00+00:00"


def task(name: str, state: str, minute: int = 0) -> TaskState:
    when = datetime(2024, 6, 26, 0, minute, tzinfo=UTC)
    return TaskState(name, state, 2, when, when)


def write_log(log: Path, *entries: dict[str, Any] | str) -> Path:
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("\n".join(entry if isinstance(entry, str) else json.dumps(entry) for entry in entries))
    return log


def failed_with(kind: str, message: str) -> dict[str, Any]:
    detail = [{"exc_type": kind, "exc_value": message}, {"exc_type": "ClientError", "exc_value": "its cause"}]
    return {"level": "error", "event": "Task failed with exception", "error_detail": detail}


def test_the_task_that_failed_first_is_to_blame_and_never_the_messenger(tmp_path: Path) -> None:
    tasks = [
        task("end_dag", "failed", 1),
        task("move_files", "upstream_failed", 0),
        task("second", "failed", 3),
        task("first", "failed", 2),
        task("fine", "success", 0),
    ]

    assert [failure.task_id for failure in diagnose(Home(tmp_path), RUN, tasks)] == ["first", "second", "end_dag"]


def test_a_task_that_left_a_log_is_to_blame_before_one_that_was_given_up_unstarted(tmp_path: Path) -> None:
    home = Home(tmp_path)
    write_log(task_log(home, RUN, "running", 2), failed_with("KeyError", "'x'"))
    tasks = [task("never_began", "failed", 1), task("running", "failed", 2)]

    assert [failure.task_id for failure in diagnose(home, RUN, tasks)] == ["running", "never_began"]


def test_a_failure_tells_the_tasks_own_error_and_the_log_of_its_last_try(tmp_path: Path) -> None:
    home = Home(tmp_path)
    log = write_log(
        task_log(home, RUN, "validate_datasets", 2), failed_with("AirflowFailException", "songs.csv: empty")
    )

    (failure,) = diagnose(home, RUN, [task("validate_datasets", "failed")])

    assert failure.error == "songs.csv: empty"
    assert failure.log == log
    assert log.name == "attempt=2.log"


def test_an_exception_is_reported_with_its_type(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", failed_with("KeyError", "'rows_read'"), {"event": "Task finished"})

    assert error_in(log) == "KeyError: 'rows_read'"


def test_without_an_exception_the_errors_are_reported(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", {"level": "info", "event": "fine"}, {"level": "error", "event": "broken"})

    assert error_in(log) == "broken"


def test_lines_that_are_no_json_do_not_hide_the_error(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", "Killed", '{"torn', "[1]", failed_with("ValueError", "no"))

    assert error_in(log) == "ValueError: no"
    assert error_in(write_log(tmp_path / "other", "first", "Killed")) == "first\nKilled"


def test_a_task_without_a_log_never_ran(tmp_path: Path) -> None:
    assert "never ran" in error_in(tmp_path / "missing")
