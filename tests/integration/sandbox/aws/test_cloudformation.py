"""A change set changes in place what CloudFormation changes in place."""

import json

import pytest

from infra.stacks import Stack, Stacks
from sandbox.aws.endpoint import AwsEndpoint


def stack_of_a_key(statement_id: str) -> Stack:
    """A stack whose key has this statement in its policy; its output is the key's ARN."""
    statement = {
        "Sid": statement_id,
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    key = {"Type": "AWS::KMS::Key", "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": [statement]}}}
    template = {"Resources": {"Key": key}, "Outputs": {"KeyArn": {"Value": {"Fn::GetAtt": ["Key", "Arn"]}}}}
    return Stack("key", json.dumps(template), {}, {})


@pytest.fixture
def stacks(endpoint: AwsEndpoint) -> Stacks:
    return Stacks(endpoint.client("cloudformation"), lambda *_: None, poll_seconds=0.01)


def test_a_key_keeps_its_name_when_its_policy_changes(endpoint: AwsEndpoint, stacks: Stacks) -> None:
    stacks.deploy(stack_of_a_key("First"))
    first = stacks.outputs("key")
    stacks.deploy(stack_of_a_key("Second"))

    assert first is not None
    assert stacks.outputs("key") == first
    policy = endpoint.client("kms").get_key_policy(KeyId=first["KeyArn"], PolicyName="default")["Policy"]
    assert "Second" in str(policy)
