"""What operators do when the data are not as they should be: set limits, fix, put back, recompute."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract import layout
from sandbox.home import REPOSITORY
from tests.integration.alerts import Subscriber
from tests.integration.conftest import RunningSandbox, wait_for
from tests.integration.exact_tables import table
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
UNREADABLE = b"user_id,track\nu1,t1\n"


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


def rates_told(subscriber: Subscriber) -> int:
    """How many batches with the rate of GOOD and HALF_BAD have been told."""
    return sum(rate == pytest.approx(2 / 7) for rate in subscriber.values("RejectRate"))


def test_limits_corrected_rows_and_recomputation(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    files = {"user_streams/good.csv": GOOD, "user_streams/half bad.csv": HALF_BAD, "user_streams/bad.csv": UNREADABLE}
    sandbox.land({"songs.csv": SONGS, "users.csv": USERS, **files})

    # Too many rows are bad: the run fails, says why, and takes nothing.
    subscriber = Subscriber(sandbox)
    run = sandbox.run({"on_invalid_stream_file": "quarantine"})
    assert run.state == "failed"
    error = run.errors["wait_for_spark_curate_user_streams_job_completion_task"]
    assert "2 of 7 rows are rejected, more than max_reject_rate 0.05 allows" in error
    message = subscriber.message_of(run.run_id)
    assert message.subject.startswith(f"Music Streams sandbox: {WAIT[CURATION]} failed in ")
    assert error.splitlines()[0] in message.text
    (glue_run,) = sandbox.glue_runs(CURATION, run.batch_id)
    assert f"{WAIT[CURATION]} waited for: https://console.aws.amazon.com/gluestudio/" in message.text
    assert f"#/job/{CURATION}/run/{glue_run['Id']}\n" in message.text
    wait_for("its reject rate", lambda: rates_told(subscriber) == 1)
    committed = layout.BatchFolder(run.batch_id).curation_record.removeprefix(f"{layout.ROOT}/")
    assert sandbox.keys(committed) == [], "what the refused attempt wrote does not count"
    assert sandbox.keys("user_streams/") == ["user_streams/good.csv", "user_streams/half bad.csv"]
    moved_aside, reason = sandbox.keys(f"quarantine/files/{run.batch_id}/")
    assert reason == f"{moved_aside}.reason.json"
    assert content(sandbox, moved_aside) == UNREADABLE
    refused = run_command(sandbox, run.batch_id, str(tmp_path / "none"))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "its files still wait in the landing prefix" in refused.stderr

    # The operator allows for them.
    lenient = sandbox.run({"max_reject_rate": 0.5})
    assert lenient.state == "success", lenient.errors
    before = dict.fromkeys(("2024-06-23", "2024-06-24", "2024-06-25"), SONGS)
    assert_tables(sandbox, before, GOOD, HALF_BAD)
    wait_for("its reject rate", lambda: rates_told(subscriber) == 2)
    assert subscriber.values("RunsSucceeded")

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
    assert_tables(sandbox, after, GOOD, HALF_BAD, corrected)


def test_a_run_that_finds_nothing_to_do_changes_nothing(sandbox: RunningSandbox) -> None:
    before = {name: table(sandbox, name) for name in ("genre_level_kpis", "hourly_kpis")}
    assert before["hourly_kpis"]
    assert sandbox.run().tasks["end_dag"] == "success"
    assert {name: table(sandbox, name) for name in before} == before
