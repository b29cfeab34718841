"""The pipeline without scheduler and warehouse: each step on the production code, in one process.

A step is what one task of the DAG does. Kernels run in this process by default, which takes milliseconds; `on_warm`
runs them on Spark's workers.
"""

import csv
import io
import itertools
import os
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet
from music_streams.archive import finish_batch
from music_streams.batches import DateRange
from music_streams.ingestion import OnInvalidStreamFile, ingest_batch

from contract import layout
from contract.bucket import Bucket
from contract.jobs import curation_arguments, kpi_arguments
from contract.kpi_tables import KPI_TABLES, KpiTable
from glue_jobs import compute_kpis, curate_user_streams
from glue_jobs.distribution import Distributed, in_driver
from glue_jobs.stages import Distribution
from sandbox import event_queries

SONGS = (
    b"id,track_id,artists,track_name,duration_ms,track_genre\n"
    b'1,t1,"Zo\xc3\xab; Abba","One, ""two""\nthree",60000,pop\n'
    b"2,t2,Abba,Two,120000,pop\n"
    b"3,t3,Abba,Three,240000,rock\n"
)
USERS = b"user_id,user_name,user_age,user_country,created_at\nu1,Ann,17,SE,2024-01-01\nu2,Bo,40,SE,2024-01-01\n"


def on_warm(distribution: Distribution) -> Distributed:
    """Run the kernels of every job on a distribution that is open already, and stays open."""
    return lambda _job_name, _tasks: nullcontext(distribution)


class Pipeline:
    """One lake, and the steps that work on it."""

    def __init__(self, bucket: str, distributed: Distributed = in_driver) -> None:
        self.bucket = Bucket(bucket, boto3.client("s3"))
        self.s3 = self.bucket.s3
        self._distributed = distributed
        self._attempts = itertools.count(1)

    @classmethod
    def with_songs_and_users(cls, bucket: str, distributed: Distributed = in_driver) -> "Pipeline":
        """One on a bucket of its own, in which three songs and two users have landed."""
        boto3.client("s3").create_bucket(Bucket=bucket)
        pipeline = cls(bucket, distributed)
        pipeline.put(layout.SONGS, SONGS)
        pipeline.put(layout.USERS, USERS)
        return pipeline

    def put(self, key: str, content: bytes) -> None:
        """Write an object."""
        self.bucket.write(key, content)

    def land(self, name: str, content: bytes) -> None:
        """Land a stream file."""
        self.put(f"{layout.USER_STREAMS}/{name}", content)

    def ingest(
        self,
        batch_id: str,
        recompute: DateRange | tuple[str, str] | None = None,
        on_invalid_stream_file: OnInvalidStreamFile = "fail",
    ) -> dict[str, Any]:
        """Validate what has landed, and pin it as a batch."""
        dates = DateRange.from_params(*recompute) if isinstance(recompute, tuple) else recompute
        return ingest_batch(self.bucket, batch_id, on_invalid_stream_file=on_invalid_stream_file, recompute=dates)

    def curate(self, batch_id: str, max_reject_rate: float = 0.05) -> dict[str, Any]:
        """Run the curation job; return the batch's commit record."""
        arguments = curation_arguments(self.bucket.name, batch_id, max_reject_rate)
        curate_user_streams.main(self._argv(arguments), self._distributed)
        return self.record(layout.BatchFolder(batch_id).curation_record)

    def compute(self, batch_id: str, table: KpiTable) -> None:
        """Run the job of a KPI table."""
        compute_kpis.main(self._argv(kpi_arguments(self.bucket.name, batch_id, table)), self._distributed)

    def compute_all(self, batch_id: str) -> dict[str, str]:
        """Run the jobs of all KPI tables; return each as CSV, read back from the parts that its COPY manifest names."""
        for table in KPI_TABLES:
            self.compute(batch_id, table)
        return {table.name: self.raw_kpis(batch_id, table) for table in KPI_TABLES}

    def raw_kpis(self, batch_id: str, table: KpiTable) -> str:
        """The rows of a batch as CSV, from the parts that the COPY manifest names."""
        entries = self.record(table.copy_manifest(batch_id))["entries"]
        keys = [entry["url"].removeprefix(self.bucket.url("")) for entry in entries]
        rows = pa.concat_tables([pyarrow.parquet.read_table(io.BytesIO(self.bucket.read(key))) for key in keys])
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(rows.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in rows.columns), strict=True))
        return text.getvalue()

    def finish(self, batch_id: str) -> dict[str, Any]:
        """Archive the batch, and record that it is loaded."""
        return finish_batch(self.bucket, batch_id)

    def events(self, record: Mapping[str, Any]) -> list[tuple[str, str, str]]:
        """The events of a commit record's files."""
        rows = []
        for file in record["curated_files"]:
            table = pyarrow.parquet.read_table(io.BytesIO(self.bucket.read(file["key"])))
            assert len(table) == file["rows"], file
            rows += [(row["user_id"], row["track_id"], f"{row['listen_time']}") for row in table.to_pylist()]
        return rows

    def sql_on_events(self, sql: str) -> list[str]:
        """The rows of a statement on single events, as `make events` prints them."""
        text = io.StringIO()
        places = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        event_queries.write_csv(self.bucket, event_queries.store(*(os.environ[place] for place in places)), sql, text)
        return text.getvalue().splitlines()[1:]

    def record(self, key: str) -> dict[str, Any]:
        """A JSON record, which must be there."""
        found = self.bucket.read_json(key)
        assert found is not None, key
        return found

    def keys(self, prefix: str) -> list[str]:
        """The keys below a prefix."""
        return [found.key for found in self.bucket.objects(prefix)]

    def text(self, key: str) -> str:
        """An object's text."""
        return self.bucket.read(key).decode()

    def _argv(self, arguments: Mapping[str, str]) -> list[str]:
        values = {"--JOB_NAME": "a-job", "--JOB_RUN_ID": f"jr_{next(self._attempts):05d}", **arguments}
        return ["script.py", *itertools.chain.from_iterable(values.items())]
