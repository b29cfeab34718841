"""The sandbox's commands. A command's result goes to stdout, everything else to stderr; errors end with status 1."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence

from redshift_connector.error import Error

from contract.bucket import Bucket
from sandbox import airflow, docs_site, environment, events, kpi_report, pipeline_run, warehouse
from sandbox.home import Home, SandboxError
from sandbox.lifecycle import Part, Sandbox, say
from sandbox.settings import BUCKET


def argument(name: str) -> str | None:
    """The value of a variable of make, as it was typed; None if it was not given."""
    return os.environ.get(f"MUSIC_STREAMS_ARGUMENT_{name}") or None


def run(sandbox: Sandbox) -> int:
    """Run the pipeline once."""
    return pipeline_run.run(sandbox, data=argument("DATA"), params=argument("PARAMS"))


def query(sandbox: Sandbox) -> int:
    """Run one statement on the warehouse."""
    sql = argument("SQL")
    if sql is None or not sql.strip():
        raise SandboxError('no statement given: make query SQL="select * from hourly_kpis"')
    sandbox.start({Part.REDSHIFT})
    try:
        warehouse.write_csv(sandbox.home, sandbox.ports, sql, sys.stdout)
    except Error as error:
        raise SandboxError(warehouse.message(error)) from error
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
    objects = events.store(sandbox.ports.aws_endpoint, secrets.aws_access_key_id, secrets.aws_secret_access_key)
    events.write_csv(Bucket(BUCKET, sandbox.aws.s3), objects, sql, sys.stdout)
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
    print(f"Airflow:  {sandbox.ports.airflow_url}/dags/{airflow.DAG_ID}")
    print(f"Login:    {airflow.USER}")
    print(f"Password: {sandbox.home.secrets().airflow_password}")
    return 0


def report(sandbox: Sandbox) -> int:
    """Open the page of charts, or print its address where there is no browser."""
    sandbox.start({Part.AWS})
    kpi_report.show(sandbox)
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
    say("The sandbox is stopped")
    return 0


def clean(sandbox: Sandbox) -> int:
    """Stop everything and forget the contents."""
    sandbox.clean()
    say("The sandbox is stopped and empty")
    return 0


COMMANDS: dict[str, Callable[[Sandbox], int]] = {
    "run": run,
    "query": query,
    "events": query_events,
    "env": env,
    "airflow": open_airflow,
    "report": report,
    "docs": docs,
    "start": start,
    "stop": stop,
    "clean": clean,
}


def main(arguments: Sequence[str]) -> int:
    """Run a command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = COMMANDS[parser.parse_args(arguments).command]
    try:
        return command(Sandbox(Home.from_environment()))
    except SandboxError as error:
        say(f"error: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader, such as head, has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
