"""Following a run through everything that Airflow's API may answer."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import requests

from sandbox import follow as following
from sandbox.airflow_api import TaskState
from sandbox.follow import FinishedRun, follow
from sandbox.home import SandboxError

RUN = {"dag_run_id": "manual__1", "run_after": "2024-06-26T00:00:00Z"}


def task(state: str | None) -> TaskState:
    return TaskState("validate_datasets", state, 1, None, None)


class ScriptedAirflow:
    """Answers from a script: an exception is raised, the last answer stays."""

    def __init__(self, looks: Sequence[tuple[str, str | None] | Exception]) -> None:
        self.looks = list(looks)

    def _now(self) -> tuple[str, str | None]:
        look = self.looks[0]
        if isinstance(look, Exception):
            self.looks.pop(0)
            raise look
        return look

    def run(self, run_id: str) -> dict[str, Any]:
        assert run_id == "manual__1"
        state, _ = self._now()
        if len(self.looks) > 1:
            self.looks.pop(0)
        return {"state": state}

    def tasks(self, run_id: str) -> list[TaskState]:
        _, state = self._now()
        if state == "running" and len(self.looks) > 1:
            self.looks.pop(0)
        return [task(state)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_SECONDS", 0)


def followed(
    *looks: tuple[str, str | None] | Exception, check: Callable[[], None] = lambda: None
) -> tuple[FinishedRun, list[str | None]]:
    seen: list[str | None] = []
    airflow: Any = ScriptedAirflow(looks)
    finished = follow(airflow, RUN, lambda tasks: seen.append(tasks[0].state), check)
    return finished, seen


def test_a_run_is_followed_to_its_end() -> None:
    finished, seen = followed(("queued", None), ("running", "running"), ("success", "success"))

    assert finished.succeeded
    assert seen == [None, "running", "success"]


def test_the_end_of_all_tasks_is_not_yet_the_end_of_the_run() -> None:
    finished, _ = followed(("running", "success"), ("running", "success"), ("failed", "failed"))

    assert finished.state == "failed"
    assert finished.tasks == (task("failed"),)


def test_an_api_that_is_away_for_a_moment_is_waited_for() -> None:
    finished, _ = followed(requests.ConnectionError("refused"), requests.Timeout("slow"), ("success", "success"))

    assert finished.succeeded


def test_an_api_that_stays_away_ends_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PATIENCE_SECONDS", -1)

    with pytest.raises(SandboxError, match="Airflow does not answer any more while manual__1 runs: refused"):
        followed(requests.ConnectionError("refused"))


@pytest.mark.parametrize("look", [requests.ConnectionError("refused"), SandboxError("Airflow answered 500")])
def test_what_is_wrong_with_the_sandbox_ends_the_command_before_airflow_is_waited_for(look: Exception) -> None:
    asked = []

    def check() -> None:
        asked.append("once more")
        if len(asked) > 1:
            raise SandboxError("aws has ended")

    with pytest.raises(SandboxError, match="aws has ended"):
        followed(look, ("running", "running"), check=check)
