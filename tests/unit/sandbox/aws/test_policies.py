"""Policies say what AWS says that they say: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html"""

import json
from typing import Any

import pytest

from sandbox.aws.policies import Decision, decide

BUCKET = "arn:aws:s3:::lake"


def policy(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(action: Any, resource: Any, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


@pytest.mark.parametrize(
    ("resource", "asked", "expected"),
    [
        (f"{BUCKET}/output/*", f"{BUCKET}/output/a/b.parquet", Decision.ALLOWED),
        (f"{BUCKET}/output/*", f"{BUCKET}/output", Decision.NOT_MENTIONED),
        (f"{BUCKET}/output/*", f"{BUCKET}/output-of-others/a", Decision.NOT_MENTIONED),
        (f"{BUCKET}/a.csv", f"{BUCKET}/axcsv", Decision.NOT_MENTIONED),
        (f"{BUCKET}/?.csv", f"{BUCKET}/a.csv", Decision.ALLOWED),
        (f"{BUCKET}/batches/*/input/*", f"{BUCKET}/batches/b/curation.json", Decision.NOT_MENTIONED),
        ([f"{BUCKET}/x", f"{BUCKET}/y"], f"{BUCKET}/y", Decision.ALLOWED),
        (f"{BUCKET}/*", f"{BUCKET}/a\nb", Decision.ALLOWED),
    ],
)
def test_a_resource_matches_whole_and_by_its_wildcards(resource: Any, asked: str, expected: Decision) -> None:
    assert decide([policy(allow("s3:GetObject", resource))], "s3:GetObject", asked, {}) is expected


def test_actions_are_compared_without_case_and_never_by_their_beginning() -> None:
    document = policy(allow(["S3:getobject"], "*"))
    assert decide([document], "s3:GetObject", BUCKET, {}) is Decision.ALLOWED
    assert decide([document], "s3:GetObjectVersion", BUCKET, {}) is Decision.NOT_MENTIONED


def test_one_denial_outweighs_all_that_allow_in_whatever_document() -> None:
    denial = policy({"Effect": "Deny", "Action": "s3:*", "Resource": "*"})
    permission = policy(allow("*", "*"))
    assert decide([permission, denial], "s3:GetObject", BUCKET, {}) is Decision.DENIED
    assert decide([denial, permission], "s3:GetObject", BUCKET, {}) is Decision.DENIED


@pytest.mark.parametrize(
    ("condition", "context", "expected"),
    [
        ({"StringLike": {"s3:prefix": ["output/*"]}}, {"s3:prefix": "output/a"}, Decision.ALLOWED),
        ({"StringLike": {"s3:prefix": ["output/*"]}}, {"s3:prefix": ""}, Decision.NOT_MENTIONED),
        ({"StringLike": {"s3:prefix": ["*"]}}, {}, Decision.NOT_MENTIONED),
        ({"StringEquals": {"S3:Prefix": "a"}}, {"s3:prefix": "a"}, Decision.ALLOWED),
        ({"StringNotEquals": {"s3:prefix": "a"}}, {"s3:prefix": "a"}, Decision.NOT_MENTIONED),
        ({"Bool": {"aws:SecureTransport": False}}, {"aws:SecureTransport": "true"}, Decision.NOT_MENTIONED),
        ({"NumericLessThan": {"s3:TlsVersion": "1.2"}}, {"s3:TlsVersion": "1.1"}, Decision.ALLOWED),
        ({"StringEquals": {"a": "1"}, "StringLike": {"b": "2"}}, {"a": "1"}, Decision.NOT_MENTIONED),
    ],
)
def test_all_conditions_must_be_met_and_a_key_that_is_missing_meets_none(
    condition: dict[str, Any], context: dict[str, str], expected: Decision
) -> None:
    document = policy(allow("s3:ListBucket", BUCKET, Condition=condition))
    assert decide([document], "s3:ListBucket", BUCKET, context) is expected


def test_what_the_sandbox_cannot_judge_it_does_not_guess() -> None:
    for statement in (
        allow("*", "*", Condition={"DateLessThan": {"aws:CurrentTime": "2030-01-01"}}),
        {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"},
    ):
        with pytest.raises(NotImplementedError):
            decide([policy(statement)], "s3:GetObject", BUCKET, {})


def test_a_bucket_policy_speaks_of_those_whom_it_names() -> None:
    to_anybody = policy(allow("s3:GetObject", "*", Principal="*"))
    to_a_role = policy(allow("s3:GetObject", "*", Principal={"AWS": "arn:aws:iam::123456789012:role/one"}))
    assert decide([to_anybody], "s3:GetObject", BUCKET, {}, principal_is="*") is Decision.ALLOWED
    assert decide([to_a_role], "s3:GetObject", BUCKET, {}, principal_is="*") is Decision.NOT_MENTIONED
