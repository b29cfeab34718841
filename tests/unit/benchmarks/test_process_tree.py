"""A process is measured together with all that it starts."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.process_tree import Meter, Usage, measure

MEGABYTES = 200
# Computes for a second of CPU time in each of two processes, while it holds so many megabytes.
BUSY = f"""
import subprocess, sys, time
held = bytearray(b"x") * ({MEGABYTES} * 1_000_000)
child = None
if len(sys.argv) < 2:
    child = subprocess.Popen([sys.executable, __file__, "child"])
while time.process_time() < 1:
    pass
if child:
    sys.exit(child.wait())
"""


def test_cpu_time_and_memory_of_a_process_and_its_child_add_up(tmp_path: Path) -> None:
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    usage = measure([sys.executable, str(script)], os.environ, tmp_path / "log")
    assert 1.8 < usage.cpu_seconds < 2.6
    assert 1.5 * MEGABYTES * 1e6 < usage.peak_bytes < 3 * MEGABYTES * 1e6
    assert usage.seconds > 0.9


def test_what_a_process_had_used_before_does_not_count() -> None:
    this = psutil.Process()
    while sum(this.cpu_times()[:2]) < 0.5:
        pass
    with Meter(lambda: [this]) as meter:
        assert this.is_running()
    assert meter.usage.cpu_seconds < 0.4


def test_a_command_that_fails_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError, match="no such folder"):
        measure([sys.executable, "-c", "raise SystemExit('no such folder')"], os.environ, tmp_path / "log")


def test_steps_in_turn_add_their_times_and_share_the_highest_peak() -> None:
    assert Usage.in_turn([Usage(1, 2, 300), Usage(10, 20, 200)]) == Usage(11, 22, 300)


def test_the_median_of_rounds_is_taken_of_each_figure() -> None:
    assert Usage.median([Usage(1, 9, 3), Usage(5, 2, 1), Usage(3, 4, 2)]) == Usage(3, 4, 2)
