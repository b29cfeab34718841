"""`make run` as the user types it, and a run whose sandbox is killed under it."""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

import pytest
import requests

from contract import layout
from sandbox import follow, pipeline_run
from sandbox.airflow import database
from sandbox.airflow_api import TaskState
from sandbox.home import REPOSITORY, VARIABLE, Home
from sandbox.progress import Progress
from tests.integration.conftest import RunningSandbox

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
# What is in the menu of Airflow's UI, and a word of each page.
IN_AIRFLOW = {"music_streams": "ng-app", "kpi_report": "How listening develops"}
PLAYS = "select cast(listen_date as varchar) as day, sum(listen_count) as plays from {} group by 1 order by 1"


def make_run(sandbox: RunningSandbox, **arguments: str) -> subprocess.CompletedProcess[str]:
    return make(sandbox, "run", **arguments)


def make(sandbox: RunningSandbox, command: str, **arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {VARIABLE: str(sandbox.sandbox.home.path), "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    words = [f"{name}={value}" for name, value in arguments.items()]
    return subprocess.run(
        ["make", "-s", "-C", str(REPOSITORY), command, *words],
        env=environment,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def folder_with(folder: Path, files: Mapping[str, bytes]) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


def write_state(home: Home, run_id: str, state: str) -> None:
    """Give a DAG run another state, behind the back of Airflow's API."""
    with sqlite3.connect(database(home), timeout=30) as airflow:
        airflow.execute("update dag_run set state = ? where run_id = ?", [state, run_id])


def plays(sandbox: RunningSandbox) -> list[list[tuple[str, int]]]:
    """Date and plays in each of the two tables."""
    tables = ("genre_level_kpis", "hourly_kpis")
    return [[(row["day"], int(row["plays"])) for row in sandbox.query(PLAYS.format(table))] for table in tables]


def test_a_run_of_the_users_data_tells_what_became_of_it(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    files = {
        "songs.csv": SONGS,
        "users.csv": USERS,
        "user_streams/my streams.csv": STREAMS,
        "user_streams/wrong one.csv": b"user_id,listen_time\n1,2024-06-25 10:00:00\n",
    }
    params = '{"max_reject_rate": 0.5, "on_invalid_stream_file": "quarantine"}'

    result = make_run(sandbox, DATA=folder_with(tmp_path / "my $data's", files), PARAMS=params)

    assert result.returncode == 0, result.stdout + result.stderr
    told = " ".join(result.stdout.replace("│", " ").split())
    for fact in (
        "rows read 5 1 files",
        "events accepted 3",
        "duplicate 1",
        "rejected 1 20.00% of 50% allowed: track_id is missing 1",
        "dates computed 1 2024-06-25 to 2024-06-25",
        "rows merged 2 genre_level_kpis",
        "rows merged 2 hourly_kpis",
        "files archived 1",
        "files refused 1 wrong one.csv",
        "✔ move_files",
        "genre_level_kpis on 2024-06-25: 2 of 2 rows",
        'A "quoted", title',
    ):
        assert fact in told
    assert plays(sandbox) == [[("2024-06-25", 3)], [("2024-06-25", 3)]]
    places = dict(re.findall(r"^  (\w[\w ]*\w)  +(http\S+)", result.stdout, re.MULTILINE))
    assert set(places) == {"validation pages", "dbt docs", "page of charts", "Airflow"}
    for link in places.values():
        requests.get(link, timeout=30).raise_for_status()
    for name, word in IN_AIRFLOW.items():
        page = f"{sandbox.sandbox.ports.airflow_url}/cosmos/{name}/dbt_docs_index.html"
        assert word in requests.get(page, timeout=30).text
    assert make(sandbox, "report").stdout == f"The page of charts is at {places['page of charts']}\n"
    (archived,) = sandbox.keys("user-streams-archived/")
    event_file = f"{sandbox.sandbox.ports.aws_endpoint}/{sandbox.bucket}/{layout.ROOT}/{archived}"
    assert requests.get(event_file, timeout=30).status_code == HTTPStatus.FORBIDDEN


def test_a_run_that_fails_names_the_task_its_error_and_its_log(sandbox: RunningSandbox, tmp_path: Path) -> None:
    sandbox.empty()
    files = {"songs.csv": SONGS, "users.csv": USERS, "user_streams/wrong.csv": b"user_id,listen_time\n"}

    result = make_run(sandbox, DATA=folder_with(tmp_path, files))

    assert result.returncode != 0
    assert "validate_datasets failed" in result.stdout
    assert "user_streams/wrong.csv: column 'track_id' is missing" in result.stdout
    (log,) = (line.split(maxsplit=2)[2] for line in result.stdout.splitlines() if line.startswith("  its log"))
    assert Path(log).is_file()


def test_params_that_the_dag_does_not_take_are_refused_in_one_sentence(sandbox: RunningSandbox) -> None:
    value = make_run(sandbox, PARAMS='{"max_reject_rate": 7}')
    name = make_run(sandbox, PARAMS='{"recompute_form": "2024-06-25"}')

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
    for server in sandbox.sandbox.processes.running().values():
        server.send_signal(signal.SIGKILL)
    sandbox.sandbox.start()
    run = sandbox.run({"max_reject_rate": 0.5})

    assert run.state == "success", run.errors
    assert plays(sandbox) == [[("2024-06-25", 3)], [("2024-06-25", 3)]]
    assert sandbox.keys("user_streams/") == []
    assert {Path(key).name for key in sandbox.keys("user-streams-archived/")} == {"a.csv"}
