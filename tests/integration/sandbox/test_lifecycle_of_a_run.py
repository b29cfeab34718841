"""`make run` as the user types it, and a run whose sandbox is killed under it."""

import signal
import socket
import sqlite3
from pathlib import Path

import pytest

from sandbox import follow, pipeline_run, warehouse_client
from sandbox.airflow import database
from sandbox.airflow_api import DAG_PROCESSOR, TaskState
from sandbox.home import Home
from sandbox.lifecycle import Sandbox
from sandbox.processes import has_ended
from sandbox.progress import Progress
from sandbox.settings import BUCKET, HOST, is_free
from tests.integration.conftest import RunningSandbox, processes_of, wait_for

SONGS = b"""id,track_id,artists,track_name,duration_ms,track_genre
0,t1,One;Two,"A ""quoted"", title",200000,pop
1,t2,Two,Other,100000,rock
"""
USERS = b"user_id,user_name,user_age,user_country,created_at\n1,Ann,30,NL,2024-01-01\n2,Bob,17,DE,2024-01-01\n"
STREAMS = b"""user_id,track_id,listen_time
1,t1,2024-06-25 10:00:00
2,t1,2024-06-25 10:30:00
2,t2,2024-06-25 11:00:00
2,t2,2024-06-25 11:00:00
2,,2024-06-25 12:00:00
"""
PLAYS = "select cast(listen_date as varchar) as day, sum(listen_count) as plays from {} group by 1 order by 1"


def write_state(home: Home, run_id: str, state: str) -> None:
    """Give a DAG run another state, behind the back of Airflow's API."""
    with sqlite3.connect(database(home), timeout=30) as airflow:
        airflow.execute("update dag_run set state = ? where run_id = ?", [state, run_id])


def plays(sandbox: RunningSandbox) -> list[list[tuple[str, int]]]:
    """Date and plays in each of the two tables."""
    tables = ("genre_level_kpis", "hourly_kpis")
    return [[(row["day"], int(row["plays"])) for row in sandbox.query(PLAYS.format(table))] for table in tables]


def test_params_that_the_dag_does_not_take_are_refused_in_one_sentence(sandbox: RunningSandbox) -> None:
    value = sandbox.make("run", PARAMS='{"max_reject_rate": 7}')
    name = sandbox.make("run", PARAMS='{"recompute_form": "2024-06-25"}')

    assert value.returncode != 0
    assert name.returncode != 0
    (complaint,) = (line for line in value.stderr.splitlines() if line.startswith("error: "))
    assert complaint.startswith('error: PARAMS={"max_reject_rate": 7}: ')
    assert complaint.endswith("7 is greater than the maximum of 1")
    (complaint,) = (line for line in name.stderr.splitlines() if line.startswith("error: "))
    assert complaint.endswith("Did you mean recompute_from?")


def test_ctrl_c_leaves_the_run_going_and_the_next_command_waits_for_it(
    sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.empty()

    def interrupt(_tasks: list[TaskState]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "show", lambda _self, tasks: interrupt(tasks))
        with pytest.raises(KeyboardInterrupt):
            pipeline_run.run(sandbox.sandbox, data=None, params="{}")
    (interrupted,) = sandbox.sandbox.airflow.active_runs()

    assert pipeline_run.run(sandbox.sandbox, data=None, params="{}") == 0

    assert sandbox.sandbox.airflow.run(interrupted["dag_run_id"])["state"] in follow.FINISHED_RUN


def test_one_run_makes_up_for_one_that_was_given_up_and_one_whose_sandbox_was_killed(sandbox: RunningSandbox) -> None:
    sandbox.empty()
    sandbox.land({"songs.csv": SONGS, "users.csv": USERS, "user_streams/a.csv": STREAMS})
    left = sandbox.trigger({"max_reject_rate": 0.5})
    assert pipeline_run.give_up(sandbox.sandbox.airflow) == [left]
    write_state(sandbox.sandbox.home, left, "running")  # as a scheduler does that had read the run before
    assert sandbox.end_of(left).state == "failed"

    killed = sandbox.trigger({"max_reject_rate": 0.5})
    sandbox.wait_for_objects(f"batches/{sandbox.batch_of(killed)}/curation.json")
    restart_what_was_killed(sandbox.sandbox)
    run = sandbox.run({"max_reject_rate": 0.5})

    assert run.state == "success", run.errors
    assert plays(sandbox) == [[("2024-06-25", 3)], [("2024-06-25", 3)]]
    assert sandbox.keys("user_streams/") == []
    assert {Path(key).name for key in sandbox.keys("user-streams-archived/")} == {"a.csv"}


def restart_what_was_killed(sandbox: Sandbox) -> None:
    """Start the sandbox, all of which is killed but a server that knows an address that is no longer the warehouse's.

    Nothing is left of what was killed, and S3 and the warehouse have kept what they held.
    """
    sandbox.aws.s3.put_object(Bucket=BUCKET, Key="kept", Body=b"content")
    warehouse_client.select(sandbox.home, sandbox.ports, "create table public.kept as select 42 as answer")
    before, servers = processes_of(sandbox), sandbox.processes.running()
    outdated = servers.pop(DAG_PROCESSOR)
    for server in servers.values():
        server.send_signal(signal.SIGKILL)
    wait_for("the warehouse's port", lambda: is_free(sandbox.ports.redshift))
    with socket.create_server((HOST, sandbox.ports.redshift)) as squatter:
        sandbox.start()
        assert sandbox.ports.redshift != squatter.getsockname()[1]

    assert has_ended(outdated)
    assert [process for process in before if not has_ended(process)] == []
    assert sandbox.processes.running().keys() == {*servers, DAG_PROCESSOR}
    assert sandbox.aws.s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"content"
    kept = warehouse_client.select(sandbox.home, sandbox.ports, "select answer from public.kept")
    assert kept == [{"answer": 42}]
