"""One S3 and one warehouse for all tests of the dbt project; every test starts with empty schemas."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import redshift_connector
from moto.server import ThreadedMotoServer
from redshift_connector.core import Connection
from redshift_connector.error import Error

from tests.integration.dbt_project.lake_of_kpis import LakeOfKpis
from tests.warm_dbt import REPOSITORY, WarmDbt

BUCKET = "music-streams-dbt-tests"


@pytest.fixture(scope="package")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[pytest.MonkeyPatch]:
    """The environment that `make env` exports, but for the batch."""
    home = tmp_path_factory.mktemp("dbt")
    shutil.copy(REPOSITORY / "profiles.yml.example", home / "profiles.yml")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_REGION": "eu-west-1",
            "MUSIC_STREAMS_BUCKET": BUCKET,
            "MUSIC_STREAMS_COPY_ROLE_ARN": "arn:aws:iam::123456789012:role/copy",
            "MUSIC_STREAMS_SCHEMA_PREFIX": "dbt_tests",
            "REDSHIFT_HOST": "127.0.0.1",
            "REDSHIFT_DATABASE": "dev",
            "REDSHIFT_USER": "sandbox",
            "REDSHIFT_PASSWORD": secrets.token_hex(8),
            "DBT_PROFILES_DIR": str(home),
            "DBT_TARGET": "sandbox",
            "DBT_TARGET_PATH": str(home / "target"),
            "DBT_LOG_PATH": str(home / "logs"),
        }.items():
            patch.setenv(name, value)
        patch.delenv("MUSIC_STREAMS_BATCH_ID", raising=False)
        yield patch


@pytest.fixture(scope="package")
def kpi_lake(environment: pytest.MonkeyPatch) -> Iterator[LakeOfKpis]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield LakeOfKpis(s3, BUCKET)
    server.stop()


@pytest.fixture(scope="package")
def gateway(
    environment: pytest.MonkeyPatch, kpi_lake: LakeOfKpis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Connection]:
    """A running warehouse, and a connection to it."""
    home = tmp_path_factory.mktemp("redshift")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment.setenv("REDSHIFT_PORT", str(port))
    with (home / "gateway.log").open("w+b") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.redshift", "--home", str(home / "home"), "--port", str(port)],
            cwd=REPOSITORY,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            connection = _connect(process, log.name)
            yield connection
            connection.close()
        finally:
            process.terminate()
            process.wait(timeout=30)


def _connect(process: subprocess.Popen[bytes], log: str) -> Connection:
    """Connect as soon as the gateway listens; raise what it printed when it ends instead."""
    for _ in range(300):
        try:
            connection = redshift_connector.connect(
                host="127.0.0.1",
                port=int(os.environ["REDSHIFT_PORT"]),
                database="dev",
                user="sandbox",
                password=os.environ["REDSHIFT_PASSWORD"],
                ssl=False,
            )
        except (Error, OSError):
            try:
                process.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue
            break
        connection.autocommit = True
        return connection
    raise RuntimeError(f"The gateway did not come up: {Path(log).read_text()}")


class Warehouse:
    """The schemas that dbt builds, as an analyst sees them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def rows(self, sql: str) -> list[dict[str, Any]]:
        cursor = self.connection.cursor()
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, sql: str) -> None:
        self.connection.cursor().execute(sql)

    def mart(self, name: str) -> list[dict[str, Any]]:
        return self.rows(f"select * from dbt_tests_reporting.{name} order by 1, 2")

    def plays(self, mart: str) -> dict[Any, dict[Any, int]]:
        """listen_count by date and by the mart's other key."""
        plays: dict[Any, dict[Any, int]] = {}
        for row in self.mart(mart):
            listen_date, key = list(row.values())[:2]
            plays.setdefault(listen_date, {})[key] = row["listen_count"]
        return plays


@pytest.fixture
def warehouse(gateway: Connection) -> Warehouse:
    empty = Warehouse(gateway)
    empty.execute("drop schema if exists dbt_tests_staging cascade")
    empty.execute("drop schema if exists dbt_tests_reporting cascade")
    return empty


@pytest.fixture(scope="package")
def dbt(gateway: Connection, environment: pytest.MonkeyPatch) -> Iterator[WarmDbt]:
    warm = WarmDbt()
    yield warm
    warm.close()
