"""SQL on the sandbox's warehouse, as any client of Redshift sends it."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

import redshift_connector
from redshift_connector.core import Connection
from redshift_connector.error import Error

from sandbox.home import Home
from sandbox.processes import NotReadyError
from sandbox.settings import DATABASE, DATABASE_USER, HOST, SCHEMA_PREFIX, Ports

# The KPI tables are found without their schema.
SEARCH_PATH = f"{SCHEMA_PREFIX}_reporting, {SCHEMA_PREFIX}_staging, public"
CONNECT_SECONDS = 10
# The limits of a stage, as infra/templates/warehouse.yaml has them by default.
STATEMENT_TIMEOUT_MINUTES, SESSION_TIMEOUT_MINUTES = 30, 10


@contextmanager
def connection(home: Home, ports: Ports) -> Iterator[Connection]:
    """A connection that commits each statement."""
    session = redshift_connector.connect(
        host=HOST,
        port=ports.redshift,
        database=DATABASE,
        user=DATABASE_USER,
        password=home.secrets().redshift_password,
        ssl=False,
        timeout=CONNECT_SECONDS,
        tcp_keepalive=True,
    )
    try:
        session.autocommit = True
        yield session
    finally:
        session.close()


def select(home: Home, ports: Ports, sql: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
    """Return the rows of a statement; an empty list if it has none."""
    with connection(home, ports) as session, session.cursor() as cursor:
        cursor.execute(f"set search_path to {SEARCH_PATH}")
        cursor.execute(sql, tuple(values) or None)
        if cursor.description is None:
            return []
        names = [column_name(column) for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def write_csv(home: Home, ports: Ports, sql: str, output: TextIO) -> None:
    """Run one statement and write its rows as CSV with a header; NULL is the empty field."""
    with connection(home, ports) as session, session.cursor() as cursor:
        cursor.execute(f"set search_path to {SEARCH_PATH}")
        cursor.execute(sql)
        if cursor.description is None:
            return
        writer = csv.writer(output, lineterminator="\n")
        writer.writerow([column_name(column) for column in cursor.description])
        writer.writerows(cursor.fetchall())


def limit_sessions(home: Home, ports: Ports) -> None:
    """Give the user the limits that a deployment gives to dbt's, for the sessions that begin from now on."""
    with connection(home, ports) as session, session.cursor() as cursor:
        cursor.execute(f"alter user {DATABASE_USER} set statement_timeout to {STATEMENT_TIMEOUT_MINUTES * 60_000}")
        cursor.execute(f"alter user {DATABASE_USER} session timeout {SESSION_TIMEOUT_MINUTES * 60}")


def check(home: Home, ports: Ports) -> None:
    """Readiness of the warehouse.

    Raises:
        NotReadyError: it does not answer a query yet.
    """
    try:
        with connection(home, ports) as session, session.cursor() as cursor:
            cursor.execute("select 1")
    except (Error, OSError) as error:
        raise NotReadyError(f"no answer to a query on port {ports.redshift}: {error}") from error


def message(error: Error) -> str:
    """The server's message, without the protocol's field letters."""
    fields = error.args[0] if error.args else str(error)
    if not isinstance(fields, dict):
        return str(fields)
    return "\n".join(str(fields[letter]) for letter in ("M", "D", "H") if fields.get(letter))


def column_name(column: Sequence[Any]) -> str:
    """The name in a cursor's description, which is bytes in some versions of the driver."""
    name = column[0]
    return name.decode() if isinstance(name, bytes) else str(name)
