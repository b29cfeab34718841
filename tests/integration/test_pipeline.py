"""The whole pipeline on the whole sandbox: files land, the scheduler runs the DAG, and the tables are exact."""

from pathlib import Path
from typing import Any

from contract import layout
from contract.bucket import Bucket
from sandbox import events
from tests.integration.conftest import DagRunResult, RunningSandbox
from tests.integration.exact_tables import assert_exact, sample_day, streams
from tests.integration.secrets_search import assert_no_secret_is_kept
from tests.oracle import Expected


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
    assert hours_of_events(sandbox) == sandbox.query(
        "select listen_date, listen_hour, listen_count from hourly_kpis order by 1, 2"
    )
    assert_recorded(sandbox, run, expected)
    assert {Path(key).name for key in sandbox.keys(f"user-streams-archived/{run.batch_id}/")} == {
        Path(name).name for name in streams(files)
    }
    assert_no_secret_is_kept(sandbox.sandbox.home, run.batch_id)


def hours_of_events(sandbox: RunningSandbox) -> list[dict[str, Any]]:
    """Plays by date and hour, as SQL on single events counts them."""
    secrets = sandbox.sandbox.home.secrets()
    store = events.store(sandbox.sandbox.ports.aws_endpoint, secrets.aws_access_key_id, secrets.aws_secret_access_key)
    names = ("listen_date", "listen_hour", "listen_count")
    with events.connection(Bucket(sandbox.bucket, sandbox.s3), store) as database:
        rows = database.sql("select listen_date, hour(listen_time), count(*) from events group by all order by all")
        return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def assert_recorded(sandbox: RunningSandbox, run: DagRunResult, expected: Expected) -> None:
    """The run's record has the counts that plain Python finds."""
    record = Bucket(sandbox.bucket, sandbox.s3).read_json(layout.BatchFolder(run.batch_id).run_record)
    assert record is not None
    assert (record["run_id"], record["accepted"], record["duplicates"]) == (
        run.run_id,
        expected.accepted,
        expected.duplicates,
    )
    assert record["rejected"] == dict(expected.rejected)
    assert record["events_by_date"] == {day.isoformat(): n for day, n in expected.accepted_by_date.items()}
    assert (record["refused_files"], record["left_lying"], record["late_events"]) == ([], [], 0)
