"""The pure parts of the summary."""

from datetime import UTC, date, datetime, timedelta

from contract.kpi_tables import KPI_TABLES
from sandbox.airflow import TaskState
from sandbox.follow import FinishedRun
from sandbox.summary import batch_of, cell, main_date, nothing_done, reasons, rejections, sparkline, steps

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


def test_rejected_rows_are_told_beside_what_the_run_allows() -> None:
    record = {"rows_read": 400, "rows_rejected": 5, "max_reject_rate": 0.05, "rejected_by_reason": {"x": 5}}
    assert rejections(record) == "1.25% of 5% allowed: x 5"
    assert rejections({**record, "rows_rejected": 0}) == ""


def test_a_run_whose_files_were_all_refused_names_them() -> None:
    assert nothing_done(["a.csv", "b.csv"]).endswith("refused and moved aside: a.csv, b.csv.")
    assert "refused" not in nothing_done([])


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


def test_the_batch_follows_from_the_run() -> None:
    run = FinishedRun("manual__x", "2024-06-26T01:02:03.5+02:00", "success", ())

    assert batch_of(run).startswith("20240625T230203Z-")
