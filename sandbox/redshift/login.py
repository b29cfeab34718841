"""Logs a client in: with a password that PostgreSQL checks, or with a temporary one that AWS has issued."""

import hashlib
import struct
from dataclasses import dataclass

from sandbox.redshift import wire
from sandbox.redshift.backend import Backend
from sandbox.redshift.postgres import USER
from sandbox.redshift.temporary_passwords import IDENTITIES, complaint
from sandbox.redshift.wire import Channel, DisconnectedError, cstring, message

# The version that Redshift reports. The gateway announces no server_protocol_version, since versions 1 and 2 have
# encodings of Redshift's own.
SERVER_VERSION = b"8.0.2"
_STARTUP_PARAMETERS = ("user", "database", "application_name", "client_encoding", "options")
_CLEARTEXT_PASSWORD, _MD5_PASSWORD = 3, 5


@dataclass(frozen=True)
class Login:
    """A session's number, and the user name that the client gave."""

    number: int
    user: str


def log_in(client: Channel, backend: Backend, startup_body: bytes, secret: str, *, encrypted: bool) -> Login:
    """Logs the client in; `secret` is the password of PostgreSQL's user.

    Raises:
        DisconnectedError: the client was refused, or the client or PostgreSQL disconnected.
    """
    words = startup_body.rstrip(b"\0").decode(errors="replace").split("\0")
    parameters = dict(zip(words[::2], words[1::2], strict=False))
    user = parameters.get("user", "")
    identity = user.startswith(IDENTITIES)
    if identity:
        _check_identity(client, user, secret, encrypted)
        parameters["user"] = USER  # privileges are not emulated
    backend.send(wire.startup({name: parameters[name] for name in _STARTUP_PARAMETERS if name in parameters}))
    number = 0
    while True:
        kind, body = backend.read_message()
        wants_password = kind == wire.AUTHENTICATION and struct.unpack_from("!i", body)[0] == _MD5_PASSWORD
        if wants_password and identity:
            backend.send(message(wire.PASSWORD, cstring(_answer(secret, body[4:]))))
            continue
        if kind == wire.PARAMETER_STATUS and body.startswith(b"server_version\0"):
            body = b"server_version\0" + SERVER_VERSION + b"\0"
        elif kind == wire.BACKEND_KEY:
            (number,) = struct.unpack_from("!i", body)
        client.send(message(kind, body))
        if wants_password:
            backend.send(message(*client.read_message()))
        if kind == wire.ERROR:
            raise DisconnectedError("login refused")
        if kind == wire.READY:
            return Login(number, user)


def _check_identity(client: Channel, user: str, secret: str, encrypted: bool) -> None:
    refusal = f'user "{user}" must connect with TLS (sslmode verify-full): no temporary password goes unencrypted'
    if encrypted:
        client.send(message(wire.AUTHENTICATION, struct.pack("!i", _CLEARTEXT_PASSWORD)))
        refusal = complaint(user, client.read_message()[1].rstrip(b"\0").decode(errors="replace"), secret)
    if refusal:
        client.send(message(wire.ERROR, wire.error("28000", refusal, "FATAL")))
        raise DisconnectedError(refusal)


def _answer(secret: str, salt: bytes) -> str:
    """Returns the response to PostgreSQL's request for an MD5 password."""
    inner = hashlib.md5(f"{secret}{USER}".encode(), usedforsecurity=False).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt, usedforsecurity=False).hexdigest()
