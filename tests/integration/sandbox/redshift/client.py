"""What an analyst's or dbt's session does: run a statement, read its rows, meet its error, or end."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest
import redshift_connector
from redshift_connector.error import ProgrammingError

from sandbox.redshift.warehouse import Warehouse


def run(connection: Any, sql: str, *values: object) -> list[tuple[Any, ...]]:
    """Runs one statement and returns its rows."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else []


def error(connection: Any, sql: str) -> str:
    """Runs a statement that must fail and returns `sqlstate: message`."""
    with pytest.raises(ProgrammingError) as failure:
        run(connection, sql)
    fields = failure.value.args[0]
    return f"{fields['C']}: {fields['M']}"


def connect(port: int, password: str, user: str = "sandbox", database: str = "dev") -> Any:
    """A session as redshift_connector opens it."""
    return redshift_connector.connect(
        host="127.0.0.1",
        port=port,
        user=user,
        password=password,
        database=database,
        ssl=False,
        application_name="tests",  # else the client inspects its whole stack for the caller's name
    )


def wait_for(rows: Callable[[], list[Any]]) -> list[Any]:
    """What the function returns, as soon as it is not empty."""
    deadline = time.monotonic() + 30
    while not (found := rows()):
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)  # the gateway's threads, in this process, want to run as well
    return found


def wait_for_activity(warehouse: Warehouse, backend: int, statement: str = "with recursive") -> None:
    """Returns when the statement runs."""
    observer = warehouse.connect()
    observer.autocommit = True
    running = f"pid = {backend} and state = 'active' and query like '{statement}%'"
    wait_for(lambda: run(observer, f"select 1 from pg_stat_activity where {running}"))
    observer.close()


def wait_for_end(backend: int) -> None:
    """Returns when the PostgreSQL session, which is a process, has ended."""
    with suppress(psutil.NoSuchProcess):
        psutil.Process(backend).wait(30)


def gateway_threads(at_most: int) -> int:
    """How many threads serve clients, as soon as there are no more than these."""
    return len(wait_for(lambda: [found] if len(found := _serving()) <= at_most else [])[0])


def _serving() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "process_request" in thread.name]
