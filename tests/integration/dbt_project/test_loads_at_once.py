"""Loads, their readers and each other: readers never wait nor make a load wait, and loads of a table take turns."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from redshift_connector.core import Connection
from redshift_connector.error import InterfaceError

from contract.kpi_tables import kpi_table
from tests.dbt_profile import connect
from tests.integration.dbt_project.conftest import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, genre_level_kpis, hourly_kpis
from tests.warm_dbt import REPOSITORY, Invocation, WarmDbt

JUNE_1 = date(2024, 6, 1)
NOON = datetime(2024, 6, 4, 12)  # noqa: DTZ001 - the warehouse's timestamps carry no zone
FIRST = Batch("20240604T000000Z-00000001", NOON)
NEXT = Batch("20240605T000000Z-00000002", NOON + timedelta(days=1))
LAST = Batch("20240606T000000Z-00000003", NOON + timedelta(days=2))
SECONDS_BETWEEN_READS = 0.1
LIMIT_SECONDS = 120.0  # of a load, which takes a few; one that waits for somebody would never end

Genres = dict[str, int]
BUILD = ("build", "--exclude", "resource_type:unit_test", "resource_type:exposure")
LOAD = ("run", "--select", "tag:genre_level_kpis", "tag:hourly_kpis")  # what a test only builds on
HOLD_THE_LOCK = """
from tests.dbt_profile import connect
session = connect().cursor()
session.execute("begin")
session.execute("lock table {lock}")
session.execute("delete from {mart}")
print("locked", flush=True)
input()
"""


@pytest.fixture
def land(kpi_lake: LakeOfKpis) -> Callable[[Batch, Genres], None]:
    """Writes a batch's KPIs of one date, the same plays in both tables."""

    def write(batch: Batch, genres: Genres) -> None:
        hours = {7: sum(genres.values())}
        kpi_lake.write(kpi_table("genre_level_kpis").output, batch, genre_level_kpis(batch, {JUNE_1: genres}))
        kpi_lake.write(kpi_table("hourly_kpis").output, batch, hourly_kpis(batch, {JUNE_1: hours}))

    return write


@pytest.fixture
def a_batch_to_load(land: Callable[[Batch, Genres], None], warehouse: Warehouse, dbt: WarmDbt) -> Batch:
    """A batch that has landed after an earlier one of its date, which is loaded."""
    land(FIRST, {"rock": 1})
    assert dbt(*LOAD, batch_id=FIRST.batch_id).success
    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 1}}
    land(NEXT, {"rock": 2})
    return NEXT


@pytest.fixture
def at_once() -> Iterator[Callable[..., "Future[Invocation]"]]:
    """Starts a call in a thread."""
    with ThreadPoolExecutor() as threads:
        yield threads.submit


def rows(session: Connection, sql: str) -> list[Any]:
    cursor = session.cursor()
    cursor.execute(sql)
    return [list(row) for row in cursor.fetchall()]


def test_readers_in_open_transactions_and_views_stop_no_load_and_each_sees_whole_dates(
    land: Callable[[Batch, Genres], None],
    warehouse: Warehouse,
    dbt: WarmDbt,
    at_once: Callable[..., "Future[Invocation]"],
) -> None:
    land(FIRST, {"rock": 1, "jazz": 1})
    assert dbt(*LOAD, batch_id=FIRST.batch_id).success
    land(NEXT, {"rock": 5})
    plays = f"select track_genre, listen_count from {warehouse.reporting}.genre_level_kpis order by 1"
    tables = [
        *(f"{warehouse.staging}.stg_{name}" for name in ("genre_level_kpis", "hourly_kpis")),
        *(f"{warehouse.reporting}.{name}" for name in ("genre_level_kpis", "hourly_kpis")),
    ]
    views = f"{warehouse.prefix}_analysts"
    warehouse.execute(f"create schema {views}")
    for number, table in enumerate(tables):
        warehouse.execute(f"create view {views}.view_{number} as select * from {table}")

    with ExitStack() as sessions:
        readers = [sessions.enter_context(connect()) for _ in tables]
        for reader, table in zip(readers, tables, strict=True):
            reader.cursor().execute("begin")
            rows(reader, f"select * from {table}")
        in_between = sessions.enter_context(connect())
        load = at_once(dbt, *BUILD, batch_id=NEXT.batch_id)
        seen, waited = [], []
        while not wait([load], timeout=SECONDS_BETWEEN_READS).done:
            started = time.monotonic()
            seen.append(rows(in_between, plays))
            waited.append(time.monotonic() - started)
        outcome = load.result()
        seen.append(rows(in_between, plays))
        before = rows(readers[2], plays)

    assert outcome.success, outcome.complaint
    assert len(waited) > 5
    assert max(waited) < 1
    assert before == [["jazz", 1], ["rock", 1]]
    assert [state for number, state in enumerate(seen) if state not in seen[:number]] == [
        [["jazz", 1], ["rock", 1]],
        [["rock", 5]],
    ]
    assert [len(warehouse.rows(f"select * from {views}.view_{number}")) for number in range(4)] == [1, 1, 1, 1]


def test_two_loads_of_one_batch_at_once_leave_it_loaded_once(
    land: Callable[[Batch, Genres], None],
    warehouse: Warehouse,
    dbt: WarmDbt,
    at_once: Callable[..., "Future[Invocation]"],
) -> None:
    land(FIRST, {"rock": 1, "jazz": 1})
    assert dbt(*BUILD, batch_id=FIRST.batch_id).success  # makes all schemas, which two commands may not make at once
    land(NEXT, {"rock": 5, "folk": 1})

    loads = [at_once(dbt, *BUILD, batch_id=NEXT.batch_id) for _ in range(2)]
    outcomes = [load.result(LIMIT_SECONDS) for load in loads]

    assert [outcome.complaint for outcome in outcomes] == ["", ""]
    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 5, "folk": 1}}
    assert warehouse.plays("hourly_kpis") == {JUNE_1: {7: 6}}


def test_of_two_batches_at_once_the_tables_are_those_of_the_later_once_both_have_loaded(
    land: Callable[[Batch, Genres], None],
    warehouse: Warehouse,
    dbt: WarmDbt,
    at_once: Callable[..., "Future[Invocation]"],
) -> None:
    land(FIRST, {"rock": 1, "jazz": 1})
    assert dbt(*BUILD, batch_id=FIRST.batch_id).success  # makes all schemas, which two commands may not make at once
    land(NEXT, {"rock": 5})
    land(LAST, {"rock": 5, "folk": 2})

    loads = {batch: at_once(dbt, *BUILD, batch_id=batch.batch_id) for batch in (NEXT, LAST)}
    outcomes = {batch: load.result(LIMIT_SECONDS) for batch, load in loads.items()}

    for batch, outcome in outcomes.items():
        refusals = (f"This run loads batch {batch.batch_id}, but", "configured to fail")
        assert outcome.success or any(refusal in outcome.complaint for refusal in refusals), outcome.complaint
    if not all(outcome.success for outcome in outcomes.values()):
        # The later first: as long as it is loaded in part, the marts differ, and the older one is refused.
        for batch in (LAST, NEXT):
            repeated = dbt(*BUILD, batch_id=batch.batch_id)
            assert repeated.success, repeated.complaint
    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 5, "folk": 2}}
    assert warehouse.plays("hourly_kpis") == {JUNE_1: {7: 7}}


def test_a_client_that_vanishes_holding_the_lock_stops_no_load(
    a_batch_to_load: Batch,
    warehouse: Warehouse,
    dbt: WarmDbt,
    at_once: Callable[..., "Future[Invocation]"],
) -> None:
    lock, mart = f"{warehouse.staging}.stg_genre_level_kpis_load_lock", f"{warehouse.reporting}.genre_level_kpis"
    client = subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK.format(lock=lock, mart=mart)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdin
    assert client.stdout
    assert client.stdout.readline() == "locked\n"
    client.kill()
    client.wait()

    outcome = at_once(dbt, *BUILD, batch_id=a_batch_to_load.batch_id).result(LIMIT_SECONDS)

    client.stdin.close()
    client.stdout.close()
    assert outcome.success, outcome.complaint
    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 2}}


@pytest.mark.sandbox_only("a cluster takes no session timeout below a minute")
def test_a_session_that_holds_the_lock_and_falls_silent_ends_and_the_load_goes_on(
    a_batch_to_load: Batch,
    warehouse: Warehouse,
    dbt: WarmDbt,
    at_once: Callable[..., "Future[Invocation]"],
) -> None:
    warehouse.execute("alter user sandbox session timeout 2")
    silent = connect()
    warehouse.execute("alter user sandbox session timeout 600")
    silent.cursor().execute("begin")
    silent.cursor().execute(f"lock table {warehouse.staging}.stg_genre_level_kpis_load_lock")

    outcome = at_once(dbt, *BUILD, batch_id=a_batch_to_load.batch_id).result(LIMIT_SECONDS)

    assert outcome.success, outcome.complaint
    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 2}}
    with pytest.raises(InterfaceError), silent:
        silent.cursor().execute("select 1")


@pytest.mark.parametrize("model", ["stg_genre_level_kpis", "genre_level_kpis"])
def test_whoever_has_read_the_table_that_loads_queue_up_at_is_named_and_the_load_waits_for_nobody(
    land: Callable[[Batch, Genres], None], warehouse: Warehouse, dbt: WarmDbt, model: str
) -> None:
    land(FIRST, {"rock": 1})
    assert dbt(*LOAD, batch_id=FIRST.batch_id).success
    lock = f"{warehouse.staging}.stg_genre_level_kpis_load_lock"
    with connect() as reader:
        reader.cursor().execute("begin")
        rows(reader, f"select * from {lock}")
        ((user, session),) = rows(reader, "select current_user, pg_backend_pid()")

        refused = dbt("run", "--select", model, batch_id=FIRST.batch_id)

    assert f"User {user} has read" in refused.complaint
    assert "stg_genre_level_kpis_load_lock" in refused.complaint
    assert f"pg_terminate_backend({session})" in refused.complaint
    assert dbt("run", "--select", model, batch_id=FIRST.batch_id).success


@pytest.mark.parametrize("layer", ["staging", "reporting"])
def test_a_schema_that_dbts_user_may_not_write_to_is_named_with_the_user_and_its_owner(
    land: Callable[[Batch, Genres], None], warehouse: Warehouse, dbt: WarmDbt, layer: str
) -> None:
    land(FIRST, {"rock": 1})
    ((user,),) = rows(warehouse.connection, "select current_user")
    schema = f"{warehouse.prefix}_{layer}"
    warehouse.execute(f"create schema {schema}")
    warehouse.execute(f'revoke create on schema {schema} from "{user}"')

    refused = dbt("run", "--select", "tag:genre_level_kpis", batch_id=FIRST.batch_id)

    grant = f'grant create on schema {schema} to "{user}"'
    assert f"User {user} may not make tables in schema {schema}, which is {user}'s" in refused.complaint
    assert f"`{grant}`" in refused.complaint

    warehouse.execute(grant)
    assert dbt("run", "--select", "tag:genre_level_kpis", batch_id=FIRST.batch_id).success


def test_a_changed_contract_makes_staging_anew_unless_views_depend_on_it_whose_names_are_reported(
    a_batch_to_load: Batch, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    staging = f"{warehouse.staging}.stg_genre_level_kpis"
    warehouse.execute(f"alter table {staging} add column of_an_older_release integer")
    warehouse.execute(f"create view {warehouse.reporting}.on_staging as select * from {staging}")

    refused = dbt("run", "--select", "stg_genre_level_kpis", batch_id=a_batch_to_load.batch_id)

    assert f"views depend on it: {warehouse.reporting}.on_staging" in refused.complaint
    assert {row["batch_id"] for row in warehouse.rows(f"select batch_id from {staging}")} == {FIRST.batch_id}

    warehouse.execute(f"drop view {warehouse.reporting}.on_staging")

    assert dbt("run", "--select", "stg_genre_level_kpis", batch_id=a_batch_to_load.batch_id).success
    (row,) = warehouse.rows(f"select * from {staging}")
    assert "of_an_older_release" not in row
    assert row["batch_id"] == a_batch_to_load.batch_id


def test_staging_that_an_older_release_made_without_constraints_is_made_anew(
    a_batch_to_load: Batch, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    staging = f"{warehouse.staging}.stg_genre_level_kpis"
    warehouse.execute(f"create table {warehouse.staging}.copied as (select * from {staging})")
    warehouse.execute(f"drop table {staging}")
    warehouse.execute(f"alter table {warehouse.staging}.copied rename to stg_genre_level_kpis")

    assert dbt("run", "--select", "stg_genre_level_kpis", batch_id=a_batch_to_load.batch_id).success

    (row,) = warehouse.rows(
        "select is_nullable from information_schema.columns where column_name = 'listen_count'"
        f" and table_schema = '{warehouse.staging}' and table_name = 'stg_genre_level_kpis'"
    )
    assert row["is_nullable"] == "NO"
