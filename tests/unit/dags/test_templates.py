"""What the DAG and the templates of the deployment both say."""

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.providers.amazon.aws.operators.glue import GlueJobOperator
from airflow.providers.amazon.aws.secrets.secrets_manager import SecretsManagerBackend
from music_streams.alerts import NAMESPACE
from music_streams.glue_sensor import GlueRunSensor

from tests.unit.infra.cloudformation import resources, template

if TYPE_CHECKING:
    from airflow.sdk import DAG


def test_the_dag_starts_just_the_jobs_that_are_deployed(dag: "DAG") -> None:
    started = {task.job_name for task in dag.tasks if isinstance(task, GlueJobOperator)}
    assert started == {job["Properties"]["Name"] for _, _, job in resources("AWS::Glue::Job")}


def test_each_run_of_a_job_asks_to_be_queued_behind_another(dag: "DAG") -> None:
    started = [task.run_job_kwargs for task in dag.tasks if isinstance(task, GlueJobOperator)]
    assert started == [{"JobRunQueuingEnabled": True}] * 3


def test_a_wait_outlasts_its_run_and_one_that_is_queued_before(dag: "DAG") -> None:
    longest = timedelta(minutes=template("lake")["Parameters"]["GlueTimeoutMinutes"]["MaxValue"])
    waits = [task for task in dag.tasks if isinstance(task, GlueRunSensor)]
    assert len(waits) == 3
    assert all(timedelta(seconds=float(task.timeout)) > 2 * longest for task in waits)


def test_alarms_watch_the_namespace_and_stage_under_which_runs_put_metrics() -> None:
    alarms = [alarm["Properties"] for _, _, alarm in resources("AWS::CloudWatch::Alarm")]
    assert alarms
    for alarm in alarms:
        assert alarm["Namespace"] == NAMESPACE
        assert alarm["Dimensions"] == [{"Name": "Stage", "Value": {"Ref": "Stage"}}]


def test_the_alarm_on_rejected_rows_comes_before_the_limit_that_fails_the_run(dag: "DAG") -> None:
    assert template("alerts")["Parameters"]["RejectRateLimit"]["Default"] < dag.params["max_reject_rate"]


def test_the_secrets_backend_is_airflows_own() -> None:
    options = template("airflow")["Resources"]["Environment"]["Properties"]["AirflowConfigurationOptions"]
    assert options["secrets.backend"] == f"{SecretsManagerBackend.__module__}.{SecretsManagerBackend.__name__}"
