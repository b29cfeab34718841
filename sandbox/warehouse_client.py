"""Run SQL on the sandbox's warehouse, in the way of any Redshift client."""

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

# With this path, statements need not name the schema of the KPI tables.
SEARCH_PATH = f"{SCHEMA_PREFIX}_reporting, {SCHEMA_PREFIX}_staging, public"
CONNECT_SECONDS = 10
# The default limits of a stage in infra/templates/warehouse.yaml.
STATEMENT_TIMEOUT_MINUTES, SESSION_TIMEOUT_MINUTES = 30, 10


@contextmanager
def connection(home: Home, ports: Ports) -> Iterator[Connection]:
    """Open a connection that commits each statement."""
    session = redshift_connector.connect(
        host=HOST,
        port=ports.redshift,
        database=DATABASE,
        user=DATABASE_USER,
        password=home.secrets().redshift_password,
        ssl=False,
        timeout=CONNECT_SECONDS,
        tcp_keepalive=True,
        application_name="sandbox",  # otherwise the driver looks for a name in all modules, which takes 0.2 s
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
    """Give the user the limits that a deployment sets for dbt's user; they apply to sessions that start afterwards."""
    with connection(home, ports) as session, session.cursor() as cursor:
        cursor.execute(f"alter user {DATABASE_USER} set statement_timeout to {STATEMENT_TIMEOUT_MINUTES * 60_000}")
        cursor.execute(f"alter user {DATABASE_USER} session timeout {SESSION_TIMEOUT_MINUTES * 60}")


def check(home: Home, ports: Ports) -> None:
    """Check that the warehouse is ready.

    Raises:
        NotReadyError: the warehouse does not answer a query yet.
    """
    try:
        with connection(home, ports) as session, session.cursor() as cursor:
            cursor.execute("select 1")
    except (Error, OSError) as error:
        raise NotReadyError(f"no answer to a query on port {ports.redshift}: {error}") from error


def message(error: Error) -> str:
    """Return the server's message, without the protocol's field letters."""
    fields = error.args[0] if error.args else str(error)
    if not isinstance(fields, dict):
        return str(fields)
    return "\n".join(str(fields[letter]) for letter in ("M", "D", "H") if fields.get(letter))


def column_name(column: Sequence[Any]) -> str:
    """Return a column's name from a cursor's description, where some versions of the driver hold bytes."""
    name = column[0]
    return name.decode() if isinstance(name, bytes) else str(name)
