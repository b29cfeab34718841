"""The templates as data: functions as `{"Ref": …}` and `{"Fn::Sub": …}`, policies as lists of statements."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from infra.deployment import PARTS, TEMPLATES


class _Loader(yaml.SafeLoader):
    """Knows the short forms of CloudFormation's functions."""


def _function(loader: yaml.SafeLoader, name: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        raise TypeError(f"!{name} of a mapping")
    if name == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name if name in {"Ref", "Condition"} else f"Fn::{name}": value}


_Loader.add_multi_constructor("!", _function)


@cache
def template(part: str) -> dict[str, Any]:
    """A stack's template."""
    loaded: dict[str, Any] = yaml.load((TEMPLATES / f"{part}.yaml").read_text(), _Loader)
    return loaded


def resources(*kinds: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(part, logical id, resource) of all stacks; of the named types, or of all."""
    for part in PARTS:
        for name, resource in template(part)["Resources"].items():
            if not kinds or resource["Type"] in kinds:
                yield part, name, resource


def text(value: Any) -> str:
    """A value as the text of a `Fn::Sub`."""
    match value:
        case str():
            return value
        case {"Ref": name}:
            return f"${{{name}}}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"${{{name}.{attribute}}}"
        case {"Fn::Sub": str(template_text)}:
            return template_text
    raise TypeError(f"no text: {value}")


def listed(value: Any) -> list[Any]:
    """IAM takes one thing as a list of it."""
    return value if isinstance(value, list) else [value]


@dataclass(frozen=True)
class Statement:
    """A statement of any policy: of a role, a key, a bucket, a topic, or of who may assume a role."""

    part: str
    owner: str
    kind: str
    body: dict[str, Any]

    @property
    def sid(self) -> str:
        return str(self.body.get("Sid", ""))

    @property
    def actions(self) -> list[str]:
        return listed(self.body["Action"])

    @property
    def resources(self) -> list[str]:
        return [text(value) for value in listed(self.body.get("Resource", []))]


POLICIES = ("PolicyDocument", "KeyPolicy", "AssumeRolePolicyDocument")


def statements() -> list[Statement]:
    """Those of all policies of all stacks."""
    return [
        Statement(part, name, resource["Type"], body)
        for part, name, resource in resources()
        for policy in POLICIES
        for body in resource.get("Properties", {}).get(policy, {}).get("Statement", [])
    ]
