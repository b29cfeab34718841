"""The sandbox's commands. A command's result goes to stdout, everything else to stderr; errors end with status 1."""

import argparse
import errno
import os
import signal
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import requests
from botocore.exceptions import BotoCoreError
from music_streams.removal import NotRemovedError, remove_landed_file
from redshift_connector.error import Error

from contract.bucket import Bucket, RefusedError
from sandbox import (
    docs_site,
    environment,
    event_queries,
    pipeline_run,
    quarantine,
    report_page,
    warehouse_client,
)
from sandbox.airflow_api import DAG_ID, USER
from sandbox.home import Home, SandboxError
from sandbox.lifecycle import Part, Sandbox, report
from sandbox.settings import BUCKET

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})


def argument(name: str) -> str | None:
    """Return the value of a variable of make, exactly as typed; None if it was not given."""
    return os.environ.get(f"MUSIC_STREAMS_ARGUMENT_{name}") or None


def run(sandbox: Sandbox) -> int:
    """Run the pipeline once."""
    return pipeline_run.run(sandbox, data=argument("DATA"), params=argument("PARAMS"))


def cancel(sandbox: Sandbox) -> int:
    """Give up the DAG run that is under way."""
    sandbox.start()
    given_up = pipeline_run.give_up(sandbox.airflow)
    for run_id in given_up:
        print(f"Gave up DAG run {run_id}. Nothing is lost: what it has not loaded, the next run takes in")
    if not given_up:
        print("No DAG run is under way")
    return 0


def remove(sandbox: Sandbox) -> int:
    """Move a landed file to quarantine."""
    name = argument("FILE")
    if name is None:
        raise SandboxError("no file given: make remove FILE=user_streams/NAME.csv")
    sandbox.start({Part.AWS})
    bucket = Bucket(BUCKET, sandbox.aws.s3)
    try:
        moved = remove_landed_file(bucket, name, datetime.now(UTC))
    except (NotRemovedError, RefusedError) as error:
        raise SandboxError(str(error)) from error
    print(f"{name} lies in {bucket.url(moved)} now, and no run takes it in")
    return 0


def show_quarantine(sandbox: Sandbox) -> int:
    """Show refused files and rejected rows, or write rejected rows as files to fix."""
    batch, folder = argument("BATCH"), argument("FOLDER")
    if folder and not batch:
        raise SandboxError("FOLDER without BATCH: `make quarantine` lists the batches that have left something")
    sandbox.start({Part.AWS})
    bucket = Bucket(BUCKET, sandbox.aws.s3)
    if batch and folder:
        lines = quarantine.write_rows_to_fix(bucket, batch, Path(folder).expanduser())
    else:
        lines = quarantine.shown(bucket, batch) if batch else quarantine.overview(bucket)
    for line in lines:
        print(line)
    return 0


def query(sandbox: Sandbox) -> int:
    """Run one statement on the warehouse."""
    sql = argument("SQL")
    if sql is None or not sql.strip():
        raise SandboxError('no statement given: make query SQL="select * from hourly_kpis"')
    sandbox.start({Part.REDSHIFT})
    try:
        warehouse_client.write_csv(sandbox.home, sandbox.ports, sql, sys.stdout)
    except Error as error:
        raise SandboxError(warehouse_client.message(error)) from error
    sys.stdout.flush()
    return 0


def query_events(sandbox: Sandbox) -> int:
    """Run one statement on the events of the lake."""
    sql = argument("SQL")
    if sql is None or not sql.strip():
        example = "select * from events where listen_date = date '2024-06-25' limit 10"
        raise SandboxError(f'no statement given: make events SQL="{example}"')
    sandbox.start({Part.AWS})
    secrets = sandbox.home.secrets()
    objects = event_queries.store(sandbox.ports.aws_endpoint, secrets.aws_access_key_id, secrets.aws_secret_access_key)
    event_queries.write_csv(Bucket(BUCKET, sandbox.aws.s3), objects, sql, sys.stdout)
    sys.stdout.flush()
    return 0


def env(sandbox: Sandbox) -> int:
    """Print the variables that lead to the sandbox."""
    sandbox.start({Part.REDSHIFT, Part.AWS})
    path = os.environ.get("PATH", os.defpath)
    for line in environment.shell_lines(sandbox.home, sandbox.ports, sandbox.aws.s3, path):
        print(line)
    return 0


def open_airflow(sandbox: Sandbox) -> int:
    """Start everything and print the address of Airflow's UI."""
    sandbox.start()
    sandbox.airflow.unpause()
    print(f"Airflow:  {sandbox.ports.airflow_url}/dags/{DAG_ID}")
    print(f"Login:    {USER}")
    print(f"Password: {sandbox.home.secrets().airflow_password}")
    return 0


def open_report(sandbox: Sandbox) -> int:
    """Open the page of charts, or print its address where there is no browser."""
    sandbox.start({Part.AWS})
    report_page.show(sandbox)
    return 0


def docs(sandbox: Sandbox) -> int:
    """Generate the dbt docs and serve them until Ctrl-C."""
    sandbox.start({Part.REDSHIFT})
    docs_site.generate_and_serve(sandbox)
    return 0


def start(sandbox: Sandbox) -> int:
    """Start everything."""
    sandbox.start()
    sandbox.airflow.unpause()
    return 0


def stop(sandbox: Sandbox) -> int:
    """Stop everything."""
    sandbox.stop()
    report("The sandbox is stopped")
    return 0


def clean(sandbox: Sandbox) -> int:
    """Stop everything and forget the contents."""
    sandbox.clean()
    report("The sandbox is stopped and empty")
    return 0


COMMANDS: dict[str, Callable[[Sandbox], int]] = {
    "run": run,
    "cancel": cancel,
    "remove": remove,
    "quarantine": show_quarantine,
    "query": query,
    "events": query_events,
    "env": env,
    "airflow": open_airflow,
    "report": open_report,
    "docs": docs,
    "start": start,
    "stop": stop,
    "clean": clean,
}


def _with_reason(command: Callable[[Sandbox], int], sandbox: Sandbox) -> int:
    """Run the command; turn errors of a stopped server or an unwritable file into one sentence."""
    try:
        return command(sandbox)
    except (requests.RequestException, BotoCoreError) as error:
        sandbox.check()
        raise SandboxError(f"a server of the sandbox does not answer: {error}") from error
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise SandboxError(f"{error.strerror}: {error.filename or sandbox.home.path}") from error


def main(arguments: Sequence[str]) -> int:
    """Run a command, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = COMMANDS[parser.parse_args(arguments).command]
    sandbox = Sandbox(Home.from_environment())
    try:
        return _with_reason(command, sandbox)
    except SandboxError as error:
        report(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of the pipe, such as head, has stopped. Without this, Python would fail again as it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
