"""Why a run failed: the task that is to blame, its own error, and where its log is."""

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
# They fail because another task has: that one's error is the cause.
REPORTING_TASKS = ("end_dag",)


@dataclass(frozen=True)
class Failure:
    """A failed task, as it is reported."""

    task_id: str
    error: str
    log: Path


def diagnose(home: Home, run_id: str, tasks: Sequence[TaskState]) -> list[Failure]:
    """The failed tasks, the one that is to blame first."""
    failed = [task for task in tasks if task.state == "failed"]
    failed.sort(key=lambda task: (task.task_id in REPORTING_TASKS, task.ended or NEVER))
    return [
        Failure(task.task_id, error_in(log), log)
        for task in failed
        for log in [task_log(home, run_id, task.task_id, task.try_number)]
    ]


def task_log(home: Home, run_id: str, task_id: str, try_number: int) -> Path:
    """Where Airflow keeps the log of a try."""
    folder = task_logs(home) / f"dag_id={DAG_ID}" / f"run_id={run_id}" / f"task_id={task_id}"
    return folder / f"attempt={try_number}.log"


def error_in(log: Path) -> str:
    """The exception that ended the task; without one its last errors, or its last lines."""
    if not log.exists():
        return "The task left no log: it never ran, or was killed before it could write one."
    records = [record(line) for line in log.read_text(errors="replace").splitlines()]
    for entry in reversed(records):
        if entry.get("error_detail"):
            return exception_text(entry["error_detail"])
    errors = [str(entry["event"]) for entry in records if entry.get("level") in {"error", "critical"}]
    return "\n".join((errors or [str(entry["event"]) for entry in records])[-LAST_LINES:])


def record(line: str) -> dict[str, Any]:
    """A line of a task's log, which is JSON unless something printed past the logger."""
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return entry if isinstance(entry, dict) and "event" in entry else {"event": line}


def exception_text(detail: Sequence[dict[str, Any]]) -> str:
    """Type and message of an exception as Airflow logs it; the exceptions that led to it come after it."""
    outermost = detail[0]
    kind, message = outermost["exc_type"], outermost["exc_value"]
    return str(message) if kind == "AirflowFailException" else f"{kind}: {message}"
