"""Run a day's steps on S3, without scheduler, Spark and warehouse; time them, and count their requests."""

import io
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median

import boto3
import psutil
from music_streams.batches import batch_id

from contract.kpi_tables import KPI_TABLES
from tests.pipeline import Pipeline


@dataclass(frozen=True)
class Cost:
    """The cost of a step.

    Attributes:
        seconds: Wall-clock time.
        cpu_seconds: CPU time of this process and the sandbox's S3.
        requests: The number of requests to S3.
        listings: The number of listings among them; a longer list takes more requests.
    """

    seconds: float
    cpu_seconds: float
    requests: float
    listings: float

    @classmethod
    def total(cls, costs: Iterable["Cost"]) -> "Cost":
        """Return the total cost of several steps."""
        return cls(*map(sum, zip(*map(astuple, costs), strict=True)))

    @classmethod
    def median(cls, costs: Iterable["Cost"]) -> "Cost":
        """Return the median cost of a step that was run several times."""
        return cls(*map(median, zip(*map(astuple, costs), strict=True)))


class Boto3Requests:
    """Counts the requests of all S3 clients that this process creates from now on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.all = 0
        self.listings = 0
        boto3.setup_default_session()
        boto3.DEFAULT_SESSION.events.register("before-send.s3", self._count)  # type: ignore[union-attr]

    def _count(self, event_name: str, **_: object) -> None:
        with self._lock:
            self.all += 1
            self.listings += event_name.endswith("ListObjectsV2")


class Lake(Pipeline):
    """A bucket in which days are run with the code that runs on AWS, but with the kernels in this process."""

    def __init__(self, bucket: str, requests: Boto3Requests) -> None:
        super().__init__(bucket)
        self._requests = requests

    def stored(self) -> Iterator[str]:
        """Yield all keys of the bucket."""
        return (found.key for found in self.bucket.objects(""))

    def run(self, day: date) -> dict[str, Cost]:
        """Ingest and compute the landed files, as that day's run does; return the cost of each step."""
        batch = batch_of(day)
        steps: dict[str, Callable[[], object]] = {
            "validate": lambda: self.ingest(batch),
            "curate user streams": lambda: self.curate(batch),
        }
        for table in KPI_TABLES:
            steps[f"compute {table.name}"] = lambda table=table: self.compute(batch, table)  # type: ignore[misc]
        steps["archive"] = lambda: self.finish(batch)
        return {name: self._cost(step) for name, step in steps.items()}

    def forget(self, day: date) -> None:
        """Remove all objects that the day's run has written."""
        for key in list(self.stored()):
            if batch_of(day) in key:
                self.s3.delete_object(Bucket=self.bucket.name, Key=key)

    def _cost(self, step: Callable[[], object]) -> Cost:
        before = self._spent()
        with redirect_stdout(io.StringIO()):  # swallows the jobs' reports
            step()
        return Cost(*(now - then for now, then in zip(self._spent(), before, strict=True)))

    def _spent(self) -> tuple[float, float, float, float]:
        """Return the cost so far, as the values of `Cost`."""
        program = psutil.Process()
        processes = [program, *program.children(recursive=True)]
        cpu_seconds = sum(sum(process.cpu_times()[:2]) for process in processes)
        return time.perf_counter(), cpu_seconds, self._requests.all, self._requests.listings


def batch_of(day: date) -> str:
    """Return the id of the batch that takes in the day's files, at the end of the day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return batch_id(midnight, f"scheduled__{midnight.isoformat()}")
