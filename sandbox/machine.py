"""Check that the machine has the disk space and the memory that the sandbox needs."""

import os
import shutil
from collections import Counter
from pathlib import Path

import psutil

from sandbox.home import SandboxError

DISK, MEMORY = "MUSIC_STREAMS_SANDBOX_DISK_MB", "MUSIC_STREAMS_SANDBOX_MEMORY_MB"
NEEDED = {DISK: 1_000, MEMORY: 2_000}  # MB for a start and some runs
SHARE_WHILE_RUNNING = 10  # a tenth of the needed disk space must stay free, or the servers fail one after the other
MEGABYTE = 1_000_000
CGROUP = Path("/sys/fs/cgroup")
LARGEST = 3


def check_disk(folder: Path, *, while_running: bool = False) -> None:
    """Check that the disk has room; the folder need not exist yet.

    Raises:
        SandboxError: the disk has too little room; the message holds the needed space, the free space and the remedy.
    """
    needed = _needed(DISK) // (SHARE_WHILE_RUNNING if while_running else 1)
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(there).free // MEGABYTE
    if free < needed:
        raise SandboxError(
            f"the disk of {folder} is {'full' if while_running else 'too full'}: the sandbox needs {needed:,} MB, and "
            f"{free:,} MB are free. Free some (`make clean` forgets what the sandbox holds, `uv cache clean` what was "
            f"downloaded), or name a folder on another disk by MUSIC_STREAMS_SANDBOX_HOME; then `make run` goes on. "
            f"{DISK} sets another number"
        )


def check_memory() -> None:
    """Check that enough memory is free for a start.

    Raises:
        SandboxError: too little memory is free; the message holds the needed and the free memory, and the largest
            programs.
    """
    needed, free = _needed(MEMORY), free_memory() // MEGABYTE
    if free < needed:
        raise SandboxError(
            f"too little memory: the sandbox needs {needed:,} MB, and {free:,} MB are free. End other programs (the "
            f"largest: {', '.join(largest_programs())}). {MEMORY} sets another number"
        )


def free_memory(cgroup: Path = CGROUP) -> int:
    """Return the bytes that this process and its children may still use; a container may have less than the machine."""
    available = int(psutil.virtual_memory().available)
    limit, used = (_text(cgroup / name) for name in ("memory.max", "memory.current"))
    cached = dict(line.split() for line in _text(cgroup / "memory.stat").splitlines()).get("inactive_file", "0")
    if not (limit.isdigit() and used.isdigit()):
        return available
    return min(available, int(limit) - int(used) + int(cached))


def largest_programs() -> list[str]:
    """Return the programs that hold most memory, counting all processes of a name together."""
    held: Counter[str] = Counter()
    for process in psutil.process_iter(["name", "memory_info"]):
        if process.info["memory_info"]:
            held[process.info["name"]] += process.info["memory_info"].rss
    return [f"{name} {size // MEGABYTE:,} MB" for name, size in held.most_common(LARGEST)]


def _needed(variable: str) -> int:
    value = os.environ.get(variable) or str(NEEDED[variable])
    if not value.isdigit():
        raise SandboxError(f"{variable}={value} is no number of megabytes")
    return int(value)


def _text(file: Path) -> str:
    """Return the content of a file of the kernel; empty if the file does not exist."""
    return file.read_text(encoding="ascii").strip() if file.exists() else ""
