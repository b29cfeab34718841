"""The published dbt docs and artifacts are those of the last run that could finish them."""

import json
from collections.abc import Callable
from pathlib import Path

from cosmos import ProfileConfig
from music_streams.artifacts import keep_run_results
from music_streams.dbt import PublishDbtDocs

from contract.layout import DBT_DOCS, DBT_DOCS_PAGE
from tests.integration.dags.conftest import FOLDER_OF_RUN, Lake, context
from tests.unit.dags.conftest import REPOSITORY

RUN = context()

MANIFEST = {
    "metadata": {"project_name": "music_streams"},
    "macros": {
        f"macro.{package}.one": {"package_name": package} for package in ("dbt", "dbt_postgres", "music_streams")
    },
}


def publish(lake: Lake, project: Path, page: str, errors: list[str] | None) -> None:
    """What Cosmos does when dbt has left this page, and a catalogue with these errors."""
    (project / "target").mkdir(exist_ok=True)
    (project / "target" / "static_index.html").write_text(page)
    (project / "target" / "manifest.json").write_text(json.dumps(MANIFEST))
    (project / "target" / "catalog.json").write_text(json.dumps({"nodes": {"of": page}, "errors": errors}))
    callback_of(lake)(str(project), context=RUN)


def callback_of(lake: Lake) -> Callable[..., None]:
    profile = ProfileConfig(
        profile_name="music_streams", target_name="prod", profiles_yml_filepath=REPOSITORY / "profiles.yml.example"
    )
    task = PublishDbtDocs(task_id="docs", project_dir=REPOSITORY, profile_config=profile, bucket_name=lake.bucket)
    callback: Callable[..., None] = task.callback
    return callback


def test_a_page_is_replaced_only_by_one_that_dbt_could_finish(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, "first", errors=None)
    assert lake.get(DBT_DOCS_PAGE) == b"first"

    publish(lake, tmp_path, "half", errors=["the warehouse went away"])
    callback_of(lake)(str(tmp_path / "where dbt left nothing"), context=RUN)
    assert lake.get(DBT_DOCS_PAGE) == b"first"
    assert lake.record(f"{DBT_DOCS}/catalog.json")["nodes"] == {"of": "first"}

    publish(lake, tmp_path, "second", errors=None)
    assert lake.get(DBT_DOCS_PAGE) == b"second"


def ran(lake: Lake, project: Path, task_id: str, minute: int, *results: str) -> None:
    """What Cosmos does when dbt has left these results of a task."""
    (project / "target").mkdir(exist_ok=True)
    content = {
        "metadata": {"generated_at": f"2024-06-26T00:{minute:02}:00Z", "env": {}},
        "results": [{"unique_id": result, "status": "pass"} for result in results],
        "elapsed_time": 1.5,
        "args": {"which": "build"},
    }
    (project / "target" / "run_results.json").write_text(json.dumps(content))
    keep_run_results(lake.bucket, str(project), context(task_id))


def test_the_results_of_all_tasks_of_a_run_are_published_as_one_for_the_run_and_as_the_latest(
    lake: Lake, tmp_path: Path
) -> None:
    ran(lake, tmp_path, "test_kpis_reconcile", 9, "test.c")
    ran(lake, tmp_path, "write.mart_build", 5, "model.a", "test.of_a_first_try")
    ran(lake, tmp_path, "write.mart_build", 7, "model.a", "test.b")
    keep_run_results(lake.bucket, str(tmp_path / "where dbt left nothing"), context("broken"))
    publish(lake, tmp_path, "page", errors=None)

    latest = lake.record(f"{DBT_DOCS}/run_results.json")
    assert [result["unique_id"] for result in latest["results"]] == ["model.a", "test.b", "test.c"]
    assert (latest["elapsed_time"], latest["metadata"]["generated_at"]) == (3.0, "2024-06-26T00:09:00Z")
    assert latest["args"] == {"which": "build"}
    for name in ("run_results.json", "manifest.json", "catalog.json"):
        assert lake.record(f"{FOLDER_OF_RUN}/{name}") == lake.record(f"{DBT_DOCS}/{name}")


def test_a_page_of_a_run_without_results_leaves_the_last_ones(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, "page", errors=None)
    assert lake.keys(f"{DBT_DOCS}/run_results.json") == []


def test_the_page_shows_the_macros_of_the_project_and_of_no_adapter(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, f"<script>n = {json.dumps(MANIFEST)}, c = 1</script>", errors=None)

    page = lake.get(DBT_DOCS_PAGE).decode()
    shown = json.loads(page.removeprefix("<script>n = ").removesuffix(", c = 1</script>"))
    assert shown == MANIFEST | {"macros": {"macro.music_streams.one": {"package_name": "music_streams"}}}
    assert lake.record(f"{DBT_DOCS}/manifest.json") == MANIFEST, "catalogues see them all"
