"""Run kernels on Spark, which plans, schedules, retries and shuffles, but never reads a row.

The stages are those of an RDD. A DataFrame would carry the same bytes, but would plan, compile and sort them as rows of
SQL, which costs seconds of CPU time per job.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext, SparkFiles

from glue_jobs.stages import Distribution, KeyKernel, SharedFile, Task, TaskKernel, run_keys

_PARTITIONS_PER_CORE = 4
"""Some keys are larger than others: with more partitions than cores the small ones fill the gaps."""


class KernelError(Exception):
    """A kernel has failed on one of Spark's workers; the message is that of the kernel's own error."""


class SparkDistribution:
    """Runs kernels on the workers of a Spark context."""

    def __init__(self, spark: SparkContext) -> None:
        self._spark = spark

    def share(self, file: Path) -> SharedFile:
        """Have Spark copy the file to each executor once."""
        self._spark.addFile(str(file))
        return partial(SparkFiles.get, file.name)

    def run(self, tasks: Sequence[Task], task_kernel: TaskKernel[Task], key_kernel: KeyKernel) -> list[bytes]:
        """See `Distribution.run`. It uses one Spark action, since a second one would run the kernels again.

        Raises:
            KernelError: a kernel has failed in every try.
        """
        records = (
            self._spark.parallelize(tasks, len(tasks))
            .flatMap(task_kernel)
            .partitionBy(_PARTITIONS_PER_CORE * self._spark.defaultParallelism)
            .mapPartitions(partial(run_keys, kernel=key_kernel))
        )
        try:
            return [content for _, content in records.collect()]
        except Py4JJavaError as error:
            raise KernelError(_last_words(str(error))) from error


@contextmanager
def on_spark(job_name: str) -> Iterator[Distribution]:
    """Start Spark, and run kernels on its workers."""
    with SparkContext.getOrCreate(SparkConf().setAppName(job_name)) as spark:
        yield SparkDistribution(spark)


def _last_words(trace: str) -> str:
    """Extract the kernel's own error from Spark's: the last line of Python's traceback, before Java's stack trace."""
    python = trace.partition("\n\nDriver stacktrace")[0].partition("\n\n\tat ")[0].rstrip()
    lines = [line for line in python.split("\n") if line.strip() and not line.startswith((" ", "\t"))]
    return lines[-1] if lines else trace
