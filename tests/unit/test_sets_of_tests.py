"""Every test file belongs to `make test` or to `make test-all`, as docs/tests.md says."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FILES = sorted(
    path.relative_to(REPOSITORY).as_posix()
    for path in (REPOSITORY / "tests").rglob("*.py")
    if path.name.startswith("test_") or path.name == "soak.py"
)
COMMANDS = {"EVERYDAY_TESTS": "make test", "OTHER_TESTS": "make test-all"}


def commands() -> list[tuple[str, str]]:
    """The paths that the Makefile lists, each with the command that runs it."""
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    listed = [
        (path, command)
        for variable, command in COMMANDS.items()
        for path in re.findall(rf"^{variable} := (.*)$", makefile, re.MULTILINE)[0].split()
    ]
    return [*listed, *re.findall(r"pytest (tests/properties/soak\.py)()$", makefile, re.MULTILINE)]


def rows() -> list[tuple[str, str, str]]:
    """The table's rows: path, promise and command."""
    page = (REPOSITORY / "docs" / "tests.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `(tests/[^`]*)` \| (.+) \| `(make [a-z-]+)` \|$", page, re.MULTILINE)


def covers(path: str, file: str) -> bool:
    """Whether a path, as pytest takes it, stands for the file."""
    return file == path or file.startswith(path.rstrip("/") + "/")


@pytest.mark.parametrize("file", FILES)
def test_a_file_has_one_row_and_the_command_that_the_row_names_runs_it(file: str) -> None:
    (command,) = [command or "make soak" for path, command in commands() if covers(path, file)]
    (stated,) = [stated for path, _, stated in rows() if covers(path, file)]
    assert stated == command


@pytest.mark.parametrize("path", [path for path, *_ in [*commands(), *rows()]])
def test_a_path_that_is_listed_leads_to_tests(path: str) -> None:
    assert (REPOSITORY / path).exists()
    assert any(covers(path, file) for file in FILES)


@pytest.mark.parametrize("script", [".ci/run", ".github/workflows/checks.yml"])
def test_continuous_integration_runs_both_sets(script: str) -> None:
    lines = (REPOSITORY / script).read_text(encoding="utf-8").splitlines()
    called = [line.rpartition("make ")[2] for line in lines if "make " in line]
    assert called[-2:] == ["test", "test-all"]
