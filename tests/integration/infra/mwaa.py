"""MWAA on this machine: its Python and packages, its folders, and the way it starts."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra import bundle, requirements
from infra.platforms import MWAA
from infra.tools import uv_program
from sandbox.settings import inherited_environment

ENVIRONMENT = bundle.REPOSITORY / ".venv" / "mwaa"
PYTHON = MWAA.version

# Loads all DAGs of the dags folder; says what it found and what it started meanwhile.
LOAD_DAGS = """
import importlib.util, json, os, sys
import airflow.sdk, cosmos
from airflow.dag_processing.dagbag import DagBag

sys.path.append(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])  # as the DAG processor and tasks do
started, loading = [], True
STARTS = {"subprocess.Popen", "os.exec", "os.fork", "os.posix_spawn", "os.system"}
sys.addaudithook(lambda event, arguments: started.append(repr(arguments)) if loading and event in STARTS else None)
bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"], include_examples=False)
loading = False
print(json.dumps({
    "python": sys.version_info[:2],
    "dbt": importlib.util.find_spec("dbt.cli") is not None,  # the folder dags/dbt would do for `dbt`
    "errors": bag.import_errors,
    "started": started,
    "dags": {
        dag.dag_id: {task.task_id: [task.task_type, sorted(task.downstream_task_ids)] for task in dag.tasks}
        for dag in bag.dags.values()
    },
    "files": sorted(
        module.__file__
        for name, module in sys.modules.items()
        if name.partition(".")[0] in {"contract", "music_streams"}
    ),
}))
"""


@dataclass(frozen=True)
class Mwaa:
    """One container.

    Attributes:
        home: stands for `/usr/local/airflow`.
        programs: where its `python3`, `pip` and `airflow` lie.
    """

    home: Path
    programs: Path

    @property
    def dags(self) -> Path:
        """What MWAA has copied from the bucket."""
        return self.home / "dags"

    def environment(self, component: str) -> dict[str, str]:
        """What the container's processes get before any start-up script."""
        return inherited_environment() | {
            "PATH": os.pathsep.join([str(self.programs), "/usr/bin", "/bin"]),
            "PYTHONPATH": "/python",  # MWAA's own code, which is not here
            "PIP_USER": "true",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "MWAA_AIRFLOW_COMPONENT": component,
        }

    def start_up(self, component: str, variables: Mapping[str, str]) -> dict[str, str]:
        """Source the start-up script as MWAA does; returns the variables that Airflow then gets.

        Raises:
            subprocess.CalledProcessError: the container would not start.
        """
        script, exported = self.home / "startup.sh", self.home / "exported"
        script.write_text(bundle.startup_script(variables))
        subprocess.run(
            [
                "bash",
                "-c",
                'source "$1" && env -0 >"$2"',
                "bash",
                str(script),
                str(exported),
            ],
            env=self.environment(component),
            cwd=self.home,
            check=True,
        )
        lines = exported.read_bytes().decode().split("\0")[:-1]
        return dict(line.split("=", 1) for line in lines)

    def load_dags(self, environment: Mapping[str, str]) -> dict[str, Any]:
        """What Airflow finds in the dags folder."""
        return load_dags(self.programs / "python", environment)


def load_dags(python: Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """What the Airflow of a Python finds in the dags folder that the environment names."""
    command = [str(python), "-P", "-c", LOAD_DAGS]  # -P: nothing is imported from where the tests run
    printed = subprocess.run(command, env=dict(environment), check=True, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def install() -> Path:
    """Bring .venv/mwaa to what MWAA's image holds and requirements.txt adds; returns the folder of its programs."""
    programs = ENVIRONMENT / "bin"
    made, wanted = ENVIRONMENT / "made", f"{PYTHON} {ENVIRONMENT}"  # programs in it begin with its place
    if not ((programs / "python").exists() and made.exists() and made.read_text() == wanted):
        _run_uv("venv", "--quiet", "--clear", "--python", PYTHON, str(ENVIRONMENT))
        made.write_text(wanted)
    packages = ENVIRONMENT / "packages.txt"
    image = "\n".join(requirements.resolve([requirements.IMAGE]))
    packages.write_text(f"{image}\n{requirements.REQUIREMENTS.read_text()}")
    _run_uv("pip", "sync", "--quiet", "--python", str(programs / "python"), str(packages))
    return programs


def pip_on_mwaa() -> str:
    """What pip would still do on MWAA for requirements.txt, in uv's words."""
    constraints = ["--constraints", str(requirements.CONSTRAINTS), "--requirements", str(requirements.REQUIREMENTS)]
    return _run_uv("pip", "install", "--dry-run", "--python", str(ENVIRONMENT / "bin" / "python"), *constraints)


def _run_uv(*arguments: str) -> str:
    environment = dict(os.environ)
    if shutil.which("pyenv"):  # its shims of versions that are not active are there, and fail
        versions = subprocess.check_output(["pyenv", "versions", "--bare"], text=True).split()
        environment["PYENV_VERSION"] = ":".join(versions)
    command = [uv_program(), *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(
            f"`uv {' '.join(arguments)}` failed:\n{result.stderr}\nMWAA's Python is {PYTHON}. Where uv finds none and"
            f" cannot fetch one, install it (`uv python install {PYTHON}`, `pyenv install {PYTHON}`), then test again."
        )
    return result.stdout + result.stderr
