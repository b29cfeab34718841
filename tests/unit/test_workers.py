"""Workers follow the machine, and whatever is dear to start is started once."""

import re
from pathlib import Path

import pytest

from tests.workers import GIGABYTE, cores, free_bytes, number_of_workers, unit_of_work

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("on_cores", "gigabytes", "workers"),
    [
        pytest.param(2, 6, 2, id="two cores feed two workers"),
        pytest.param(2, 64, 2, id="and no more, however much memory there is"),
        pytest.param(2, 5, 1, id="memory for one"),
        pytest.param(1, 2, 1, id="never none"),
        pytest.param(16, 16, 8, id="many cores share the memory"),
    ],
)
def test_workers_follow_cores_and_memory(on_cores: int, gigabytes: int, workers: int) -> None:
    assert number_of_workers(on_cores, gigabytes * GIGABYTE) == workers


@pytest.mark.parametrize(("share", "most"), [("150000 100000", 1), ("50000 100000", 1)])
def test_a_container_counts_the_cores_of_its_share(tmp_path: Path, share: str, most: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{share}\n")
    assert cores(tmp_path) == most


def test_a_container_counts_the_memory_that_its_limit_leaves(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("300\n")
    assert free_bytes(tmp_path) == 700


def test_without_a_limit_the_whole_machine_counts(tmp_path: Path) -> None:
    machine = cores(tmp_path)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("300\n")
    assert cores(tmp_path) == machine
    assert free_bytes(tmp_path) > GIGABYTE // 10


@pytest.mark.parametrize(
    ("unit", "fixture"),
    [("the sandbox", "sandbox: RunningSandbox"), ("a warehouse with a warm dbt", "world: World")],
)
def test_files_that_share_a_dear_fixture_go_to_one_worker(unit: str, fixture: str) -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (REPOSITORY / "tests").rglob("test_*.py")}
    users = {
        path.relative_to(REPOSITORY).as_posix()
        for path, text in texts.items()
        if re.search(rf"^def test_\w+\([^)]*\b{fixture}", text, re.MULTILINE) and "\ndef sandbox(" not in text
    }
    assert users
    assert {unit_of_work(file) for file in users} == {unit}


def test_any_other_file_goes_to_a_worker_on_its_own() -> None:
    assert unit_of_work("tests/unit/test_docs.py") == "tests/unit/test_docs.py"
    assert unit_of_work("tests/integration/report/test_x.py") == "tests/integration/report/test_x.py"
