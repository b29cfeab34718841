"""The settings of the DAG, from the environment variables that `contract.variables` declares."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path

from croniter import croniter

from contract import variables
from contract.variables import Variable

PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
REPOSITORY = Path(__file__).resolve().parents[2]


class SettingError(Exception):
    """A setting is missing or has an invalid value."""


@dataclass(frozen=True)
class Settings:
    """Settings of the DAG.

    Attributes:
        bucket: the lake.
        schedule: the DAG's schedule, a cron expression or one of Airflow's presets; None if runs are only triggered.
        dbt_executable: the dbt program; on MWAA dbt has a virtual environment of its own.
        dbt_project_dir: the folder that holds `dbt_project.yml`.
        dbt_manifest: the output of `dbt parse`, made before the DAG is deployed, so that parsing the DAG runs no dbt.
        dbt_profiles_dir: the folder that holds `profiles.yml`.
        dbt_target: the target in the profile.
        glue_poll_seconds: seconds between two polls of a Glue run.
        retry_seconds: seconds before a failed task is tried again.
        stage: the name of the deployment in messages and metrics; empty for no metrics.
        alert_topic_arn: the SNS topic that gets a message for each failed run; empty for no messages.
    """

    bucket: str
    schedule: str | None
    dbt_executable: str
    dbt_project_dir: Path
    dbt_manifest: Path
    dbt_profiles_dir: Path
    dbt_target: str
    glue_poll_seconds: float
    retry_seconds: float
    stage: str
    alert_topic_arn: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read the settings from environment variables.

        Raises:
            SettingError: the bucket is not set, or a number is invalid.
        """
        bucket = variables.BUCKET.value(environment)
        if not bucket:
            name = variables.BUCKET.name
            raise SettingError(f"{name} is not set: export the name of the lake's bucket to every Airflow component")
        project = Path(variables.DBT_PROJECT_DIR.value(environment) or REPOSITORY)
        return cls(
            bucket=bucket,
            schedule=_schedule(environment),
            dbt_executable=variables.DBT_EXECUTABLE.value(environment),
            dbt_project_dir=project,
            dbt_manifest=Path(variables.DBT_MANIFEST.value(environment) or project / "target" / "manifest.json"),
            dbt_profiles_dir=Path(variables.DBT_PROFILES_DIR.value(environment) or project),
            dbt_target=variables.DBT_TARGET.value(environment),
            glue_poll_seconds=_seconds(environment, variables.GLUE_POLL_SECONDS),
            retry_seconds=_seconds(environment, variables.RETRY_SECONDS),
            stage=variables.STAGE.value(environment),
            alert_topic_arn=variables.ALERT_TOPIC_ARN.value(environment),
        )


def _schedule(environment: Mapping[str, str]) -> str | None:
    schedule = variables.SCHEDULE.value(environment)
    if schedule == "none":
        return None
    if schedule not in PRESETS and not croniter.is_valid(schedule):
        expected = f"a cron expression, {', '.join(PRESETS)} or none"
        raise SettingError(f"{variables.SCHEDULE.name} is {schedule!r}: set it to {expected}")
    return schedule


def _seconds(environment: Mapping[str, str], variable: Variable) -> float:
    value = variable.value(environment)
    try:
        seconds = float(value)
    except ValueError:
        seconds = nan
    if not 0 < seconds < inf:
        raise SettingError(f"{variable.name} is {value!r}: set it to a number of seconds above 0")
    return seconds
