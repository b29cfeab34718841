"""Authorize every request by IAM: allow only what the policies of the caller's role allow.

The user who starts the sandbox is its administrator. Glue runs, COPY statements and Airflow's tasks have their roles.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from moto.core.authorization import ActionAuthenticatorMixin
from moto.core.exceptions import InvalidClientTokenIdError, JsonRESTError, _RESTError
from moto.iam.access_control import PermissionResult
from moto.iam.exceptions import NotFoundException
from moto.iam.models import iam_backends
from moto.s3.exceptions import S3ClientError, S3InvalidAccessKeyIdError
from moto.s3.models import FakeBucket, s3_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sts.models import AssumedRole, sts_backends

from sandbox.aws.credentials import ACCOUNT_ID, REGION
from sandbox.aws.policies import Decision, decide

PARTITION = "aws"
# Requests count as sent by TLS, since they never leave this machine.
TRANSPORT = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}
ACTIONS_OF_ANOTHER_NAME = {"HeadBucket": "ListBucket"}
FOR_EVERYBODY = "sts:GetCallerIdentity"  # AWS allows it without a policy
SESSION_SECONDS = 43_200
ADMINISTRATOR = "administrator"
UNSIGNED = "Request is missing Authentication Token"


class RefusedCallerError(Exception):
    """A caller lacks a permission for the request; the arguments are AWS's name for the error, and its message."""


@dataclass(frozen=True)
class Need:
    """One permission that a request needs."""

    action: str
    resource: str
    context: Mapping[str, str]


class Authorizer:
    """Allows or refuses requests.

    Args:
        administrator: the access key id of the administrator, who may do everything.
        sessions: the roles of sessions that exist from the start, by access key id.
    """

    def __init__(self, administrator: str, sessions: Mapping[str, str]) -> None:
        self._administrator = administrator
        for key_id, role in sessions.items():
            assumed_role(f"arn:{PARTITION}:iam::{ACCOUNT_ID}:role/{role}", "session", key_id)

    def install(self) -> None:
        """Makes moto call this authorizer for every service."""
        authorizer = self

        def authorize(response: Any, _request_class: type, resource: str = "*") -> None:
            authorizer.check(response, resource)

        def permission(bucket: FakeBucket, action: str, resource: str) -> PermissionResult:
            if bucket.policy is None:
                return PermissionResult.NEUTRAL
            decision = decide([bucket.policy.decode()], action, resource, TRANSPORT, principal_is="*")
            return {
                Decision.ALLOWED: PermissionResult.PERMITTED,
                Decision.DENIED: PermissionResult.DENIED,
                Decision.NOT_MENTIONED: PermissionResult.NEUTRAL,
            }[decision]

        for owner, name, replacement in (
            (ActionAuthenticatorMixin, "_authenticate_and_authorize_action", authorize),
            (FakeBucket, "get_permission", permission),
        ):
            setattr(owner, name, replacement)

    def check(self, response: Any, resource: str) -> None:
        """Raises moto's error if the caller may not make the request."""
        service: str = response.service_name
        key_id = access_key_id(response.headers.get("Authorization", ""), urlsplit(response.uri).query)
        if key_id == self._administrator:
            return
        needs = _needs_of_s3(response, resource) if service == "s3" else _needs(service, response)
        if key_id is None:
            if service != "s3":
                raise _refusal(response, "MissingAuthenticationToken", UNSIGNED)
            if not _everybody_may(next(needs)):
                raise S3ClientError("AccessDenied", "Access Denied")
            return
        session = _session(key_id)
        if session is None:
            raise S3InvalidAccessKeyIdError if service == "s3" else InvalidClientTokenIdError
        if need := _unmet(session, needs):
            raise _refusal(response, "AccessDenied", _sentence(session, need))

    def caller(self, environ: Mapping[str, Any], needs: Iterable[Need]) -> str:
        """Checks that the sender of a WSGI request has the needed permissions; returns his user of the warehouse.

        Raises:
            RefusedCallerError: the sender lacks a permission, or the request is not signed.
        """
        key_id = access_key_id(environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", ""))
        if key_id is None:
            raise RefusedCallerError("MissingAuthenticationTokenException", UNSIGNED)
        if key_id != self._administrator:
            session = _session(key_id)
            if session is None:
                raise RefusedCallerError("UnrecognizedClientException", InvalidClientTokenIdError().message)
            if need := _unmet(session, needs):
                raise RefusedCallerError("AccessDeniedException", _sentence(session, need))
        return database_user(key_id)


class Everybody:
    """Replaces an `Authorizer`, and lets everybody do everything."""

    def caller(self, environ: Mapping[str, Any], _needs: Iterable[Need]) -> str:
        """See `Authorizer.caller`."""
        return database_user(access_key_id(environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", "")))


def database_user(key_id: str | None) -> str:
    """Returns the user of the warehouse to which an AWS identity maps: IAMR:<role>, or IAM:<user>."""
    session = _session(key_id) if key_id else None
    return f"IAMR:{session.role_arn.rsplit('/', 1)[-1]}" if session else f"IAM:{ADMINISTRATOR}"


def access_key_id(authorization: str, query: str) -> str | None:
    """Returns the access key id of a request's signature, from its header or a presigned URL; None if it has none."""
    parameters = parse_qs(query)
    of_address = parameters.get("X-Amz-Credential") or parameters.get("AWSAccessKeyId") or [""]
    credential = authorization.partition("Credential=")[2] or of_address[0]
    return credential.split("/")[0] or None


def _session(key_id: str) -> AssumedRole | None:
    return sts_backends[ACCOUNT_ID][PARTITION].get_assumed_role_from_access_key(key_id)


def _unmet(session: AssumedRole, needs: Iterable[Need]) -> Need | None:
    """Returns the first permission that the session's role lacks; None if it has all."""
    for need in needs:
        allowed = role_may(session.role_arn, need.action, need.resource, need.context)
        if not allowed and need.action != FOR_EVERYBODY:
            return need
    return None


def _everybody_may(need: Need) -> bool:
    """Returns whether the bucket's policy, which alone decides on unsigned requests, allows the action to everybody."""
    name = need.resource.removeprefix(f"arn:{PARTITION}:s3:::").partition("/")[0]
    bucket = s3_backends[ACCOUNT_ID][PARTITION].buckets.get(name)
    policies = [bucket.policy.decode()] if bucket and bucket.policy else []
    return decide(policies, need.action, need.resource, TRANSPORT, principal_is="*") is Decision.ALLOWED


def role_may(role_arn: str, action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Returns whether the role's policies allow the action; a role that does not exist may do nothing."""
    backend = iam_backends[ACCOUNT_ID][PARTITION]
    name = role_arn.rsplit("/", 1)[-1]
    try:
        inline = [backend.get_role_policy(name, policy)[1] for policy in backend.list_role_policies(name)]
    except NotFoundException:
        return False
    return decide(inline, action, resource, {**TRANSPORT, **context}) is Decision.ALLOWED


def assumed_role(role_arn: str, session_name: str, key_id: str | None = None) -> AssumedRole:
    """Makes a session of a role, with the given access key id or one that moto generates."""
    backend = sts_backends[ACCOUNT_ID][PARTITION]
    session = backend.assume_role(REGION, session_name, role_arn, "", SESSION_SECONDS, "")
    session.access_key_id = key_id or session.access_key_id
    return session


def session_variables(role: str, session_name: str) -> dict[str, str]:
    """Returns the AWS_… variables of a process that works as a role, given by name or ARN."""
    role_arn = role if role.startswith("arn:") else f"arn:{PARTITION}:iam::{ACCOUNT_ID}:role/{role}"
    session = assumed_role(role_arn, session_name)
    return {
        "AWS_ACCESS_KEY_ID": session.access_key_id,
        "AWS_SECRET_ACCESS_KEY": session.secret_access_key,
        "AWS_SESSION_TOKEN": session.session_token,
    }


def _sentence(session: AssumedRole, need: Need) -> str:
    because = "because no identity-based policy allows it"
    return f"User: {session.arn} is not authorized to perform: {need.action} on resource: {need.resource} {because}"


class RefusedInXmlError(_RESTError):
    """A refusal in the format of most services, XML."""

    code = 403


class RefusedInJsonError(JsonRESTError):
    """A refusal in the format of services whose protocol is JSON."""

    code = 403


def _refusal(response: Any, code: str, message: str) -> Exception:
    """Returns the error in the format that the service's clients read."""
    if response.service_name == "s3":
        return S3ClientError(code, message)
    if "json" in response.headers.get("Content-Type", ""):
        return RefusedInJsonError(f"{code}Exception", message)
    return RefusedInXmlError(code, message)


def _needs(service: str, response: Any) -> Iterator[Need]:
    action = response._get_action()
    context = {}
    if (service, action) == ("cloudwatch", "PutMetricData"):
        context["cloudwatch:namespace"] = str(response._get_param("Namespace"))
    yield Need(f"{service}:{action}", _resource(service, action, response), context)


def _resource(service: str, action: str, response: Any) -> str:
    """Returns the ARN that AWS would check; `*` for actions that no role of ours calls on a resource."""
    parameter = response._get_param
    name = None
    match service:
        case "cloudformation":
            stack = parameter("StackName")
            name = f"stack/{stack}/*" if stack and not stack.startswith("arn:") else stack
        case "glue":
            job = parameter("JobName") or parameter("Name")
            name = job and f"job/{job}"
        case "redshift" if action == "GetClusterCredentials":
            name = f"dbuser:{parameter('ClusterIdentifier')}/{parameter('DbUser')}"
        case "redshift" if action == "GetClusterCredentialsWithIAM":
            name = f"dbname:{parameter('ClusterIdentifier')}/{parameter('DbName')}"
        case "sns":
            name = parameter("TopicArn")
        case "sts":
            name = parameter("RoleArn")
        case "secretsmanager":
            secret = secretsmanager_backends[ACCOUNT_ID][REGION].secrets.get(parameter("SecretId") or "")
            name = secret.arn if secret else f"secret:{parameter('SecretId')}"
    return arn(service, name) if name and not name.startswith("arn:") else name or "*"


def arn(service: str, name: str) -> str:
    """Returns the ARN of a resource in the account and its Region."""
    return f"arn:{PARTITION}:{service}:{REGION}:{ACCOUNT_ID}:{name}"


def _needs_of_s3(response: Any, resource: str) -> Iterator[Need]:
    """Permissions of S3 requests: https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html"""
    action = response.data["Action"]
    action = ACTIONS_OF_ANOTHER_NAME.get(action, action)
    bucket, _, key = resource.removeprefix(f"arn:{PARTITION}:s3:::").partition("/")
    if action == "DeleteObject" and not key:
        for name in _keys_to_delete(response):
            yield Need("s3:DeleteObject", f"{resource}/{name}", {})
        return
    yield Need(f"s3:{action}", resource, _listing(response) if action.startswith("ListBucket") else {})
    if not key:
        return
    if action == "GetObject":
        yield from _needs_to_read(bucket, key)
    elif action == "PutObject":
        yield from _needs_to_write(bucket)
        if source := response.headers.get("x-amz-copy-source"):
            replaces_tags = response.headers.get("x-amz-tagging-directive") == "REPLACE"
            yield from _needs_to_copy(source, resource, with_tags=not replaces_tags)
        if response.headers.get("x-amz-tagging"):
            yield Need("s3:PutObjectTagging", resource, {})
        if response.headers.get("If-Match"):
            yield Need("s3:GetObject", resource, {})
    elif action == "DeleteObject" and response.headers.get("If-Match"):
        yield Need("s3:GetObject", resource, {})


def _needs_to_copy(source: str, target: str, *, with_tags: bool) -> Iterator[Need]:
    path, _, version = unquote(source).lstrip("/").partition("?versionId=")
    origin = f"arn:{PARTITION}:s3:::{path}"
    yield Need("s3:GetObjectVersion" if version else "s3:GetObject", origin, {})
    yield from _needs_to_read(*path.split("/", 1))
    if with_tags and _is_tagged(*path.split("/", 1)):
        yield Need("s3:GetObjectTagging", origin, {})
        yield Need("s3:PutObjectTagging", target, {})


def _needs_to_read(bucket: str, key: str) -> Iterator[Need]:
    try:
        found = s3_backends[ACCOUNT_ID][PARTITION].get_object(bucket, key)
    except S3ClientError:
        found = None
    if found is None:
        # S3 answers 404 for a missing object only to callers who may list the bucket.
        yield Need("s3:ListBucket", f"arn:{PARTITION}:s3:::{bucket}", {})
    elif key_arn := _encryption_key(bucket):
        yield Need("kms:Decrypt", key_arn, {"kms:ViaService": f"s3.{REGION}.amazonaws.com"})


def _is_tagged(bucket: str, key: str) -> bool:
    backend = s3_backends[ACCOUNT_ID][PARTITION]
    try:
        found = backend.get_object(bucket, key)
    except S3ClientError:
        return False
    return found is not None and bool(backend.tagger.get_tag_dict_for_resource(found.arn))


def _needs_to_write(bucket: str) -> Iterator[Need]:
    if key_arn := _encryption_key(bucket):
        yield Need("kms:GenerateDataKey", key_arn, {"kms:ViaService": f"s3.{REGION}.amazonaws.com"})


def _encryption_key(bucket: str) -> str | None:
    """Returns the KMS key that encrypts the bucket's objects; None if no KMS key does."""
    try:
        encryption: Any = s3_backends[ACCOUNT_ID][PARTITION].get_bucket(bucket).encryption or {}
    except S3ClientError:
        return None
    rule = encryption.get("Rule") or {}
    rule = rule[0] if isinstance(rule, list) else rule
    key: str | None = rule.get("ApplyServerSideEncryptionByDefault", {}).get("KMSMasterKeyID")
    return key


def _listing(response: Any) -> dict[str, str]:
    prefix = response.querystring.get("prefix", [None])[0]
    return {} if prefix is None else {"s3:prefix": prefix}


def _keys_to_delete(response: Any) -> list[str]:
    import xmltodict  # noqa: PLC0415  only bulk deletes need it

    objects = xmltodict.parse(response.body, force_list=("Object",))["Delete"]["Object"]
    return [entry["Key"] for entry in objects]
