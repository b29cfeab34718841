"""The end of a sandbox that nobody uses: a process that watches for an hour without use, and then stops all others.

In use means: a command of make has started servers, some program is connected to one of them, a statement has reached
the warehouse, or a DAG run is under way.
"""

import argparse
import os
import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psutil

from sandbox.home import REPOSITORY, Home, SandboxError
from sandbox.processes import STATE, Processes, Server, children_of, python

NAME = "idle"
VARIABLE = "MUSIC_STREAMS_SANDBOX_IDLE_MINUTES"
DEFAULT_MINUTES = 60.0
LAST_USE = "last-use"
LONGEST_PAUSE_SECONDS = 60.0
LOOPBACK = "127.0.0.1"  # the address on which all servers listen


def minutes_until_stop(environment: Mapping[str, str] = os.environ) -> float:
    """Return the minutes without use after which the sandbox stops; 0 if it never stops by itself.

    Raises:
        SandboxError: the setting is not a number of minutes.
    """
    value = environment.get(VARIABLE) or DEFAULT_MINUTES
    try:
        minutes = float(value)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes < float("inf"):
        raise SandboxError(f"{VARIABLE} is {value!r}: set it to a number of minutes, or to 0 for a sandbox that stays")
    return minutes


def server(home: Home, minutes: float, environment: Mapping[str, str]) -> Server:
    """Return the process that watches for use."""
    return Server(
        name=NAME,
        command=python("-m", "sandbox.idle", "--home", str(home.path), "--minutes", f"{minutes:g}"),
        environment=environment,
        check=lambda _started: None,
        sources=[REPOSITORY / "sandbox" / "idle.py"],
        dispensable=True,
        working_directory=REPOSITORY,
    )


def note_use(home: Home) -> None:
    """Note that the sandbox is in use at this moment."""
    home.remember(LAST_USE, time.time())


def is_in_use(home: Home) -> bool:
    """Return whether a program is connected to a server, or a DAG run is under way."""
    return has_clients(home) or has_active_run(home)


def last_use(home: Home) -> float:
    """Return the time of the last command or statement, in Unix seconds; 0 if there was none."""
    statements = home.path / "redshift" / "statements.jsonl"
    return max(home.recall(LAST_USE) or 0.0, statements.stat().st_mtime if statements.exists() else 0.0)


def has_clients(home: Home) -> bool:
    """Return whether a program from outside the sandbox is connected to one of its servers."""
    ports = set((home.recall("ports") or {}).values())
    servers = Processes(home, {}).running().values()
    own = {process.pid for server in servers for process in (server, *children_of(server))}
    return any(
        connection.status == psutil.CONN_ESTABLISHED
        and connection.raddr
        and connection.raddr.port in ports
        and connection.raddr.ip == LOOPBACK
        and connection.pid not in own
        for connection in psutil.net_connections("tcp")
    )


def has_active_run(home: Home) -> bool:
    """Return whether Airflow's database holds an unfinished DAG run, and the scheduler is running to finish it."""
    database = home.path / "airflow" / "airflow.db"
    if not database.exists() or "airflow-scheduler" not in Processes(home, {}).running():
        return False
    with closing(sqlite3.connect(f"file:{database.as_posix()}?mode=ro", uri=True)) as connection:
        try:
            found = connection.execute("select 1 from dag_run where state in ('queued', 'running') limit 1").fetchone()
        except sqlite3.OperationalError:  # locked, or about to be made
            return True
    return found is not None


def stop_when_idle(home: Home, seconds: float) -> None:
    """Wait until the sandbox has been unused for so many seconds, then stop all its processes except this one."""
    seen = time.time()
    while True:
        time.sleep(min(LONGEST_PAUSE_SECONDS, seconds / 5))
        if is_in_use(home):
            seen = time.time()
        if time.time() - max(seen, last_use(home)) < seconds:
            continue
        # A command may just have started: it would hold the lock, and note its use of the sandbox.
        with home.locked("lifecycle", lambda: None):
            if time.time() - last_use(home) >= seconds and not is_in_use(home):
                Processes(home, {}).stop(set(home.recall(STATE) or {}) - {NAME})
                print(f"Not in use for {seconds / 60:g} minutes: the sandbox is stopped", flush=True)
                return


def main(arguments: Sequence[str] | None = None) -> None:
    """Watch the sandbox of a folder."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.idle", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    options = parser.parse_args(arguments)
    stop_when_idle(Home(options.home), options.minutes * 60)


if __name__ == "__main__":
    main()
