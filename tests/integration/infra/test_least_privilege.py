"""The roles of the templates hold what the pipeline needs, and nothing that it does not: without any of it, it fails.

That they hold enough, every run in the sandbox shows: there the Glue jobs, COPY and Airflow are these roles.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from music_streams.archive import finish_batch
from music_streams.dbt_profile import ProfileOfTask
from music_streams.ingestion import ingest_batch
from music_streams.run_record import write_run_record
from redshift_connector.error import InterfaceError

from contract import layout
from contract.bucket import Bucket, s3_client
from contract.kpi_tables import KPI_TABLES, kpi_table
from contract.variables import ROLE_PASSWORD
from infra.deployment import Deployment
from sandbox.aws.endpoint import AwsEndpoint
from sandbox.aws_account import glue_release
from sandbox.redshift.warehouse import Warehouse
from sandbox.settings import ALERT_TOPIC, BUCKET, COPY_ROLE, DBT_TARGET_OF_THE_DAG, REGION, STAGE, WORKGROUP
from tests import dbt_profile
from tests.pipeline import SONGS, USERS

ACCOUNT = "123456789012"
WAREHOUSE_SECRET = "only-the-warehouse-knows"
BATCH = "20240626T000000Z-00000000"
FOLDER = layout.BatchFolder(BATCH)
GLUE_ROLE, AIRFLOW_ROLE = (f"music-streams-{STAGE.name}-{name}" for name in ("glue", "airflow"))
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:{ALERT_TOPIC}"


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    """An account in which the sandbox's stage is deployed, and every request judged."""
    with ExitStack() as started:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("REDSHIFT_PASSWORD", WAREHOUSE_SECRET)
            endpoint = started.enter_context(AwsEndpoint(tmp_path_factory.mktemp("aws"), administrator="sandbox"))
        deployment = Deployment(STAGE, endpoint.client, glue_release, lambda *_: None, poll_seconds=0.01)
        deployment.deploy_lake()
        for part in ("events", "warehouse", "alerts", "airflow"):
            deployment.deploy_stack(part)
        yield endpoint


@pytest.fixture
def landed(endpoint: AwsEndpoint) -> AwsEndpoint:
    """The same, with nothing in the lake but what producers have landed."""
    s3 = endpoint.client("s3")
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=f"{layout.ROOT}/"):
        for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
            s3.delete_object(Bucket=BUCKET, Key=version["Key"], VersionId=version["VersionId"])
    for key, content in {
        layout.SONGS: SONGS,
        layout.USERS: USERS,
        f"{layout.USER_STREAMS}/monday.csv": b"user_id,track_id,listen_time\nu1,t1,2024-06-25 10:00:00\n",
        f"{layout.USER_STREAMS}/broken.csv": b"user_id\n",
    }.items():
        s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    return endpoint


@contextmanager
def working_as(endpoint: AwsEndpoint, role: str) -> Iterator[None]:
    """boto3 finds a session of the role."""
    session = endpoint.client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/{role}", RoleSessionName="test")[
        "Credentials"
    ]
    with working_as_administrator(endpoint), pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", session["AccessKeyId"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", session["SecretAccessKey"])
        patch.setenv("AWS_SESSION_TOKEN", session["SessionToken"])
        yield


@contextmanager
def working_as_administrator(endpoint: AwsEndpoint) -> Iterator[None]:
    """boto3 finds the administrator's keys."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in endpoint.environment().items():
            patch.setenv(name, value)
        patch.setattr(boto3, "DEFAULT_SESSION", None)
        yield


@contextmanager
def without(endpoint: AwsEndpoint, role: str, sid: str, action: str) -> Iterator[None]:
    """The role lacks one action of one statement."""
    iam = endpoint.client("iam")
    for name in iam.list_role_policies(RoleName=role)["PolicyNames"]:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        whole = json.dumps(document)
        for statement in document["Statement"]:
            actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
            if statement["Sid"] == sid:
                assert action in actions
                statement["Action"] = [other for other in actions if other != action] or ["none:None"]
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))
                yield
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=whole)
                return
    pytest.fail(f"{role} has no statement {sid}")


def ingest() -> Any:
    """What the task validate_datasets does, with a file to move aside."""
    return ingest_batch(Bucket(BUCKET, s3_client()), BATCH, on_invalid_stream_file="quarantine", recompute=None)


def finish() -> Any:
    """What the task move_files does."""
    finish_batch(Bucket(BUCKET, s3_client()), BATCH)
    return write_run_record(Bucket(BUCKET, s3_client()), BATCH, "a run")


def as_if_loaded(endpoint: AwsEndpoint) -> None:
    """Put what curation and the KPI jobs would leave, to the letter that move_files reads."""
    s3 = endpoint.client("s3")
    manifest = json.loads(s3.get_object(Bucket=BUCKET, Key=FOLDER.manifest)["Body"].read())
    record = {"batch_id": BATCH, "files": manifest["files"], "dates": ["2024-06-25"], "covers": []}
    s3.put_object(Bucket=BUCKET, Key=FOLDER.curation_record, Body=json.dumps(record).encode())
    for table in KPI_TABLES:
        s3.put_object(Bucket=BUCKET, Key=table.copy_manifest(BATCH), Body=b"{}")


def test_a_file_that_its_producer_has_tagged_is_taken_in(landed: AwsEndpoint) -> None:
    key = f"{layout.USER_STREAMS}/monday.csv"
    landed.client("s3").put_object_tagging(
        Bucket=BUCKET, Key=key, Tagging={"TagSet": [{"Key": "producer", "Value": "app"}]}
    )
    with working_as(landed, AIRFLOW_ROLE):
        assert ingest()["outcome"] == "compute"


def test_the_tasks_of_the_dag_can_do_their_work_as_their_role(landed: AwsEndpoint) -> None:
    with working_as(landed, AIRFLOW_ROLE):
        assert ingest()["outcome"] == "compute"
        as_if_loaded(landed)
        finish()
    listed = landed.client("s3").list_objects_v2(Bucket=BUCKET, Prefix=f"{layout.ARCHIVE}/")["Contents"]
    assert [entry["Key"] for entry in listed] == [f"{FOLDER.archive}/monday.csv"]


@pytest.mark.parametrize(
    ("sid", "action"),
    [
        ("ListTheLake", "s3:ListBucket"),
        ("ReadWhatLanded", "s3:GetObject"),
        ("WritePinsAndRecords", "s3:PutObject"),
        ("ReadPinsAndRecords", "s3:GetObject"),
        ("WriteReferenceTablesAndQuarantine", "s3:PutObject"),
        ("ClearWhatLanded", "s3:DeleteObject"),
        ("UseTheKey", "kms:GenerateDataKey"),
        ("UseTheKey", "kms:Decrypt"),
    ],
)
def test_validation_fails_without_any_of_its_permissions(landed: AwsEndpoint, sid: str, action: str) -> None:
    refused(landed, AIRFLOW_ROLE, sid, action, ingest)


@pytest.mark.parametrize(
    ("sid", "action"),
    [
        ("Archive", "s3:PutObject"),
        ("WritePinsAndRecords", "s3:PutObject"),
        ("ClearWhatLanded", "s3:DeleteObject"),
        ("ReadKpiManifests", "s3:GetObject"),
    ],
)
def test_archiving_fails_without_any_of_its_permissions(landed: AwsEndpoint, sid: str, action: str) -> None:
    with working_as(landed, AIRFLOW_ROLE):
        ingest()
    as_if_loaded(landed)
    refused(landed, AIRFLOW_ROLE, sid, action, finish)


CALLS: list[tuple[str, str, Callable[[], Any]]] = [
    (
        "RunGlueJobs",
        "glue:StartJobRun",
        lambda: boto3.client("glue").start_job_run(JobName="hourly-kpis", Arguments={"--none": "none"}),
    ),
    ("RunGlueJobs", "glue:GetJobRun", lambda: boto3.client("glue").get_job_run(JobName="hourly-kpis", RunId="none")),
    (
        "PublishAndShowTheKpiReport",
        "s3:PutObject",
        lambda: Bucket(BUCKET, s3_client()).write(layout.KPI_REPORT_PAGE, b"<html>"),
    ),
    ("PublishAndShowTheKpiReport", "s3:GetObject", lambda: Bucket(BUCKET, s3_client()).read(layout.KPI_REPORT_PAGE)),
    (
        "LogInToTheWarehouse",
        "redshift-serverless:GetCredentials",
        lambda: boto3.client("redshift-serverless").get_credentials(workgroupName=WORKGROUP, dbName="dev"),
    ),
    ("PublishFailures", "sns:Publish", lambda: boto3.client("sns").publish(TopicArn=TOPIC, Message="failed")),
    (
        "WriteMetrics",
        "cloudwatch:PutMetricData",
        lambda: boto3.client("cloudwatch").put_metric_data(
            Namespace="MusicStreams", MetricData=[{"MetricName": "RunsFailed", "Value": 1}]
        ),
    ),
]


@pytest.mark.parametrize(("sid", "action", "call"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_task_may_not_call_what_its_role_was_not_given(
    endpoint: AwsEndpoint, sid: str, action: str, call: Callable[[], Any]
) -> None:
    refused(endpoint, AIRFLOW_ROLE, sid, action, call)


@pytest.fixture
def logging_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """A warehouse that takes AWS's passwords only, and the variables by which dbt finds it."""
    with Warehouse(tmp_path, 0, WAREHOUSE_SECRET) as warehouse:
        for name, value in {
            "DBT_TARGET": DBT_TARGET_OF_THE_DAG,
            "REDSHIFT_HOST": "127.0.0.1",
            "REDSHIFT_PORT": str(warehouse.port),
            "REDSHIFT_DATABASE": "dev",
            "REDSHIFT_WORKGROUP": WORKGROUP,
            "REDSHIFT_CLUSTER": "sandbox",
            "AWS_REGION": REGION,
            "MUSIC_STREAMS_SCHEMA_PREFIX": "sandbox",
            "SSL_CERT_FILE": str(warehouse.certificate_authority),
        }.items():
            monkeypatch.setenv(name, value)
        for name in ("REDSHIFT_USER", "REDSHIFT_PASSWORD"):
            monkeypatch.delenv(name, raising=False)
        yield monkeypatch


def password_of_task(target: str) -> dict[str, str]:
    """The variables that a task of the DAG gives to dbt."""
    with ProfileOfTask("music_streams", target, profiles_yml_filepath=dbt_profile.PROFILES).ensure_profile() as (
        _,
        given,
    ):
        return given


@pytest.mark.usefixtures("logging_in")
@pytest.mark.parametrize("log_in", [lambda: password_of_task(DBT_TARGET_OF_THE_DAG), dbt_profile.connect])
def test_neither_a_task_nor_dbt_logs_in_without_the_roles_right_to(
    endpoint: AwsEndpoint, log_in: Callable[[], Any]
) -> None:
    refused(endpoint, AIRFLOW_ROLE, "LogInToTheWarehouse", "redshift-serverless:GetCredentials", log_in)


@pytest.mark.usefixtures("logging_in")
def test_dbt_logs_in_by_the_role_itself_where_no_task_has_asked(endpoint: AwsEndpoint) -> None:
    # Behind the test of refusals, since the driver keeps what it was given for other connections of the process.
    with working_as(endpoint, AIRFLOW_ROLE):
        dbt_profile.connect().close()


@pytest.mark.parametrize("target", ["dev_serverless_role", "dev_cluster_role"])
def test_a_task_asks_for_one_password_and_dbt_logs_in_by_it(
    endpoint: AwsEndpoint, logging_in: pytest.MonkeyPatch, target: str
) -> None:
    logging_in.setenv("DBT_TARGET", target)
    of_the_dag = target == DBT_TARGET_OF_THE_DAG
    with working_as(endpoint, AIRFLOW_ROLE) if of_the_dag else working_as_administrator(endpoint):
        given = password_of_task(target)
    assert set(given) == {"REDSHIFT_USER", ROLE_PASSWORD.name}
    for name, value in given.items():
        logging_in.setenv(name, value)
    logging_in.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nothing answers there
    dbt_profile.connect().close()
    logging_in.setenv(ROLE_PASSWORD.name, f"{given[ROLE_PASSWORD.name]}0")
    with pytest.raises(InterfaceError, match=f'authentication failed for user "{given["REDSHIFT_USER"]}"'):
        dbt_profile.connect()


@pytest.mark.parametrize(
    ("role", "action", "key"),
    [
        (AIRFLOW_ROLE, "put_object", f"{layout.CURATED}/forged.parquet"),
        (AIRFLOW_ROLE, "put_object", FOLDER.curation_record),
        (AIRFLOW_ROLE, "delete_object", FOLDER.curation_record),
        (AIRFLOW_ROLE, "delete_object", f"{FOLDER.archive}/monday.csv"),
        (AIRFLOW_ROLE, "put_object", "artifacts/mwaa/dags/forged.py"),
        (AIRFLOW_ROLE, "put_object", layout.event_list("2024-06-25", BATCH)),
        (GLUE_ROLE, "put_object", FOLDER.run_record),
        (GLUE_ROLE, "put_object", f"{layout.USER_STREAMS}/forged.csv"),
        (GLUE_ROLE, "delete_object", f"{layout.USER_STREAMS}/monday.csv"),
        (GLUE_ROLE, "put_object", FOLDER.loaded_record),
        (GLUE_ROLE, "put_object", "artifacts/glue/0/compute_kpis.py"),
        (COPY_ROLE, "get_object", f"{layout.USER_STREAMS}/monday.csv"),
        (COPY_ROLE, "put_object", kpi_table("hourly_kpis").copy_manifest(BATCH)),
    ],
)
def test_no_role_reaches_what_another_part_owns(landed: AwsEndpoint, role: str, action: str, key: str) -> None:
    with working_as(landed, role), pytest.raises(ClientError, match="AccessDenied") as refusal:
        getattr(boto3.client("s3"), action)(Bucket=BUCKET, Key=key)
    assert f"s3:{action.title().replace('_', '')} on resource: arn:aws:s3:::{BUCKET}/{key}" in str(refusal.value)


def test_copy_lists_and_reads_raw_kpis_and_nothing_else(landed: AwsEndpoint) -> None:
    key = kpi_table("hourly_kpis").copy_manifest(BATCH)
    landed.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"{}")
    with working_as(landed, COPY_ROLE):
        s3 = boto3.client("s3")
        assert s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"{}"
        assert s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{kpi_table('hourly_kpis').output}/")["KeyCount"] == 1
        for prefix in ("", f"{layout.USER_STREAMS}/"):
            with pytest.raises(ClientError, match="AccessDenied"):
                s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)


def refused(endpoint: AwsEndpoint, role: str, sid: str, action: str, work: Callable[[], Any]) -> None:
    """The work fails for want of that action, and names it."""
    with (
        without(endpoint, role, sid, action),
        working_as(endpoint, role),
        pytest.raises(Exception, match=rf"{action} on resource|HeadObject operation: Forbidden"),  # HEAD has no words
    ):
        work()
