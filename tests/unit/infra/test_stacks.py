"""What a stack's state means to a deployment, and to its plan: a plan looks, and only a deployment fixes."""

import boto3
import pytest
from botocore.stub import ANY, Stubber

from infra.stacks import Change, DeploymentError, Stack, Stacks

STACK = Stack("music-streams-dev-lake", "Resources: {}", {}, {})
CHANGE_SET = "arn:aws:cloudformation:us-east-1:123456789012:changeSet/deploy-1/1"
REMAINS = ["CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"]


class Account:
    """CloudFormation that answers the expected calls in their order, and fails at any other."""

    def __init__(self) -> None:
        client = boto3.client(
            "cloudformation", region_name="us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )
        self.stub = Stubber(client)
        self.said: list[str] = []
        self.stacks = Stacks(client, lambda *words: self.said.append(" ".join(words)), poll_seconds=0)
        self.stub.activate()

    def describes(self, status: str | None, reason: str = "") -> None:
        """A look at the stack finds this; None: there is none."""
        if status is None:
            self.stub.add_client_error("describe_stacks", "ValidationError", f"Stack {STACK.name} does not exist")
            return
        stack = {"StackName": STACK.name, "StackId": "id", "StackStatus": status, "CreationTime": "2024-06-25"}
        self.stub.add_response("describe_stacks", {"Stacks": [stack | {"StackStatusReason": reason}]})

    def makes_change_set(self, kind: str, *, is_executed: bool) -> None:
        """A change set is made and looked at, and deleted unless executed."""
        named = {"ChangeSetName": CHANGE_SET, "StackName": STACK.name}
        details = {"ResourceType": "AWS::S3::Bucket", "LogicalResourceId": "Bucket", "Action": "Modify"}
        described = {
            "Status": "CREATE_COMPLETE",
            "ExecutionStatus": "AVAILABLE",
            "Changes": [{"Type": "Resource", "ResourceChange": details}],
        }
        asked = {
            "StackName": STACK.name,
            "ChangeSetName": ANY,
            "ChangeSetType": kind,
            "TemplateBody": STACK.template,
            "Parameters": [],
            "Tags": [],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }
        self.stub.add_response("create_change_set", {"Id": CHANGE_SET, "StackId": "id"}, asked)
        for _ in range(2):
            self.stub.add_response("describe_change_set", described, named)
        if is_executed:
            self.tells_no_events()
            self.stub.add_response("execute_change_set", {}, named)
            self.describes("CREATE_COMPLETE")
            self.tells_no_events()
            self.stub.add_response("describe_change_set", described | {"ExecutionStatus": "EXECUTE_COMPLETE"}, named)
        else:
            self.stub.add_response("describe_change_set", described, named)
            self.stub.add_response("delete_change_set", {}, named)

    def tells_no_events(self) -> None:
        """Nothing new about the stack's resources."""
        self.stub.add_response("describe_stack_events", {"StackEvents": []})


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.mark.parametrize("status", REMAINS)
def test_a_look_at_what_is_left_of_a_stack_deletes_nothing_and_says_what_a_deployment_would_do(
    account: Account, status: str
) -> None:
    account.describes(status)

    standing = account.stacks.standing(STACK.name)

    account.stub.assert_no_pending_responses()
    assert (standing.is_to_be_created, standing.is_usable) == (True, False)
    assert standing.words.startswith(f"{status}: ")
    assert standing.words.endswith("so what is left of it is deleted, then it is made anew")


@pytest.mark.parametrize("status", REMAINS)
def test_a_deployment_deletes_what_is_left_of_a_stack_says_so_and_makes_it_anew(account: Account, status: str) -> None:
    account.describes(status)
    account.describes(status)
    account.tells_no_events()
    account.stub.add_response("delete_stack", {}, {"StackName": STACK.name})
    account.describes("DELETE_COMPLETE")
    account.tells_no_events()
    account.makes_change_set("CREATE", is_executed=True)

    assert account.stacks.deploy(STACK)

    account.stub.assert_no_pending_responses()
    assert [line for line in account.said if status in line and "made anew" in line]


def test_a_stack_whose_deletion_failed_is_not_called_one_that_never_was(account: Account) -> None:
    account.describes("DELETE_FAILED")

    assert account.stacks.standing(STACK.name).words.startswith("DELETE_FAILED: somebody began to delete it")


@pytest.mark.parametrize("status", [None, "REVIEW_IN_PROGRESS"])
def test_a_stack_that_is_not_there_needs_no_words(account: Account, status: str | None) -> None:
    account.describes(status)

    standing = account.stacks.standing(STACK.name)

    assert (standing.is_to_be_created, standing.words) == (True, "")


def test_the_plan_of_a_stack_makes_a_change_set_and_deletes_it(account: Account) -> None:
    account.makes_change_set("UPDATE", is_executed=False)

    assert account.stacks.plan(STACK) == [Change("Modify", "Bucket", "AWS::S3::Bucket")]

    account.stub.assert_no_pending_responses()


def test_a_stack_that_cannot_go_back_is_left_alone_and_the_way_out_is_named(account: Account) -> None:
    account.describes("UPDATE_ROLLBACK_FAILED", "Bucket is not empty")

    with pytest.raises(DeploymentError) as refusal:
        account.stacks.deploy(STACK)

    account.stub.assert_no_pending_responses()
    assert "is UPDATE_ROLLBACK_FAILED (Bucket is not empty)" in str(refusal.value)
    assert f"`aws cloudformation continue-update-rollback --stack-name {STACK.name}`" in str(refusal.value)


def test_a_stack_that_another_deployment_works_on_is_waited_for(account: Account) -> None:
    account.describes("UPDATE_IN_PROGRESS")
    account.describes("UPDATE_COMPLETE")

    assert account.stacks.standing(STACK.name).is_usable
    assert "waiting" in account.said[0]
