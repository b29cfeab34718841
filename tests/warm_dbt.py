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
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from tests.death import Death, Died

REPOSITORY = Path(__file__).parents[1]


@dataclass
class Invocation:
    """What one dbt command did; each by the name of the node."""

    success: bool
    exception: str
    statuses: dict[str, str] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    failures: dict[str, int] = field(default_factory=dict)
    statements: dict[str, list[str]] = field(default_factory=dict)

    def named(self, status: str) -> set[str]:
        """Names of the nodes that ended so, e.g. `fail`."""
        return {name for name, ended in self.statuses.items() if ended == status}

    @property
    def failed_rows(self) -> dict[str, int]:
        """The failed tests, and how many rows each complained about."""
        return {name: self.failures[name] for name in self.named("fail")}

    @property
    def complaint(self) -> str:
        """What dbt says of the nodes that did not succeed."""
        bad = [name for name, status in self.statuses.items() if status not in ("success", "pass", "skipped")]
        return "; ".join(f"{name}: {self.messages[name]}" for name in bad) or self.exception


class WarmDbt:
    """The server process; end it with close()."""

    def __init__(self) -> None:
        """Start it; the first command waits until the project is parsed."""
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.warm_dbt"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, batch_id: str | None = None, dies_after: int | None = None) -> Invocation:
        """Run a command in this process' environment; or kill it before it sends one statement more than it may.

        Raises:
            Died: it was killed.
        """
        environment = dict(os.environ) | ({} if batch_id is None else {"MUSIC_STREAMS_BATCH_ID": batch_id})
        request = {"arguments": arguments, "environment": environment, "dies_after": dies_after}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        answer = json.loads(self._server.stdout.readline())
        if answer is None:
            raise Died
        return Invocation(**answer)

    def close(self) -> None:
        """End the server."""
        self._server.communicate()


def serve() -> None:
    """Answer each request on stdin with a line on stdout: an invocation, or null for a death."""
    # Only the server needs dbt; its tasks would else be imported by each fork.
    importlib.import_module("dbt.task.build")
    import redshift_connector  # noqa: PLC0415
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    # Unnamed, each connection looks through its whole stack for the caller's name: a fifth of dbt's CPU time here.
    named = partial(redshift_connector.connect, application_name="tests")
    mock.patch.object(redshift_connector, "connect", named).start()
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
            os.close(receiver)
            os.environ.clear()
            os.environ.update(request["environment"])
            die_in_good_time(request["dies_after"])
            with os.fdopen(sender, "w") as pipe:
                json.dump(asdict(invoke(parsed.result, request["arguments"])), pipe)
            os._exit(0)
        os.close(sender)
        with os.fdopen(receiver) as pipe:
            said = pipe.read()
        _, status = os.waitpid(child, 0)
        print("null" if os.WIFSIGNALED(status) else said, file=answers, flush=True)


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


def invoke(manifest: Any, arguments: Sequence[str]) -> Invocation:
    """Run dbt in this process."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - only the server needs it

    statements: dict[str, list[str]] = {}

    def note(event: Any) -> None:
        if event.info.name == "SQLQuery":
            statements.setdefault(event.data.node_info.node_name, []).append(event.data.sql.strip())

    quick = ["--quiet", "--no-write-json", "--log-level-file", "none"]
    outcome = dbtRunner(manifest=manifest, callbacks=[note]).invoke(
        [*arguments, *quick, "--project-dir", str(REPOSITORY)]
    )
    invocation = Invocation(outcome.success, str(outcome.exception or ""), statements=statements)
    for result in getattr(outcome.result, "results", []):
        invocation.statuses[result.node.name] = str(result.status)
        invocation.messages[result.node.name] = result.message or ""
        invocation.failures[result.node.name] = getattr(result, "failures", 0) or 0
    return invocation


if __name__ == "__main__":
    serve()
