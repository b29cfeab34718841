"""dbt that is loaded and has parsed the project once; each command runs in a fork of it.

A fork starts as fresh as a process of its own, without its seconds of imports, and can be killed like one. (Invoked
over and over in one process, dbt gets slower each time.)
"""

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from tests.death import Death, Died

REPOSITORY = Path(__file__).parents[2]


class DbtError(Exception):
    """The command has failed; the message names the nodes to blame."""


class WarmDbt:
    """The server process; its environment is the one at its start, and what a command adds."""

    def __init__(self) -> None:
        """Start it; the first command waits until the project is parsed."""
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.properties.warm_dbt"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, environment: Mapping[str, str], dies_after: int | None = None) -> None:
        """Run a command, or kill it with SIGKILL once it has sent so many statements to the warehouse.

        Raises:
            DbtError: it has failed.
            Died: it was killed.
        """
        request = {"arguments": arguments, "environment": dict(environment), "dies_after": dies_after}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        if answer is None:
            raise Died
        if answer:
            raise DbtError(f"dbt {' '.join(arguments)}: {answer}")

    def close(self) -> None:
        """End the server."""
        self._server.communicate()


def serve() -> None:
    """Answer each request on stdin with a line on stdout: "" for success, what went wrong, or null for a death."""
    # Only the server needs dbt; its tasks would else be imported by each fork.
    importlib.import_module("dbt.task.build")
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    parsed = dbtRunner().invoke(["parse", "--quiet", "--project-dir", str(REPOSITORY)])
    if parsed.exception:
        raise parsed.exception
    for line in sys.stdin:
        request = json.loads(line)
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            os.environ.update(request["environment"])
            die_in_good_time(request["dies_after"])
            os.write(sender, invoke(parsed.result, request["arguments"]).encode())
            os._exit(0)
        os.close(sender)
        with os.fdopen(receiver) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        print(json.dumps(None if killed else said), file=answers, flush=True)


def die_in_good_time(statements: int | None) -> None:
    """Let this process kill itself before it sends one statement more than these."""
    if statements is None:
        return
    from redshift_connector.cursor import Cursor  # noqa: PLC0415 - only the server needs it

    death = Death()
    death.arm(statements)
    execute = Cursor.execute

    def execute_unless_dead(cursor: Any, *arguments: Any, **more: Any) -> Any:
        if death.strikes():
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(cursor, *arguments, **more)

    mock.patch.object(Cursor, "execute", execute_unless_dead).start()


def invoke(manifest: Any, arguments: Sequence[str]) -> str:
    """Run dbt; nothing when it succeeds, else what it says of the nodes that failed."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - only the server needs it

    quick = ["--quiet", "--no-write-json", "--log-level-file", "none"]
    outcome = dbtRunner(manifest=manifest).invoke([*arguments, *quick, "--project-dir", str(REPOSITORY)])
    if outcome.success:
        return ""
    bad = [
        f"{result.node.name}: {result.message}"
        for result in getattr(outcome.result, "results", [])
        if str(result.status) not in ("success", "pass", "skipped")
    ]
    return "; ".join(bad) or str(outcome.exception)


if __name__ == "__main__":
    serve()
