"""Facts that two languages or packages must each hold: compared here, so that no copy goes its own way."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from pyspark.sql.types import DataType, DateType, DoubleType, LongType, ShortType, StringType, TimestampType

from contract import layout
from contract.kpi_tables import kpi_table
from glue_jobs import curate_user_streams, genre_level_kpis, hourly_kpis, kpi_output
from glue_jobs import lake as job_lake

REPOSITORY = Path(__file__).parents[2]
MODELS = REPOSITORY / "dbt_project" / "models"

REDSHIFT_TYPE: dict[DataType, str] = {
    DateType(): "date",
    DoubleType(): "double precision",
    LongType(): "bigint",
    ShortType(): "smallint",
    TimestampType(): "timestamp",
}


def contract(model: str) -> dict[str, str]:
    """Columns and types of a model's YAML, in its order."""
    (path,) = MODELS.rglob(f"{model}.yml")
    (node,) = yaml.safe_load(path.read_text())["models"]
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


@pytest.mark.parametrize(
    ("kpi", "model"),
    [(genre_level_kpis.KPI, "stg_genre_level_kpis"), (hourly_kpis.KPI, "stg_hourly_kpis")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_spark_writes_the_columns_of_the_dbt_contract_in_its_order(kpi: kpi_output.Kpi, model: str) -> None:
    columns = contract(model)
    assert list(columns) == kpi.schema.fieldNames()
    for field in kpi.schema:
        if field.dataType == StringType():
            assert columns[field.name].startswith("varchar("), field.name
        else:
            assert columns[field.name] == REDSHIFT_TYPE[field.dataType], field.name


@pytest.mark.parametrize("model", ["stg_genre_level_kpi_counts", "stg_hourly_kpi_counts"])
def test_spark_writes_the_counts_in_the_order_of_the_dbt_contract(model: str) -> None:
    assert tuple(contract(model)) == kpi_output.COUNTS_COLUMNS


@pytest.mark.parametrize(
    ("mart", "staging"), [("genre_level_kpis", "stg_genre_level_kpis"), ("hourly_kpis", "stg_hourly_kpis")]
)
def test_a_mart_is_its_staging_and_the_time_of_the_load(mart: str, staging: str) -> None:
    assert contract(mart) == {**contract(staging), "loaded_at": "timestamp"}


def test_the_dag_and_the_jobs_call_a_batch_s_records_by_the_same_names() -> None:
    for name in ("MANIFEST", "CURATION_RECORD", "REJECTED_RECORD", "LOADED_RECORD", "RECORD_CUT"):
        assert getattr(layout, name) == getattr(job_lake, name)


def test_a_listing_cut_at_a_letter_keeps_batches_and_records_apart() -> None:
    assert layout.RECORD_CUT not in "0123456789TZ-abcdef/"  # what batch ids are made of
    names = (
        *(getattr(job_lake, name) for name in ("MANIFEST", "CURATION_RECORD", "LOADED_RECORD")),
        "input/",
        "validation/",
    )
    assert len({name.partition(layout.RECORD_CUT)[0] for name in (*names, job_lake.REJECTED_RECORD)}) == 6


@pytest.mark.parametrize(
    ("source", "prefix"),
    [("genre_level_kpis", kpi_table("genre_level_kpis").output), ("hourly_kpis", kpi_table("hourly_kpis").output)],
)
def test_dbt_copies_from_where_the_dag_lets_spark_write(source: str, prefix: str) -> None:
    assert external_location(source).endswith(f"/{prefix}")


def test_the_dag_starts_the_jobs_by_their_own_names() -> None:
    text = (REPOSITORY / "dags" / "data_validation_and_kpi_computation.py").read_text()
    for name in (curate_user_streams.JOB_NAME, genre_level_kpis.KPI.job_name, hourly_kpis.KPI.job_name):
        assert f'"{name}"' in text
