"""Report a DAG run that has ended: send metrics to CloudWatch and, if the run failed, one message to SNS.

Airflow runs the callbacks of a DAG run in its DAG processor, not in a task. It logs any exception they raise with its
stack trace; the exception does not change the state of the run.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

import boto3
from airflow.providers.amazon.aws.links.glue import GlueJobRunDetailsLink
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowRuntimeError
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract import layout, variables
from contract.bucket import Bucket, RefusedError
from music_streams.batches import batch_id
from music_streams.glue_sensor import GlueRunSensor
from music_streams.run_record import write_run_record
from music_streams.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef, MetricDatumTypeDef
    from mypy_boto3_s3 import S3Client

log = logging.getLogger(__name__)

Outcome = Literal["RunsSucceeded", "RunsFailed"]

NAMESPACE = "MusicStreams"
ERROR = "error"  # the XCom that holds a failed task's error; Airflow deletes it when the task starts another try

SUBJECT_LIMIT = 99  # SNS requires ASCII and "less than 100 characters"
MESSAGE_LIMIT = 256 * 1024  # bytes
UNSENDABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # SQS refuses these
# In characters, of up to four bytes each: the errors of all tasks together fit into a message, and so do its links.
KEPT_ERROR_LIMIT = 32 * 1024
OTHER_ERROR_LIMIT = 1024  # characters of each error that came after the first one

# These tasks fail only because another task has failed, and that task's error is the cause.
REPORTING_TASKS = ("end_dag",)
WHY_WITHOUT_FAILED_TASK = {
    "timed_out": "The run took longer than its dagrun_timeout allows, and Airflow ended it.",
    "all_tasks_deadlocked": "No task of the run can begin any more.",
}
NO_ERROR = (
    "No error was kept: its process was killed (out of memory, say), or ended before the task began. "
    "Its log may end with a hint."
)
WHAT_TO_DO = "docs/operations.md#alarms-and-messages"

# Airflow kills a callback that takes longer than dag_processor.dag_file_processor_timeout (50 s), and logs nothing.
SHORT_TIMEOUTS = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 2})


@dataclass(frozen=True)
class FailedTask:
    """A failed task, as the message reports it.

    Attributes:
        error: the task's own error; None if none was kept.
        failed_at: the time of failure in UTC, ISO 8601; empty if unknown.
        glue_run: the address of the Glue run that the task waited for, if it waited for one.
    """

    task_id: str
    error: str | None
    failed_at: str
    log_url: str
    glue_run: str | None = None


@dataclass(frozen=True)
class FailedRun:
    """A failed run, as the message reports it.

    Attributes:
        stage: the stage of the deployment; may be empty.
        batch_id: None if Airflow's context holds too little to derive it.
        reason: Airflow's name for why the run failed: `task_failure`, `timed_out`, `all_tasks_deadlocked`.
        last_task: the task that Airflow names: the last to fail, or the one that was running when the run timed out.
        failed: the failed tasks; the first is the likely cause.
    """

    stage: str
    dag_id: str
    run_id: str
    batch_id: str | None
    reason: str
    last_task: str | None
    failed: tuple[FailedTask, ...]
    links: Mapping[str, str]

    def subject(self) -> str:
        """Return the message's subject: at most 99 printable ASCII characters."""
        where = f"Music Streams {self.stage}".rstrip()
        what = f"{self.failed[0].task_id} failed" if self.failed else f"run {self.reason.replace('_', ' ')}"
        text = f"{where}: {what} in {self.run_id}".encode("ascii", "replace").decode()
        return _cut("".join(char if char.isprintable() else "?" for char in text), SUBJECT_LIMIT, "...")

    def message(self) -> str:
        """Return the message's body: plain text, at most 256 KB in UTF-8."""
        head = [f"A run of {self.dag_id} has failed.", "", f"Stage  {self.stage or '(none set)'}"]
        head += [f"Run    {self.run_id}", f"Batch  {self.batch_id or 'unknown'}"]
        head += [f"Failed {', '.join(task.task_id for task in self.failed) or 'no task'}"]
        if self.reason in WHY_WITHOUT_FAILED_TASK:
            head += ["", WHY_WITHOUT_FAILED_TASK[self.reason]]
            head += [f"The last task under way was {self.last_task}."] if self.last_task else []
        errors = []
        for number, task in enumerate(self.failed):
            limit = KEPT_ERROR_LIMIT if number == 0 else OTHER_ERROR_LIMIT
            errors += ["", f"--- {task.task_id}" + (f" failed at {task.failed_at}" if task.failed_at else " failed")]
            errors += [_cut(task.error or NO_ERROR, limit, " […] (cut; the log has all of it)")]
        links = ["", "--- Links", *(f"{name}: {url}" for name, url in self.links.items())]
        for task in self.failed:
            links += [f"Log of {task.task_id}: {task.log_url}"]
            links += [f"Glue run that {task.task_id} waited for: {task.glue_run}"] if task.glue_run else []
        return _sendable("\n".join([*head, *errors, *links, "", f"What to do: {WHAT_TO_DO}", ""]))


def keep_error(context: "Context") -> None:
    """Callback of a task: keep its error for the message, since only the task's own process knows it.

    If that process was killed, Airflow calls this in the DAG processor, where there is no error to keep.
    """
    error = context.get("exception")
    if error is None:
        return
    text = str(error) if isinstance(error, AirflowFailException) else f"{type(error).__name__}: {error}"
    ti: Any = context["ti"]
    kept = {
        "error": _cut(text, KEPT_ERROR_LIMIT, " […]"),
        "try_number": ti.try_number,
        "failed_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    ti.xcom_push(key=ERROR, value=kept)


def put_metrics(settings: Settings, outcome: Outcome, context: "Context") -> None:
    """Callback of a run: count the run, and put the numbers of its record as metrics.

    A failed run may have no record, or one from an earlier try; so for failed runs the callback writes it first.

    Raises:
        botocore's errors: CloudWatch or S3 does not answer, or refuses.
    """
    if not settings.stage:
        log.info("%s is not set: no metrics", variables.STAGE.name)
        return
    _put_data(settings.stage, [_datum(outcome, 1)])
    batch = _batch_id(context)
    if batch is None:
        return
    bucket = Bucket(settings.bucket, _s3())
    record = bucket.read_json(layout.BatchFolder(batch).run_record) if outcome == "RunsSucceeded" else None
    _put_data(settings.stage, metrics_of(record or write_run_record(bucket, batch, context["run_id"])))


def metrics_of(run_record: Mapping[str, Any]) -> list["MetricDatumTypeDef"]:
    """Return a run's record as metrics; they include the share of rejected rows (0 to 1) only if there were rows."""
    landed, rejected = run_record["events_landed"], run_record["rejected"]
    return [
        _datum("EventsLanded", landed),
        _datum("EventsAccepted", run_record["accepted"]),
        _datum("EventsLate", run_record["late_events"]),
        _datum("EventsRejected", sum(rejected.values())),
        *(_datum("RejectedByReason", count, Reason=reason) for reason, count in rejected.items()),
        *([_datum("RejectRate", sum(rejected.values()) / landed, "None")] if landed else []),
        _datum("FilesRefused", len(run_record["refused_files"])),
        _datum("FilesLeftLying", len(run_record["left_lying"])),
    ]


def send_message(settings: Settings, context: "Context") -> None:
    """Callback of a failed run: send one message, however many of its tasks have failed.

    Raises:
        botocore's errors: SNS does not answer, or refuses.
    """
    if not settings.alert_topic_arn:
        log.info("%s is not set: no message", variables.ALERT_TOPIC_ARN.name)
        return
    run = failed_run(settings, context)
    sns = boto3.client("sns", config=SHORT_TIMEOUTS)
    answer = sns.publish(TopicArn=settings.alert_topic_arn, Subject=run.subject(), Message=run.message())
    log.info("Sent message %s to %s: %s", answer["MessageId"], settings.alert_topic_arn, run.subject())


def failed_run(settings: Settings, context: "Context") -> FailedRun:
    """Collect what is known of the run; if S3 or Airflow does not answer, leave that part out and log why."""
    dag: Any = context["dag"]
    batch = _batch_id(context)
    ti: Any = context.get("ti")
    base_url = conf.get("api", "base_url", fallback="http://localhost:8080").rstrip("/")  # Airflow's own default
    run_page = f"{base_url}/dags/{dag.dag_id}/runs/{quote(context['run_id'])}"
    return FailedRun(
        stage=settings.stage,
        dag_id=dag.dag_id,
        run_id=context["run_id"],
        batch_id=batch,
        reason=str(context.get("reason")),
        last_task=ti.task_id if ti else None,
        failed=_blame(_failed_task(context, run_page, task_id) for task_id in _failed_task_ids(context)),
        links={"Run": run_page} | ({"Validation": page} if (page := _validation_page(settings.bucket, batch)) else {}),
    )


def _datum(
    name: str, value: float, unit: Literal["Count", "None"] = "Count", **dimensions: str
) -> "MetricDatumTypeDef":
    named: list[DimensionTypeDef] = [{"Name": dimension, "Value": of} for dimension, of in dimensions.items()]
    return {"MetricName": name, "Dimensions": named, "Value": value, "Unit": unit}


def _put_data(stage: str, data: Iterable["MetricDatumTypeDef"]) -> None:
    of_stage: DimensionTypeDef = {"Name": "Stage", "Value": stage}
    boto3.client("cloudwatch", config=SHORT_TIMEOUTS).put_metric_data(
        Namespace=NAMESPACE,
        MetricData=[{**datum, "Dimensions": [of_stage, *datum["Dimensions"]]} for datum in data],
    )


def _batch_id(context: "Context") -> str | None:
    dag_run = context.get("dag_run")  # missing if Airflow found no task to name
    return batch_id(dag_run.run_after, dag_run.run_id) if dag_run else None


def _failed_task_ids(context: "Context") -> list[str]:
    ti: Any = context.get("ti")
    if ti is None:
        return []
    named = [ti.task_id] if context.get("reason") == "task_failure" else []
    try:
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id]).get(ti.run_id, {})
    except AirflowRuntimeError:
        log.exception("Airflow does not report the states of the tasks of %s", ti.run_id)
        return named
    return [*named, *(task_id for task_id, state in states.items() if state == "failed" and task_id not in named)]


def _failed_task(context: "Context", run_page: str, task_id: str) -> FailedTask:
    ti: Any = context["ti"]
    dag: Any = context["dag"]
    kept = _pull(ti, task_id, ERROR) or {}
    if task_id == ti.task_id and kept.get("try_number") != ti.try_number:
        kept = {}  # the error is an earlier try's: the last try was lost before it started
    task = dag.task_dict.get(task_id)
    glue_run = (
        _pull(ti, task.trigger_task_id, GlueJobRunDetailsLink().xcom_key) if isinstance(task, GlueRunSensor) else None
    )
    return FailedTask(
        task_id,
        error=kept.get("error"),
        failed_at=kept.get("failed_at", ""),
        log_url=f"{run_page}/tasks/{task_id}",
        glue_run=glue_run,
    )


def _blame(tasks: Iterable[FailedTask]) -> tuple[FailedTask, ...]:
    """Sort tasks by time of failure, then tasks without a known time, and last the tasks that only report a failure."""
    return tuple(sorted(tasks, key=lambda task: (task.task_id in REPORTING_TASKS, not task.failed_at, task.failed_at)))


def _pull(ti: Any, task_id: str, key: str) -> Any:
    try:
        return ti.xcom_pull(task_ids=task_id, key=key, map_indexes=None)
    except AirflowRuntimeError:
        log.exception("Airflow does not give the XCom %s of %s", key, task_id)
        return None


def _validation_page(bucket: str, batch: str | None) -> str | None:
    if batch is None:
        return None
    key = f"{layout.BatchFolder(batch).validation}/index.html"
    s3 = _s3()
    try:
        if Bucket(bucket, s3).missing([key]):
            return None
    except (BotoCoreError, ClientError, RefusedError):
        log.exception("Cannot look for s3://%s/%s", bucket, key)
        return None
    region = s3.meta.region_name
    return f"https://{region}.console.aws.amazon.com/s3/object/{bucket}?region={region}&prefix={quote(key)}"


def _s3() -> "S3Client":
    return boto3.client("s3", config=SHORT_TIMEOUTS)


def _cut(text: str, limit: int, mark: str) -> str:
    return text if len(text) <= limit else text[: limit - len(mark)] + mark


def _sendable(text: str) -> str:
    """Replace the characters that SNS or its subscribers refuse, and cut the text to the limit."""
    content = UNSENDABLE.sub("\N{REPLACEMENT CHARACTER}", text).encode()
    return content[:MESSAGE_LIMIT].decode(errors="ignore")
