"""The sandbox's addresses and names, and the environment variables that pass them on."""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from contract import layout, variables
from infra.deployment import Stage
from sandbox.home import REPOSITORY, Home

HOST = "127.0.0.1"
REGION = "us-east-1"
ACCOUNT = "123456789012"
BUCKET = "music-streams-sandbox"
DATABASE = "dev"
DATABASE_USER = "sandbox"
SCHEMA_PREFIX = "sandbox"
DBT_TARGET = "sandbox"
DBT_TARGET_OF_THE_DAG = "dev_serverless_role"  # logs in as on AWS; `prod` does, too, but allows no schema prefix
# The sandbox has no networks, so it never reads the parameters that would name them.
STAGE = Stage(
    "sandbox",
    {
        "lake": {"BucketName": BUCKET, "MaxGlueWorkers": "2", "GlueTimeoutMinutes": "30"},
        "warehouse": {"WarehouseSubnetIds": "none", "WarehouseSecurityGroupId": "none"},
        "airflow": {
            "AirflowSubnetIds": "none",
            "AirflowSecurityGroupId": "none",
            "RequirementsVersion": "none",
            "StartupScriptVersion": "none",
        },
    },
)
AIRFLOW_ROLE = f"music-streams-{STAGE.name}-airflow"
WORKGROUP = f"music-streams-{STAGE.name}"
COPY_ROLE = f"music-streams-{STAGE.name}-copy"
ALERT_TOPIC = f"music-streams-{STAGE.name}-alerts"
GLUE_POLL_SECONDS = 1
RETRY_SECONDS = 10

VIRTUAL_ENVIRONMENT = REPOSITORY / ".venv"
PREFERRED_PORTS = {"aws": 4566, "redshift": 5439, "airflow": 8080}

# Variables of the user's shell that would lead a server to a real AWS account, another Python or another Airflow.
FOREIGN_PREFIXES = (
    "AWS_",
    "AIRFLOW",
    "DBT_",
    "REDSHIFT_",
    "MUSIC_STREAMS_",
    "PYTHON",
    "SPARK_",
    "HADOOP_",
    "GX_",
    "VIRTUAL_ENV",
)


@dataclass(frozen=True)
class Ports:
    """The ports on which the servers listen, on 127.0.0.1."""

    aws: int
    redshift: int
    airflow: int

    @property
    def aws_endpoint(self) -> str:
        """The base address of the AWS APIs."""
        return f"http://{HOST}:{self.aws}"

    @property
    def airflow_url(self) -> str:
        """The base address of Airflow."""
        return f"http://{HOST}:{self.airflow}"


@contextmanager
def chosen_ports(home: Home, running: set[str]) -> Iterator[Ports]:
    """Choose the ports of last time, or the default ones; replace any port that another program holds by a free one.

    As long as the context lasts, no other sandbox on this machine chooses the same ports for servers that are not
    `running` yet.
    """
    ports = {**PREFERRED_PORTS, **(home.recall("ports") or {})}
    with ExitStack() as reservations:
        for name, port in ports.items():
            if name not in running:
                candidates = chain([port], iter(free_port, None))
                ports[name] = next(port for port in candidates if is_free(port) and reserve(port, reservations))
        home.remember("ports", ports)
        yield Ports(**ports)


def reserve(port: int, reservations: ExitStack) -> bool:
    """Claim a port among the sandboxes of this machine; return whether it was free. The kernel frees it at the end."""
    claim = socket.socket(socket.AF_UNIX)
    try:
        claim.bind(f"\0music-streams-sandbox-port-{port}")
    except OSError:
        claim.close()
        return False
    reservations.enter_context(claim)
    return True


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free port."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


def inherited_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the user's environment for the servers: without AWS accounts, and without a proxy for 127.0.0.1."""
    kept = {name: value for name, value in environ.items() if not name.startswith(FOREIGN_PREFIXES)}
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, [kept.get(name), HOST, "localhost"]))
    return kept | {"PATH": search_path(environ.get("PATH", os.defpath))}


def search_path(path: str) -> str:
    """Return PATH with .venv's programs first."""
    programs = str(VIRTUAL_ENVIRONMENT / "bin")
    return os.pathsep.join([programs, *(part for part in path.split(os.pathsep) if part != programs)])


def client_variables(home: Home, ports: Ports) -> dict[str, str]:
    """Return the variables by which boto3, dbt, the DAG and the Glue jobs find the sandbox."""
    secrets = home.secrets()
    return {
        variables.AWS_ENDPOINT_URL.name: ports.aws_endpoint,
        "AWS_ACCESS_KEY_ID": secrets.aws_access_key_id,
        "AWS_SECRET_ACCESS_KEY": secrets.aws_secret_access_key,
        "AWS_DEFAULT_REGION": REGION,
        variables.AWS_REGION.name: REGION,
        variables.BUCKET.name: BUCKET,
        variables.REPORT_URL.name: f"{ports.aws_endpoint}/{BUCKET}/{layout.KPI_REPORT_PAGE}",
        variables.REDSHIFT_HOST.name: HOST,
        variables.REDSHIFT_PORT.name: str(ports.redshift),
        variables.REDSHIFT_DATABASE.name: DATABASE,
        variables.REDSHIFT_USER.name: DATABASE_USER,
        variables.REDSHIFT_PASSWORD.name: secrets.redshift_password,
        variables.COPY_ROLE_ARN.name: f"arn:aws:iam::{ACCOUNT}:role/{COPY_ROLE}",
        variables.SCHEMA_PREFIX.name: SCHEMA_PREFIX,
        variables.DBT_PROFILES_DIR.name: str(home.dbt),
        variables.DBT_TARGET.name: DBT_TARGET,
    }


def server_variables(home: Home, ports: Ports) -> dict[str, str]:
    """Return the servers' variables: the clients', and settings that block real AWS accounts and telemetry."""
    return client_variables(home, ports) | {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "DO_NOT_TRACK": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "SPT_NOENV": "1",  # setproctitle must not overwrite the environment, from which MARKER is read
    }


def dag_variables(home: Home, ports: Ports) -> dict[str, str]:
    """Return Airflow's variables: the servers' without the administrator's credentials for account and warehouse.

    Airflow's AWS identity is the execution role, which has only the permissions that it needs, and by which dbt logs in
    to the warehouse.
    """
    secrets = home.secrets()
    of_servers = server_variables(home, ports)
    for variable in (variables.REDSHIFT_USER, variables.REDSHIFT_PASSWORD):
        del of_servers[variable.name]
    return of_servers | {
        "AWS_ACCESS_KEY_ID": secrets.airflow_access_key_id,
        "AWS_SECRET_ACCESS_KEY": secrets.airflow_secret_access_key,
        variables.DBT_TARGET.name: DBT_TARGET_OF_THE_DAG,
        variables.REDSHIFT_WORKGROUP.name: WORKGROUP,
        variables.SSL_CERT_FILE.name: str(home.redshift / "ca.pem"),
        variables.STAGE.name: STAGE.name,
        variables.ALERT_TOPIC_ARN.name: f"arn:aws:sns:{REGION}:{ACCOUNT}:{ALERT_TOPIC}",
        variables.DBT_EXECUTABLE.name: str(dbt_programs(home) / "dbt"),
        variables.DBT_PROJECT_DIR.name: str(project_path(home)),
        variables.DBT_MANIFEST.name: str(manifest_path(home)),
        variables.GLUE_POLL_SECONDS.name: str(GLUE_POLL_SECONDS),
        variables.RETRY_SECONDS.name: str(RETRY_SECONDS),
    }


def dbt_programs(home: Home) -> Path:
    """Return the folder of the program that the DAG starts as dbt, and of the socket of its server."""
    return home.dbt / "bin"


def project_path(home: Home) -> Path:
    """Return the DAG's dbt project folder: the repository's project with a target/ of its own."""
    return home.dbt / "project"


def manifest_path(home: Home) -> Path:
    """Return the path of the prebuilt dbt manifest from which the DAG is rendered."""
    return project_path(home) / "target" / "manifest.json"
