"""Show the progress of a run: a line for each task that has ended, and on a terminal the running tasks below."""

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from sandbox.airflow_api import ACTIVE_TASK, TaskState

SYMBOLS = {"success": ("✔", "green"), "failed": ("✘", "bold red"), "up_for_retry": ("↻", "yellow")}
WAITING = {"deferred": "waiting", "up_for_reschedule": "waiting", "up_for_retry": "tried again soon"}


class Progress(AbstractContextManager["Progress"]):
    """Prints a line when a task fails a try or ends and, if the output is not a terminal, when it starts; each once."""

    def __init__(self, console: Console) -> None:
        """Use a live display on a terminal, and plain lines for any other output."""
        self._console = console
        self._live = Live(console=console, refresh_per_second=8, transient=True) if console.is_terminal else None
        self._reported: set[tuple[str, int, str]] = set()

    def __enter__(self) -> "Progress":
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, tasks: Sequence[TaskState]) -> None:
        """Show the current state of the tasks."""
        for task in sorted(tasks, key=lambda task: (task.ended is None, task.ended or 0)):
            if task.state in SYMBOLS:
                self._tell_once(task, task.state)
            elif task.state in ACTIVE_TASK and self._live is None:
                self._tell_once(task, "started")
        if self._live:
            running = [task for task in tasks if task.state in ACTIVE_TASK and task.state != "up_for_retry"]
            self._live.update(Group(*(Spinner("dots", described(task)) for task in running)))

    def _tell_once(self, task: TaskState, event: str) -> None:
        if (task.task_id, task.try_number, event) in self._reported:
            return
        self._reported.add((task.task_id, task.try_number, event))
        symbol, style = SYMBOLS.get(event, ("·", "dim"))
        self._console.print(Text.assemble(f"  {time.strftime('%H:%M:%S')} ", (f"{symbol} ", style), described(task)))


def described(task: TaskState) -> Text:
    """Return the task's name, its duration, and anything unusual about it."""
    text = Text(task.task_id)
    if task.seconds is not None and task.state is not None:
        text.append(f"  {task.seconds:.1f} s", "cyan")
    if task.state in WAITING:
        text.append(f"  {WAITING[task.state]}", "dim")
    if task.try_number > 1:
        text.append(f"  try {task.try_number}", "yellow")
    return text
