"""The one thing of the warehouse that CloudFormation cannot make: the rights of the user that dbt is."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infra.stacks import DeploymentError

if TYPE_CHECKING:
    from mypy_boto3_redshift_data import RedshiftDataAPIServiceClient

ENDED = frozenset({"FINISHED", "FAILED", "ABORTED"})


@dataclass(frozen=True)
class Warehouse:
    """A database of a workgroup, by the Data API, as the administrator whose secret that is."""

    api: "RedshiftDataAPIServiceClient"
    workgroup: str
    database: str
    admin_secret_arn: str
    poll_seconds: float

    def let_in(self, role_name: str) -> None:
        """Let whoever has the IAM role make schemas; it owns what it makes, and has no other rights.

        Redshift Serverless knows an IAM role as the user `IAMR:<role>` (docs/warehouse.md). Repeating it changes nothing.

        Raises:
            DeploymentError: a statement failed.
        """
        user = f"IAMR:{role_name}"
        known = self.run(f"select 1 from pg_user where usename = '{user}'")  # noqa: S608  a role's name holds no quotes
        if self.api.get_statement_result(Id=known)["TotalNumRows"] == 0:
            self.run(f'create user "{user}" password disable')
        self.run(f'grant create on database "{self.database}" to "{user}"')

    def run(self, sql: str) -> str:
        """Run a statement to its end; returns the id by which its result is had.

        Raises:
            DeploymentError: it failed.
        """
        statement = self.api.execute_statement(
            WorkgroupName=self.workgroup, Database=self.database, SecretArn=self.admin_secret_arn, Sql=sql
        )["Id"]
        while (described := self.api.describe_statement(Id=statement))["Status"] not in ENDED:
            time.sleep(self.poll_seconds)
        if described["Status"] != "FINISHED":
            raise DeploymentError(
                f"workgroup {self.workgroup}, database {self.database}: {sql!r} failed: {described.get('Error')}. The "
                f"stacks are as they should be: mend this, and deploy again."
            )
        return statement
