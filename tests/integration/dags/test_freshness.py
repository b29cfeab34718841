"""Old KPIs are warnings, and what dbt found of their age lies beside its docs."""

import json
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowException
from music_streams.freshness import publish_freshness

from contract.layout import DBT_DOCS
from tests.integration.dags.conftest import Lake
from tests.integration.dags.test_dbt_docs import FOLDER, RUN

SOURCES = f"{DBT_DOCS}/sources.json"


def source(name: str, status: str, **more: object) -> dict[str, object]:
    """A result of `dbt source freshness` as sources.json has it."""
    criteria = {"warn_after": {"count": 2, "period": "day"}}
    return {"unique_id": f"source.music_streams.glue.{name}", "status": status, "criteria": criteria, **more}


def freshness(lake: Lake, project: Path, *results: dict[str, object]) -> bytes:
    """What Cosmos does when dbt has left these results."""
    (project / "target").mkdir(exist_ok=True)
    content = json.dumps({"results": results})
    (project / "target" / "sources.json").write_text(content)
    publish_freshness(str(project), lake.bucket, context=RUN)
    return content.encode()


def test_old_kpis_are_warnings_that_say_what_to_look_at_and_the_result_is_published(
    lake: Lake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = freshness(
        lake,
        tmp_path,
        source("fresh_kpis", "pass", max_loaded_at="2024-06-29T00:00:00Z"),
        source("old_kpis", "warn", max_loaded_at="2024-06-25T00:00:00Z"),
        source("new_kpis", "warn", max_loaded_at="0001-01-01T00:00:00Z"),
    )

    assert lake.get(SOURCES) == lake.get(f"{FOLDER}/sources.json") == content
    old, new = (record.getMessage() for record in caplog.records if record.name == "music_streams.freshness")
    assert old.startswith(
        "source old_kpis: the newest KPIs were computed at 2024-06-25T00:00:00Z, more than 2 days ago"
    )
    assert new == "source new_kpis: staging holds nothing of it"


def test_an_age_that_dbt_could_not_ask_for_is_an_error_and_the_last_result_stays(lake: Lake, tmp_path: Path) -> None:
    last = freshness(lake, tmp_path, source("old_kpis", "warn", max_loaded_at="2024-06-25T00:00:00Z"))

    with pytest.raises(AirflowException, match=r"source\.music_streams\.glue\.old_kpis: connection refused"):
        freshness(lake, tmp_path, source("old_kpis", "runtime error", error="connection refused"))
    publish_freshness(str(tmp_path / "where dbt left nothing"), lake.bucket, context=RUN)

    assert lake.get(SOURCES) == last
