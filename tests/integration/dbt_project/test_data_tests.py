"""What the data tests catch: clean KPIs pass all of them, and each fails on the rows that break it."""

from datetime import date, datetime
from typing import Any

import pytest
from music_streams import lake

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
    """A genre level row for one play in June, broken as told."""
    return [{**row, **broken} for row in genre_level_kpis(BATCH, {date(2024, 6, day): {"rock": 1}})]


def one_hour(day: int, **broken: Any) -> list[Row]:
    """An hourly row for one play in June, broken as told."""
    return [{**row, **broken} for row in hourly_kpis(BATCH, {date(2024, 6, day): {7: 1}})]


def test_clean_kpis_pass_every_test(kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt) -> None:
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, BATCH, genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 2, "unknown": 1}}))
    nobody = {"top_artist": None, "top_artist_listen_count": None, "most_engaged_age_group": None}
    kpi_lake.write(
        lake.HOURLY_KPIS, BATCH, [{**row, **nobody} for row in hourly_kpis(BATCH, {date(2024, 6, 1): {0: 3}})]
    )

    genres, hours = group(dbt, "genre_level_kpis"), group(dbt, "hourly_kpis")
    reconciliation = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert genres.success, genres.messages
    assert hours.success, hours.messages
    assert reconciliation.success, reconciliation.messages
    assert len(reconciliation.named("pass")) == 3


def test_every_test_of_genre_level_staging_fails_on_what_breaks_it(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    duplicate_key = 2 * one_play(1, popularity_index=0.5)
    rows = [
        *duplicate_key,
        *one_play(2, listen_date=None),
        *one_play(3, track_genre=None),
        *one_play(4, listen_count=0, unique_listeners=0),
        *one_play(5, listen_count=None, unique_listeners=None),
        *one_play(6, unique_listeners=2),
        *one_play(7, popularity_index=0.0),
        *one_play(8, popularity_index=1.1),
        *one_play(9, average_duration=-0.001),
        *one_play(10, batch_id=OTHER.batch_id),
    ]
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, BATCH, rows, counted=[row for row in rows if row["listen_date"]])

    run = group(dbt, "genre_level_kpis")

    assert run.failed_rows == {
        "unique_combination_stg_genre_level_kpis_listen_date__track_genre": 1,
        "not_null_stg_genre_level_kpis_listen_date": 1,
        "not_null_stg_genre_level_kpis_track_genre": 1,
        "in_range_stg_genre_level_kpis_1__listen_count": 2,
        "in_range_stg_genre_level_kpis_1__unique_listeners": 2,
        "not_above_stg_genre_level_kpis_listen_count__unique_listeners": 1,
        "in_range_stg_genre_level_kpis_0__1__popularity_index": 2,
        "sums_to_one_per_date_stg_genre_level_kpis_popularity_index": 2,
        "in_range_stg_genre_level_kpis_0__average_duration__True": 1,
        "one_batch_stg_genre_level_kpis_": 2,
        "matches_counts_stg_genre_level_kpis_ref_stg_genre_level_kpi_counts_": 1,
        "in_range_stg_genre_level_kpi_counts_1__play_count": 2,
    }
    assert run.statuses["genre_level_kpis"] == "skipped"


def test_every_test_of_hourly_staging_fails_on_what_breaks_it(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    rows = [
        *2 * one_hour(1),
        *one_hour(2, listen_hour=None),
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
    ]
    kpi_lake.write(lake.HOURLY_KPIS, BATCH, rows)

    run = group(dbt, "hourly_kpis")

    ages = next(name for name in run.statuses if name.startswith("accepted_values_stg_hourly_kpis"))
    assert run.failed_rows == {
        "unique_combination_stg_hourly_kpis_listen_date__listen_hour": 1,
        "not_null_stg_hourly_kpis_listen_hour": 1,
        "in_range_stg_hourly_kpis_0__23__listen_hour": 3,
        "in_range_stg_hourly_kpis_1__listen_count": 1,
        "in_range_stg_hourly_kpis_1__unique_listeners": 1,
        "not_above_stg_hourly_kpis_listen_count__unique_listeners": 1,
        "in_range_stg_hourly_kpis_1__listens_per_listener": 1,
        "in_range_stg_hourly_kpis_1__top_artist_listen_count__True": 1,
        "not_above_stg_hourly_kpis_listen_count__top_artist_listen_count": 1,
        "in_range_stg_hourly_kpis_0__1__diversity_index": 2,
        ages: 1,
        "one_batch_stg_hourly_kpis_": 2,
        "in_range_stg_hourly_kpi_counts_1__play_count": 1,
    }
    assert run.statuses["hourly_kpis"] == "skipped"


@pytest.mark.parametrize(
    ("counts", "complaints"),
    [
        pytest.param("2024-06-01,2,3", 1, id="a row more was written than loaded"),
        pytest.param("2024-06-01,1,4", 1, id="a play more was counted than loaded"),
        pytest.param("2024-06-01,1,3\n2024-06-02,1,1", 1, id="a date was counted and not loaded"),
        pytest.param("2024-06-02,1,3", 2, id="another date was counted"),
    ],
)
def test_staging_that_differs_from_the_counts_keeps_the_mart_unloaded(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt, counts: str, complaints: int
) -> None:
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, BATCH, genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 3}}))
    lines = [f"{line},{BATCH.batch_id},2024-06-04 12:00:00\n" for line in counts.splitlines()]
    csv = "listen_date,row_count,play_count,batch_id,computed_at\n" + "".join(lines)
    kpi_lake.put(f"{lake.GENRE_LEVEL_KPIS}/batch_id={BATCH.batch_id}/counts.csv", csv.encode())

    run = group(dbt, "genre_level_kpis")

    assert run.failed_rows == {"matches_counts_stg_genre_level_kpis_ref_stg_genre_level_kpi_counts_": complaints}
    assert run.statuses["genre_level_kpis"] == "skipped"
    assert not warehouse.rows(f"select 1 from information_schema.tables where table_schema = '{warehouse.reporting}'")


def test_counts_of_one_date_come_once_and_from_one_batch(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, BATCH, genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 3}}))
    lines = [f"2024-06-01,1,3,{batch.batch_id},2024-06-04 12:00:00\n" for batch in (BATCH, OTHER)]
    csv = "listen_date,row_count,play_count,batch_id,computed_at\n" + "".join(lines)
    kpi_lake.put(f"{lake.GENRE_LEVEL_KPIS}/batch_id={BATCH.batch_id}/counts.csv", csv.encode())

    run = group(dbt, "genre_level_kpis")

    assert run.failed_rows == {
        "unique_stg_genre_level_kpi_counts_listen_date": 1,
        "one_batch_stg_genre_level_kpi_counts_": 2,
    }


def test_a_key_that_is_twice_in_a_mart_is_found(kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt) -> None:
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, BATCH, genre_level_kpis(BATCH, {date(2024, 6, 1): {"rock": 3}}))
    group(dbt, "genre_level_kpis")
    warehouse.execute(
        f"insert into {warehouse.reporting}.genre_level_kpis (select * from {warehouse.reporting}.genre_level_kpis)"
    )

    run = dbt("test", "--select", "genre_level_kpis", "--exclude", "tag:reconciliation", "test_type:unit")

    assert run.failed_rows == {"unique_combination_genre_level_kpis_listen_date__track_genre": 1}


def test_marts_that_count_different_plays_do_not_reconcile(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    june_1, june_2 = date(2024, 6, 1), date(2024, 6, 2)
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, BATCH, genre_level_kpis(BATCH, {june_1: {"rock": 3}, june_2: {"rock": 3}}))
    kpi_lake.write(lake.HOURLY_KPIS, BATCH, hourly_kpis(BATCH, {june_1: {0: 2}}))
    group(dbt, "genre_level_kpis")
    group(dbt, "hourly_kpis")

    run = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert run.failed_rows == {"both_marts_count_the_same_plays": 2}


def test_a_staged_date_that_did_not_reach_its_mart_does_not_reconcile(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    june_1, june_2 = date(2024, 6, 1), date(2024, 6, 2)
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, BATCH, genre_level_kpis(BATCH, {june_1: {"rock": 3}, june_2: {"rock": 3}}))
    kpi_lake.write(lake.HOURLY_KPIS, BATCH, hourly_kpis(BATCH, {june_1: {0: 3}, june_2: {0: 3}}))
    group(dbt, "genre_level_kpis")
    group(dbt, "hourly_kpis")
    for mart in ("genre_level_kpis", "hourly_kpis"):
        warehouse.execute(f"delete from {warehouse.reporting}.{mart} where listen_date = '2024-06-01'")
        warehouse.execute(f"update {warehouse.reporting}.{mart} set listen_count = 2")

    run = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert run.failed_rows == {"both_marts_hold_the_staged_dates": 4}


def test_a_run_does_not_reconcile_while_a_kpi_is_staged_from_an_earlier_batch(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    plays = date(2024, 6, 1)
    kpi_lake.write(lake.GENRE_LEVEL_KPIS, OTHER, genre_level_kpis(OTHER, {plays: {"rock": 3}}))
    kpi_lake.write(lake.HOURLY_KPIS, BATCH, hourly_kpis(BATCH, {plays: {0: 3}}))
    group(dbt, "genre_level_kpis", OTHER)
    group(dbt, "hourly_kpis", BATCH)

    run = dbt("test", "--select", "tag:reconciliation", batch_id=BATCH.batch_id)

    assert run.failed_rows == {"no_kpi_is_staged_from_an_earlier_batch": 1}
    assert dbt("test", "--select", "tag:reconciliation", batch_id=OTHER.batch_id).failed_rows == {}
    assert dbt("test", "--select", "tag:reconciliation").failed_rows == {}
