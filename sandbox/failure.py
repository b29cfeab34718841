"""Find out why a run failed: the task that caused it, the task's own error, and its log."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.airflow import task_logs
from sandbox.airflow_api import DAG_ID, TaskState
from sandbox.home import Home

NEVER = datetime.max.replace(tzinfo=UTC)
LAST_LINES = 15
# These tasks fail only because another task has failed, and that task's error is the cause.
REPORTING_TASKS = ("end_dag",)


@dataclass(frozen=True)
class Failure:
    """A failed task, as the sandbox reports it."""

    task_id: str
    error: str
    log: Path


def diagnose(home: Home, run_id: str, tasks: Sequence[TaskState]) -> list[Failure]:
    """Return the failed tasks; the first is the likely cause."""
    failed = [task for task in tasks if task.state == "failed"]
    logs = {task.task_id: task_log(home, run_id, task.task_id, task.try_number) for task in failed}
    # `make cancel` fails the last tasks before they begin, so a task without a log is no cause either.
    failed.sort(
        key=lambda task: (task.task_id in REPORTING_TASKS, not logs[task.task_id].exists(), task.ended or NEVER)
    )
    return [Failure(task.task_id, error_in(logs[task.task_id]), logs[task.task_id]) for task in failed]


def task_log(home: Home, run_id: str, task_id: str, try_number: int) -> Path:
    """Return the path of a try's log in Airflow's folder."""
    folder = task_logs(home) / f"dag_id={DAG_ID}" / f"run_id={run_id}" / f"task_id={task_id}"
    return folder / f"attempt={try_number}.log"


def error_in(log: Path) -> str:
    """Return the exception that ended the task; without one the log's last errors, or its last lines."""
    if not log.exists():
        return "The task left no log: it never ran, or was killed before it could write one."
    records = [record(line) for line in log.read_text(errors="replace").splitlines()]
    for entry in reversed(records):
        if entry.get("error_detail"):
            return exception_text(entry["error_detail"])
    errors = [str(entry["event"]) for entry in records if entry.get("level") in {"error", "critical"}]
    return "\n".join((errors or [str(entry["event"]) for entry in records])[-LAST_LINES:])


def record(line: str) -> dict[str, Any]:
    """Parse a line of a task's log, which is JSON unless it was printed without the logger."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) and "event" in entry else {"event": line}


def exception_text(detail: Sequence[dict[str, Any]]) -> str:
    """Return the type and message of an exception in Airflow's log, which lists it first and its causes after it."""
    outermost = detail[0]
    kind, message = outermost["exc_type"], outermost["exc_value"]
    return str(message) if kind == "AirflowFailException" else f"{kind}: {message}"
