"""The bundle on Python 3.12 with the very packages of MWAA: it starts, it loads, and a whole run gives exact tables."""

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import layout
from contract.kpi_tables import KPI_TABLES
from infra import bundle, requirements
from infra.platforms import MWAA
from sandbox import airflow
from sandbox.airflow_api import DAG_ID, SCHEDULER, TRIGGERER
from sandbox.home import Home
from sandbox.lifecycle import Part, Sandbox
from sandbox.settings import (
    GLUE_POLL_SECONDS,
    PREFERRED_PORTS,
    RETRY_SECONDS,
    dag_variables,
    inherited_environment,
)
from tests.integration.conftest import RunningSandbox
from tests.integration.exact_tables import SMALL, History, day
from tests.integration.infra import mwaa
from tests.integration.infra.mwaa import Mwaa

VARIABLES = {name: f"the {name}" for name in bundle.VARIABLES}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("sandbox"))
    home.remember("ports", dict(zip(PREFERRED_PORTS, random.sample(range(20_000, 32_000), 3), strict=True)))
    return home


@pytest.fixture(scope="module")
def container(home: Home) -> Mwaa:
    """A container with the bundle, before its start-up script."""
    container = Mwaa(home.airflow, mwaa.install())
    bundle.build_dags(container.dags)
    return container


@pytest.fixture(scope="module")
def worker(container: Mwaa) -> dict[str, str]:
    """The variables of a worker that has started where an earlier start was killed halfway."""
    (container.home / "dbt" / "bin").mkdir(parents=True)
    (container.home / "dbt" / "bin" / "dbt").touch()
    return container.start_up("worker", VARIABLES)


@pytest.fixture(scope="module")
def sandbox(home: Home, container: Mwaa, worker: dict[str, str]) -> Iterator[RunningSandbox]:
    """A sandbox whose Airflow is the container's, without the triggerer, and whose DAG is the bundle's."""
    sandbox = Sandbox(home)
    try:
        sandbox.start({Part.AWS, Part.REDSHIFT})
        environment = airflow_on_mwaa(sandbox, container)
        program = str(container.programs / "airflow")
        airflow.prepare_database(home, environment, program)
        servers = airflow.servers(home, sandbox.ports, environment, program)
        servers = [server for server in servers if server.name != TRIGGERER]
        sandbox.processes.wait(servers, sandbox.processes.start(servers), lambda _name, _seconds: None)
        sandbox.airflow.unpause()
        yield RunningSandbox(sandbox)
    finally:
        sandbox.stop()


def airflow_on_mwaa(sandbox: Sandbox, container: Mwaa) -> dict[str, str]:
    """The sandbox's variables, by way of the start-up script as far as MWAA's come by it."""
    known = dag_variables(sandbox.home, sandbox.ports)
    given = {name: known.get(name, "") for name in bundle.VARIABLES}
    given |= {
        "MUSIC_STREAMS_SCHEMA_PREFIX": known["MUSIC_STREAMS_SCHEMA_PREFIX"],
        "MUSIC_STREAMS_GLUE_POLL_SECONDS": str(GLUE_POLL_SECONDS),
        "MUSIC_STREAMS_RETRY_SECONDS": str(RETRY_SECONDS),
    }
    of_sandbox = inherited_environment() | known | airflow.variables(sandbox.home, sandbox.ports)
    for name in [name for name in of_sandbox if name.startswith("MUSIC_STREAMS_DBT_")]:
        del of_sandbox[name]  # the bundle brings its own dbt project, manifest and program
    trusted = {"SSL_CERT_FILE": known["SSL_CERT_FILE"]}  # who signs the sandbox's certificates; Amazon's are known
    return of_sandbox | container.start_up("worker", given) | trusted


def test_pip_on_mwaa_has_nothing_left_to_choose(container: Mwaa) -> None:
    image = requirements.pins("\n".join(requirements.resolve([requirements.IMAGE])))
    assert not image.keys() & requirements.pins(requirements.REQUIREMENTS.read_text()).keys()
    assert "Would make no changes" in mwaa.pip_on_mwaa()


def test_the_scheduler_loads_the_one_dag_without_dbt(container: Mwaa) -> None:
    environment = container.start_up("scheduler", VARIABLES) | {"MUSIC_STREAMS_DBT_EXECUTABLE": "/not/there"}

    found = container.load_dags(environment)

    assert found["python"] == list(MWAA.python)
    assert not found["dbt"]
    assert found["errors"] == {}
    assert found["started"] == []
    assert set(found["files"]) >= {
        str(container.dags / f"{name}.py") for name in ("contract/layout", "music_streams/tasks")
    }
    assert all(file.startswith(str(container.dags)) for file in found["files"])

    repository = environment | {
        "AIRFLOW__CORE__DAGS_FOLDER": str(bundle.REPOSITORY / "dags"),
        "PYTHONPATH": str(bundle.REPOSITORY),
    }
    assert found["dags"] == mwaa.load_dags(Path(sys.executable), repository)["dags"]
    assert list(found["dags"]) == [DAG_ID]
    assert len(found["dags"][DAG_ID]) > 15


def test_a_worker_has_the_dbt_of_uv_lock_and_makes_it_once(container: Mwaa, worker: dict[str, str]) -> None:
    listed = requirements.pins(requirements.DBT_REQUIREMENTS.read_text())
    program = Path(worker["MUSIC_STREAMS_DBT_EXECUTABLE"])
    frozen = subprocess.run([program.with_name("pip"), "freeze"], check=True, capture_output=True, text=True).stdout
    assert requirements.pins(frozen) == listed
    version = subprocess.run([program, "--version"], env=worker, check=True, capture_output=True, text=True).stdout
    assert f"installed: {listed['dbt-core']}" in version
    assert f"redshift: {listed['dbt-redshift']}" in version

    made = program.stat()
    container.start_up("worker", VARIABLES)
    assert program.stat() == made


def test_a_whole_run_on_mwaas_python_gives_exact_tables(
    sandbox: RunningSandbox, container: Mwaa, tmp_path: Path
) -> None:
    history = History(sandbox)
    history.land(day(tmp_path, 0, events=60, files=3, catalogue=SMALL))

    run = sandbox.run()

    assert run.state == "success", run.errors
    history.assert_exact()
    assert len([key for key in sandbox.keys("user-streams-archived/") if run.batch_id in key]) == 3
    assert layout.DBT_DOCS_PAGE.removeprefix(f"{layout.ROOT}/") in sandbox.keys("dbt_docs/")
    # Tasks are forks of the scheduler, and have compiled what they imported.
    scheduler = sandbox.sandbox.processes.running()[SCHEDULER]
    assert scheduler.cmdline()[0] == str(container.programs / "python")
    assert layout.KPI_REPORT_PAGE.removeprefix(f"{layout.ROOT}/") in sandbox.keys("report/")
    for package in ("music_streams", "expectations", "report"):
        compiled = [file.name for file in (container.dags / package / "__pycache__").iterdir()]
        assert compiled
        assert all(name.endswith(".cpython-312.pyc") for name in compiled)
    dbt = str(container.home / "dbt" / "bin" / "dbt")
    logs = {log.parent.name: log.read_text() for log in container.home.glob("logs/*/*/task_id=*/*.log")}
    by_dbt = [task for task in run.tasks if task.startswith("write_")]
    assert len(by_dbt) == 2 * len(KPI_TABLES)
    by_dbt += ["test_kpis_reconcile", "check_source_freshness", "publish_dbt_docs"]
    assert not [task for task in by_dbt if dbt not in logs[f"task_id={task}"]]
