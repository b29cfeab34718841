"""Facts that two languages must each hold: compared here, so that no copy goes its own way."""

import re
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from contract import layout
from contract.datasets import USER_STREAMS
from contract.kpi_tables import KPI_TABLES, KpiTable
from contract.rejections import REJECT_REASONS
from contract.variables import REDSHIFT_PORT, VARIABLES
from glue_jobs.compute_kpis import with_audit_columns
from glue_jobs.kernel import text_of
from glue_jobs.kpis import columns_of
from infra.deployment import template_parameters
from sandbox import warehouse_client
from tests import oracle

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "dbt_project" / "models"
KPIS = REPOSITORY / "glue_jobs" / "kpis"
DECLARED = {variable.name for variable in VARIABLES}

REDSHIFT_TYPE = {
    pa.date32(): "date",
    pa.float64(): "double precision",
    pa.int64(): "bigint",
    pa.int16(): "smallint",
    pa.timestamp("us"): "timestamp",
}


def contract(model: str) -> dict[str, str]:
    """Columns and types of a model's YAML, in its order."""
    nodes = [node for path in MODELS.rglob("*.yml") for node in yaml.safe_load(path.read_text()).get("models", [])]
    (node,) = [node for node in nodes if node["name"] == model]
    return {column["name"]: column["data_type"] for column in node["columns"]}


def external_location(source: str) -> str:
    tables: list[dict[str, Any]] = [
        table
        for path in MODELS.rglob("*.yml")
        for found in yaml.safe_load(path.read_text()).get("sources", [])
        for table in found["tables"]
    ]
    (location,) = [table["external"]["location"] for table in tables if table["name"] == source]
    return str(location)


@pytest.mark.parametrize("table", KPI_TABLES, ids=lambda table: table.name)
def test_the_jobs_write_the_columns_of_the_dbt_contract_in_its_order(table: KpiTable) -> None:
    columns = contract(f"stg_{table.name}")
    rows = columns_of(table).empty_table()
    schema = with_audit_columns(rows, batch_id="a batch", computed_at=datetime(2024, 6, 25)).schema  # noqa: DTZ001
    assert list(columns) == schema.names
    for field in schema:
        if field.type == pa.string():
            assert columns[field.name].startswith("varchar("), field.name
        else:
            assert columns[field.name] == REDSHIFT_TYPE[field.type], field.name


@pytest.mark.parametrize("table", KPI_TABLES, ids=lambda table: table.name)
def test_dbt_copies_from_where_the_jobs_write(table: KpiTable) -> None:
    assert external_location(table.name).endswith(f"/{table.output}")


def test_every_kpi_table_has_its_folder_of_sql_and_every_folder_its_table() -> None:
    folders = {path.name for path in KPIS.iterdir() if path.is_dir() and not path.name.startswith("__")}
    assert folders == {table.name for table in KPI_TABLES}


def test_the_sandbox_ends_sessions_as_a_stage_does_by_default() -> None:
    defaults = template_parameters((REPOSITORY / "infra" / "templates" / "warehouse.yaml").read_text())
    assert int(str(defaults["StatementTimeoutMinutes"])) == warehouse_client.STATEMENT_TIMEOUT_MINUTES
    assert int(str(defaults["SessionTimeoutMinutes"])) == warehouse_client.SESSION_TIMEOUT_MINUTES


def test_dbt_and_the_oracle_know_the_kpi_tables() -> None:
    project = yaml.safe_load((REPOSITORY / "dbt_project.yml").read_text())
    assert project["vars"]["music_streams"]["kpi_tables"] == [table.name for table in KPI_TABLES]
    assert {table.name: table.key for table in KPI_TABLES} == oracle.KEYS


def test_the_sql_gives_the_reasons_of_the_contract_in_their_order() -> None:
    sql = text_of("judge_rows.sql", "contract")
    of_sql = [reason for reason in REJECT_REASONS if f"'{reason}'" in sql]
    assert of_sql == list(REJECT_REASONS[REJECT_REASONS.index(f"{USER_STREAMS.needed[0]} is missing") :])
    assert sorted(of_sql, key=lambda reason: sql.index(f"'{reason}'")) == of_sql


def test_a_listing_cut_at_a_letter_keeps_batches_and_records_apart() -> None:
    assert layout.RECORD_CUT not in "0123456789TZ-abcdef/"  # what batch ids are made of
    names = (
        layout.MANIFEST,
        layout.CURATION_RECORD,
        layout.LOADED_RECORD,
        layout.REJECTED_RECORD,
        "input/",
        "validation/",
    )
    assert len({name.partition(layout.RECORD_CUT)[0] for name in names}) == 6


def test_the_docs_list_every_variable_with_its_default_and_meaning() -> None:
    docs = (REPOSITORY / "docs" / "architecture.md").read_text()
    _, _, table = docs.partition("| variable | default | meaning |\n|---|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    assert rows == [
        f"| `{variable.name}` | {f'`{variable.default}`' if variable.default else ''} | {variable.meaning} |"
        for variable in VARIABLES
    ]


def test_dbt_reads_and_the_start_up_script_sets_only_variables_that_are_declared() -> None:
    sources = [path for path in (REPOSITORY / "dbt_project").rglob("*") if path.suffix in {".sql", ".yml"}]
    sources += [REPOSITORY / "dbt_project.yml", REPOSITORY / "profiles.yml.example"]
    read = {name for path in sources for name in re.findall(r"env_var\('(\w+)'", path.read_text())}
    script = (REPOSITORY / "infra" / "mwaa" / "startup.sh").read_text()
    exported = set(re.findall(r"^export ((?:MUSIC_STREAMS|DBT_PROFILES|REDSHIFT)_\w+)=", script, re.MULTILINE))
    assert read - {"AIRFLOW_CTX_DAG_RUN_ID"} <= DECLARED  # which Airflow sets for its tasks
    assert "MUSIC_STREAMS_BUCKET" in read
    (port,) = re.findall(r"env_var\('REDSHIFT_PORT', '(\d+)'", (REPOSITORY / "profiles.yml.example").read_text())
    assert port == REDSHIFT_PORT.default
    assert exported <= DECLARED
    assert "DBT_PROFILES_DIR" in exported


def test_python_names_a_variable_where_it_is_declared_and_nowhere_else() -> None:
    ours = {name for name in DECLARED if name.startswith(("MUSIC_STREAMS_", "AIRFLOW__MUSIC_STREAMS"))}
    assert [
        f"{path.relative_to(REPOSITORY)}: {name}"
        for folder in ("contract", "dags", "expectations", "glue_jobs", "infra", "report", "sandbox")
        for path in (REPOSITORY / folder).rglob("*.py")
        if path.name != "variables.py"
        and path.parts[-2] not in {"aws", "redshift"}  # which know nothing of the project
        for name in ours
        if name in path.read_text()
    ] == []
