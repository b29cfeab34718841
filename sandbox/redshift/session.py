"""One client's session: every statement is translated, sent to the PostgreSQL session behind, and its answer relayed."""

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import zip_longest
from typing import TYPE_CHECKING

from sandbox.redshift import wire
from sandbox.redshift.backend import Backend, BackendError, refusal_statement
from sandbox.redshift.copy_command import CopyCommand
from sandbox.redshift.copy_load import load
from sandbox.redshift.dialect import Passed, Truncate, translate
from sandbox.redshift.errors import NOT_SUPPORTED, Refused, in_redshifts_words
from sandbox.redshift.statement_log import StatementLog
from sandbox.redshift.wire import Channel, Disconnected, message

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The version that Redshift reports. server_protocol_version is left out: versions 1 and 2 have encodings of Redshift's own.
SERVER_VERSION = b"8.0.2"
_STARTUP_PARAMETERS = ("user", "database", "application_name", "client_encoding", "options")
_MD5_PASSWORD = 5
_MESSAGES_AT_A_TIME = 1000
_KNOWN_MESSAGES = (wire.PARSE, wire.BIND, wire.DESCRIBE, wire.EXECUTE, wire.CLOSE, wire.SYNC, wire.QUERY)


@dataclass(frozen=True)
class Statement:
    """A statement as the client sent it, and what is done for it: PostgreSQL runs `sql`, after the gateway ran `action`."""

    original: str
    sql: str
    action: Truncate | CopyCommand | None = None


@dataclass
class Batch:
    """What a client sends before it waits: messages for PostgreSQL, and the statements that they prepare and run."""

    messages: list[bytes] = field(default_factory=list)
    prepared: list[Statement] = field(default_factory=list)
    executed: list[Statement] = field(default_factory=list)


@dataclass
class Answer:
    """The answer to a batch: a tag for each statement that succeeded, the error that ended it, and what is still to send."""

    tags: list[str] = field(default_factory=list)
    error: dict[str, str] | None = None
    unsent: list[bytes] = field(default_factory=list)

    def add(self, kind: bytes, body: bytes) -> None:
        """Takes in one message of PostgreSQL's."""
        if kind in (wire.COMPLETE, wire.EMPTY):
            self.tags.append(body[:-1].decode())
        elif kind == wire.ERROR:
            self.error = in_redshifts_words(wire.error_fields(body))
            body = wire.error_body(self.error)
        self.unsent.append(message(kind, body))


class Session:
    """A client that has asked for a session, and the PostgreSQL session that it gets."""

    def __init__(self, client: Channel, backend: Backend, s3: "S3Client", log: StatementLog) -> None:
        self._client, self._backend, self._s3, self._log = client, backend, s3, log
        self._statements: dict[bytes, Statement] = {}
        self._portals: dict[bytes, Statement] = {}
        self._number = 0

    def run(self, startup_body: bytes) -> None:
        """Logs the client in and serves it until it leaves.

        Raises:
            Disconnected: the client or PostgreSQL went away.
        """
        words = startup_body.rstrip(b"\0").decode().split("\0")
        asked = dict(zip(words[::2], words[1::2], strict=False))
        self._backend.send(wire.startup({name: asked[name] for name in _STARTUP_PARAMETERS if name in asked}))
        self._log_in()
        while batch := self._next_batch():
            self._serve(batch)

    def _log_in(self) -> None:
        """PostgreSQL checks the password; the gateway only passes the messages on."""
        while True:
            kind, body = self._backend.read_message()
            if kind == wire.PARAMETER_STATUS and body.startswith(b"server_version\0"):
                body = b"server_version\0" + SERVER_VERSION + b"\0"
            elif kind == wire.BACKEND_KEY:
                (self._number,) = struct.unpack_from("!i", body)
            self._client.send(message(kind, body))
            if kind == wire.AUTHENTICATION and struct.unpack_from("!i", body)[0] == _MD5_PASSWORD:
                self._backend.send(message(*self._client.read_message()))
            if kind == wire.ERROR:
                raise Disconnected("login refused")
            if kind == wire.READY:
                return

    def _next_batch(self) -> Batch | None:
        """The messages up to the point where the client waits for an answer; None when it says goodbye."""
        batch = Batch()
        while True:
            kind, body = self._client.read_message()
            if kind == wire.TERMINATE:
                return None
            if kind == wire.FLUSH:  # the client sends one after each message, and a Sync always follows
                continue
            if kind not in _KNOWN_MESSAGES:
                self._client.send(message(wire.ERROR, wire.error("08P01", f"unknown message {kind!r}", "FATAL")))
                raise Disconnected(f"unknown message {kind!r}")
            batch.messages.append(message(kind, self._translated(kind, body, batch)))
            if kind in (wire.SYNC, wire.QUERY):
                return batch

    def _translated(self, kind: bytes, body: bytes, batch: Batch) -> bytes:
        """The message's body for PostgreSQL; takes down which statements are prepared, bound and run."""
        if kind == wire.PARSE:
            name, sql, parameters = body.split(b"\0", 2)
            statement = self._statements[name] = _statement(sql.decode())
            batch.prepared.append(statement)
            return name + b"\0" + wire.cstring(statement.sql) + parameters
        if kind == wire.QUERY:
            statement = _statement(body[:-1].decode())
            batch.executed.append(statement)
            return wire.cstring(statement.sql)
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
        started = datetime.now(UTC)
        try:
            tag = self._act(batch.executed) if any(statement.action for statement in batch.executed) else ""
            self._backend.send(*batch.messages)
            answer = self._relay(tag)
        except BackendError as error:  # of the gateway's own statement: nothing of the batch was sent
            answer = Answer()
            answer.add(wire.ERROR, error.body)
            answer.add(wire.READY, self._backend.status)
        statements = batch.executed or (batch.prepared if answer.error else [])
        for statement, tag in zip_longest(statements[: len(answer.tags) + 1], answer.tags):
            self._log.write(self._number, statement.original, started, tag, None if tag else answer.error)
        self._client.send(*answer.unsent)  # after the log, in which the client may look

    def _act(self, executed: list[Statement]) -> str:
        """Does what PostgreSQL cannot do for a statement, in the client's session, and returns the tag of its success."""
        action = executed[0].action
        try:
            if len(executed) > 1 or action is None:
                raise Refused("COPY and TRUNCATE must be sent alone", NOT_SUPPORTED)
            if isinstance(action, CopyCommand):
                load(self._backend, self._s3, action)
                return "COPY"
            self._backend.query(action.sql)
            if self._backend.status == wire.IN_TRANSACTION:
                self._backend.query("commit")
            return "TRUNCATE"
        except Refused as refusal:
            if self._backend.status != wire.FAILED:
                self._backend.fail(refusal)
            raise BackendError(wire.error(refusal.sqlstate, refusal.text)) from refusal

    def _relay(self, tag: str) -> Answer:
        """Passes PostgreSQL's messages on, but for the last ones; `tag` takes the place of an empty statement's answer."""
        answer = Answer()
        while True:
            kind, body = self._backend.read_message()
            if kind == wire.EMPTY and tag:
                kind, body = wire.COMPLETE, wire.cstring(tag)
            answer.add(kind, body)
            if kind == wire.READY:
                return answer
            if len(answer.unsent) == _MESSAGES_AT_A_TIME:
                self._client.send(*answer.unsent)
                answer.unsent.clear()


def _statement(sql: str) -> Statement:
    try:
        translation = translate(sql)
    except Refused as refusal:
        return Statement(sql, refusal_statement(refusal))
    if isinstance(translation, Passed):
        return Statement(sql, translation.sql)
    # An empty statement stands for it, so that PostgreSQL keeps the client's prepared statements and portals as usual.
    return Statement(sql, "", translation)
