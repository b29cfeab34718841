"""Glue job runs: queues them, runs each script in a process of its own, and stores the results."""

import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

logger = logging.getLogger(__name__)

QUEUED = frozenset({"WAITING"})
ACTIVE = frozenset({"STARTING", "RUNNING", "STOPPING"})
DEFAULT_TIMEOUT_MINUTES = 480  # Glue's own default since version 5.0
MESSAGE_LIMIT = 2000
LAUNCHER = Path(__file__).with_name("run_script.py")

EXCEPTION_LINE = re.compile(r"^[A-Za-z_][\w.]*(: .*|:)?$")
JAVA_STACK_OR_LOG_LINE = re.compile(r"^\s+at |^\s*\.\.\. \d+ more|^\d\d/\d\d/\d\d \d\d:\d\d:\d\d |^Caused by: ")


class CannotFetchError(Exception):
    """A script or library of a job does not exist at the address in the job's definition."""


class ConcurrentRunsExceededError(Exception):
    """The job already has as many runs as allowed, and the new run does not ask for queuing."""


class RunFinishedError(Exception):
    """A run that has ended cannot be stopped."""


@dataclass(frozen=True)
class Job:
    """The job's definition with the overrides of StartJobRun."""

    name: str
    script_location: str
    arguments: dict[str, str]
    timeout_minutes: int
    role: str = ""
    max_concurrent_runs: int = 1
    queuing: bool = False
    described: dict[str, Any] = field(default_factory=dict)  # worker type, capacity …: returned unchanged


@dataclass(frozen=True)
class Run:
    """One run, as Glue reports it. Times are UTC."""

    id: str
    job: Job
    state: str
    started_on: datetime
    last_modified_on: datetime
    arguments: dict[str, str]
    previous_run_id: str | None = None
    completed_on: datetime | None = None
    execution_seconds: int = 0
    error_message: str | None = None


class GlueRuns:
    """The job runs of this account, kept below `directory`, one folder each.

    Args:
        directory: The folder that stores the runs.
        fetch: Returns the bytes of an `s3://` URL, or raises `CannotFetchError`.
        environment: Returns the environment of a run's script without PYTHONPATH, given the run and a folder for
            temporary files.
        seconds_per_minute: The length of the minutes in which timeouts are given.
        queue_minutes: The time that a run may wait before it is EXPIRED.
    """

    def __init__(
        self,
        directory: Path,
        fetch: Callable[[str], bytes],
        environment: Callable[[Run, Path], Mapping[str, str]],
        seconds_per_minute: float = 60,
        queue_minutes: float = 24 * 60,
    ) -> None:
        self._directory = directory
        self._fetch = fetch
        self._environment = environment
        self._seconds_per_minute = seconds_per_minute
        self._queue_minutes = queue_minutes
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}  # in the order of their start
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._threads: dict[str, threading.Thread] = {}
        self._closed = False
        directory.mkdir(parents=True, exist_ok=True)
        self._load()

    def start(self, job: Job, previous_run_id: str | None = None) -> Run:
        """Starts a run, or queues it. Raises `ConcurrentRunsExceededError`."""
        run_id = f"jr_{uuid.uuid4().hex}{uuid.uuid4().hex}"
        now = datetime.now(UTC)
        run = Run(run_id, job, "WAITING", now, now, job.arguments, previous_run_id)
        with self._lock:
            if self._is_full(job) and not job.queuing:
                raise ConcurrentRunsExceededError(f"Concurrent runs exceeded for {job.name}")
            (self._directory / run_id).mkdir()
            self._record(run)
            self._start_queued()
            if self._runs[run_id].state in QUEUED:
                expiry = threading.Timer(self._queue_minutes * self._seconds_per_minute, self._expire, [run_id])
                expiry.daemon = True
                expiry.start()
            return self._runs[run_id]

    def get(self, job_name: str, run_id: str) -> Run | None:
        with self._lock:
            run = self._runs.get(run_id)
            return run if run and run.job.name == job_name else None

    def of_job(self, job_name: str) -> list[Run]:
        """Returns the job's runs, the latest first."""
        with self._lock:
            return [run for run in reversed(self._runs.values()) if run.job.name == job_name]

    def stop(self, run: Run) -> None:
        """Ends a queued run at once, an active one soon. Raises `RunFinishedError`."""
        with self._lock:
            state = self._runs[run.id].state
            if state in QUEUED:
                self._finish(run.id, "STOPPED")
            elif state in ACTIVE:
                self._record(replace(self._runs[run.id], state="STOPPING"))
                self._end_process(run.id)
            else:
                raise RunFinishedError(f"Job run {run.id} is {state} already")

    def close(self) -> None:
        """Ends all runs and waits until their processes are gone; their records stay as they are."""
        with self._lock:
            self._closed = True
            for run_id in self._processes:
                self._end_process(run_id)
            threads = list(self._threads.values())
        for thread in threads:
            thread.join()

    def _is_full(self, job: Job) -> bool:
        active = sum(run.job.name == job.name and run.state in ACTIVE for run in self._runs.values())
        return active >= job.max_concurrent_runs

    def _start_queued(self) -> None:
        for run in list(self._runs.values()):
            if run.state in QUEUED and not self._is_full(run.job) and not self._closed:
                self._record(replace(run, state="STARTING", started_on=datetime.now(UTC)))
                thread = threading.Thread(target=self._execute, args=(run.id,), name=run.id, daemon=True)
                self._threads[run.id] = thread
                thread.start()

    def _execute(self, run_id: str) -> None:
        run = self._runs[run_id]
        try:
            process = self._launch(run)
        except (CannotFetchError, OSError, ValueError) as error:
            logger.warning("Glue run %s of %s cannot start: %s", run_id, run.job.name, error)
            self._finish(run_id, "ERROR", str(error))
            return
        timed_out = False
        try:
            status = process.wait(run.job.timeout_minutes * self._seconds_per_minute)
        except subprocess.TimeoutExpired:
            timed_out = True
            self._end_process(run_id)
            status = process.wait()
        shutil.rmtree(self._directory / run_id / "scratch", ignore_errors=True)
        with self._lock:
            del self._processes[run_id]
            if timed_out:
                self._finish(run_id, "TIMEOUT", f"Job run exceeded its timeout of {run.job.timeout_minutes} minutes")
            elif status == 0:
                self._finish(run_id, "SUCCEEDED")
            else:
                stderr = (self._directory / run_id / "stderr.log").read_text("utf-8", "replace")
                self._finish(run_id, "FAILED", failure(status, stderr))

    def _launch(self, run: Run) -> subprocess.Popen[bytes]:
        folder = self._directory / run.id
        script = self._download(run.job.script_location, folder)
        libraries = [url for url in run.arguments.get("--extra-py-files", "").split(",") if url.strip()]
        paths = [self._download(url.strip(), folder / "libraries") for url in libraries]
        # Python imports from an archive itself, but needs the folder of a single module.
        entries = dict.fromkeys(str(path.parent if path.suffix == ".py" else path) for path in paths)
        scratch = folder / "scratch"
        scratch.mkdir()
        environment = {**self._environment(run, scratch), "PYTHONPATH": os.pathsep.join(entries)}
        command = [sys.executable, "-I", "-S", str(LAUNCHER), sys.executable, str(script), *argv(run)]
        with self._lock, (folder / "stdout.log").open("wb") as out, (folder / "stderr.log").open("wb") as err:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=err, env=environment, cwd=folder
            )
            self._processes[run.id] = process
            if self._runs[run.id].state == "STOPPING" or self._closed:
                self._end_process(run.id)
            else:
                self._record(replace(self._runs[run.id], state="RUNNING"))
        return process

    def _download(self, url: str, folder: Path) -> Path:
        content = self._fetch(url)
        folder.mkdir(exist_ok=True)
        path = folder / PurePosixPath(unquote(urlsplit(url).path)).name
        path.write_bytes(content)
        return path

    def _end_process(self, run_id: str) -> None:
        process = self._processes.get(run_id)
        if process and process.stdin:
            process.stdin.close()

    def _expire(self, run_id: str) -> None:
        with self._lock:
            if self._runs[run_id].state in QUEUED and not self._closed:
                self._finish(run_id, "EXPIRED", f"Job run waited longer than {self._queue_minutes:g} minutes")

    def _finish(self, run_id: str, state: str, message: str | None = None) -> None:
        with self._lock:
            run = self._runs[run_id]
            if self._closed:
                return  # the next server reports it as failed
            if run.state == "STOPPING":
                state, message = "STOPPED", None
            self._record(_ended(run, state, message, datetime.now(UTC)))
            self._threads.pop(run_id, None)
            self._start_queued()

    def _record(self, run: Run) -> None:
        run = replace(run, last_modified_on=datetime.now(UTC))
        self._runs[run.id] = run
        record = self._directory / run.id / "run.json"
        written = record.with_suffix(".tmp")
        written.write_text(json.dumps(asdict(run), default=datetime.isoformat, indent=1))
        written.replace(record)

    def _load(self) -> None:
        runs = [_read_run(path) for path in self._directory.glob("*/run.json")]
        for run in sorted(runs, key=lambda run: run.started_on):
            self._runs[run.id] = run
            if run.state in QUEUED:
                message = "The sandbox was stopped while the run was waiting"
                self._record(_ended(run, "EXPIRED", message, run.last_modified_on))
            elif run.state in ACTIVE:
                message = "The sandbox was stopped while the run was in progress"
                shutil.rmtree(self._directory / run.id / "scratch", ignore_errors=True)
                self._record(_ended(run, "FAILED", message, run.last_modified_on))


def _ended(run: Run, state: str, message: str | None, at: datetime) -> Run:
    seconds = 0 if run.state in QUEUED else round((at - run.started_on).total_seconds())
    return replace(run, state=state, completed_on=at, execution_seconds=seconds, error_message=message)


def argv(run: Run) -> list[str]:
    """Returns the script's `sys.argv[1:]`: the run's arguments, and those that Glue adds."""
    added = {"--JOB_NAME": run.job.name, "--JOB_ID": f"j_{run.id[3:]}", "--JOB_RUN_ID": run.id}
    return [part for name, value in (run.arguments | added).items() for part in (name, value)]


def failure(status: int, stderr: str) -> str:
    """Returns Glue's error message for a failed script: its last Python exception, or else the way the process ended.

    Args:
        status: The exit status, 128 + n for signal n.
        stderr: All that the script wrote to standard error.
    """
    lines = stderr.splitlines()
    tracebacks = [number for number, line in enumerate(lines) if line == "Traceback (most recent call last):"]
    if tracebacks:
        for number in range(tracebacks[-1] + 1, len(lines)):
            if EXCEPTION_LINE.match(lines[number]):
                return _with_continuation(lines[number:])[:MESSAGE_LIMIT]
    if status > 128:
        with suppress(ValueError):
            return f"Command was ended by signal {status - 128} ({signal.Signals(status - 128).name})"
    printed = [line for line in lines if line.strip()]
    return f"Command failed with exit code {status}" + (f": {printed[-1][:MESSAGE_LIMIT]}" if printed else "")


def _with_continuation(lines: list[str]) -> str:
    message = lines[:1]
    for line in lines[1:]:
        if JAVA_STACK_OR_LOG_LINE.match(line):
            break
        message.append(line)
    return "\n".join(message).rstrip()


def _read_run(path: Path) -> Run:
    record = json.loads(path.read_bytes())
    for name in ("started_on", "last_modified_on", "completed_on"):
        record[name] = record[name] and datetime.fromisoformat(record[name])
    return Run(**record | {"job": Job(**record["job"])})
