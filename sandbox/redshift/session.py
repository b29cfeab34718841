"""Serves one client's session: translates statements, sends them to a PostgreSQL session, and relays the answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest

from sandbox.redshift import wire
from sandbox.redshift.backend import Backend, BackendError
from sandbox.redshift.copy_command import CopyCommand
from sandbox.redshift.dialect import Statement, refusal_statement, translate
from sandbox.redshift.errors import NOT_SUPPORTED, RefusedError, in_redshifts_words
from sandbox.redshift.login import Login
from sandbox.redshift.statement_log import StatementLog
from sandbox.redshift.wire import Channel, DisconnectedError, message

_MESSAGES_AT_A_TIME = 1000
_KNOWN_MESSAGES = (wire.PARSE, wire.BIND, wire.DESCRIBE, wire.EXECUTE, wire.CLOSE, wire.SYNC, wire.QUERY)


@dataclass
class Batch:
    """The messages that a client sends before it waits for an answer, and the statements that they prepare and run."""

    messages: list[bytes] = field(default_factory=list)
    prepared: list[Statement] = field(default_factory=list)
    executed: list[Statement] = field(default_factory=list)


@dataclass
class Answer:
    """The tags of a batch's successful statements, the error that ended the batch, and the messages still to send."""

    tags: list[str] = field(default_factory=list)
    error: dict[str, str] | None = None
    unsent: list[bytes] = field(default_factory=list)

    def add(self, kind: bytes, body: bytes) -> None:
        """Adds one message."""
        if kind in (wire.COMPLETE, wire.EMPTY):
            self.tags.append(body[:-1].decode())
        elif kind == wire.ERROR:
            self.error = in_redshifts_words(wire.error_fields(body))
            body = wire.error_body(self.error)
        self.unsent.append(message(kind, body))


class Session:
    """A client that has logged in, and the PostgreSQL session that it got."""

    def __init__(
        self,
        login: Login,
        client: Channel,
        backend: Backend,
        copy: Callable[[Backend, CopyCommand], None],
        log: StatementLog,
    ) -> None:
        self._login, self._client, self._backend, self._copy, self._log = login, client, backend, copy, log
        self._statements: dict[bytes, Statement] = {}
        self._portals: dict[bytes, Statement] = {}

    def run(self) -> None:
        """Serves the client until it leaves.

        Raises:
            DisconnectedError: the client or PostgreSQL disconnected.
        """
        while batch := self._next_batch():
            self._serve(batch)

    def _next_batch(self) -> Batch | None:
        """Returns the messages until the client waits for an answer; None if it ends the session."""
        batch = Batch()
        while True:
            kind, body = self._client.read_message()
            if kind == wire.TERMINATE:
                return None
            if kind == wire.FLUSH:  # the client sends one after each message, and a Sync always follows
                continue
            if kind not in _KNOWN_MESSAGES:
                self._client.send(message(wire.ERROR, wire.error("08P01", f"unknown message {kind!r}", "FATAL")))
                raise DisconnectedError(f"unknown message {kind!r}")
            batch.messages.append(message(kind, self._translated(kind, body, batch)))
            if kind in (wire.SYNC, wire.QUERY):
                return batch

    def _translated(self, kind: bytes, body: bytes, batch: Batch) -> bytes:
        """Returns the message's body for PostgreSQL; records the statements that are prepared, bound and run."""
        if kind == wire.PARSE:
            name, sql, parameters = body.split(b"\0", 2)
            statement = self._statements[name] = translate(sql.decode())
            batch.prepared.append(statement)
            return name + b"\0" + wire.cstring(statement.sql) + parameters
        if kind == wire.QUERY:
            batch.executed.append(translate(body[:-1].decode()))
            return wire.cstring(batch.executed[0].sql)
        if kind == wire.BIND:
            portal, name, _ = body.split(b"\0", 2)
            if name in self._statements:
                self._portals[portal] = self._statements[name]
        if kind == wire.CLOSE and body[:1] == b"S":
            self._statements.pop(body[1:-1], None)
        if kind == wire.EXECUTE and (bound := self._portals.get(body.split(b"\0", 1)[0])):
            batch.executed.append(bound)
        return body

    def _serve(self, batch: Batch) -> None:
        started, answer = datetime.now(UTC), Answer()
        try:
            self._copy_first(batch.executed)
            self._backend.send(*batch.messages)
            self._relay(batch, answer)
        except BackendError as error:  # the COPY failed, and no message of the batch was sent
            answer.add(wire.ERROR, error.body)
            answer.add(wire.READY, self._backend.status)
        finally:
            for statement, tag in zip_longest(
                (batch.executed or (batch.prepared if answer.error else []))[: len(answer.tags) + 1], answer.tags
            ):
                self._log.write(self._login, statement.original, started, tag, None if tag else answer.error)
            self._client.send(*answer.unsent)  # after writing the log, which the client may read next

    def _copy_first(self, executed: list[Statement]) -> None:
        """Runs the batch's COPY; PostgreSQL then gets an empty statement in its place.

        Raises:
            BackendError: the COPY failed; PostgreSQL has aborted the transaction.
        """
        try:
            if command := _only_copy(executed):
                self._copy(self._backend, command)
        except RefusedError as refusal:
            if self._backend.status != wire.FAILED:
                self._backend.query(refusal_statement(refusal))
            raise BackendError(wire.error(refusal.sqlstate, refusal.text)) from refusal

    def _relay(self, batch: Batch, answer: Answer) -> None:
        """Relays PostgreSQL's messages, except the last ones, which stay in the answer."""
        while True:
            kind, body = self._backend.read_message()
            if kind == wire.EMPTY and batch.executed and batch.executed[0].copy:
                kind, body = wire.COMPLETE, b"COPY\0"
            if kind == wire.READY and body == wire.IN_TRANSACTION and not answer.error:
                if any(statement.commits for statement in batch.executed):
                    self._backend.query("commit")
                body = self._backend.status
            answer.add(kind, body)
            if kind == wire.READY:
                return
            if len(answer.unsent) == _MESSAGES_AT_A_TIME:
                self._client.send(*answer.unsent)
                answer.unsent.clear()


def _only_copy(executed: list[Statement]) -> CopyCommand | None:
    copies = [statement.copy for statement in executed if statement.copy]
    if copies and len(executed) > 1:
        raise RefusedError("COPY must be sent alone", NOT_SUPPORTED)
    return copies[0] if copies else None
