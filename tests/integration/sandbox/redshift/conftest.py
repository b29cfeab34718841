"""A warehouse, an S3 that COPY can read, and sessions."""

import io
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import pyarrow as pa
import pyarrow.parquet
import pytest
from moto.server import ThreadedMotoServer

from sandbox.redshift.s3_files import local_copy
from sandbox.redshift.warehouse import Warehouse
from tests.integration.sandbox.redshift.client import run

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PASSWORD = "Correct-Horse-1"
BUCKET = "lake"


class Lake:
    """A bucket to put things in."""

    def __init__(self, s3: "S3Client") -> None:
        self.s3 = s3
        self.folder = uuid.uuid4().hex

    def put(self, name: str, content: bytes) -> str:
        """Stores an object and returns its URL."""
        self.s3.put_object(Bucket=BUCKET, Key=f"{self.folder}/{name}", Body=content)
        return f"s3://{BUCKET}/{self.folder}/{name}"

    def put_parquet(self, name: str, columns: dict[str, Any]) -> str:
        """Stores a Parquet file with these columns, in this order."""
        content = io.BytesIO()
        pyarrow.parquet.write_table(pa.table(columns), content)
        return self.put(name, content.getvalue())

    def size(self, url: str) -> int:
        """Bytes of an object."""
        return int(self.s3.head_object(Bucket=BUCKET, Key=url.removeprefix(f"s3://{BUCKET}/"))["ContentLength"])

    def put_manifest(self, *urls: str, name: str = "manifest.json") -> str:
        """Stores a manifest as the KPI jobs write it: all files mandatory, with their sizes."""
        entries = [{"url": url, "mandatory": True, "meta": {"content_length": self.size(url)}} for url in urls]
        return self.put(name, json.dumps({"entries": entries}).encode())


@pytest.fixture(scope="session")
def s3() -> Iterator["S3Client"]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "testing")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        environment.setenv("AWS_DEFAULT_REGION", "eu-west-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        yield client
    server.stop()


@pytest.fixture
def lake(s3: "S3Client") -> Lake:
    return Lake(s3)


@pytest.fixture(scope="session")
def warehouse(s3: "S3Client", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    home: Path = tmp_path_factory.mktemp("warehouse")
    with Warehouse(home, 0, PASSWORD, "sandbox") as started:
        yield started


@pytest.fixture
def schema(warehouse: Warehouse) -> Iterator[str]:
    """A schema of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    connection = warehouse.connect()
    connection.autocommit = True
    run(connection, f"create schema {name}")
    yield name
    run(connection, f"drop schema {name} cascade")
    connection.close()


@pytest.fixture
def open_session(warehouse: Warehouse, schema: str) -> Iterator[Callable[[], Any]]:
    """Opens sessions in the test's schema that begin transactions by themselves, as Python's database API wants it."""
    opened = []

    def open_one() -> Any:
        connection = warehouse.connect()
        opened.append(connection)
        run(connection, f"set search_path to {schema}")
        connection.commit()
        return connection

    yield open_one
    for connection in opened:
        connection.close()


@pytest.fixture
def session(open_session: Callable[[], Any]) -> Any:
    return open_session()


@pytest.fixture
def statements(warehouse: Warehouse) -> Callable[[], list[dict[str, Any]]]:
    """The statements that the gateway has logged."""
    return lambda: [json.loads(line) for line in warehouse.statements.read_text().splitlines()]


class Download:
    """What a test does with a download that is held up."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_go_on = threading.Event()


@pytest.fixture
def download(monkeypatch: pytest.MonkeyPatch) -> Iterator[Download]:
    """Holds up every COPY at its first file, until it is released."""
    held_up = Download()

    def slow_local_copy(*arguments: Any) -> Any:
        held_up.begun.set()
        assert held_up.may_go_on.wait(60)
        return local_copy(*arguments)

    monkeypatch.setattr("sandbox.redshift.copy_load.local_copy", slow_local_copy)
    yield held_up
    held_up.may_go_on.set()
