"""The calls of Redshift Serverless and its Data API that a deployment and dbt use; moto has neither API.

There is one workgroup and one namespace: the sandbox's warehouse, whatever their names.
"""

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import redshift_connector
from moto import backend_index
from redshift_connector.error import Error

from sandbox.aws.authorization import Authorizer, Everybody, Need, RefusedCallerError, arn
from sandbox.aws.credentials import ACCOUNT_ID, REGION
from sandbox.redshift.temporary_passwords import temporary_password

SERVERLESS = "redshift-serverless"
DATA = "redshiftdata"  # moto's name of the Data API
LIFETIME_SECONDS = 900  # of a password, if the caller does not ask for another lifetime

WORKGROUPS = {"sandbox"}  # names of the one warehouse; a stack that creates a workgroup adds a name

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
Request = dict[str, Any]
Answer = dict[str, Any]


class RefusedCallError(Exception):
    """An error of the API; the first argument is the error's name."""


class Api(Protocol):
    """An API of AWS's JSON protocol."""

    @property
    def calls(self) -> dict[str, Callable[[Request, str], Answer]]:
        """Returns the calls by name; each gets the request, and the caller's user of the warehouse."""

    def needs(self, name: str, request: Request) -> Iterator[Need]:
        """Yields the permissions that a call needs."""


def install() -> None:
    """Makes moto's server recognise requests of this service."""
    backend_index.backend_url_patterns.append((SERVERLESS, re.compile(rf"https?://{SERVERLESS}\.")))


def application(api: Api, authorizer: Authorizer | Everybody) -> Application:
    """Returns a WSGI application of the API."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        name = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2]
        try:
            caller = authorizer.caller(environ, api.needs(name, request))
            status, answer = "200 OK", api.calls.get(name, _refuse)(request, caller)
        except (RefusedCallError, RefusedCallerError) as error:
            status, answer = "400 Bad Request", dict(zip(("__type", "message"), error.args, strict=True))
        start_response(status, [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps(answer).encode()]

    return serve


def _refuse(_request: Request, _caller: str) -> Answer:
    raise RefusedCallError("ValidationException", "The sandbox has no such call.")


class Serverless:
    """Logins, and the usage limits of the workgroup, which are stored but not enforced."""

    def __init__(self, secret: str) -> None:
        """`secret`: see `temporary_password`."""
        self._secret = secret
        self._limits: dict[str, dict[str, Any]] = {}

    @property
    def calls(self) -> dict[str, Callable[[Request, str], Answer]]:
        """Returns the calls by their names in the API."""
        return {
            "GetCredentials": self.get_credentials,
            "GetNamespace": lambda request, _: self.get_namespace(request),
            "ListUsageLimits": lambda _request, _: {"usageLimits": list(self._limits.values())},
            "CreateUsageLimit": lambda request, _: {"usageLimit": self._put_limit(str(uuid.uuid4()), request)},
            "UpdateUsageLimit": lambda request, _: {"usageLimit": self._put_limit(request["usageLimitId"], request)},
            "DeleteUsageLimit": lambda request, _: {"usageLimit": self._limits.pop(request["usageLimitId"])},
        }

    def needs(self, name: str, request: Request) -> Iterator[Need]:
        """Yields the permission for the call itself, on the workgroup or namespace that it names."""
        resource = request.get("resourceArn", "*")
        for kind in ("workgroup", "namespace"):
            if f"{kind}Name" in request:
                resource = arn(SERVERLESS, f"{kind}/{request[f'{kind}Name']}")
        yield Need(f"{SERVERLESS}:{name}", resource, {})

    def get_credentials(self, request: Request, caller: str) -> Answer:
        if request.get("workgroupName") not in WORKGROUPS:
            raise RefusedCallError("ResourceNotFoundException", f"The workgroups are {', '.join(sorted(WORKGROUPS))}.")
        end = datetime.now(UTC) + timedelta(seconds=request.get("durationSeconds", LIFETIME_SECONDS))
        password = temporary_password(caller, end, self._secret)
        return {"dbUser": caller, "dbPassword": password, "expiration": end.timestamp()}

    def get_namespace(self, request: Request) -> Answer:
        name = request["namespaceName"]
        secret = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT_ID}:secret:redshift!{name}-administrator"
        return {"namespace": {"namespaceName": name, "adminPasswordSecretArn": secret}}

    def _put_limit(self, limit_id: str, request: Request) -> Answer:
        self._limits[limit_id] = self._limits.get(limit_id, {}) | request | {"usageLimitId": limit_id}
        return self._limits[limit_id]


class DataApi:
    """Runs statements on the sandbox's warehouse immediately, as its user, whatever secret the request names."""

    def __init__(self, login: dict[str, Any]) -> None:
        """`login`: arguments of `redshift_connector.connect`."""
        self._login = login
        self._statements: dict[str, dict[str, Any]] = {}
        self._rows: dict[str, list[tuple[Any, ...]]] = {}

    @property
    def calls(self) -> dict[str, Callable[[Request, str], Answer]]:
        """Returns the calls by their names in the API."""
        return {
            "ExecuteStatement": lambda request, _: self.execute_statement(request),
            "DescribeStatement": lambda request, _: self._statements[request["Id"]],
            "GetStatementResult": lambda request, _: self.get_statement_result(request),
        }

    def needs(self, name: str, request: Request) -> Iterator[Need]:
        """Yields the permissions for the call, on the workgroup if it names one, and for the secret of its login."""
        workgroup = request.get("WorkgroupName")
        yield Need(f"redshift-data:{name}", arn(SERVERLESS, f"workgroup/{workgroup}") if workgroup else "*", {})
        if secret := request.get("SecretArn"):
            yield Need("secretsmanager:GetSecretValue", secret, {})

    def execute_statement(self, request: Request) -> Answer:
        statement = str(uuid.uuid4())
        described: dict[str, Any] = {"Id": statement, "QueryString": request["Sql"], "Status": "FINISHED"}
        try:
            with redshift_connector.connect(**self._login) as connection, connection.cursor() as cursor:
                # The only database has another name than the request's.
                cursor.execute(request["Sql"].replace(f'"{request["Database"]}"', f'"{self._login["database"]}"'))
                self._rows[statement] = list(cursor.fetchall()) if cursor.description else []
                connection.commit()
        except (Error, OSError) as error:
            described |= {"Status": "FAILED", "Error": str(error)}
        self._statements[statement] = described
        return {"Id": statement}

    def get_statement_result(self, request: Request) -> Answer:
        rows = self._rows[request["Id"]]
        return {"Records": [[{"stringValue": str(value)} for value in row] for row in rows], "TotalNumRows": len(rows)}
