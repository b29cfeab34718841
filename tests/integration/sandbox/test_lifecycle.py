"""The sandbox's own life: started, used, stopped, cleaned. It is stopped then: these tests are the last that use it."""

import os
import stat
import subprocess
from contextlib import suppress

import psutil
import pytest

from contract import layout
from contract.jobs import CURATION_JOB
from contract.kpi_tables import KPI_TABLES
from sandbox import dbt_server, idle
from sandbox.airflow_api import API_SERVER, DAG_PROCESSOR, SCHEDULER, TRIGGERER
from sandbox.home import REPOSITORY, VARIABLE
from sandbox.lifecycle import Part, Sandbox
from sandbox.processes import has_ended
from sandbox.settings import BUCKET, HOST, is_free
from sandbox.warehouse_client import select
from tests.integration.conftest import RunningSandbox, processes_of

SERVERS = {
    Part.AWS,
    Part.REDSHIFT,
    API_SERVER,
    SCHEDULER,
    DAG_PROCESSOR,
    TRIGGERER,
    dbt_server.NAME,
    idle.NAME,
}


@pytest.fixture
def started(sandbox: RunningSandbox) -> Sandbox:
    """The sandbox with all its servers."""
    sandbox.sandbox.start()
    return sandbox.sandbox


@pytest.fixture
def stopped(sandbox: RunningSandbox) -> Sandbox:
    """The sandbox without a server."""
    sandbox.sandbox.stop()
    return sandbox.sandbox


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
    for process in processes_of(started):
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


def test_a_query_arrives_as_it_was_typed(sandbox: RunningSandbox) -> None:
    sql = """select 'it''s $HOME, $(x) "q"' as "a b", null as nothing, 1.5 as number\n-- and a comment"""

    result = sandbox.make("query", SQL=sql)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == 'a b,nothing,number\n"it\'s $HOME, $(x) ""q""",,1.5\n'


def test_a_wrong_query_ends_with_the_servers_words_on_stderr(sandbox: RunningSandbox) -> None:
    result = sandbox.make("query", SQL="select * from no_such_table")

    assert result.returncode != 0
    assert result.stdout == ""
    assert 'relation "no_such_table" does not exist' in result.stderr


def test_the_environment_can_be_evaluated_by_a_shell(sandbox: RunningSandbox, started: Sandbox) -> None:
    sandbox.empty()
    sandbox.s3.put_object(Bucket=BUCKET, Key=layout.BatchFolder("the-last-batch").curation_record, Body=b"{}")
    result = sandbox.make("env")
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
        "the-last-batch",
        str(REPOSITORY / ".venv" / "bin" / "dbt"),
    ]


def test_stopping_leaves_no_process_and_no_port(sandbox: RunningSandbox, started: Sandbox) -> None:
    everybody, ports = processes_of(started), vars(started.ports)
    assert len(everybody) > len(SERVERS)

    result = sandbox.make("stop")

    assert result.returncode == 0
    assert [process for process in everybody if not has_ended(process)] == []
    assert processes_of(started) == []
    assert all(is_free(port) for port in ports.values())


def test_two_commands_at_once_start_one_sandbox(stopped: Sandbox) -> None:
    environment = os.environ | {VARIABLE: str(stopped.home.path)}
    commands = [
        subprocess.Popen(["make", "-s", "env"], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [command.communicate()[0] for command in commands]

    assert answers[0] == answers[1] != ""
    assert set(stopped.processes.running()) == {Part.AWS, Part.REDSHIFT, idle.NAME}
    assert sum(process.cmdline()[1:3] == ["-m", "sandbox.redshift"] for process in processes_of(stopped)) == 1


def test_cleaning_forgets_the_contents(stopped: Sandbox) -> None:
    stopped.start({Part.AWS})
    stopped.aws.s3.put_object(Bucket=BUCKET, Key="forgotten", Body=b"content")

    stopped.clean()
    stopped.start({Part.AWS})

    assert "Contents" not in stopped.aws.s3.list_objects_v2(Bucket=BUCKET, Prefix="forgotten")
