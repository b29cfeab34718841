"""Redshift Serverless and its Data API, as far as a deployment and dbt ask them; moto has none of it.

There is one workgroup and one namespace, which is the sandbox's warehouse, whatever they are called.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import redshift_connector
from moto import backend_index
from redshift_connector.error import Error

from sandbox.aws.credentials import ACCOUNT_ID, REGION
from sandbox.redshift.temporary_passwords import temporary_password

SERVERLESS = "redshift-serverless"
DATA = "redshiftdata"  # as moto calls it
ROLE = "IAMR:sandbox"  # the caller, whoever it is
LIFETIME = timedelta(minutes=15)

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class RefusedCallError(Exception):
    """What the API answers instead of a result; its name is the first argument."""


def install() -> None:
    """Makes moto's server tell these requests from others."""
    backend_index.backend_url_patterns.append((SERVERLESS, re.compile(rf"https?://{SERVERLESS}\.")))


def application(calls: dict[str, Callable[[dict[str, Any]], dict[str, Any]]]) -> Application:
    """A WSGI application of AWS's JSON protocol: the calls by their names."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        name = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        try:
            status, answer = "200 OK", calls.get(name, _refuse)(request)
        except RefusedCallError as error:
            status, answer = "400 Bad Request", dict(zip(("__type", "message"), error.args, strict=True))
        start_response(status, [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps(answer).encode()]

    return serve


def _refuse(_: dict[str, Any]) -> dict[str, Any]:
    raise RefusedCallError("ValidationException", "The sandbox has no such call.")


class Serverless:
    """Logins, and the usage limits of the workgroup, which are kept and not kept to."""

    def __init__(self, secret: str, workgroup: str) -> None:
        """`secret`: see `temporary_password`; `workgroup`: the only one that gives out logins."""
        self._secret = secret
        self._workgroup = workgroup
        self._limits: dict[str, dict[str, Any]] = {}

    @property
    def calls(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """By their names in the API."""
        return {
            "GetCredentials": self.get_credentials,
            "GetNamespace": self.get_namespace,
            "ListUsageLimits": lambda _: {"usageLimits": list(self._limits.values())},
            "CreateUsageLimit": lambda request: {"usageLimit": self._put_limit(str(uuid.uuid4()), request)},
            "UpdateUsageLimit": lambda request: {"usageLimit": self._put_limit(request["usageLimitId"], request)},
            "DeleteUsageLimit": lambda request: {"usageLimit": self._limits.pop(request["usageLimitId"])},
        }

    def get_credentials(self, request: dict[str, Any]) -> dict[str, Any]:
        if request.get("workgroupName") != self._workgroup:
            raise RefusedCallError("ResourceNotFoundException", f"The only workgroup is {self._workgroup}.")
        end = datetime.now(UTC) + LIFETIME
        password = temporary_password(ROLE, end, self._secret)
        return {"dbUser": ROLE, "dbPassword": password, "expiration": end.timestamp()}

    def get_namespace(self, request: dict[str, Any]) -> dict[str, Any]:
        name = request["namespaceName"]
        secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:redshift!{name}-administrator"
        return {"namespace": {"namespaceName": name, "adminPasswordSecretArn": secret}}

    def _put_limit(self, limit_id: str, request: dict[str, Any]) -> dict[str, Any]:
        self._limits[limit_id] = self._limits.get(limit_id, {}) | request | {"usageLimitId": limit_id}
        return self._limits[limit_id]


class DataApi:
    """Runs statements on the sandbox's warehouse at once, as its user, whatever secret the request names."""

    def __init__(self, login: dict[str, Any]) -> None:
        """`login`: arguments of `redshift_connector.connect`."""
        self._login = login
        self._statements: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    @property
    def calls(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any]]]:
        """By their names in the API."""
        return {
            "ExecuteStatement": self.execute_statement,
            "DescribeStatement": lambda request: self._statements[request["Id"]],
            "GetStatementResult": self.get_statement_result,
        }

    def execute_statement(self, request: dict[str, Any]) -> dict[str, Any]:
        statement = str(uuid.uuid4())
        described: dict[str, Any] = {"Id": statement, "QueryString": request["Sql"], "Status": "FINISHED"}
        try:
            with redshift_connector.connect(**self._login) as connection, connection.cursor() as cursor:
                # The one database there is has a name of its own.
                cursor.execute(request["Sql"].replace(f'"{request["Database"]}"', f'"{self._login["database"]}"'))
                self._rows[statement] = list(cursor.fetchall()) if cursor.description else []
                connection.commit()
        except (Error, OSError) as error:
            described |= {"Status": "FAILED", "Error": str(error)}
        self._statements[statement] = described
        return {"Id": statement}

    def get_statement_result(self, request: dict[str, Any]) -> dict[str, Any]:
        rows = self._rows[request["Id"]]
        return {"Records": [[{"stringValue": str(value)} for value in row] for row in rows], "TotalNumRows": len(rows)}
