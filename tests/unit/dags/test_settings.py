import re
from pathlib import Path

import pytest
from music_streams.settings import REPOSITORY, SettingError, Settings

from contract.variables import SCHEDULE


def test_only_the_bucket_has_to_be_set() -> None:
    assert Settings.from_environment({"MUSIC_STREAMS_BUCKET": "lake"}) == Settings(
        bucket="lake",
        schedule="@daily",
        dbt_executable="dbt",
        dbt_project_dir=REPOSITORY,
        dbt_manifest=REPOSITORY / "target" / "manifest.json",
        dbt_profiles_dir=REPOSITORY,
        dbt_target="prod",
        glue_poll_seconds=60,
        retry_seconds=30,
        stage="",
        alert_topic_arn="",
    )
    assert (REPOSITORY / "dbt_project.yml").exists()


def test_every_setting_can_be_set() -> None:
    assert Settings.from_environment(
        {
            "MUSIC_STREAMS_BUCKET": "lake",
            "AIRFLOW__MUSIC_STREAMS__SCHEDULE": "30 5 * * *",
            "MUSIC_STREAMS_DBT_EXECUTABLE": "/opt/dbt/bin/dbt",
            "MUSIC_STREAMS_DBT_PROJECT_DIR": "/opt/project",
            "MUSIC_STREAMS_DBT_MANIFEST": "/opt/manifest.json",
            "MUSIC_STREAMS_GLUE_POLL_SECONDS": "0.5",
            "MUSIC_STREAMS_RETRY_SECONDS": "2",
            "MUSIC_STREAMS_STAGE": "dev",
            "MUSIC_STREAMS_ALERT_TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:alerts",
            "DBT_PROFILES_DIR": "/opt/profiles",
            "DBT_TARGET": "sandbox",
        }
    ) == Settings(
        bucket="lake",
        schedule="30 5 * * *",
        dbt_executable="/opt/dbt/bin/dbt",
        dbt_project_dir=Path("/opt/project"),
        dbt_manifest=Path("/opt/manifest.json"),
        dbt_profiles_dir=Path("/opt/profiles"),
        dbt_target="sandbox",
        glue_poll_seconds=0.5,
        retry_seconds=2,
        stage="dev",
        alert_topic_arn="arn:aws:sns:eu-west-1:123456789012:alerts",
    )


@pytest.mark.parametrize("bucket", [{}, {"MUSIC_STREAMS_BUCKET": ""}])
def test_without_a_bucket_the_error_says_what_to_set(bucket: dict[str, str]) -> None:
    with pytest.raises(SettingError, match="MUSIC_STREAMS_BUCKET is not set: export"):
        Settings.from_environment(bucket)


@pytest.mark.parametrize("name", ["MUSIC_STREAMS_GLUE_POLL_SECONDS", "MUSIC_STREAMS_RETRY_SECONDS"])
@pytest.mark.parametrize("seconds", ["often", "-1", "0", "nan", "inf"])
def test_an_interval_is_a_number_of_seconds(name: str, seconds: str) -> None:
    with pytest.raises(SettingError, match=f"{name} is '{seconds}'"):
        Settings.from_environment({"MUSIC_STREAMS_BUCKET": "lake", name: seconds})


def test_none_is_a_schedule_of_runs_that_somebody_triggers() -> None:
    assert Settings.from_environment({"MUSIC_STREAMS_BUCKET": "lake", SCHEDULE.name: "none"}).schedule is None


@pytest.mark.parametrize("schedule", ["dayly", "@never", "5 30 * *", "every morning at five o'clock"])
def test_a_schedule_that_airflow_would_not_take_is_named(schedule: str) -> None:
    with pytest.raises(
        SettingError, match=f"{SCHEDULE.name} is [\"']{re.escape(schedule)}[\"']: set it to a cron expression"
    ):
        Settings.from_environment({"MUSIC_STREAMS_BUCKET": "lake", SCHEDULE.name: schedule})
