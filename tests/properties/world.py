"""The pipeline without its scheduler: the same steps on the same code, in one process, so that a run takes seconds.

A step is what one task, or one task group, of the DAG does. Steps can be run in any order, left out and repeated: that
is what crashes, retries and cleared tasks come to.
"""

import csv
import hashlib
import io
import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import boto3
import pyarrow.parquet
from music_streams.batches import DateRange, batch_id
from music_streams.ingestion import DatasetsRefusedError, OnInvalidStreamFile

from contract import layout
from contract.event_lists import listed_files
from contract.kpi_tables import KPI_TABLES, KpiTable
from contract.records import pending_batches
from sandbox.redshift.warehouse import Warehouse
from tests.death import Death
from tests.oracle import expected_tables
from tests.pipeline import Pipeline
from tests.warm_dbt import WarmDbt

BUCKET = "music-streams-properties"
SCHEMA_PREFIX = "properties"

STEPS = (
    "ingest",
    "curate",
    *(f"compute_{table.name}" for table in KPI_TABLES),
    *(f"load_{table.name}" for table in KPI_TABLES),
    "reconcile",
    "finish",
)


class StepError(Exception):
    """A step has failed, as its task would."""


@dataclass
class Batch:
    """One DAG run: its batch, its params, and the steps that have ended well."""

    batch_id: str
    on_invalid_stream_file: OnInvalidStreamFile = "fail"
    max_reject_rate: float = 1.0
    recompute: DateRange | None = None
    done: list[str] = field(default_factory=list)
    outcome: str = ""


class World:
    """One lake, one warehouse, and all that has happened to them."""

    def __init__(self, warehouse: Warehouse, dbt: WarmDbt) -> None:
        self.warehouse = warehouse
        self.dbt = dbt
        self._death = Death()
        # Clients that are made from now on, those of steps included, die with their step.
        boto3.setup_default_session()
        assert boto3.DEFAULT_SESSION is not None
        boto3.DEFAULT_SESSION.events.register("before-call.s3", self._death.at_writes())
        self.pipeline = Pipeline(BUCKET)
        self.s3 = self.pipeline.s3
        self.lake = self.pipeline.bucket
        self._connection = warehouse.connect()
        self._connection.autocommit = True
        self._runs = itertools.count(1)
        self.batches: list[Batch] = []
        self.landed: list[tuple[str, bytes]] = []
        """Every version of a stream file that a step may have seen, by name."""
        self.landing: dict[str, bytes] = {}
        """What the producers have landed last and not withdrawn, whether it was taken in or not."""
        self._landed_since_taken_in: set[str] = set()
        self._records: dict[str, dict[str, Any]] = {}
        self.forget()

    def forget(self) -> None:
        """Start anew: no object, no table."""
        boto3.resource("s3").Bucket(BUCKET).objects.delete()
        for layer in ("staging", "reporting"):
            self._execute(f"drop schema if exists {SCHEMA_PREFIX}_{layer} cascade")
        self.batches, self.landed = [], []
        self.landing, self._landed_since_taken_in, self._records = {}, set(), {}

    def put(self, key: str, content: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def land(self, name: str, content: bytes) -> None:
        """Land a stream file, in place of one of that name."""
        self.put(f"{layout.USER_STREAMS}/{name}", content)
        self.landed.append((name, content))
        self.landing[name] = content
        self._landed_since_taken_in.add(name)

    def withdraw(self, name: str) -> None:
        """Take a stream file away, as its producer may."""
        self.s3.delete_object(Bucket=BUCKET, Key=f"{layout.USER_STREAMS}/{name}")
        self.landing.pop(name, None)

    def new_batch(
        self,
        recompute: DateRange | None = None,
        on_invalid_stream_file: OnInvalidStreamFile = "fail",
        max_reject_rate: float = 1.0,
    ) -> Batch:
        number = next(self._runs)
        run_after = datetime(2024, 7, 1, tzinfo=UTC) + timedelta(days=number)
        batch = Batch(
            batch_id(run_after, f"run {number}"),
            on_invalid_stream_file=on_invalid_stream_file,
            max_reject_rate=max_reject_rate,
            recompute=recompute,
        )
        self.batches.append(batch)
        return batch

    def step(self, batch: Batch, step: str, dies_after: int | None = None) -> None:
        """Run one step as its task would; the process dies before it writes more often than it may.

        A write is one to S3, or a statement that dbt sends to the warehouse.

        Raises:
            StepError: the step has failed.
            Died: it was killed.
        """
        actions: dict[str, Callable[[Batch, int | None], None]] = {
            "ingest": self._take_in,
            "curate": self._curate,
            "reconcile": lambda of, dies: self._dbt(of, dies, "test", "--select", "tag:reconciliation"),
            "finish": lambda of, _: self._finish(of),
        }
        for table in KPI_TABLES:
            actions[f"compute_{table.name}"] = partial(self._compute, table)
            actions[f"load_{table.name}"] = partial(self._load, table)
        with self._death.after(dies_after):
            actions[step](batch, dies_after)
        batch.done.append(step)

    def run(self, batch: Batch, steps: tuple[str, ...] = STEPS, before: Callable[[str], None] = lambda _: None) -> bool:
        """Run the steps in order, `before` each the callback; return whether the batch had anything to do."""
        for step in steps:
            before(step)
            self.step(batch, step)
            if batch.outcome == "nothing_to_do":
                return False
        return True

    def _take_in(self, batch: Batch, _: int | None) -> None:
        folder = layout.BatchFolder(batch.batch_id)
        was_taken_in = any(self.lake.read_json(key) for key in (folder.manifest, folder.curation_record))
        try:
            result = self.pipeline.ingest(batch.batch_id, batch.recompute, batch.on_invalid_stream_file)
        except DatasetsRefusedError as error:
            raise StepError(str(error)) from error
        batch.outcome = result["outcome"]
        if not was_taken_in:
            self._landed_since_taken_in.clear()

    def _curate(self, batch: Batch, _: int | None) -> None:
        try:
            self.pipeline.curate(batch.batch_id, batch.max_reject_rate)
        except ValueError as error:
            if "max_reject_rate" not in str(error):
                raise
            raise StepError(str(error)) from error

    def _compute(self, table: KpiTable, batch: Batch, _: int | None) -> None:
        self.pipeline.compute(batch.batch_id, table)

    def _load(self, table: KpiTable, batch: Batch, dies_after: int | None) -> None:
        self._dbt(batch, dies_after, "build", "--select", f"tag:{table.name}", "--exclude", "tag:reconciliation")

    def _dbt(self, batch: Batch, dies_after: int | None, *arguments: str) -> None:
        invocation = self.dbt(*arguments, batch_id=batch.batch_id, dies_after=dies_after)
        if not invocation.success:
            raise StepError(f"{batch.batch_id}: dbt {' '.join(arguments)}: {invocation.complaint}")

    def _finish(self, batch: Batch) -> None:
        self.pipeline.finish(batch.batch_id)

    # What is promised

    def committed(self) -> list[dict[str, Any]]:
        """The curation records of all committed batches."""
        for batch in self.batches:
            if batch.batch_id not in self._records:  # once written they never change
                record = self.lake.read_json(layout.BatchFolder(batch.batch_id).curation_record)
                if record is not None:
                    self._records[batch.batch_id] = record
        return [self._records[batch.batch_id] for batch in self.batches if batch.batch_id in self._records]

    def loaded(self) -> list[dict[str, Any]]:
        """Those of them whose batches the marts hold."""
        pending = self.pending()
        return [record for record in self.committed() if record["batch_id"] not in pending]

    def pending(self) -> list[str]:
        """Committed batches that no run has loaded."""
        return pending_batches(self.lake)

    def differences(self) -> str:
        """How the tables differ from those of all accepted events, worked out in plain Python from the pinned bytes."""
        files, times = [], {}
        for record in self.committed():
            manifest = self.lake.read_json(layout.BatchFolder(record["batch_id"]).manifest)
            assert manifest is not None
            for file in record["files"]:
                files.append((file["copy"], self.content(file["copy"])))
                times[file["copy"]] = datetime.fromisoformat(manifest["time"])
        songs, users = self.content(layout.REFERENCE_SONGS), self.content(layout.REFERENCE_USERS)
        expected = expected_tables(songs, users, files, times)
        return expected.differences({table.name: self.table(table.name) for table in KPI_TABLES})

    def uncounted_rows(self) -> list[str]:
        """Batches whose accepted, duplicate and rejected rows are not all the rows that were read."""
        return [
            record["batch_id"]
            for record in self.committed()
            if record["rows_read"] != record["rows_accepted"] + record["rows_duplicate"] + record["rows_rejected"]
        ]

    def miscounted_dates(self) -> dict[str, tuple[int, int]]:
        """Dates with their events in the store and those of them that differ, where these are not one number."""
        events: dict[str, list[tuple[object, ...]]] = {}
        for record in self.committed():
            for file in record["curated_files"]:
                rows = pyarrow.parquet.read_table(io.BytesIO(self.content(file["key"]))).to_pylist()
                assert len(rows) == file["rows"], file
                events.setdefault(file["listen_date"], []).extend(tuple(row.values()) for row in rows)
        counts = {date: (len(found), len(set(found))) for date, found in events.items()}
        in_mart = Counter[str]()
        for row in csv.DictReader(io.StringIO(self.table("hourly_kpis"))):
            in_mart[row["listen_date"]] += int(row["listen_count"])
        return {
            date: (found, different)
            for date, (found, different) in counts.items()
            if not found == different == in_mart[date]
        }

    def homeless_files(self) -> list[str]:
        """Names of landed versions whose bytes are in neither landing prefix, pins, archive nor quarantine."""
        held = {found.etag for found in self.lake.objects(f"{layout.ROOT}/")}
        return [name for name, content in self.landed if self.etag(content) not in held]

    def misplaced_files(self) -> list[str]:
        """Names that are not where they belong after a whole run.

        A version that the marts hold, or that was refused, belongs into archive or quarantine alone; any other that
        lies there still belongs into the landing prefix.
        """
        taken = {(_name(file["key"]), file["etag"]) for record in self.loaded() for file in record["files"]}
        refused = {found.etag for found in self.lake.objects(f"{layout.QUARANTINED_FILES}/")}
        present = {_name(found.key): found.etag for found in self.lake.objects(f"{layout.USER_STREAMS}/")}
        misplaced = []
        for name, content in self.landing.items():
            etag = self.etag(content)
            gone = (name, etag) in taken or etag in refused
            if not gone and present.get(name) != etag:
                misplaced.append(f"{name} has gone from the landing prefix")
            if gone and name in present and name not in self._landed_since_taken_in:
                misplaced.append(f"{name} lies in the landing prefix still")
        return misplaced

    def files_wrongly_listed(self) -> list[str]:
        """Committed files that SQL on events does not find, and files that it finds though they are not committed."""
        committed = {file["key"] for record in self.committed() for file in record["curated_files"]}
        return sorted({file.key for file in listed_files(self.lake)} ^ committed)

    def unarchived_files(self) -> list[str]:
        """Files of loaded batches that the archive lacks."""
        kept = {(found.key, found.etag) for found in self.lake.objects(f"{layout.ARCHIVE}/")}
        return [
            file["key"]
            for record in self.loaded()
            for file in record["files"]
            if (f"{layout.ARCHIVE}/{record['batch_id']}/{_name(file['key'])}", file["etag"]) not in kept
        ]

    @staticmethod
    def etag(content: bytes) -> str:
        """The ETag of an object that was uploaded in one part."""
        return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'

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


def _name(key: str) -> str:
    return key.removeprefix(f"{layout.USER_STREAMS}/")
