"""Wait for one run of a Glue job."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import boto3
from airflow.sdk import BaseSensorOperator, XComArg
from airflow.sdk.exceptions import AirflowFailException

from contract.jobs import FAILS_AGAIN

if TYPE_CHECKING:
    from airflow.sdk import Context
    from mypy_boto3_glue import GlueClient

SUCCEEDED = "SUCCEEDED"
FAILED_STATES = frozenset({"FAILED", "TIMEOUT", "ERROR", "STOPPED", "EXPIRED"})


class GlueRunFailedError(Exception):
    """The run ended without success; polling it again changes nothing."""


def run_has_succeeded(glue: "GlueClient", job_name: str, run_id: str, *, remedy: str) -> bool:
    """Return True once the run has succeeded, False while it is still going on.

    Raises:
        GlueRunFailedError: the run has ended without success.
    """
    run = glue.get_job_run(JobName=job_name, RunId=run_id)["JobRun"]
    state = run["JobRunState"]
    if state in FAILED_STATES:
        reason = run.get("ErrorMessage") or "Glue gives no reason; see the run's logs"
        msg = f"Glue job {job_name}, run {run_id}, ended {state}: {reason}"
        raise GlueRunFailedError(msg if FAILS_AGAIN in reason else f"{msg}\n{remedy}")
    return bool(state == SUCCEEDED)


class GlueRunSensor(BaseSensorOperator):
    """Waits for the run that a trigger task started.

    The provider's GlueJobSensor goes on waiting after ERROR and EXPIRED, and does not report Glue's error message.

    Args:
        job_name: the Glue job.
        run_id: the id of its run, templated.
        trigger_task_id: the task to clear after the run has failed: clearing only the sensor would poll the same run.
    """

    template_fields: Sequence[str] = ("job_name", "run_id")
    ui_color = "#ededed"

    def __init__(self, *, job_name: str, run_id: str | XComArg, trigger_task_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job_name = job_name
        self.run_id = run_id
        self.trigger_task_id = trigger_task_id

    def poke(self, context: "Context") -> bool:  # noqa: ARG002
        """Poll the run once; the task's retries handle errors of the API."""
        remedy = f"Once the cause is corrected, clear {self.trigger_task_id} with what follows it."
        try:
            return run_has_succeeded(boto3.client("glue"), self.job_name, str(self.run_id), remedy=remedy)
        except GlueRunFailedError as error:
            raise AirflowFailException(str(error)) from error
