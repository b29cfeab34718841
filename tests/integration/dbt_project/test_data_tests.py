"""What the data tests catch: clean KPIs pass all of them, and each fails on the rows that break it."""

import re
from datetime import date, datetime
from typing import Any

import pytest

from contract.kpi_tables import kpi_table
from tests.integration.dbt_project.conftest import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, Row, genre_level_kpis, hourly_kpis
from tests.warm_dbt import Invocation, WarmDbt

BATCH = Batch("20240604T000000Z-00000001", datetime(2024, 6, 4, 12, 0, 0))  # noqa: DTZ001 - as in the warehouse
OTHER = Batch("20240603T000000Z-00000002", datetime(2024, 6, 3, 12, 0, 0))  # noqa: DTZ001


def group(dbt: WarmDbt, kpi: str, batch: Batch = BATCH) -> Invocation:
    """What the DAG's task group of a KPI runs."""
    selection = ["--select", f"tag:{kpi}", "--exclude", "tag:reconciliation"]
    return dbt("build", *selection, "--exclude-resource-type", "unit_test", batch_id=batch.batch_id)


def one_play(day: int, **broken: Any) -> list[Row]:
    """A genre level row for one play in June, with these values broken."""
    return [{**row, **broken} for row in genre_level_kpis(BATCH, {date(2024, 6, day): {"rock": 1}})]


def one_hour(day: int, **broken: Any) -> list[Row]:
    """An hourly row for one play in June, with these values broken."""
    return [{**row, **broken} for row in hourly_kpis(BATCH, {date(2024, 6, day): {7: 1}})]


def stored_rows(run: Invocation, warehouse: Warehouse) -> dict[str, list[dict[str, Any]]]:
    """The rows in the tables that the run's tests wrote, by test."""
    schema = f'"{warehouse.database}"."{warehouse.test_failures}"'
    written = re.compile(rf'(?:insert into|drop table if exists) ({schema}."\w+")')
    tables = {
        name: match[1]
        for name, statements in run.statements.items()
        for sql in statements
        for match in written.finditer(sql)
    }
    return {name: warehouse.rows(f"select * from {table}") for name, table in tables.items()}


def test_clean_kpis_pass_every_test_and_none_writes_a_table(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    kpi_lake.write(
        kpi_table("genre_level_kpis").output,
        BATCH,
        genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 4, "unknown": 1}}),
    )
    nobody = {"top_artist": None, "top_artist_listen_count": None, "most_engaged_age_group": None}
    kpi_lake.write(
        kpi_table("hourly_kpis").output,
        BATCH,
        [{**row, **nobody} for row in hourly_kpis(BATCH, {date(2024, 6, 1): {0: 5}})],
    )

    genres, hours = group(dbt, "genre_level_kpis"), group(dbt, "hourly_kpis")
    reconciliation = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert genres.success, genres.messages
    assert hours.success, hours.messages
    assert reconciliation.success, reconciliation.messages
    assert len(reconciliation.named("pass")) == 3
    assert genres.named("warn") | hours.named("warn") == set()
    assert not warehouse.rows(
        f"select 1 from information_schema.tables where table_schema = '{warehouse.test_failures}'"
    )


def test_every_test_of_genre_level_staging_fails_on_what_breaks_it_and_stores_the_rows(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    duplicate_key = 2 * one_play(1, popularity_index=0.5)
    rows = [
        *duplicate_key,
        *one_play(4, listen_count=0, unique_listeners=0),
        *one_play(6, unique_listeners=2),
        *one_play(7, popularity_index=0.0),
        *one_play(8, popularity_index=1.1),
        *one_play(9, average_duration=-0.001),
        *one_play(10, batch_id=OTHER.batch_id),
        *one_play(11, batch_id=None),
        *one_play(14, track_genre="unknown", popularity_index=0.21),
        *one_play(15, rows_of_date=2),
    ]
    kpi_lake.write(kpi_table("genre_level_kpis").output, BATCH, rows)

    run = group(dbt, "genre_level_kpis")

    assert run.failed_rows == {
        "unique_combination_of_columns_stg_genre_level_kpis_listen_date__track_genre": 1,
        "accepted_range_stg_genre_level_kpis_listen_count__1": 1,
        "accepted_range_stg_genre_level_kpis_unique_listeners__1": 1,
        "not_above_stg_genre_level_kpis_listen_count__unique_listeners": 1,
        "accepted_range_stg_genre_level_kpis_popularity_index__False__0": 1,
        "accepted_range_stg_genre_level_kpis_popularity_index__1": 1,
        "sums_to_one_per_date_stg_genre_level_kpis_popularity_index": 3,
        "accepted_range_stg_genre_level_kpis_average_duration__0": 1,
        "one_batch_stg_genre_level_kpis_": 3,
        "matches_its_audit_columns_stg_genre_level_kpis_": 1,
    }
    assert run.named("warn") == {"unknown_genre_has_at_most_a_fifth_of_the_plays_of_a_date"}
    assert run.named("pass") == set()
    assert run.statuses["genre_level_kpis"] == "skipped"
    stored = stored_rows(run, warehouse)
    assert {name: len(found) for name, found in stored.items()} == {
        **run.failed_rows,
        **dict.fromkeys(run.named("warn"), 1),
    }
    (duplicate,) = stored["unique_combination_of_columns_stg_genre_level_kpis_listen_date__track_genre"]
    assert duplicate.pop("tested_at")
    assert duplicate == {
        "tested_batch_id": BATCH.batch_id,
        "listen_date": date(2024, 6, 1),
        "track_genre": "rock",
    }


def test_every_test_of_hourly_staging_fails_on_what_breaks_it_and_stores_the_rows(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    rows = [
        *2 * one_hour(1),
        *one_hour(3, listen_hour=24),
        *one_hour(4, listen_hour=-1),
        *one_hour(5, listen_count=0, unique_listeners=0, top_artist=None, top_artist_listen_count=None),
        *one_hour(6, unique_listeners=2),
        *one_hour(7, listens_per_listener=0.5),
        *one_hour(8, top_artist_listen_count=0),
        *one_hour(9, top_artist_listen_count=2),
        *one_hour(10, diversity_index=0.0),
        *one_hour(11, diversity_index=1.5),
        *one_hour(12, most_engaged_age_group="65+"),
        *one_hour(13, batch_id=OTHER.batch_id),
        *one_hour(16, plays_of_date=2),
    ]
    kpi_lake.write(kpi_table("hourly_kpis").output, BATCH, rows)

    run = group(dbt, "hourly_kpis")

    ages = next(name for name in run.statuses if name.startswith("accepted_values_stg_hourly_kpis"))
    assert run.failed_rows == {
        "unique_combination_of_columns_stg_hourly_kpis_listen_date__listen_hour": 1,
        "accepted_range_stg_hourly_kpis_listen_hour__23__0": 2,
        "accepted_range_stg_hourly_kpis_listen_count__1": 1,
        "accepted_range_stg_hourly_kpis_unique_listeners__1": 1,
        "not_above_stg_hourly_kpis_listen_count__unique_listeners": 1,
        "accepted_range_stg_hourly_kpis_listens_per_listener__1": 1,
        "accepted_range_stg_hourly_kpis_top_artist_listen_count__1": 1,
        "not_above_stg_hourly_kpis_listen_count__top_artist_listen_count": 1,
        "accepted_range_stg_hourly_kpis_diversity_index__False__0": 1,
        "accepted_range_stg_hourly_kpis_diversity_index__1": 1,
        ages: 1,
        "one_batch_stg_hourly_kpis_": 2,
        "matches_its_audit_columns_stg_hourly_kpis_": 1,
    }
    assert run.named("pass") == set()
    assert run.statuses["hourly_kpis"] == "skipped"
    assert {name: len(found) for name, found in stored_rows(run, warehouse).items()} == run.failed_rows


def test_the_warehouse_takes_null_only_where_a_kpi_may_be_unknown(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    june_1 = date(2024, 6, 1)
    kpi_lake.write(kpi_table("genre_level_kpis").output, BATCH, genre_level_kpis(BATCH, {june_1: {"rock": 1}}))
    kpi_lake.write(kpi_table("hourly_kpis").output, BATCH, hourly_kpis(BATCH, {june_1: {0: 1}}))
    assert group(dbt, "genre_level_kpis").success
    assert group(dbt, "hourly_kpis").success

    nullable = {
        table: {
            row["column_name"]
            for row in warehouse.rows(
                "select column_name from information_schema.columns where is_nullable = 'YES'"
                f" and table_schema = '{schema}' and table_name = '{table}'"
            )
        }
        for schema, prefix in ((warehouse.staging, "stg_"), (warehouse.reporting, ""))
        for table in (f"{prefix}genre_level_kpis", f"{prefix}hourly_kpis")
    }
    of_genre = {"average_duration", "most_popular_track_name"}
    of_hour = {"top_artist", "top_artist_listen_count", "most_engaged_age_group"}
    judged_by_tests = {"rows_of_date", "plays_of_date", "dates_of_batch", "batch_id"}
    assert nullable == {
        "stg_genre_level_kpis": of_genre | judged_by_tests,
        "stg_hourly_kpis": of_hour | judged_by_tests,
        "genre_level_kpis": of_genre,
        "hourly_kpis": of_hour,
    }


def test_a_batch_with_null_in_a_required_column_is_not_staged(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    assert group_of_one_broken_row(kpi_lake, dbt, OTHER).success

    run = group_of_one_broken_row(kpi_lake, dbt, BATCH, listen_count=None)

    assert "listen_count" in run.complaint, run.complaint
    assert run.statuses["genre_level_kpis"] == "skipped"
    for table in (f"{warehouse.staging}.stg_genre_level_kpis", f"{warehouse.reporting}.genre_level_kpis"):
        assert [row["batch_id"] for row in warehouse.rows(f"select batch_id from {table}")] == [OTHER.batch_id]


def test_what_a_run_stored_stays_when_other_runs_fail_pass_or_select_other_columns(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    first = group_of_one_broken_row(kpi_lake, dbt, BATCH, average_duration=-1.0)
    second = group_of_one_broken_row(kpi_lake, dbt, OTHER, average_duration=-2.0)
    group_of_one_broken_row(kpi_lake, dbt, BATCH)
    ((test, stored),) = stored_rows(second, warehouse).items()

    assert second.failed_rows == first.failed_rows == {test: 1}
    assert {(row["tested_batch_id"], row["average_duration"]) for row in stored} == {
        (BATCH.batch_id, -1.0),
        (OTHER.batch_id, -2.0),
    }

    table = next(sql for sql in second.statements[test] if "insert into" in sql).split("insert into")[1].split()[0]
    warehouse.execute(f"alter table {table} add column of_an_older_test integer")
    again = group_of_one_broken_row(kpi_lake, dbt, OTHER, average_duration=-3.0)

    assert [row["average_duration"] for row in stored_rows(again, warehouse)[test]] == [-3.0]


def group_of_one_broken_row(kpi_lake: LakeOfKpis, dbt: WarmDbt, batch: Batch, **broken: Any) -> Invocation:
    """Run the genre level group over a batch of one row, with these values broken."""
    rows = [{**row, **broken} for row in genre_level_kpis(batch, {date(2024, 6, 1): {"rock": 1}})]
    kpi_lake.write(kpi_table("genre_level_kpis").output, batch, rows)
    return group(dbt, "genre_level_kpis", batch)


@pytest.mark.parametrize(
    "audit",
    [
        pytest.param({"rows_of_date": 3}, id="a row more was written than loaded"),
        pytest.param({"rows_of_date": 1}, id="a row was loaded twice"),
        pytest.param({"plays_of_date": 5}, id="a play more was counted than loaded"),
        pytest.param({"dates_of_batch": 2}, id="a date more was computed than loaded"),
        *(pytest.param({name: None}, id=f"no {name}") for name in ("rows_of_date", "plays_of_date", "dates_of_batch")),
    ],
)
def test_staging_that_is_not_what_was_computed_keeps_the_mart_unloaded(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt, audit: Row
) -> None:
    rows = genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 3, "jazz": 1}})
    kpi_lake.write(kpi_table("genre_level_kpis").output, BATCH, [row | audit for row in rows])

    run = group(dbt, "genre_level_kpis")

    assert run.failed_rows == {"matches_its_audit_columns_stg_genre_level_kpis_": 1}
    assert run.statuses["genre_level_kpis"] == "skipped"
    assert not warehouse.rows(f"select 1 from information_schema.tables where table_schema = '{warehouse.reporting}'")


def test_rows_of_one_date_that_tell_of_different_computations_are_found(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    rock, jazz = genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 3, "jazz": 1}})
    each_as_if_it_were_alone = [row | {"rows_of_date": 1, "plays_of_date": row["listen_count"]} for row in (rock, jazz)]
    kpi_lake.write(kpi_table("genre_level_kpis").output, BATCH, each_as_if_it_were_alone)

    assert group(dbt, "genre_level_kpis").failed_rows == {"matches_its_audit_columns_stg_genre_level_kpis_": 2}


def test_every_test_of_the_marts_fails_on_what_breaks_it_and_a_late_load_warns(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    june = [date(2024, 6, day) for day in range(1, 3)]
    kpi_lake.write(
        kpi_table("genre_level_kpis").output,
        BATCH,
        genre_level_kpis(BATCH, {day: {"jazz": 1, "rock": 9} for day in june}),
    )
    kpi_lake.write(kpi_table("hourly_kpis").output, BATCH, hourly_kpis(BATCH, {day: {7: 1, 8: 9} for day in june}))
    group(dbt, "genre_level_kpis")
    group(dbt, "hourly_kpis")
    for mart, key, value in (("genre_level_kpis", "track_genre", "'rock'"), ("hourly_kpis", "listen_hour", "8")):
        table = f"{warehouse.reporting}.{mart}"
        one_row = f"{key} = {value} and listen_date ="
        warehouse.execute(f"insert into {table} (select * from {table} where {one_row} '2024-06-01')")
        warehouse.execute(f"update {table} set batch_id = 'other' where {one_row} '2024-06-02'")
        warehouse.execute(f"update {table} set loaded_at = dateadd(hour, -49, getdate())")

    run = dbt(
        "test", "--select", "genre_level_kpis", "hourly_kpis", "--exclude", "tag:reconciliation", "test_type:unit"
    )

    assert run.failed_rows == {
        f"{test}{mart}_{columns}": rows
        for mart, key in (("genre_level_kpis", "track_genre"), ("hourly_kpis", "listen_hour"))
        for test, columns, rows in (
            ("unique_combination_of_columns_", f"listen_date__{key}", 1),
            ("one_batch_per_date_", "", 2),
        )
    }
    assert {name.split("_kpis_")[0] for name in run.named("warn")} == {
        "loaded_within_genre_level",
        "loaded_within_hourly",
    }
    assert run.named("pass") == set()
    assert run.success is False


def test_marts_that_count_different_plays_do_not_reconcile(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    june_1, june_2 = date(2024, 6, 1), date(2024, 6, 2)
    kpi_lake.write(
        kpi_table("genre_level_kpis").output, BATCH, genre_level_kpis(BATCH, {june_1: {"rock": 3}, june_2: {"rock": 3}})
    )
    kpi_lake.write(kpi_table("hourly_kpis").output, BATCH, hourly_kpis(BATCH, {june_1: {0: 2}}))
    group(dbt, "genre_level_kpis")
    group(dbt, "hourly_kpis")

    run = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert run.failed_rows == {"both_marts_count_the_same_plays": 2}


def test_a_staged_date_that_did_not_reach_its_mart_does_not_reconcile(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    june_1, june_2 = date(2024, 6, 1), date(2024, 6, 2)
    kpi_lake.write(
        kpi_table("genre_level_kpis").output, BATCH, genre_level_kpis(BATCH, {june_1: {"rock": 3}, june_2: {"rock": 3}})
    )
    kpi_lake.write(kpi_table("hourly_kpis").output, BATCH, hourly_kpis(BATCH, {june_1: {0: 3}, june_2: {0: 3}}))
    group(dbt, "genre_level_kpis")
    group(dbt, "hourly_kpis")
    for mart in ("genre_level_kpis", "hourly_kpis"):
        warehouse.execute(f"delete from {warehouse.reporting}.{mart} where listen_date = '2024-06-01'")
        warehouse.execute(f"update {warehouse.reporting}.{mart} set listen_count = 2")

    run = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert run.failed_rows == {"marts_hold_the_staged_dates": 4}


def test_a_run_does_not_reconcile_while_a_kpi_is_staged_from_an_earlier_batch(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    plays = date(2024, 6, 1)
    kpi_lake.write(kpi_table("genre_level_kpis").output, OTHER, genre_level_kpis(OTHER, {plays: {"rock": 3}}))
    kpi_lake.write(kpi_table("hourly_kpis").output, BATCH, hourly_kpis(BATCH, {plays: {0: 3}}))
    group(dbt, "genre_level_kpis", OTHER)
    group(dbt, "hourly_kpis", BATCH)

    run = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert run.failed_rows == {"no_kpi_is_staged_from_an_earlier_batch": 1}
    assert dbt("test", "--select", "tag:reconciliation", batch_id=OTHER.batch_id).failed_rows == {}
    assert dbt("test", "--select", "tag:reconciliation").failed_rows == {}
