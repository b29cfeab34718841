"""Deploy, plan and destroy a whole stage: its stacks in order, and the code uploaded between them."""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from contract import layout, variables
from infra import bundle
from infra.glue_archive import GlueRelease
from infra.stacks import Change, DeploymentError, Report, Stack, Stacks
from infra.uploads import Differences, Folder, read, upload, upload_missing
from infra.warehouse_setup import Warehouse

TEMPLATES = Path(__file__).with_name("templates")
STAGES = Path(__file__).with_name("stages")
PARTS = ("network", "lake", "events", "warehouse", "alerts", "airflow")  # each may need outputs of earlier ones

OBJECTS_PER_DELETION = 1000
NOT_YET = "known-when-uploaded"  # in a plan: the S3 version of a changed file, known only after its upload


@dataclass(frozen=True)
class Stage:
    """A stage: its name, and for each stack the parameters that differ from the template's defaults."""

    name: str
    parameters: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, name: str) -> "Stage":
        """Read the stage from its file in `infra/stages`.

        Raises:
            DeploymentError: there is no such file.
        """
        file = STAGES / f"{name}.toml"
        known = sorted(file.stem for file in STAGES.glob("*.toml"))
        if name not in known:
            raise DeploymentError(
                f"there is no stage {name!r}: give one of {', '.join(known)}, as in STAGE={known[0]}, or add a file to "
                f"infra/stages"
            )
        tables = tomllib.loads(file.read_text())
        if unknown := sorted(tables.keys() - set(PARTS)):
            raise DeploymentError(f"{file.name}: {', '.join(unknown)} is no stack; the stacks are {', '.join(PARTS)}")
        return cls(name, {part: {key: str(value) for key, value in table.items()} for part, table in tables.items()})


@dataclass(frozen=True)
class Plan:
    """The changes that a deployment would make to one stack, or to the code in the bucket.

    Attributes:
        name: the name of the stack, or of the uploaded code.
        changes: the changes of its resources.
        code: the files that would be uploaded or deleted.
        note: an unusual state of the stack, with the deployment's way of handling it, or the reason why it cannot.
    """

    name: str
    changes: list[Change]
    code: Differences | None = None
    note: str = ""


class Deployment:
    """A stage in the account and Region that boto3 finds.

    Args:
        stage: the stage to deploy.
        client: makes a boto3 client of a service.
        glue_release: builds the code of the Glue jobs.
        report: see `Stacks`.
        poll_seconds: seconds between two polls of a change under way.
    """

    def __init__(
        self,
        stage: Stage,
        client: Callable[[str], Any],
        glue_release: Callable[[], GlueRelease],
        report: Report,
        poll_seconds: float = 3,
    ) -> None:
        self._stage = stage
        self._client = client
        self._glue_release = glue_release
        self._poll_seconds = poll_seconds
        self._report = report
        self._outputs: dict[str, str] = {}

    @cached_property
    def _stacks(self) -> Stacks:
        return Stacks(self._client("cloudformation"), self._report, self._poll_seconds)

    @cached_property
    def _s3(self) -> Any:
        return self._client("s3")

    def deploy(self) -> dict[str, str]:
        """Create the stage, or bring it up to date; return the outputs of all stacks.

        Raises:
            DeploymentError: a step failed; the steps before it stay done, and deploying again continues from there.
        """
        self.deploy_stack("network")
        self.deploy_lake()
        self.deploy_stack("events")
        self.deploy_stack("warehouse")
        self.deploy_stack("alerts")
        self.deploy_stack("airflow", self._upload_airflow())
        warehouse = Warehouse(
            client=cache(self._client),
            workgroup=self._outputs["WorkgroupName"],
            workgroup_arn=self._outputs["WorkgroupArn"],
            namespace=self._outputs["NamespaceName"],
            database=self._outputs["WarehouseDatabase"],
            poll_seconds=self._poll_seconds,
        )
        warehouse.limit_usage(int(self._outputs["UsageLimitRpuHours"]))
        warehouse.let_in(
            self._outputs["AirflowRoleName"],
            statement_minutes=int(self._outputs["StatementTimeoutMinutes"]),
            session_minutes=int(self._outputs["SessionTimeoutMinutes"]),
        )
        return self._outputs

    def deploy_lake(self) -> None:
        """Deploy the lake's stack; upload the jobs' code before the jobs refer to it."""
        release = self._glue_release()
        if bucket := (self._stacks.outputs(self.stack_name("lake")) or {}).get("BucketName"):
            upload_missing(self._s3, bucket, release.objects)
        self.deploy_stack("lake", {"GlueRelease": release.name})
        upload_missing(self._s3, self._outputs["BucketName"], release.objects)

    def deploy_stack(self, part: str, facts: Mapping[str, str] | None = None) -> None:
        """Deploy one stack; `facts` are parameters that only the deployment knows."""
        stack = self._stack(part, facts or {})
        if not self._stacks.deploy(stack):
            self._report(stack.name, stack.name, "UNCHANGED", "")
        self._outputs |= self._stacks.outputs(stack.name) or {}

    def plan(self) -> Iterator[Plan]:
        """Yield the changes that `deploy` would make, stack by stack, without making them.

        For a stack that does not exist, the plan lists all resources of its template as added: CloudFormation would
        need an empty stack for a change set, which would have to be created and deleted.
        """
        release = self._glue_release()
        for part in PARTS:
            facts: dict[str, str] = {}
            bucket = self._outputs.get("BucketName")
            if part == "lake":
                facts["GlueRelease"] = release.name
            if part == "airflow":
                yield from self._plan_of_dags(bucket)
                facts |= self._versions_as_they_are(bucket)
            yield self._plan_of_stack(part, facts)
            self._outputs |= self._stacks.outputs(self.stack_name(part)) or {}

    def destroy(self, *, with_contents: bool) -> None:
        """Delete all stacks, the last first.

        Raises:
            DeploymentError: the bucket holds data and `with_contents` is false (then nothing is deleted), or a deletion
                failed.
        """
        bucket = (self._stacks.outputs(self.stack_name("lake")) or {}).get("BucketName")
        if bucket and not with_contents and next(self._versions(bucket, f"{layout.ROOT}/"), None):
            raise DeploymentError(
                f"s3://{bucket}/{layout.ROOT}/ holds data, or old versions of some: save what you need, then say that "
                f"it may go with DELETE_DATA=yes. Nothing was deleted."
            )
        for part in reversed(PARTS):
            if part == "lake" and bucket:
                self._empty(bucket)
            self._stacks.delete(self.stack_name(part))

    def stack_name(self, part: str) -> str:
        """Return the stack's name, `music-streams-<stage>-<part>`."""
        return f"music-streams-{self._stage.name}-{part}"

    def _chosen_parameters(self, part: str) -> Mapping[str, str]:
        chosen = self._stage.parameters.get(part, {})
        if unknown := sorted(chosen.keys() - template_parameters(_template(part)).keys()):
            raise DeploymentError(f"stage {self._stage.name}: {part}.yaml has no parameter {', '.join(unknown)}")
        return chosen

    def _stack(self, part: str, facts: Mapping[str, str]) -> Stack:
        template, chosen = _template(part), self._chosen_parameters(part)
        declared = template_parameters(template)
        values = {**self._outputs, **facts, **chosen, "Stage": self._stage.name}
        if missing := sorted(name for name, default in declared.items() if default is None and name not in values):
            raise DeploymentError(
                f"stack {self.stack_name(part)}: nothing gives {', '.join(missing)}; deploy the stacks before it "
                f"({', '.join(PARTS[: PARTS.index(part)])}), or set it in infra/stages/{self._stage.name}.toml"
            )
        parameters = {name: values[name] for name in declared if name in values}
        tags = {"Project": "music-streams", "Stage": self._stage.name}
        return Stack(self.stack_name(part), template, parameters, tags)

    def _plan_of_stack(self, part: str, facts: Mapping[str, str]) -> Plan:
        standing = self._stacks.standing(self.stack_name(part))
        self._chosen_parameters(part)  # to report a misspelled parameter now, not when the stack is made
        if standing.is_usable:
            return Plan(standing.name, self._stacks.plan(self._stack(part, facts)))
        additions = template_resources(_template(part)) if standing.is_to_be_created else []
        return Plan(standing.name, additions, note=standing.words)

    def _plan_of_dags(self, bucket: str | None) -> Iterator[Plan]:
        with TemporaryDirectory() as made:
            bundle.build_dags(Path(made))
            files = sorted(str(file.relative_to(made)) for file in Path(made).rglob("*") if file.is_file())
            differences = Differences(files, [])
            if bucket:
                differences = Folder(self._s3, bucket, bundle.DAGS, Path(made)).differences()
            yield Plan(bundle.DAGS, [], differences)

    def _versions_as_they_are(self, bucket: str | None) -> dict[str, str]:
        wanted = {"RequirementsVersion": (bundle.REQUIREMENTS, bundle.requirements)}
        wanted["StartupScriptVersion"] = (bundle.STARTUP_SCRIPT, self._startup_script)
        versions = {}
        for parameter, (key, content) in wanted.items():
            if not bucket or not self._is_deployed("warehouse", "alerts"):
                continue
            unchanged = read(self._s3, bucket, key) == content().encode()
            versions[parameter] = self._s3.head_object(Bucket=bucket, Key=key)["VersionId"] if unchanged else NOT_YET
        return versions

    def _is_deployed(self, *parts: str) -> bool:
        return all(self._stacks.outputs(self.stack_name(part)) is not None for part in parts)

    def _upload_airflow(self) -> dict[str, str]:
        bucket = self._outputs["BucketName"]
        with TemporaryDirectory() as made:
            bundle.build_dags(Path(made))
            Folder(self._s3, bucket, bundle.DAGS, Path(made)).mirror()
        script = self._startup_script().encode()
        return {
            "RequirementsVersion": upload(self._s3, bucket, bundle.REQUIREMENTS, bundle.requirements().encode()),
            "StartupScriptVersion": upload(self._s3, bucket, bundle.STARTUP_SCRIPT, script),
        }

    def _startup_script(self) -> str:
        return bundle.startup_script(dag_variables(self._stage.name, self._outputs))

    def _versions(self, bucket: str, prefix: str = "") -> Iterator[dict[str, str]]:
        pages = self._s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
        for page in pages:
            for version in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]:
                yield {"Key": version["Key"], "VersionId": version["VersionId"]}

    def _empty(self, bucket: str) -> None:
        batch: list[dict[str, str]] = []
        for version in self._versions(bucket):
            batch.append(version)
            if len(batch) == OBJECTS_PER_DELETION:
                self._delete(bucket, batch)
                batch = []
        self._delete(bucket, batch)

    def _delete(self, bucket: str, versions: list[dict[str, str]]) -> None:
        if not versions:
            return
        self._report(self.stack_name("lake"), bucket, "EMPTYING", f"{len(versions)} object versions")
        answer = self._s3.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
        if errors := answer.get("Errors"):
            first = errors[0]
            raise DeploymentError(f"s3://{bucket}/{first['Key']} cannot be deleted: {first['Message']}")


def dag_variables(stage: str, outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the DAG's settings, as environment variables, from the outputs of the stacks."""
    return {
        variables.STAGE.name: stage,
        variables.BUCKET.name: outputs["BucketName"],
        variables.ALERT_TOPIC_ARN.name: outputs["AlertTopicArn"],
        variables.COPY_ROLE_ARN.name: outputs["CopyRoleArn"],
        variables.REDSHIFT_HOST.name: outputs["WarehouseHost"],
        variables.REDSHIFT_PORT.name: outputs["WarehousePort"],
        variables.REDSHIFT_DATABASE.name: outputs["WarehouseDatabase"],
        variables.REDSHIFT_WORKGROUP.name: outputs["WorkgroupName"],
        variables.DBT_TARGET.name: bundle.TARGET,
    }


def template_parameters(template: str) -> dict[str, str | None]:
    """Return a template's parameters and their defaults; None for a required parameter."""
    parameters = yaml.load(template, _Loader).get("Parameters", {})  # noqa: S506  a SafeLoader
    return {name: parameter.get("Default") for name, parameter in parameters.items()}


def template_resources(template: str) -> list[Change]:
    """Return the resources of a template as added, each with its condition if it has one."""
    resources = yaml.load(template, _Loader)["Resources"]  # noqa: S506  a SafeLoader
    return [
        Change("Add", name, resource["Type"], condition=resource.get("Condition", ""))
        for name, resource in resources.items()
    ]


def _template(part: str) -> str:
    return (TEMPLATES / f"{part}.yaml").read_text()


class _Loader(yaml.SafeLoader):
    """Ignores CloudFormation's functions."""


_Loader.add_multi_constructor("!", lambda _loader, _suffix, _node: None)
