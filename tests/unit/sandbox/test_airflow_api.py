"""The client of Airflow's REST API, against a server that answers as it is told."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.airflow_api import Client
from sandbox.home import SandboxError, Secrets


class Server(ThreadingHTTPServer):
    """Answers each request with the next of `statuses`, the last one over and over."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses: list[int] = []
        self.requests = 0


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_POST(self) -> None:
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.server.requests += 1
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(server: Server) -> Client:
    return Client(f"http://127.0.0.1:{server.server_port}", Secrets.generate())


def test_a_call_that_met_a_locked_database_is_made_again(server: Server, client: Client) -> None:
    server.statuses = [500, 500, 200]

    assert client.call("POST", "/api/v2/backfills") == {}
    assert server.requests == 3


def test_a_server_that_goes_on_failing_is_an_error(server: Server, client: Client) -> None:
    server.statuses = [500]

    with pytest.raises(SandboxError, match="answered 500 to POST /api/v2/backfills"):
        client.call("POST", "/api/v2/backfills")


def test_a_call_that_is_refused_is_made_once(server: Server, client: Client) -> None:
    server.statuses = [409]

    with pytest.raises(SandboxError, match="answered 409"):
        client.call("POST", "/api/v2/backfills")
    assert server.requests == 1
