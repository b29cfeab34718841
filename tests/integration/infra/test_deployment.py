"""A stage is deployed, planned, changed and destroyed, by the commands that people use, on an account that is empty."""

import json
import re

import pytest

from contract import layout
from contract.jobs import CURATION_JOB
from contract.kpi_tables import KPI_TABLES
from tests.integration.infra.conftest import REPOSITORY, Account

OPERATIONS = REPOSITORY / "docs" / "operations.md"
BUCKET = "music-streams-dev-123456789012-us-east-1"
STACKS = [f"music-streams-dev-{part}" for part in ("network", "lake", "events", "warehouse", "alerts", "airflow")]
JOBS = sorted([CURATION_JOB, *(table.glue_job for table in KPI_TABLES)])


@pytest.fixture(scope="module")
def planner(account: Account) -> Account:
    """Somebody who may do what docs/operations.md gives the role of a plan, and no more."""
    _, _, section = OPERATIONS.read_text().partition("### What a plan needs")
    policy = section.partition("```json\n")[2].partition("```")[0]
    iam = account.client("iam")
    iam.create_role(RoleName="plan", AssumeRolePolicyDocument="{}")
    iam.put_role_policy(RoleName="plan", PolicyName="plan", PolicyDocument=policy)
    return account.acting_as("plan")


@pytest.fixture(scope="module")
def deployed(account: Account, planner: Account) -> Account:
    """The stage dev, once planned and then deployed."""
    status, said = planner.run("plan")
    assert status == 0, said
    assert re.search(r"Add +Bucket \(AWS::S3::Bucket\)", said)
    assert re.search(r"Add +Environment \(AWS::MWAA::Environment\)", said)
    assert re.search(r"Add +EmailSubscription \(AWS::SNS::Subscription\) if HasEmail", said)
    assert "Upload   data_validation_and_kpi_computation.py" in said
    assert account.client("s3").list_buckets()["Buckets"] == [], "a plan changes nothing"
    assert account.client("cloudformation").list_stacks()["StackSummaries"] == []
    status, said = account.run("deploy")
    assert status == 0, said[-3000:]
    return account


def test_a_deployment_makes_all_stacks_and_what_is_in_them(deployed: Account) -> None:
    assert deployed.stacks() == dict.fromkeys(STACKS, "CREATE_COMPLETE")
    s3 = deployed.client("s3")
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    assert set(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values()) == {True}
    rules = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    quarantine = [rule for rule in rules if rule["Filter"]["Prefix"] == "music_streams/quarantine/"]
    assert [rule["Expiration"]["Days"] for rule in quarantine] == [90], "what the stage's file says"
    (encryption,) = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    key = encryption["ApplyServerSideEncryptionByDefault"]["KMSMasterKeyID"]
    assert key in [entry["KeyArn"] for entry in deployed.client("kms").list_keys()["Keys"]]
    denials = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])["Statement"]
    assert {"Bool": {"aws:SecureTransport": "false"}} in [statement["Condition"] for statement in denials]
    roles = {role["RoleName"] for role in deployed.client("iam").list_roles()["Roles"]}
    assert roles >= {f"music-streams-dev-{name}" for name in ("glue", "copy", "airflow")}
    alarms = {alarm["AlarmName"] for alarm in deployed.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    assert alarms == {
        f"music-streams-dev-{name}"
        for name in ("run-failed", "no-successful-run", "reject-rate", "producers-silent", "files-left-lying")
    }
    network = deployed.client("cloudformation").describe_stacks(StackName="music-streams-dev-network")["Stacks"][0]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in network["Outputs"]}
    of_warehouse, of_airflow = (outputs[f"{name}SubnetIds"].split(",") for name in ("Warehouse", "Airflow"))
    assert (len(of_warehouse), len(of_airflow)) == (3, 2)
    subnets = deployed.client("ec2").describe_subnets(SubnetIds=of_warehouse)["Subnets"]
    assert {subnet["VpcId"] for subnet in subnets} == {outputs["VpcId"]}
    assert len({subnet["AvailabilityZone"] for subnet in subnets}) == len(of_warehouse)


def test_the_jobs_run_code_that_is_there(deployed: Account) -> None:
    for name in JOBS:
        job = deployed.client("glue").get_job(JobName=name)["Job"]
        assert (job["GlueVersion"], job["WorkerType"], job["NumberOfWorkers"]) == ("6.0", "G.1X", 4)
        assert (job["ExecutionProperty"], job["JobRunQueuingEnabled"]) == ({"MaxConcurrentRuns": 1}, True)
        arguments = job["DefaultArguments"]
        addresses = (arguments["--extra-py-files"], arguments["--additional-python-modules"])
        for url in (job["Command"]["ScriptLocation"], *addresses):
            bucket, _, key = url.removeprefix("s3://").partition("/")
            assert deployed.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()


def test_mwaa_finds_the_bundle_and_the_settings_of_the_stage(deployed: Account) -> None:
    s3 = deployed.client("s3")
    s3.head_object(Bucket=BUCKET, Key="artifacts/mwaa/dags/dbt/target/manifest.json")
    script = s3.get_object(Bucket=BUCKET, Key="artifacts/mwaa/startup.sh")["Body"].read().decode()
    assert f"export MUSIC_STREAMS_BUCKET={BUCKET}\n" in script
    assert (
        "export MUSIC_STREAMS_ALERT_TOPIC_ARN=arn:aws:sns:us-east-1:123456789012:music-streams-dev-alerts\n" in script
    )
    template = deployed.client("cloudformation").describe_stacks(StackName="music-streams-dev-airflow")["Stacks"][0]
    parameters = {entry["ParameterKey"]: entry["ParameterValue"] for entry in template["Parameters"]}
    startup = s3.head_object(Bucket=BUCKET, Key="artifacts/mwaa/startup.sh")
    assert parameters["StartupScriptVersion"] == startup["VersionId"]


def test_the_warehouse_lets_dbt_in_and_stops_at_the_limit(deployed: Account) -> None:
    user = (
        "select has_database_privilege(usename, current_database(), 'create') from pg_user "
        "where lower(usename) = 'iamr:music-streams-dev-airflow'"
    )
    data = deployed.client("redshift-data")
    statement = data.execute_statement(WorkgroupName="music-streams-dev", Database="dev", Sql=user)["Id"]
    assert data.get_statement_result(Id=statement)["Records"] == [[{"stringValue": "True"}]]
    timeouts = user.replace("has_database_privilege(usename, current_database(), 'create')", "useconfig")
    statement = data.execute_statement(WorkgroupName="music-streams-dev", Database="dev", Sql=timeouts)["Id"]
    ((found,),) = data.get_statement_result(Id=statement)["Records"]
    assert "statement_timeout=1800000" in found["stringValue"]
    assert "timeout=600s" in found["stringValue"]
    arn = "arn:aws:redshift-serverless:us-east-1:123456789012:workgroup/music-streams-dev"
    (limit,) = deployed.client("redshift-serverless").list_usage_limits(resourceArn=arn)["usageLimits"]
    assert (limit["amount"], limit["period"], limit["breachAction"]) == (16, "daily", "deactivate")


def test_deploying_again_changes_nothing_and_the_plan_says_so(deployed: Account, planner: Account) -> None:
    versions = deployed.client("s3").list_object_versions(Bucket=BUCKET)["Versions"]
    status, said = deployed.run("deploy")
    assert (status, said.count("UNCHANGED")) == (0, len(STACKS)), said
    assert deployed.client("s3").list_object_versions(Bucket=BUCKET)["Versions"] == versions
    status, said = planner.run("plan")
    assert (status, said.count("unchanged")) == (0, len(STACKS) + 1), said


def test_who_may_plan_may_not_deploy(planner: Account) -> None:
    status, said = planner.run("deploy")
    assert status == 1
    assert "is not authorized to perform" in said, said


def test_a_changed_resource_is_planned_then_updated_and_a_stray_dag_goes(deployed: Account, planner: Account) -> None:
    s3 = deployed.client("s3")
    s3.put_object(Bucket=BUCKET, Key="artifacts/mwaa/dags/by_hand.py", Body=b"raise SystemExit")
    s3.delete_object(Bucket=BUCKET, Key="artifacts/mwaa/dags/music_streams/archive.py")
    s3.put_object(Bucket=BUCKET, Key="artifacts/mwaa/requirements.txt", Body=b"older\n")
    status, said = planner.run("plan")
    assert status == 0, said
    assert re.search(r"Delete +by_hand.py", said)
    assert re.search(r"Upload +music_streams/archive.py", said)
    assert re.search(r"Modify +Environment", said), "its requirements have another version"
    status, said = deployed.run("deploy")
    assert (status, said.count("UNCHANGED")) == (0, len(STACKS) - 1), said
    assert deployed.stacks()["music-streams-dev-airflow"] == "UPDATE_COMPLETE"
    keys = {entry["Key"] for entry in s3.list_objects_v2(Bucket=BUCKET, Prefix="artifacts/mwaa/")["Contents"]}
    assert "artifacts/mwaa/dags/by_hand.py" not in keys
    assert "artifacts/mwaa/dags/music_streams/archive.py" in keys


def test_a_bucket_with_data_is_not_destroyed_without_a_word_for_it(deployed: Account) -> None:
    s3 = deployed.client("s3")
    s3.put_object(Bucket=BUCKET, Key=f"{layout.USER_STREAMS}/late.csv", Body=b"an event")
    s3.delete_object(Bucket=BUCKET, Key=f"{layout.USER_STREAMS}/late.csv")
    before = deployed.stacks()

    status, said = deployed.run("destroy", answer="prod\n")
    assert (status, "nothing was deleted" in said) == (1, True), said
    status, said = deployed.run("destroy", answer="dev\n")
    assert status == 1, said
    assert f"s3://{BUCKET}/music_streams/ holds data, or old versions of some" in said
    assert "DELETE_DATA=yes" in said
    assert deployed.stacks() == before

    status, said = deployed.run("destroy", answer="dev\n", delete_data="yes")
    assert status == 0, said
    assert deployed.stacks() == {}
    assert s3.list_buckets()["Buckets"] == []
    assert deployed.client("glue").list_jobs()["JobNames"] == []
    assert [role["RoleName"] for role in deployed.client("iam").list_roles()["Roles"]] == ["plan"]
    status, said = deployed.run("destroy", answer="dev\n")
    assert status == 0, "there is nothing left, and that is no error: " + said


def test_a_resource_that_fails_is_named_and_the_next_deployment_goes_on_from_there(
    account: Account, planner: Account
) -> None:
    iam = account.client("iam")
    iam.create_role(RoleName="music-streams-dev-copy", AssumeRolePolicyDocument="{}")  # somebody else's
    status, said = account.run("deploy")
    assert status == 1, said
    assert "stack music-streams-dev-warehouse is ROLLBACK_COMPLETE" in said
    assert re.search(r"CopyRole \(AWS::IAM::Role\): .*music-streams-dev-copy", said)
    found = account.stacks()
    assert found["music-streams-dev-lake"] == "CREATE_COMPLETE"
    status, said = planner.run("plan")
    assert status == 0, said
    assert (
        "music-streams-dev-warehouse: ROLLBACK_COMPLETE: it was never whole, so what is left of it is deleted" in said
    )
    assert re.search(r"Add +Namespace \(AWS::RedshiftServerless::Namespace\)", said)
    assert account.stacks() == found, "a plan settles nothing"
    iam.delete_role(RoleName="music-streams-dev-copy")
    status, said = account.run("deploy")
    assert status == 0, said
    assert account.stacks() == dict.fromkeys(STACKS, "CREATE_COMPLETE")


def test_what_the_user_got_wrong_is_said_in_a_sentence(account: Account) -> None:
    status, said = account.run("deploy", stage="staging")
    assert (status, said) == (
        1,
        "error: there is no stage 'staging': give one of dev, prod, as in STAGE=dev, or add a file to infra/stages\n",
    )
    nowhere = {key: value for key, value in account.environment.items() if "REGION" not in key}
    status, said = Account(account.endpoint, nowhere | {"AWS_CONFIG_FILE": "/dev/null"}).run("deploy")
    assert (status, said.startswith("error: no Region: set AWS_REGION")) == (1, True), said
