"""The calls by which an AWS identity gets a temporary password for the sandbox's warehouse."""

import json
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from moto import backend_index
from moto.core.responses import ActionResult
from moto.redshift.exceptions import ClusterNotFoundError, RedshiftClientError
from moto.redshift.responses import RedshiftResponse

from sandbox.redshift.temporary_passwords import temporary_password

CLUSTER = "sandbox"  # the provisioned cluster and the Serverless workgroup, which are one warehouse
SERVERLESS = "redshift-serverless"
ROLE = "IAMR:sandbox"  # the caller, whoever it is
_LIFETIME = timedelta(minutes=15)


def install(secret: str) -> None:
    """Lets moto hand out the passwords that the warehouse with this secret takes."""

    def credentials(response: RedshiftResponse, user: str) -> ActionResult:
        cluster = response._get_param("ClusterIdentifier")
        if cluster != CLUSTER:
            raise ClusterNotFoundError(cluster)
        end = datetime.now(UTC) + _LIFETIME
        password = temporary_password(user, end, secret)
        return ActionResult({"DbUser": user, "DbPassword": password, "Expiration": end})

    def get_cluster_credentials(response: RedshiftResponse) -> ActionResult:
        prefix = "IAMA" if response._get_bool_param("AutoCreate", False) else "IAM"
        return credentials(response, f"{prefix}:{response._get_param('DbUser')}")

    def get_cluster_credentials_with_iam(response: RedshiftResponse) -> ActionResult:
        return credentials(response, ROLE)

    def describe_custom_domain_associations(_: RedshiftResponse) -> ActionResult:
        raise RedshiftClientError("CustomDomainAssociationNotFoundFault", "There are no custom domains.")

    for call in (
        get_cluster_credentials,
        get_cluster_credentials_with_iam,
        describe_custom_domain_associations,
    ):
        setattr(RedshiftResponse, call.__name__, call)
    backend_index.backend_url_patterns.append((SERVERLESS, re.compile(rf"https?://{SERVERLESS}\.")))


def serverless(secret: str) -> Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]:
    """Redshift Serverless, as a WSGI application that knows GetCredentials only; moto has none of it."""

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        request = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        status, end = "400 Bad Request", datetime.now(UTC) + _LIFETIME
        answer: dict[str, str | float] = {"__type": "ValidationException", "message": "The sandbox has no such call."}
        if environ.get("HTTP_X_AMZ_TARGET") == "RedshiftServerless.GetCredentials":
            answer = {"__type": "ResourceNotFoundException", "message": f"The only workgroup is {CLUSTER}."}
            if request.get("workgroupName") == CLUSTER:
                status, password = "200 OK", temporary_password(ROLE, end, secret)
                answer = {"dbUser": ROLE, "dbPassword": password, "expiration": end.timestamp()}
        start_response(status, [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps(answer).encode()]

    return application
