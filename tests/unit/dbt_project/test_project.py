"""What the dbt project declares: schemas, contracts, descriptions, places in the lake, selections of the DAG."""

import json
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import GenericTestNode, ModelNode, SingularTestNode
from music_streams import lake

from tests.unit.dbt_project.conftest import ROOT, Parse

KPIS = ["genre_level_kpis", "hourly_kpis"]
PRODUCTION = {
    "DBT_TARGET": "prod",
    "REDSHIFT_HOST": "kpis.123456789012.eu-west-1.redshift-serverless.amazonaws.com",
    "REDSHIFT_DATABASE": "dev",
    "AWS_REGION": "eu-west-1",
}


def columns(node: Any) -> list[tuple[str, str]]:
    """Names and types, in order."""
    return [(column.name, column.data_type) for column in node.columns.values()]


def models(manifest: Manifest) -> dict[str, Any]:
    return {node.name: node for node in manifest.nodes.values() if isinstance(node, ModelNode)}


def sources(manifest: Manifest) -> dict[str, Any]:
    return {source.name: source for source in manifest.sources.values()}


def test_parsing_needs_nothing_but_a_schema_prefix(parse: Parse) -> None:
    parsed = parse(MUSIC_STREAMS_SCHEMA_PREFIX="sandbox")

    assert parsed.success, parsed.exception


def test_a_missing_schema_prefix_is_an_error_that_says_what_to_set(parse: Parse) -> None:
    parsed = parse()

    assert not parsed.success
    assert "MUSIC_STREAMS_SCHEMA_PREFIX is not set" in str(parsed.exception)


def test_schemas_carry_the_prefix_outside_production(manifest: Manifest) -> None:
    assert {name: model.schema for name, model in models(manifest).items()} == {
        "stg_genre_level_kpis": "sandbox_staging",
        "stg_genre_level_kpi_counts": "sandbox_staging",
        "stg_hourly_kpis": "sandbox_staging",
        "stg_hourly_kpi_counts": "sandbox_staging",
        "genre_level_kpis": "sandbox_reporting",
        "hourly_kpis": "sandbox_reporting",
    }


def test_schemas_carry_no_prefix_in_production(parse: Parse) -> None:
    parsed = parse(**PRODUCTION, MUSIC_STREAMS_SCHEMA_PREFIX="ignored")

    assert isinstance(parsed.result, Manifest), parsed.exception
    assert {model.schema for model in models(parsed.result).values()} == {"staging", "reporting"}


@pytest.mark.parametrize("kpis", KPIS)
def test_a_mart_is_its_staging_and_when_it_was_loaded(manifest: Manifest, kpis: str) -> None:
    staging, mart = models(manifest)[f"stg_{kpis}"], models(manifest)[kpis]

    assert columns(mart) == [*columns(staging), ("loaded_at", "timestamp")]


@pytest.mark.parametrize("source", ["genre_level_kpis", "genre_level_kpi_counts", "hourly_kpis", "hourly_kpi_counts"])
def test_staging_has_the_columns_of_its_source_in_their_order(manifest: Manifest, source: str) -> None:
    assert columns(models(manifest)[f"stg_{source}"]) == columns(sources(manifest)[source])


@pytest.mark.parametrize(
    ("source", "prefix"),
    [
        ("genre_level_kpis", lake.GENRE_LEVEL_KPIS),
        ("genre_level_kpi_counts", lake.GENRE_LEVEL_KPIS),
        ("hourly_kpis", lake.HOURLY_KPIS),
        ("hourly_kpi_counts", lake.HOURLY_KPIS),
    ],
)
def test_sources_lie_where_the_lake_keeps_them(manifest: Manifest, source: str, prefix: str) -> None:
    assert sources(manifest)[source].external.location == f"s3://lake/{prefix}"


def test_every_model_and_source_and_each_of_their_columns_is_described(manifest: Manifest) -> None:
    documented = [*models(manifest).values(), *sources(manifest).values()]

    assert len(documented) == 10
    assert [node.name for node in documented if not node.description] == []
    assert [(node.name, name) for node in documented for name, c in node.columns.items() if not c.description] == []


def test_every_model_states_its_grain_and_enforces_its_contract(manifest: Manifest) -> None:
    for model in models(manifest).values():
        assert "One row per" in model.description
        assert model.config.contract.enforced


def test_every_data_test_fails_the_build(manifest: Manifest) -> None:
    tests = [node for node in manifest.nodes.values() if isinstance(node, GenericTestNode | SingularTestNode)]

    assert tests
    assert {test.config.severity.upper() for test in tests} == {"ERROR"}


@pytest.mark.parametrize(("kpis", "other"), [KPIS, KPIS[::-1]])
def test_a_task_group_selects_its_own_kpi_and_nothing_of_the_other(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kpis: str, other: str
) -> None:
    counts = kpis.replace("kpis", "kpi_counts")

    selected = listed(manifest, tmp_path, monkeypatch, "--select", f"tag:{kpis}", "--exclude", "tag:reconciliation")

    without_tests = {name for name in selected if not name.startswith(("test:", "unit_test:"))}
    assert without_tests == {
        f"model:stg_{kpis}",
        f"model:stg_{counts}",
        f"model:{kpis}",
        f"source:{kpis}",
        f"source:{counts}",
    }
    assert len(selected) - len(without_tests) > 15
    assert [name for name in selected if other in name or "both_" in name] == []


def test_the_reconciliation_selects_the_tests_that_need_both_marts(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert listed(manifest, tmp_path, monkeypatch, "--select", "tag:reconciliation") == {
        "test:both_marts_count_the_same_plays",
        "test:both_marts_hold_the_staged_dates",
        "test:both_kpis_stage_one_batch",
    }


def listed(manifest: Manifest, home: Path, monkeypatch: pytest.MonkeyPatch, *selection: str) -> set[str]:
    """What `dbt ls` prints for the selection, as `<resource type>:<name>`."""
    monkeypatch.setenv("MUSIC_STREAMS_SCHEMA_PREFIX", "sandbox")
    monkeypatch.delenv("DBT_TARGET", raising=False)
    (home / "profiles.yml").write_text((ROOT / "profiles.yml.example").read_text())
    places = ["--project-dir", str(ROOT), "--profiles-dir", str(home), "--target-path", str(home / "target")]
    output = ["--output", "json", "--output-keys", "resource_type", "name"]
    outcome = dbtRunner(manifest=manifest).invoke(
        ["--quiet", "--log-path", str(home / "logs"), "ls", *places, *selection, *output]
    )
    assert isinstance(outcome.result, list), outcome.exception
    rows = [json.loads(line) for line in outcome.result]
    return {f"{row['resource_type']}:{row['name']}" for row in rows}
