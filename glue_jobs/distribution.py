"""Distribute the tasks of a job: a single task runs in the driver, several run on Spark."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from glue_jobs.stages import Distribution, KeyKernel, SharedFile, Task, TaskKernel, run_keys

Distributed = Callable[[str, int], AbstractContextManager[Distribution]]
"""Opens the distribution of a job, given the job's name and the number of tasks in its larger stage."""


class InDriver:
    """Runs kernels one after another in the driver, the process that runs the job's script."""

    def share(self, file: Path) -> SharedFile:
        """Return the file where it is."""
        return partial(str, file)

    def run(self, tasks: Sequence[Task], task_kernel: TaskKernel[Task], key_kernel: KeyKernel) -> list[bytes]:
        """See `Distribution.run`."""
        records = itertools.chain.from_iterable(map(task_kernel, tasks))
        return [content for _, content in run_keys(records, key_kernel)]


@contextmanager
def in_driver(_job_name: str, _tasks: int) -> Iterator[Distribution]:
    """Run all tasks in the driver."""
    yield InDriver()


@contextmanager
def in_driver_or_on_spark(job_name: str, tasks: int) -> Iterator[Distribution]:
    """Run several tasks on Spark, and a single one in the driver.

    Spark would not run a single task faster, and starting Spark takes longer than a small task.
    """
    if tasks == 1:
        print(f"{job_name} has one task, which runs in the driver, without Spark")
        with in_driver(job_name, tasks) as distribution:
            yield distribution
    else:
        from glue_jobs.spark_distribution import on_spark  # noqa: PLC0415  only several tasks need PySpark

        with on_spark(job_name) as distribution:
            yield distribution
