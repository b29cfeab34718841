"""A change set changes in place what CloudFormation changes in place."""

import json

import pytest

from infra.stacks import DeploymentError, Stack, Stacks
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


def stack_of_a_policy(action: str) -> Stack:
    """A stack whose managed policy allows this; its output is the policy's ARN."""
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}
    properties = {"ManagedPolicyName": "readers", "PolicyDocument": document}
    policy = {"Type": "AWS::IAM::ManagedPolicy", "Properties": properties}
    template = {"Resources": {"Policy": policy}, "Outputs": {"PolicyArn": {"Value": {"Ref": "Policy"}}}}
    return Stack("policy", json.dumps(template), {}, {})


def test_a_managed_policy_keeps_its_name_when_it_changes_and_goes_with_its_stack(
    endpoint: AwsEndpoint, stacks: Stacks
) -> None:
    iam = endpoint.client("iam")
    stacks.deploy(stack_of_a_policy("s3:GetObject"))
    for action in ("s3:ListBucket", "s3:PutObject"):
        stacks.deploy(stack_of_a_policy(action))
    arn = (stacks.outputs("policy") or {})["PolicyArn"]

    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    assert document["Statement"][0]["Action"] == "s3:PutObject"
    stacks.delete("policy")
    assert iam.list_policies(Scope="Local")["Policies"] == []


def test_a_resource_that_the_sandbox_cannot_change_is_named_and_stays(endpoint: AwsEndpoint, stacks: Stacks) -> None:
    def stack(days: int) -> Stack:
        group = {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": "jobs", "RetentionInDays": days}}
        return Stack("logs", json.dumps({"Resources": {"Group": group}}), {}, {})

    stacks.deploy(stack(7))
    with pytest.raises(DeploymentError, match="AWS::Logs::LogGroup in place"):
        stacks.deploy(stack(14))

    (group,) = endpoint.client("logs").describe_log_groups(logGroupNamePrefix="jobs")["logGroups"]
    assert group["retentionInDays"] == 7
