"""The whole pipeline on the whole sandbox: files land, the scheduler runs the DAG, and the tables are exact."""

from datetime import date, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from contract import layout
from contract.bucket import Bucket
from sandbox.airflow import DAG_ID
from sandbox.sample_catalogue import Catalogue
from sandbox.sample_events import FIRST_DAY
from tests.integration.alerts import Message, Subscriber
from tests.integration.conftest import DagRunResult, RunningSandbox
from tests.integration.exact_tables import assert_tables, day, streams, table
from tests.integration.secrets_search import leaks, places
from tests.oracle import Expected, expected_tables

CATALOGUE = Catalogue(songs=2_000, users=500)
EVENTS = 2_000


def sample_day(folder: Path, number: int) -> dict[str, bytes]:
    return day(folder, number, events=EVENTS, files=3, catalogue=CATALOGUE)


def expected_of_all_batches(sandbox: RunningSandbox, songs: bytes, users: bytes) -> Expected:
    """Both tables of everything in the archive, worked out in plain Python."""
    files, times = [], {}
    for key in sandbox.keys("user-streams-archived/"):
        batch_id = key.split("/")[1]
        manifest = Bucket(sandbox.bucket, sandbox.s3).read_json(layout.BatchFolder(batch_id).manifest)
        assert manifest is not None
        files.append((key, sandbox.s3.get_object(Bucket=sandbox.bucket, Key=f"{layout.ROOT}/{key}")["Body"].read()))
        times[key] = datetime.fromisoformat(manifest["time"])
    return expected_tables(songs, users, files, times)


def assert_exact(sandbox: RunningSandbox, files: dict[str, bytes]) -> Expected:
    expected = expected_of_all_batches(sandbox, files["songs.csv"], files["users.csv"])
    assert_tables(sandbox, expected)
    return expected


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
    assert_no_secret_is_kept(sandbox, run.batch_id)


def test_an_empty_bucket_ends_green(sandbox: RunningSandbox) -> None:
    sandbox.empty()
    run = sandbox.run()
    assert (run.state, run.tasks["end_dag"]) == ("success", "success")
    assert run.tasks["trigger_spark_curate_user_streams_job_task"] == "skipped"


@pytest.mark.parametrize("missing", ["songs.csv", "users.csv"])
def test_streams_without_a_reference_table_load_nothing(sandbox: RunningSandbox, tmp_path: Path, missing: str) -> None:
    sandbox.empty()
    files = sample_day(tmp_path, 0)
    del files[missing]
    sandbox.land(files)
    run = sandbox.run()
    assert run.state == "failed"
    assert f"{missing} is missing" in run.errors["validate_datasets"]
    assert_untouched(sandbox, files)


def test_bad_files_are_all_named_nothing_is_loaded_and_mending_them_gives_exact_tables(
    sandbox: RunningSandbox, tmp_path: Path
) -> None:
    sandbox.empty()
    files = sample_day(tmp_path, 0)
    bad = {
        "user_streams/no-column.csv": b"user_id,listen_time\nu1,2024-06-25 10:00:00\n",
        "user_streams/empty.csv": b"",
        "user_streams/latin.csv": "user_id,track_id,listen_time\nü,t,2024-06-25 10:00:00\n".encode("latin-1"),
        "user_streams/no-csv.csv": b"\x1f\x8b\x08\x00" + bytes(range(256)),
    }
    sandbox.land({**files, **bad})
    subscriber = Subscriber(sandbox)
    run = sandbox.run()
    assert run.state == "failed"
    error = run.errors["validate_datasets"]
    assert "user_streams/no-column.csv: column 'track_id' is missing (has: user_id, listen_time)" in error
    for name in bad:
        assert name in error
    assert error.splitlines()[0] in run.errors["end_dag"]
    assert_untouched(sandbox, {**files, **bad})
    refused = run.run_id
    assert_told(sandbox, run, subscriber.message_of(refused))

    sandbox.land({"user_streams/no-column.csv": b"user_id,track_id,listen_time\nu1,t1,2024-06-25 10:00:00\n"})
    for name in list(bad)[1:]:
        sandbox.s3.delete_object(Bucket=sandbox.bucket, Key=f"{layout.ROOT}/{name}")
    run = sandbox.run()
    assert run.state == "success", run.errors
    assert assert_exact(sandbox, files).accepted_by_date[date(2024, 6, 25)] > 0
    assert len(subscriber.messages_of(refused)) == 1, "no task has sent one of its own"
    assert subscriber.messages_of(run.run_id) == []
    assert_no_secret_is_kept(sandbox, run.batch_id)


def assert_no_secret_is_kept(sandbox: RunningSandbox, batch_id: str) -> None:
    """Logs, SQL, rendered fields, XComs, objects and the rest hold no secret; and that is where the batch stands."""
    searched = places(sandbox.sandbox.home, batch_id)
    for place in (
        "airflow/logs/",
        "aws/glue-runs/",
        "aws/s3/",
        "redshift/",
        "table rendered_task_instance_fields of Airflow",
        "table xcom of Airflow",
    ):
        assert any(found.startswith(place) for found in searched), place
    assert leaks(sandbox.sandbox.home) == []


def assert_told(sandbox: RunningSandbox, run: DagRunResult, message: Message) -> None:
    """The message tells of the run what validation found, and leads to it."""
    assert message.subject == f"Music Streams sandbox: validate_datasets failed in {run.run_id}"[:99]
    page = f"{sandbox.sandbox.ports.airflow_url}/dags/{DAG_ID}/runs/{quote(run.run_id)}"
    validation = f"{layout.BatchFolder(run.batch_id).validation}/index.html"
    lines = message.text.splitlines()
    for line in (
        f"Run    {run.run_id}",
        f"Batch  {run.batch_id}",
        "Failed validate_datasets, end_dag",
        *run.errors["validate_datasets"].splitlines(),
        f"Run: {page}",
        f"Log of validate_datasets: {page}/tasks/validate_datasets",
    ):
        assert line in lines
    (link,) = [line for line in lines if line.startswith("Validation: ")]
    assert link.endswith(f"/{sandbox.bucket}?region=us-east-1&prefix={validation}")


def assert_untouched(sandbox: RunningSandbox, files: dict[str, bytes]) -> None:
    """Nothing is loaded, nothing archived, and every landed file lies where it landed."""
    assert sandbox.keys("user-streams-archived/") == []
    assert sandbox.keys("output/") == []
    assert set(streams(files)) <= set(sandbox.keys("user_streams/"))
    assert sandbox.query("select table_name from information_schema.tables where table_name = 'hourly_kpis'") == []
