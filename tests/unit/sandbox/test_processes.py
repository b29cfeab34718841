"""Servers that are toys: what starting, waiting and stopping promise whatever the server does."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from sandbox import processes
from sandbox.home import Home, SandboxError
from sandbox.processes import NotReadyError, Processes, Server, has_ended, wait_gone
from sandbox.settings import free_port

FOREVER = "import signal; signal.pause()"
DEAF = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); open('deaf', 'w').close()\n"
    "while True: signal.pause()"
)
RUNAWAY_CHILD = (
    "import os, signal, subprocess; "
    "print(subprocess.Popen(['sleep', '1000'], start_new_session=True).pid, flush=True); signal.pause()"
)


def ready(_started: float) -> None:
    """A check that is content."""


def never(_started: float) -> None:
    raise NotReadyError("it sulks")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


@pytest.fixture
def servers(home: Home) -> Iterator[Processes]:
    found = Processes(home, os.environ)
    yield found
    found.stop()


def toy(code: str, check: Callable[[float], None] = ready, name: str = "toy", **settings: object) -> Server:
    return Server(name, [sys.executable, "-c", code], {}, check, **settings)  # type: ignore[arg-type]


def printed_pid(servers: Processes, name: str = "toy") -> psutil.Process:
    deadline = time.monotonic() + 20
    while not (text := servers.log(name).read_text().strip()):
        assert time.monotonic() < deadline
    return psutil.Process(int(text))


def ignore(_name: str, _seconds: float) -> None:
    """Nobody wants to know."""


def test_a_running_server_is_not_started_twice(servers: Processes) -> None:
    assert servers.start([toy(FOREVER)])
    pid = servers.running()["toy"].pid

    assert servers.start([toy(FOREVER)]) == []
    assert servers.running()["toy"].pid == pid


def test_a_server_whose_settings_or_code_changed_is_started_anew(servers: Processes, tmp_path: Path) -> None:
    code = tmp_path / "code.py"
    code.write_text("first")
    servers.start([toy(FOREVER, sources=[code])])
    first = servers.running()["toy"]

    code.write_text("second")
    servers.start([toy(FOREVER, sources=[code])])

    assert has_ended(first)
    assert servers.running()["toy"] != first


def test_a_killed_server_is_started_anew_and_its_orphans_end(servers: Processes) -> None:
    servers.start([toy(RUNAWAY_CHILD)])
    child = printed_pid(servers)
    servers.running()["toy"].kill()
    assert wait_gone([child], 0.5) == [child]

    servers.start([toy(FOREVER)])

    assert has_ended(child)
    assert set(servers.running()) == {"toy"}


def test_a_server_that_has_ended_is_named_with_the_end_of_its_log(servers: Processes) -> None:
    servers.start([toy(FOREVER, name="lives"), toy("raise SystemExit('no space left')", name="aws")])
    deadline = time.monotonic() + 20
    while "aws" in servers.running():
        assert time.monotonic() < deadline

    with pytest.raises(SandboxError) as failure:
        servers.check()

    assert str(failure.value).startswith("aws has ended")
    assert "`make run` starts it again" in str(failure.value)
    assert str(failure.value).endswith("  no space left")


def test_servers_that_run_and_one_that_nobody_needs_are_no_matter(servers: Processes) -> None:
    servers.check()
    servers.start([toy(FOREVER), toy(FOREVER, name="needless", dispensable=True)])
    needless = servers.running()["needless"]
    needless.kill()
    assert wait_gone([needless], 20) == []

    servers.check()


def test_stopping_ends_children_in_sessions_of_their_own(servers: Processes) -> None:
    servers.start([toy(RUNAWAY_CHILD)])
    child = printed_pid(servers)

    servers.stop()

    assert has_ended(child)
    assert servers.running() == {}


def test_a_server_deaf_to_sigterm_is_killed(servers: Processes, tmp_path: Path) -> None:
    def is_deaf(_started: float) -> None:
        if not (tmp_path / "deaf").exists():
            raise NotReadyError("it still listens")

    deaf = toy(DEAF, is_deaf, working_directory=tmp_path, grace=0.2)
    servers.wait([deaf], servers.start([deaf]), ignore)
    process = servers.running()["toy"]

    servers.stop()

    assert has_ended(process)


def test_a_pid_that_belongs_to_somebody_else_by_now_is_not_touched(home: Home, servers: Processes) -> None:
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        entry = {"pid": stranger.pid, "started": psutil.Process(stranger.pid).create_time() - 60}
        home.remember(processes.STATE, {"toy": entry})

        assert servers.running() == {}
        servers.stop()

        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_another_sandbox_is_not_touched(servers: Processes, tmp_path: Path) -> None:
    neighbour = Processes(Home(tmp_path / "home2"), os.environ)
    neighbour.start([toy(FOREVER)])
    try:
        servers.start([toy(FOREVER)])
        servers.stop()
        assert set(neighbour.running()) == {"toy"}
    finally:
        neighbour.stop()


def test_a_server_started_but_not_noted_is_found(home: Home, servers: Processes) -> None:
    servers.start([toy(FOREVER)])
    process = servers.running()["toy"]
    home.remember(processes.STATE, {})  # as if the command had been killed between starting and noting

    servers.stop()

    assert has_ended(process)


def test_a_server_that_ends_is_reported_with_the_end_of_its_log(servers: Processes) -> None:
    doomed = toy("import sys; sys.exit('no disk left')", never)
    servers.start([doomed])

    with pytest.raises(SandboxError, match="toy ended") as error:
        servers.wait([doomed], [doomed], ignore)

    assert "no disk left" in str(error.value)
    assert str(servers.log("toy")) in str(error.value)


def test_a_server_that_ends_just_after_it_was_found_running_is_started_anew(servers: Processes) -> None:
    servers.start([toy(FOREVER)])
    running = servers.running()["toy"]
    fresh = servers.start([toy(FOREVER)])
    running.kill()
    assert wait_gone([running], 10) == []
    heard: list[str] = []

    servers.wait([toy(FOREVER)], fresh, lambda name, _seconds: heard.append(name))

    assert heard == ["toy"]
    assert servers.running()["toy"] != running


def test_a_server_that_never_serves_is_reported_with_the_reason(servers: Processes) -> None:
    sulking = toy(FOREVER, never, deadline=0.3)
    servers.start([sulking])

    with pytest.raises(SandboxError, match=r"did not become ready within 0 s \(it sulks\)"):
        servers.wait([sulking], [sulking], ignore)


def test_another_program_on_its_port_is_not_taken_for_the_server(servers: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        silent = toy(FOREVER, ready, port=port, deadline=0.3)
        servers.start([silent])

        with pytest.raises(SandboxError, match=f"it does not listen on port {port}"):
            servers.wait([silent], [silent], ignore)


def test_a_server_may_leave_listening_to_a_process_that_it_starts(servers: Processes) -> None:
    port = free_port()
    child = f'import signal, socket; held = socket.create_server(("127.0.0.1", {port})); signal.pause()'
    parent = toy(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])", port=port)

    servers.wait([parent], servers.start([parent]), ignore)


def test_a_server_that_has_long_been_up_gets_its_time_when_it_has_to_recover(servers: Processes) -> None:
    deadline = 1.0

    def until_grown_up(started: float) -> None:
        if time.time() - started < 1.5 * deadline:
            raise NotReadyError("too young")

    answers = iter([False, False, True])

    def recovering(_started: float) -> None:
        if not next(answers):
            raise NotReadyError("it waits for another server")

    servers.wait([toy(FOREVER, until_grown_up)], servers.start([toy(FOREVER)]), ignore)

    servers.wait([toy(FOREVER, recovering, deadline=deadline)], [], ignore)

    assert list(answers) == []


def test_ctrl_c_in_a_command_does_not_reach_the_servers(servers: Processes) -> None:
    servers.start([toy(FOREVER)])
    process = servers.running()["toy"]

    assert os.getpgid(process.pid) != os.getpgid(0)
    assert os.getsid(process.pid) == process.pid


def test_the_log_of_the_start_before_is_kept(servers: Processes) -> None:
    for text in ("first", "second"):
        talker = toy(f"print('{text}', flush=True); {FOREVER}", lambda _started: content_of(servers.log("toy")))
        servers.wait([talker], servers.start([talker]), ignore)

    assert servers.log("toy").with_suffix(".log.1").read_text() == "first\n"


def content_of(log: Path) -> None:
    if not log.read_text():
        raise NotReadyError("empty")


def test_a_stopped_process_counts_as_running_and_a_zombie_as_ended() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    process = psutil.Process(child.pid)
    child.send_signal(signal.SIGSTOP)
    assert not has_ended(process)
    child.kill()
    assert wait_gone([process], 10) == []
    child.wait()


def test_a_process_has_not_ended_before_its_last_thread_has() -> None:
    code = (
        "import ctypes, sys, threading\n"
        "threading.Thread(target=sys.stdin.read).start()\n"
        "ctypes.CDLL(None).pthread_exit(None)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    deadline = time.monotonic() + 20
    while process.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline

    assert not has_ended(process)

    child.communicate()
    assert wait_gone([process], 5) == []
