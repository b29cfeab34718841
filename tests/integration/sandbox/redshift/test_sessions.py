"""Sessions: who may log in, many at once, cancelled, abandoned."""

import socket
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pytest
from redshift_connector.error import InterfaceError, ProgrammingError

from sandbox.redshift.warehouse import Warehouse
from tests.integration.sandbox.redshift.client import (
    connect,
    error,
    gateway_threads,
    run,
    wait_for_activity,
    wait_for_end,
)
from tests.integration.sandbox.redshift.conftest import PASSWORD, Download, Lake

ENDLESS = "with recursive n (i) as (select 1 union all select i + 1 from n where i < 2000000000) select count(*) from n"
CANCEL_REQUEST = 80877102


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


def test_eight_sessions_load_and_query_at_once(open_session: Callable[[], Any], lake: Lake) -> None:
    rows, rounds = 30_000, 3
    copies = []
    for worker in range(8):
        url = lake.put_parquet(f"{worker}.parquet", {"w": pa.array([worker] * rows), "i": pa.array(range(rows))})
        manifest = lake.put_manifest(url, name=f"{worker}.json")
        copies.append(f"copy t from '{manifest}' iam_role default format parquet manifest")
    run(first := open_session(), "create table t (worker bigint, i bigint)")
    first.commit()

    def work(worker: int) -> list[tuple[int, int]]:
        session = open_session()
        seen = []
        for _ in range(rounds):
            run(session, copies[worker])
            seen += run(session, f"select count(*), sum(i) from t where worker = {worker}")
            session.commit()
        return seen

    with ThreadPoolExecutor(8) as workers:
        for seen in workers.map(work, range(8)):
            assert seen == [(n * rows, n * sum(range(rows))) for n in range(1, rounds + 1)]
    assert run(first, "select count(*) from t") == [(8 * rounds * rows,)]


def test_a_cancel_request_ends_the_running_statement(warehouse: Warehouse, session: Any) -> None:
    run(session, "create table t (i int)")
    session.commit()
    with ThreadPoolExecutor(1) as worker, socket.create_connection(("127.0.0.1", warehouse.port)) as client:
        backend = run(session, "select pg_backend_pid()")[0][0]
        running = worker.submit(error, session, ENDLESS)
        wait_for_activity(warehouse, backend)
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
    wait_for_end(backend)


def test_a_client_that_vanishes_while_its_statement_runs_leaves_no_session(
    warehouse: Warehouse, open_session: Callable[[], Any]
) -> None:
    leaver = open_session()
    backend = run(leaver, "select pg_backend_pid()")[0][0]
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(run, leaver, ENDLESS)
        wait_for_activity(warehouse, backend)
        leaver._usock.shutdown(socket.SHUT_RDWR)
        assert isinstance(running.exception(timeout=30), InterfaceError)
    wait_for_end(backend)


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
        wait_for_activity(warehouse, backend, "copy t")
        if ended_by == "cancel":
            client.sendall(struct.pack("!ii", 16, CANCEL_REQUEST) + loader._backend_key_data)
            assert "canceling statement" in str(running.exception(timeout=30))
            assert error(loader, "select 1").startswith("25P02")
        else:
            loader._usock.shutdown(socket.SHUT_RDWR)
            assert isinstance(running.exception(timeout=30), InterfaceError)
            wait_for_end(backend)
    assert run(owner, "select count(*) from t") == [(0,)]


@pytest.mark.parametrize("ended_by", ["cancel", "terminate", "hanging up"])
def test_a_copy_that_is_ended_half_way_leaves_nothing_behind(
    warehouse: Warehouse, open_session: Callable[[], Any], lake: Lake, download: Download, ended_by: str
) -> None:
    threads = gateway_threads(at_most=1000)
    loader, other = open_session(), open_session()
    run(other, "create table t (i int)")
    run(other, "create table u (i int)")
    other.commit()
    backend = run(loader, "select pg_backend_pid()")[0][0]
    run(loader, "insert into u values (1)")
    copy = f"copy t from '{lake.put('f.csv', b'1')}' iam_role default format csv"
    with ThreadPoolExecutor(1) as worker, socket.create_connection(("127.0.0.1", warehouse.port)) as client:
        running = worker.submit(run, loader, copy)
        assert download.begun.wait(30)
        if ended_by == "cancel":
            client.sendall(struct.pack("!ii", 16, CANCEL_REQUEST) + loader._backend_key_data)
            assert client.recv(1) == b""
        elif ended_by == "terminate":
            assert run(other, f"select pg_terminate_backend({backend})") == [(True,)]
            wait_for_end(backend)
        else:
            loader._usock.shutdown(socket.SHUT_RDWR)
        download.may_go_on.set()
        failure = running.exception(timeout=30)
    if ended_by == "cancel":
        assert "canceling statement" in str(failure)
        assert error(loader, "select 1").startswith("25P02")
        loader.rollback()
        run(loader, copy)
        assert run(loader, "select i from t") == [(1,)]
        loader.rollback()
    else:
        assert isinstance(failure, InterfaceError)
        wait_for_end(backend)
        gateway_threads(at_most=threads + 1)  # that of `other`
    run(other, "lock table t, u")
    assert run(other, "select i from t union all select i from u") == []


@pytest.mark.parametrize("ended_by", ["terminate", "hanging up"])
def test_a_merge_that_is_ended_half_way_leaves_nothing_behind(
    warehouse: Warehouse, open_session: Callable[[], Any], ended_by: str
) -> None:
    threads = gateway_threads(at_most=1000)
    merger, owner = open_session(), open_session()
    run(owner, "create table t as (select 1 as i, 1 as v union all select 2, 1)")
    run(owner, "create table u as (select 1 as i, 2 as v union all select 2, 2 union all select 3, 2)")
    owner.commit()
    run(owner, "update t set v = 0 where i = 2")
    backend = run(merger, "select pg_backend_pid()")[0][0]
    run(merger, "delete from t where i = 1")
    merge = (
        "merge into t using u on t.i = u.i when matched then update set v = u.v"
        " when not matched then insert values (u.i, u.v)"
    )
    with ThreadPoolExecutor(1) as worker:
        running = worker.submit(run, merger, merge)
        wait_for_activity(warehouse, backend, "merge into t")
        if ended_by == "terminate":
            killer = open_session()
            assert run(killer, f"select pg_terminate_backend({backend})") == [(True,)]
        else:
            merger._usock.shutdown(socket.SHUT_RDWR)
        assert isinstance(running.exception(timeout=30), (InterfaceError, ProgrammingError))
    wait_for_end(backend)
    gateway_threads(at_most=threads + (2 if ended_by == "terminate" else 1))
    owner.rollback()
    run(owner, "lock table t")
    assert run(owner, "select i, v from t order by i") == [(1, 1), (2, 1)]
