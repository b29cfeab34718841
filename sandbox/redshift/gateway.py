"""The listener, which starts a thread for every client."""

import socket
import socketserver
import struct
import sys
from collections.abc import Callable
from contextlib import closing
from ssl import SSLContext, SSLSocket
from typing import Any

from sandbox.redshift import wire
from sandbox.redshift.backend import Backend
from sandbox.redshift.copy_command import CopyCommand
from sandbox.redshift.login import log_in
from sandbox.redshift.session import Session
from sandbox.redshift.statement_log import StatementLog
from sandbox.redshift.wire import Channel, DisconnectedError


class Gateway(socketserver.ThreadingTCPServer):
    """Speaks Redshift's protocol on 127.0.0.1, and PostgreSQL's to the server to which `connect` opens connections."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self,
        port: int,
        connect: Callable[[], socket.socket],
        copy: Callable[[Backend, CopyCommand], None],
        log: StatementLog,
        *,
        tls: SSLContext,
        secret: str,
    ) -> None:
        """Binds the port (0: a free one) now, and refuses connections until `server_activate`.

        `secret` is the password of PostgreSQL's user.

        Raises:
            OSError: the port is taken.
        """
        super().__init__(("127.0.0.1", port), socketserver.BaseRequestHandler, bind_and_activate=False)
        self._connect, self._copy, self._log, self._tls, self._secret = connect, copy, log, tls, secret
        self.server_bind()

    def finish_request(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Serves one connection until it ends."""
        request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client = Channel(request)
        try:
            code, body = client.read_startup()
            while code in (wire.SSL_REQUEST, wire.GSS_REQUEST):
                if code == wire.SSL_REQUEST and not isinstance(request, SSLSocket):
                    client.send(b"S")
                    request = self._tls.wrap_socket(request, server_side=True)
                    client = Channel(request)  # drops bytes that arrived before encryption began
                else:
                    client.send(b"N")
                code, body = client.read_startup()
            with closing(self._connect()) as connection:
                if code == wire.CANCEL_REQUEST:
                    connection.sendall(struct.pack("!ii", len(body) + 8, code) + body)
                    connection.recv(1)  # PostgreSQL closes it when the signal has been sent
                elif code == wire.STARTUP_VERSION:
                    backend, encrypted = Backend(connection, request), isinstance(request, SSLSocket)
                    login = log_in(client, backend, body, self._secret, encrypted=encrypted)
                    Session(login, client, backend, self._copy, self._log).run()
        except (DisconnectedError, OSError):
            return  # closing the connection to PostgreSQL is enough: it rolls back and ends the session
        finally:
            request.close()  # the server closes only the socket that it accepted, not the TLS socket

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Reports a fault of the gateway itself; the client sees its connection end."""
        sys.excepthook(*sys.exc_info())
