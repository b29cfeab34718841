"""How the dates of a batch become tasks for Spark's workers."""

from contract.records import CuratedFile
from glue_jobs.compute_kpis import EVENTS_PER_TASK, tasks_of
from glue_jobs.events import EVENTS_PER_BUCKET


def parts(*rows: int) -> list[tuple[str, int, int]]:
    """The tasks for dates with so many events each: their dates, their part and the number of parts."""
    dates = [f"2024-06-{number:02}" for number in range(1, len(rows) + 1)]
    files = [CuratedFile(f"{date}.parquet", date, count) for date, count in zip(dates, rows, strict=True) if count]
    return [
        (" ".join(file.listen_date[-2:] for file in task.files), task.bucket, task.buckets)
        for task in tasks_of(dates, files)
    ]


def test_dates_that_are_a_part_together_are_one_task() -> None:
    assert parts(EVENTS_PER_BUCKET - EVENTS_PER_TASK, EVENTS_PER_TASK - 1, 1) == [("01 02 03", 0, 1)]


def test_of_more_events_small_dates_share_a_task() -> None:
    assert parts(EVENTS_PER_TASK // 2, EVENTS_PER_TASK // 2, 1, EVENTS_PER_BUCKET) == [
        ("01 02", 0, 1),
        ("03", 0, 1),
        ("04", 0, 1),
    ]


def test_a_date_that_is_more_than_a_task_shares_none() -> None:
    assert parts(EVENTS_PER_BUCKET, 0, 1) == [("01", 0, 1), ("03", 0, 1)]


def test_each_part_of_a_large_date_is_a_task_of_its_own() -> None:
    assert parts(1, EVENTS_PER_BUCKET + 1, 1) == [("02", 0, 2), ("02", 1, 2), ("01 03", 0, 1)]


def test_a_batch_without_events_has_no_task() -> None:
    assert parts(0, 0) == []


def test_a_date_without_events_is_no_task() -> None:
    assert parts(0, 5, 0) == [("02", 0, 1)]
