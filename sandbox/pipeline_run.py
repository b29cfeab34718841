"""`make run`: land the data, run the DAG once through Airflow's scheduler, and report the result."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from music_streams.batches import unknown_params
from rich.console import Console

from contract.bucket import Bucket
from sandbox import failure, landing, summary
from sandbox.airflow_api import Client
from sandbox.follow import FinishedRun, follow
from sandbox.home import SandboxError
from sandbox.lifecycle import Sandbox, report
from sandbox.progress import Progress
from sandbox.settings import BUCKET

POLL_SECONDS = 0.5
WIDTH = 120


def run(sandbox: Sandbox, *, data: str | None, params: str | None) -> int:
    """Run the pipeline once, and return the exit status.

    Without `data` the next day of sample data lands, unless `params` (DAG params as JSON) are given or files wait that
    an earlier run has not taken in; then nothing lands.

    Raises:
        SandboxError: the data or the params are invalid, or the sandbox does not work.
    """
    console = terminal()
    conf = dag_params(params)
    delivery = landing.from_folder(data) if data else None
    sandbox.start()
    with sandbox.home.locked("run", lambda: report("Another `make run` is under way: waiting for its end")):
        if strange := unknown_params(conf, sandbox.airflow.params()):
            raise SandboxError(f"PARAMS={params}: {strange}")
        sandbox.airflow.unpause()
        wait_for_quiet(sandbox)
        waiting = landing.waiting(Bucket(BUCKET, sandbox.aws.s3))
        if delivery is None and params is None and not waiting:
            delivery = landing.sample_day(sandbox.home)
        if delivery:
            console.print(f"Landing {delivery.title}")
            for line in landing.sentences(delivery.left_out):
                console.print(f"  not landed: {line}", markup=False)
            delivery.land(sandbox.aws.s3)
            if data:
                sandbox.home.remember(landing.LAST_FOLDER, str(Path(data).expanduser().absolute()))
            else:
                landing.next_sample_day(sandbox.home)
        elif params is None:
            console.print("No new day of sample data lands before what waits is taken in or removed")
        for line in landing.taken_in_besides(waiting, delivery):
            console.print(line, markup=False, soft_wrap=True)
        started = sandbox.airflow.trigger(conf)
        console.print(f"DAG run {started['dag_run_id']}")
        try:
            with Progress(console) as progress:
                finished = follow(sandbox.airflow, started, progress.show, sandbox.check)
        except KeyboardInterrupt:
            report(
                "\nThe run goes on in the sandbox. `make run` waits for its end, `make cancel` gives it up, "
                "`make airflow` shows where to watch it, `make stop` ends everything."
            )
            raise
    return show_outcome(sandbox, finished, console)


def terminal() -> Console:
    """Return the user's terminal; for a file or a pipe, a console of plain lines, wide enough for the tables."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=WIDTH)


def show_outcome(sandbox: Sandbox, finished: FinishedRun, console: Console) -> int:
    """Print the summary or the failure, and return the exit status."""
    if finished.succeeded:
        summary.show(console, sandbox, finished)
        return 0
    failures = failure.diagnose(sandbox.home, finished.run_id, finished.tasks)
    summary.show_failure(console, sandbox, finished, failures)
    return 1


def dag_params(text: str | None) -> dict[str, Any]:
    """Parse the command's DAG params.

    Raises:
        SandboxError: the text is not a JSON object.
    """
    try:
        params = json.loads(text) if text else {}
    except ValueError as error:
        raise SandboxError(
            f"PARAMS={text} is no JSON ({error}). Write e.g. PARAMS='{{\"max_reject_rate\": 0.1}}'"
        ) from error
    if not isinstance(params, dict):
        raise SandboxError(f"PARAMS={text} is no JSON object. Write e.g. PARAMS='{{\"max_reject_rate\": 0.1}}'")
    return params


def wait_for_quiet(sandbox: Sandbox) -> None:
    """Wait until no run is active or due, so that the run that unpausing schedules does not ingest the next files."""
    reported: set[str] = set()
    while True:
        due = sandbox.airflow.scheduled_run_is_due()
        runs = {run["dag_run_id"]: run for run in sandbox.airflow.active_runs()}
        if not (due or runs):
            return
        for run_id in runs.keys() - reported:
            report(reason_to_wait(runs[run_id]))
        reported |= runs.keys()
        time.sleep(POLL_SECONDS)


def reason_to_wait(run: Mapping[str, Any]) -> str:
    """Return the reason why the command waits for an active run, and the way to end that run.

    Args:
        run: The run in the form of Airflow's API.
    """
    if run["run_type"] == "scheduled":
        return (
            f"Airflow begins the daily run that is due ({run['dag_run_id']}), as at each first start of a day: waiting "
            "for its end, some seconds unless files wait"
        )
    began = run["start_date"] or run["queued_at"] or run["run_after"]
    moment = datetime.fromisoformat(began).astimezone(UTC)
    return (
        f"DAG run {run['dag_run_id']}, begun at {moment:%H:%M} UTC, goes on, though nobody waits for it: "
        "an interrupted `make run` has left it, or it was started in Airflow. Waiting for its end. To give it up, "
        "press Ctrl-C, then:  make cancel"
    )


def give_up(client: Client) -> list[str]:
    """End the active runs as failed, and return their ids. The next run loads the batches that they have not loaded."""
    runs = [run["dag_run_id"] for run in client.active_runs()]
    for run_id in runs:
        client.fail(run_id)
    return runs
