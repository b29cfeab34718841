"""Run kernels on Spark, which plans, schedules, retries and shuffles, but never reads a row.

A job has two stages. The first kernel turns each task into records; the second gets all records of one key together. A
record is a key and some bytes, megabytes at most, so the JVM handles only a few thousand of them, however many events
they hold. Records without a key are results: they pass the second stage unchanged.

The stages are those of an RDD. A DataFrame would carry the same bytes, but would plan, compile and sort them as rows of
SQL, which costs a small job half of its CPU time.
"""

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa
from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext, SparkFiles

Task = TypeVar("Task")
Record = tuple[str, bytes]
TaskKernel = Callable[[Task], Iterable[Record]]
KeyKernel = Callable[[str, Iterator[bytes]], Iterable[Record]]
SharedFile = Callable[[], str]
"""Returns the path of the file on the machine where it is called."""

RESULT = ""
"""The key of a record that is a result."""

_PARTITIONS_PER_CORE = 4
"""Some keys are larger than others: with more partitions than cores the small ones fill the gaps."""


class KernelError(Exception):
    """A kernel has failed on one of Spark's workers; the message is that of the kernel's own error."""


class Distribution(Protocol):
    """Runs the kernels of one job."""

    def share(self, file: Path) -> SharedFile:
        """Make a local file available on every machine that runs kernels."""

    def run(self, tasks: Sequence[Task], task_kernel: TaskKernel[Task], key_kernel: KeyKernel) -> list[bytes]:
        """Run the first kernel for each task, and the second for each key of its records; return the results.

        Raises:
            KernelError: a kernel has failed in every try.
        """


Distributed = Callable[[str], AbstractContextManager[Distribution]]
"""Opens the distribution of the job with the given name."""


class SparkDistribution:
    """Runs kernels on the workers of a Spark context."""

    def __init__(self, spark: SparkContext) -> None:
        self._spark = spark

    def share(self, file: Path) -> SharedFile:
        """Have Spark copy the file to each executor once."""
        self._spark.addFile(str(file))
        return partial(SparkFiles.get, file.name)

    def run(self, tasks: Sequence[Task], task_kernel: TaskKernel[Task], key_kernel: KeyKernel) -> list[bytes]:
        """See `Distribution.run`. It uses one Spark action, since a second one would run the kernels again."""
        if not tasks:
            return []
        records = (
            self._spark.parallelize(tasks, len(tasks))
            .flatMap(task_kernel)
            .partitionBy(min(len(tasks), _PARTITIONS_PER_CORE * self._spark.defaultParallelism))
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


def run_keys(records: Iterable[Record], kernel: KeyKernel) -> Iterator[Record]:
    """Run the kernel for each key; records wait on disk until all have arrived, and results are passed on."""
    with tempfile.TemporaryDirectory(prefix="records-") as folder:
        files: dict[str, Path] = {}
        for key, content in records:
            if key == RESULT:
                yield key, content
                continue
            file = files.setdefault(key, Path(folder, str(len(files))))
            with file.open("ab") as waiting:
                pickle.dump(content, waiting)
        for key, file in files.items():
            yield from kernel(key, _contents(file))


def _contents(file: Path) -> Iterator[bytes]:
    with file.open("rb") as waiting:
        while waiting.peek(1):
            yield pickle.load(waiting)  # noqa: S301 - written above


def _last_words(trace: str) -> str:
    """Extract the kernel's own error from Spark's: the last line of Python's traceback, before Java's stack trace."""
    python = trace.partition("\n\nDriver stacktrace")[0].partition("\n\n\tat ")[0].rstrip()
    lines = [line for line in python.split("\n") if line.strip() and not line.startswith((" ", "\t"))]
    return lines[-1] if lines else trace


def encode(table: Any) -> bytes:
    """Encode rows as a block for a record: a compressed Arrow stream."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, table.schema, options=options) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


def decode(block: bytes) -> Any:
    """Decode a block into an Arrow table."""
    with pa.ipc.open_stream(block) as stream:
        return stream.read_all()
