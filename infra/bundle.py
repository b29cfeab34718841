"""Build the code that a deployment uploads for MWAA: the DAG with everything it imports, dbt's project, the start-up
script, and the list of packages that MWAA's image lacks.

The same sources give the same bytes, so a deployment uploads only files that have changed.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from contract import variables
from infra import requirements as lists
from infra.glue_archive import ARTIFACTS, digest

REPOSITORY = Path(__file__).resolve().parents[1]
STATIC = Path(__file__).with_name("mwaa")

# The keys of the bundle in the bucket.
DAGS = f"{ARTIFACTS}/mwaa/dags"
REQUIREMENTS = f"{ARTIFACTS}/mwaa/requirements.txt"
STARTUP_SCRIPT = f"{ARTIFACTS}/mwaa/startup.sh"

TARGET = "prod"
PARSE_SECONDS = 300
MANIFESTS = REPOSITORY / ".venv" / "manifests"  # keeps them, so that a deployment after a plan need not parse

VARIABLES = frozenset(variable.name for variable in variables.VARIABLES if variable.of_stage)

# The variables that target prod requires. Any value will do: dbt does not connect while it parses, and the DAG reads
# only the models in the manifest.
PARSE_PLACEHOLDERS = dict.fromkeys(
    (variable.name for variable in (variables.REDSHIFT_HOST, variables.REDSHIFT_DATABASE, variables.AWS_REGION)), "none"
)
# Replaces the manifest's entries about the time and the run of dbt that made it, which nobody reads.
WHENEVER = dict.fromkeys(("generated_at", "invocation_started_at", "run_started_at"), "1970-01-01T00:00:00Z") | {
    "invocation_id": "00000000-0000-0000-0000-000000000000"
}


class BundleError(Exception):
    """The bundle cannot be deployed; the message says why."""


def build_dags(folder: Path) -> None:
    """Lay out the folder of DAGs: the DAG file, its packages, `.airflowignore`, and dbt's project with its manifest.

    Args:
        folder: an empty or missing folder; it becomes MWAA's `/usr/local/airflow/dags`.

    Raises:
        BundleError: the folder is not empty, or dbt finds an error in its project.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BundleError(f"{folder} is not empty: give the DAG bundle a folder of its own")
    for source, name in {
        REPOSITORY / "dags": "",
        REPOSITORY / "contract": "contract",
        REPOSITORY / "expectations": "expectations",
        REPOSITORY / "report": "report",
        REPOSITORY / "dbt_project": "dbt/dbt_project",
    }.items():
        caches = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "*~")
        shutil.copytree(source, folder / name, ignore=caches, dirs_exist_ok=True, copy_function=shutil.copyfile)
    shutil.copyfile(STATIC / ".airflowignore", folder / ".airflowignore")
    shutil.copyfile(REPOSITORY / "dbt_project.yml", folder / "dbt" / "dbt_project.yml")
    shutil.copyfile(REPOSITORY / "profiles.yml.example", folder / "dbt" / "profiles.yml")
    manifest = _manifest(folder / "dbt")
    (folder / "dbt" / "target").mkdir()
    (folder / "dbt" / "target" / "manifest.json").write_text(manifest)


def _manifest(project: Path) -> str:
    """Return the project's manifest as JSON; dbt parses only if the project or dbt's packages have changed."""
    files = {file.relative_to(project).as_posix(): file.read_bytes() for file in project.rglob("*") if file.is_file()}
    packages = sorted(f"{found.name}=={found.version}" for found in distributions() if found.name.startswith("dbt"))
    made_by = {"/packages": "\n".join(packages).encode(), "/bundle.py": Path(__file__).read_bytes()}
    kept = MANIFESTS / f"{digest(files | made_by)[:12]}.json"
    if not kept.exists():
        MANIFESTS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=MANIFESTS) as made:
            parsed = Path(made) / kept.name
            parsed.write_text(json.dumps(parse(project), sort_keys=True))
            parsed.rename(kept)  # atomic, so a kept manifest is always complete
    return kept.read_text()


def parse(project: Path) -> dict[str, Any]:
    """Return dbt's manifest of a project, without the values that depend on this machine and this moment.

    Raises:
        BundleError: dbt finds an error.
    """
    foreign = ("DBT_", "MUSIC_STREAMS_", "REDSHIFT_", "AWS_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    with tempfile.TemporaryDirectory() as made:
        folders = {"project-dir": str(project), "profiles-dir": str(project), "target-path": made, "log-path": made}
        options = [f"--{name}={folder}" for name, folder in folders.items()]
        result = subprocess.run(
            [str(Path(sys.executable).with_name("dbt")), "--no-use-colors", "parse", f"--target={TARGET}", *options],
            env=environment | PARSE_PLACEHOLDERS,
            capture_output=True,
            text=True,
            timeout=PARSE_SECONDS,
            check=False,
        )
        if result.returncode != 0:
            raise BundleError(f"dbt cannot parse the project:\n{result.stdout}{result.stderr}")
        manifest: dict[str, Any] = json.loads((Path(made) / "manifest.json").read_text())
    manifest["metadata"] |= WHENEVER
    without_times: dict[str, Any] = _without_times(manifest)
    return without_times


def _without_times(manifest: Any) -> Any:
    if isinstance(manifest, dict):
        return {key: 0 if key == "created_at" else _without_times(value) for key, value in manifest.items()}
    if isinstance(manifest, list):
        return [_without_times(value) for value in manifest]
    return manifest


def requirements() -> str:
    """Return the list of packages that MWAA installs into Airflow's environment."""
    return lists.REQUIREMENTS.read_text()


def startup_script(variables: Mapping[str, str]) -> str:
    """Return the script that MWAA runs in each container before it starts Airflow.

    Args:
        variables: the DAG's environment variables, VARIABLES among them; the script itself adds dbt's folders.

    Raises:
        BundleError: one of VARIABLES is missing, or a name is not valid for a variable.
    """
    if missing := sorted(VARIABLES - variables.keys()):
        raise BundleError(f"the start-up script lacks {', '.join(missing)}")
    if wrong := sorted(name for name in variables if not re.fullmatch("[A-Z_][A-Z0-9_]*", name)):
        raise BundleError(f"no names of variables: {', '.join(map(repr, wrong))}")
    exports = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())]
    packages = f"dbt_requirements() {{\n    cat <<'END'\n{lists.DBT_REQUIREMENTS.read_text()}END\n}}\n"
    return "".join(["#!/bin/bash\n", *exports, "\n", packages, "\n", (STATIC / "startup.sh").read_text()])
