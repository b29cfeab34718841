"""Too little disk or memory is said before anything starts, and a disk that fills up while a run goes on."""

from pathlib import Path

import pytest

from sandbox import cli, machine
from sandbox.home import VARIABLE, Home, SandboxError
from sandbox.lifecycle import Sandbox

GIGABYTE = 1_000_000_000
MORE_THAN_THERE_IS = "900000000"  # megabytes


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "home"))
    for name in ("DATA", "PARAMS"):
        monkeypatch.delenv(f"MUSIC_STREAMS_ARGUMENT_{name}", raising=False)
    for name in (machine.DISK, machine.MEMORY):
        monkeypatch.setenv(name, "1")
    return tmp_path / "home"


def test_a_disk_that_is_too_full_is_said_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(machine.DISK, MORE_THAN_THERE_IS)

    assert cli.main(["run"]) == 1

    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: the disk of {home} is too full: the sandbox needs 900,000,000 MB, and ")
    assert "MB are free. Free some (`make clean`" in said
    assert not home.exists()


def test_too_little_memory_is_said_before_anything_starts(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(machine.MEMORY, MORE_THAN_THERE_IS)

    assert cli.main(["airflow"]) == 1

    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith("error: too little memory: the sandbox needs 900,000,000 MB, and ")
    assert "End other programs (the largest: " in said
    assert not home.exists()


def test_a_disk_that_fills_up_while_the_sandbox_runs_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = Sandbox(Home(home))
    sandbox.check()

    monkeypatch.setenv(machine.DISK, MORE_THAN_THERE_IS)

    with pytest.raises(SandboxError, match=f"the disk of {home} is full: the sandbox needs 90,000,000 MB"):
        sandbox.check()


def test_another_number_must_be_a_number(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(machine.DISK, "plenty")

    with pytest.raises(SandboxError, match="MUSIC_STREAMS_SANDBOX_DISK_MB=plenty is no number of megabytes"):
        machine.check_disk(tmp_path)


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    whole = machine.free_memory(tmp_path)
    (tmp_path / "memory.current").write_text(f"{3 * GIGABYTE}\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 2500000000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machine.free_memory(tmp_path) == pytest.approx(whole, rel=0.5)

    (tmp_path / "memory.max").write_text(f"{3 * GIGABYTE + 1}\n")

    assert machine.free_memory(tmp_path) == 2_500_000_001, "the kernel gives back what it only caches of files"


def test_the_programs_that_hold_most_memory_are_named() -> None:
    programs = machine.largest_programs()

    assert len(programs) == machine.LARGEST
    assert all(program.endswith(" MB") for program in programs)
