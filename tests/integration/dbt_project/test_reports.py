"""The reports, views that answer what analysts ask first, against answers made by hand."""

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from contract.kpi_tables import kpi_table
from tests.dbt_profile import connect
from tests.integration.dbt_project.conftest import Warehouse
from tests.integration.dbt_project.lake_of_kpis import Batch, LakeOfKpis, Row, genre_level_kpis, hourly_kpis
from tests.warm_dbt import WarmDbt

BATCH = Batch("20240715T000000Z-00000001", datetime(2024, 7, 15, 12))  # noqa: DTZ001 - as in the warehouse
JULY_1 = date(2024, 7, 1)  # a Monday, outside of the two weeks up to July 15
JULY_2 = date(2024, 7, 2)
JULY_8 = date(2024, 7, 8)
JULY_9 = date(2024, 7, 9)
JULY_15 = date(2024, 7, 15)

GENRES = {
    JULY_1: {"rock": 100},
    JULY_2: {"rock": 3, "jazz": 4},
    JULY_8: {"rock": 1, "jazz": 4},
    JULY_9: {"rock": 2, "folk": 3},
    JULY_15: {"rock": 4, "jazz": 3, "unknown": 50},
}
# Date, hour, plays, top artist, diversity, age group.
HOURS = [
    (JULY_1, 7, 100, "Ana", 0.5, "18-25"),
    (JULY_2, 7, 7, "Ana", 1.0, "66+"),
    (JULY_8, 7, 5, "Bo", 0.2, "18-25"),
    (JULY_9, 7, 4, "Bo", 0.25, "18-25"),
    (JULY_9, 8, 1, None, 1.0, None),
    (JULY_15, 7, 2, "Émile", 1.0, "26-35"),
    (JULY_15, 8, 38, "Bo", 0.5, "26-35"),
    (JULY_15, 23, 17, "Émile", 0.5, "<18"),
]


@pytest.fixture
def marts(kpi_lake: LakeOfKpis, warehouse: Warehouse, dbt: WarmDbt) -> Warehouse:
    hours: list[Row] = []
    for listen_date, hour, plays, artist, diversity, age_group in HOURS:
        (row,) = hourly_kpis(BATCH, {listen_date: {hour: plays}})
        led = {"top_artist": artist, "top_artist_listen_count": artist and plays}
        hours.append({**row, **led, "diversity_index": diversity, "most_engaged_age_group": age_group})
    kpi_lake.write(kpi_table("genre_level_kpis").output, BATCH, genre_level_kpis(BATCH, GENRES))
    kpi_lake.write(kpi_table("hourly_kpis").output, BATCH, hours)
    run = dbt("run", batch_id=BATCH.batch_id)
    assert run.success, run.complaint
    return warehouse


def answers(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of every report, in the order of their first two columns."""
    views = warehouse.rows(
        f"select table_name from information_schema.views where table_schema = '{warehouse.reporting}'"
    )
    return {
        view["table_name"]: [
            tuple(plain(value) for value in row.values()) for row in warehouse.mart(view["table_name"])
        ]
        for view in views
    }


def plain(value: Any) -> Any:
    """The same number, whatever type the warehouse gave it."""
    return float(value) if isinstance(value, Decimal) else value


def test_the_reports_answer_what_analysts_ask_first(marts: Warehouse) -> None:
    assert answers(marts) == {
        "best_genres_of_the_last_7_days": [
            (1, "rock", 6, 4, 50.0),
            (2, "folk", 3, 0, None),
            (2, "jazz", 3, 8, -62.5),
        ],
        "listening_by_hour_and_weekday": [
            # three Mondays, two Tuesdays
            (1, 7, 107, 35.7),
            (1, 8, 38, 12.7),
            (1, 23, 17, 5.7),
            (2, 7, 11, 5.5),
            (2, 8, 1, 0.5),
        ],
        "artists_that_lead_most_hours": [(1, "Bo", 2, 2, 42), (1, "Émile", 2, 1, 19)],
        "diversity_over_time": [
            (JULY_1, 100, 0.5, None),
            (JULY_2, 7, 1.0, 0.5),
            (JULY_8, 5, 0.2, -0.8),
            (JULY_9, 5, 0.4, 0.2),
            (JULY_15, 57, 0.518, 0.118),
        ],
        "age_groups_by_hour": [
            (7, "18-25", 3, 0.6),
            (7, "26-35", 1, 0.2),
            (7, "66+", 1, 0.2),
            (8, "26-35", 1, 1.0),
            (23, "<18", 1, 1.0),
        ],
        "genres_by_date": sorted(
            (day, genre, plays, 1) for day, genres in GENRES.items() for genre, plays in genres.items()
        ),
        "hours_by_date": [
            (day, hour, plays, 1, diversity, artist, age_group)
            for day, hour, plays, artist, diversity, age_group in HOURS
        ],
    }


def test_a_report_is_made_once_and_again_when_it_is_not_what_it_should_be(marts: Warehouse, dbt: WarmDbt) -> None:
    report = f"{marts.reporting}.diversity_over_time"
    reader = connect()
    reader.cursor().execute("begin")
    reader.cursor().execute(f"select * from {report}")

    again = dbt("run", "--select", "reports", batch_id=BATCH.batch_id)

    reader.close()
    assert set(again.messages.values()) == {"UNCHANGED"}, "dbt would wait for the reader"

    marts.execute(f"comment on view {report} is 'of an older release'")
    again = dbt("run", "--select", "reports", batch_id=BATCH.batch_id)

    assert {name for name, message in again.messages.items() if message != "UNCHANGED"} == {"diversity_over_time"}
    assert answers(marts)["diversity_over_time"][0] == (JULY_1, 100, 0.5, None)
