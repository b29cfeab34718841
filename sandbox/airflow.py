"""Set up and run Airflow in the sandbox: its settings, its database, and its four processes."""

import json
import sqlite3
import subprocess
from collections.abc import Mapping
from contextlib import closing
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from contract import layout
from sandbox.airflow_api import API_SERVER, DAG_PROCESSOR, SCHEDULER, TRIGGERER, USER, Client
from sandbox.home import REPOSITORY, Home, SandboxError, write_whole
from sandbox.processes import Server
from sandbox.settings import BUCKET, HOST, VIRTUAL_ENVIRONMENT, Ports

PROGRAM = str(VIRTUAL_ENVIRONMENT / "bin" / "airflow")
DATABASE_SECONDS = 240
GRACE_SECONDS = 2.0  # the scheduler would wait for running tasks, though all state that matters is in the database

# The pages that the DAG publishes, as menu entries of Airflow's UI.
PUBLISHED = {
    name: {"name": title, "dir": f"s3://{BUCKET}/{PurePosixPath(page).parent}", "index": PurePosixPath(page).name}
    for name, title, page in (
        ("music_streams", "dbt docs", layout.DBT_DOCS_PAGE),
        ("kpi_report", "KPI report", layout.KPI_REPORT_PAGE),
    )
}


def variables(home: Home, ports: Ports) -> dict[str, str]:
    """Return Airflow's settings for a laptop with two cores and one user."""
    folder, secrets = home.airflow, home.secrets()
    settings = {
        "CORE__DAGS_FOLDER": REPOSITORY / "dags",
        "CORE__PLUGINS_FOLDER": folder / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": 6,
        "CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER": False,
        "CORE__EXECUTION_API_SERVER_URL": f"{ports.airflow_url}/execution/",
        "CORE__FERNET_KEY": secrets.airflow_fernet_key,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": passwords_file(home),
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": True,
        "CORE__DAGBAG_IMPORT_TIMEOUT": 120,  # as on MWAA: three processes import it at once on a throttled core
        "DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": 180,
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database(home)}",
        "LOGGING__BASE_LOG_FOLDER": task_logs(home),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": folder / "dag-processor-logs",
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "API__HOST": HOST,
        "API__PORT": ports.airflow,
        "API__BASE_URL": ports.airflow_url,
        "API__WORKERS": 1,
        "API__SECRET_KEY": secrets.airflow_secret_key,
        "API_AUTH__JWT_SECRET": secrets.airflow_jwt_secret,
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": 30,
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": 15,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": 30,  # after it, a task whose process was killed is retried
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
        "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,  # the longest time that an ended task keeps its slot
        "DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(
            [bundle("dags-folder"), bundle("yours", path=str(home.dags))]
        ),
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 300,  # an edited DAG file is still parsed at once
        "DAG_PROCESSOR__REFRESH_INTERVAL": 10,
        "DAG_PROCESSOR__DAG_BUNDLE_STORAGE_PATH": folder / "bundles",
        "DAG_PROCESSOR__PRINT_STATS_INTERVAL": 0,
        "USAGE_DATA_COLLECTION__ENABLED": False,
        "COSMOS__ENABLE_TELEMETRY": False,
        "COSMOS__CACHE_DIR": folder / "cosmos",
        "COSMOS__ENABLE_DAG_VERSIONING": False,
        "COSMOS__DBT_DOCS_PROJECTS": json.dumps(PUBLISHED),
    }
    return {
        "AIRFLOW_HOME": str(folder),
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
    }


def bundle(name: str, **arguments: str) -> dict[str, Any]:
    """Describe a folder of DAGs for Airflow's setting; without a path the folder is CORE__DAGS_FOLDER."""
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return {"name": name, "classpath": classpath, "kwargs": arguments}


# Airflow imports this file in each of its processes. The scheduler forks its workers, and a worker forks each task, so
# what is imported and read here is imported and read only once: the modules that tasks need, boto3's descriptions of
# services, and the list of modules by file that `inspect.stack` makes (Airflow's AWS hooks call it for each client).
# The project's own modules are left out, because an edited one must work in the next task.
LOCAL_SETTINGS = """\
import sys

if "scheduler" in sys.argv:
    import inspect

    import airflow.providers.amazon.aws.operators.glue
    import airflow.providers.standard.operators.python
    import airflow.sdk.execution_time.task_runner
    import altair
    import boto3
    import cosmos.airflow.task_group
    import cosmos.operators.local
    import cosmos.profiles
    import great_expectations
    import openlineage.common.provider.dbt.local
    import redshift_connector

    for service in ("s3", "glue", "redshift"):
        boto3.client(service)
    inspect.stack()
"""


def write_local_settings(home: Home) -> None:
    """Write LOCAL_SETTINGS to the file that Airflow imports."""
    folder = home.folder("airflow/config")
    write_whole(folder / "airflow_local_settings.py", LOCAL_SETTINGS)


def database(home: Home) -> Path:
    """Return the path of the metadata database."""
    return home.airflow / "airflow.db"


def task_logs(home: Home) -> Path:
    """Return the folder of the tasks' logs."""
    return home.airflow / "logs"


def passwords_file(home: Home) -> Path:
    """Return the file of passwords that SimpleAuthManager reads."""
    return home.airflow / "passwords.json"


def prepare_database(home: Home, environment: Mapping[str, str], program: str = PROGRAM) -> None:
    """Make the metadata database, or migrate it to the installed version.

    Args:
        home: the sandbox of the database.
        environment: Airflow's variables.
        program: the Airflow program of the version in .venv.

    Raises:
        SandboxError: Airflow failed.
    """
    write_local_settings(home)
    write_whole(passwords_file(home), json.dumps({USER: home.secrets().airflow_password}))
    if database_version(home) is not None and home.recall("airflow-database") == database_version(home):
        return
    try:
        migration = subprocess.run(
            [program, "db", "migrate"],
            env=dict(environment),
            cwd=home.airflow,
            capture_output=True,
            text=True,
            timeout=DATABASE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SandboxError(f"`airflow db migrate` took more than {DATABASE_SECONDS} s on {database(home)}") from error
    if migration.returncode != 0:
        raise SandboxError(f"`airflow db migrate` failed on {database(home)}:\n{migration.stdout}{migration.stderr}")
    home.remember("airflow-database", database_version(home))


def database_version(home: Home) -> dict[str, str] | None:
    """Return the versions of the database's schema and of the installed Airflow; None without a complete database."""
    if not database(home).exists():
        return None
    with closing(sqlite3.connect(database(home))) as connection:
        try:
            schema = connection.execute("select version_num from alembic_version").fetchone()
        except sqlite3.OperationalError:
            return None
    return {"schema": schema[0], "airflow": version("apache-airflow")} if schema else None


def servers(home: Home, ports: Ports, environment: Mapping[str, str], program: str = PROGRAM) -> list[Server]:
    """Return Airflow's processes, as servers of the sandbox."""
    client = Client(ports.airflow_url, home.secrets())

    def server(name: str, *arguments: str) -> Server:
        return Server(
            name=name,
            command=[program, *arguments],
            environment=environment,
            check=lambda started: client.check(name, started),
            port=ports.airflow if name == API_SERVER else None,
            sources=[REPOSITORY / "uv.lock"],
            grace=GRACE_SECONDS,
            working_directory=home.airflow,
        )

    return [
        server(API_SERVER, "api-server", "--host", HOST, "--port", str(ports.airflow), "--workers", "1"),
        server(SCHEDULER, "scheduler", "--skip-serve-logs"),
        server(DAG_PROCESSOR, "dag-processor"),
        server(TRIGGERER, "triggerer", "--skip-serve-logs"),
    ]
