"""The settings that differ between deployments; all come from environment variables."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path

from croniter import croniter

# On MWAA the environment's configuration option `music_streams.schedule`.
SCHEDULE = "AIRFLOW__MUSIC_STREAMS__SCHEDULE"
PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
REPOSITORY = Path(__file__).resolve().parents[2]


class SettingError(Exception):
    """A setting is missing or has an invalid value."""


@dataclass(frozen=True)
class Settings:
    """Settings of the DAG.

    Attributes:
        bucket: the lake.
        schedule: of the DAG: a cron expression or one of Airflow's presets; None for runs that somebody triggers.
        dbt_executable: on MWAA dbt has a virtual environment of its own.
        dbt_project_dir: holds `dbt_project.yml`.
        dbt_manifest: made by `dbt parse` before the DAG is deployed, so that parsing the DAG runs no dbt.
        dbt_profiles_dir: holds `profiles.yml`.
        dbt_target: the profile's output.
        glue_poll_seconds: between two polls of a Glue run.
        retry_seconds: before a failed task is tried again.
        stage: names the deployment in messages and metrics; empty for no metrics.
        alert_topic_arn: the SNS topic that learns of failed runs; empty for no messages.
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
        """Read them.

        Raises:
            SettingError: the bucket is not set, or a number is invalid.
        """
        bucket = environment.get("MUSIC_STREAMS_BUCKET", "")
        if not bucket:
            msg = "MUSIC_STREAMS_BUCKET is not set: export the name of the lake's bucket to every Airflow component"
            raise SettingError(msg)
        project = Path(environment.get("MUSIC_STREAMS_DBT_PROJECT_DIR") or REPOSITORY)
        return cls(
            bucket=bucket,
            schedule=_schedule(environment),
            dbt_executable=environment.get("MUSIC_STREAMS_DBT_EXECUTABLE") or "dbt",
            dbt_project_dir=project,
            dbt_manifest=Path(environment.get("MUSIC_STREAMS_DBT_MANIFEST") or project / "target" / "manifest.json"),
            dbt_profiles_dir=Path(environment.get("DBT_PROFILES_DIR") or project),
            dbt_target=environment.get("DBT_TARGET") or "prod",
            glue_poll_seconds=_seconds(environment, "MUSIC_STREAMS_GLUE_POLL_SECONDS", default="60"),
            retry_seconds=_seconds(environment, "MUSIC_STREAMS_RETRY_SECONDS", default="30"),
            stage=environment.get("MUSIC_STREAMS_STAGE", ""),
            alert_topic_arn=environment.get("MUSIC_STREAMS_ALERT_TOPIC_ARN", ""),
        )


def _schedule(environment: Mapping[str, str]) -> str | None:
    schedule = environment.get(SCHEDULE) or "@daily"
    if schedule == "none":
        return None
    if schedule not in PRESETS and not croniter.is_valid(schedule):
        msg = f"{SCHEDULE} is {schedule!r}: set it to a cron expression, {', '.join(PRESETS)} or none"
        raise SettingError(msg)
    return schedule


def _seconds(environment: Mapping[str, str], name: str, *, default: str) -> float:
    value = environment.get(name) or default
    try:
        seconds = float(value)
    except ValueError:
        seconds = nan
    if not 0 < seconds < inf:
        msg = f"{name} is {value!r}: set it to a number of seconds above 0"
        raise SettingError(msg)
    return seconds
