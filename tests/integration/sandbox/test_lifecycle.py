"""The sandbox's own life: started, wounded, started again, stopped. In a home of its own, with all its servers."""

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from contract.jobs import CURATION_JOB
from contract.kpi_tables import KPI_TABLES
from sandbox.home import REPOSITORY, VARIABLE, Home
from sandbox.lifecycle import Part, Sandbox
from sandbox.processes import MARKER, has_ended
from sandbox.settings import BUCKET, HOST, is_free
from sandbox.warehouse_client import select

SERVERS = {
    "aws",
    "redshift",
    "airflow-api-server",
    "airflow-scheduler",
    "airflow-dag-processor",
    "airflow-triggerer",
    "dbt",
    "idle",
}


@pytest.fixture(scope="module")
def own() -> Iterator[Sandbox]:
    """A sandbox for these tests alone, in a folder whose name needs quoting."""
    home = Home(
        Path(os.path.realpath(subprocess.check_output(["mktemp", "-d"], text=True).strip())) / "a $home's folder"
    )
    sandbox = Sandbox(home)
    try:
        yield sandbox
    finally:
        sandbox.clean()
        subprocess.run(["rm", "-r", home.path.parent], check=True)


@pytest.fixture
def started(own: Sandbox) -> Sandbox:
    own.start()
    return own


def family(sandbox: Sandbox) -> list[psutil.Process]:
    """All processes of the sandbox, however far from the server that started them."""
    servers = sandbox.processes.running().values()
    found = {child for server in servers for child in [server, *server.children(recursive=True)]}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER, "").startswith(f"{sandbox.home.path}|"):
                found.add(process)
        except psutil.Error:
            continue
    return [process for process in found if not has_ended(process)]


def make(sandbox: Sandbox, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as the user types it, from another folder."""
    environment = os.environ | {VARIABLE: str(sandbox.home.path), "AWS_PROFILE": "of-the-user"}
    command = ["make", "-s", "-C", str(REPOSITORY), *arguments]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False)


def test_all_servers_serve_after_a_start(started: Sandbox) -> None:
    assert set(started.processes.running()) == SERVERS
    assert select(started.home, started.ports, "show statement_timeout") == [{"statement_timeout": "30min"}]
    assert {job["Name"]: job["ExecutionProperty"] for job in started.aws.glue.get_jobs()["Jobs"]} == {
        name: {"MaxConcurrentRuns": 1} for name in (CURATION_JOB, *(table.glue_job for table in KPI_TABLES))
    }


def test_a_second_start_leaves_everything_as_it_is(started: Sandbox) -> None:
    before = started.processes.running()

    started.start()

    assert started.processes.running() == before


def test_everything_listens_on_this_machine_only(started: Sandbox) -> None:
    sockets = []
    for process in family(started):
        with suppress(psutil.NoSuchProcess):  # tasks come and go
            connections = process.net_connections("inet")
            sockets += [connection.laddr for connection in connections if connection.status == psutil.CONN_LISTEN]

    assert {address.ip for address in sockets} == {HOST}
    assert set(vars(started.ports).values()) <= {address.port for address in sockets}


def test_secrets_are_for_the_owner_only(started: Sandbox) -> None:
    secrets = vars(started.home.secrets()).values()
    modes = {}
    for file in started.home.path.rglob("*"):
        with suppress(FileNotFoundError):  # servers at work write files and remove them
            if file.is_file() and not file.is_symlink():
                content = file.read_bytes()
                if any(secret.encode() in content for secret in secrets):
                    modes[file] = stat.filemode(file.stat().st_mode)

    assert started.home.path / "secrets.json" in modes
    assert set(modes.values()) == {"-rw-------"}


def test_after_everything_was_killed_a_start_repairs_and_finds_the_contents(started: Sandbox) -> None:
    started.aws.s3.put_object(Bucket=BUCKET, Key="kept", Body=b"content")
    select(started.home, started.ports, "create table public.kept as select 42 as answer")
    wounded = family(started)
    for server in started.processes.running().values():
        server.send_signal(signal.SIGKILL)

    started.start()

    assert [process for process in wounded if not has_ended(process)] == []
    assert set(started.processes.running()) == SERVERS
    assert started.aws.s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"content"
    assert select(started.home, started.ports, "select answer from public.kept") == [{"answer": 42}]


def test_a_server_that_must_move_takes_those_who_know_its_address_along(started: Sandbox) -> None:
    scheduler = started.processes.running()["airflow-scheduler"]
    started.processes.stop(["redshift"])
    with socket.create_server((HOST, started.ports.redshift)) as squatter:
        started.start()

        assert started.ports.redshift != squatter.getsockname()[1]
    assert select(started.home, started.ports, "show statement_timeout") == [{"statement_timeout": "30min"}]
    assert has_ended(scheduler)


def test_a_query_arrives_as_it_was_typed(started: Sandbox) -> None:
    sql = """select 'it''s $HOME, $(x) "q"' as "a b", null as nothing, 1.5 as number\n-- and a comment"""

    result = make(started, "query", f"SQL={sql}")

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == 'a b,nothing,number\n"it\'s $HOME, $(x) ""q""",,1.5\n'


def test_a_wrong_query_ends_with_the_servers_words_on_stderr(started: Sandbox) -> None:
    result = make(started, "query", "SQL=select * from no_such_table")

    assert result.returncode != 0
    assert result.stdout == ""
    assert 'relation "no_such_table" does not exist' in result.stderr


def test_the_environment_can_be_evaluated_by_a_shell(started: Sandbox) -> None:
    result = make(started, "env")
    assert (result.returncode, result.stderr) == (0, "")
    asked = '"$DBT_PROFILES_DIR" "$AWS_ENDPOINT_URL" "${AWS_PROFILE-none}" "$MUSIC_STREAMS_BATCH_ID"'

    shell = subprocess.run(
        ["sh", "-c", f"""{result.stdout}\nprintf "%s\\n" {asked}; command -v dbt"""],
        env={"PATH": "/usr/bin:/bin", "AWS_PROFILE": "of-the-user"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert shell.stdout.splitlines() == [
        str(started.home.dbt),
        started.ports.aws_endpoint,
        "none",
        "",
        str(REPOSITORY / ".venv" / "bin" / "dbt"),
    ]


def test_stopping_leaves_no_process_and_no_port(started: Sandbox) -> None:
    everybody, ports = family(started), vars(started.ports)
    assert len(everybody) > len(SERVERS)

    result = make(started, "stop")

    assert result.returncode == 0
    assert [process for process in everybody if not has_ended(process)] == []
    assert family(started) == []
    assert all(is_free(port) for port in ports.values())


def test_two_commands_at_once_start_one_sandbox(own: Sandbox) -> None:
    own.stop()
    environment = os.environ | {VARIABLE: str(own.home.path)}
    commands = [
        subprocess.Popen(["make", "-s", "env"], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [command.communicate()[0] for command in commands]

    assert answers[0] == answers[1] != ""
    assert set(own.processes.running()) == {Part.AWS, Part.REDSHIFT, "idle"}
    assert sum(process.cmdline()[1:3] == ["-m", "sandbox.redshift"] for process in family(own)) == 1


def test_cleaning_forgets_the_contents(own: Sandbox) -> None:
    own.start({Part.AWS})
    own.aws.s3.put_object(Bucket=BUCKET, Key="forgotten", Body=b"content")

    own.clean()
    own.start({Part.AWS})

    assert "Contents" not in own.aws.s3.list_objects_v2(Bucket=BUCKET, Prefix="forgotten")
