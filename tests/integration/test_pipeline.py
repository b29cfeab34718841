"""The whole pipeline on the whole sandbox: files land, the scheduler runs the DAG, and the tables are exact."""

from pathlib import Path

from tests.integration.conftest import RunningSandbox
from tests.integration.exact_tables import assert_exact, sample_day, streams
from tests.integration.secrets_search import assert_no_secret_is_kept


def test_a_day_of_late_repeated_and_bad_events_is_exact(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    files = sample_day(tmp_path, 0)
    sandbox.land(files)
    run = sandbox.run()
    assert run.state == "success", run.errors
    expected = assert_exact(sandbox, files)
    assert len(expected.accepted_by_date) > 1
    assert expected.duplicates > 0
    assert expected.rejected.total() > 0
    assert sandbox.keys("user_streams/") == []
    assert {Path(key).name for key in sandbox.keys(f"user-streams-archived/{run.batch_id}/")} == {
        Path(name).name for name in streams(files)
    }
    assert_no_secret_is_kept(sandbox.sandbox.home, run.batch_id)
