"""What the sandbox keeps, and for whom."""

import os
import stat
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from sandbox.home import REPOSITORY, VARIABLE, Home, Secrets, write_whole


def test_the_home_is_in_the_repository_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert Home.from_environment().path == REPOSITORY / ".sandbox"

    monkeypatch.setenv(VARIABLE, str(tmp_path / "elsewhere"))
    assert Home.from_environment().path == tmp_path / "elsewhere"


def test_secrets_are_made_up_once_and_differ_between_sandboxes(tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")

    assert one.secrets() == one.secrets()
    for secret in fields(Secrets):
        assert getattr(one.secrets(), secret.name) != getattr(other.secrets(), secret.name)


def test_only_the_owner_can_read_secrets(tmp_path: Path) -> None:
    of_the_user = os.umask(0o000)
    try:
        Home(tmp_path).secrets()
    finally:
        os.umask(of_the_user)

    assert stat.filemode((tmp_path / "secrets.json").stat().st_mode) == "-rw-------"


def test_what_is_remembered_is_recalled(tmp_path: Path) -> None:
    home = Home(tmp_path / "new")
    assert home.recall("ports") is None

    home.remember("ports", {"aws": 1})

    assert home.recall("ports") == {"aws": 1}


def test_writing_whole_leaves_nothing_but_the_file(tmp_path: Path) -> None:
    for content in ("old", "new"):
        write_whole(tmp_path / "file", content)

    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("file", "new")]


def test_a_lock_is_waited_for_and_free_when_its_holder_is_killed(tmp_path: Path) -> None:
    hold = (
        "import sys, signal; from pathlib import Path; from sandbox.home import Home\n"
        "with Home(Path(sys.argv[1])).locked('start', lambda: None): print('held', flush=True); signal.pause()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    waited = []

    def kill_holder() -> None:
        waited.append(True)
        holder.kill()

    with Home(tmp_path).locked("start", kill_holder):
        assert waited == [True]
    holder.wait()
    holder.stdout.close()
