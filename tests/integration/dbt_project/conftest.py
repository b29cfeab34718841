"""One S3 and one warehouse for all tests of the dbt project; every test starts with empty schemas.

They are the sandbox's, or with --named-cluster (`make test-redshift`) the cluster and the bucket that variables name.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from dbt_common.exceptions import DbtRuntimeError
from moto.server import ThreadedMotoServer
from redshift_connector.core import Connection

from tests.dbt_profile import connect, profile
from tests.integration.dbt_project.lake_of_kpis import LakeOfKpis
from tests.warm_dbt import REPOSITORY, WarmDbt

BUCKET = "music-streams-dbt-tests"
NAMED_TARGET, NAMED_BUCKET = "MUSIC_STREAMS_TEST_TARGET", "MUSIC_STREAMS_TEST_BUCKET"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--named-cluster", action="store_true", help=f"test on {NAMED_TARGET} and {NAMED_BUCKET}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "sandbox_only(reason): needs what no real cluster has")
    if on_named_cluster(config) and (complaint := complaint_about_the_cluster()):
        pytest.exit(f"No cluster to test on: {complaint}. See docs/warehouse.md.", returncode=2)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not on_named_cluster(config):
        return
    left_out = {item: marker.args[0] for item in items if (marker := item.get_closest_marker("sandbox_only"))}
    items[:] = [item for item in items if item not in left_out]
    config.hook.pytest_deselected(items=list(left_out))
    for (file, reason), count in Counter((item.path.name, reason) for item, reason in left_out.items()).items():
        print(f"\nonly on the sandbox: {count} of {file}: {reason}", end="")


def on_named_cluster(config: pytest.Config) -> bool:
    """Whether the tests run on the cluster that variables name."""
    return bool(config.getoption("--named-cluster", default=False))  # unknown when pytest starts further up


def complaint_about_the_cluster() -> str:
    """Why the variables name no cluster that tests may run on."""
    missing = [name for name in (NAMED_TARGET, NAMED_BUCKET) if not os.environ.get(name)]
    if missing:
        return f"set {' and '.join(missing)}, the dbt target and the S3 bucket of the tests, and the target's variables"
    target = os.environ[NAMED_TARGET]
    if target == "prod":
        return f"{NAMED_TARGET}=prod would drop production's schemas; name one of the dev_… targets"
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MUSIC_STREAMS_SCHEMA_PREFIX", "test")
            profile(target)
    except DbtRuntimeError as error:
        return f"dbt says of the target {target}: {' '.join(str(error).split())}"
    return ""


@pytest.fixture(scope="package")
def environment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[pytest.MonkeyPatch]:
    """The environment that `make env` exports, but for the batch."""
    home = tmp_path_factory.mktemp("dbt")
    shutil.copy(REPOSITORY / "profiles.yml.example", home / "profiles.yml")
    variables = {
        "MUSIC_STREAMS_SCHEMA_PREFIX": f"test_{secrets.token_hex(4)}",
        "DBT_PROFILES_DIR": str(home),
        "DBT_TARGET_PATH": str(home / "target"),
        "DBT_LOG_PATH": str(home / "logs"),
    }
    if on_named_cluster(request.config):
        variables |= {"DBT_TARGET": os.environ[NAMED_TARGET], "MUSIC_STREAMS_BUCKET": os.environ[NAMED_BUCKET]}
    else:
        variables |= {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_DEFAULT_REGION": "eu-west-1",
            "AWS_REGION": "eu-west-1",
            "MUSIC_STREAMS_BUCKET": BUCKET,
            "MUSIC_STREAMS_COPY_ROLE_ARN": "arn:aws:iam::123456789012:role/copy",
            "REDSHIFT_HOST": "127.0.0.1",
            "REDSHIFT_DATABASE": "dev",
            "REDSHIFT_USER": "sandbox",
            "REDSHIFT_PASSWORD": secrets.token_hex(8),
            "DBT_TARGET": "sandbox",
        }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        for name in ("MUSIC_STREAMS_BATCH_ID", "MUSIC_STREAMS_READER"):
            patch.delenv(name, raising=False)
        yield patch


@pytest.fixture(scope="package")
def kpi_lake(request: pytest.FixtureRequest, environment: pytest.MonkeyPatch) -> Iterator[LakeOfKpis]:
    """A bucket to write KPIs to, which keeps none of them."""
    if on_named_cluster(request.config):
        named = LakeOfKpis(boto3.client("s3"), os.environ["MUSIC_STREAMS_BUCKET"])
        named.refuse_unless_empty()
        yield named
        named.delete_all_written()
        return
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    yield LakeOfKpis(s3, BUCKET)
    server.stop()


@pytest.fixture(scope="package")
def gateway_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sandbox's warehouse lives."""
    return tmp_path_factory.mktemp("redshift") / "home"


@pytest.fixture(scope="package")
def gateway(
    request: pytest.FixtureRequest, environment: pytest.MonkeyPatch, kpi_lake: LakeOfKpis, gateway_home: Path
) -> Iterator[Connection]:
    """A connection to the warehouse, which is started if it is the sandbox's."""
    if on_named_cluster(request.config):
        yield from _session()
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment.setenv("REDSHIFT_PORT", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox.redshift", "--home", str(gateway_home), "--port", str(port)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    try:
        assert process.stdout.readline().startswith(b"warehouse ready"), "the gateway did not come up; see stderr"
        yield from _session()
    finally:
        process.terminate()
        process.wait(timeout=30)
        process.stdout.close()


def _session() -> Iterator[Connection]:
    """A session, and at the end another that drops what the tests made: an hour later the first may have been cut."""
    try:
        with connect() as connection:
            yield connection
    finally:
        with connect() as connection:
            Warehouse(connection).drop_schemas()


@pytest.fixture
def statements(gateway: Connection, gateway_home: Path) -> Callable[[], list[dict[str, Any]]]:
    """What the sandbox's gateway has logged so far; a test that asks for it is `sandbox_only`."""
    log = gateway_home / "statements.jsonl"
    return lambda: [json.loads(line) for line in log.read_text().splitlines()]


class Warehouse:
    """The schemas that dbt builds, as an analyst sees them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.database = os.environ["REDSHIFT_DATABASE"]
        self.prefix = os.environ["MUSIC_STREAMS_SCHEMA_PREFIX"]
        self.staging = f"{self.prefix}_staging"
        self.reporting = f"{self.prefix}_reporting"
        self.test_failures = f"{self.prefix}_test_failures"

    def rows(self, sql: str) -> list[dict[str, Any]]:
        cursor = self.connection.cursor()
        cursor.execute(sql)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def execute(self, sql: str) -> None:
        self.connection.cursor().execute(sql)

    def drop_schemas(self) -> None:
        """Drop every schema that carries the prefix."""
        for row in self.rows(f"select nspname from pg_namespace where nspname like '{self.prefix}%'"):
            self.execute(f"drop schema {row['nspname']} cascade")

    def mart(self, name: str) -> list[dict[str, Any]]:
        return self.rows(f"select * from {self.reporting}.{name} order by 1, 2")

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
    empty.drop_schemas()
    return empty


@pytest.fixture(scope="package")
def dbt(gateway: Connection, environment: pytest.MonkeyPatch) -> Iterator[WarmDbt]:
    warm = WarmDbt()
    yield warm
    warm.close()
