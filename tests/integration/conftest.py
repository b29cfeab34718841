"""The whole sandbox for tests that need it: started once, stopped when all tests are done."""

import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote

import psutil
import psycopg2
import pytest
from music_streams.batches import batch_id

from contract import layout
from sandbox import failure, warehouse_client
from sandbox.airflow_api import DAG_ID
from sandbox.follow import follow
from sandbox.home import REPOSITORY, VARIABLE, Home, SandboxError
from sandbox.lifecycle import Part, Sandbox
from sandbox.pipeline_run import wait_for_quiet
from sandbox.processes import MARKER, has_ended
from sandbox.settings import BUCKET, DATABASE, DATABASE_USER, PREFERRED_PORTS, SCHEMA_PREFIX

if TYPE_CHECKING:
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_glue.type_defs import JobRunTypeDef
    from mypy_boto3_s3 import S3Client

Found = TypeVar("Found")

PATIENCE_SECONDS = 240  # nothing that a test waits for takes longer, on a busy machine either
POLL_SECONDS = 0.5
MOMENT_SECONDS = 0.03  # between two looks at what soon passes
FAILED = pytest.StashKey[bool]()
SANDBOX = pytest.StashKey["RunningSandbox"]()
MAKES_UP_COMMAND = "org.apache.spark.launcher.Main"  # a short-lived JVM of spark-submit, before Spark's own


def wait_for(what: str, look: Callable[[], Found | None], *, every: float = POLL_SECONDS) -> Found:
    """Look until there is something to see; fails when there is nothing for PATIENCE_SECONDS."""
    began = time.monotonic()
    while not (found := look()):
        assert time.monotonic() - began < PATIENCE_SECONDS, f"waited {PATIENCE_SECONDS} s in vain for {what}"
        time.sleep(every)
    return found


@dataclass(frozen=True)
class DagRunResult:
    """How a DAG run ended.

    Attributes:
        state: `success` or `failed`.
        tasks: state by task id; None for a task that the run never came to.
        errors: the failed tasks' own errors by task id, the one that is to blame first.
    """

    state: str
    tasks: Mapping[str, str | None]
    errors: Mapping[str, str]
    run_id: str
    batch_id: str


class RunningSandbox:
    """The pipeline as its users meet it: files land, a run is triggered, the warehouse is queried.

    And as its enemies do: whatever process works for a run can be found and killed.
    """

    bucket = BUCKET

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    @property
    def s3(self) -> "S3Client":
        """S3 of the sandbox."""
        return self.sandbox.aws.s3

    @property
    def glue(self) -> "GlueClient":
        """Glue of the sandbox."""
        return self.sandbox.aws.glue

    def land(self, files: Mapping[str, bytes]) -> None:
        """Put files into the landing prefix: `songs.csv`, `users.csv`, `user_streams/NAME.csv`."""
        for name, content in files.items():
            self.s3.put_object(Bucket=BUCKET, Key=f"{layout.ROOT}/{name}", Body=content)

    def make(self, command: str, **arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the Makefile as a user types it, in another folder."""
        variables = {VARIABLE: str(self.sandbox.home.path), "AWS_PROFILE": "of-the-user", "DISPLAY": ""}
        return subprocess.run(
            ["make", "-s", "-C", str(REPOSITORY), command, *(f"{name}={value}" for name, value in arguments.items())],
            env=os.environ | variables | {"WAYLAND_DISPLAY": ""},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, params: Mapping[str, Any] | None = None) -> DagRunResult:
        """Trigger one DAG run and wait until it has ended."""
        wait_for_quiet(self.sandbox)
        return self.end_of(self.trigger(params))

    def end_of_printed(self, printed: str) -> DagRunResult:
        """How the DAG run ended of which `make run` has printed this."""
        (link,) = re.findall(r"^  Airflow  +\S+/runs/(\S+)", printed, re.MULTILINE)
        return self.end_of(unquote(link))

    def trigger(self, params: Mapping[str, Any] | None = None) -> str:
        """Start a DAG run; returns its id."""
        return str(self.sandbox.airflow.trigger(params or {})["dag_run_id"])

    def backfill(self, day: date) -> str:
        """Start a backfill of one day, as the UI does; returns the id of its DAG run."""
        airflow = self.sandbox.airflow
        moment = f"{day.isoformat()}T00:00:00Z"
        body = {"dag_id": DAG_ID, "from_date": moment, "to_date": moment, "max_active_runs": 1}

        def taken() -> bool:
            try:
                airflow.call("POST", "/api/v2/backfills", json=body)
            except SandboxError:  # its database was locked, and left a backfill without a run
                for backfill in airflow.call("GET", "/api/v2/backfills", params={"dag_id": DAG_ID})["backfills"]:
                    if backfill["completed_at"] is None:
                        airflow.call("PUT", f"/api/v2/backfills/{backfill['id']}/cancel")
                return False
            return True

        wait_for("Airflow to take the backfill", taken)
        parameters = {"run_type": "backfill", "logical_date_gte": moment, "logical_date_lte": moment}
        (run,) = airflow.call("GET", f"/api/v2/dags/{DAG_ID}/dagRuns", params=parameters)["dag_runs"]
        return str(run["dag_run_id"])

    def clear(self, run_id: str, *task_ids: str) -> None:
        """Have these tasks of a run and all that follows them run again, as the UI's button does."""
        body = {
            "dag_run_id": run_id,
            "task_ids": task_ids,
            "include_downstream": True,
            "only_failed": False,
            "dry_run": False,
        }
        self.sandbox.airflow.call("POST", f"/api/v2/dags/{DAG_ID}/clearTaskInstances", json=body)

    def end_of(self, run_id: str) -> DagRunResult:
        """How the run ends; waits for that."""
        finished = follow(self.sandbox.airflow, self.sandbox.airflow.run(run_id), lambda _tasks: None)
        failures = failure.diagnose(self.sandbox.home, finished.run_id, finished.tasks)
        return DagRunResult(
            state=finished.state,
            tasks={task.task_id: task.state for task in finished.tasks},
            errors={failed.task_id: failed.error for failed in failures},
            run_id=run_id,
            batch_id=self.batch_of(run_id),
        )

    def batch_of(self, run_id: str) -> str:
        """The batch that a DAG run takes in."""
        return batch_id(datetime.fromisoformat(self.sandbox.airflow.run(run_id)["run_after"]), run_id)

    def wait_for_dag(self, dag_id: str) -> None:
        """Wait until Airflow has found a DAG of the user's own, and let it run."""

        def found() -> bool:
            return bool(self.sandbox.airflow.call("GET", "/api/v2/dags", params={"dag_id_pattern": dag_id})["dags"])

        wait_for(f"Airflow to find the DAG {dag_id}", found)
        self.pause(dag_id, is_paused=False)

    def pause(self, dag_id: str, *, is_paused: bool = True) -> None:
        """Keep the scheduler from running a DAG of the user's own, or let it."""
        self.sandbox.airflow.call("PATCH", f"/api/v2/dags/{dag_id}", json={"is_paused": is_paused})

    def ended_runs_of(self, dag_id: str, *, number: int) -> list[dict[str, Any]]:
        """The runs of a DAG of the user's own, once so many have ended."""

        def ended() -> list[dict[str, Any]]:
            runs = self.sandbox.airflow.call("GET", f"/api/v2/dags/{dag_id}/dagRuns")["dag_runs"]
            return [run for run in runs if run["state"] in {"success", "failed"}][number - 1 :] and runs

        return wait_for(f"{number} runs of {dag_id}", ended)

    def task(self, run_id: str, task_id: str) -> Mapping[str, Any]:
        """A task as Airflow's API describes it: `state`, `try_number`, `start_date`, `end_date`, …"""
        path = f"/api/v2/dags/{DAG_ID}/dagRuns/{run_id}/taskInstances/{task_id}"
        task: dict[str, Any] = self.sandbox.airflow.call("GET", path)
        return task

    def wait_for_task(self, run_id: str, task_id: str, *states: str) -> Mapping[str, Any]:
        """The task, once it is in one of the states."""

        def in_state() -> Mapping[str, Any] | None:
            task = self.task(run_id, task_id)
            return task if task["state"] in states else None

        return wait_for(f"{task_id} to be {' or '.join(states)}", in_state)

    def task_process(self, run_id: str, task_id: str) -> psutil.Process:
        """The process of a task, once it runs. Its parent is the worker that supervises it."""

        def started() -> psutil.Process | None:
            task = self.task(run_id, task_id)
            if task["state"] == "running":
                with suppress(psutil.NoSuchProcess):  # it was killed, and Airflow does not know yet
                    process = psutil.Process(task["pid"])
                    return None if has_ended(process) else process
            return None

        return wait_for(f"the process of {task_id}", started)

    def wait_for_objects(self, prefix: str, part_of_key: str = "") -> list[str]:
        """The keys below `music_streams/` and the prefix that hold the part, as soon as there is one."""

        def written() -> list[str]:
            return [key for key in self.keys(prefix) if part_of_key in key]

        return wait_for(f"objects {prefix}…{part_of_key}", written, every=MOMENT_SECONDS)

    def glue_runs(self, job: str, batch: str) -> list["JobRunTypeDef"]:
        """The Glue runs of a job for a batch, the latest first."""
        runs = self.glue.get_job_runs(JobName=job, MaxResults=100)["JobRuns"]
        return [run for run in runs if run["Arguments"]["--batch_id"] == batch]

    def wait_for_glue_run(self, job: str, batch: str, *, number: int, state: str = "RUNNING") -> str:
        """The id of the batch's first, second, … run of a job, once it is in the state."""

        def in_state() -> str | None:
            runs = self.glue_runs(job, batch)[::-1]
            if len(runs) < number:
                return None
            run = runs[number - 1]
            assert run["JobRunState"] in {"WAITING", "STARTING", "RUNNING", state}, run
            return run["Id"] if run["JobRunState"] == state else None

        return wait_for(f"run {number} of {job} for batch {batch} to be {state}", in_state)

    def jvm(self, glue_run_id: str) -> psutil.Process:
        """The JVM of a Glue run that needs Spark, once it is there."""

        def is_jvm(process: psutil.Process) -> bool:
            return process.name() == "java" and MAKES_UP_COMMAND not in process.cmdline()

        return wait_for(f"the JVM of Glue run {glue_run_id}", lambda: self._process_of(glue_run_id, is_jvm))

    @contextmanager
    def halted_driver(self, job: str, batch: str, *, number: int) -> Iterator[psutil.Process]:
        """The process of a script that Glue runs, halted before it is done; it goes on afterwards, unless killed."""
        glue_run_id = self.wait_for_glue_run(job, batch, number=number)

        def is_driver(process: psutil.Process) -> bool:
            return process.cmdline()[1:2] == [str(next(self._folder_of(glue_run_id).glob("*.py")))]

        def started() -> psutil.Process | None:
            return self._process_of(glue_run_id, is_driver)

        driver = wait_for(f"the driver of Glue run {glue_run_id}", started, every=MOMENT_SECONDS)
        driver.suspend()
        try:
            yield driver
        finally:
            with suppress(psutil.NoSuchProcess):
                driver.resume()

    def _process_of(self, glue_run_id: str, is_it: Callable[[psutil.Process], bool]) -> psutil.Process | None:
        folder = str(self._folder_of(glue_run_id))
        for process in self.sandbox.processes.running()[Part.AWS].children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.cwd() == folder and is_it(process):
                    return process
        return None

    def _folder_of(self, glue_run_id: str) -> Path:
        return (self.sandbox.home.aws / "glue-runs" / glue_run_id).resolve()

    def kill_aws(self, *, seconds_per_minute: float = 60, while_down: Callable[[], object] = lambda: None) -> None:
        """Kill S3 and Glue with all Glue runs, and start them again.

        From then on Glue counts timeouts in minutes of `seconds_per_minute`.
        """
        kill(self.sandbox.processes.running()[Part.AWS])
        while_down()
        self.sandbox.seconds_per_glue_minute = seconds_per_minute
        self.sandbox.start({Part.AWS})

    def outage(self, run_id: str, task_id: str) -> None:
        """Kill S3 and Glue, and start them again once a task that is at work has failed by it."""
        self.kill_aws(while_down=lambda: self.wait_for_task(run_id, task_id, "up_for_retry", "failed"))

    @contextmanager
    def postgres(self) -> Iterator[Any]:
        """A session of the gateway's user on the PostgreSQL behind it, which commits each statement."""
        session = wait_for("a session on PostgreSQL", self._postgres_session)
        session.autocommit = True
        try:
            with session.cursor() as cursor:
                yield cursor
        finally:
            session.close()

    def _postgres_session(self) -> Any:
        # By way of the open directory, since a socket's name has at most 107 characters.
        directory = os.open(self.sandbox.home.redshift / "postgres", os.O_RDONLY | os.O_DIRECTORY)
        try:
            return psycopg2.connect(
                host=f"/proc/self/fd/{directory}",
                dbname=DATABASE,
                user=DATABASE_USER,
                password=self.sandbox.home.secrets().redshift_password,
            )
        except psycopg2.OperationalError:
            return None  # it recovers
        finally:
            os.close(directory)

    def recover(self) -> None:
        """Start whatever a failed test has left dead, and end its DAG runs, so that its failure stays the only one."""
        self.sandbox.start()
        for run in self.sandbox.airflow.active_runs():
            self.sandbox.airflow.fail(run["dag_run_id"])
        wait_for_quiet(self.sandbox)

    def query(self, sql: str) -> list[dict[str, Any]]:
        """The rows of a statement; the KPI tables are found without their schema."""
        return warehouse_client.select(self.sandbox.home, self.sandbox.ports, sql)

    def keys(self, prefix: str = "") -> list[str]:
        """The lake's keys below `music_streams/` and the prefix, without `music_streams/`."""
        return list(self.etags(prefix))

    def etags(self, prefix: str = "") -> dict[str, str]:
        """The ETags of the lake's objects, by keys as `keys` gives them."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{layout.ROOT}/{prefix}")
        entries = [entry for page in pages for entry in page.get("Contents", [])]
        return {entry["Key"].removeprefix(f"{layout.ROOT}/"): entry["ETag"].strip('"') for entry in entries}

    def empty(self) -> None:
        """Forget the lake and the warehouse, as if nothing had ever landed."""
        wait_for_quiet(self.sandbox)
        for key in self.keys():
            self.s3.delete_object(Bucket=BUCKET, Key=f"{layout.ROOT}/{key}")
        for schema in ("staging", "reporting"):
            self.query(f"drop schema if exists {SCHEMA_PREFIX}_{schema} cascade")


def processes_of(sandbox: Sandbox) -> list[psutil.Process]:
    """All processes of a sandbox, however far from the server that started them."""
    servers = sandbox.processes.running().values()
    found = {child for server in servers for child in [server, *server.children(recursive=True)]}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(MARKER, "").startswith(f"{sandbox.home.path}|"):
                found.add(process)
    return [process for process in found if not has_ended(process)]


def fork_in(dbt_server: psutil.Process, directory: str) -> psutil.Process | None:
    """The fork of the sandbox's dbt server that works in a directory, if there is one."""
    for fork in dbt_server.children():
        with suppress(psutil.NoSuchProcess):  # others end meanwhile
            if fork.cwd() == directory:
                return fork
    return None


def halt_when(process: psutil.Process, what: str, look: Callable[[], Any]) -> None:
    """Suspend a process as soon as there is something to see.

    It goes on for a moment between two looks only, so that it cannot get far ahead of what is seen on a busy machine.
    """

    def after_a_moment() -> bool:
        process.resume()
        time.sleep(MOMENT_SECONDS)  # it is this long that the process goes on: there is nothing to wait for
        process.suspend()
        assert not has_ended(process), f"{process} ended before there was {what}"
        return bool(look())

    try:
        wait_for(what, after_a_moment, every=0)
    except BaseException:
        with suppress(psutil.NoSuchProcess):
            process.resume()  # others would wait for it for ever
        raise


def kill(*processes: psutil.Process) -> None:
    """Kill -9, all at once; fails when one of them has ended before."""
    for process in processes:
        process.suspend()
    assert not any(has_ended(process) for process in processes), f"one of {processes} had ended before it was killed"
    for process in processes:
        process.kill()
    wait_for(f"the end of {processes}", lambda: all(has_ended(process) for process in processes))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever order tests are asked for in, those that stop the sandbox come last."""
    items.sort(key=lambda item: item.path.name == "test_lifecycle.py")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(autouse=True)
def recovery(request: pytest.FixtureRequest) -> Iterator[None]:
    """A failed test leaves a sandbox that works to the next."""
    yield
    if request.node.stash.get(FAILED, False) and (running := request.config.stash.get(SANDBOX, None)):
        running.recover()


@pytest.fixture(scope="session")
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    """The one sandbox of the test run, in a folder whose name needs quoting.

    Tests share its contents: they start with `empty()` where that matters.
    """
    home = Home(tmp_path_factory.mktemp("sandbox") / "a $home's folder")
    # While a test keeps a server down, another sandbox would take a customary port, and a client one of the system's.
    home.remember("ports", dict(zip(PREFERRED_PORTS, random.sample(range(20_000, 32_000), 3), strict=True)))
    sandbox = Sandbox(home)
    try:
        sandbox.start()
        sandbox.airflow.unpause()
        request.config.stash[SANDBOX] = RunningSandbox(sandbox)
        yield request.config.stash[SANDBOX]
    finally:
        sandbox.stop()
