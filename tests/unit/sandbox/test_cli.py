"""The commands' edges: arguments that are none, and how errors end."""

import subprocess
from pathlib import Path

import pytest

from sandbox import cli
from sandbox.home import REPOSITORY, VARIABLE, SandboxError
from sandbox.lifecycle import Sandbox
from sandbox.pipeline_run import dag_params


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    for name in ("SQL", "DATA", "PARAMS"):
        monkeypatch.delenv(f"MUSIC_STREAMS_ARGUMENT_{name}", raising=False)
    return tmp_path


def test_params_are_a_json_object() -> None:
    assert dag_params(None) == {}
    assert dag_params('{"recompute_from": "2024-06-25"}') == {"recompute_from": "2024-06-25"}
    for wrong in ("recompute_from=2024-06-25", "[1]", '"text"'):
        with pytest.raises(SandboxError, match="PARAMS=") as error:
            dag_params(wrong)
        assert wrong in str(error.value)


@pytest.mark.parametrize("sql", ["", " \n"])
def test_a_query_without_a_statement_says_how_to_give_one(
    sql: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSIC_STREAMS_ARGUMENT_SQL", sql)

    assert cli.main(["query"]) == 1

    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == 'error: no statement given: make query SQL="select * from hourly_kpis"\n'


def test_wrong_data_is_refused_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MUSIC_STREAMS_ARGUMENT_DATA", str(home / "missing"))

    assert cli.main(["run"]) == 1

    assert "does not exist" in capsys.readouterr().err
    assert list(home.iterdir()) == []


def test_ctrl_c_ends_with_the_status_of_sigint(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_sandbox: Sandbox) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.COMMANDS, "run", interrupted)

    assert cli.main(["run"]) == 130


def test_stopping_what_never_ran_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stop"]) == 0
    assert cli.main(["clean"]) == 0
    assert capsys.readouterr().out == ""


def test_every_command_explains_itself() -> None:
    listing = subprocess.run(["make", "-C", REPOSITORY], capture_output=True, text=True, check=True).stdout
    targets = ("run", "test", "query", "events", "env", "airflow", "docs", "lint", "stop", "clean", "setup", "help")

    assert all(f"  make {target} " in listing for target in targets)
