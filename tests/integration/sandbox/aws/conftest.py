"""The real endpoint, through boto3 as it comes."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from sandbox.aws.endpoint import AwsEndpoint

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_s3 import S3Client

T = TypeVar("T")


@pytest.fixture(scope="package")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    # A Glue minute lasts half a second, so that timeouts can be waited for.
    with AwsEndpoint(tmp_path_factory.mktemp("aws"), seconds_per_minute=0.5) as endpoint:
        yield endpoint


@pytest.fixture(scope="package")
def s3(endpoint: AwsEndpoint) -> "S3Client":
    client: S3Client = endpoint.client("s3")
    return client


@pytest.fixture
def bucket(s3: "S3Client") -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="package")
def glue(endpoint: AwsEndpoint) -> "GlueClient":
    client: GlueClient = endpoint.client("glue")
    return client


def eventually(condition: Callable[[], T | None], seconds: float = 60) -> T:
    """The first true answer; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        pause.wait(0.05)
    return answer


class GlueJob:
    """A job whose script is given as text, and its runs."""

    def __init__(self, endpoint: AwsEndpoint, script: str, **definition: Any) -> None:
        self.endpoint = endpoint
        self.glue: GlueClient = endpoint.client("glue")
        self.s3: S3Client = endpoint.client("s3")
        self.name = f"job-{uuid.uuid4().hex}"
        self.bucket = self.name
        self.s3.create_bucket(Bucket=self.bucket)
        self.s3.put_object(Bucket=self.bucket, Key="scripts/the job.py", Body=script.encode())
        command = {"Name": "glueetl", "ScriptLocation": f"s3://{self.bucket}/scripts/the job.py"}
        self.glue.create_job(Name=self.name, Role="role", **({"Command": command} | definition))

    def start(self, **options: Any) -> str:
        return self.glue.start_job_run(JobName=self.name, **options)["JobRunId"]

    def run(self, run_id: str) -> dict[str, Any]:
        return dict(self.glue.get_job_run(JobName=self.name, RunId=run_id)["JobRun"])

    def state(self, run_id: str) -> str:
        return str(self.run(run_id)["JobRunState"])

    def wait_for(self, run_id: str, *states: str) -> dict[str, Any]:
        def reached() -> dict[str, Any] | None:
            run = self.run(run_id)
            return run if run["JobRunState"] in states else None

        return eventually(reached, 120)

    def finished(self, run_id: str) -> dict[str, Any]:
        return self.wait_for(run_id, "SUCCEEDED", "FAILED", "ERROR", "STOPPED", "TIMEOUT", "EXPIRED")

    def folder(self, run_id: str) -> Path:
        return self.endpoint.home / "glue-runs" / run_id

    def said(self, run_id: str) -> str:
        """What the script wrote to standard output so far."""
        log = self.folder(run_id) / "stdout.log"
        return log.read_text() if log.exists() else ""

    def put(self, key: str, content: str) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=content.encode())
