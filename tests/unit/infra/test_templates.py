"""The templates against the code that they are for, and against each other."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, get_args

import pyarrow as pa
import pytest
from music_streams.alerts import Outcome, metrics_of
from music_streams.settings import Settings

from contract import layout
from contract.jobs import CURATION_JOB
from contract.kpi_tables import KPI_TABLES
from contract.rejections import latest_listen_time
from contract.variables import SCHEDULE
from infra import bundle, glue_archive
from infra.deployment import PARTS, STAGES, Stage
from sandbox import event_queries
from sandbox.airflow import PUBLISHED
from sandbox.settings import BUCKET as BUCKET_OF_THE_SANDBOX
from tests.unit.infra.cloudformation import Statement, listed, resources, statements, template, text

DEPLOY_TIME_FACTS = {"Stage", "GlueRelease", "RequirementsVersion", "StartupScriptVersion"}
STAGE_NAMES = sorted(file.stem for file in STAGES.glob("*.toml"))

# Actions that know no resources, by the Service Authorization Reference.
WITHOUT_RESOURCES = {"cloudwatch:PutMetricData", "logs:DescribeLogGroups", "s3:GetAccountPublicAccessBlock"}
# MWAA's user guide asks for it and does not say which of these MWAA calls. They read the settings of one bucket.
WIDE_ACTIONS = {("airflow", "CheckTheBucket", "s3:GetBucket*")}

BUCKET = re.compile(r"^(?:\$\{Bucket\.Arn\}|arn:\$\{AWS::Partition\}:s3:::\$\{BucketName\})(?:/(?P<keys>.*))?$")
ALL = layout.BatchFolder("*")
LAKE = {layout.CURATED, layout.QUARANTINED_ROWS, *(table.output for table in KPI_TABLES)}
OUTPUT = layout.OUTPUT

# What each statement of the roles may touch in the bucket.
REACH = {
    ("lake", "FetchTheCode"): {f"{glue_archive.RELEASES}/*"},
    ("lake", "ReadPinsRecordsAndReferenceTables"): {f"{layout.BATCHES}/*", f"{layout.REFERENCE}/*"},
    ("lake", "WriteTheRecordsOfCuration"): {ALL.curation_record, ALL.rejected_record},
    ("lake", "WriteEventsRejectedRowsAndKpis"): {f"{prefix}/*" for prefix in LAKE},
    ("lake", "ListEvents"): {f"{layout.EVENT_LISTS}/*"},
    ("events", "ReadListsAndEvents"): {f"{layout.EVENT_LISTS}/*", f"{layout.CURATED}/*"},
    ("warehouse", "ReadRawKpis"): {f"{OUTPUT}/*"},
    ("airflow", "FetchTheCode"): {f"{PurePosixPath(bundle.DAGS).parent}/*"},
    ("airflow", "ReadWhatLanded"): {layout.SONGS, layout.USERS, f"{layout.USER_STREAMS}/*"},
    ("airflow", "ClearWhatLanded"): {f"{layout.USER_STREAMS}/*"},
    ("airflow", "ReadPinsAndRecords"): {f"{layout.BATCHES}/*"},
    ("airflow", "WritePinsAndRecords"): {
        f"{ALL.pins}/*",
        f"{ALL.validation}/*",
        ALL.manifest,
        ALL.loaded_record,
        ALL.run_record,
    },
    ("airflow", "DeleteStaleVerdict"): {ALL.verdict},
    ("airflow", "WriteReferenceTablesAndQuarantine"): {f"{layout.REFERENCE}/*", f"{layout.QUARANTINED_FILES}/*"},
    ("airflow", "Archive"): {f"{layout.ARCHIVE}/*"},
    ("airflow", "ReadKpiManifests"): {table.copy_manifest("*").replace("batch_id=*", "*") for table in KPI_TABLES},
    ("airflow", "PublishAndShowTheDbtDocs"): {f"{layout.DBT_DOCS}/*"},
    ("airflow", "PublishAndShowTheKpiReport"): {layout.KPI_REPORT_PAGE},
}


def of_roles() -> list[Statement]:
    return [
        statement for statement in statements() if statement.kind in {"AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"}
    ]


def bucket_rules() -> list[dict[str, Any]]:
    rules: list[dict[str, Any]] = template("lake")["Resources"]["Bucket"]["Properties"]["LifecycleConfiguration"][
        "Rules"
    ]
    return rules


def glue_jobs() -> dict[str, dict[str, Any]]:
    return {job["Properties"]["Name"]: job["Properties"] for _, _, job in resources("AWS::Glue::Job")}


def test_roles_reach_just_the_prefixes_that_the_code_uses() -> None:
    reach: dict[tuple[str, str], set[str]] = {}
    for statement in of_roles():
        for found in filter(None, map(BUCKET.match, statement.resources)):
            if found["keys"] is not None:
                reach.setdefault((statement.part, statement.sid), set()).add(found["keys"])

    assert reach == REACH


def test_a_role_reaches_no_other_bucket() -> None:
    for statement in of_roles():
        for resource in statement.resources:
            assert ":s3:::" not in resource or BUCKET.match(resource), f"{statement.sid}: {resource}"


def test_copy_lists_only_what_it_loads() -> None:
    lists = [one for one in of_roles() if one.part == "warehouse" and "s3:ListBucket" in one.actions]
    assert [one.body["Condition"] for one in lists] == [{"StringLike": {"s3:prefix": [f"{OUTPUT}/*"]}}]


@pytest.mark.parametrize("statement", statements(), ids=lambda one: f"{one.part}-{one.owner}-{one.sid}")
def test_nothing_is_allowed_by_a_wildcard(statement: Statement) -> None:
    assert {"NotAction", "NotResource", "NotPrincipal"}.isdisjoint(statement.body)
    if statement.body["Effect"] == "Deny" or statement.sid == "DelegateToAccountIam":
        return
    wide = {action for action in statement.actions if "*" in action}
    assert {(statement.part, statement.sid, action) for action in wide} <= WIDE_ACTIONS
    assert statement.body.get("Principal") not in ("*", {"AWS": "*"})
    if "*" in statement.resources and statement.kind != "AWS::KMS::Key":  # in a key's policy it is that key
        assert set(statement.actions) <= WITHOUT_RESOURCES


def test_each_statement_has_a_name_of_its_own_in_its_policy() -> None:
    names = [(one.part, one.owner, one.sid) for one in statements()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9]+", sid) for _, _, sid in names)


def test_nobody_speaks_to_the_bucket_without_tls() -> None:
    refusals = [one for one in statements() if one.kind == "AWS::S3::BucketPolicy"]
    assert [one.body["Condition"] for one in refusals] == [
        {"Bool": {"aws:SecureTransport": "false"}},
        {"NumericLessThan": {"s3:TlsVersion": "1.2"}},
    ]
    for one in refusals:
        assert (one.body["Effect"], one.body["Principal"], one.actions) == ("Deny", "*", ["s3:*"])
        assert one.resources == ["${Bucket.Arn}", "${Bucket.Arn}/*"]


def test_only_quarantine_and_raw_kpis_expire() -> None:
    expiring = {rule["Prefix"] for rule in bucket_rules() if "ExpirationInDays" in rule}
    assert expiring == {f"{PurePosixPath(layout.QUARANTINED_ROWS).parent}/", f"{OUTPUT}/"}


def test_processed_input_gets_cheaper_and_pins_can_always_be_read_at_once() -> None:
    moves = {rule["Prefix"]: [to["StorageClass"] for to in rule.get("Transitions", [])] for rule in cooling()}
    assert moves == {f"{layout.ARCHIVE}/": ["GLACIER_IR", "DEEP_ARCHIVE"], f"{layout.BATCHES}/": ["GLACIER_IR"]}


def cooling() -> list[dict[str, Any]]:
    return [rule for rule in bucket_rules() if "Transitions" in rule]


def test_old_versions_of_code_stay_for_a_roll_back() -> None:
    forgetting = [rule for rule in bucket_rules() if "NoncurrentVersionExpiration" in rule]
    assert [rule["Prefix"] for rule in forgetting] == [f"{layout.ROOT}/"]


def test_no_update_of_a_stack_deletes_data() -> None:
    with_data = (
        *("AWS::S3::Bucket", "AWS::KMS::Key", "AWS::RedshiftServerless::Namespace"),
        *("AWS::MWAA::Environment", "AWS::Logs::LogGroup"),
    )
    found = list(resources(*with_data))
    assert {resource["Type"] for _, _, resource in found} == set(with_data)
    for part, name, resource in found:
        assert resource.get("UpdateReplacePolicy") == "Retain", f"{part}: {name}"


def test_the_warehouse_leaves_a_snapshot_while_its_key_can_be_had_back() -> None:
    namespace = template("warehouse")["Resources"]["Namespace"]["Properties"]
    key = template("lake")["Resources"]["Key"]["Properties"]
    assert namespace["FinalSnapshotName"]
    assert namespace["FinalSnapshotRetentionPeriod"] == key["PendingWindowInDays"]


def test_each_script_has_a_job_and_each_job_a_script() -> None:
    folder = f"s3://${{Bucket}}/{glue_archive.RELEASES}/${{GlueRelease}}"
    scripts = {text(job["Command"]["ScriptLocation"]) for job in glue_jobs().values()}
    assert scripts == {f"{folder}/{script}" for script in glue_archive.SCRIPTS}
    archives = {text(job["DefaultArguments"]["--extra-py-files"]) for job in glue_jobs().values()}
    assert archives == {f"{folder}/{glue_archive.ARCHIVE}"}


def test_jobs_differ_in_name_description_and_script_only() -> None:
    def rest(job: dict[str, Any]) -> dict[str, Any]:
        command = {key: value for key, value in job["Command"].items() if key != "ScriptLocation"}
        return {**{key: job[key] for key in job.keys() - {"Name", "Description"}}, "Command": command}

    first, *others = map(rest, glue_jobs().values())
    assert [other for other in others if other != first] == []
    assert len(others) == len(KPI_TABLES)
    assert first["ExecutionProperty"] == {"MaxConcurrentRuns": 1}, "the protocol's one writer"
    assert (first["JobRunQueuingEnabled"], first["MaxRetries"]) == (True, 0)


def test_jobs_get_their_packages_from_the_release_and_from_no_registry() -> None:
    folder = f"s3://${{Bucket}}/{glue_archive.RELEASES}/${{GlueRelease}}"
    for job in glue_jobs().values():
        arguments = job["DefaultArguments"]
        assert text(arguments["--additional-python-modules"]) == f"{folder}/{glue_archive.WHEELS}"
        assert arguments["--python-modules-installer-option"] == "--no-index"


def test_the_jobs_log_into_the_groups_of_the_stack() -> None:
    prefixes = {text(job["DefaultArguments"]["--custom-logGroup-prefix"]) for job in glue_jobs().values()}
    groups = {
        text(group["Properties"]["LogGroupName"])
        for part, _, group in resources("AWS::Logs::LogGroup")
        if part == "lake"
    }
    assert {f"{prefix}/{stream}" for prefix in prefixes for stream in ("error", "output")} == groups


def test_airflow_and_the_alerts_know_all_jobs() -> None:
    started = {
        resource.partition(":job/")[2] for one in of_roles() if one.sid == "RunGlueJobs" for resource in one.resources
    }
    watched = template("alerts")["Resources"]["GlueFailure"]["Properties"]["EventPattern"]["detail"]["jobName"]
    assert started == set(watched) == set(glue_jobs()) == {CURATION_JOB, *(table.glue_job for table in KPI_TABLES)}


def test_alerts_reach_an_encrypted_topic() -> None:
    topic = text(template("alerts")["Resources"]["AlertTopic"]["Properties"]["TopicName"])
    arn = f"arn:${{AWS::Partition}}:sns:${{AWS::Region}}:${{AWS::AccountId}}:{topic}"
    publishers = {
        service
        for one in statements()
        if one.owner == "AlertTopicPolicy"
        for service in listed(one.body["Principal"]["Service"])
    }
    for one in statements():
        if one.owner == "Key" and one.sid.startswith("EncryptAlerts"):
            assert set(one.actions) == {"kms:Decrypt", "kms:GenerateDataKey"}
            assert text(one.body["Condition"]["StringEquals"]["kms:EncryptionContext:aws:sns:topicArn"]) == arn
            publishers -= set(listed(one.body["Principal"]["Service"]))
    assert publishers == set()


def test_every_alarm_tells_somebody() -> None:
    for _, name, alarm in resources("AWS::CloudWatch::Alarm"):
        assert alarm["Properties"]["AlarmActions"] == [{"Ref": "AlertTopic"}], name
        assert text(alarm["Properties"]["AlarmName"]).startswith("music-streams-${Stage}-"), (
            "the topic's policy names it"
        )


def test_a_day_without_a_successful_run_is_an_alarm_two_hours_later() -> None:
    alarm = template("alerts")["Resources"]["NoSuccessfulRun"]["Properties"]
    assert alarm["Period"] * alarm["EvaluationPeriods"] == 26 * 3600
    assert alarm["DatapointsToAlarm"] == alarm["EvaluationPeriods"]
    assert alarm["TreatMissingData"] == "breaching"


def test_producers_are_silent_after_the_hours_of_the_parameter_whether_runs_say_so_or_nothing() -> None:
    alarm = template("alerts")["Resources"]["ProducersSilent"]["Properties"]
    assert (alarm["Period"], alarm["EvaluationPeriods"]) == (3600, {"Ref": "SilentHours"})
    assert alarm["DatapointsToAlarm"] == alarm["EvaluationPeriods"]
    assert (alarm["MetricName"], alarm["Statistic"], alarm["Threshold"]) == ("EventsAccepted", "Sum", 1)
    assert (alarm["ComparisonOperator"], alarm["TreatMissingData"]) == ("LessThanThreshold", "breaching")
    longest = template("alerts")["Parameters"]["SilentHours"]["MaxValue"]
    assert longest * 3600 <= 7 * 86400, "CloudWatch looks back a week at most"


def test_alarms_and_dashboard_show_metrics_that_the_dag_puts() -> None:
    record = {"events_landed": 1, "accepted": 0, "rejected": {"x": 1}, "late_events": 0}
    data = metrics_of({**record, "refused_files": [], "left_lying": []})
    put = {datum["MetricName"] for datum in data} | set(get_args(Outcome))
    alarms = {name: alarm["Properties"]["MetricName"] for _, name, alarm in resources("AWS::CloudWatch::Alarm")}
    assert set(alarms.values()) <= put

    body = text(template("alerts")["Resources"]["Dashboard"]["Properties"]["DashboardBody"])
    alarm_list, *graphs = json.loads(body.replace("${RejectRateLimit}", "0.01"))["widgets"]
    assert alarm_list["properties"]["alarms"] == [f"${{{name}.Arn}}" for name in alarms]
    shown = {
        name for graph in graphs for name in re.findall(r"\w+", str(graph["properties"]["metrics"])) if name in put
    }
    assert shown == put


def test_athena_reads_the_lists_of_committed_files_and_not_the_folders_of_events() -> None:
    table = template("events")["Resources"]["Events"]["Properties"]["TableInput"]
    storage, (partition,) = table["StorageDescriptor"], table["PartitionKeys"]
    assert text(storage["Location"]) == f"s3://${{BucketName}}/{layout.EVENT_LISTS}/"
    assert storage["InputFormat"].endswith(".SymlinkTextInputFormat")
    folder = layout.event_list("2024-06-25", "B").removeprefix(f"{layout.EVENT_LISTS}/").partition("/")[0]
    assert folder == f"{partition['Name']}=2024-06-25", (
        "where a projected partition lies unless the table says otherwise"
    )
    first, last = text(table["Parameters"]["projection.listen_date.range"]).split(",")
    assert (first, last) == ("${FirstListenDate}", "NOW+2DAYS")
    assert latest_listen_time(datetime(2024, 6, 25, 23, 59, tzinfo=UTC)).date() <= date(2024, 6, 25) + timedelta(days=2)


def test_athena_and_the_sandbox_have_the_same_columns() -> None:
    table = template("events")["Resources"]["Events"]["Properties"]["TableInput"]
    columns = [*table["StorageDescriptor"]["Columns"], *table["PartitionKeys"]]
    types = {"string": pa.string(), "timestamp": pa.timestamp("us"), "date": pa.date32()}
    assert [(column["Name"], types[column["Type"]]) for column in columns] == [
        (column.name, column.type) for column in event_queries.COLUMNS
    ]


def test_who_may_query_events_lists_only_these() -> None:
    (lists,) = [one for one in of_roles() if one.part == "events" and "s3:ListBucket" in one.actions]
    assert set(lists.body["Condition"]["StringLike"]["s3:prefix"]) == {f"{layout.EVENT_LISTS}/*", f"{layout.CURATED}/*"}


def test_airflow_looks_up_connections_where_its_role_may_read() -> None:
    options = template("airflow")["Resources"]["Environment"]["Properties"]["AirflowConfigurationOptions"]
    secrets = json.loads(text(options["secrets.backend_kwargs"]))
    readable = [one.resources for one in of_roles() if "secretsmanager:GetSecretValue" in one.actions]
    assert [[resource.partition(":secret:")[2] for resource in one] for one in readable] == [
        [f"{secrets['connections_prefix']}/*"]
    ]
    assert (secrets["variables_prefix"], secrets["config_prefix"]) == (None, None)


def test_airflow_shows_what_the_dag_publishes_under_the_names_that_it_has_in_the_sandbox() -> None:
    options = template("airflow")["Resources"]["Environment"]["Properties"]["AirflowConfigurationOptions"]
    shown = json.loads(text(options["cosmos.dbt_docs_projects"]).replace("${BucketName}", BUCKET_OF_THE_SANDBOX))
    assert shown == PUBLISHED
    assert {f"{page['dir']}/{page['index']}" for page in shown.values()} == {
        f"s3://{BUCKET_OF_THE_SANDBOX}/{page}" for page in (layout.DBT_DOCS_PAGE, layout.KPI_REPORT_PAGE)
    }


def test_the_dags_schedule_is_a_parameter_that_takes_what_the_dag_takes() -> None:
    airflow = template("airflow")
    options = airflow["Resources"]["Environment"]["Properties"]["AirflowConfigurationOptions"]
    assert options["music_streams.schedule"] == {"Ref": "Schedule"}
    assert SCHEDULE.name == "AIRFLOW__MUSIC_STREAMS__SCHEDULE"
    for schedule in ("@daily", "none", "30 5 * * 1-5", airflow["Parameters"]["Schedule"]["Default"]):
        assert re.match(airflow["Parameters"]["Schedule"]["AllowedPattern"], schedule)
        Settings.from_environment({"MUSIC_STREAMS_BUCKET": "lake", SCHEDULE.name: schedule})


def test_airflow_finds_its_code_where_it_is_uploaded() -> None:
    environment = template("airflow")["Resources"]["Environment"]["Properties"]
    assert environment["DagS3Path"] == bundle.DAGS.removesuffix("/")
    assert environment["RequirementsS3Path"] == bundle.REQUIREMENTS
    assert environment["StartupScriptS3Path"] == bundle.STARTUP_SCRIPT


def test_the_warehouse_listens_where_it_says() -> None:
    warehouse = template("warehouse")
    port = warehouse["Resources"]["Workgroup"]["Properties"]["Port"]
    rule = template("network")["Resources"]["WarehouseSecurityGroup"]["Properties"]["SecurityGroupIngress"][0]
    assert warehouse["Outputs"]["WarehousePort"]["Value"] == str(port)
    assert (rule["FromPort"], rule["ToPort"]) == (port, port)
    assert (
        warehouse["Outputs"]["WarehouseDatabase"]["Value"]
        == warehouse["Resources"]["Namespace"]["Properties"]["DbName"]
    )


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_each_parameter_has_a_value_when_its_stack_is_deployed(stage: str) -> None:
    chosen = Stage.read(stage).parameters
    known = set(DEPLOY_TIME_FACTS)
    for part in PARTS:
        needed = {name for name, body in template(part)["Parameters"].items() if "Default" not in body}
        assert needed <= known | set(chosen.get(part, {})), part
        known |= set(template(part)["Outputs"])


def test_no_two_stacks_put_out_the_same_name() -> None:
    names = [name for part in PARTS for name in template(part)["Outputs"]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("stage", STAGE_NAMES)
def test_a_stage_sets_only_parameters_that_exist_to_values_that_they_take(stage: str) -> None:
    for part, values in Stage.read(stage).parameters.items():
        for name, value in values.items():
            body = template(part)["Parameters"][name]
            assert re.fullmatch(body.get("AllowedPattern", ".*"), value), name
            assert value in map(str, body.get("AllowedValues", [value])), name
            if body["Type"] == "Number":
                assert body.get("MinValue", float("-inf")) <= float(value) <= body.get("MaxValue", float("inf")), name
            assert name not in DEPLOY_TIME_FACTS


def test_every_parameter_says_what_it_is_for_and_what_it_takes() -> None:
    for part in PARTS:
        for name, body in template(part)["Parameters"].items():
            assert body["Description"], f"{part}: {name}"
            limits = {"AllowedPattern", "AllowedValues", "MinValue", "MinLength"}
            made_by_us = body["Type"] == "CommaDelimitedList" or name.endswith("SecurityGroupId")
            assert made_by_us or limits & set(body), f"{part}: {name} takes anything"


def test_a_stage_name_fits_all_names_that_are_made_of_it() -> None:
    patterns = {part: template(part)["Parameters"]["Stage"]["AllowedPattern"] for part in PARTS}
    assert set(patterns.values()) == {"^[a-z][a-z0-9]{0,11}$"}
    for stage in STAGE_NAMES:
        assert re.fullmatch(patterns["lake"], stage)
