"""The two stages of a job, and the records that pass between them.

The first kernel turns each task into records; the second gets all records of one key together. A record is a key and
some bytes, megabytes at most, so a shuffle moves only a few thousand of them, however many events they hold. Records
without a key are results: they pass the second stage unchanged.
"""

import pickle
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa

Task = TypeVar("Task")
Record = tuple[str, bytes]
TaskKernel = Callable[[Task], Iterable[Record]]
KeyKernel = Callable[[str, Iterator[bytes]], Iterable[Record]]
SharedFile = Callable[[], str]
"""Returns the path of the file on the machine where it is called."""

RESULT = ""
"""The key of a record that is a result."""


class Distribution(Protocol):
    """Runs the kernels of one job."""

    def share(self, file: Path) -> SharedFile:
        """Make a local file available on every machine that runs kernels."""

    def run(self, tasks: Sequence[Task], task_kernel: TaskKernel[Task], key_kernel: KeyKernel) -> list[bytes]:
        """Run the first kernel for each task, and the second for each key of its records; return the results.

        Raises:
            Exception: a kernel has failed. If Spark ran it, the error is a `spark_distribution.KernelError`.
        """


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
