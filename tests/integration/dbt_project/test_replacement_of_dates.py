"""How the marts take a batch: a date as a whole or not at all, and never an older state of it."""

import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

import pytest

from contract.kpi_tables import kpi_table
from tests.integration.dbt_project.conftest import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, genre_level_kpis, hourly_kpis
from tests.warm_dbt import Invocation, WarmDbt

JUNE_1 = date(2024, 6, 1)
JUNE_2 = date(2024, 6, 2)
JUNE_3 = date(2024, 6, 3)
NOON = datetime(2024, 6, 4, 12, 0, 0, 123456)  # noqa: DTZ001 - the warehouse's timestamps carry no zone

FIRST = Batch("20240604T000000Z-00000001", NOON)
LATER = Batch("20240605T000000Z-00000002", NOON + timedelta(microseconds=1))
EARLIER = Batch("20240603T000000Z-00000003", NOON - timedelta(microseconds=1))

Genres = Mapping[date, Mapping[str, int]]


@pytest.fixture
def load_genres(kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt) -> Any:
    """Loads a batch's genre level KPIs, as the DAG's task group does, but for the data tests."""

    def load(batch: Batch, plays: Genres, *arguments: str) -> Invocation:
        kpi_lake.write(kpi_table("genre_level_kpis").output, batch, genre_level_kpis(batch, plays))
        return dbt("run", "--select", "tag:genre_level_kpis", *arguments, batch_id=batch.batch_id)

    return load


def test_the_first_batch_fills_both_marts(kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt) -> None:
    genre_rows = genre_level_kpis(FIRST, {JUNE_1: {"rock": 3, "unknown": 1}, JUNE_2: {"jazz": 2}})
    hour_rows = hourly_kpis(FIRST, {JUNE_1: {0: 1, 23: 3}, JUNE_2: {12: 2}})
    kpi_lake.write(kpi_table("genre_level_kpis").output, FIRST, genre_rows)
    kpi_lake.write(kpi_table("hourly_kpis").output, FIRST, hour_rows)

    run = dbt("build", batch_id=FIRST.batch_id)

    assert run.success, run.messages
    (creation,) = [sql for sql in run.statements["genre_level_kpis"] if "create  table" in sql or "create table" in sql]
    assert " ".join(creation.split()).endswith(
        "diststyle key distkey (listen_date) compound sortkey(listen_date,track_genre) ;"
    )
    for mart, rows in (("genre_level_kpis", genre_rows), ("hourly_kpis", hour_rows)):
        loaded = warehouse.mart(mart)
        assert all(row.pop("loaded_at") for row in loaded)
        assert loaded == rows


def test_a_batch_loaded_twice_changes_nothing(load_genres: Any, warehouse: Warehouse) -> None:
    plays = {JUNE_1: {"rock": 3, "jazz": 1}}
    load_genres(FIRST, plays)

    assert load_genres(FIRST, plays).success

    assert warehouse.plays("genre_level_kpis") == plays


@pytest.mark.parametrize(
    ("batch", "replaced", "kept"),
    [
        pytest.param(EARLIER, {JUNE_1}, {JUNE_2, JUNE_3}, id="computed earlier"),
        pytest.param(LATER, {JUNE_1, JUNE_2}, {JUNE_3}, id="computed later"),
    ],
)
def test_a_date_is_replaced_by_more_plays_or_by_as_many_computed_later(
    load_genres: Any, warehouse: Warehouse, batch: Batch, replaced: set[date], kept: set[date]
) -> None:
    loaded = {day: {"rock": 3, "jazz": 1} for day in (JUNE_1, JUNE_2, JUNE_3)}
    more, as_many, fewer = {"rock": 4, "jazz": 1}, {"rock": 2, "jazz": 2}, {"rock": 3}
    others: Genres = {JUNE_1: more, JUNE_2: as_many, JUNE_3: fewer}
    load_genres(FIRST, loaded)
    before = warehouse.mart("genre_level_kpis")

    assert load_genres(batch, others).success

    assert warehouse.plays("genre_level_kpis") == {day: (others if day in replaced else loaded)[day] for day in loaded}
    after = warehouse.mart("genre_level_kpis")
    assert {row["batch_id"] for row in after if row["listen_date"] in replaced} == {batch.batch_id}
    assert [row for row in after if row["listen_date"] in kept] == [row for row in before if row["listen_date"] in kept]


def test_a_batch_of_stale_dates_alone_changes_nothing(load_genres: Any, warehouse: Warehouse) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3, "jazz": 1}, JUNE_2: {"rock": 3, "jazz": 1}})
    before = warehouse.mart("genre_level_kpis")

    assert load_genres(EARLIER, {JUNE_1: {"rock": 2, "jazz": 2}, JUNE_2: {"rock": 3}}).success

    assert warehouse.mart("genre_level_kpis") == before


def test_a_date_shrinks_when_the_run_allows_it(load_genres: Any, warehouse: Warehouse) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3, "jazz": 1}})

    assert load_genres(LATER, {JUNE_1: {"rock": 3}}, "--vars", "allow_shrinking_dates: 'True'").success

    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 3}}


def test_a_key_that_the_recomputation_no_longer_yields_vanishes(load_genres: Any, warehouse: Warehouse) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3, "jazz": 1}, JUNE_2: {"jazz": 5}})

    assert load_genres(LATER, {JUNE_1: {"rock": 4, "folk": 2}}).success

    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 4, "folk": 2}, JUNE_2: {"jazz": 5}}


def test_each_date_is_judged_on_its_own_and_others_stay_untouched(load_genres: Any, warehouse: Warehouse) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3}, JUNE_2: {"rock": 3, "jazz": 1}})
    before = {row["listen_date"]: row for row in warehouse.mart("genre_level_kpis") if row["track_genre"] == "rock"}

    assert load_genres(EARLIER, {JUNE_2: {"rock": 2}, JUNE_3: {"rock": 1}}).success

    after = {row["listen_date"]: row for row in warehouse.mart("genre_level_kpis") if row["track_genre"] == "rock"}
    assert after == {**before, JUNE_3: after[JUNE_3]}
    assert warehouse.plays("genre_level_kpis")[JUNE_2] == {"rock": 3, "jazz": 1}


def test_a_merge_that_fails_takes_the_deletion_back(
    load_genres: Any, kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3, "jazz": 1}})
    before = warehouse.mart("genre_level_kpis")
    rows = genre_level_kpis(LATER, {JUNE_1: {"rock": 9}})
    kpi_lake.write(kpi_table("genre_level_kpis").output, LATER, [*rows, *rows])

    run = dbt("run", "--select", "tag:genre_level_kpis", batch_id=LATER.batch_id)

    assert run.statuses["genre_level_kpis"] == "error"
    assert _first_words(run.statements["genre_level_kpis"])[-2:] == ["delete from", "merge into"]
    assert warehouse.mart("genre_level_kpis") == before


def test_staged_rows_of_another_batch_are_refused(load_genres: Any, warehouse: Warehouse, dbt: WarmDbt) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3}})
    before = warehouse.mart("genre_level_kpis")

    run = dbt("run", "--select", "genre_level_kpis", batch_id=LATER.batch_id)

    assert run.statuses == {"genre_level_kpis": "error"}
    message = run.messages["genre_level_kpis"]
    assert f"This run loads batch {LATER.batch_id}" in message
    assert f'"stg_genre_level_kpis" holds rows of batch {FIRST.batch_id}' in message
    assert warehouse.mart("genre_level_kpis") == before


def test_staged_rows_of_no_batch_are_refused_too(load_genres: Any, warehouse: Warehouse, dbt: WarmDbt) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3}})
    warehouse.execute(f"update {warehouse.staging}.stg_genre_level_kpis set batch_id = null")

    run = dbt("run", "--select", "genre_level_kpis", batch_id=FIRST.batch_id)

    assert run.statuses == {"genre_level_kpis": "error"}
    assert '"stg_genre_level_kpis" holds rows of batch None' in run.messages["genre_level_kpis"]


def test_an_hour_that_the_recomputation_no_longer_yields_vanishes(
    kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt
) -> None:
    for batch, plays in ((FIRST, {JUNE_1: {0: 1, 23: 3}, JUNE_2: {12: 2}}), (LATER, {JUNE_1: {22: 4}})):
        kpi_lake.write(kpi_table("hourly_kpis").output, batch, hourly_kpis(batch, plays))
        assert dbt("run", "--select", "tag:hourly_kpis", batch_id=batch.batch_id).success

    assert warehouse.plays("hourly_kpis") == {JUNE_1: {22: 4}, JUNE_2: {12: 2}}


@pytest.mark.parametrize("model", ["stg_genre_level_kpis", "genre_level_kpis"])
def test_a_run_without_a_batch_says_what_to_set(load_genres: Any, dbt: WarmDbt, model: str) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3}})

    run = dbt("run", "--select", model)

    assert run.statuses == {model: "error"}
    assert "No batch to load: set MUSIC_STREAMS_BATCH_ID" in run.messages[model]


def test_a_batch_id_that_could_break_out_of_its_quotes_is_refused(warehouse: Warehouse, dbt: WarmDbt) -> None:
    run = dbt("run", "--select", "stg_genre_level_kpis", batch_id="x'; drop table t; --")

    assert "is no batch id" in run.messages["stg_genre_level_kpis"]


def test_the_batch_may_come_as_a_var(kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt) -> None:
    kpi_lake.write(kpi_table("genre_level_kpis").output, FIRST, genre_level_kpis(FIRST, {JUNE_1: {"rock": 3}}))

    assert dbt(
        "run", "--select", "tag:genre_level_kpis", "--vars", f"batch_id: {FIRST.batch_id}", batch_id=LATER.batch_id
    ).success

    assert {row["batch_id"] for row in warehouse.mart("genre_level_kpis")} == {FIRST.batch_id}


@pytest.mark.parametrize("lost", ["manifest.json", "attempt=jr_1/part-00001.parquet"])
def test_a_missing_file_fails_and_leaves_staging_as_it_was(
    load_genres: Any, kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt, lost: str
) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3, "jazz": 1}})
    kpi_lake.write(
        kpi_table("genre_level_kpis").output, LATER, genre_level_kpis(LATER, {JUNE_1: {"rock": 4, "jazz": 1}})
    )
    kpi_lake.delete(f"{kpi_table('genre_level_kpis').output}/batch_id={LATER.batch_id}/{lost}")

    run = dbt("run", "--select", "stg_genre_level_kpis", batch_id=LATER.batch_id)

    assert run.statuses == {"stg_genre_level_kpis": "error"}
    assert warehouse.rows(f"select distinct batch_id from {warehouse.staging}.stg_genre_level_kpis") == [
        {"batch_id": FIRST.batch_id}
    ]


@pytest.mark.parametrize("loaded_before", [False, True], ids=["first run", "later run"])
def test_a_batch_without_rows_loads_nothing(load_genres: Any, warehouse: Warehouse, loaded_before: bool) -> None:
    plays: Genres = {JUNE_1: {"rock": 3}} if loaded_before else {}
    if loaded_before:
        load_genres(FIRST, plays)

    assert load_genres(LATER, {}).success

    assert warehouse.plays("genre_level_kpis") == plays


def test_a_full_refresh_does_not_empty_the_mart(load_genres: Any, warehouse: Warehouse) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3}})

    assert load_genres(LATER, {JUNE_2: {"rock": 1}}, "--full-refresh").success

    assert warehouse.plays("genre_level_kpis") == {JUNE_1: {"rock": 3}, JUNE_2: {"rock": 1}}


@pytest.mark.parametrize("command", [["compile"], ["docs", "generate"]], ids=["compile", "docs"])
def test_compiling_and_documenting_need_no_batch(load_genres: Any, dbt: WarmDbt, command: list[str]) -> None:
    load_genres(FIRST, {JUNE_1: {"rock": 3}})

    assert dbt(*command).success


def test_the_models_unit_tests_pass(load_genres: Any, kpi_lake: LakeOfKpis, dbt: WarmDbt) -> None:
    kpi_lake.write(kpi_table("genre_level_kpis").output, FIRST, genre_level_kpis(FIRST, {JUNE_1: {"rock": 3}}))
    kpi_lake.write(kpi_table("hourly_kpis").output, FIRST, hourly_kpis(FIRST, {JUNE_1: {0: 3}}))
    dbt("run", "--select", "staging", "marts", batch_id=FIRST.batch_id)

    run = dbt("test", "--select", "test_type:unit")

    assert run.success, run.messages
    assert len(run.named("pass")) == 17


def _first_words(statements: list[str]) -> list[str]:
    """The statements without comments, each reduced to its first two words, e.g. `merge into`."""
    bare = [re.sub(r"/\*.*?\*/|--[^\n]*", "", sql, flags=re.DOTALL).strip().rstrip(";") for sql in statements]
    return [" ".join(re.findall(r"\w+", sql)[:2]) for sql in bare]
