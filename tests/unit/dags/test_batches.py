from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from music_streams.batches import DateRange, DatesRefusedError, batch_id, unknown_params

MIDNIGHT = datetime(2024, 6, 26, tzinfo=UTC)


def test_a_batch_id_is_the_same_in_each_retry_and_another_in_each_run() -> None:
    assert batch_id(MIDNIGHT, "scheduled__2024-06-26T00:00:00+00:00") == "20240626T000000Z-bf34cef8"
    assert batch_id(MIDNIGHT, "manual__1") == batch_id(MIDNIGHT, "manual__1")
    assert batch_id(MIDNIGHT, "manual__1") != batch_id(MIDNIGHT, "manual__2")


def test_batch_ids_sort_by_the_time_in_utc() -> None:
    west = timezone(timedelta(hours=-7))
    earlier = batch_id(datetime(2024, 6, 25, 23, 59, tzinfo=west), "b")  # 06:59 UTC on the 26th
    later = batch_id(MIDNIGHT + timedelta(hours=8), "a")
    assert earlier.startswith("20240626T065900Z-")
    assert sorted([later, earlier]) == [earlier, later]


def test_no_dates_are_recomputed_unless_asked_for() -> None:
    assert DateRange.from_params(None, None) is None
    assert DateRange.from_params("", "") is None


def test_a_range_includes_both_its_ends_and_may_be_one_day() -> None:
    asked = DateRange.from_params("2024-06-25", "2024-06-25")
    assert asked == DateRange(date(2024, 6, 25), date(2024, 6, 25))
    assert asked.as_record() == {"from": "2024-06-25", "to": "2024-06-25"}


@pytest.mark.parametrize(
    ("recompute_from", "recompute_to", "complaint"),
    [
        ("2024-06-25", None, "give both"),
        (None, "2024-06-25", "give both"),
        ("2024-06-26", "2024-06-25", "recompute_from 2024-06-26 lies after recompute_to 2024-06-25"),
        ("2024-06-31", "2024-07-01", "recompute_from is '2024-06-31': write a date like 2024-06-25"),
        ("2024-06-25", "tomorrow", "recompute_to is 'tomorrow'"),
    ],
)
def test_a_range_that_is_none_is_refused(recompute_from: str | None, recompute_to: str | None, complaint: str) -> None:
    with pytest.raises(DatesRefusedError, match=complaint):
        DateRange.from_params(recompute_from, recompute_to)


@pytest.mark.parametrize("given", [None, {}, {"recompute_from": "2024-06-25"}])
def test_params_that_the_dag_has_are_taken(given: dict[str, str] | None) -> None:
    assert unknown_params(given, ["recompute_from", "recompute_to"]) == ""


def test_a_mistyped_param_is_named_with_those_that_exist_and_the_nearest() -> None:
    known = ["max_reject_rate", "recompute_from", "recompute_to"]

    assert unknown_params({"recompute_form": "2024-06-25"}, known) == (
        "'recompute_form': the DAG has no such param. It has max_reject_rate, recompute_from, recompute_to. "
        "Did you mean recompute_from?"
    )
    assert unknown_params(["zzz", "recompute_to"], known).endswith("recompute_to.")
