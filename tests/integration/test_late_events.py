"""A second day brings late events of the first and repeats some: both days' tables become exact."""

from pathlib import Path

from sandbox.sample_events import FIRST_DAY
from tests.integration.conftest import RunningSandbox
from tests.integration.exact_tables import assert_exact, sample_day, streams, table


def test_two_days_with_late_and_repeated_events_are_exact(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    first, second = sample_day(tmp_path / "1", 0), sample_day(tmp_path / "2", 1)

    sandbox.land(first)
    run = sandbox.run()
    assert run.state == "success", run.errors
    expected = assert_exact(sandbox, first)

    sandbox.land(streams(second))
    run = sandbox.run()
    assert run.state == "success", run.errors
    both_days = assert_exact(sandbox, first)
    assert both_days.accepted_by_date[FIRST_DAY] > expected.accepted_by_date[FIRST_DAY]
    assert both_days.duplicates > expected.duplicates

    untouched = table(sandbox, "hourly_kpis")
    assert sandbox.run().tasks["end_dag"] == "success"
    assert table(sandbox, "hourly_kpis") == untouched
