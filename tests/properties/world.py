"""The pipeline without its scheduler: the same steps on the same code, in one process, so that a run takes seconds.

A step is what one task, or one task group, of the DAG does. Steps can be run in any order, left out and repeated: that
is what crashes, retries and cleared tasks come to.
"""

import csv
import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from music_streams import lake
from music_streams.archive import finish_batch
from music_streams.batches import DateRange, batch_id, owed_batches
from music_streams.objects import list_objects, read_json
from music_streams.validation import take_in_batch
from pyspark.sql import SparkSession

from glue_jobs import curate_user_streams, genre_level_kpis, hourly_kpis, kpi_output
from sandbox.redshift.warehouse import Warehouse
from tests.oracle import GENRE_KEY, HOUR_KEY, differences, expected_tables

REPOSITORY = Path(__file__).parents[2]
BUCKET = "music-streams-properties"
SCHEMA_PREFIX = "properties"

STEPS = (
    "take_in",
    "curate",
    "compute_genre_level_kpis",
    "compute_hourly_kpis",
    "load_genre_level_kpis",
    "load_hourly_kpis",
    "reconcile",
    "finish",
)


class StepError(Exception):
    """A step has failed, as its task would."""


@dataclass
class Batch:
    """One DAG run: its batch, and the steps that have ended well."""

    batch_id: str
    max_reject_rate: float = 1.0
    recompute: DateRange | None = None
    done: list[str] = field(default_factory=list)
    outcome: str = ""


class Dbt:
    """dbt with this project, parsed once."""

    def __init__(self) -> None:
        parsed = dbtRunner().invoke(["parse", "--quiet", "--project-dir", str(REPOSITORY)])
        assert isinstance(parsed.result, Manifest), parsed.exception
        self._manifest = parsed.result

    def __call__(self, batch: Batch, *arguments: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MUSIC_STREAMS_BATCH_ID", batch.batch_id)
            patch.setenv("DBT_EXCLUDE_RESOURCE_TYPES", "unit_test")
            unused: Manifest = self._manifest.deepcopy()  # type: ignore[no-untyped-call]
            outcome = dbtRunner(manifest=unused).invoke([*arguments, "--quiet", "--project-dir", str(REPOSITORY)])
        if not outcome.success:
            bad = [
                f"{result.node.name}: {result.message}"
                for result in getattr(outcome.result, "results", [])
                if str(result.status) not in ("success", "pass")
            ]
            raise StepError(
                f"dbt {' '.join(arguments)} of {batch.batch_id}: {outcome.exception or ''} {'; '.join(bad)}"
            )


class World:
    """One lake, one warehouse, and all that has happened to them."""

    def __init__(self, spark: SparkSession, warehouse: Warehouse, dbt: Dbt) -> None:
        self.spark = spark
        self.warehouse = warehouse
        self.dbt = dbt
        self.s3 = boto3.client("s3")
        self._connection = warehouse.connect()
        self._connection.autocommit = True
        self._attempts = itertools.count(1)
        self._runs = itertools.count(1)
        self.batches: list[Batch] = []
        self.landed: list[tuple[str, bytes]] = []
        """Every version of a stream file that a step may have seen, by name."""
        self.forget()

    def forget(self) -> None:
        """Start anew: no object, no table."""
        for found in list(list_objects(self.s3, BUCKET, "")):
            self.s3.delete_object(Bucket=BUCKET, Key=found.key)
        for layer in ("staging", "reporting"):
            self._execute(f"drop schema if exists {SCHEMA_PREFIX}_{layer} cascade")
        self.batches, self.landed = [], []

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def land(self, name: str, content: bytes) -> None:
        """Land a stream file, in place of one of that name."""
        self.put(f"{lake.USER_STREAMS}/{name}", content)
        self.landed.append((name, content))

    def withdraw(self, name: str) -> None:
        """Take a stream file away, as its producer may."""
        self.s3.delete_object(Bucket=BUCKET, Key=f"{lake.USER_STREAMS}/{name}")

    def new_batch(self, recompute: DateRange | None = None) -> Batch:
        number = next(self._runs)
        run_after = datetime(2024, 7, 1, tzinfo=UTC) + timedelta(days=number)
        batch = Batch(batch_id(run_after, f"run {number}"), recompute=recompute)
        self.batches.append(batch)
        return batch

    def step(self, batch: Batch, step: str) -> None:
        """Run one step as its task would.

        Raises:
            StepError: the step has failed; others pass through.
        """
        actions: Mapping[str, Callable[[Batch], None]] = {
            "take_in": self._take_in,
            "curate": self._curate,
            "compute_genre_level_kpis": lambda of: self._compute(of, genre_level_kpis.KPI, lake.GENRE_LEVEL_KPIS),
            "compute_hourly_kpis": lambda of: self._compute(of, hourly_kpis.KPI, lake.HOURLY_KPIS),
            "load_genre_level_kpis": lambda of: self._load(of, "genre_level_kpis"),
            "load_hourly_kpis": lambda of: self._load(of, "hourly_kpis"),
            "reconcile": lambda of: self.dbt(of, "test", "--select", "tag:reconciliation"),
            "finish": self._finish,
        }
        actions[step](batch)
        batch.done.append(step)

    def run(self, batch: Batch, steps: tuple[str, ...] = STEPS, before: Callable[[str], None] = lambda _: None) -> bool:
        """Run the steps in order, `before` each the callback; return whether the batch had anything to do."""
        for step in steps:
            before(step)
            self.step(batch, step)
            if batch.outcome == "nothing_to_do":
                return False
        return True

    def _take_in(self, batch: Batch) -> None:
        result = take_in_batch(
            self.s3, BUCKET, batch.batch_id, on_invalid_stream_file="fail", recompute=batch.recompute
        )
        batch.outcome = result["outcome"]

    def _curate(self, batch: Batch) -> None:
        curate_user_streams.main(
            self._arguments(batch, quarantine_prefix=lake.QUARANTINED_ROWS, max_reject_rate=batch.max_reject_rate),
            self._warm_session,
        )

    def _compute(self, batch: Batch, kpi: kpi_output.Kpi, output_prefix: str) -> None:
        arguments = self._arguments(batch, reference_prefix=lake.REFERENCE, output_prefix=output_prefix)
        kpi_output.run(kpi, arguments, self._warm_session)

    def _load(self, batch: Batch, kpi: str) -> None:
        self.dbt(batch, "build", "--select", f"tag:{kpi}", "--exclude", "tag:reconciliation")

    def _finish(self, batch: Batch) -> None:
        finish_batch(self.s3, BUCKET, batch.batch_id)

    def _arguments(self, batch: Batch, **more: object) -> list[str]:
        values: Mapping[str, object] = {
            "JOB_RUN_ID": f"jr_{next(self._attempts):05d}",
            "bucket": BUCKET,
            "batch_id": batch.batch_id,
            "batches_prefix": lake.BATCHES,
            "curated_prefix": lake.CURATED,
            **more,
        }
        return [
            "script.py",
            *itertools.chain.from_iterable((f"--{name}", str(value)) for name, value in values.items()),
        ]

    @contextmanager
    def _warm_session(self, _: str) -> Iterator[SparkSession]:
        yield self.spark
        self.spark.catalog.clearCache()

    # What is promised

    def committed(self) -> list[dict[str, Any]]:
        """The curation records of all committed batches."""
        records = (
            read_json(self.s3, BUCKET, lake.BatchFolder(batch.batch_id).curation_record) for batch in self.batches
        )
        return [record for record in records if record is not None]

    def owed(self) -> list[str]:
        """Committed batches that no run has loaded."""
        return owed_batches(self.s3, BUCKET, besides="")

    def differences(self) -> str:
        """How the tables differ from those of all accepted events, worked out in plain Python from the pinned bytes."""
        files, times = [], {}
        for record in self.committed():
            manifest = read_json(self.s3, BUCKET, lake.BatchFolder(record["batch_id"]).manifest)
            assert manifest is not None
            for file in record["files"]:
                files.append((file["copy"], self.content(file["copy"])))
                times[file["copy"]] = datetime.fromisoformat(manifest["time"])
        songs, users = self.content(lake.REFERENCE_SONGS), self.content(lake.REFERENCE_USERS)
        expected = expected_tables(songs, users, files, times)
        return "\n".join(
            filter(
                None,
                [
                    differences(expected.genre_level_kpis, self.table("genre_level_kpis"), GENRE_KEY),
                    differences(expected.hourly_kpis, self.table("hourly_kpis"), HOUR_KEY),
                ],
            )
        )

    def uncounted_rows(self) -> list[str]:
        """Batches whose accepted, duplicate and rejected rows are not all the rows that were read."""
        return [
            record["batch_id"]
            for record in self.committed()
            if record["rows_read"] != record["rows_accepted"] + record["rows_duplicate"] + record["rows_rejected"]
        ]

    def homeless_files(self) -> list[str]:
        """Names of landed versions whose bytes are in neither landing prefix, pins, archive nor quarantine."""
        held = {self.content(found.key) for found in list_objects(self.s3, BUCKET, f"{lake.ROOT}/")}
        return [name for name, content in self.landed if content not in held]

    def misplaced_files(self) -> list[str]:
        """Keys below the landing prefix that a committed and finished batch has taken in as they stand."""
        archived = {
            (file["key"], file["etag"])
            for record in self.committed()
            if read_json(self.s3, BUCKET, lake.BatchFolder(record["batch_id"]).loaded_record) is not None
            for file in record["files"]
        }
        return [
            found.key
            for found in list_objects(self.s3, BUCKET, f"{lake.USER_STREAMS}/")
            if (found.key, found.etag) in archived
        ]

    def unarchived_files(self) -> list[str]:
        """Files of loaded batches that the archive lacks."""
        kept = {found.key for found in list_objects(self.s3, BUCKET, f"{lake.ARCHIVE}/")}
        return [
            file["key"]
            for record in self.committed()
            if read_json(self.s3, BUCKET, lake.BatchFolder(record["batch_id"]).loaded_record) is not None
            for file in record["files"]
            if f"{lake.ARCHIVE}/{record['batch_id']}/{Path(file['key']).name}" not in kept
        ]

    def content(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def table(self, name: str) -> str:
        """A mart as CSV, as `make query` prints it; only its header when it does not exist yet."""
        cursor = self._connection.cursor()
        cursor.execute(f"select 1 from information_schema.tables where table_name = '{name}'")
        if not cursor.fetchall():
            return "listen_date\n"
        cursor.execute(f"select * from {SCHEMA_PREFIX}_reporting.{name} order by 1, 2")
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([column[0] for column in cursor.description])
        writer.writerows(cursor.fetchall())
        return text.getvalue()

    def _execute(self, sql: str) -> None:
        self._connection.cursor().execute(sql)
