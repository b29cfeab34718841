"""PostgreSQL's wire protocol, version 3, as far as both ends of the gateway need it."""

import select
import socket
import struct

STARTUP_VERSION = 196608
CANCEL_REQUEST, SSL_REQUEST, GSS_REQUEST = 80877102, 80877103, 80877104
LONGEST_STARTUP = 10_000

PARSE, BIND, DESCRIBE, EXECUTE, CLOSE = b"P", b"B", b"D", b"E", b"C"
SYNC, FLUSH, QUERY, TERMINATE = b"S", b"H", b"Q", b"X"
AUTHENTICATION, PASSWORD, BACKEND_KEY, PARAMETER_STATUS, READY = b"R", b"p", b"K", b"S", b"Z"
ERROR, EMPTY, COMPLETE, ROW = b"E", b"I", b"C", b"D"
COPY_IN, COPY_DATA, COPY_DONE, COPY_FAIL = b"G", b"d", b"c", b"f"
IDLE, IN_TRANSACTION, FAILED = b"I", b"T", b"E"


class DisconnectedError(Exception):
    """The client or PostgreSQL has disconnected, or uses an unknown protocol."""


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Frames one message."""
    return kind + struct.pack("!i", len(body) + 4) + body


def cstring(text: str) -> bytes:
    """Encodes a null-terminated string."""
    return text.encode() + b"\0"


def error_fields(body: bytes) -> dict[str, str]:
    """Decodes the fields of an ErrorResponse: C is the SQLSTATE, M the message."""
    return {part[:1].decode(): part[1:].decode(errors="replace") for part in body.split(b"\0") if part}


def error_body(fields: dict[str, str]) -> bytes:
    """Encodes the fields of an ErrorResponse, the reverse of `error_fields`."""
    return b"".join(cstring(kind + text) for kind, text in fields.items()) + b"\0"


def error(sqlstate: str, text: str, severity: str = "ERROR") -> bytes:
    """Encodes an ErrorResponse of the gateway's own."""
    return error_body({"S": severity, "V": severity, "C": sqlstate, "M": text})


def row_values(body: bytes) -> list[str | None]:
    """Decodes the values of a DataRow in text format."""
    (count,), position = struct.unpack_from("!h", body), 2
    values: list[str | None] = []
    for _ in range(count):
        (length,) = struct.unpack_from("!i", body, position)
        position += 4
        values.append(None if length < 0 else body[position : position + length].decode())
        position += max(length, 0)
    return values


def startup(parameters: dict[str, str]) -> bytes:
    """Encodes a StartupMessage."""
    body = struct.pack("!i", STARTUP_VERSION) + b"".join(cstring(k) + cstring(v) for k, v in parameters.items()) + b"\0"
    return struct.pack("!i", len(body) + 4) + body


class Channel:
    """One end of a connection: a socket, and the bytes received from it but not read yet."""

    def __init__(self, connection: socket.socket, abandoned_with: socket.socket | None = None) -> None:
        """A wait on this channel raises `DisconnectedError` if the peer of `abandoned_with` disconnects."""
        self._socket = connection
        self._received = bytearray()
        self._poll = select.poll()
        self._poll.register(connection, select.POLLIN)
        if abandoned_with is not None:
            self._poll.register(abandoned_with, select.POLLRDHUP)

    def send(self, *messages: bytes) -> None:
        """Sends whole messages."""
        self._socket.sendall(b"".join(messages))

    def readable(self, wait: bool = False) -> bool:
        """Returns whether bytes have arrived; with `wait`, returns only once they have."""
        events = self._poll.poll(None if wait else 0)
        if any(descriptor != self._socket.fileno() for descriptor, _ in events):
            raise DisconnectedError("the client hung up")
        return bool(events or self._received)

    def read(self, length: int) -> bytes:
        """Reads exactly `length` bytes."""
        while len(self._received) < length:
            self.readable(wait=True)
            chunk = self._socket.recv(1 << 16)
            if not chunk:
                raise DisconnectedError("connection closed")
            self._received += chunk
        taken = bytes(self._received[:length])
        del self._received[:length]
        return taken

    def read_message(self) -> tuple[bytes, bytes]:
        """Reads the next message: its kind and its body."""
        header = self.read(5)
        (length,) = struct.unpack("!i", header[1:])
        if length < 4:
            raise DisconnectedError(f"a message of length {length}")
        return header[:1], self.read(length - 4)

    def read_startup(self) -> tuple[int, bytes]:
        """Reads the first packet of a connection: its code, and the bytes after the code."""
        length, code = struct.unpack("!ii", self.read(8))
        if not 8 <= length <= LONGEST_STARTUP:
            raise DisconnectedError(f"a start-up packet of length {length}")
        return code, self.read(length - 8)
