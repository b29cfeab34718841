"""Set up the parts of the warehouse that CloudFormation cannot: the usage limit, and the rights of dbt's user."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.stacks import DeploymentError

ENDED = frozenset({"FINISHED", "FAILED", "ABORTED"})
COMPUTE = "serverless-compute"


@dataclass(frozen=True)
class Warehouse:
    """A workgroup of Redshift Serverless, its namespace and database.

    Attributes:
        client: makes a boto3 client of a service.
        poll_seconds: seconds between two polls of a running statement.
    """

    client: Callable[[str], Any]
    workgroup: str
    workgroup_arn: str
    namespace: str
    database: str
    poll_seconds: float

    def limit_usage(self, rpu_hours_a_day: int) -> None:
        """Make the warehouse refuse queries for the rest of a day once this usage is reached; 0 for no limit."""
        serverless = self.client("redshift-serverless")
        limits = serverless.list_usage_limits(resourceArn=self.workgroup_arn, usageType=COMPUTE)["usageLimits"]
        wanted = {"amount": rpu_hours_a_day, "breachAction": "deactivate"}
        for limit in limits:
            if rpu_hours_a_day == 0 or limit["period"] != "daily":
                serverless.delete_usage_limit(usageLimitId=limit["usageLimitId"])
            elif {key: limit[key] for key in wanted} != wanted:
                serverless.update_usage_limit(usageLimitId=limit["usageLimitId"], **wanted)
        if rpu_hours_a_day and not any(limit["period"] == "daily" for limit in limits):
            serverless.create_usage_limit(resourceArn=self.workgroup_arn, usageType=COMPUTE, period="daily", **wanted)

    def let_in(self, role_name: str, *, statement_minutes: int, session_minutes: int) -> None:
        """Give the IAM role the right to create schemas; it owns what it creates, and has no other rights.

        Redshift Serverless maps an IAM role to the user `IAMR:<role>` (docs/warehouse.md). Redshift ends the user's
        statements after `statement_minutes`, and its sessions after `session_minutes` of idling, since a session that a
        lost worker has left behind may hold a lock. The call is idempotent.

        Raises:
            DeploymentError: a statement failed.
        """
        namespace = self.client("redshift-serverless").get_namespace(namespaceName=self.namespace)["namespace"]
        administrator, user = namespace["adminPasswordSecretArn"], f"IAMR:{role_name}"
        # By default Redshift folds names to lower case, even quoted ones.
        known = self._rows(f"select usename from pg_user where lower(usename) = lower('{user}')", administrator)  # noqa: S608
        if not known:
            self._run(f'create user "{user}" password disable', administrator)
        self._run(f'grant create on database "{self.database}" to "{user}"', administrator)
        self._run(f'alter user "{user}" set statement_timeout to {statement_minutes * 60_000}', administrator)
        self._run(f'alter user "{user}" session timeout {session_minutes * 60}', administrator)

    def _rows(self, sql: str, secret_arn: str) -> list[Any]:
        statement = self._run(sql, secret_arn)
        rows: list[Any] = self.client("redshift-data").get_statement_result(Id=statement)["Records"]
        return rows

    def _run(self, sql: str, secret_arn: str) -> str:
        """Run a statement to its end, and return the id by which its result can be fetched."""
        api = self.client("redshift-data")
        statement: str = api.execute_statement(
            WorkgroupName=self.workgroup, Database=self.database, SecretArn=secret_arn, Sql=sql
        )["Id"]
        while (described := api.describe_statement(Id=statement))["Status"] not in ENDED:
            time.sleep(self.poll_seconds)
        if described["Status"] != "FINISHED":
            raise DeploymentError(
                f"workgroup {self.workgroup}, database {self.database}: {sql!r} failed: {described.get('Error')}. The "
                f"stacks are as they should be: fix this, and deploy again."
            )
        return statement
