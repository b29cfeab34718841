"""The calls by which an AWS identity gets a temporary password for the sandbox's warehouse."""

from datetime import UTC, datetime, timedelta

from moto.core.responses import ActionResult
from moto.redshift.exceptions import ClusterNotFoundError, RedshiftClientError
from moto.redshift.responses import RedshiftResponse

from sandbox.aws.authorization import access_key_id, database_user
from sandbox.aws.redshift_serverless import LIFETIME_SECONDS
from sandbox.redshift.temporary_passwords import temporary_password

CLUSTER = "sandbox"  # the name of the provisioned cluster and of the Serverless workgroup, which are the same warehouse


def install(secret: str) -> None:
    """Makes moto issue the passwords that the warehouse with this secret accepts."""

    def credentials(response: RedshiftResponse, user: str) -> ActionResult:
        cluster = response._get_param("ClusterIdentifier")
        if cluster != CLUSTER:
            raise ClusterNotFoundError(cluster)
        end = datetime.now(UTC) + timedelta(seconds=response._get_int_param("DurationSeconds", LIFETIME_SECONDS))
        password = temporary_password(user, end, secret)
        return ActionResult({"DbUser": user, "DbPassword": password, "Expiration": end})

    def get_cluster_credentials(response: RedshiftResponse) -> ActionResult:
        prefix = "IAMA" if response._get_bool_param("AutoCreate", False) else "IAM"
        return credentials(response, f"{prefix}:{response._get_param('DbUser')}")

    def get_cluster_credentials_with_iam(response: RedshiftResponse) -> ActionResult:
        return credentials(response, database_user(access_key_id(response.headers.get("Authorization", ""), "")))

    def describe_custom_domain_associations(_: RedshiftResponse) -> ActionResult:
        raise RedshiftClientError("CustomDomainAssociationNotFoundFault", "There are no custom domains.")

    for call in (
        get_cluster_credentials,
        get_cluster_credentials_with_iam,
        describe_custom_domain_associations,
    ):
        setattr(RedshiftResponse, call.__name__, call)
