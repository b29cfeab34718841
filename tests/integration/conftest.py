"""The whole sandbox for tests that need it: started once, stopped when all tests are done."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from music_streams import lake

from sandbox import failure, summary, warehouse
from sandbox.follow import follow
from sandbox.home import Home
from sandbox.lifecycle import Sandbox
from sandbox.pipeline_run import wait_for_quiet
from sandbox.settings import BUCKET, SCHEMA_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True)
class DagRunResult:
    """How a DAG run ended.

    Attributes:
        state: `success` or `failed`.
        tasks: state by task id; None for a task that the run never came to.
        errors: the failed tasks' own errors by task id, the one that is to blame first.
    """

    state: str
    tasks: Mapping[str, str | None]
    errors: Mapping[str, str]
    run_id: str
    batch_id: str


class RunningSandbox:
    """The pipeline as its users meet it: files land, a run is triggered, the warehouse is queried."""

    bucket = BUCKET

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def s3(self) -> "S3Client":
        """S3 of the sandbox."""
        return self.sandbox.aws.s3

    @property
    def glue(self) -> "GlueClient":
        """Glue of the sandbox."""
        return self.sandbox.aws.glue

    def land(self, files: Mapping[str, bytes]) -> None:
        """Put files into the landing prefix: `songs.csv`, `users.csv`, `user_streams/NAME.csv`."""
        for name, content in files.items():
            self.s3.put_object(Bucket=BUCKET, Key=f"{lake.ROOT}/{name}", Body=content)

    def run(self, params: Mapping[str, Any] | None = None) -> DagRunResult:
        """Trigger one DAG run and wait until it has ended."""
        wait_for_quiet(self.sandbox)
        started = self.sandbox.airflow.trigger(params or {})
        finished = follow(self.sandbox.airflow, started, lambda _tasks: None)
        failures = failure.diagnose(self.sandbox.home, finished.run_id, finished.tasks)
        return DagRunResult(
            state=finished.state,
            tasks={task.task_id: task.state for task in finished.tasks},
            errors={failed.task_id: failed.error for failed in failures},
            run_id=finished.run_id,
            batch_id=summary.batch_of(finished),
        )

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement; the KPI tables are found without their schema."""
        return warehouse.select(self.sandbox.home, self.sandbox.ports, sql)

    def keys(self, prefix: str = "") -> list[str]:
        """The lake's keys below `music_streams/` and the prefix, without `music_streams/`."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{lake.ROOT}/{prefix}")
        return [entry["Key"].removeprefix(f"{lake.ROOT}/") for page in pages for entry in page.get("Contents", [])]

    def empty(self) -> None:
        """Forget the lake and the warehouse, as if nothing had ever landed."""
        wait_for_quiet(self.sandbox)
        for key in self.keys():
            self.s3.delete_object(Bucket=BUCKET, Key=f"{lake.ROOT}/{key}")
        for schema in ("staging", "reporting"):
            self.query(f"drop schema if exists {SCHEMA_PREFIX}_{schema} cascade")


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """The one sandbox of the test run. Tests share its contents: start with `empty()` where that matters."""
    sandbox = Sandbox(Home(tmp_path_factory.mktemp("sandbox")))
    try:
        sandbox.start()
        sandbox.airflow.unpause()
        yield RunningSandbox(sandbox)
    finally:
        sandbox.stop()
