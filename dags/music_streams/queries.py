"""Query the warehouse from the DAG's own tasks, with dbt's login: a target of its profile."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import jinja2
import redshift_connector
import yaml
from redshift_connector.core import Connection

from contract import variables
from music_streams.settings import SettingError

PROFILE = "music_streams"
PRODUCTION = "prod"
CONNECT_SECONDS = 60
APPLICATION = "music_streams"  # for an unnamed one, the driver searches the whole call stack for the caller's name
# The longest that AWS grants; no dbt task may take longer.
PASSWORD_SECONDS = 3600


class Warehouse:
    """The warehouse that a target of dbt's profile describes."""

    def __init__(self, profiles: Path, target: str, environment: Mapping[str, str] = os.environ) -> None:
        """Read the target, without connecting to the warehouse.

        Raises:
            SettingError: profiles.yml has no such target, or one of its variables is not set.
        """
        outputs: dict[str, dict[str, Any]] = yaml.safe_load(profiles.read_text())[PROFILE]["outputs"]
        if target not in outputs:
            raise SettingError(f"{profiles} has no target {target!r}: set DBT_TARGET to one of {', '.join(outputs)}")
        self._name = target
        self._target = {name: _rendered(value, environment) for name, value in outputs[target].items()}

    @property
    def reporting(self) -> str:
        """The schema of the marts and reports, as dbt's macro `generate_schema_name` names it."""
        return "reporting" if self._name == PRODUCTION else f"{self._target['schema']}_reporting"

    @property
    def login(self) -> dict[str, Any]:
        """The arguments of `redshift_connector.connect`, equal to those of dbt-redshift."""
        of, is_serverless = self._target, self._is_serverless
        login = {
            "host": of["host"],
            "port": int(of["port"]),
            "database": of["dbname"],
            "region": of.get("region"),
            "is_serverless": is_serverless,
            "ssl": of["sslmode"] != "disable",
            "sslmode": None if of["sslmode"] == "disable" else of["sslmode"],
            "tcp_keepalive": True,
        }
        if of["method"] == "database":
            return login | {"user": of["user"], "password": of["pass"]}
        by_role = of["method"] == "iam_role"
        return login | {
            "iam": True,
            "user": "",
            "password": "",
            "cluster_identifier": None if is_serverless else of["cluster_id"],
            "serverless_work_group": of.get("serverless_work_group") if is_serverless else None,
            "db_user": None if by_role else of["user"],
            **({"group_federation": not is_serverless} if by_role else {}),
        }

    def password_of_role(self) -> dict[str, str]:
        """Request a password for the caller's role from AWS; return the variables that make the target log in with it.

        For a target that does not log in by IAM role the result is empty.
        """
        of = self._target
        if of["method"] != "iam_role":
            return {}
        if self._is_serverless:
            given = boto3.client("redshift-serverless", region_name=of["region"]).get_credentials(
                workgroupName=of.get("serverless_work_group") or of["host"].split(".")[0],
                dbName=of["dbname"],
                durationSeconds=PASSWORD_SECONDS,
            )
            return {variables.REDSHIFT_USER.name: given["dbUser"], variables.ROLE_PASSWORD.name: given["dbPassword"]}
        given = boto3.client("redshift", region_name=of["region"]).get_cluster_credentials_with_iam(
            ClusterIdentifier=of["cluster_id"], DbName=of["dbname"], DurationSeconds=PASSWORD_SECONDS
        )
        return {variables.REDSHIFT_USER.name: given["DbUser"], variables.ROLE_PASSWORD.name: given["DbPassword"]}

    @property
    def _is_serverless(self) -> bool:
        return "serverless" in self._target["host"] or self._target.get("is_serverless", False)

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """Open a session in one read-only transaction, so that all its queries see the same state of the tables."""
        connection = redshift_connector.connect(**self.login, timeout=CONNECT_SECONDS, application_name=APPLICATION)
        try:
            yield connection
        finally:
            connection.close()


def _rendered(value: Any, environment: Mapping[str, str]) -> Any:
    if not isinstance(value, str):
        return value

    def env_var(name: str, default: str | None = None) -> str:
        found = environment.get(name, default)
        if found is None:
            raise SettingError(f"{name} is not set: the target of dbt's profile needs it")
        return found

    jinja = jinja2.Environment()  # noqa: S701 - no HTML
    jinja.filters["as_number"] = str  # `login` converts the values that must be numbers
    return jinja.from_string(value).render(env_var=env_var)
