"""`make test-redshift`, and the targets that log in with an AWS identity, on a sandbox that plays the real cluster."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import redshift_connector

from contract.kpi_tables import kpi_table
from sandbox.aws.endpoint import AwsEndpoint
from sandbox.settings import DATABASE, DATABASE_USER, free_port, inherited_environment
from tests.integration.dbt_project import failing
from tests.integration.dbt_project.conftest import NAMED_BUCKET, NAMED_TARGET, complaint_about_the_cluster
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, genre_level_kpis
from tests.warm_dbt import REPOSITORY

pytestmark = pytest.mark.sandbox_only("it starts a sandbox to play the cluster")

BUCKET, PASSWORD = "named-bucket", "only-the-warehouse-knows"
BATCH = Batch("20240604T000000Z-00000001", datetime(2024, 6, 4, 12, 0, 0))  # noqa: DTZ001 - as in the warehouse
HERE = "tests/integration/dbt_project"
ONE_TEST = f"{HERE}/test_replacement_of_dates.py::test_a_batch_loaded_twice_changes_nothing"
GENRES = ("--select", "tag:genre_level_kpis", "--exclude", "tag:reconciliation")
THIS_FILE = f"{HERE}/test_named_cluster.py"
NAMED_CLUSTER_TESTS = (sys.executable, "-m", "pytest", "--named-cluster", "-p", "no:cacheprovider")


@dataclass
class Cluster:
    """A Redshift and an S3 that know nobody's password but the one that AWS hands out."""

    s3: Any
    port: int
    variables: dict[str, str]

    def schemas(self) -> set[str]:
        with redshift_connector.connect(
            host="127.0.0.1", port=self.port, database=DATABASE, user=DATABASE_USER, password=PASSWORD, ssl=False
        ) as session:
            rows = session.cursor().execute("select nspname from pg_namespace where nspname not like 'pg_%'")
            return {name for (name,) in rows.fetchall()}

    def objects(self) -> set[str]:
        return {entry["Key"] for entry in self.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home, port = tmp_path_factory.mktemp("cluster"), free_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("REDSHIFT_PASSWORD", PASSWORD)
        aws = AwsEndpoint(home / "aws").start()
        warehouse = subprocess.Popen(
            [sys.executable, "-m", "sandbox.redshift", "--home", str(home / "redshift"), "--port", str(port)],
            cwd=REPOSITORY,
            env=os.environ | aws.environment(),
            stdout=subprocess.PIPE,
        )
    assert warehouse.stdout
    try:
        assert warehouse.stdout.readline().startswith(b"warehouse ready")
        s3 = aws.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        variables = inherited_environment() | aws.environment()
        variables |= {
            "REDSHIFT_HOST": "127.0.0.1",
            "REDSHIFT_PORT": str(port),
            "REDSHIFT_DATABASE": DATABASE,
            "REDSHIFT_USER": "anna",
            "REDSHIFT_CLUSTER": "sandbox",
            "REDSHIFT_WORKGROUP": "sandbox",
            "SSL_CERT_FILE": str(home / "redshift" / "ca.pem"),
            "MUSIC_STREAMS_COPY_ROLE_ARN": "arn:aws:iam::123456789012:role/copy",
        }
        yield Cluster(s3, port, variables)
    finally:
        warehouse.terminate()
        warehouse.wait(timeout=30)
        warehouse.stdout.close()
        aws.stop()


def run(*command: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=REPOSITORY, env=dict(variables), capture_output=True, text=True, timeout=300, check=False
    )


def test_the_tests_run_on_the_named_cluster_and_leave_nothing_there_even_if_they_fail(cluster: Cluster) -> None:
    schemas = cluster.schemas()
    named = {NAMED_TARGET: "dev_cluster_iam", NAMED_BUCKET: BUCKET}

    done = run(*NAMED_CLUSTER_TESTS, "-p", failing.__name__, ONE_TEST, THIS_FILE, variables=cluster.variables | named)

    assert done.returncode == 1, done.stdout
    summary = done.stdout.splitlines()[-1]
    assert " 1 failed, " in summary
    assert " error" not in summary, "what is set up for the test and removed after it has not failed"
    assert failing.REASON in done.stdout, "it has failed before its end"
    assert re.search(
        r"only on the sandbox: \d+ of test_named_cluster.py: it starts a sandbox to play the cluster", done.stdout
    )
    assert cluster.schemas() == schemas
    assert not cluster.objects()


def test_a_bucket_that_holds_kpis_is_left_alone(cluster: Cluster) -> None:
    theirs = f"{kpi_table('hourly_kpis').output}/batch_id=somebodys/part-00000.parquet"
    cluster.s3.put_object(Bucket=BUCKET, Key=theirs, Body=b"")

    complaint = f"s3://{BUCKET}/{kpi_table('hourly_kpis').output}/ holds KPIs already: name a bucket that"
    try:
        with pytest.raises(RuntimeError, match=complaint):
            LakeOfKpis(cluster.s3, BUCKET).refuse_unless_empty()
    finally:
        cluster.s3.delete_object(Bucket=BUCKET, Key=theirs)


@pytest.mark.parametrize("command", [["make", "-s", "test-redshift"], [*NAMED_CLUSTER_TESTS, THIS_FILE]])
def test_the_command_says_what_to_set_and_ends_with_status_2_when_no_cluster_is_named(command: list[str]) -> None:
    done = run(*command, variables=inherited_environment())

    assert done.returncode == 2
    assert (
        "set MUSIC_STREAMS_TEST_TARGET and MUSIC_STREAMS_TEST_BUCKET, the dbt target and the S3 bucket" in done.stderr
    )
    assert "docs/warehouse.md" in done.stderr


@pytest.mark.parametrize(
    ("target", "complaint"),
    [
        ("prod", "MUSIC_STREAMS_TEST_TARGET=prod would drop production's schemas"),
        ("dev_serverless_role", "Env var required but not provided: 'REDSHIFT_HOST'"),
        ("production", "does not have a target named 'production'"),
    ],
)
def test_a_target_that_cannot_be_tested_on_is_refused(
    monkeypatch: pytest.MonkeyPatch, target: str, complaint: str
) -> None:
    monkeypatch.setenv(NAMED_TARGET, target)
    monkeypatch.setenv(NAMED_BUCKET, BUCKET)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.delenv("REDSHIFT_HOST", raising=False)

    assert complaint in complaint_about_the_cluster()


def test_the_dags_own_target_builds_productions_schemas_by_role_over_verified_tls(
    cluster: Cluster, tmp_path: Path
) -> None:
    raw = LakeOfKpis(cluster.s3, BUCKET)
    raw.write(kpi_table("genre_level_kpis").output, BATCH, genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 3}}))
    shutil.copy(REPOSITORY / "profiles.yml.example", tmp_path / "profiles.yml")
    variables = cluster.variables | {
        "DBT_TARGET": "prod",
        "DBT_PROFILES_DIR": str(tmp_path),
        "DBT_TARGET_PATH": str(tmp_path / "target"),
        "DBT_LOG_PATH": str(tmp_path / "logs"),
        "MUSIC_STREAMS_BUCKET": BUCKET,
        "MUSIC_STREAMS_BATCH_ID": BATCH.batch_id,
    }
    schemas = cluster.schemas()
    dbt = str(Path(sys.executable).with_name("dbt"))

    try:
        built = run(dbt, "build", *GENRES, "--exclude-resource-type", "unit_test", variables=variables)
    finally:
        raw.delete_all_written()

    assert built.returncode == 0, built.stdout
    assert cluster.schemas() - schemas == {"staging", "reporting", "test_failures"}
