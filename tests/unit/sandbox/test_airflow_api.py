"""The client of Airflow's REST API, against a server with prepared answers."""

import io
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import requests

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


class Airflow(Client):
    """A client whose Airflow has a DAG of four tasks, of which two are last, and notes what is failed."""

    def __init__(self, states: Mapping[str, str | None], conflicts: Sequence[str] = ()) -> None:
        super().__init__("http://nowhere", Secrets.generate())
        self.states, self.conflicts, self.failed = states, conflicts, list[str]()

    def _request(self, method: str, path: str, _: dict[str, Any]) -> requests.Response:
        answer = requests.Response()
        answer.status_code, content = 200, dict[str, Any]()
        name = path.rpartition("/")[2]
        if method == "PATCH":
            self.failed.append(name)
            answer.status_code = 409 if name in self.conflicts else 200
        elif path.endswith("/tasks"):
            downstream = {"load": ["archive"], "archive": ["docs"], "docs": [], "freshness": []}
            content = {"tasks": [{"task_id": task, "downstream_task_ids": after} for task, after in downstream.items()]}
        else:
            times = dict.fromkeys(("start_date", "end_date"))
            content = {
                "task_instances": [
                    {"task_id": task, "state": state, "try_number": 1, **times} for task, state in self.states.items()
                ]
            }
        answer.raw = io.BytesIO(json.dumps(content).encode())
        return answer


def test_the_last_tasks_that_have_not_ended_fail_before_the_run() -> None:
    airflow = Airflow({"load": "running", "archive": None, "docs": None, "freshness": "failed"})
    airflow.fail("a-run")
    assert airflow.failed == ["docs", "a-run"]


def test_a_last_task_that_fails_by_itself_meanwhile_keeps_no_run_from_being_given_up() -> None:
    airflow = Airflow({"load": "success", "archive": "success", "docs": "running", "freshness": None}, ["docs"])
    airflow.fail("a-run")
    assert airflow.failed == ["docs", "freshness", "a-run"]


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
