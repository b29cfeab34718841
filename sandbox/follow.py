"""Follow one DAG run: show each task as it starts, ends or is retried."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests

from sandbox.airflow_api import UNFINISHED_TASK, Client, TaskState
from sandbox.home import SandboxError

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 60.0

FINISHED_RUN = frozenset({"success", "failed"})


@dataclass(frozen=True)
class FinishedRun:
    """A DAG run that has ended."""

    run_id: str
    run_after: str
    state: str
    tasks: tuple[TaskState, ...]

    @property
    def succeeded(self) -> bool:
        """Whether the run succeeded."""
        return self.state == "success"


def follow(
    client: Client,
    run: dict[str, Any],
    show: Callable[[list[TaskState]], None],
    check: Callable[[], None] = lambda: None,
) -> FinishedRun:
    """Wait until the run has ended, showing its tasks meanwhile.

    `check` is called at each poll; an exception that it raises ends the wait.

    Raises:
        SandboxError: Airflow's API has been gone for PATIENCE_SECONDS.
    """
    run_id: str = run["dag_run_id"]
    answered = time.monotonic()
    while True:
        check()
        try:
            tasks = client.tasks(run_id)
            # The run's state is requested only if the run may have ended, and before the last poll of its tasks.
            state = None if any(task.state in UNFINISHED_TASK for task in tasks) else client.run(run_id)["state"]
            tasks = client.tasks(run_id) if state in FINISHED_RUN else tasks
        except SandboxError:
            check()  # a full disk explains more than Airflow's error does
            raise
        except requests.RequestException as error:
            if time.monotonic() - answered > PATIENCE_SECONDS:
                raise SandboxError(f"Airflow does not answer any more while {run_id} runs: {error}") from error
        else:
            answered = time.monotonic()
            show(tasks)
            if state in FINISHED_RUN:
                return FinishedRun(run_id, run["run_after"], state, tuple(tasks))
        time.sleep(POLL_SECONDS)
