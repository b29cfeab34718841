"""How Spark runs kernels: it plans, schedules, retries and shuffles; it never looks into a row.

A job is two stages. The first kernel turns each task into records; the second gets all records of one key together. A
record is a key and some bytes, megabytes at most, so that the JVM handles a few thousand of them, however many events
they hold. Records without a key are results: they pass the second stage untouched.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from glue_jobs.session import spark_session

Task = TypeVar("Task")
Record = tuple[str, bytes]
TaskKernel = Callable[[Task], Iterable[Record]]
KeyKernel = Callable[[str, Iterator[bytes]], Iterable[Record]]
SharedFile = Callable[[], str]
"""Gives the path of the file where it is called, on whatever machine that is."""

RESULT = ""
"""The key of a record that is a result."""

_SCHEMA = pa.schema([("key", pa.string()), ("content", pa.binary())])


class KernelError(Exception):
    """A kernel has failed on one of Spark's workers; the message is that of its own error."""


class Distribution(Protocol):
    """What runs the kernels of one job."""

    def share(self, file: Path) -> SharedFile:
        """Bring a local file to wherever kernels run."""

    def run(self, tasks: Sequence[Task], task_kernel: TaskKernel[Task], key_kernel: KeyKernel) -> list[bytes]:
        """Run the first kernel for each task, and the second for each key of its records; return the results.

        Raises:
            KernelError: a kernel has failed, again and again.
        """


Distributed = Callable[[str], AbstractContextManager[Distribution]]
"""What opens a distribution for the job of a name."""


class SparkDistribution:
    """Kernels on the workers of a Spark session."""

    def __init__(self, spark: SparkSession) -> None:
        self._spark = spark

    def share(self, file: Path) -> SharedFile:
        """Spark brings the file to each executor once."""
        self._spark.sparkContext.addFile(str(file))
        return partial(SparkFiles.get, file.name)

    def run(self, tasks: Sequence[Task], task_kernel: TaskKernel[Task], key_kernel: KeyKernel) -> list[bytes]:
        """As `Distribution.run` says; in one action, since a second one would run the kernels again."""
        if not tasks:
            return []
        # Some keys are larger than others: with more partitions than cores the small ones fill the gaps.
        partitions = max(1, min(len(tasks), 2)) * self._spark.sparkContext.defaultParallelism
        records = (
            self._spark.range(0, len(tasks), 1, len(tasks))
            .mapInArrow(partial(_run_tasks, list(tasks), task_kernel), "key string, content binary")
            .repartition(partitions, "key")
            .sortWithinPartitions("key")
            .mapInArrow(partial(_run_keys, key_kernel), "key string, content binary")
        )
        try:
            return [bytes(row["content"]) for row in records.collect()]
        except PySparkException as error:
            raise KernelError(_last_words(str(error))) from error


@contextmanager
def on_spark(job_name: str) -> Iterator[Distribution]:
    """Open a Spark session, and run kernels on its workers."""
    with spark_session(job_name) as spark:
        yield SparkDistribution(spark)


def run_keys(records: Iterable[Record], kernel: KeyKernel) -> Iterator[Record]:
    """Give the kernel the records of each key; `records` are in the order of their keys."""
    for key, of_key in itertools.groupby(records, itemgetter(0)):
        contents = (content for _, content in of_key)
        if key == RESULT:
            yield from ((RESULT, content) for content in contents)
        else:
            yield from kernel(key, contents)


def _run_tasks(
    tasks: Sequence[Task], kernel: TaskKernel[Task], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for number in batch.column(0).to_pylist():
            yield from map(_as_batch, kernel(tasks[number]))


def _run_keys(kernel: KeyKernel, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    records = (
        (key.as_py(), content.as_py())
        for batch in batches
        for key, content in zip(batch.column(0), batch.column(1), strict=True)
    )
    yield from map(_as_batch, run_keys(records, kernel))


def _as_batch(record: Record) -> pa.RecordBatch:
    key, content = record
    return pa.record_batch([pa.array([key]), pa.array([content], pa.binary())], schema=_SCHEMA)


def _last_words(trace: str) -> str:
    """The error of the kernel itself, out of what Spark says of it: Python's last line before Java's."""
    python = trace.partition("\n\nDriver stacktrace")[0].partition("\n\n\tat ")[0].rstrip()
    lines = [line for line in python.split("\n") if line.strip() and not line.startswith((" ", "\t"))]
    return lines[-1] if lines else trace


def encode(table: Any) -> bytes:
    """A block: rows as an Arrow stream, compressed, for a record."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def decode(block: bytes) -> Any:
    """The rows of a block, as an Arrow table."""
    with pa.ipc.open_stream(block) as stream:
        return stream.read_all()
