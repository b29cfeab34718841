"""What a load sends, in which order: the lock first, COPY with its options, nothing that commits on the way."""

import os
import re
from datetime import date, datetime, timedelta

import pytest
from redshift_connector.core import Connection

from contract.kpi_tables import KPI_TABLES, KpiTable, kpi_table
from tests.integration.dbt_project.conftest import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, genre_level_kpis, hourly_kpis
from tests.warm_dbt import WarmDbt

NOON = datetime(2024, 6, 4, 12)  # noqa: DTZ001 - the warehouse's timestamps carry no zone
FIRST = Batch("20240604T000000Z-00000001", NOON)
NEXT = Batch("20240605T000000Z-00000002", NOON + timedelta(days=1))
COMMITTING = re.compile(r"(?:begin|start|commit|end|rollback|abort|truncate|vacuum|alter|create table|drop)\b", re.I)


def code(statement: str) -> str:
    """The statement without comments, in one line."""
    return " ".join(re.sub(r"/\*.*?\*/|--[^\n]*", "", statement, flags=re.DOTALL).split()).rstrip("; ")


def kinds(session: list[str]) -> list[str]:
    """The first two words of each statement; comments, reads of the catalogue and of no rows left out."""
    words = [" ".join(re.findall(r"\w+", statement)[:2]).lower() for statement in session]
    left_out = ("comment", "with", "select from", "select current_user", "select transactions", "select column_name")
    return [kind for kind in words if not kind.startswith(left_out)]


@pytest.fixture(scope="module")
def sessions(kpi_lake: LakeOfKpis, gateway: Connection, dbt: WarmDbt) -> dict[str, list[str]]:
    """What each model's session sends, loading a next batch in which a genre and an hour have vanished."""
    Warehouse(gateway).drop_schemas()
    for batch, of_genres, of_hours in ((FIRST, {"rock": 1, "jazz": 1}, {7: 1, 8: 1}), (NEXT, {"rock": 3}, {7: 3})):
        genres = genre_level_kpis(batch, {date(2024, 6, 1): of_genres})
        kpi_lake.write(kpi_table("genre_level_kpis").output, batch, genres)
        kpi_lake.write(kpi_table("hourly_kpis").output, batch, hourly_kpis(batch, {date(2024, 6, 1): of_hours}))
        run = dbt("run", "--select", "staging", "marts", batch_id=batch.batch_id)
        assert run.success, run.complaint
    return {model: [code(statement) for statement in statements] for model, statements in run.statements.items()}


@pytest.mark.parametrize("table", KPI_TABLES, ids=lambda table: table.name)
def test_staging_is_emptied_and_filled_in_one_transaction_that_began_with_the_lock(
    sessions: dict[str, list[str]], warehouse: Warehouse, kpi_lake: LakeOfKpis, table: KpiTable
) -> None:
    session = sessions[f"stg_{table.name}"]
    schema, staging = f'"{warehouse.database}"."{warehouse.staging}"', f"stg_{table.name}"

    assert kinds(session) == [
        *("begin", "create table", "commit"),  # the catalogue is read, the table to lock is there
        *("begin", "lock table", "delete from", f"copy {warehouse.database}", "commit"),
    ]
    lock, delete, copy = (next(sql for sql in session if sql.startswith(word)) for word in ("lock", "delete", "copy"))
    assert lock == f'lock table {schema}."{staging}_load_lock"'
    assert delete == f'delete from {schema}."{staging}"'
    assert copy == (
        f'copy {schema}."{staging}"'
        f" from 's3://{kpi_lake.bucket}/{table.output}/batch_id={NEXT.batch_id}/manifest.json'"
        f" iam_role '{os.environ['MUSIC_STREAMS_COPY_ROLE_ARN']}' format as parquet manifest"
    )


@pytest.mark.parametrize("table", KPI_TABLES, ids=lambda table: table.name)
def test_a_mart_is_judged_deleted_from_and_merged_in_one_transaction_that_began_with_its_stagings_lock(
    sessions: dict[str, list[str]], table: KpiTable
) -> None:
    session = sessions[table.name]
    (lock,) = [sql for sql in session if sql.startswith("lock")]

    assert kinds(session) == [
        "commit",  # the catalogue is read
        *("begin", "lock table", "select distinct"),
        *("create temporary", "insert into", "delete from", "merge into", "commit"),
    ]
    assert lock in sessions[f"stg_{table.name}"]
    transaction = session[session.index(lock) + 1 : -1]
    assert not [sql for sql in transaction if COMMITTING.match(sql)]


@pytest.mark.parametrize("table", KPI_TABLES, ids=lambda table: table.name)
def test_a_mart_merges_by_its_key(sessions: dict[str, list[str]], warehouse: Warehouse, table: KpiTable) -> None:
    merge = next(sql for sql in sessions[table.name] if sql.startswith("merge"))
    mart = f'"{warehouse.database}"."{warehouse.reporting}"."{table.name}"'

    keys = re.findall(rf"DBT_INTERNAL_SOURCE\.(\w+) = {re.escape(mart)}\.(\w+)", merge.split("when matched")[0])
    assert keys == [(column, column) for column in table.key]


def test_staging_of_the_same_contract_is_never_dropped(sessions: dict[str, list[str]]) -> None:
    assert not [sql for session in sessions.values() for sql in session if re.match("drop|alter|truncate", sql, re.I)]
