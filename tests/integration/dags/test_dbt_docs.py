"""The published dbt docs are those of the last run that could finish them."""

import json
from collections.abc import Callable
from pathlib import Path

from cosmos import ProfileConfig
from music_streams.dbt import PublishDbtDocs

from contract.layout import DBT_DOCS_PAGE
from tests.integration.dags.conftest import Lake
from tests.unit.dags.conftest import REPOSITORY

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
    (project / "target" / "catalog.json").write_text(json.dumps({"nodes": {}, "errors": errors}))
    callback_of(lake)(str(project))


def callback_of(lake: Lake) -> Callable[[str], None]:
    profile = ProfileConfig(
        profile_name="music_streams", target_name="prod", profiles_yml_filepath=REPOSITORY / "profiles.yml.example"
    )
    task = PublishDbtDocs(task_id="docs", project_dir=REPOSITORY, profile_config=profile, bucket_name=lake.bucket)
    callback: Callable[[str], None] = task.callback
    return callback


def test_a_page_is_replaced_only_by_one_that_dbt_could_finish(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, "first", errors=None)
    assert lake.get(DBT_DOCS_PAGE) == b"first"

    publish(lake, tmp_path, "half", errors=["the warehouse went away"])
    callback_of(lake)(str(tmp_path / "where dbt left nothing"))
    assert lake.get(DBT_DOCS_PAGE) == b"first"

    publish(lake, tmp_path, "second", errors=None)
    assert lake.get(DBT_DOCS_PAGE) == b"second"


def test_the_page_shows_the_macros_of_the_project_and_of_no_adapter(lake: Lake, tmp_path: Path) -> None:
    publish(lake, tmp_path, f"<script>n = {json.dumps(MANIFEST)}, c = 1</script>", errors=None)

    page = lake.get(DBT_DOCS_PAGE).decode()
    shown = json.loads(page.removeprefix("<script>n = ").removesuffix(", c = 1</script>"))
    assert shown == MANIFEST | {"macros": {"macro.music_streams.one": {"package_name": "music_streams"}}}
