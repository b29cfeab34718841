"""Kinds of resources that moto's CloudFormation lacks, or whose properties or changes it does not support.

A stack keeps only the names of resources that neither moto nor this module makes (`NAMED_ONLY`), or ignores them.
"""

# ruff: noqa: ARG003  moto passes more arguments than the methods need
import json
from collections.abc import Mapping
from typing import Any

from moto.cloudwatch.models import cloudwatch_backends
from moto.core.common_models import CloudFormationModel
from moto.glue.models import glue_backends
from moto.iam.models import ManagedPolicy as IamPolicy
from moto.iam.models import iam_backends
from moto.kms.models import Key
from moto.s3.models import FakeBucket, s3_backends

from sandbox.aws import redshift_serverless
from sandbox.aws.glue import RunningGlueBackend

PARTITION = "aws"

# For these kinds a stack keeps only the name, and the attributes that our templates use; {place} is Region and account.
NAMED_ONLY = {
    "AWS::RedshiftServerless::Namespace": {
        "name": "NamespaceName",
        "Namespace.NamespaceArn": "arn:aws:redshift-serverless:{place}:namespace/{name}",
        "Namespace.AdminPasswordSecretArn": "arn:aws:secretsmanager:{place}:secret:redshift!{name}-admin",
    },
    "AWS::RedshiftServerless::Workgroup": {
        "name": "WorkgroupName",
        "Workgroup.WorkgroupArn": "arn:aws:redshift-serverless:{place}:workgroup/{name}",
        "Workgroup.Endpoint.Address": "127.0.0.1",
        "Workgroup.Endpoint.Port": "5439",
    },
    "AWS::MWAA::Environment": {
        "name": "Name",
        "Arn": "arn:aws:airflow:{place}:environment/{name}",
        "WebserverUrl": "{name}.airflow.example",
    },
}


class Resource(CloudFormationModel):
    """A resource of one of the kinds below; its physical id is its name."""

    KIND = ""
    NAME_PROPERTY = ""

    def __init__(self, name: str, account_id: str, region_name: str) -> None:
        self.physical_resource_id = name
        self._place = f"{region_name}:{account_id}"

    @classmethod
    def cloudformation_type(cls) -> str:
        return cls.KIND

    @classmethod
    def cloudformation_name_type(cls) -> str:
        return cls.NAME_PROPERTY

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr in NAMED_ONLY.get(cls.KIND, {})

    def get_cfn_attribute(self, attribute: str) -> str:
        return NAMED_ONLY[self.KIND][attribute].format(name=self.physical_resource_id, place=self._place)

    def is_created(self) -> bool:
        return True

    @classmethod
    def apply(cls, name: str, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        """Creates the resource, or replaces it."""

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> "Resource":
        cls.apply(resource_name, cloudformation_json.get("Properties", {}), account_id, region_name)
        return cls(resource_name, account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: "Resource",
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> "Resource":
        properties = cloudformation_json.get("Properties", {})
        name = properties.get(cls.NAME_PROPERTY) or original_resource.physical_resource_id
        if name != original_resource.physical_resource_id:
            old = original_resource.physical_resource_id
            cls.delete_from_cloudformation_json(old, cloudformation_json, account_id, region_name)
        cls.apply(name, properties, account_id, region_name)
        return cls(name, account_id, region_name)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        """Does nothing, since only the name exists."""


class GlueJob(Resource):
    KIND = "AWS::Glue::Job"
    NAME_PROPERTY = "Name"

    @classmethod
    def apply(cls, name: str, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        backend = glue_backends[account_id][region_name]
        assert isinstance(backend, RunningGlueBackend)
        numbers = ("Timeout", "NumberOfWorkers", "MaxRetries")
        definition = {key: int(value) if key in numbers else value for key, value in properties.items()}
        execution = {key: int(value) for key, value in properties.get("ExecutionProperty", {}).items()}
        backend.define_job(name, definition | {"ExecutionProperty": execution}, properties.get("Tags"))

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        glue_backends[account_id][region_name].delete_job(resource_name)


class Workgroup(Resource):
    """Another name of the one warehouse."""

    KIND = "AWS::RedshiftServerless::Workgroup"
    NAME_PROPERTY = "WorkgroupName"

    @classmethod
    def apply(cls, name: str, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        redshift_serverless.WORKGROUPS.add(name)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        redshift_serverless.WORKGROUPS.discard(resource_name)


class Alarm(Resource):
    KIND = "AWS::CloudWatch::Alarm"
    NAME_PROPERTY = "AlarmName"

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return attr == "Arn"

    def get_cfn_attribute(self, attribute: str) -> str:  # noqa: ARG002  there is but one
        return f"arn:{PARTITION}:cloudwatch:{self._place}:alarm:{self.physical_resource_id}"

    @classmethod
    def apply(cls, name: str, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        cloudwatch_backends[account_id][region_name].put_metric_alarm(
            name=name,
            namespace=properties["Namespace"],
            metric_name=properties["MetricName"],
            comparison_operator=properties["ComparisonOperator"],
            evaluation_periods=int(properties["EvaluationPeriods"]),
            datapoints_to_alarm=int(properties.get("DatapointsToAlarm", properties["EvaluationPeriods"])),
            period=int(properties["Period"]),
            threshold=float(properties["Threshold"]),
            statistic=properties["Statistic"],
            description=properties.get("AlarmDescription", ""),
            dimensions=properties.get("Dimensions", []),
            alarm_actions=properties.get("AlarmActions", []),
            ok_actions=properties.get("OKActions", []),
            treat_missing_data=properties.get("TreatMissingData"),
        )

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        cloudwatch_backends[account_id][region_name].delete_alarms([resource_name])


class BucketPolicy(Resource):
    KIND = "AWS::S3::BucketPolicy"
    NAME_PROPERTY = "Bucket"

    @classmethod
    def apply(cls, name: str, properties: Mapping[str, Any], account_id: str, region_name: str) -> None:
        document = json.dumps(properties["PolicyDocument"]).encode()
        s3_backends[account_id][PARTITION].put_bucket_policy(name, document)

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        backend = s3_backends[account_id][PARTITION]
        if resource_name in backend.buckets:  # moto deletes resources in any order
            backend.delete_bucket_policy(resource_name)


class _OfMoto(Resource):
    """A kind of moto's own resources, to which this module adds what moto lacks."""

    MODEL: type[CloudFormationModel]

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return cls.MODEL.has_cfn_attr(attr)

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Any:
        return cls.MODEL.create_from_cloudformation_json(resource_name, cloudformation_json, account_id, region_name)


class Bucket(_OfMoto):
    """moto's bucket, with the properties that moto drops."""

    KIND = "AWS::S3::Bucket"
    NAME_PROPERTY = "BucketName"
    MODEL = FakeBucket

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Any:
        bucket = super().create_from_cloudformation_json(resource_name, cloudformation_json, account_id, region_name)
        _complete(bucket, cloudformation_json.get("Properties", {}))
        return bucket

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> Any:
        bucket = FakeBucket.update_from_cloudformation_json(
            original_resource, new_resource_name, cloudformation_json, account_id, region_name
        )
        _complete(bucket, cloudformation_json.get("Properties", {}))
        return bucket

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        FakeBucket.delete_from_cloudformation_json(resource_name, cloudformation_json, account_id, region_name)


class KmsKey(_OfMoto):
    """moto's key, whose policy can be changed."""

    KIND = "AWS::KMS::Key"
    MODEL = Key

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Any,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> Any:
        original_resource.policy = cloudformation_json["Properties"]["KeyPolicy"]
        return original_resource


class ManagedPolicy(Resource):
    """moto's policy, which can be changed and deleted; its physical id is its ARN."""

    KIND = "AWS::IAM::ManagedPolicy"
    NAME_PROPERTY = "ManagedPolicyName"

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str, **_: Any
    ) -> Any:
        policy = IamPolicy.create_from_cloudformation_json(resource_name, cloudformation_json, account_id, region_name)
        return cls(policy.arn, account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Resource,
        new_resource_name: str,
        cloudformation_json: dict[str, Any],
        account_id: str,
        region_name: str,
    ) -> Resource:
        backend, arn = iam_backends[account_id][PARTITION], original_resource.physical_resource_id
        document = json.dumps(cloudformation_json["Properties"]["PolicyDocument"])
        (before,) = [version for version in backend.list_policy_versions(arn) if version.is_default]
        backend.create_policy_version(arn, document, set_as_default=True)
        backend.delete_policy_version(arn, before.version_id)
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], account_id: str, region_name: str
    ) -> None:
        iam_backends[account_id][PARTITION].delete_policy(resource_name)


def _complete(bucket: FakeBucket, properties: Mapping[str, Any]) -> None:
    backend = s3_backends[bucket.account_id][PARTITION]
    name = bucket.name
    if versioning := properties.get("VersioningConfiguration"):
        backend.put_bucket_versioning(name, versioning["Status"])
    if block := properties.get("PublicAccessBlockConfiguration"):
        backend.put_public_access_block(name, {key: str(value).lower() for key, value in block.items()})
    if ownership := properties.get("OwnershipControls"):
        backend.put_bucket_ownership_controls(name, ownership)
    if lifecycle := properties.get("LifecycleConfiguration"):
        backend.put_bucket_lifecycle(name, [_lifecycle_rule(rule) for rule in lifecycle["Rules"]])


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """Translates a lifecycle rule from CloudFormation's names into those of S3's API."""
    known = {
        "Id",
        "Status",
        "Prefix",
        "ExpirationInDays",
        "Transitions",
        "NoncurrentVersionExpiration",
        "NoncurrentVersionTransitions",
        "AbortIncompleteMultipartUpload",
        "ExpiredObjectDeleteMarker",
    }
    if unknown := set(rule) - known:
        raise NotImplementedError(f"the sandbox's lifecycle rules know no {', '.join(sorted(unknown))}")
    expiration = {
        "Days": rule.get("ExpirationInDays"),
        "ExpiredObjectDeleteMarker": rule.get("ExpiredObjectDeleteMarker"),
    }
    expiration = {key: str(value).lower() for key, value in expiration.items() if value is not None}
    return {
        "ID": rule["Id"],
        "Status": rule["Status"],
        "Filter": {"Prefix": rule.get("Prefix", "")},
        "Transition": [
            {"Days": step["TransitionInDays"], "StorageClass": step["StorageClass"]}
            for step in rule.get("Transitions", [])
        ],
        "NoncurrentVersionTransition": [
            {"NoncurrentDays": step["TransitionInDays"], "StorageClass": step["StorageClass"]}
            for step in rule.get("NoncurrentVersionTransitions", [])
        ],
        **({"Expiration": expiration} if expiration else {}),
        **{
            key: dict(rule[key])
            for key in ("NoncurrentVersionExpiration", "AbortIncompleteMultipartUpload")
            if key in rule
        },
    }


def kinds() -> dict[str, type[CloudFormationModel]]:
    """Returns the kinds by their CloudFormation names."""
    made: list[Any] = [GlueJob, Workgroup, Alarm, BucketPolicy, Bucket, KmsKey, ManagedPolicy]
    named: list[Any] = [
        type(kind.replace("::", ""), (Resource,), {"KIND": kind, "NAME_PROPERTY": attributes["name"]})
        for kind, attributes in NAMED_ONLY.items()
        if kind != Workgroup.KIND
    ]
    return {kind.KIND: kind for kind in [*made, *named]}
