"""Who subscribes to the topic of failed runs, and watches the metrics of the stage."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from uuid import uuid4

import boto3

from sandbox.airflow_api import DAG_PROCESSOR
from tests.integration.conftest import RunningSandbox, wait_for

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient
    from mypy_boto3_sns import SNSClient
    from mypy_boto3_sqs import SQSClient


@dataclass(frozen=True)
class Message:
    """A message as its reader gets it."""

    subject: str
    text: str


class Subscriber:
    """Subscribed from its making on, until the sandbox's AWS is killed: moto keeps topics in memory."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        variables = sandbox.sandbox.environment()
        self._endpoint = variables["AWS_ENDPOINT_URL"]
        self._session = boto3.Session(
            variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], region_name=variables["AWS_REGION"]
        )
        settings = sandbox.sandbox.processes.running()[DAG_PROCESSOR].environ()  # where the run's callbacks work
        self._stage = settings["MUSIC_STREAMS_STAGE"]
        topic = settings["MUSIC_STREAMS_ALERT_TOPIC_ARN"]
        self._sns.create_topic(Name=topic.rpartition(":")[2])  # unless it exists
        self._queue = self._sqs.create_queue(QueueName=f"alerts-{uuid4().hex}")["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._queue, AttributeNames=["QueueArn"])["Attributes"]
        self._sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=attributes["QueueArn"])
        self._received: list[Message] = []
        self._began = datetime.now(UTC)

    def message_of(self, run_id: str, number: int = 1) -> Message:
        """The message of the run's first, second, … failure, which must be the last one of this run so far."""
        found = wait_for(f"message {number} of {run_id}", lambda: self.messages_of(run_id)[number - 1 :])
        assert len(found) == 1, found
        return found[0]

    def messages_of(self, run_id: str) -> list[Message]:
        """All that have come by now, in their order."""
        answer = self._sqs.receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
            notification = json.loads(message["Body"])
            self._received.append(Message(notification["Subject"], notification["Message"]))
        return [message for message in self._received if f"\nRun    {run_id}\n" in message.text]

    def values(self, metric: str) -> list[float]:
        """The greatest value of the stage's metric in each second since the subscription that has one."""
        points = self._cloudwatch.get_metric_statistics(
            Namespace="MusicStreams",
            MetricName=metric,
            Dimensions=[{"Name": "Stage", "Value": self._stage}],
            StartTime=self._began,
            EndTime=datetime.now(UTC) + timedelta(seconds=1),
            Period=1,
            Statistics=["Maximum"],
        )["Datapoints"]
        return [point["Maximum"] for point in points]

    @cached_property
    def _sns(self) -> "SNSClient":
        return self._session.client("sns", endpoint_url=self._endpoint)

    @cached_property
    def _sqs(self) -> "SQSClient":
        return self._session.client("sqs", endpoint_url=self._endpoint)

    @cached_property
    def _cloudwatch(self) -> "CloudWatchClient":
        return self._session.client("cloudwatch", endpoint_url=self._endpoint)
