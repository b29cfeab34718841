"""What the dbt project declares: schemas, contracts, descriptions, places in the lake, selections of the DAG."""

import re
from typing import Any

import pytest
import yaml
from dbt.contracts.graph.manifest import Manifest
from dbt.contracts.graph.nodes import GenericTestNode, ModelNode, SingularTestNode

from contract.kpi_tables import KPI_TABLES, kpi_table
from glue_jobs.kernel import text_of
from tests.unit.dbt_project.conftest import NEEDED_TO_PARSE, ROOT, Dbt

KPIS = [table.name for table in KPI_TABLES]
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


def reports(manifest: Manifest) -> dict[str, Any]:
    return {name: model for name, model in models(manifest).items() if "reports" in model.tags}


def sources(manifest: Manifest) -> dict[str, Any]:
    return {source.name: source for source in manifest.sources.values()}


def test_parsing_needs_nothing_but_a_schema_prefix(dbt: Dbt) -> None:
    assert dbt.parsed("--no-partial-parse", variables=NEEDED_TO_PARSE).nodes


def test_a_missing_schema_prefix_is_an_error_that_says_what_to_set(dbt: Dbt) -> None:
    parsed = dbt("parse", "--no-partial-parse", variables={})

    assert not parsed.success
    assert "MUSIC_STREAMS_SCHEMA_PREFIX is not set" in str(parsed.exception)


def test_schemas_carry_the_prefix_outside_production(manifest: Manifest) -> None:
    assert {name: model.schema for name, model in models(manifest).items()} == {
        **{f"stg_{kpis}": "sandbox_staging" for kpis in KPIS},
        **dict.fromkeys(KPIS, "sandbox_reporting"),
        **dict.fromkeys(reports(manifest), "sandbox_reporting"),
    }


def test_schemas_carry_no_prefix_in_production(dbt: Dbt) -> None:
    manifest = dbt.parsed("--no-partial-parse", variables=PRODUCTION)

    assert {model.schema for model in models(manifest).values()} == {"staging", "reporting"}


@pytest.mark.parametrize("kpis", KPIS)
def test_a_mart_is_its_staging_without_what_only_staging_tests_need_and_when_it_was_loaded(
    manifest: Manifest, kpis: str
) -> None:
    staging, mart = models(manifest)[f"stg_{kpis}"], models(manifest)[kpis]
    to_compare = {"rows_of_date", "plays_of_date", "dates_of_batch"}

    kept = [column for column in columns(staging) if column[0] not in to_compare]
    assert columns(mart) == [*kept, ("loaded_at", "timestamp")]


@pytest.mark.parametrize("source", KPIS)
def test_staging_has_the_columns_of_its_source_in_their_order(manifest: Manifest, source: str) -> None:
    assert columns(models(manifest)[f"stg_{source}"]) == columns(sources(manifest)[source])


@pytest.mark.parametrize("source", KPIS)
def test_sources_lie_where_the_lake_keeps_them(manifest: Manifest, source: str) -> None:
    assert sources(manifest)[source].external.location == f"s3://lake/{kpi_table(source).output}"


def test_every_model_and_source_and_each_of_their_columns_is_described(manifest: Manifest) -> None:
    documented = [*models(manifest).values(), *sources(manifest).values()]

    assert len(documented) == 3 * len(KPIS) + len(reports(manifest))
    assert [node.name for node in documented if not node.description] == []
    assert [(node.name, name) for node in documented for name, c in node.columns.items() if not c.description] == []


def test_descriptions_of_the_tables_columns_are_written_once_in_doc_blocks_which_are_all_used(
    manifest: Manifest,
) -> None:
    texts = [p.read_text() for p in sorted((ROOT / "dbt_project" / "models" / "marts").rglob("*.yml"))]
    models_and_sources = [text for text in texts if not text.startswith(("exposures:", "groups:"))]
    columns_described = [
        column
        for text in models_and_sources
        for node in all_nodes(yaml.safe_load(text))
        for column in node.get("columns", [])
    ]
    doc = re.compile(r"\{\{ doc\('(\w+)'\) \}\}")
    used = [doc.fullmatch(column["description"]) for column in columns_described]

    assert len(used) > 50
    assert None not in used
    assert all(match and match[1] == column["name"] for match, column in zip(used, columns_described, strict=True))
    ours = {
        block.name: block.block_contents.strip()
        for block in manifest.docs.values()
        if block.package_name == "music_streams"
    }
    assert ours.keys() - {"__overview__", "glue"} == {match[1] for match in used if match}
    assert len(set(ours.values())) == len(ours)


def all_nodes(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Models and source tables of a YAML file."""
    tables = [table for source in document.get("sources", []) for table in source["tables"]]
    return [*document.get("models", []), *tables]


def test_every_model_states_its_grain_which_is_tested_and_enforces_its_contract(manifest: Manifest) -> None:
    tests = [node for node in manifest.nodes.values() if isinstance(node, GenericTestNode)]
    for model in models(manifest).values():
        grain = model.config.meta["grain"]
        assert f"One row per {' and '.join(grain)}." in " ".join(model.description.split())
        unique = [
            test.test_metadata.kwargs["combination_of_columns"]
            for test in tests
            if test.attached_node == model.unique_id and test.test_metadata.name == "unique_combination_of_columns"
        ]
        assert unique == [grain]
        assert model.config.unique_key in (None, grain)
        assert model.config.contract.enforced


def test_every_model_has_an_owner_and_only_marts_are_public(manifest: Manifest) -> None:
    (group,) = manifest.groups.values()
    assert group.owner.email
    assert {model.group for model in models(manifest).values()} == {group.name}
    assert {name: model.access.value for name, model in models(manifest).items()} == {
        name: "protected" if name.startswith("stg_") else "public" for name in models(manifest)
    }


def test_the_lineage_leads_from_every_source_to_exposures(manifest: Manifest) -> None:
    used = {name for exposure in manifest.exposures.values() for name in exposure.depends_on_nodes}
    assert used == {models(manifest)[name].unique_id for name in (*KPIS, *reports(manifest))}
    for kpis in KPIS:
        parents = set(manifest.parent_map[models(manifest)[kpis].unique_id])
        staging = models(manifest)[f"stg_{kpis}"].unique_id
        assert parents == {staging}
        assert manifest.parent_map[staging] == [sources(manifest)[kpis].unique_id]
    for exposure in manifest.exposures.values():
        assert exposure.description
        assert exposure.owner.email


def test_every_report_is_tested_and_listed_in_the_overview_and_an_exposure(manifest: Manifest) -> None:
    overview = manifest.docs["doc.music_streams.__overview__"].block_contents
    tested = {test.model for test in manifest.unit_tests.values()}

    assert reports(manifest)
    for name, report in reports(manifest).items():
        assert name in tested
        assert f"[`{name}`](#!/model/{report.unique_id})" in overview
        (exposure,) = [found for found in manifest.exposures.values() if report.unique_id in found.depends_on_nodes]
        assert f"`{name}`" in str(exposure.description)
        assert report.config.materialized == "late_binding_view"


def test_each_link_of_the_overview_leads_to_a_model(manifest: Manifest) -> None:
    overview = manifest.docs["doc.music_streams.__overview__"].block_contents

    linked = set(re.findall(r"#!/model/([\w.]+)", overview))

    assert linked <= manifest.nodes.keys()
    assert {f"model.music_streams.{table.name}" for table in KPI_TABLES} <= linked


def test_the_link_to_the_lineage_loads_the_page_anew_since_the_docs_read_their_address_once(manifest: Manifest) -> None:
    overview = manifest.docs["doc.music_streams.__overview__"].block_contents

    assert "(?lineage#!/overview?g_v=1&g_i=%2Bexposure:*)" in overview, "a query before the # is another address"


def test_data_tests_stop_the_load_but_for_late_loads_and_many_unknown_plays(manifest: Manifest) -> None:
    tests = [node for node in manifest.nodes.values() if isinstance(node, GenericTestNode | SingularTestNode)]

    assert {test.config.severity.lower() for test in tests} == {"error", "warn"}
    assert {
        test.name.removesuffix("_loaded_at___var_days_without_a_load_")
        for test in tests
        if test.config.severity.lower() == "warn"
    } == {
        *(f"loaded_within_{kpis}" for kpis in KPIS),
        "unknown_genre_has_at_most_a_fifth_of_the_plays_of_a_date",
    }
    assert {(test.config.store_failures, test.schema) for test in tests} == {(True, "sandbox_test_failures")}


@pytest.mark.parametrize("kpis", KPIS)
def test_a_task_group_selects_its_own_kpi_and_nothing_of_another(dbt: Dbt, manifest: Manifest, kpis: str) -> None:
    selection = ["--select", f"tag:{kpis}", "--exclude", "tag:reconciliation"]
    selected = dbt.listed(*selection, variables=NEEDED_TO_PARSE, manifest=manifest)

    without_tests = {name for name in selected if not name.startswith(("test:", "unit_test:"))}
    assert without_tests == {f"model:stg_{kpis}", f"model:{kpis}", f"source:{kpis}"}
    assert len(selected) - len(without_tests) > 15
    foreign = [*(other for other in KPIS if other != kpis), "both_", "hold_the_staged", "earlier"]
    assert [name for name in selected for other in foreign if other in name] == []


def test_the_reconciliation_selects_the_tests_that_need_all_marts(dbt: Dbt, manifest: Manifest) -> None:
    selected = dbt.listed("--select", "tag:reconciliation", variables=NEEDED_TO_PARSE, manifest=manifest)

    assert selected == {
        "test:both_marts_count_the_same_plays",
        "test:marts_hold_the_staged_dates",
        "test:no_kpi_is_staged_from_an_earlier_batch",
    }


def test_a_new_batch_has_nothing_parsed_anew(manifest: Manifest) -> None:
    assert "MUSIC_STREAMS_BUCKET" in manifest.env_vars, "dbt notes which variables it has read"
    assert "MUSIC_STREAMS_BATCH_ID" not in manifest.env_vars


def test_parsing_in_part_for_another_lake_keeps_every_tag_column_and_config(dbt: Dbt) -> None:
    first, second = ({**NEEDED_TO_PARSE, "MUSIC_STREAMS_BUCKET": bucket} for bucket in ("first", "second"))
    dbt.parsed("--no-partial-parse", variables=first)

    in_part = dbt.parsed("--partial-parse", variables=second)

    in_full = dbt.parsed("--no-partial-parse", variables=second)
    assert declared(in_part) == declared(in_full)


def declared(manifest: Manifest) -> dict[str, Any]:
    """What selections, COPY and merge depend on, by node."""
    nodes = {
        unique_id: (sorted(node.tags), columns(node), node.config.to_dict(), sorted(node.depends_on_nodes))
        for unique_id, node in manifest.nodes.items()
    }
    return {
        **nodes,
        **{name: (source.external.location, columns(source)) for name, source in sources(manifest).items()},
    }


def test_the_age_bands_that_pass_are_those_that_spark_writes(manifest: Manifest) -> None:
    (test,) = [node for node in manifest.nodes.values() if node.name.startswith("accepted_values_stg_hourly_kpis")]

    assert isinstance(test, GenericTestNode)
    bands = re.findall(r"\(\d+, \d+, '(.+?)'\)", text_of("kpis/hourly_kpis/partial.sql"))
    assert test.test_metadata.kwargs["values"] == bands
