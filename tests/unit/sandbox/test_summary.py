"""The pure parts of the summary."""

from datetime import UTC, date, datetime, timedelta

from contract.kpi_tables import KPI_TABLES
from sandbox.airflow_api import TaskState
from sandbox.follow import FinishedRun
from sandbox.summary import (
    accepted_by_date,
    batch_of,
    cell,
    footprint,
    main_date,
    nothing_done,
    reasons,
    rejections,
    sparkline,
    steps,
)

START = datetime(2024, 6, 26, tzinfo=UTC)


def task(name: str, start: float, end: float, state: str = "success") -> TaskState:
    return TaskState(name, state, 1, START + timedelta(seconds=start), START + timedelta(seconds=end))


def test_a_step_lasts_from_the_start_of_its_first_task_to_the_end_of_its_last() -> None:
    taken = steps(
        [
            task("wait_for_spark_curate_user_streams_job_completion_task", 6, 20),
            task("validate_datasets", 1, 4),
            task("trigger_spark_curate_user_streams_job_task", 5, 6),
            task("write_hourly_kpis_to_redshift.hourly_kpis_model_build", 30, 41),
            task("write_hourly_kpis_to_redshift.stg_hourly_kpis_model_build", 21, 29),
            task("end_dag", 4, 4, "skipped"),
        ]
    )

    assert [(step.name, step.start, step.seconds) for step in taken] == [
        ("validate", 0, 3),
        ("curate user streams (Glue)", 4, 15),
        ("load hourly_kpis (dbt)", 20, 20),
    ]


def test_every_task_of_a_kpi_table_belongs_to_one_step() -> None:
    for kpis in (table.name for table in KPI_TABLES):
        names = [
            f"trigger_spark_{kpis}_job_task",
            f"wait_for_spark_{kpis}_job_completion_task",
            f"write_{kpis}_to_redshift.{kpis}_model_build",
        ]
        assert [len(steps([task(name, 0, 1)])) for name in names] == [1, 1, 1]


def test_a_run_without_tasks_has_no_steps() -> None:
    assert steps([TaskState("validate_datasets", None, 0, None, None)]) == []


def test_reasons_come_with_the_commonest_first() -> None:
    assert reasons({"b": 2, "a": 2, "c": 1500}) == "c 1,500, a 2, b 2"
    assert reasons({}) == ""


def test_rejected_rows_are_shown_beside_what_the_run_allows() -> None:
    assert rejections({"events_landed": 400, "rejected": {"x": 5}}, 0.05) == "1.25% of 5% allowed: x 5"
    assert rejections({"events_landed": 0, "rejected": {}}, 0.05) == ""


def test_a_run_whose_files_were_all_refused_names_them() -> None:
    refused = ["music_streams/user_streams/a.csv", "music_streams/user_streams/june/b.csv"]
    text = nothing_done({"refused_files": refused, "left_lying": []})
    assert text.endswith("refused and moved aside: a.csv, june/b.csv.")
    assert "refused" not in nothing_done({"refused_files": [], "left_lying": []})


def test_a_run_that_had_nothing_to_do_names_the_first_files_that_no_run_takes() -> None:
    text = nothing_done({"refused_files": [], "left_lying": [f"music_streams/streams/{n}.csv" for n in range(11)]})
    assert "Left lying" in text
    assert "streams/0.csv, streams/1.csv" in text
    assert text.endswith("streams/9.csv, ….")


def test_accepted_events_are_shown_by_date_with_the_newest_first() -> None:
    assert accepted_by_date({"2024-06-24": 5, "2024-06-25": 1900}) == "2024-06-25 1,900, 2024-06-24 5"
    assert accepted_by_date({f"2024-06-0{day}": day for day in range(1, 7)}).endswith("2024-06-03 3, …")


def test_the_main_date_is_that_of_most_events_else_the_last_computed() -> None:
    assert main_date({"accepted_by_date": {"2024-06-24": 5, "2024-06-25": 9}, "dates": ["2024-06-30"]}) == "2024-06-25"
    assert main_date({"accepted_by_date": {}, "dates": ["2024-06-24", "2024-06-25"]}) == "2024-06-25"
    assert main_date({"accepted_by_date": {}, "dates": []}) is None


def test_values_are_written_for_people() -> None:
    assert [cell(value) for value in (None, 1234567, 0.01234, 212.345, "Café", date(2024, 6, 25))] == [
        "-",
        "1,234,567",
        "0.0123",
        "212.3",
        "Café",
        "2024-06-25",
    ]


def test_the_course_of_a_day_is_scaled_to_its_peak() -> None:
    assert sparkline([0, 5, 10]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"


def test_what_stays_after_a_run_is_shown_with_the_ways_to_end_it() -> None:
    assert footprint(21, 2 * 1024**3, 60) == (
        "21 processes with 2.0 GB stay for the next command, until 60 minutes without use are over; "
        "`make stop` ends them now"
    )
    assert footprint(21, 2 * 1024**3, 0).endswith("stay for the next command; `make stop` ends them")


def test_the_batch_follows_from_the_run() -> None:
    run = FinishedRun("manual__x", "2024-06-26T01:02:03.5+02:00", "success", ())

    assert batch_of(run).startswith("20240625T230203Z-")
