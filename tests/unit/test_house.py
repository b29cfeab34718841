"""Which package may import which, as docs/architecture.md says."""

import ast
import subprocess
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from sandbox.home import REPOSITORY

# Production: data flows one way, and what more than one part knows stands in `contract`.
MAY_IMPORT = {
    "contract": set(),
    "expectations": {"contract"},
    "glue_jobs": {"contract"},
    "infra": {"contract"},
    "report": {"contract"},
    "dags": {"contract", "expectations", "report"},
    "sandbox": {"contract", "dags", "infra"},
    "benchmarks": {"contract", "dags", "glue_jobs", "infra", "sandbox", "tests"},
}
SERVERS = ("sandbox.aws.", "sandbox.redshift.")


@pytest.fixture(scope="module")
def files() -> dict[str, Path]:
    """The project's modules: path below the root by name."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return {module_name(path): path for path in map(Path, listed.stdout.split())}


@pytest.fixture(scope="module")
def imports(files: dict[str, Path]) -> dict[str, set[str]]:
    """The project's modules that each module imports, within a function too."""
    return {
        module: set(imported_names(ast.parse((REPOSITORY / path).read_text()))) & files.keys() - {module}
        for module, path in files.items()
    }


def module_name(path: Path) -> str:
    """The name by which others import a file: folders on the import path are no part of it."""
    parts = path.with_suffix("").parts
    named = parts[1:] if parts[0] == "dags" else parts
    return ".".join(named[:-1] if named[-1] == "__init__" else named)


def imported_names(code: ast.Module) -> Iterator[str]:
    """Names that may be those of modules."""
    for node in ast.walk(code):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_those_that_it_may(
    files: dict[str, Path], imports: dict[str, set[str]], package: str
) -> None:
    own = [module for module, path in files.items() if path.parts[0] == package]
    others = {(module, name) for module in own for name in imports[module] if files[name].parts[0] != package}

    assert own
    assert {(module, name) for module, name in others if files[name].parts[0] not in MAY_IMPORT[package]} == set()


def test_no_module_imports_itself_by_way_of_others(imports: dict[str, set[str]]) -> None:
    TopologicalSorter(imports).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("server", SERVERS)
def test_the_servers_of_the_sandbox_know_nothing_of_this_project(imports: dict[str, set[str]], server: str) -> None:
    own = [module for module in imports if f"{module}.".startswith(server)]
    others = {(module, name) for module in own for name in imports[module] if not f"{name}.".startswith(SERVERS)}

    assert own
    assert others == set()
