"""The sandbox's `dbt`, which has a warm server run its commands, is dbt's own program to whoever starts it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sandbox import dbt_server
from sandbox.home import REPOSITORY
from sandbox.processes import NotReadyError
from tests.integration.conftest import fork_in, kill, wait_for

PROJECT = "{name: small, version: '1.0', profile: small, model-paths: [models]}"
PROFILE = """
small:
  target: deaf
  outputs:
    deaf: {{type: redshift, host: 127.0.0.1, port: {}, user: u, password: p, dbname: d, schema: s}}
"""
LIST = ("ls", "--quiet", "--output", "json", "--output-keys", "alias", "--select", "one")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("longer than the name of a socket may be " * 4)
    dbt_server.write_program(folder)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """A server that has begun with a command on another project."""
    other = small_project(tmp_path_factory.mktemp("other"), port=1)
    first = ("parse", "--project-dir", str(other), "--profiles-dir", str(other), "--quiet")
    command = [sys.executable, "-m", "sandbox.dbt_server", str(folder), *first]
    with subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, "ALIAS": "of_the_server"}) as process:
        try:
            wait_for("the server", lambda: serves(folder))
            yield psutil.Process(process.pid)
        finally:
            process.kill()


def serves(folder: Path) -> bool:
    try:
        dbt_server.check(folder)
    except NotReadyError:
        return False
    return True


@pytest.fixture
def deaf_warehouse() -> Iterator[int]:
    """The port of a warehouse that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.fixture
def project(tmp_path: Path, deaf_warehouse: int) -> Path:
    return small_project(tmp_path, deaf_warehouse)


def small_project(folder: Path, port: int) -> Path:
    """A project of a model that the environment names, and one that dbt's static parser understands."""
    (folder / "models").mkdir()
    (folder / "dbt_project.yml").write_text(PROJECT)
    (folder / "profiles.yml").write_text(PROFILE.format(port))
    (folder / "models" / "one.sql").write_text("{{ config(alias=env_var('ALIAS')) }} select 1 as one")
    (folder / "models" / "two.sql").write_text("{{ config(tags=['a', 'b']) }} select * from {{ ref('one') }}")
    return folder


def dbt(folder: Path, project: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    """Start the program in the project's directory."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DBT_")}
    return subprocess.Popen(
        [folder / "dbt", *arguments],
        cwd=project,
        env={**kept, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def working_for(server: psutil.Process, project: Path) -> psutil.Process:
    """The fork that works in the project's directory, once there is one."""
    return wait_for("dbt", lambda: fork_in(server, str(project)))


def test_a_command_has_its_own_arguments_directory_environment_streams_and_status(
    server: psutil.Process, folder: Path, project: Path
) -> None:
    before = server.children()  # multiprocessing's resource tracker
    aliases = ("plain", "Ümläut $HOME 'x'")
    commands = [dbt(folder, project, *LIST, ALIAS=alias) for alias in aliases]  # side by side
    without = dbt(folder, project, *LIST)
    wrong = dbt(folder, project, "ls", "--nosuch")

    for alias, command in zip(aliases, commands, strict=True):
        said, complained = command.communicate()
        assert (json.loads(said), complained, command.returncode) == ({"alias": alias}, "", 0)
    assert "Env var required but not provided: 'ALIAS'" in without.communicate()[0]
    assert without.returncode == 2
    assert "No such option: --nosuch" in wrong.communicate()[1]
    assert wrong.returncode == 2
    wait_for("the end of all forks", lambda: server.children() == before)


def test_whoever_kills_the_program_kills_its_dbt(server: psutil.Process, folder: Path, project: Path) -> None:
    program = dbt(folder, project, "build", ALIAS="a")
    fork = working_for(server, project)
    program.kill()
    wait_for("the end of its dbt", lambda: not fork.is_running())
    program.communicate()


def test_a_program_whose_dbt_is_killed_dies_of_that(server: psutil.Process, folder: Path, project: Path) -> None:
    program = dbt(folder, project, "build", ALIAS="a")
    kill(working_for(server, project))
    program.communicate()
    assert program.returncode == -signal.SIGKILL


def test_without_the_server_the_program_is_dbt_itself(folder: Path, project: Path, tmp_path: Path) -> None:
    alone = dbt_server.write_program(tmp_path).parent
    program = dbt(alone, project, *LIST, ALIAS="itself")
    said, _ = program.communicate()
    assert "itself" in said
    assert program.returncode == 0
