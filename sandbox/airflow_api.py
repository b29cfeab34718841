"""A client of Airflow's REST API in the sandbox: the DAG, its runs and their tasks."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from sandbox.home import SandboxError, Secrets
from sandbox.processes import NotReadyError

DAG_ID = "data_validation_and_kpi_computation"
USER = "admin"

# Airflow's processes, by the names of the sandbox.
API_SERVER = "airflow-api-server"
SCHEDULER = "airflow-scheduler"
DAG_PROCESSOR = "airflow-dag-processor"
TRIGGERER = "airflow-triggerer"

REQUEST_SECONDS = 30
LOOK_SECONDS = 10  # the timeout of requests that callers repeat
TRIES_ON_LOCKED_DATABASE = 5
ACTIVE_TASK = frozenset({"running", "deferred", "up_for_reschedule", "up_for_retry", "restarting"})
UNFINISHED_TASK = ACTIVE_TASK | {"scheduled", "queued"}  # a task that the run has not reached has no state


@dataclass(frozen=True)
class TaskState:
    """One task of a run. `state` is None until the scheduler has seen it; the times are those of its newest try."""

    task_id: str
    state: str | None
    try_number: int
    started: datetime | None
    ended: datetime | None

    @property
    def seconds(self) -> float | None:
        """The seconds that the task ran, or has run so far; None if it has not started."""
        if self.started is None:
            return None
        return ((self.ended or datetime.now(self.started.tzinfo)) - self.started).total_seconds()


class Client:
    """Airflow's REST API, as the sandbox's user."""

    def __init__(self, url: str, secrets: Secrets) -> None:
        """Set up the client; the first request is sent by the first call."""
        self._url = url
        self._secrets = secrets
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no .netrc

    def call(self, method: str, path: str, **arguments: Any) -> Any:
        """Send one API call, and return its JSON answer.

        Raises:
            SandboxError: Airflow refused; the message holds its answer.
            requests.RequestException: Airflow cannot be reached.
        """
        return self._content(self._answer(method, path, **arguments))

    def _answer(self, method: str, path: str, **arguments: Any) -> requests.Response:
        answer = self._request(method, path, arguments)
        if answer.status_code == requests.codes.unauthorized:
            self._log_in()
            answer = self._request(method, path, arguments)
        for _ in range(TRIES_ON_LOCKED_DATABASE):
            if answer.status_code != requests.codes.internal_server_error:
                break
            # SQLite refuses to let a transaction write if another one has written since the first began to read.
            time.sleep(0.2)
            answer = self._request(method, path, arguments)
        return answer

    def _content(self, answer: requests.Response) -> Any:
        if not answer.ok:
            request = f"{answer.request.method} {answer.request.path_url}"
            raise SandboxError(f"Airflow answered {answer.status_code} to {request}: {answer.text}")
        return answer.json() if answer.content else None

    def health(self) -> dict[str, Any]:
        """Return the state and the last heartbeat of each process."""
        answer = self._request("GET", "/api/v2/monitor/health", {})
        answer.raise_for_status()
        health: dict[str, Any] = answer.json()
        return health

    def check(self, name: str, started: float) -> None:
        """Check that one of Airflow's processes, which started at the given time, is ready.

        Raises:
            NotReadyError: the process does not serve yet.
        """
        try:
            component = {
                API_SERVER: "metadatabase",
                SCHEDULER: "scheduler",
                DAG_PROCESSOR: "dag_processor",
                TRIGGERER: "triggerer",
            }[name]
            health = self.health()[component]
            heartbeat = health.get(f"latest_{component}_heartbeat")
            # An older heartbeat is that of an earlier process.
            if health["status"] != "healthy" or (name != API_SERVER and timestamp(heartbeat) < started):
                raise NotReadyError(f"its last heartbeat: {heartbeat}")
            if name == DAG_PROCESSOR:
                self.check_dag(started)
        except requests.RequestException as error:
            raise NotReadyError(f"Airflow's API does not answer: {error}") from error

    def check_dag(self, parsed_after: float) -> None:
        """Check that Airflow has parsed the DAG after the given time (Unix seconds).

        Raises:
            NotReadyError: Airflow has not parsed it yet.
            SandboxError: the DAG file does not load.
        """
        dags = self.call("GET", "/api/v2/dags", params={"dag_id_pattern": DAG_ID})["dags"]
        if any(timestamp(dag["last_parsed_time"]) >= parsed_after for dag in dags if dag["dag_id"] == DAG_ID):
            return
        errors = self.call("GET", "/api/v2/importErrors")["import_errors"]
        for error in errors:
            if timestamp(error["timestamp"]) >= parsed_after:
                raise SandboxError(f"Airflow cannot load {error['filename']}:\n{error['stack_trace']}")
        raise NotReadyError(f"the DAG {DAG_ID} is not parsed yet")

    def reparse(self) -> None:
        """Make Airflow parse the DAG file again, because its dbt manifest has changed; wait until it has done so.

        Raises:
            SandboxError: the DAG file does not load, or not in time.
        """
        began = time.time()
        token = self.call("GET", f"/api/v2/dags/{DAG_ID}")["file_token"]
        self.call("PUT", f"/api/v2/parseDagFile/{token}")
        while True:
            try:
                return self.check_dag(began)
            except NotReadyError as reason:
                if time.time() - began > REQUEST_SECONDS:
                    raise SandboxError(f"Airflow did not parse the DAG within {REQUEST_SECONDS} s") from reason
            time.sleep(0.3)

    def unpause(self) -> None:
        """Let the scheduler run the DAG."""
        self.call("PATCH", f"/api/v2/dags/{DAG_ID}", params={"update_mask": "is_paused"}, json={"is_paused": False})

    def active_runs(self) -> list[dict[str, Any]]:
        """Return the DAG's runs that are queued or running."""
        parameters = {"state": ["queued", "running"], "limit": 100}
        runs: list[dict[str, Any]] = self.call("GET", f"/api/v2/dags/{DAG_ID}/dagRuns", params=parameters)["dag_runs"]
        return runs

    def scheduled_run_is_due(self) -> bool:
        """Return whether the scheduler is about to create a scheduled run."""
        due = moment(self.call("GET", f"/api/v2/dags/{DAG_ID}")["next_dagrun_run_after"])
        return due is not None and due <= datetime.now(UTC)

    def params(self) -> list[str]:
        """Return the names of the DAG's params."""
        return list(self.call("GET", f"/api/v2/dags/{DAG_ID}/details")["params"])

    def trigger(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Start a run.

        Raises:
            SandboxError: the DAG does not accept the params; the message is one sentence.
        """
        path, body = f"/api/v2/dags/{DAG_ID}/dagRuns", {"logical_date": None, "conf": dict(params)}
        answer = self._answer("POST", path, json=body)
        if answer.status_code == requests.codes.bad_request:
            reason = str(answer.json()["detail"]).splitlines()[0]
            raise SandboxError(f"PARAMS={json.dumps(dict(params))}: {reason}")
        run: dict[str, Any] = self._content(answer)
        return run

    def run(self, run_id: str) -> dict[str, Any]:
        """Return the current state of a run."""
        run: dict[str, Any] = self.call("GET", f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}", timeout=LOOK_SECONDS)
        return run

    def fail(self, run_id: str) -> None:
        """End a run and all its tasks as failed.

        The sandbox's SQLite has no row locks, so a scheduler that has just read the run may write its state back, and
        then derive the final state from the run's last tasks. So these tasks fail first. Airflow would leave them
        skipped, and skipped tasks would make the run succeed.
        """
        run = f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}"
        tasks = self.call("GET", f"/api/v2/dags/{DAG_ID}/tasks")["tasks"]
        last = {task["task_id"] for task in tasks if not task["downstream_task_ids"]}
        for task in self.tasks(run_id):
            if task.task_id in last and (task.state is None or task.state in UNFINISHED_TASK):
                answer = self._answer("PATCH", f"{run}/taskInstances/{task.task_id}", json={"new_state": "failed"})
                if answer.status_code != requests.codes.conflict:  # it has failed by itself meanwhile
                    self._content(answer)
        self.call("PATCH", run, json={"state": "failed"})

    def tasks(self, run_id: str) -> list[TaskState]:
        """Return the current state of the run's tasks."""
        path = f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances"
        instances = self.call("GET", path, params={"limit": 100}, timeout=LOOK_SECONDS)["task_instances"]
        return [
            TaskState(
                task_id=instance["task_id"],
                state=instance["state"],
                try_number=instance["try_number"],
                started=moment(instance["start_date"]),
                ended=moment(instance["end_date"]),
            )
            for instance in instances
        ]

    def _request(self, method: str, path: str, arguments: dict[str, Any]) -> requests.Response:
        options: dict[str, Any] = {"timeout": REQUEST_SECONDS, **arguments}
        return self._session.request(method, self._url + path, **options)

    def _log_in(self) -> None:
        credentials = {"username": USER, "password": self._secrets.airflow_password}
        answer = self._request("POST", "/auth/token", {"json": credentials})
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def moment(text: str | None) -> datetime | None:
    """Parse a time of the API."""
    return datetime.fromisoformat(text) if text else None


def timestamp(text: str | None) -> float:
    """Parse a time of the API into Unix seconds; 0 if there is none."""
    when = moment(text)
    return when.timestamp() if when else 0.0
