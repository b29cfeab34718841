"""The sandbox's server of dbt with the project parsed once, which reports to the tests what each command did.

A fork starts as fresh as a process of its own, without its seconds of imports, and can be killed like one. (Invoked
over and over in one process, dbt gets slower each time.)
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from sandbox import dbt_server
from sandbox.processes import NotReadyError
from tests.death import Death, Died

REPOSITORY = Path(__file__).parents[1]
DIES_AFTER = "MUSIC_STREAMS_TEST_DIES_AFTER_STATEMENTS"


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
        """What dbt reports of the nodes that did not succeed."""
        bad = [name for name, status in self.statuses.items() if status not in ("success", "pass", "skipped")]
        return "; ".join(f"{name}: {self.messages[name]}" for name in bad) or self.exception


class WarmDbt:
    """The sandbox's server of dbt, with the project parsed; end it with close()."""

    def __init__(self) -> None:
        """Start it; returns when the project is parsed."""
        self._folder = tempfile.TemporaryDirectory(prefix="dbt-")
        folder = Path(self._folder.name)
        self._program = dbt_server.write_program(folder)
        self._server = subprocess.Popen([sys.executable, "-m", "tests.warm_dbt", str(folder)], cwd=REPOSITORY)
        while not self._ready(folder):
            assert self._server.poll() is None, "the server of dbt has ended"
            time.sleep(0.05)

    @staticmethod
    def _ready(folder: Path) -> bool:
        try:
            dbt_server.check(folder)
        except NotReadyError:
            return False
        return True

    def __call__(self, *arguments: str, batch_id: str | None = None, dies_after: int | None = None) -> Invocation:
        """Run a command in this process' environment; or kill it before it sends one statement more than it may.

        Raises:
            Died: it was killed.
        """
        environment = dict(os.environ)
        if batch_id is not None:
            environment["MUSIC_STREAMS_BATCH_ID"] = batch_id
        if dies_after is not None:
            environment[DIES_AFTER] = str(dies_after)
        ended = subprocess.run([self._program, *arguments], env=environment, stdout=subprocess.PIPE, check=False)
        if ended.returncode == -signal.SIGKILL:
            raise Died
        ended.check_returncode()
        return Invocation(**json.loads(ended.stdout))

    def close(self) -> None:
        """End the server."""
        self._server.kill()
        self._server.wait()
        self._folder.cleanup()


def serve(folder: Path) -> None:
    """Parse the project, then answer each command with an invocation on its stdout."""
    # Only the server needs dbt; its tasks would else be imported by each fork.
    importlib.import_module("dbt.task.build")
    dbt_server.name_connections()
    parsed = dbt_server.parse(["parse", "--quiet", "--project-dir", str(REPOSITORY)])
    if parsed.exception:
        raise parsed.exception
    dbt_server.serve(folder, partial(answer, parsed.result))


def answer(manifest: Any, command: Sequence[str]) -> int:
    """Run a command and write its invocation to stdout; what dbt itself writes there goes to stderr."""
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        limit = os.environ.get(DIES_AFTER)
        die_in_good_time(None if limit is None else int(limit))
        json.dump(asdict(invoke(manifest, command[1:])), answers)
    return 0


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

    quick = ["--log-level", "none", "--log-level-file", "none", "--no-write-json"]
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
    serve(Path(sys.argv[1]))
