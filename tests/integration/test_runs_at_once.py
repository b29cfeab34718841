"""Runs that meet: DAG runs at work at once, Glue runs that outlive their tasks, old runs that are repeated."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest

from contract import layout
from contract.bucket import Bucket
from contract.records import pending_batches
from sandbox import warehouse_client
from sandbox.sample_events import FIRST_DAY
from sandbox.settings import SCHEMA_PREFIX
from tests.integration.conftest import RunningSandbox, kill
from tests.integration.exact_tables import SMALL, TABLES, History, day, streams, table
from tests.integration.tasks import CURATION, GENRE, HOURLY, TRIGGER, WAIT

pytestmark = pytest.mark.timeout(1200)  # some runs, on a busy machine too

STAMPS = frozenset({"batch_id", "computed_at", "loaded_at"})


@dataclass(frozen=True)
class Meeting:
    """Three DAG runs that were at work at once, and one that followed them while analysts held transactions open.

    What the analysts read in these transactions, before the newest run and after it, is the same in both lists if their
    tables stayed as they were.
    """

    history: History
    first: str
    backfill: str
    queued: str
    newest: str
    read_before_newest: list[Any]
    read_after_newest: list[Any]


@contextmanager
def analysts_on_every_table(sandbox: RunningSandbox) -> Iterator[Callable[[], list[Any]]]:
    """A view on each staging table and mart, and a session that has read it in a transaction which stays open.

    Yields what these sessions read when asked again: the number of rows of each table.
    """
    tables = [
        *(f"{SCHEMA_PREFIX}_staging.stg_{name}" for name in TABLES),
        *(f"{SCHEMA_PREFIX}_reporting.{name}" for name in TABLES),
    ]
    with ExitStack() as sessions:
        cursors = []
        for number, name in enumerate(tables):
            sandbox.query(f"create view public.view_{number} as select * from {name}")
            sessions.callback(sandbox.query, f"drop view public.view_{number}")
            connection = warehouse_client.connection(sandbox.sandbox.home, sandbox.sandbox.ports)
            cursors.append(sessions.enter_context(connection).cursor())
            cursors[-1].execute("begin")

        def read() -> list[Any]:
            for cursor, name in zip(cursors, tables, strict=True):
                cursor.execute(f"select count(*) from {name}")
            return [cursor.fetchall() for cursor in cursors]

        yield read


@pytest.fixture(scope="module")
def meeting(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Meeting:
    """Two runs are triggered at once and a backfill joins them, while a Glue run whose task was killed goes on."""
    history = History(sandbox)
    folder = tmp_path_factory.mktemp("days")
    days = [day(folder / str(number), number, events=400, files=2, catalogue=SMALL) for number in range(3)]
    history.land(days[0])
    first, queued = sandbox.trigger(), sandbox.trigger()
    batch = sandbox.batch_of(first)
    with sandbox.halted_driver(CURATION, batch, number=1):  # until all the others wait for it
        kill(sandbox.task_process(first, WAIT[CURATION]))
        sandbox.wait_for_task(first, WAIT[CURATION], "up_for_retry")
        sandbox.clear(first, TRIGGER[CURATION])
        sandbox.wait_for_glue_run(CURATION, batch, number=2, state="WAITING")

        history.land(streams(days[1]))
        backfill = sandbox.backfill(FIRST_DAY)
        sandbox.wait_for_glue_run(CURATION, sandbox.batch_of(backfill), number=1, state="WAITING")
        states = {run: sandbox.sandbox.airflow.run(run)["state"] for run in (first, backfill, queued)}
        assert states == {first: "running", backfill: "running", queued: "queued"}

    # The marts are shared, so one of two runs at once may fail. What is not pending is exact.
    ends = [sandbox.end_of(run) for run in (first, backfill, queued)]
    history.assert_nothing_lost()
    if not list(pending_batches(Bucket(sandbox.bucket, sandbox.s3), besides="")):
        history.assert_exact()
    if ends[0].state == "failed":
        sandbox.clear(first, TRIGGER[GENRE], TRIGGER[HOURLY])
        cleared = sandbox.end_of(first)
        assert cleared.state == "success", cleared.errors

    history.land(streams(days[2]))
    with analysts_on_every_table(sandbox) as read:
        before = read()
        newest = sandbox.run()
        assert newest.state == "success", newest.errors
        return Meeting(history, first, backfill, queued, newest.run_id, before, read())


def test_one_more_run_after_runs_at_once_makes_all_tables_exact(meeting: Meeting) -> None:
    meeting.history.assert_exact()
    meeting.history.assert_all_archived()


def test_analysts_with_open_transactions_stop_no_run_and_go_on_to_see_the_same_rows(meeting: Meeting) -> None:
    assert meeting.read_before_newest == meeting.read_after_newest


def test_the_runs_of_a_glue_job_follow_each_other(sandbox: RunningSandbox, meeting: Meeting) -> None:
    for job in TRIGGER:
        runs = [
            run
            for dag_run in (meeting.first, meeting.backfill, meeting.newest)
            for run in sandbox.glue_runs(job, sandbox.batch_of(dag_run))
        ]
        runs.sort(key=lambda run: run["StartedOn"])
        assert len(runs) >= 3
        assert [late["Id"] for early, late in pairwise(runs) if late["StartedOn"] < early["CompletedOn"]] == []


def test_a_glue_run_that_outlives_its_task_commits_and_the_second_one_finds_the_commit(
    sandbox: RunningSandbox, meeting: Meeting
) -> None:
    batch = sandbox.batch_of(meeting.first)
    second, first = sandbox.glue_runs(CURATION, batch)
    assert (first["JobRunState"], second["JobRunState"]) == ("SUCCEEDED", "SUCCEEDED")
    record = Bucket(sandbox.bucket, sandbox.s3).read_json(layout.BatchFolder(batch).curation_record)
    assert record is not None
    assert record["attempt"] == first["Id"]


def test_an_old_run_cleared_after_newer_ones_changes_nothing(sandbox: RunningSandbox, meeting: Meeting) -> None:
    newest = Bucket(sandbox.bucket, sandbox.s3).read_json(
        layout.BatchFolder(sandbox.batch_of(meeting.newest)).curation_record
    )
    assert newest is not None
    assert newest["accepted_by_date"][FIRST_DAY.isoformat()] > 0  # which the old run's tables lack
    before = [table(sandbox, name, without=STAMPS) for name in TABLES]

    sandbox.clear(meeting.first, "validate_datasets")
    run = sandbox.end_of(meeting.first)

    assert run.state == "success", run.errors
    assert [table(sandbox, name, without=STAMPS) for name in TABLES] == before
    meeting.history.assert_exact()
    meeting.history.assert_all_archived()
