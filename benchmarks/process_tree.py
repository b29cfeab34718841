"""Measure the CPU time, wall-clock time and memory of processes and their descendants."""

import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

import psutil

SECONDS_BETWEEN_SAMPLES = 0.2
SAMPLES_PER_MEMORY_SAMPLE = 2  # for a process's share of memory the kernel walks all its pages


@dataclass(frozen=True)
class Usage:
    """The resources that processes have used.

    Attributes:
        cpu_seconds: User and system time of all processes.
        seconds: Wall-clock time.
        peak_bytes: The largest sum of the processes' proportional set sizes at one moment: shared pages count once.
    """

    cpu_seconds: float
    seconds: float
    peak_bytes: float

    @classmethod
    def in_turn(cls, usages: Iterable["Usage"]) -> "Usage":
        """Return the total usage of processes that ran one after another."""
        cpu_seconds, seconds, peaks = zip(*map(astuple, usages), strict=True)
        return cls(sum(cpu_seconds), sum(seconds), max(peaks))

    @classmethod
    def median(cls, usages: Iterable["Usage"]) -> "Usage":
        """Return the median usage of several rounds."""
        return cls(*map(median, zip(*map(astuple, usages), strict=True)))


class Meter:
    """Samples processes while the context lasts; `usage` is known at its end.

    A process counts from its first sample on, with the CPU time that it has used before; but of a process that was
    running at the start of the context only later CPU time counts. A process that starts and ends between two samples
    is missed.

    Args:
        processes: Returns the processes to be measured now.
    """

    def __init__(self, processes: Callable[[], Iterable[psutil.Process]]) -> None:
        self._processes = processes
        self._earlier: dict[psutil.Process, float] = {}
        self._cpu_seconds: dict[psutil.Process, float] = {}
        self._peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self._began = 0.0
        self.usage = Usage(0, 0, 0)

    def __enter__(self) -> Self:
        self._began = time.perf_counter()
        self._look()
        self._earlier = dict(self._cpu_seconds)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        seconds = time.perf_counter() - self._began
        self._ended.set()
        self._thread.join()
        self._look()
        cpu_seconds = sum(self._cpu_seconds.values()) - sum(self._earlier.values())
        self.usage = Usage(cpu_seconds, seconds, self._peak_bytes)

    def _look_on(self) -> None:
        looks = 0
        while not self._ended.wait(SECONDS_BETWEEN_SAMPLES):
            self._look(with_memory=looks % SAMPLES_PER_MEMORY_SAMPLE == 0)
            looks += 1

    def _look(self, *, with_memory: bool = False) -> None:
        total = 0
        for process in self._processes():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):  # it has ended, and its last sample counts
                times = process.cpu_times()
                self._cpu_seconds[process] = times.user + times.system
                if with_memory:
                    total += process.memory_full_info().pss
        self._peak_bytes = max(self._peak_bytes, total)


def descendants(process: psutil.Process) -> list[psutil.Process]:
    """Return the descendants of the process that have not ended."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def measure(command: Sequence[str], environment: Mapping[str, str], log: Path) -> Usage:
    """Run a command to its end; return the usage of its process and all descendants.

    Raises:
        ChildProcessError: the command fails; the message holds the end of its `log`.
    """
    started: list[psutil.Process] = []

    def tree() -> list[psutil.Process]:
        return [member for process in started for member in (process, *descendants(process))]

    with log.open("wb") as out:
        with Meter(tree) as meter:
            process = subprocess.Popen(command, env=dict(environment), stdout=out, stderr=out)
            started.append(psutil.Process(process.pid))
            # The system drops an ended process's times once its status is fetched, so the meter takes its sample first.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        status = process.wait()
    if status:
        printed = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise ChildProcessError(f"{' '.join(command)} ended with status {status}:\n{printed}")
    return meter.usage
