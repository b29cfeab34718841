"""Run dbt without its seconds of imports: `python -m sandbox.dbt_server FOLDER [FIRST …]` forks for each command.

A run of the DAG starts seven dbt commands. `FOLDER/dbt` is the program to start instead of dbt's own (dbt_client.py).
The server itself runs the command FIRST, which parses the project, before it serves. So no fork has to load again what
FIRST has loaded.
"""

import gc
import importlib
import inspect
import json
import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from sandbox.dbt_client import SOCKET
from sandbox.home import REPOSITORY, write_whole
from sandbox.processes import NotReadyError, Server, python

NAME = "dbt"
CLIENT = Path(__file__).with_name("dbt_client.py")
# The server imports these modules once; each fork must import any others itself.
IMPORTED = ("dbt.adapters.redshift", "dbt.cli.main", "dbt.task.build", "dbt.task.docs.generate", "dbt.task.freshness")


def server(folder: Path, environment: Mapping[str, str], first: Sequence[str]) -> Server:
    """Return the server that the folder's program calls; it begins with a command that parses the project."""
    return Server(
        name=NAME,
        command=python("-m", "sandbox.dbt_server", str(folder), *first),
        dispensable=True,
        environment=environment,
        check=lambda _started: check(folder),
        sources=[Path(__file__), REPOSITORY / "uv.lock"],
        grace=0,  # it has no state to save
        working_directory=REPOSITORY,
    )


def write_program(folder: Path) -> Path:
    """Put the program `dbt` into the folder, and return its path."""
    program = folder / NAME
    # -IS: the program needs no packages, and starts in milliseconds without them. A #! line cannot quote Python's path.
    start = f"#!/bin/sh\n'''exec' {shlex.quote(sys.executable)} -IS \"$0\" \"$@\"\n' '''\n"
    write_whole(program, start + CLIENT.read_text())
    program.chmod(0o700)
    return program


def check(folder: Path) -> None:
    """Check that the server is ready.

    Raises:
        NotReadyError: no process listens on the socket yet.
    """
    with socket.socket(socket.AF_UNIX) as probe, address(folder) as name:
        try:
            probe.connect(name)
        except (ConnectionRefusedError, FileNotFoundError) as error:
            raise NotReadyError(f"nothing listens on {folder / SOCKET}") from error


@contextmanager
def address(folder: Path) -> Iterator[str]:
    """Yield a name of less than 108 characters for the folder's socket."""
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)


def serve(folder: Path, run: Callable[[list[str]], int]) -> NoReturn:
    """Fork a process for each client, which runs the client's command and ends with its exit status.

    Args:
        folder: the folder of the program whose calls are served.
        run: runs a command, such as `["dbt", "build", …]`, in the fork, and returns its exit status.
    """
    inspect.stack()  # dbt calls it for each of its behavior flags; the first call lists all modules by their files
    gc.collect()
    gc.freeze()  # else each fork looks through all that the server holds for garbage, again and again
    status = serve_as_dbt(next_client(folder), run)
    gc.freeze()  # otherwise Python's last garbage collection scans all of dbt, which takes a second
    sys.exit(status)


def next_client(folder: Path) -> socket.socket:
    """Fork a process for each client, for ever; return only in the forks, with the fork's client."""
    (folder / SOCKET).unlink(missing_ok=True)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system reaps the forks
    with socket.socket(socket.AF_UNIX) as listener:
        with address(folder) as name:
            listener.bind(name)
        listener.listen()
        while True:
            client, _ = listener.accept()
            if os.fork() == 0:
                return client
            client.close()


def serve_as_dbt(client: socket.socket, run: Callable[[list[str]], int]) -> int:
    """Run the client's command in its place, with its streams and environment; return the exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command = take_over_from(client)
    if not command:
        return 0
    ended = threading.Event()
    threading.Thread(target=die_with, args=[client, ended], daemon=True).start()
    status = run(command)
    sys.stdout.flush()
    ended.set()
    client.sendall(bytes([status]))
    return status


def take_over_from(client: socket.socket) -> list[str]:
    """Take over the client's streams, directory and environment; return its command, empty if it only connected."""
    length, streams, _, _ = socket.recv_fds(client, 8, 3)
    if not length:
        return []
    with client.makefile("rb") as content:
        request = json.loads(content.read(int.from_bytes(length, "big")))
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [NAME, *request["arguments"]]
    return sys.argv


def die_with(client: socket.socket, ended: threading.Event) -> None:
    """Kill this process if the client disconnects before the command has ended."""
    client.recv(1)
    if not ended.is_set():
        os.kill(os.getpid(), signal.SIGKILL)


def run_dbt(command: list[str]) -> int:
    """Run dbt's command, and return its exit status."""
    from dbt.cli.main import cli  # noqa: PLC0415 - checking the server's state needs no dbt

    try:
        cli.main(command[1:], prog_name=command[0])
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def parse(command: Sequence[str]) -> Any:
    """Run a command that parses the project, compile the project's macros, and return dbt's result.

    Each fork would have to compile the macros that it calls, which was a third of its CPU time.
    """
    from dbt.cli.main import dbtRunner  # noqa: PLC0415 - checking the server's state needs no dbt
    from dbt.contracts.graph.manifest import Manifest  # noqa: PLC0415
    from dbt_common.clients.jinja import template_cache  # noqa: PLC0415

    # dbt's static parser waits for threads that a fork lacks, if the process has used it before the fork.
    parsed = dbtRunner().invoke([*command, "--no-static-parser"])
    if isinstance(parsed.result, Manifest):
        for macro in parsed.result.macros.values():
            template_cache.get_node_template(macro)
    return parsed


def name_connections() -> None:
    """Have the driver name its connections to the warehouse.

    For an unnamed one it looks through the whole stack for the caller's name. dbt opens a connection for each node, so
    that was a fifth of its CPU time.
    """
    import redshift_connector  # noqa: PLC0415 - only the server needs it

    redshift_connector.connect = partial(redshift_connector.connect, application_name=NAME)


if __name__ == "__main__":
    for name in IMPORTED:
        importlib.import_module(name)
    name_connections()
    if len(sys.argv) > 2:
        parse(sys.argv[2:])  # should it fail, the commands to come will say why
        importlib.import_module("dbt.deprecations").reset_deprecations()  # each fork warns of them anew
    serve(Path(sys.argv[1]), run_dbt)
