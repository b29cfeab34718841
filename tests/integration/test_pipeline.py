"""The whole pipeline on the whole sandbox: files land, the scheduler runs the DAG, and the tables are exact."""

from pathlib import Path

from sandbox.sample_events import FIRST_DAY
from tests.integration.conftest import RunningSandbox
from tests.integration.exact_tables import assert_exact, sample_day, streams, table
from tests.integration.secrets_search import assert_no_secret_is_kept


def test_two_days_with_late_and_repeated_events_are_exact(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    first, second = sample_day(tmp_path / "1", 0), sample_day(tmp_path / "2", 1)

    sandbox.land(first)
    run = sandbox.run()
    assert run.state == "success", run.errors
    expected = assert_exact(sandbox, first)
    assert expected.duplicates > 0
    assert expected.rejected.total() > 0
    assert sandbox.keys("user_streams/") == []
    assert {Path(key).name for key in sandbox.keys(f"user-streams-archived/{run.batch_id}/")} == {
        Path(name).name for name in streams(first)
    }

    sandbox.land(streams(second))
    run = sandbox.run()
    assert run.state == "success", run.errors
    both_days = assert_exact(sandbox, first)
    # The second day brought late events of the first, and repeated some that were there.
    assert both_days.accepted_by_date[FIRST_DAY] > expected.accepted_by_date[FIRST_DAY]
    assert both_days.duplicates > expected.duplicates

    untouched = table(sandbox, "hourly_kpis")
    assert sandbox.run().tasks["end_dag"] == "success"
    assert table(sandbox, "hourly_kpis") == untouched
    assert_no_secret_is_kept(sandbox.sandbox.home, run.batch_id)
