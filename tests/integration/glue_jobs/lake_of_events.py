"""A bucket in which tests land files, take them in as batches and run the jobs' own main()."""

import csv
import io
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from music_streams.batches import DateRange
from music_streams.validation import OnInvalidStreamFile, take_in_batch
from pyspark.sql import SparkSession
from pyspark.sql import functions as F  # noqa: N812 - PySpark's own convention

from contract import layout
from contract.bucket import Bucket
from contract.kpi_tables import kpi_table
from glue_jobs import curate_user_streams, genre_level_kpis, hourly_kpis, kpi_output

SONGS = (
    b"id,track_id,artists,track_name,duration_ms,track_genre\n"
    b'1,t1,"Zo\xc3\xab; Abba","One, ""two""\nthree",60000,pop\n'
    b"2,t2,Abba,Two,120000,pop\n"
    b"3,t3,Abba,Three,240000,rock\n"
)
USERS = b"user_id,user_name,user_age,user_country,created_at\nu1,Ann,17,SE,2024-01-01\nu2,Bo,40,SE,2024-01-01\n"


class LakeOfEvents:
    """One bucket, with songs and users in it."""

    def __init__(self, spark: SparkSession, bucket: str) -> None:
        self.spark = spark
        self.bucket = bucket
        self.s3 = boto3.client("s3")
        self.s3.create_bucket(Bucket=bucket)
        self.put(layout.SONGS, SONGS)
        self.put(layout.USERS, USERS)
        self._attempts = itertools.count(1)

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content)

    def land(self, name: str, content: bytes) -> None:
        self.put(f"{layout.USER_STREAMS}/{name}", content)

    def take_in(
        self,
        batch_id: str,
        recompute: tuple[str, str] | None = None,
        on_invalid_stream_file: OnInvalidStreamFile = "fail",
    ) -> None:
        dates = DateRange.from_params(*recompute) if recompute else None
        take_in_batch(
            Bucket(self.bucket, self.s3), batch_id, on_invalid_stream_file=on_invalid_stream_file, recompute=dates
        )

    def curate(self, batch_id: str, max_reject_rate: float = 0.05) -> dict[str, Any]:
        """Run the curation job; return the batch's commit record."""
        curate_user_streams.main(
            self._arguments(batch_id, quarantine_prefix=layout.QUARANTINED_ROWS, max_reject_rate=max_reject_rate),
            self._warm_session,
        )
        return self.record(layout.BatchFolder(batch_id).curation_record)

    def compute(self, batch_id: str) -> dict[str, str]:
        """Run both KPI jobs; return each table as CSV, read back from the parts that its COPY manifest names."""
        for kpi, prefix in (
            (genre_level_kpis.KPI, kpi_table("genre_level_kpis").output),
            (hourly_kpis.KPI, kpi_table("hourly_kpis").output),
        ):
            arguments = self._arguments(batch_id, reference_prefix=layout.REFERENCE, output_prefix=prefix)
            kpi_output.run(kpi, arguments, self._warm_session)
        return {
            prefix: self._table(f"{prefix}/batch_id={batch_id}")
            for prefix in (kpi_table("genre_level_kpis").output, kpi_table("hourly_kpis").output)
        }

    def record(self, key: str) -> dict[str, Any]:
        found = Bucket(self.bucket, self.s3).read_json(key)
        assert found is not None, key
        return found

    def keys(self, prefix: str) -> list[str]:
        return [found.key for found in Bucket(self.bucket, self.s3).objects(prefix)]

    def text(self, key: str) -> str:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read().decode()

    def _arguments(self, batch_id: str, **more: object) -> list[str]:
        values: Mapping[str, object] = {
            "JOB_NAME": "a-job",
            "JOB_RUN_ID": f"jr_{next(self._attempts):03d}",
            "bucket": self.bucket,
            "batch_id": batch_id,
            "batches_prefix": layout.BATCHES,
            "curated_prefix": layout.CURATED,
            **more,
        }
        return [
            "script.py",
            *itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in values.items()),
        ]

    @contextmanager
    def _warm_session(self, _: str) -> Iterator[SparkSession]:
        yield self.spark

    def _table(self, folder: str) -> str:
        manifest = self.record(f"{folder}/manifest.json")
        urls = [entry["url"] for entry in manifest["entries"]]
        rows = self.spark.read.parquet(*urls)
        rows = rows.withColumn("computed_at", F.col("computed_at").cast("string"))
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(rows.columns)
        writer.writerows(rows.collect())
        return text.getvalue()
