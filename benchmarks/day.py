"""A day's steps on S3, on a warm Spark session, without scheduler and warehouse: timed, with their requests counted."""

import io
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import astuple, dataclass
from datetime import UTC, date, datetime, timedelta
from statistics import median
from typing import Any

import boto3
import psutil
from music_streams.archive import finish_batch
from music_streams.batches import batch_id
from music_streams.validation import take_in_batch
from pyspark.sql import SparkSession

from contract import layout
from contract.bucket import Bucket, s3_client
from contract.kpi_tables import kpi_table
from glue_jobs import curate_user_streams, genre_level_kpis, hourly_kpis, kpi_output


@dataclass(frozen=True)
class Cost:
    """What a step took.

    Attributes:
        seconds: Of the wall clock.
        cpu_seconds: Of this process, Spark and the sandbox's S3.
        requests: To S3, by boto3 and by Spark.
        listings: Those of them that list; a longer list takes more of them.
    """

    seconds: float
    cpu_seconds: float
    requests: float
    listings: float

    @classmethod
    def total(cls, costs: Iterable["Cost"]) -> "Cost":
        """The cost of several steps."""
        return cls(*map(sum, zip(*map(astuple, costs), strict=True)))

    @classmethod
    def median(cls, costs: Iterable["Cost"]) -> "Cost":
        """The usual cost of a step that was run several times."""
        return cls(*map(median, zip(*map(astuple, costs), strict=True)))


class Boto3Requests:
    """Counts the requests of all S3 clients that this process makes from now on."""

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


class Lake:
    """A bucket whose days are run with the code that runs on AWS."""

    def __init__(self, bucket: str, spark: SparkSession, requests: Boto3Requests) -> None:
        self.bucket = bucket
        self.s3 = s3_client()
        self._spark = spark
        self._of_boto3 = requests
        java = spark.sparkContext._jvm
        assert java is not None
        file_system = java.org.apache.hadoop.fs.FileSystem.get(
            java.java.net.URI(f"s3://{bucket}/"), spark.sparkContext._jsc.hadoopConfiguration()
        )
        self._of_spark = file_system.getIOStatistics()
        self._attempts = itertools.count(1)

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def stored(self) -> Iterator[str]:
        """All keys."""
        return (found.key for found in Bucket(self.bucket, self.s3).objects(""))

    def read(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def record(self, key: str) -> dict[str, Any]:
        record = Bucket(self.bucket, self.s3).read_json(key)
        assert record is not None, key
        return record

    def run(self, day: date) -> dict[str, Cost]:
        """Take in and compute what has landed, as the run of that day does; the cost of each step."""
        batch = batch_of(day)
        steps: Mapping[str, Callable[[], object]] = {
            "validate": lambda: take_in_batch(
                Bucket(self.bucket, self.s3), batch, on_invalid_stream_file="fail", recompute=None
            ),
            "curate user streams": lambda: self._curate(batch),
            "compute genre_level_kpis": lambda: self._compute(
                batch, genre_level_kpis.KPI, kpi_table("genre_level_kpis").output
            ),
            "compute hourly_kpis": lambda: self._compute(batch, hourly_kpis.KPI, kpi_table("hourly_kpis").output),
            "archive": lambda: finish_batch(Bucket(self.bucket, self.s3), batch),
        }
        return {name: self._cost(step) for name, step in steps.items()}

    def forget(self, day: date) -> None:
        """Remove what that day's run has written, as if it had never run."""
        for key in list(self.stored()):
            if batch_of(day) in key:
                self.s3.delete_object(Bucket=self.bucket, Key=key)

    def _cost(self, step: Callable[[], object]) -> Cost:
        before = self._spent()
        with redirect_stdout(io.StringIO()):  # what the jobs tell
            step()
        return Cost(*(now - then for now, then in zip(self._spent(), before, strict=True)))

    def _spent(self) -> tuple[float, float, float, float]:
        """So far, as in `Cost`."""
        program = psutil.Process()
        processes = [program, *program.children(recursive=True)]
        cpu_seconds = sum(sum(process.cpu_times()[:2]) for process in processes)
        spark = self._of_spark.counters()
        listings = spark["object_list_request"] + spark["object_continue_list_request"]
        return (
            time.perf_counter(),
            cpu_seconds,
            self._of_boto3.all + spark["store_io_request"],
            self._of_boto3.listings + listings,
        )

    def _curate(self, batch: str) -> None:
        arguments = self._arguments(batch, quarantine_prefix=layout.QUARANTINED_ROWS, max_reject_rate="0.05")
        curate_user_streams.main(arguments, self._warm_session)

    def _compute(self, batch: str, kpi: kpi_output.Kpi, output_prefix: str) -> None:
        arguments = self._arguments(batch, reference_prefix=layout.REFERENCE, output_prefix=output_prefix)
        kpi_output.run(kpi, arguments, self._warm_session)

    def _arguments(self, batch: str, **more: str) -> list[str]:
        values = {
            "bucket": self.bucket,
            "batch_id": batch,
            "batches_prefix": layout.BATCHES,
            "curated_prefix": layout.CURATED,
            "JOB_RUN_ID": f"jr_{next(self._attempts):05d}",
            **more,
        }
        return ["script.py", *itertools.chain.from_iterable((f"--{name}", value) for name, value in values.items())]

    @contextmanager
    def _warm_session(self, _job_name: str) -> Iterator[SparkSession]:
        yield self._spark
        self._spark.catalog.clearCache()


def batch_of(day: date) -> str:
    """The batch of the run that takes in that day's files, at its end."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
    return batch_id(midnight, f"scheduled__{midnight.isoformat()}")
