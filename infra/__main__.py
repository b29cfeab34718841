"""`python -m infra deploy|plan|destroy`: the command behind `make deploy`, `deploy-plan` and `destroy`.

make passes the stage, and the permission to delete data, in the environment.
"""

import argparse
import os
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from infra import glue_archive, glue_wheels
from infra.bundle import BundleError
from infra.deployment import Deployment, Plan, Stage
from infra.glue_wheels import WheelError
from infra.stacks import DeploymentError

POLL_SECONDS = 3.0
COLORS = {"FAILED": "red", "ROLLBACK": "red", "COMPLETE": "green", "UNCHANGED": "dim", "PROGRESS": "yellow"}


def main() -> int:
    """Run the command; return the exit status, which is 0 only if everything succeeded."""
    parser = argparse.ArgumentParser(prog="python -m infra")
    parser.add_argument("command", choices=["deploy", "plan", "destroy"])
    options = parser.parse_args()
    console = Console(highlight=False)
    try:
        stage = Stage.read(os.environ.get("MUSIC_STREAMS_ARGUMENT_STAGE", ""))
        session = boto3.Session()
        account = session.client("sts", region_name=_region(session)).get_caller_identity()
        console.print(f"Stage [b]{stage.name}[/b] in account {account['Account']}, {session.region_name}")
        client: Any = session.client  # the stubs accept only literal service names
        deployment = Deployment(stage, client, glue_release, Progress(console).report, _poll_seconds())
        if options.command == "deploy":
            _deploy(deployment, console)
        elif options.command == "plan":
            _plan(deployment, console)
        else:
            _destroy(deployment, stage.name, console)
    except (DeploymentError, BundleError, WheelError, BotoCoreError, ClientError) as error:
        Console(stderr=True, highlight=False).print(f"[red]error:[/red] {error}", markup=True, soft_wrap=True)
        return 1
    return 0


def glue_release() -> glue_archive.GlueRelease:
    """Build the code of the Glue jobs, with the wheels that they need on Glue."""
    return glue_archive.build(glue_wheels.fetch())


class Progress:
    """Prints a line for each state that a resource reaches."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def report(self, stack: str, resource: str, state: str, reason: str) -> None:
        """See `Stacks`."""
        color = next((color for word, color in COLORS.items() if word in state), "default")
        self._console.print(f"{stack:36} [{color}]{state:30}[/] {resource} [dim]{reason or ''}[/]", soft_wrap=True)


def _region(session: boto3.Session) -> str:
    if session.region_name is None:
        raise DeploymentError("no Region: set AWS_REGION, or `region` in the AWS profile that you use")
    return session.region_name


def _deploy(deployment: Deployment, console: Console) -> None:
    outputs = deployment.deploy()
    table = Table("what", "where", show_header=False)
    table.add_row("land the files at", f"s3://{outputs['BucketName']}/music_streams/")
    table.add_row("Airflow", f"https://{outputs['WebserverUrl']}")
    table.add_row("warehouse", f"{outputs['WarehouseHost']}, database {outputs['WarehouseDatabase']}")
    table.add_row("alerts", outputs["AlertTopicArn"])
    table.add_row("dashboard", outputs["DashboardUrl"])
    console.print(table)


def _plan(deployment: Deployment, console: Console) -> None:
    for plan in deployment.plan():
        state = plan.note or ("" if _has_changes(plan) else "unchanged")
        console.print(f"[b]{plan.name}[/b]{': ' if state else ''}{state}", soft_wrap=True)
        for change in plan.changes:
            what = "Replace" if change.is_replaced else change.action
            condition = f" if {change.condition}" if change.condition else ""
            console.print(f"  {what:8} {change.resource} ({change.kind}){condition}")
        if plan.code:
            for name in plan.code.to_upload:
                console.print(f"  Upload   {name}")
            for name in plan.code.to_delete:
                console.print(f"  Delete   {name}")


def _has_changes(plan: Plan) -> bool:
    return bool(plan.changes or (plan.code and (plan.code.to_upload or plan.code.to_delete)))


def _destroy(deployment: Deployment, stage: str, console: Console) -> None:
    console.print(f"This deletes the stacks of stage [b]{stage}[/b]: warehouse, Airflow with its history, bucket, key.")
    answer = console.input("Type the stage's name to go on: ").strip()
    if answer != stage:
        raise DeploymentError(f"{answer!r} is not {stage!r}: nothing was deleted")
    deployment.destroy(with_contents=os.environ.get("MUSIC_STREAMS_ARGUMENT_DELETE_DATA") == "yes")


def _poll_seconds() -> float:
    """Return the pause between polls: short for the emulated AWS on this machine, whose stacks are ready at once."""
    return 0.05 if "AWS_ENDPOINT_URL" in os.environ else POLL_SECONDS


if __name__ == "__main__":
    sys.exit(main())
