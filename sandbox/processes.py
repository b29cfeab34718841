"""Run the sandbox's servers as processes: start them in parallel, wait until they answer, end them with their children.

A server and all processes that it starts have MARKER in their environment. So the sandbox finds the children of a
killed server, and never signals a foreign process that has got the pid of a server.
"""

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from sandbox.home import Home, SandboxError

MARKER = "MUSIC_STREAMS_SANDBOX_PROCESS"
STATE = "processes"
POLL_SECONDS = 0.2
GRACE_SECONDS = 12.0
SHORT_GRACE_SECONDS = 1.5
LOG_TAIL_LINES = 25


class NotReadyError(Exception):
    """A server does not answer yet; the message says what is missing."""


@dataclass(frozen=True)
class Server:
    """A program that runs until it is stopped.

    Attributes:
        name: a name unique in the sandbox; the log is `logs/<name>.log`.
        environment: variables beside the inherited ones.
        port: the port on which it listens; the sandbox detects another program that answers there.
        sources: files and folders of code that the program has loaded; if they change, the server is restarted.
        check: raises NotReadyError until the server is ready; its argument is the start of the process (Unix seconds).
        dispensable: whether the other servers can work without it if it ends.
        deadline: seconds within which it must become ready.
        grace: seconds within which it must end after it was asked to.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    check: Callable[[float], None]
    port: int | None = None
    sources: Sequence[Path] = ()
    dispensable: bool = False
    deadline: float = 120.0
    grace: float = GRACE_SECONDS
    working_directory: Path = field(default_factory=Path.cwd)

    def fingerprint(self) -> str:
        """Return a digest of the command, the environment and the sources, which changes if one of them changes."""
        digest = hashlib.sha256(json.dumps([list(self.command), sorted(self.environment.items())]).encode())
        for source in self.sources:
            for file in sorted(source.rglob("*.py")) if source.is_dir() else [source]:
                digest.update(str(file).encode() + file.read_bytes())
        return digest.hexdigest()


class Processes:
    """The running servers of one sandbox. Callers must hold the sandbox's lock while they start or stop servers."""

    def __init__(self, home: Home, inherited: Mapping[str, str]) -> None:
        """Set up the servers of `home`; `inherited` is the environment that every server gets."""
        self._home = home
        self._inherited = dict(inherited)

    def log(self, name: str) -> Path:
        """Return the path of a server's log."""
        return self._home.logs / f"{name}.log"

    def running(self) -> dict[str, psutil.Process]:
        """Return the running servers, by name."""
        return {name: process for name in self._state() if (process := self._find(name)) is not None}

    def check(self) -> None:
        """Check that all started servers are running, except dispensable ones.

        Raises:
            SandboxError: a server has ended; the message holds the end of its log.
        """
        for name, entry in self._state().items():
            if self._find(name) is None and not entry.get("dispensable"):
                log = self.log(name)
                raise SandboxError(
                    f"{name} has ended (did another command stop the sandbox?). `make run` starts it again, and what "
                    f"was under way goes on. The end of its log, {log}:\n{tail(log)}"
                )

    def up_to_date(self, server: Server) -> bool:
        """Return whether the server is running with the settings with which it would be started now."""
        return self._find(server.name) is not None and self._state()[server.name]["fingerprint"] == server.fingerprint()

    def footprint(self) -> tuple[int, int]:
        """Return the number of processes of the servers and their children, and the bytes of memory that they use."""
        family = {member for server in self.running().values() for member in (server, *children_of(server))}
        return len(family), sum(map(memory_of, family))

    def start(self, servers: Iterable[Server]) -> list[Server]:
        """Start servers that are down or run with other settings; return them without waiting until they are ready."""
        stale = [server for server in servers if not self.up_to_date(server)]
        self.stop([server.name for server in stale])
        for server in stale:
            self._launch(server)
        return stale

    def wait(self, servers: Iterable[Server], fresh: Iterable[Server], on_ready: Callable[[str, float], None]) -> None:
        """Wait until all servers are ready; call `on_ready` for each of the `fresh` ones with the seconds it took.

        A server that ends though it is not fresh was already ending when it was found running; it is started once more.

        Raises:
            SandboxError: a server ended or missed its deadline. The others are left as they are.
        """
        waiting, just_started, began = list(servers), {server.name for server in fresh}, time.time()
        while waiting:
            for server in tuple(waiting):
                process = self._find(server.name)
                if process is None and server.name not in just_started:
                    self.start([server])
                    just_started.add(server.name)
                elif process is None:
                    raise SandboxError(self._startup_failure(server, "ended"))
                elif self._serves(server, process, began):
                    waiting.remove(server)
                    if server.name in just_started:
                        on_ready(server.name, time.time() - process.create_time())
            if waiting:
                time.sleep(POLL_SECONDS)

    def stop(self, names: Iterable[str] | None = None) -> None:
        """End servers (default: all) and all processes that they started.

        First the servers are asked to end, then the remaining processes that they started; the rest is killed.

        Raises:
            SandboxError: a process survived.
        """
        chosen = set(self._state() if names is None else names)
        servers = {name: process for name, process in self.running().items() if name in chosen}
        family = {child for server in servers.values() for child in children_of(server)}
        signal_all(servers.values(), psutil.Process.terminate)
        asked = time.monotonic()
        by_grace = sorted(servers, key=lambda name: self._state()[name]["grace"])
        for name in by_grace:
            wait_gone([servers[name]], asked + self._state()[name]["grace"] - time.monotonic())
            family.update(children_of(servers[name]))

        family.update(self._marked(None if names is None else chosen))
        signal_all(wait_gone(family, 0), psutil.Process.terminate)
        deaf = wait_gone([*family, *servers.values()], SHORT_GRACE_SECONDS)
        deaf += [child for process in deaf for child in children_of(process)]
        signal_all(deaf, psutil.Process.kill)
        if immortal := wait_gone(deaf, GRACE_SECONDS):
            raise SandboxError(f"these processes of the sandbox do not end: {immortal}")
        if left := {name: entry for name, entry in self._state().items() if name not in chosen}:
            self._home.remember(STATE, left)
        else:
            self._home.forget(STATE)  # works on a full disk, too

    def _serves(self, server: Server, process: psutil.Process, waiting_since: float) -> bool:
        try:
            started = process.create_time()
            check_port(server, process)
            server.check(started)
        except NotReadyError as reason:
            if time.time() - max(started, waiting_since) > server.deadline:
                explanation = f"did not become ready within {server.deadline:.0f} s ({reason})"
                raise SandboxError(self._startup_failure(server, explanation)) from reason
            return False
        return True

    def _launch(self, server: Server) -> None:
        log = self.log(server.name)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        environment = {**self._inherited, **server.environment, MARKER: self._mark(server.name)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                server.command,
                cwd=server.working_directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C in a command must not reach the servers
            )
        entry = {
            "pid": process.pid,
            "started": psutil.Process(process.pid).create_time(),
            "fingerprint": server.fingerprint(),
            "grace": server.grace,
            "dispensable": server.dispensable,
        }
        self._home.remember(STATE, {**self._state(), server.name: entry})

    def _find(self, name: str) -> psutil.Process | None:
        entry = self._state().get(name)
        if entry is None:
            return None
        try:
            process = psutil.Process(entry["pid"])
            same = abs(process.create_time() - entry["started"]) < 1.0
        except psutil.NoSuchProcess:
            return None
        return process if same and not has_ended(process) else None

    def _marked(self, names: set[str] | None) -> Iterable[psutil.Process]:
        marks = None if names is None else {self._mark(name) for name in names}
        ours = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
        for process in psutil.process_iter():
            try:
                mark = process.environ().get(MARKER, "")
            except psutil.Error:
                continue
            belongs = mark.startswith(self._mark("")) if marks is None else mark in marks
            if belongs and process.pid not in ours:
                yield process

    def _mark(self, name: str) -> str:
        return f"{self._home.path}|{name}"

    def _state(self) -> dict[str, dict[str, Any]]:
        return self._home.recall(STATE) or {}

    def _startup_failure(self, server: Server, what_happened: str) -> str:
        log = self.log(server.name)
        return f"{server.name} {what_happened}. The end of its log, {log}:\n{tail(log)}"


def check_port(server: Server, process: psutil.Process) -> None:
    """Check that the server itself listens on its port.

    Raises:
        NotReadyError: the server does not listen there, though another program may.
    """
    if server.port is not None and not listens(process, server.port):
        raise NotReadyError(f"it does not listen on port {server.port}")


def listens(process: psutil.Process, port: int) -> bool:
    """Return whether the process, or one that it started, listens on a port."""
    for member in [process, *children_of(process)]:
        try:
            sockets = member.net_connections("tcp")
        except psutil.Error:  # ended, or another user's
            continue
        if any(socket.status == psutil.CONN_LISTEN and socket.laddr.port == port for socket in sockets):
            return True
    return False


def children_of(process: psutil.Process) -> list[psutil.Process]:
    """Return all descendants of the process."""
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def memory_of(process: psutil.Process) -> int:
    """Return the bytes of memory that a process uses, with its part of shared memory; 0 if it has ended."""
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:  # ended, or another user's
        return 0


def signal_all(processes: Iterable[psutil.Process], signal: Callable[[psutil.Process], None]) -> None:
    """Signal the processes that are still running."""
    for process in processes:
        try:
            signal(process)
        except psutil.NoSuchProcess:
            continue


def wait_gone(processes: Iterable[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Wait until all processes have ended; return those that are still running after `seconds`.

    A zombie counts as ended: only process 1 removes an orphan's zombie, and in a container it may never do so.
    """
    deadline = time.monotonic() + seconds
    while alive := [process for process in processes if not has_ended(process)]:
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS / 4)
    return alive


def has_ended(process: psutil.Process) -> bool:
    """Return whether the process has ended, and has released its ports and files."""
    try:
        # A process is a zombie once its first thread has ended, but its ports and files stay open until the last ends.
        return not process.is_running() or (process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1)
    except psutil.NoSuchProcess:
        return True


def tail(log: Path, lines: int = LOG_TAIL_LINES) -> str:
    """Return the last lines of a log, indented."""
    if not log.exists():
        return "  (no log)"
    text = log.read_text(errors="replace").splitlines()[-lines:]
    return "\n".join(f"  {line}" for line in text) or "  (empty)"


def python(*arguments: str) -> list[str]:
    """Return a command for the Python that runs this process."""
    return [sys.executable, *arguments]
