"""An account to deploy to: the AWS endpoint, with a warehouse behind it, and the command line on it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.aws.endpoint import AwsEndpoint
from sandbox.redshift.warehouse import Warehouse

REPOSITORY = Path(__file__).resolve().parents[3]
PASSWORD = "Of-the-tests-0"


@dataclass(frozen=True)
class Account:
    """An account, and who deploys to it."""

    endpoint: AwsEndpoint
    environment: dict[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of the account."""
        return self.endpoint.client(service)

    def acting_as(self, role: str) -> "Account":
        """The same account, for somebody who has assumed the role."""
        arn = f"arn:aws:iam::123456789012:role/{role}"
        session = self.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        variables = {
            "AWS_ACCESS_KEY_ID": session["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": session["SecretAccessKey"],
            "AWS_SESSION_TOKEN": session["SessionToken"],
        }
        return Account(self.endpoint, self.environment | variables)

    def run(self, command: str, stage: str = "dev", *, answer: str = "", delete_data: str = "") -> tuple[int, str]:
        """What `make deploy`, `deploy-plan` and `destroy` run; returns exit status and all that was said."""
        done = subprocess.run(
            [sys.executable, "-m", "infra", command],
            input=answer,
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            env=self.environment
            | {"MUSIC_STREAMS_ARGUMENT_STAGE": stage, "MUSIC_STREAMS_ARGUMENT_DELETE_DATA": delete_data},
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def stacks(self) -> dict[str, str]:
        """The stacks there are, and their states."""
        found = self.client("cloudformation").describe_stacks()["Stacks"]
        return {stack["StackName"]: stack["StackStatus"] for stack in found}


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """Empty at first."""
    with (
        Warehouse(tmp_path_factory.mktemp("warehouse"), 0, PASSWORD) as warehouse,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name, value in {"REDSHIFT_PORT": str(warehouse.port), "REDSHIFT_PASSWORD": PASSWORD}.items():
            patch.setenv(name, value)
        with AwsEndpoint(tmp_path_factory.mktemp("aws"), administrator="sandbox") as endpoint:
            variables = os.environ | endpoint.environment() | {"PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'dags'}"}
            yield Account(endpoint, variables | {"COLUMNS": "200"})
