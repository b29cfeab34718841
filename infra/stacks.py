"""Deploy CloudFormation stacks one at a time: make change sets, report progress, and explain failures in words."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict
from uuid import uuid4

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_cloudformation.type_defs import StackEventTypeDef, StackTypeDef

# Stack states: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html
USABLE = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"})
EMPTY = "REVIEW_IN_PROGRESS"  # the stack has a change set that was never executed
REMAINS = {  # states in which CloudFormation only allows a stack to be deleted, and how a stack came into them
    "CREATE_FAILED": "it was never whole",
    "ROLLBACK_COMPLETE": "it was never whole",
    "ROLLBACK_FAILED": "it was never whole",
    "DELETE_FAILED": "somebody began to delete it",
}
NOTHING_TO_CHANGE = ("didn't contain changes", "No updates are to be performed")

Report = Callable[[str, str, str, str], None]


class DeploymentError(Exception):
    """A deployment failed; the message holds the failure, its place and the remedy."""


@dataclass(frozen=True)
class Change:
    """A deployment's change to one resource: Add, Modify or Remove.

    Attributes:
        is_replaced: whether the resource is replaced by a new one.
        condition: the template's condition for the resource; empty if it has none.
    """

    action: str
    resource: str
    kind: str
    is_replaced: bool = False
    condition: str = ""


@dataclass(frozen=True)
class Standing:
    """The state of a stack that no operation is changing at present.

    Attributes:
        name: the stack's name.
        status: CloudFormation's status; None if the stack does not exist.
        reason: CloudFormation's reason for the status.
    """

    name: str
    status: str | None
    reason: str = ""

    @property
    def is_usable(self) -> bool:
        """Whether the stack exists and can be updated."""
        return self.status in USABLE

    @property
    def is_to_be_created(self) -> bool:
        """Whether a deployment creates the stack, after deleting the remains of an earlier one if there are any."""
        return self.status in {None, EMPTY} or self.leaves_remains

    @property
    def leaves_remains(self) -> bool:
        """Whether a deployment must delete the remains of the stack first."""
        return self.status in REMAINS

    @property
    def words(self) -> str:
        """Return a remark on an unusual state and its consequence; empty for a usual state."""
        if self.leaves_remains:
            return f"{self.status}: {REMAINS[str(self.status)]}, so what is left of it is deleted, then it is made anew"
        if self.is_usable or self.is_to_be_created:
            return ""
        return (
            f"stack {self.name} is {self.status} ({self.reason or 'no reason given'}): fix what the reason names, run "
            f"`aws cloudformation continue-update-rollback --stack-name {self.name}`, then deploy again"
        )


class ChangeSet(TypedDict):
    """The arguments of boto3's calls that name a change set."""

    ChangeSetName: str
    StackName: str


@dataclass(frozen=True)
class Stack:
    """The desired state of a stack."""

    name: str
    template: str
    parameters: Mapping[str, str]
    tags: Mapping[str, str]


class Stacks:
    """The stacks of an account and Region.

    Args:
        cloudformation: boto3's client.
        report: called for each resource that changes its state, with stack, resource, state and reason.
        poll_seconds: seconds between two polls of a stack that is changing.
    """

    def __init__(self, cloudformation: "CloudFormationClient", report: Report, poll_seconds: float = 3) -> None:
        self._cloudformation = cloudformation
        self._report = report
        self._poll_seconds = poll_seconds

    def outputs(self, name: str) -> dict[str, str] | None:
        """Return the stack's outputs; None if no usable stack has this name."""
        stack = self._described(name)
        if stack is None or stack["StackStatus"] not in USABLE:
            return None
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    def standing(self, name: str) -> Standing:
        """Return the state of the stack; wait until an operation under way has ended."""
        stack = self._described(name)
        while stack and stack["StackStatus"].endswith("_IN_PROGRESS") and stack["StackStatus"] != EMPTY:
            self._report(name, name, stack["StackStatus"], "another deployment is at work: waiting")
            time.sleep(self._poll_seconds)
            stack = self._described(name)
        if stack is None:
            return Standing(name, None, "")
        return Standing(name, stack["StackStatus"], stack.get("StackStatusReason", ""))

    def plan(self, stack: Stack) -> list[Change]:
        """Return the changes that `deploy` would make to a usable stack, by making and deleting a change set."""
        with self._change_set(stack, kind="UPDATE") as (_, changes):
            return changes

    def deploy(self, stack: Stack) -> bool:
        """Create the stack, or bring it up to date; return whether anything had to change.

        Raises:
            DeploymentError: a resource failed, and CloudFormation undid the change.
        """
        standing = self.standing(stack.name)
        if standing.leaves_remains:
            self._report(stack.name, stack.name, str(standing.status), standing.words)
            self.delete(stack.name)
        elif standing.words:
            raise DeploymentError(standing.words)
        with self._change_set(stack, kind="UPDATE" if standing.is_usable else "CREATE") as (change_set, _):
            if change_set is None:
                return False
            seen = {event["EventId"] for event in self._events(stack.name)}
            self._cloudformation.execute_change_set(ChangeSetName=change_set, StackName=stack.name)
            self._follow(stack.name, seen, wanted={"CREATE_COMPLETE", "UPDATE_COMPLETE"})
        return True

    def delete(self, name: str) -> None:
        """Delete the stack, if it exists.

        Raises:
            DeploymentError: a resource could not be deleted.
        """
        stack = self._described(name)
        if stack is None:
            return
        seen = {event["EventId"] for event in self._events(name)}
        self._cloudformation.delete_stack(StackName=name)
        self._follow(stack.get("StackId", name), seen, wanted={"DELETE_COMPLETE"})

    def _described(self, name: str) -> "StackTypeDef | None":
        try:
            return self._cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError" and "does not exist" in str(error):
                return None
            raise

    @contextmanager
    def _change_set(
        self, stack: Stack, *, kind: Literal["CREATE", "UPDATE"]
    ) -> Iterator[tuple[str | None, list[Change]]]:
        """Make a change set; yield its id (None if nothing changes) and its changes; delete it unless executed."""
        change_set = self._cloudformation.create_change_set(
            StackName=stack.name,
            ChangeSetName=f"deploy-{uuid4().hex[:12]}",
            ChangeSetType=kind,
            TemplateBody=stack.template,
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value} for name, value in sorted(stack.parameters.items())
            ],
            Tags=[{"Key": name, "Value": value} for name, value in sorted(stack.tags.items())],
            Capabilities=["CAPABILITY_NAMED_IAM"],
        )["Id"]
        named: ChangeSet = {"ChangeSetName": change_set, "StackName": stack.name}  # IAM checks the stack's name
        try:
            described = self._cloudformation.describe_change_set(**named)
            while described["Status"] in {"CREATE_PENDING", "CREATE_IN_PROGRESS"}:
                time.sleep(self._poll_seconds)
                described = self._cloudformation.describe_change_set(**named)
            if described["Status"] == "CREATE_COMPLETE":
                yield change_set, list(self._changes(named))
                return
            reason = described.get("StatusReason", "")
            if not any(phrase in reason for phrase in NOTHING_TO_CHANGE):
                raise DeploymentError(f"stack {stack.name}: CloudFormation refuses the change: {reason}")
            yield None, []
        finally:
            if not self._is_executed(named):
                self._cloudformation.delete_change_set(**named)

    def _is_executed(self, named: ChangeSet) -> bool:
        try:
            described = self._cloudformation.describe_change_set(**named)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"ChangeSetNotFound", "ValidationError"}:
                return True  # AWS deletes executed change sets
            raise
        return described["ExecutionStatus"].startswith("EXECUTE")

    def _changes(self, named: ChangeSet) -> Iterator[Change]:
        pages = self._cloudformation.get_paginator("describe_change_set").paginate(**named)
        for change in (change["ResourceChange"] for page in pages for change in page["Changes"]):
            yield Change(
                action=change["Action"],
                resource=change["LogicalResourceId"],
                kind=change["ResourceType"],
                is_replaced=change.get("Replacement") == "True",
            )

    def _follow(self, name: str, seen: set[str], *, wanted: set[str]) -> None:
        """Report the stack's events until it reaches a final state."""
        failed: list[StackEventTypeDef] = []
        while True:
            stack = self._described(name)
            for event in reversed(self._events(name)):
                if event["EventId"] not in seen:
                    seen.add(event["EventId"])
                    state, resource = event.get("ResourceStatus", ""), event.get("LogicalResourceId", "")
                    self._report(event["StackName"], resource, state, event.get("ResourceStatusReason", ""))
                    if state.endswith("_FAILED"):
                        failed.append(event)
            status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
            if status in wanted:
                return
            if not status.endswith("_IN_PROGRESS"):
                raise DeploymentError(_failure(name, status, failed))
            time.sleep(self._poll_seconds)

    def _events(self, name: str) -> "list[StackEventTypeDef]":
        """Return the latest events, newest first."""
        try:
            return self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ValidationError":
                return []  # the stack is gone, or does not exist yet
            raise


def _failure(name: str, status: str, failed: "list[StackEventTypeDef]") -> str:
    causes = [event for event in failed if "cancelled" not in event.get("ResourceStatusReason", "")]
    lines = [
        f"  {event['LogicalResourceId']} ({event.get('ResourceType')}): {event.get('ResourceStatusReason')}"
        for event in causes
    ]
    head = f"stack {name} is {status}, since CloudFormation failed at:"
    return "\n".join([head, *lines, "Fix it and deploy again."])
