"""What others see of a load: who may read it, its descriptions in the warehouse, its tags in the query log."""

import json
import os
import re
import secrets
from collections.abc import Iterator
from datetime import date, datetime

import pytest

from contract.kpi_tables import kpi_table
from tests.integration.dbt_project.conftest import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, genre_level_kpis, hourly_kpis
from tests.warm_dbt import Invocation, WarmDbt

FIRST = Batch("20240604T000000Z-00000001", datetime(2024, 6, 4, 12, 0, 0))  # noqa: DTZ001 - as in the warehouse
NEXT = Batch("20240605T000000Z-00000002", datetime(2024, 6, 5, 12, 0, 0))  # noqa: DTZ001
TABLES = {"stg_genre_level_kpis", "genre_level_kpis"}


@pytest.fixture
def load(kpi_lake: LakeOfKpis, warehouse: Warehouse) -> "Load":
    return Load(kpi_lake)


class Load:
    """Loads the genre level KPIs of a batch."""

    def __init__(self, kpi_lake: LakeOfKpis) -> None:
        self.kpi_lake = kpi_lake

    def __call__(self, dbt: WarmDbt, batch: Batch) -> Invocation:
        self.kpi_lake.write(
            kpi_table("genre_level_kpis").output, batch, genre_level_kpis(batch, {date(2024, 6, 1): {"rock": 1}})
        )
        run = dbt("run", "--select", "tag:genre_level_kpis", batch_id=batch.batch_id)
        assert run.success, run.complaint
        return run


@pytest.fixture
def reader(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    role = f"reader_{secrets.token_hex(4)}"
    warehouse.execute(f"create role {role}")
    monkeypatch.setenv("MUSIC_STREAMS_READER", f"role:{role}")
    yield role
    warehouse.drop_schemas()
    warehouse.execute(f"drop role {role}")


def test_the_reader_may_read_the_marts_after_each_load_and_nothing_else(
    load: Load, warehouse: Warehouse, reader: str
) -> None:
    dbt = WarmDbt()  # the grants are part of what is parsed
    try:
        load(dbt, FIRST)
        assert granted(warehouse, reader) == {("genre_level_kpis", "select")}
        assert usable(warehouse, reader) == {warehouse.reporting}

        dbt("test", "--select", "stg_genre_level_kpis", batch_id=FIRST.batch_id)  # makes the schema of failed rows
        assert usable(warehouse, reader) == {warehouse.reporting}

        again = load(dbt, NEXT)
        assert granted(warehouse, reader) == {("genre_level_kpis", "select")}
        assert not [sql for sql in again.statements["genre_level_kpis"] if "grant select" in sql]
    finally:
        dbt.close()


def test_without_a_reader_what_was_granted_by_hand_stays(
    load: Load, warehouse: Warehouse, reader: str, dbt: WarmDbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MUSIC_STREAMS_READER")
    load(dbt, FIRST)
    warehouse.execute(f"grant select on {warehouse.reporting}.genre_level_kpis to role {reader}")
    load(dbt, NEXT)
    assert granted(warehouse, reader) == {("genre_level_kpis", "select")}


def granted(warehouse: Warehouse, role: str) -> set[tuple[str, str]]:
    rows = warehouse.rows(
        "select relation_name, privilege_type from svv_relation_privileges"
        f" where identity_name = '{role}' and identity_type = 'role'"
    )
    return {(row["relation_name"], row["privilege_type"].lower()) for row in rows}


def usable(warehouse: Warehouse, role: str) -> set[str]:
    rows = warehouse.rows(
        "select namespace_name, privilege_type from svv_schema_privileges"
        f" where identity_name = '{role}' and identity_type = 'role'"
    )
    assert {row["privilege_type"].lower() for row in rows} <= {"usage"}
    return {row["namespace_name"] for row in rows}


def test_tables_and_columns_carry_their_descriptions_after_each_load(
    load: Load, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    for batch in (FIRST, NEXT):
        load(dbt, batch)
        for schema, table, last_column in (
            (warehouse.staging, "stg_genre_level_kpis", "computed_at"),
            (warehouse.reporting, "genre_level_kpis", "loaded_at"),
        ):
            comments = warehouse.rows(
                "select columns.ordinal_position as number, columns.column_name as name, description.description"
                " from information_schema.columns as columns"
                " inner join pg_namespace as namespace on columns.table_schema = namespace.nspname"
                " inner join pg_class as class"
                " on columns.table_name = class.relname and namespace.oid = class.relnamespace"
                " left join pg_description as description"
                " on class.oid = description.objoid and columns.ordinal_position = description.objsubid"
                f" where namespace.nspname = '{schema}' and class.relname = '{table}' order by 1"
            )
            (described,) = warehouse.rows(
                "select description.description from pg_description as description"
                " inner join pg_class as class on description.objoid = class.oid"
                " inner join pg_namespace as namespace on class.relnamespace = namespace.oid"
                f" where description.objsubid = 0 and namespace.nspname = '{schema}' and class.relname = '{table}'"
            )
            assert "One row per listen_date" in described["description"]
            assert comments[0]["description"].strip() == "The UTC date on which the plays happened."
            assert comments[-1]["name"] == last_column
            assert all(comment["description"] for comment in comments)


def test_every_change_of_a_table_names_its_node_its_batch_and_its_runs(
    load: Load, dbt: WarmDbt, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "manual*/__2024-06-04")

    load(dbt, FIRST)
    run = load(dbt, FIRST)

    assert set(run.statements) >= TABLES
    for node, statements in run.statements.items():
        tags = [json.loads(match[1]) for sql in statements if (match := re.match(r"/\* (\{.*?\}) \*/", sql))]
        changes = [
            sql
            for sql in statements
            if re.search(r"^\s*(?:lock|copy|delete|merge|drop|alter|create)\b", sql, re.MULTILINE)
        ]
        assert [sql for sql in changes if not sql.startswith("/* {")] == []
        if node in TABLES:
            assert {tag["node_id"] for tag in tags} == {f"model.music_streams.{node}"}
        for tag in tags:
            assert (tag["app"], tag["target_name"]) == ("dbt", os.environ["DBT_TARGET"])
            assert (tag["batch_id"], tag["airflow_run_id"]) == (FIRST.batch_id, "manual/__2024-06-04")
            assert tag["invocation_id"]
    everything = "\n".join(sql for statements in run.statements.values() for sql in statements)
    assert {"lock", "copy", "delete", "merge"} <= set(re.findall(r"^\s*(\w+)\b", everything, re.MULTILINE))


def test_sources_are_as_fresh_as_what_was_last_computed_from_them(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    assert dbt("source", "freshness").statuses == {"genre_level_kpis": "warn", "hourly_kpis": "warn"}

    kpi_lake.write(
        kpi_table("genre_level_kpis").output, FIRST, genre_level_kpis(FIRST, {date(2024, 6, 1): {"rock": 1}})
    )
    kpi_lake.write(kpi_table("hourly_kpis").output, FIRST, hourly_kpis(FIRST, {date(2024, 6, 1): {7: 1}}))
    assert dbt("run", "--select", "staging", batch_id=FIRST.batch_id).success
    for table, age in (("stg_genre_level_kpis", "hour, -1"), ("stg_hourly_kpis", "day, -3")):
        warehouse.execute(f"update {warehouse.staging}.{table} set computed_at = dateadd({age}, getdate())")

    measured = dbt("source", "freshness")

    assert measured.statuses == {"genre_level_kpis": "pass", "hourly_kpis": "warn"}

    warehouse.execute(f"update {warehouse.staging}.stg_hourly_kpis set computed_at = dateadd(year, -8, getdate())")

    ages_ago = dbt("source", "freshness")

    assert ages_ago.statuses == {"genre_level_kpis": "pass", "hourly_kpis": "warn"}
    assert ages_ago.success, "old KPIs fail no run"
