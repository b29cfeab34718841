"""When a job starts Spark."""

import subprocess
import sys

SINGLE_TASK = """
import sys
from glue_jobs.distribution import in_driver_or_on_spark

def tens(task):
    yield "", b"a result"
    yield str(task % 10), bytes([task])

def joined(key, contents):
    yield "", key.encode() + b"".join(contents)

with in_driver_or_on_spark("job", 1) as distribution:
    print(distribution.run([12], tens, joined), "pyspark" in sys.modules)
"""


def test_a_single_task_runs_in_the_driver_without_spark() -> None:
    run = subprocess.run([sys.executable, "-c", SINGLE_TASK], check=True, capture_output=True, text=True)
    assert run.stdout == ("job has one task, which runs in the driver, without Spark\n[b'a result', b'2\\x0c'] False\n")
