"""Runs that load nothing say what to fix; once it is corrected, the tables are exact."""

from datetime import date
from pathlib import Path
from urllib.parse import quote

from contract import layout
from sandbox.airflow_api import DAG_ID
from tests.integration.alerts import Message, Subscriber
from tests.integration.conftest import DagRunResult, RunningSandbox
from tests.integration.exact_tables import assert_exact, sample_day, streams
from tests.integration.secrets_search import assert_no_secret_is_kept


def test_an_empty_bucket_ends_green(sandbox: RunningSandbox) -> None:
    sandbox.empty()
    run = sandbox.run()
    assert (run.state, run.tasks["end_dag"]) == ("success", "success")
    assert run.tasks["trigger_spark_curate_user_streams_job_task"] == "skipped"


def test_streams_without_reference_tables_load_nothing(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    files = streams(sample_day(tmp_path, 0))
    sandbox.land(files)
    run = sandbox.run()
    assert run.state == "failed"
    for missing in ("songs.csv", "users.csv"):
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
    assert_no_secret_is_kept(sandbox.sandbox.home, run.batch_id)


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
