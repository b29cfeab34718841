"""The whole pipeline on the whole sandbox: files land, the scheduler runs the DAG, and the tables are exact."""

import json
from pathlib import Path

from sandbox.settings import AIRFLOW_ROLE
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
    assert users_of_dbt(sandbox) == {f"IAMR:{AIRFLOW_ROLE}"}


def users_of_dbt(sandbox: RunningSandbox) -> set[str]:
    """As whom the DAG's dbt has sent its statements to the warehouse."""
    log = sandbox.sandbox.home.redshift / "statements.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    return {entry["user"] for entry in entries if entry["sql"].lstrip().startswith('/* {"app": "dbt"')}
