"""Every request is judged: by its caller's role, or, where nobody has signed it, by the bucket's policy alone."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import ClientError

from sandbox.aws.endpoint import AwsEndpoint

ACCOUNT = "123456789012"
PLACE = f"us-east-1:{ACCOUNT}"
WORKGROUP = f"arn:aws:redshift-serverless:{PLACE}:workgroup/sandbox"
BUCKET = "judged"
PUBLIC = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": f"arn:aws:s3:::{BUCKET}/public/*",
}

# An address of AWS, the operation as the protocol names it, and what is sent.
UNSIGNED = [
    ("cloudformation", "", {"Action": "DescribeStacks", "Version": "2010-05-15"}),
    ("events", "AWSEvents.ListRules", {}),
    ("glue", "AWSGlue.GetJobs", {}),
    ("iam", "", {"Action": "ListRoles", "Version": "2010-05-08"}),
    ("kms", "TrentService.ListKeys", {}),
    ("logs", "Logs_20140328.DescribeLogGroups", {}),
    ("monitoring", "", {"Action": "ListMetrics", "Version": "2010-08-01"}),
    ("redshift", "", {"Action": "GetClusterCredentials", "DbUser": "anna", "ClusterIdentifier": "sandbox"}),
    (
        "redshift-data",
        "RedshiftData.ExecuteStatement",
        {"WorkgroupName": "sandbox", "Database": "dev", "Sql": "select"},
    ),
    ("redshift-serverless", "RedshiftServerless.GetCredentials", {"workgroupName": "sandbox"}),
    ("secretsmanager", "secretsmanager.ListSecrets", {}),
    ("sns", "", {"Action": "ListTopics", "Version": "2010-03-31"}),
    ("sts", "", {"Action": "AssumeRole", "Version": "2011-06-15", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/anybody"}),
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AwsEndpoint]:
    """An endpoint that judges, and a bucket of which one folder is public."""
    with AwsEndpoint(tmp_path_factory.mktemp("aws"), administrator="sandbox") as endpoint:
        s3 = endpoint.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        for key in ("public/page.html", "private/page.html"):
            s3.put_object(Bucket=BUCKET, Key=key, Body=b"a page")
        s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps({"Version": "2012-10-17", "Statement": [PUBLIC]}))
        yield endpoint


Somebody = Callable[..., Callable[[str], Any]]


@pytest.fixture
def somebody_who_may(judged: AwsEndpoint) -> Iterator[Somebody]:
    """Makes a role that may do this and no more, and a session of it; returns what makes its clients."""
    iam = judged.client("iam")
    made: list[str] = []

    def session(*allowed: tuple[str, str]) -> Callable[[str], Any]:
        name = f"role-{len(made)}"
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        made.append(name)
        statements = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed]
        document = json.dumps({"Version": "2012-10-17", "Statement": statements})
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=document)
        keys = judged.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
        own = boto3.Session(
            aws_access_key_id=keys["AccessKeyId"],
            aws_secret_access_key=keys["SecretAccessKey"],
            aws_session_token=keys["SessionToken"],
            region_name="us-east-1",
        )
        create: Any = own.client  # the service's name is not literal here
        return lambda service: create(service, endpoint_url=judged.url)

    yield session
    for name in made:
        iam.delete_role_policy(RoleName=name, PolicyName="all")
        iam.delete_role(RoleName=name)


@pytest.mark.parametrize(("service", "operation", "sent"), UNSIGNED, ids=[entry[0] for entry in UNSIGNED])
def test_no_service_answers_a_request_that_nobody_has_signed(
    judged: AwsEndpoint, service: str, operation: str, sent: dict[str, str]
) -> None:
    headers = {"Host": f"{service}.us-east-1.amazonaws.com"}
    if operation:
        headers |= {"X-Amz-Target": operation, "Content-Type": "application/x-amz-json-1.1"}
    nobodys = f"AWS4-HMAC-SHA256 Credential=/20240625/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"
    body = json.dumps(sent) if operation else sent

    without = requests.post(judged.url, data=body, headers=headers, timeout=30)
    empty = requests.post(judged.url, data=body, headers=headers | {"Authorization": nobodys}, timeout=30)

    assert without.status_code == 403
    assert empty.status_code in {400, 403}
    assert "MissingAuthenticationToken" in empty.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/{BUCKET}/public/page.html", 200),
        ("GET", f"/{BUCKET}/public/not-there.html", 404),
        ("GET", f"/{BUCKET}/private/page.html", 403),
        ("GET", f"/{BUCKET}/private/not-there.html", 403),
        ("GET", f"/{BUCKET}", 403),
        ("GET", "/", 403),
        ("PUT", f"/{BUCKET}/public/page.html", 403),
        ("PUT", f"/{BUCKET}/public/new.html", 403),
        ("DELETE", f"/{BUCKET}/public/page.html", 403),
        ("PUT", "/another-bucket", 403),
    ],
)
def test_of_s3_everybody_gets_what_the_buckets_policy_gives_to_everybody(
    judged: AwsEndpoint, method: str, path: str, status: int
) -> None:
    assert requests.request(method, judged.url + path, timeout=30).status_code == status


@pytest.mark.parametrize("path", ["/moto-api/reset", "/moto-api/reset-auth"])
def test_nobody_resets_the_account_by_the_emulators_own_doors(judged: AwsEndpoint, path: str) -> None:
    assert requests.post(judged.url + path, timeout=30).status_code == 403
    assert judged.client("s3").list_buckets()["Buckets"]


def test_a_signed_address_is_judged_as_its_signer(judged: AwsEndpoint, somebody_who_may: Somebody) -> None:
    reader = somebody_who_may(("s3:GetObject", f"arn:aws:s3:::{BUCKET}/private/*"))("s3")
    nobody = somebody_who_may(("s3:GetObject", "arn:aws:s3:::another/*"))("s3")

    def address(s3: Any) -> str:
        url: str = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": "private/page.html"})
        return url

    assert requests.get(address(reader), timeout=30).content == b"a page"
    assert requests.get(address(nobody), timeout=30).status_code == 403


def test_a_role_that_may_log_in_to_the_warehouse_is_the_user_of_its_name(
    somebody_who_may: Somebody,
) -> None:
    client = somebody_who_may(("redshift-serverless:GetCredentials", WORKGROUP))

    assert client("redshift-serverless").get_credentials(workgroupName="sandbox")["dbUser"] == "IAMR:role-0"


@pytest.mark.parametrize(
    ("service", "call", "arguments", "need"),
    [
        (
            "redshift-serverless",
            "get_credentials",
            {"workgroupName": "sandbox"},
            f"redshift-serverless:GetCredentials on resource: {WORKGROUP}",
        ),
        (
            "redshift-serverless",
            "get_namespace",
            {"namespaceName": "sandbox"},
            f"redshift-serverless:GetNamespace on resource: arn:aws:redshift-serverless:{PLACE}:namespace/sandbox",
        ),
        (
            "redshift-serverless",
            "create_usage_limit",
            {"resourceArn": WORKGROUP, "usageType": "serverless-compute", "amount": 1},
            f"redshift-serverless:CreateUsageLimit on resource: {WORKGROUP}",
        ),
        (
            "redshift-data",
            "execute_statement",
            {"WorkgroupName": "sandbox", "Database": "dev", "Sql": "select 1"},
            f"redshift-data:ExecuteStatement on resource: {WORKGROUP}",
        ),
        ("redshift-data", "get_statement_result", {"Id": "none"}, "redshift-data:GetStatementResult on resource: *"),
        (
            "redshift",
            "get_cluster_credentials",
            {"DbUser": "anna", "ClusterIdentifier": "sandbox"},
            f"redshift:GetClusterCredentials on resource: arn:aws:redshift:{PLACE}:dbuser:sandbox/anna",
        ),
        (
            "cloudformation",
            "describe_stacks",
            {"StackName": "theirs"},
            f"cloudformation:DescribeStacks on resource: arn:aws:cloudformation:{PLACE}:stack/theirs/*",
        ),
    ],
)
def test_a_role_may_not_call_what_its_policies_do_not_name(
    somebody_who_may: Somebody, service: str, call: str, arguments: dict[str, Any], need: str
) -> None:
    client = somebody_who_may(("s3:*", "*"))(service)

    with pytest.raises(ClientError, match="AccessDenied") as refusal:
        getattr(client, call)(**arguments)

    assert need in str(refusal.value)


def test_a_statement_with_a_secret_needs_the_right_to_read_the_secret(
    somebody_who_may: Somebody,
) -> None:
    secret = f"arn:aws:secretsmanager:{PLACE}:secret:somebodys"
    client = somebody_who_may(("redshift-data:ExecuteStatement", WORKGROUP))("redshift-data")

    with pytest.raises(ClientError, match=f"secretsmanager:GetSecretValue on resource: {secret}"):
        client.execute_statement(WorkgroupName="sandbox", Database="dev", Sql="select 1", SecretArn=secret)


def test_everybody_who_signs_may_ask_who_he_is(somebody_who_may: Callable[..., Callable[[str], Any]]) -> None:
    assert somebody_who_may(("s3:*", "*"))("sts").get_caller_identity()["Account"] == ACCOUNT


def test_a_key_that_nobody_was_given_opens_nothing(judged: AwsEndpoint) -> None:
    stranger = {"aws_access_key_id": "AKIA" + "STRANGER", "aws_secret_access_key": "none"}
    for service, call in (("s3", "list_buckets"), ("glue", "get_jobs"), ("redshift-serverless", "list_usage_limits")):
        with pytest.raises(ClientError, match=r"InvalidAccessKeyId|InvalidClientTokenId|security token"):
            getattr(judged.client(service, **stranger), call)()
