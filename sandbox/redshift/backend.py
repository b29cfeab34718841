"""Runs the gateway's own statements in a client's PostgreSQL session, and so in the client's transaction."""

import socket
from collections.abc import Iterable
from contextlib import suppress

from sandbox.redshift import wire
from sandbox.redshift.errors import RefusedError
from sandbox.redshift.wire import Channel, message


class BackendError(Exception):
    """PostgreSQL's answer was an error; `body` is the ErrorResponse."""

    def __init__(self, body: bytes) -> None:
        super().__init__(wire.error_fields(body).get("M", ""))
        self.body = body


class Backend(Channel):
    """One PostgreSQL session that belongs to one client."""

    def __init__(self, connection: socket.socket, client: socket.socket) -> None:
        super().__init__(connection, abandoned_with=client)
        self.status = wire.IDLE

    def read_message(self) -> tuple[bytes, bytes]:
        """Returns the next message, and stores the transaction's status."""
        kind, body = super().read_message()
        if kind == wire.READY:
            self.status = body
        return kind, body

    def query(self, sql: str) -> list[list[str | None]]:
        """Runs one statement and returns its rows.

        Raises:
            BackendError: PostgreSQL refuses it.
        """
        self.send(message(wire.QUERY, wire.cstring(sql)))
        return self._result()[0]

    def copy_in(self, sql: str, chunks: Iterable[bytes]) -> int:
        """Runs `COPY … FROM STDIN` with these bytes and returns the number of rows.

        Raises:
            BackendError: PostgreSQL refuses the statement or the bytes.
            RefusedError: the chunks cannot be made; PostgreSQL has ended the COPY as failed by then.
        """
        self.send(message(wire.QUERY, wire.cstring(sql)))
        while (answer := self.read_message())[0] != wire.COPY_IN:
            self._raise_if_error(*answer)
        try:
            for chunk in chunks:
                self.send(message(wire.COPY_DATA, chunk))
                while self.readable():  # before the end PostgreSQL only sends a message if the bytes are wrong
                    self._raise_if_error(*self.read_message())
        except RefusedError as refusal:
            self.send(message(wire.COPY_FAIL, wire.cstring(refusal.text)))
            with suppress(BackendError):  # PostgreSQL only repeats the error that we have sent it
                self._result()
            raise
        self.send(message(wire.COPY_DONE))
        return int(self._result()[1].split()[-1])

    def _raise_if_error(self, kind: bytes, body: bytes) -> None:
        if kind == wire.ERROR:
            self._result(failure=body)

    def _result(self, failure: bytes = b"") -> tuple[list[list[str | None]], str]:
        """Reads to the end of a statement: its rows and its tag, or its error, which may have been read before."""
        rows: list[list[str | None]] = []
        tag = ""
        while True:
            kind, body = self.read_message()
            if kind == wire.ROW:
                rows.append(wire.row_values(body))
            elif kind == wire.COMPLETE:
                tag = body[:-1].decode()
            elif kind == wire.ERROR:
                failure = body
            elif kind == wire.READY:
                if failure:
                    raise BackendError(failure)
                return rows, tag
