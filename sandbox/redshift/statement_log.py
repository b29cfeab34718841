"""Logs the statements that clients sent, in JSON lines; the translated SQL would not show what Redshift would get."""

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path

from sandbox.redshift.login import Login

LONGEST_LOG = 64 * 1024 * 1024


class StatementLog:
    """A log with one line per statement: its sender, text, time and outcome.

    Keys: time, session, user, sql, seconds, outcome (the tag, null after an error), error, sqlstate.
    """

    def __init__(self, path: Path) -> None:
        """Starts a new log; the previous one is kept as `path`.1."""
        self._handler = RotatingFileHandler(path, maxBytes=LONGEST_LOG, backupCount=1, encoding="utf-8")
        if path.stat().st_size:
            self._handler.doRollover()

    def write(
        self, login: Login, sql: str, started: datetime, outcome: str | None, error: dict[str, str] | None
    ) -> None:
        """Writes one statement's line; sessions may write at the same time."""
        entry = {
            "time": started.isoformat(),
            "session": login.number,
            "user": login.user,
            "sql": sql,
            "seconds": round((datetime.now(UTC) - started).total_seconds(), 6),
            "outcome": outcome,
            "error": error["M"] if error else None,
            "sqlstate": error["C"] if error else None,
        }
        line = json.dumps(entry, ensure_ascii=False)
        self._handler.handle(logging.makeLogRecord({"msg": line}))

    def close(self) -> None:
        """Closes the file."""
        self._handler.close()
