"""What leaves Airflow when a run has ended, from Airflow's own call of the callbacks to a subscriber of the topic."""

import json
import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
import structlog
from airflow.api_fastapi.execution_api.datamodels import taskinstance
from airflow.callbacks.callback_requests import DagCallbackRequest, DagRunContext
from airflow.dag_processing.processor import _execute_dag_callbacks
from airflow.providers.amazon.aws.links.glue import GlueJobRunDetailsLink
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import (
    ErrorResponse,
    GetTaskStates,
    GetXCom,
    SetXCom,
    TaskStatesResult,
    XComResult,
)
from airflow.utils.state import DagRunState
from airflow.utils.types import DagRunType
from music_streams import alerts
from music_streams.batches import batch_id
from music_streams.glue_sensor import GlueRunSensor
from music_streams.settings import Settings

from contract import layout
from tests.integration.dags.conftest import Lake
from tests.unit.test_docs import REPOSITORY, anchors

RUN = "manual__2024-06-26T08:15:00+00:00_x1"
RUN_AFTER = datetime(2024, 6, 26, 8, 15, tzinfo=UTC)
BATCH = batch_id(RUN_AFTER, RUN)
GLUE_LINK = "https://console.aws.amazon.com/gluestudio/home?region=us-east-1#/job/hourly-kpis/run/jr_1"


@dataclass
class Airflow:
    """Airflow's answers to the process that runs callbacks."""

    states: dict[str, str] = field(default_factory=dict)
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    silent: bool = False

    def send(self, msg: Any) -> Any:
        if self.silent:
            raise AirflowRuntimeError(ErrorResponse(error=ErrorType.API_SERVER_ERROR))
        match msg:
            case SetXCom():
                self.xcoms[msg.task_id, msg.key] = msg.value
                return None
            case GetXCom():
                return XComResult(key=msg.key, value=self.xcoms.get((msg.task_id, msg.key)))
            case GetTaskStates():
                return TaskStatesResult(task_states={RUN: self.states} if self.states else {})
        raise AssertionError(f"the DAG processor does not answer {msg!r}")


@dataclass
class Deployment:
    """A stage with a topic, what subscribes to it, and a DAG with the alerts of the real one."""

    lake: Lake
    airflow: Airflow
    settings: Settings
    queue: str

    @property
    def dag(self) -> DAG:
        with DAG(
            "kpis",
            schedule=None,
            on_success_callback=partial(alerts.put_metrics, self.settings, "RunsSucceeded"),
            on_failure_callback=[
                partial(alerts.send_message, self.settings),
                partial(alerts.put_metrics, self.settings, "RunsFailed"),
            ],
        ) as dag:
            for task_id in ("validate_datasets", "end_dag", "trigger", "load"):
                EmptyOperator(task_id=task_id)
            GlueRunSensor(task_id="wait", job_name="hourly-kpis", run_id="jr_1", trigger_task_id="trigger")
        return dag

    def fail(self, task_id: str, error: BaseException | None, try_number: int = 1) -> None:
        """A task fails for good; None: its process is killed."""
        self.airflow.states[task_id] = "failed"
        context = self.instance(task_id, try_number).get_template_context()
        context["exception"] = error
        alerts.keep_error(context)

    def instance(self, task_id: str, try_number: int = 1) -> task_runner.RuntimeTaskInstance:
        ti = self._named(task_id, try_number)
        return task_runner.RuntimeTaskInstance.model_construct(**ti.model_dump(), task=self.dag.get_task(task_id))

    def end(
        self, last_task: str | None, *, reason: str = "task_failure", try_number: int = 1, run_id: str = RUN
    ) -> None:
        """Airflow finds that the run has ended, and has the DAG processor call back."""
        request = DagCallbackRequest(
            filepath="kpis.py",
            dag_id="kpis",
            run_id=run_id,
            bundle_name="dags-folder",
            bundle_version=None,
            is_failure_callback=reason != "success",
            msg=reason,
            context_from_server=DagRunContext(
                dag_run=taskinstance.DagRun(
                    dag_id="kpis",
                    run_id=run_id,
                    logical_date=None,
                    data_interval_start=None,
                    data_interval_end=None,
                    run_after=RUN_AFTER,
                    start_date=RUN_AFTER,
                    end_date=RUN_AFTER + timedelta(minutes=3),
                    run_type=DagRunType.MANUAL,
                    state=DagRunState.FAILED,
                    consumed_asset_events=[],
                    partition_key=None,
                ),
                last_ti=self._named(last_task, try_number, run_id) if last_task else None,
            ),
        )
        bag: Any = SimpleNamespace(dags={"kpis": self.dag})
        _execute_dag_callbacks(bag, request, structlog.get_logger("task"))

    def _named(self, task_id: str, try_number: int, run_id: str = RUN) -> taskinstance.TaskInstance:
        return taskinstance.TaskInstance(
            id=uuid4(),
            dag_version_id=uuid4(),
            task_id=task_id,
            dag_id="kpis",
            run_id=run_id,
            try_number=try_number,
            map_index=-1,
        )

    def messages(self) -> list[Mapping[str, str]]:
        """What the subscriber got since it last looked."""
        sqs = self.lake.endpoint.client("sqs")
        found = sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]

    def message(self) -> str:
        (message,) = self.messages()
        return message["Message"]

    def metric(self, name: str, **dimensions: str) -> list[float]:
        """The sums of the stage's metric by hour, those without data left out."""
        of_stage = {"Stage": self.settings.stage, **dimensions}
        answer = self.lake.endpoint.client("cloudwatch").get_metric_statistics(
            Namespace="MusicStreams",
            MetricName=name,
            Dimensions=[{"Name": dimension, "Value": value} for dimension, value in of_stage.items()],
            StartTime=datetime.now(UTC) - timedelta(hours=1),
            EndTime=datetime.now(UTC) + timedelta(hours=1),
            Period=3600,
            Statistics=["Sum"],
        )
        return [point["Sum"] for point in answer["Datapoints"]]


@pytest.fixture
def deployment(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    airflow = Airflow()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", airflow, raising=False)
    sns, sqs = lake.endpoint.client("sns"), lake.endpoint.client("sqs")
    name = f"alerts-{uuid.uuid4().hex[:8]}"
    topic = sns.create_topic(Name=name)["TopicArn"]
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    queue_arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    stage = f"s{uuid.uuid4().hex[:8]}"
    settings = Settings.from_environment(
        {"MUSIC_STREAMS_BUCKET": lake.bucket, "MUSIC_STREAMS_STAGE": stage, "MUSIC_STREAMS_ALERT_TOPIC_ARN": topic}
    )
    yield Deployment(lake, airflow, settings, queue)
    assert sqs.receive_message(QueueUrl=queue).get("Messages", []) == [], "a message that the test did not expect"


def test_a_failed_run_sends_one_message_with_task_error_and_links(deployment: Deployment) -> None:
    deployment.lake.put(f"{layout.BatchFolder(BATCH).validation}/index.html")
    deployment.airflow.xcoms["trigger", GlueJobRunDetailsLink().xcom_key] = GLUE_LINK
    deployment.airflow.states |= {"trigger": "success", "load": "upstream_failed", "end_dag": "skipped"}
    deployment.fail("wait", AirflowFailException("Glue job hourly-kpis, run jr_1, ended FAILED: no memory"))

    deployment.end("wait")

    (message,) = deployment.messages()
    stage = deployment.settings.stage
    assert message["Subject"] == f"Music Streams {stage}: wait failed in {RUN}"
    text = message["Message"]
    run_page = "http://localhost:8080/dags/kpis/runs/manual__2024-06-26T08%3A15%3A00%2B00%3A00_x1"
    console = "https://us-east-1.console.aws.amazon.com/s3/object"
    page = f"{deployment.lake.bucket}?region=us-east-1&prefix=music_streams/batches/{BATCH}/validation/index.html"
    for line in (
        f"Run    {RUN}",
        f"Batch  {BATCH}",
        "Failed wait",
        "Glue job hourly-kpis, run jr_1, ended FAILED: no memory",
        f"Run: {run_page}",
        f"Log of wait: {run_page}/tasks/wait",
        f"Glue run that wait waited for: {GLUE_LINK}",
        f"Validation: {console}/{page}",
    ):
        assert line in text.splitlines()
    assert "load" not in text


def test_two_branches_that_fail_are_one_message_and_the_first_is_to_blame(deployment: Deployment) -> None:
    deployment.fail("load", ValueError("first"))
    deployment.airflow.xcoms["load", "error"]["failed_at"] = "2024-06-26T08:16:00+00:00"
    deployment.fail("wait", AirflowFailException("second"))

    deployment.end("wait")

    (message,) = deployment.messages()
    assert "load failed in" in message["Subject"]
    text = message["Message"]
    assert "Failed load, wait" in text
    assert text.index("--- load failed at 2024-06-26T08:16:00+00:00\nValueError: first") < text.index("\nsecond\n")


def test_what_validation_found_is_to_blame_and_not_the_task_that_ends_the_run(deployment: Deployment) -> None:
    deployment.fail("end_dag", AirflowFailException("user_streams/a.csv: no column"))
    deployment.airflow.xcoms["end_dag", "error"]["failed_at"] = "2024-06-26T08:00:00+00:00"  # clocks differ
    deployment.fail("validate_datasets", AirflowFailException("user_streams/a.csv: no column"))

    deployment.end("end_dag")

    (message,) = deployment.messages()
    assert "validate_datasets failed in" in message["Subject"]
    assert message["Message"].count("\n--- validate_datasets") == 1


def test_a_task_whose_process_was_killed_has_no_error_and_the_message_says_so(deployment: Deployment) -> None:
    deployment.fail("load", None)
    deployment.end("load")
    text = deployment.message()
    assert "--- load failed\nNo error was kept: its process was killed" in text
    assert "/tasks/load" in text


def test_the_error_of_an_earlier_try_is_not_reported_as_the_last_one_s(deployment: Deployment) -> None:
    deployment.fail("load", ValueError("of the first try"), try_number=1)
    deployment.end("load", try_number=2)
    text = deployment.message()
    assert "of the first try" not in text
    assert "No error was kept" in text


def test_a_run_whose_time_was_up_says_so_and_what_was_under_way(deployment: Deployment) -> None:
    deployment.airflow.states |= {"validate_datasets": "success", "load": "skipped"}
    deployment.end("load", reason="timed_out")
    (message,) = deployment.messages()
    assert "run timed out in" in message["Subject"]
    assert "The run took longer than its dagrun_timeout allows" in message["Message"]
    assert "The last task under way was load." in message["Message"]


def test_a_run_of_which_airflow_names_no_task_is_reported_all_the_same(deployment: Deployment) -> None:
    deployment.end(None, reason="all_tasks_deadlocked")
    text = deployment.message()
    assert "No task of the run can begin any more." in text
    assert "Batch  unknown" in text
    assert deployment.metric("RunsFailed") == [1]


def test_an_airflow_that_does_not_answer_does_not_keep_the_message_back(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    deployment.fail("load", ValueError("lost"))
    deployment.airflow.silent = True
    deployment.end("load")
    assert "Failed load" in deployment.message()
    assert "does not report the states" in caplog.text


def test_an_s3_that_does_not_answer_does_not_keep_the_message_back(deployment: Deployment) -> None:
    deployment.fail("load", ValueError("no S3"))
    deployment.lake.producer.delete_bucket(Bucket=deployment.lake.bucket)
    deployment.end("load")
    text = deployment.message()
    assert "ValueError: no S3" in text
    assert "Validation:" not in text
    assert deployment.metric("RunsFailed") == [1]


def test_subject_and_message_keep_to_what_sns_and_sqs_take(deployment: Deployment) -> None:
    run_id = "über\n" + "x" * 150
    deployment.fail("load", ValueError("\x00\x1b[31m\ud800 𝄞" + "𝄞" * 300_000))
    for task_id in ("wait", "trigger", "end_dag", "validate_datasets"):
        deployment.fail(task_id, ValueError("𝄞" * 300_000))
    deployment.end("load", run_id=run_id)
    (message,) = deployment.messages()
    assert len(message["Subject"]) == 99
    assert message["Subject"].isascii()
    assert message["Subject"].isprintable()
    text = message["Message"]
    assert len(text.encode()) <= 256 * 1024
    assert "[31m\N{REPLACEMENT CHARACTER} 𝄞𝄞" in text
    assert "What to do" in text, "the end, with the links, is not what is cut"


def test_a_message_that_cannot_be_sent_is_an_error_in_the_log_and_metrics_still_go(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    deployment.lake.endpoint.client("sns").delete_topic(TopicArn=deployment.settings.alert_topic_arn)
    deployment.fail("load", ValueError("whatever"))
    deployment.end("load")
    logged = capsys.readouterr().out
    assert "Callback failed" in logged
    assert "NotFound" in logged
    assert deployment.metric("RunsFailed") == [1]


@pytest.mark.parametrize(
    ("record", "counts", "rate"),
    [
        ("curation.json", {"rows_read": 200, "rejected_by_reason": {"a": 1, "b": 2}}, [0.015]),
        ("rejected.json", {"rows_read": 7, "rejected_by_reason": {"a": 7}}, [1.0]),
        ("curation.json", {"rows_read": 0, "rejected_by_reason": {}}, []),
        ("manifest.json", {"files": []}, []),
    ],
)
def test_the_reject_rate_is_that_of_the_batch_that_was_judged(
    deployment: Deployment, record: str, counts: dict[str, Any], rate: list[float]
) -> None:
    deployment.lake.put(f"{layout.BatchFolder(BATCH).root}/{record}", json.dumps(counts))
    deployment.end("load", reason="success")
    assert deployment.metric("RejectRate") == rate
    assert deployment.metric("RunsSucceeded") == [1]
    assert deployment.metric("RunsFailed") == []


def test_metrics_are_what_the_record_of_the_run_says(deployment: Deployment) -> None:
    record = {
        "events_landed": 10,
        "accepted": 6,
        "rejected": {"no time": 1, "no user": 2},
        "late_events": 2,
        "refused_files": ["a.csv"],
        "left_lying": ["b.txt", "c.txt"],
    }
    deployment.lake.put(layout.BatchFolder(BATCH).run_record, json.dumps(record))
    deployment.end("load", reason="success")
    names = ("EventsLanded", "EventsAccepted", "EventsLate", "EventsRejected", "FilesRefused", "FilesLeftLying")
    assert [deployment.metric(name) for name in names] == [[10], [6], [2], [3], [1], [2]]
    assert deployment.metric("RejectedByReason", Reason="no user") == [2]


def test_a_run_that_failed_before_it_wrote_a_record_has_one_all_the_same(deployment: Deployment) -> None:
    folder = layout.BatchFolder(BATCH)
    deployment.lake.put(folder.rejected_record, json.dumps({"rows_read": 4, "rejected_by_reason": {"no time": 4}}))
    deployment.lake.put(f"{layout.USER_STREAMS}/a.txt")
    deployment.lake.put(folder.run_record, json.dumps({"of": "an earlier try"}))
    deployment.fail("wait", ValueError("too many rejected"))
    deployment.end("wait")
    record = deployment.lake.record(folder.run_record)
    assert (record["run_id"], record["accepted"], record["rejected"]) == (RUN, 0, {"no time": 4})
    assert deployment.metric("EventsAccepted") == [0]
    assert deployment.metric("FilesLeftLying") == [1]
    assert len(deployment.messages()) == 1


def test_metrics_that_cannot_be_put_change_nothing_in_the_lake(
    deployment: Deployment, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH", "http://127.0.0.1:1")  # nobody listens there
    deployment.end("load", reason="success")
    assert "Callback failed" in capsys.readouterr().out
    assert deployment.lake.keys() == []


def test_without_topic_and_stage_nothing_is_sent_and_the_log_says_why(
    deployment: Deployment, caplog: pytest.LogCaptureFixture
) -> None:
    stage = deployment.settings.stage
    caplog.set_level(logging.INFO)
    deployment.settings = Settings.from_environment({"MUSIC_STREAMS_BUCKET": deployment.lake.bucket})
    deployment.fail("load", ValueError("on a laptop"))
    deployment.end("load")
    lines = [record.getMessage() for record in caplog.records if record.name == "music_streams.alerts"]
    assert lines == [
        "MUSIC_STREAMS_ALERT_TOPIC_ARN is not set: no message",
        "MUSIC_STREAMS_STAGE is not set: no metrics",
    ]
    names = deployment.lake.endpoint.client("cloudwatch").list_metrics(Namespace="MusicStreams")["Metrics"]
    assert [stage] not in [[dimension["Value"] for dimension in metric["Dimensions"]] for metric in names]


def test_docs_have_the_section_that_the_message_names() -> None:
    page, _, anchor = alerts.WHAT_TO_DO.partition("#")
    assert anchor in anchors(REPOSITORY / page)
