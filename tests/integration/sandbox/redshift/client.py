"""What an analyst's or dbt's session does: run a statement, read its rows, or meet its error."""

from typing import Any

import pytest
import redshift_connector
from redshift_connector.error import ProgrammingError


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
        host="127.0.0.1", port=port, user=user, password=password, database=database, ssl=False
    )
