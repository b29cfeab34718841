"""How many workers share the tests, and which tests stay together on one worker.

The whole sandbox is the dearest fixture: half a minute and 3 GB, once for each worker that meets it. So one worker runs
all tests that need it, while the others run the rest.
"""

import os
from pathlib import Path, PurePosixPath

import psutil
from xdist.scheduler import LoadFileScheduling

GIGABYTE = 1 << 30
SANDBOX_BYTES = 3 * GIGABYTE  # its servers, with the Glue runs and the tasks of one DAG run
WORKER_BYTES = 3 * GIGABYTE // 2  # pytest with what tests import, and Spark's JVM, a warehouse and dbt behind it

TOGETHER = {
    "the sandbox": ("tests/integration/test_*.py", "tests/integration/sandbox/test_lifecycle*.py"),
    "a warehouse with a warm dbt": ("tests/properties/*.py",),
}
"""Files that share a fixture which only one worker should start."""


class Scheduling(LoadFileScheduling):  # type: ignore[misc]
    """xdist's `--dist loadfile`, in which files that share a dear fixture count as one."""

    def _split_scope(self, nodeid: str) -> str:
        return unit_of_work(nodeid.partition("::")[0])


def unit_of_work(file: str) -> str:
    """What is handed to one worker as a whole: a file, or the files that it shares a dear fixture with."""
    path = PurePosixPath(file)
    return next((name for name, files in TOGETHER.items() if any(path.match(pattern) for pattern in files)), file)


def number_of_workers(cores: int, free_bytes: int) -> int:
    """One worker for each core, as far as the memory goes round; one in any case."""
    return max(1, min(cores, (free_bytes - SANDBOX_BYTES) // WORKER_BYTES))


def cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """The cores that this process may use, rounded down where a container has a share of them."""
    allowed = len(os.sched_getaffinity(0))
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    return max(1, min(allowed, int(quota) // int(period))) if quota.isdigit() else allowed


def free_bytes(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """The memory that this process and its children may still take."""
    available = int(psutil.virtual_memory().available)
    limit, used = _read(cgroup / "memory.max"), _read(cgroup / "memory.current")
    return min(available, int(limit) - int(used)) if limit.isdigit() and used.isdigit() else available


def _read(file: Path) -> str:
    """What a file of the kernel says; nothing when there is no such file."""
    return file.read_text(encoding="ascii").strip() if file.exists() else ""
