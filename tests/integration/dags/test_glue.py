"""The wait for Glue runs, against jobs that run."""

import uuid
from typing import TYPE_CHECKING

import pytest
from music_streams.glue_sensor import GlueRunFailedError, run_has_succeeded

from tests.integration.dags.conftest import Lake

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient

REMEDY = "Once the cause is corrected, clear the trigger."


@pytest.fixture
def glue(lake: Lake) -> "GlueClient":
    client: GlueClient = lake.endpoint.client("glue")
    return client


def start(lake: Lake, glue: "GlueClient", script: str) -> tuple[str, str]:
    """Start a job that runs this script; its name and the run's id."""
    name = f"job-{uuid.uuid4().hex[:8]}"
    lake.put(f"artifacts/{name}.py", script)
    glue.create_job(
        Name=name,
        Role="arn:aws:iam::123456789012:role/glue",
        Command={"Name": "glueetl", "ScriptLocation": f"s3://{lake.bucket}/artifacts/{name}.py"},
        GlueVersion="6.0",
        Timeout=5,
    )
    return name, glue.start_job_run(JobName=name)["JobRunId"]


def outcome(glue: "GlueClient", name: str, run_id: str) -> bool:
    """What the wait says of a run once it has ended."""
    while glue.get_job_run(JobName=name, RunId=run_id)["JobRun"]["JobRunState"] in {"STARTING", "RUNNING", "STOPPING"}:
        pass
    return run_has_succeeded(glue, name, run_id, remedy=REMEDY)


def test_a_run_that_goes_on_is_waited_for_until_it_has_succeeded(lake: Lake, glue: "GlueClient") -> None:
    wait_for_object = (
        "import boto3\n"
        f"boto3.client('s3').get_waiter('object_exists').wait(Bucket='{lake.bucket}', Key='go',"
        " WaiterConfig={'Delay': 1, 'MaxAttempts': 300})\n"
    )
    name, run_id = start(lake, glue, wait_for_object)
    assert run_has_succeeded(glue, name, run_id, remedy=REMEDY) is False

    lake.put("go")

    assert outcome(glue, name, run_id) is True


def test_a_failed_run_is_reported_with_glues_reason_and_the_remedy(lake: Lake, glue: "GlueClient") -> None:
    name, run_id = start(lake, glue, "raise ValueError('listen_time is gone')")

    with pytest.raises(GlueRunFailedError) as failed:
        outcome(glue, name, run_id)

    message = str(failed.value)
    assert message.startswith(f"Glue job {name}, run {run_id}, ended FAILED: ")
    assert "listen_time is gone" in message
    assert message.endswith(REMEDY)


def test_a_run_that_glue_does_not_know_is_an_error_of_the_api(lake: Lake, glue: "GlueClient") -> None:
    name, _ = start(lake, glue, "")
    with pytest.raises(glue.exceptions.EntityNotFoundException):
        run_has_succeeded(glue, name, "jr_0", remedy=REMEDY)
