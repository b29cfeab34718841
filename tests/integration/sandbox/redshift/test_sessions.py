"""Sessions: who may log in, many at once, cancelled, abandoned."""

import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import psutil
import pytest
from redshift_connector.error import InterfaceError, ProgrammingError

from sandbox.redshift.warehouse import Warehouse
from tests.integration.sandbox.redshift.client import connect, error, run
from tests.integration.sandbox.redshift.conftest import PASSWORD, Lake

ENDLESS = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000000000) select count(*) from n"
SSL_REQUEST, CANCEL_REQUEST = 80877103, 80877102


@pytest.mark.parametrize(
    ("user", "password", "database"),
    [
        ("sandbox", "wrong", "dev"),
        ("sandbox", "", "dev"),
        ("rdsdb", PASSWORD, "dev"),
        ("nobody", PASSWORD, "dev"),
        ("sandbox", PASSWORD, "template1"),
    ],
)
def test_only_the_user_with_the_password_gets_into_the_database(
    warehouse: Warehouse, user: str, password: str, database: str
) -> None:
    with pytest.raises((ProgrammingError, InterfaceError)) as failure:
        connect(warehouse.port, password, user, database)
    assert failure.value.args[0]["C"] in ("28P01", "28000")


def test_the_user_is_no_superuser(session: Any) -> None:
    assert run(session, "select usesuper from pg_user where usename = current_user") == [(False,)]
    assert error(session, "select pg_read_file('/etc/passwd')").startswith("42501")


def test_a_client_that_asks_for_tls_is_told_to_go_on_without(warehouse: Warehouse) -> None:
    with socket.create_connection(("127.0.0.1", warehouse.port)) as client:
        client.sendall(struct.pack("!ii", 8, SSL_REQUEST))
        assert client.recv(1) == b"N"
        parameters = b"user\0sandbox\0database\0dev\0\0"
        client.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)
        assert client.recv(1) == b"R"


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x04", b"\xff" * 64, struct.pack("!ii", 8, 3), b"\0"]
)
def test_garbage_ends_only_its_own_connection(warehouse: Warehouse, session: Any, garbage: bytes) -> None:
    with socket.create_connection(("127.0.0.1", warehouse.port), timeout=30) as client:
        client.sendall(garbage)
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""
    assert run(session, "select 1") == [(1,)]


def test_the_server_reports_redshifts_version(session: Any) -> None:
    assert (b"server_version", b"8.0.2") in session.parameter_statuses


def test_twelve_sessions_work_at_once(open_session: Callable[[], Any]) -> None:
    run(first := open_session(), "create table t (worker int, round int)")
    first.commit()

    def work(worker: int) -> int:
        session = open_session()
        for round_ in range(20):
            run(session, "insert into t values (%s, %s)", worker, round_)
            session.commit()
        (count,) = run(session, f"select count(*) from t where worker = {worker}")[0]
        session.commit()
        return int(count)

    with ThreadPoolExecutor(12) as workers:
        assert list(workers.map(work, range(12))) == [20] * 12
    assert run(first, "select count(*) from t") == [(240,)]


def test_a_cancel_request_ends_the_running_statement(warehouse: Warehouse, session: Any) -> None:
    run(session, "create table t (i int)")
    session.commit()
    with ThreadPoolExecutor(1) as worker, socket.create_connection(("127.0.0.1", warehouse.port)) as client:
        backend = run(session, "select pg_backend_pid()")[0][0]
        running = worker.submit(error, session, ENDLESS)
        _wait_for_activity(warehouse, backend)
        client.sendall(struct.pack("!ii", 16, CANCEL_REQUEST) + session._backend_key_data)
        assert client.recv(1) == b""
        assert running.result(timeout=30).startswith("57014")
    session.rollback()
    assert run(session, "select count(*) from t") == [(0,)]


def test_a_wrong_cancel_key_ends_nothing(warehouse: Warehouse, session: Any) -> None:
    with socket.create_connection(("127.0.0.1", warehouse.port)) as client:
        client.sendall(struct.pack("!ii", 16, CANCEL_REQUEST) + session._backend_key_data[:4] + b"\0\0\0\0")
        assert client.recv(1) == b""
    assert run(session, "select 1") == [(1,)]


def test_dbts_way_of_cancelling_ends_the_session(open_session: Callable[[], Any]) -> None:
    victim, killer = open_session(), open_session()
    backend = run(victim, "select pg_backend_pid()")[0][0]
    assert run(killer, f"select pg_terminate_backend({backend})") == [(True,)]
    with pytest.raises((ProgrammingError, InterfaceError)):
        run(victim, "select 1")


def test_a_client_that_vanishes_in_a_transaction_leaves_no_session_and_no_lock(
    open_session: Callable[[], Any],
) -> None:
    leaver, other = open_session(), open_session()
    run(leaver, "create table t (i int)")
    leaver.commit()
    run(leaver, "lock t")
    run(leaver, "insert into t values (1)")
    backend = run(leaver, "select pg_backend_pid()")[0][0]
    leaver._usock.shutdown(socket.SHUT_RDWR)
    run(other, "lock t")  # waits until the transaction is gone
    assert run(other, "select count(*) from t") == [(0,)]
    _wait_for_end(backend)


def test_a_client_that_vanishes_while_its_statement_runs_leaves_no_session(
    warehouse: Warehouse, open_session: Callable[[], Any]
) -> None:
    leaver = open_session()
    backend = run(leaver, "select pg_backend_pid()")[0][0]
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(run, leaver, ENDLESS)
        _wait_for_activity(warehouse, backend)
        leaver._usock.shutdown(socket.SHUT_RDWR)
        assert isinstance(running.exception(timeout=30), InterfaceError)
    _wait_for_end(backend)


@pytest.mark.parametrize("ended_by", ["cancel", "hanging up"])
def test_a_copy_that_waits_for_a_lock_can_be_ended(
    warehouse: Warehouse, open_session: Callable[[], Any], lake: Lake, ended_by: str
) -> None:
    owner, loader = open_session(), open_session()
    run(owner, "create table t (i int)")
    owner.commit()
    run(owner, "lock t")
    copy = f"copy t from '{lake.put('f.csv', b'1')}' iam_role default format csv"
    backend = run(loader, "select pg_backend_pid()")[0][0]
    with ThreadPoolExecutor(1) as worker, socket.create_connection(("127.0.0.1", warehouse.port)) as client:
        running = worker.submit(run, loader, copy)
        _wait_for_activity(warehouse, backend, "copy t")
        if ended_by == "cancel":
            client.sendall(struct.pack("!ii", 16, CANCEL_REQUEST) + loader._backend_key_data)
            assert "canceling statement" in str(running.exception(timeout=30))
            assert error(loader, "select 1").startswith("25P02")
        else:
            loader._usock.shutdown(socket.SHUT_RDWR)
            assert isinstance(running.exception(timeout=30), InterfaceError)
            _wait_for_end(backend)
    assert run(owner, "select count(*) from t") == [(0,)]


def _wait_for_activity(warehouse: Warehouse, backend: int, statement: str = "with recursive") -> None:
    """Returns when the statement runs."""
    observer = warehouse.connect()
    observer.autocommit = True
    running = f"pid = {backend} and state = 'active' and query like '{statement}%'"
    query = f"select count(*) from pg_stat_activity where {running}"
    deadline = time.monotonic() + 30
    while run(observer, query) == [(0,)]:
        assert time.monotonic() < deadline
    observer.close()


def _wait_for_end(backend: int) -> None:
    """Returns when the PostgreSQL session, which is a process, has ended."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(backend).wait(30)
