"""A sandbox that nobody uses stops, and one in use does not. The servers are toys."""

import os
import socket
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from sandbox import idle
from sandbox.home import REPOSITORY, Home, SandboxError
from sandbox.processes import Processes, Server, has_ended, wait_gone
from sandbox.settings import HOST

SECONDS = 0.6
# Listens on a free port, which it prints.
SERVER = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    while True:
        server.accept()[0].recv(1)
"""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def servers(home: Home) -> Iterator[Processes]:
    found = Processes(home, os.environ)
    found.start([toy("toy"), toy("airflow-scheduler")])
    yield found
    found.stop()


def toy(name: str) -> Server:
    return Server(name, [sys.executable, "-c", SERVER], {}, lambda _started: None)


def port_of(servers: Processes, home: Home) -> int:
    """The port of the toy, once it listens; the sandbox knows it."""
    while not (text := servers.log("toy").read_text().strip()):
        assert "toy" in servers.running()
    home.remember("ports", {"toy": int(text)})
    return int(text)


def test_a_sandbox_without_use_stops_and_so_does_what_watched_it(servers: Processes, home: Home) -> None:
    processes = list(servers.running().values())
    servers.start([idle.server(home, SECONDS / 60, {"PYTHONPATH": str(REPOSITORY)})])
    watch = servers.running()[idle.NAME]

    assert wait_gone([*processes, watch], 30) == []
    assert "the sandbox is stopped" in servers.log(idle.NAME).read_text()
    assert servers.running() == {}


def test_a_connected_program_is_a_use(servers: Processes, home: Home) -> None:
    port = port_of(servers, home)
    assert not idle.is_in_use(home)
    with socket.create_connection((HOST, port)):
        assert idle.is_in_use(home)


def test_a_command_is_a_use(home: Home) -> None:
    assert idle.last_use(home) == 0
    idle.note_use(home)
    assert idle.last_use(home) == pytest.approx(time.time(), abs=60)


def test_a_statement_is_a_use(home: Home) -> None:
    statements = home.redshift / "statements.jsonl"
    statements.touch()
    assert idle.last_use(home) == statements.stat().st_mtime


@pytest.mark.parametrize(("state", "in_use"), [("running", True), ("queued", True), ("success", False), (None, False)])
def test_a_run_under_way_is_a_use(servers: Processes, home: Home, state: str | None, in_use: bool) -> None:
    with closing(sqlite3.connect(home.airflow / "airflow.db")) as connection, connection:
        connection.execute("create table dag_run (state text)")
        connection.execute("insert into dag_run values (?)", [state])
    assert idle.is_in_use(home) == in_use


def test_a_run_that_no_scheduler_will_end_is_none(servers: Processes, home: Home) -> None:
    with closing(sqlite3.connect(home.airflow / "airflow.db")) as connection, connection:
        connection.execute("create table dag_run as select 'running' as state")
    servers.stop(["airflow-scheduler"])
    assert not idle.is_in_use(home)


def test_a_use_in_the_last_moment_keeps_the_sandbox(
    servers: Processes, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command holds the lock and has noted its use while the watch waits for the lock."""

    class UsedOnceError(Exception):
        pass

    locked = Home.locked

    def lock_behind_a_command(self: Home, name: str, on_wait: object) -> object:
        if idle.last_use(home):
            raise UsedOnceError  # it watches on: the second time is the end of the test
        idle.note_use(home)
        return locked(self, name, on_wait)  # type: ignore[arg-type]

    monkeypatch.setattr(Home, "locked", lock_behind_a_command)
    with pytest.raises(UsedOnceError):
        idle.stop_when_idle(home, 0.1)
    assert not any(has_ended(process) for process in servers.running().values())
    assert set(servers.running()) == {"toy", "airflow-scheduler"}


def test_the_minutes_are_a_setting() -> None:
    assert idle.minutes_until_stop({}) == 60
    assert idle.minutes_until_stop({idle.VARIABLE: "1.5"}) == 1.5
    assert idle.minutes_until_stop({idle.VARIABLE: "0"}) == 0


@pytest.mark.parametrize("value", ["an hour", "-1", "inf", "nan"])
def test_what_is_no_number_of_minutes_is_refused(value: str) -> None:
    with pytest.raises(SandboxError, match=f"{idle.VARIABLE} is '{value}': set it to a number of minutes"):
        idle.minutes_until_stop({idle.VARIABLE: value})
