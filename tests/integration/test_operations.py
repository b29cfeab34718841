"""Runs that load nothing say what to fix, and operators do it: fix, set limits, put back, recompute."""

import os
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from contract import layout
from sandbox.airflow_api import DAG_ID
from sandbox.home import REPOSITORY
from tests.integration.alerts import Message, Subscriber
from tests.integration.conftest import DagRunResult, RunningSandbox, wait_for
from tests.integration.exact_tables import table
from tests.integration.secrets_search import assert_no_secret_is_kept
from tests.integration.tasks import CURATION, WAIT
from tests.oracle import GENRE_KEY, HOUR_KEY, Expected, differences, expected_tables

SONGS = b"id,track_id,artists,track_name,duration_ms,track_genre\n1,t1,Abba,One,60000,pop\n2,t2,Blur,Two,90000,rock\n"
OTHER_SONGS = SONGS.replace(b"pop", b"disco").replace(b"One", b"One again")
USERS = b"user_id,user_name,user_age,user_country,created_at\nu1,A,17,SE,2024-01-01\nu2,B,40,SE,2024-01-01\n"
GOOD = b"""user_id,track_id,listen_time
u1,t1,2024-06-23 10:00:00
u1,t1,2024-06-24 10:00:00
u2,t2,2024-06-24 11:00:00
u2,t1,2024-06-25 12:00:00
"""
HALF_BAD = """listen_time,user_id,track_id
2024-06-25 13:00:00,u1,t1
25.06.2024 14:00:00,u1,t2
2024-06-25 15:00:00,ü2
""".encode()
NO_COLUMN = "user_streams/no-column.csv"
CORRECTED = b"user_id,track_id,listen_time\nu1,t1,2024-06-25 10:00:00\n"
BAD = {
    NO_COLUMN: b"user_id,listen_time\nu1,2024-06-25 10:00:00\n",
    "user_streams/empty.csv": b"",
    "user_streams/latin.csv": "user_id,track_id,listen_time\nü,t,2024-06-25 10:00:00\n".encode("latin-1"),
    "user_streams/no-csv.csv": b"\x1f\x8b\x08\x00" + bytes(range(256)),
}


def run_command(sandbox: RunningSandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "music_streams.rejected_rows", *arguments],
        env=os.environ | sandbox.sandbox.environment() | {"PYTHONPATH": str(REPOSITORY / "dags")},
        capture_output=True,
        text=True,
        check=False,
    )


def content(sandbox: RunningSandbox, key: str) -> bytes:
    return sandbox.s3.get_object(Bucket=sandbox.bucket, Key=f"{layout.ROOT}/{key}")["Body"].read()


def expected(songs: bytes, *streams: bytes) -> Expected:
    return expected_tables(
        songs, USERS, [(str(number), file) for number, file in enumerate(streams)], datetime.now(UTC)
    )


def assert_tables(sandbox: RunningSandbox, songs_of_date: dict[str, bytes], *streams: bytes) -> None:
    """Each date is that of all streams with the songs that held when it was last computed."""
    of_date = {date: expected(songs, *streams) for date, songs in songs_of_date.items()}
    genres = {
        key: row
        for date, tables in of_date.items()
        for key, row in tables.genre_level_kpis.items()
        if key[0].isoformat() == date
    }
    hours = {
        key: row
        for date, tables in of_date.items()
        for key, row in tables.hourly_kpis.items()
        if key[0].isoformat() == date
    }
    assert differences(genres, table(sandbox, "genre_level_kpis"), GENRE_KEY) == ""
    assert differences(hours, table(sandbox, "hourly_kpis"), HOUR_KEY) == ""


def rates_reported(subscriber: Subscriber) -> int:
    """How many batches with the rate of the files below have been reported."""
    return sum(rate == pytest.approx(2 / 8) for rate in subscriber.values("RejectRate"))


def assert_untouched(sandbox: RunningSandbox, landed: Iterable[str]) -> None:
    """Nothing is loaded, nothing archived, and every landed file lies where it landed."""
    assert sandbox.keys("user-streams-archived/") == []
    assert sandbox.keys("output/") == []
    assert set(landed) == set(sandbox.keys("user_streams/"))
    assert sandbox.query("select table_name from information_schema.tables where table_name = 'hourly_kpis'") == []


def assert_printed(printed: str, error: str) -> None:
    """`make run` has named the task that failed, its error and its log."""
    words = " ".join(printed.replace("│", " ").split())
    assert "validate_datasets failed" in words
    for line in error.splitlines():
        assert " ".join(line.split()) in words
    (log,) = (line.split(maxsplit=2)[2] for line in printed.splitlines() if line.startswith("  its log"))
    assert Path(log).is_file()


def assert_message_of_files(sandbox: RunningSandbox, run: DagRunResult, message: Message) -> None:
    """The message of a failed run reports what validation found, and links to the run."""
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


def assert_message_of_rows(sandbox: RunningSandbox, run: DagRunResult, message: Message) -> None:
    """The message of a failed run reports why its rows are refused, and links to the Glue run."""
    assert message.subject.startswith(f"Music Streams sandbox: {WAIT[CURATION]} failed in ")
    assert run.errors[WAIT[CURATION]].splitlines()[0] in message.text
    (glue_run,) = sandbox.glue_runs(CURATION, run.batch_id)
    assert f"{WAIT[CURATION]} waited for: https://console.aws.amazon.com/gluestudio/" in message.text
    assert f"#/job/{CURATION}/run/{glue_run['Id']}\n" in message.text


def assert_moved_aside(sandbox: RunningSandbox, batch_id: str, files: list[bytes]) -> None:
    """These files of a batch lie in quarantine, each with a reason beside it."""
    aside = set(sandbox.keys(f"quarantine/files/{batch_id}/"))
    moved = {key for key in aside if not key.endswith(".reason.json")}
    assert sorted(content(sandbox, key) for key in moved) == sorted(files)
    assert aside == moved | {f"{key}.reason.json" for key in moved}


def test_an_empty_bucket_ends_green(sandbox: RunningSandbox) -> None:
    sandbox.empty()
    run = sandbox.run()
    assert (run.state, run.tasks["end_dag"]) == ("success", "success")
    assert run.tasks["trigger_spark_curate_user_streams_job_task"] == "skipped"


def refuse_files(sandbox: RunningSandbox, subscriber: Subscriber, folder: Path) -> DagRunResult:
    """Type `make run` for files of which some are bad, without tables: it names all that is wrong and loads nothing."""
    files = {"user_streams/good.csv": GOOD, "user_streams/half bad.csv": HALF_BAD, **BAD}
    for name, file in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(file)
    typed = sandbox.make("run", DATA=str(folder))
    assert typed.returncode != 0
    run = sandbox.end_of_printed(typed.stdout)
    assert run.state == "failed"
    error = run.errors["validate_datasets"]
    assert f"{NO_COLUMN}: column 'track_id' is missing (has: user_id, listen_time)" in error
    for missing in ("songs.csv", "users.csv"):
        assert f"{missing} is missing" in error
    for name in BAD:
        assert name in error
    assert error.splitlines()[0] in run.errors["end_dag"]
    assert_printed(typed.stdout, error)
    assert_untouched(sandbox, files)
    assert_message_of_files(sandbox, run, subscriber.message_of(run.run_id))
    return run


def test_refused_files_limits_corrected_rows_and_recomputation(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    subscriber = Subscriber(sandbox)
    refused = refuse_files(sandbox, subscriber, tmp_path / "landed")

    # The tables land, and one file is corrected. The other bad ones move aside, but too many rows are bad, too.
    sandbox.land({"songs.csv": SONGS, "users.csv": USERS, NO_COLUMN: CORRECTED})
    run = sandbox.run({"on_invalid_stream_file": "quarantine"})
    assert run.state == "failed"
    assert "2 of 8 rows are rejected, more than max_reject_rate 0.05 allows" in run.errors[WAIT[CURATION]]
    assert_message_of_rows(sandbox, run, subscriber.message_of(run.run_id))
    wait_for("its reject rate", lambda: rates_reported(subscriber) == 1)
    committed = layout.BatchFolder(run.batch_id).curation_record.removeprefix(f"{layout.ROOT}/")
    assert sandbox.keys(committed) == [], "what the refused attempt wrote does not count"
    assert sandbox.keys("user_streams/") == ["user_streams/good.csv", "user_streams/half bad.csv", NO_COLUMN]
    assert_moved_aside(sandbox, run.batch_id, [file for name, file in BAD.items() if name != NO_COLUMN])
    written = run_command(sandbox, run.batch_id, str(tmp_path / "none"))
    assert (written.returncode, written.stdout) == (1, "")
    assert "its files still wait in the landing prefix" in written.stderr

    # The operator allows for them.
    lenient = sandbox.run({"max_reject_rate": 0.5})
    assert lenient.state == "success", lenient.errors
    before = dict.fromkeys(("2024-06-23", "2024-06-24", "2024-06-25"), SONGS)
    assert_tables(sandbox, before, GOOD, HALF_BAD, CORRECTED)
    wait_for("its reject rate", lambda: rates_reported(subscriber) == 2)
    assert subscriber.values("RunsSucceeded")
    assert len(subscriber.messages_of(refused.run_id)) == 1, "no task has sent one of its own"
    assert subscriber.messages_of(lenient.run_id) == []
    assert_no_secret_is_kept(sandbox.sandbox.home, lenient.batch_id)

    # The rejected rows are corrected and landed, while songs change. The dates of these rows follow, and one that is
    # recomputed without any new file: rows of the old genre vanish there, and on no other date.
    folder = tmp_path / "corrected" / "user_streams"
    written = run_command(sandbox, lenient.batch_id, str(folder))
    assert written.returncode == 0, written.stderr
    (to_fix,) = folder.iterdir()
    assert to_fix.read_bytes() == b"\n".join(HALF_BAD.splitlines()[i] for i in (0, 2, 3)) + b"\n"
    assert "half bad.csv: 1 " in written.stdout
    corrected = to_fix.read_bytes().replace(b"25.06.2024", b"2024-06-25").replace("ü2".encode(), "ü2,t1".encode())
    sandbox.land({"songs.csv": OTHER_SONGS, f"user_streams/{to_fix.name}": corrected})
    run = sandbox.run({"recompute_from": "2024-06-24", "recompute_to": "2024-06-24"})
    assert run.state == "success", run.errors
    after = before | dict.fromkeys(("2024-06-24", "2024-06-25"), OTHER_SONGS)
    assert_tables(sandbox, after, GOOD, HALF_BAD, CORRECTED, corrected)


def test_a_run_that_finds_nothing_to_do_changes_nothing(sandbox: RunningSandbox) -> None:
    before = {name: table(sandbox, name) for name in ("genre_level_kpis", "hourly_kpis")}
    assert before["hourly_kpis"]
    assert sandbox.run().tasks["end_dag"] == "success"
    assert {name: table(sandbox, name) for name in before} == before
