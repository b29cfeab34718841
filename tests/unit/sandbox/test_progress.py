"""What is shown of a run's tasks, on a terminal and in a file."""

import io
import re
from datetime import UTC, datetime, timedelta

from rich.console import Console

from sandbox.airflow_api import TaskState
from sandbox.progress import Progress

START = datetime(2024, 6, 26, tzinfo=UTC)


def task(
    state: str | None, *, seconds: float | None = None, tries: int = 1, name: str = "validate_datasets"
) -> TaskState:
    ended = START + timedelta(seconds=seconds) if seconds is not None else None
    return TaskState(name, state, tries, START if state else None, ended)


def lines_for(*looks: list[TaskState]) -> list[str]:
    output = io.StringIO()
    with Progress(Console(file=output, width=120)) as progress:
        for look in looks:
            progress.show(look)
    return [re.sub(r"^ +\d\d:\d\d:\d\d ", "", line) for line in output.getvalue().splitlines()]


def test_each_task_is_shown_when_it_starts_and_when_it_ends() -> None:
    lines = lines_for([task(None)], [task("running")], [task("running")], [task("success", seconds=4.2)])

    assert len(lines) == 2
    assert lines[0].startswith("· validate_datasets")
    assert lines[1] == "✔ validate_datasets  4.2 s"


def test_a_failed_try_and_its_repetition_are_shown() -> None:
    looks = [
        [task("running")],
        [task("up_for_retry", seconds=1)],
        [task("up_for_retry", seconds=1)],
        [task("running", tries=2)],
        [task("failed", seconds=2, tries=2)],
    ]

    marks = [(line[0], "try 2" in line) for line in lines_for(*looks)]

    assert marks == [("·", False), ("↻", False), ("·", True), ("✘", True)]


def test_tasks_that_were_not_to_run_are_not_mentioned() -> None:
    assert lines_for([task("skipped", seconds=0), task("upstream_failed", seconds=0, name="move_files")]) == []


def test_tasks_that_ended_between_two_looks_are_shown_in_the_order_of_their_ends() -> None:
    looks = [[task("success", seconds=9, name="second"), task("success", seconds=3, name="first")]]

    assert [line.split()[1] for line in lines_for(*looks)] == ["first", "second"]
