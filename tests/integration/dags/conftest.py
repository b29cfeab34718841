"""A lake on the sandbox's AWS endpoint: one endpoint for all tests, a fresh bucket for each."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from music_streams.batches import batch_id

import tests.unit.dags.airflow_home  # noqa: F401
from contract.bucket import Bucket
from contract.layout import DBT_RUNS
from sandbox.aws.endpoint import AwsEndpoint

if TYPE_CHECKING:
    from airflow.sdk import Context
    from mypy_boto3_s3 import S3Client

RUN_AFTER, RUN_ID = datetime(2024, 6, 26, tzinfo=UTC), "manual__1"
FOLDER_OF_RUN = f"{DBT_RUNS}/{batch_id(RUN_AFTER, RUN_ID)}"


def context(task_id: str = "a_task") -> "Context":
    """What Airflow passes to a callback of its run."""
    run, task = SimpleNamespace(run_after=RUN_AFTER, run_id=RUN_ID), SimpleNamespace(task_id=task_id)
    return cast("Context", {"dag_run": run, "ti": task})


@dataclass(frozen=True)
class Lake:
    """A bucket, with a client for the code under test and one for the producers that interfere with it."""

    endpoint: AwsEndpoint
    s3: "S3Client"
    producer: "S3Client"
    bucket: str

    def put(self, key: str, content: str | bytes = "content") -> str:
        """Land something; its ETag."""
        body = content.encode() if isinstance(content, str) else content
        return str(self.producer.put_object(Bucket=self.bucket, Key=key, Body=body)["ETag"])

    def get(self, key: str) -> bytes:
        body: bytes = self.producer.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return body

    def record(self, key: str) -> dict[str, Any]:
        record = Bucket(self.bucket, self.producer).read_json(key)
        assert record is not None, f"{key} does not exist"
        return record

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.producer.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def remove(self, key: str) -> None:
        self.producer.delete_object(Bucket=self.bucket, Key=key)

    def before(self, operation: str, interfere: Callable[[dict[str, Any]], object]) -> None:
        """Let a producer act just before each call of an S3 operation; it sees the call's parameters."""

        def act(params: dict[str, Any], **_: object) -> None:
            interfere(params)

        self.s3.meta.events.register(f"provide-client-params.s3.{operation}", act)


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    with AwsEndpoint(tmp_path_factory.mktemp("aws")) as endpoint:
        yield endpoint


@pytest.fixture
def lake(endpoint: AwsEndpoint, monkeypatch: pytest.MonkeyPatch) -> Lake:
    for name, value in endpoint.environment().items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{uuid.uuid4().hex[:12]}"
    producer = endpoint.client("s3")
    producer.create_bucket(Bucket=bucket)
    return Lake(endpoint, endpoint.client("s3"), producer, bucket)
