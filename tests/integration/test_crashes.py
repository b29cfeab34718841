"""Whatever is killed, stopped or down while a run works: the run is red or recovers, and its tables become exact.

Crashes cost a run's latency each, so one run meets many of them. Each is shown to have happened.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from contract import layout
from contract.bucket import Bucket
from contract.csv_format import MAX_LINE_LENGTH
from glue_jobs import stream_lines
from sandbox import dbt_server
from sandbox.lifecycle import Part
from sandbox.sample_events import FIRST_DAY
from tests.integration.alerts import Message, Subscriber
from tests.integration.conftest import RunningSandbox, fork_in, halt_when, kill, wait_for
from tests.integration.exact_tables import SMALL, History, day
from tests.integration.tasks import CURATION, GENRE, HOURLY, LOAD, MERGE, TRIGGER, WAIT

pytestmark = pytest.mark.timeout(1200)  # many crashes, on a busy machine too

# Statement-level triggers halt a COPY and a merge themselves, after the transaction has locked and deleted.
COPIES, MERGES = 1, 2  # whoever holds the advisory lock of this number halts them
HALT = f"""
create or replace function public.halt() returns trigger language plpgsql
    as $$ begin perform pg_advisory_xact_lock(tg_argv[0]::int); return null; end $$;
create or replace trigger halt before insert on sandbox_staging.stg_hourly_kpis
    for each statement execute function public.halt({COPIES});
create or replace trigger halt before insert or update on sandbox_reporting.genre_level_kpis
    for each statement execute function public.halt({MERGES});
"""
LET_PASS = """
drop trigger halt on sandbox_staging.stg_hourly_kpis;
drop trigger halt on sandbox_reporting.genre_level_kpis
"""
COPYING = "select pid from pg_stat_activity where wait_event = 'advisory' and query ilike 'copy %'"
MERGING = "select pid from pg_stat_activity where wait_event = 'advisory' and query ilike '%merge into%'"


@pytest.fixture(scope="module")
def history(sandbox: RunningSandbox) -> History:
    """The history of this module's runs, which follow each other on one lake and one warehouse."""
    return History(sandbox)


def land_day(history: History, folder: Path, number: int) -> int:
    """Land a sample day in enough files that moving them takes a while; returns their number."""
    files = day(folder, number, events=480, files=48, catalogue=SMALL)
    history.land(files)
    return len(files) - 2


def land_more_than_a_task(history: History) -> None:
    """Land a file with so many bytes, though few events, that curation needs Spark."""
    comment = b"x" * (MAX_LINE_LENGTH // 2)
    rows = [b"u%d,t%d,%s 12:00:00,%s\n" % (n, n, FIRST_DAY.isoformat().encode(), comment) for n in range(140)]
    content = b"user_id,track_id,listen_time,comment\n" + b"".join(rows)
    assert len(content) > stream_lines.UNCUT_BYTES
    history.land({"user_streams/wide.csv": content})


def recover(sandbox: RunningSandbox, run_id: str, task_id: str) -> None:
    """The task failed and succeeds by retry; or its run is red, and clearing the task makes it succeed."""
    task = sandbox.wait_for_task(run_id, task_id, "success", "failed")
    assert task["try_number"] > 1
    if task["state"] == "failed":
        assert sandbox.end_of(run_id).state == "failed"
        sandbox.clear(run_id, task_id)
        sandbox.wait_for_task(run_id, task_id, "success")


def assert_lost(
    sandbox: RunningSandbox, subscriber: Subscriber, run_id: str, states: Mapping[str, str], *, message: int
) -> None:
    """The run is red since the Glue runs of these jobs ended so, and has sent this message of it, the only new one."""
    run = sandbox.end_of(run_id)
    assert run.state == "failed"
    sent = subscriber.message_of(run_id, number=message)
    assert failed_tasks(sent) == {WAIT[job] for job in states}
    for job, state in states.items():
        assert f"ended {state}" in run.errors[WAIT[job]]
        assert f"Glue job {job}, run {sandbox.glue_runs(job, run.batch_id)[0]['Id']}, ended {state}" in sent.text


def failed_tasks(message: Message) -> set[str]:
    """The tasks that the message says have failed."""
    (line,) = [line for line in message.text.splitlines()[:7] if line.startswith("Failed ")]
    return set(line.removeprefix("Failed ").split(", "))


@pytest.fixture
def glue_minutes_of_two_seconds(sandbox: RunningSandbox) -> Iterator[None]:
    """Timeouts of Glue runs that a test can wait for."""
    sandbox.kill_aws(seconds_per_minute=2)
    for job in TRIGGER:
        set_timeout(sandbox, job, minutes=300)
    yield
    sandbox.kill_aws()


def set_timeout(sandbox: RunningSandbox, job: str, *, minutes: int) -> None:
    """Let the runs of a Glue job take so long."""
    redefine(sandbox, job, Timeout=minutes)


def redefine(sandbox: RunningSandbox, job: str, **changes: Any) -> None:
    """Change the definition of a Glue job."""
    of_glue = ("Name", "CreatedOn", "LastModifiedOn")
    defined: Any = {key: value for key, value in definition(sandbox, job).items() if key not in of_glue}
    sandbox.glue.update_job(JobName=job, JobUpdate=defined | changes)


def definition(sandbox: RunningSandbox, job: str) -> Any:
    """What Glue knows of a job."""
    return sandbox.glue.get_job(JobName=job)["Job"]


def kill_glue_runs(sandbox: RunningSandbox, subscriber: Subscriber, history: History, run_id: str) -> None:
    """Kill Spark and the drivers of jobs, and end Glue runs in all other ways there are."""
    batch = sandbox.batch_of(run_id)

    curation = sandbox.wait_for_glue_run(CURATION, batch, number=1)
    jvm = sandbox.jvm(curation)
    halt_when(jvm, "curated files", lambda: [key for key in sandbox.keys("curated/") if curation in key])
    kill(jvm)
    assert_lost(sandbox, subscriber, run_id, {CURATION: "FAILED"}, message=1)
    assert sandbox.keys(f"batches/{batch}/curation.json") == []
    history.assert_nothing_lost()

    set_timeout(sandbox, CURATION, minutes=1)
    sandbox.clear(run_id, TRIGGER[CURATION])
    assert_lost(sandbox, subscriber, run_id, {CURATION: "TIMEOUT"}, message=2)
    set_timeout(sandbox, CURATION, minutes=300)

    sandbox.clear(run_id, TRIGGER[CURATION])
    with (
        sandbox.halted_driver(GENRE, batch, number=1) as genre_driver,
        sandbox.halted_driver(HOURLY, batch, number=1),
    ):
        kill(genre_driver)
        hourly = sandbox.wait_for_glue_run(HOURLY, batch, number=1)
        sandbox.glue.batch_stop_job_run(JobName=HOURLY, JobRunIds=[hourly])
    assert_lost(sandbox, subscriber, run_id, {GENRE: "FAILED", HOURLY: "STOPPED"}, message=3)

    command = definition(sandbox, GENRE)["Command"]
    redefine(sandbox, GENRE, Command=command | {"ScriptLocation": f"s3://{sandbox.bucket}/artifacts/glue/gone.py"})
    sandbox.clear(run_id, TRIGGER[GENRE], TRIGGER[HOURLY])
    with sandbox.halted_driver(HOURLY, batch, number=2) as hourly_driver:
        kill(hourly_driver)
    assert_lost(sandbox, subscriber, run_id, {GENRE: "ERROR", HOURLY: "FAILED"}, message=4)
    assert sandbox.keys(f"output/hourly-kpis/batch_id={batch}/manifest.json") == []
    redefine(sandbox, GENRE, Command=command)
    sandbox.clear(run_id, TRIGGER[GENRE], TRIGGER[HOURLY])


@contextmanager
def halting_triggers(sandbox: RunningSandbox) -> Iterator[None]:
    """COPYs of one KPI table and merges of the other halt as long as somebody holds their advisory lock."""
    with sandbox.postgres() as postgres:
        postgres.execute(HALT)
    try:
        yield
    finally:
        with sandbox.postgres() as postgres:
            postgres.execute(LET_PASS)


def kill_the_load(sandbox: RunningSandbox, run_id: str) -> None:
    """Kill dbt in a COPY, then dbt, its session and the whole warehouse in a merge. Its task has no try left then."""
    with halting_lock(sandbox, MERGES):
        with halting_lock(sandbox, COPIES):
            task = sandbox.task_process(run_id, LOAD[HOURLY])
            backend_of(sandbox, COPYING)
            kill(dbt_of(sandbox, task))
            wait_for("the COPY to be rolled back", lambda: not rows_of(sandbox, COPYING))

        task = sandbox.task_process(run_id, MERGE[GENRE])
        backend_of(sandbox, MERGING)
        kill(dbt_of(sandbox, task))
        wait_for("the merge to be rolled back", lambda: not rows_of(sandbox, MERGING))
        assert sandbox.wait_for_task(run_id, MERGE[GENRE], "up_for_retry")["try_number"] == 1
        sandbox.wait_for_task(run_id, MERGE[HOURLY], "success")  # so that what follows fails one table's load only

        kill(backend_of(sandbox, MERGING))  # which ends all sessions, that of the lock too
    with halting_lock(sandbox, MERGES):
        assert sandbox.wait_for_task(run_id, MERGE[GENRE], "up_for_retry")["try_number"] == 2

        backend_of(sandbox, MERGING)
        gateway = sandbox.sandbox.processes.running()[Part.REDSHIFT]
        kill(gateway, *gateway.children())
    run = sandbox.end_of(run_id)
    assert (run.state, run.tasks[MERGE[GENRE]]) == ("failed", "failed")
    assert sandbox.task(run_id, MERGE[GENRE])["try_number"] == 3
    assert sandbox.task(run_id, LOAD[HOURLY])["try_number"] > 1
    sandbox.sandbox.start({Part.REDSHIFT})


@contextmanager
def halting_lock(sandbox: RunningSandbox, number: int) -> Iterator[None]:
    """Hold the lock that COPYs or merges wait for."""
    with sandbox.postgres() as postgres:
        postgres.execute("select pg_advisory_lock(%s)", [number])
        yield


def rows_of(sandbox: RunningSandbox, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a question to PostgreSQL itself."""
    with sandbox.postgres() as postgres:
        postgres.execute(sql)
        rows: list[tuple[Any, ...]] = postgres.fetchall()
        return rows


def backend_of(sandbox: RunningSandbox, sql: str) -> psutil.Process:
    """PostgreSQL's process for the statement under way that a question finds, once there is one."""
    ((pid,),) = wait_for(sql, lambda: rows_of(sandbox, sql))
    return psutil.Process(pid)


def dbt_of(sandbox: RunningSandbox, task: psutil.Process) -> psutil.Process:
    """The dbt that works for a task's process: it has the directory of the program that the task has started."""
    children = task.children(recursive=True)
    (program,) = [child for child in children if any(word.endswith("bin/dbt") for word in child.cmdline())]
    server = sandbox.sandbox.processes.running()[dbt_server.NAME]
    return wait_for("its dbt", lambda: fork_in(server, program.cwd()))


def kill_move_files(sandbox: RunningSandbox, history: History, run_id: str, files: int) -> None:
    """Kill the task when the first files are archived, and the worker with it when the first have left landing."""
    batch = sandbox.batch_of(run_id)
    archive, loaded_record = f"user-streams-archived/{batch}/", f"batches/{batch}/loaded.json"
    task = sandbox.task_process(run_id, "move_files")
    halt_when(task, "an archived file", lambda: sandbox.keys(archive))
    kill(task)
    assert 0 < len(sandbox.keys(archive)) < files
    assert sandbox.keys(loaded_record) == []
    history.assert_nothing_lost()

    task = sandbox.task_process(run_id, "move_files")
    landed = len(sandbox.keys("user_streams/"))
    halt_when(task, "a file that is gone", lambda: len(sandbox.keys("user_streams/")) < landed)
    worker = task.parent()
    assert worker is not None
    kill(worker, task)
    assert sandbox.keys("user_streams/") != []
    assert sandbox.keys(loaded_record) != []
    history.assert_nothing_lost()
    assert sandbox.wait_for_task(run_id, "move_files", "success", "failed")["try_number"] == 3


def test_a_run_whose_s3_fails_in_every_phase_is_made_good(
    sandbox: RunningSandbox, history: History, tmp_path: Path
) -> None:
    land_day(history, tmp_path, 0)
    run_id = sandbox.trigger()
    batch = sandbox.batch_of(run_id)

    sandbox.wait_for_objects(f"batches/{batch}/input/")
    sandbox.outage(run_id, "validate_datasets")
    recover(sandbox, run_id, "validate_datasets")

    with sandbox.halted_driver(CURATION, batch, number=1):
        sandbox.wait_for_task(run_id, WAIT[CURATION], "running")
        sandbox.outage(run_id, WAIT[CURATION])
    assert sandbox.end_of(run_id).state == "failed"
    assert [run["JobRunState"] for run in sandbox.glue_runs(CURATION, batch)] == ["FAILED"]
    sandbox.clear(run_id, TRIGGER[CURATION])

    # One outage for two phases: one table is computed while the other is loaded.
    with sandbox.halted_driver(HOURLY, batch, number=1):
        sandbox.wait_for_task(run_id, LOAD[GENRE], "running")
        sandbox.outage(run_id, LOAD[GENRE])
    recover(sandbox, run_id, LOAD[GENRE])
    assert sandbox.end_of(run_id).state == "failed"
    assert [run["JobRunState"] for run in sandbox.glue_runs(HOURLY, batch)] == ["FAILED"]
    history.assert_nothing_lost()
    sandbox.clear(run_id, TRIGGER[HOURLY])

    sandbox.wait_for_objects(f"user-streams-archived/{batch}/")
    sandbox.outage(run_id, "move_files")
    history.assert_nothing_lost()
    recover(sandbox, run_id, "move_files")

    assert sandbox.end_of(run_id).state == "success"
    history.assert_exact()
    history.assert_all_archived()


def test_a_run_whose_glue_runs_dbt_warehouse_and_worker_are_killed_is_made_good(
    sandbox: RunningSandbox, history: History, tmp_path: Path, glue_minutes_of_two_seconds: None
) -> None:
    if not history.loaded:
        land_day(history, tmp_path / "0", 0)
        assert sandbox.run().state == "success"
    files = land_day(history, tmp_path / "1", 1) + 1
    land_more_than_a_task(history)
    subscriber = Subscriber(sandbox)
    run_id = sandbox.trigger()
    batch = sandbox.batch_of(run_id)

    kill_glue_runs(sandbox, subscriber, history, run_id)
    with halting_triggers(sandbox):
        kill_the_load(sandbox, run_id)
    assert failed_tasks(subscriber.message_of(run_id, number=5)) == {MERGE[GENRE]}
    sandbox.clear(run_id, MERGE[GENRE])
    kill_move_files(sandbox, history, run_id, files)

    assert sandbox.end_of(run_id).state == "success"
    history.assert_exact()
    history.assert_all_archived()
    record = Bucket(sandbox.bucket, sandbox.s3).read_json(layout.BatchFolder(batch).curation_record)
    assert record is not None
    assert record["attempt"] == sandbox.glue_runs(CURATION, batch)[0]["Id"]
    assert len(subscriber.messages_of(run_id)) == 5, "tries that were repeated have sent some"
