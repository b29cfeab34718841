"""Evaluates IAM policies. moto's own evaluation supports neither conditions nor most services' resources."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from functools import lru_cache
from typing import Any


class Decision(Enum):
    """Allowed, explicitly denied, or implicitly denied because no statement applies."""

    ALLOWED = "allowed"
    DENIED = "denied"
    NOT_MENTIONED = "not mentioned"


def decide(
    documents: Iterable[str], action: str, resource: str, context: Mapping[str, str], *, principal_is: str | None = None
) -> Decision:
    """Evaluates policy documents (JSON) together: one denial outweighs all statements that allow.

    Args:
        documents: identity-based policies, or one resource-based policy.
        action: such as `s3:GetObject`.
        resource: an ARN, or `*` for an action without resources.
        context: condition keys of the request and their values. A condition on any other key is not met.
        principal_is: for resource-based policies, the principal of the request; `*` is anybody.
    """
    decision = Decision.NOT_MENTIONED
    for statement in (statement for document in documents for statement in _statements(document)):
        if principal_is is not None and not _names_principal(statement.get("Principal"), principal_is):
            continue
        if _speaks_of(statement, action, resource) and _conditions_met(statement.get("Condition", {}), context):
            if statement["Effect"] == "Deny":
                return Decision.DENIED
            decision = Decision.ALLOWED
    return decision


@lru_cache(maxsize=256)
def _statements(document: str) -> tuple[dict[str, Any], ...]:
    return tuple(_listed(json.loads(document)["Statement"]))


def _speaks_of(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    if "NotAction" in statement or "NotResource" in statement:
        raise NotImplementedError(f"the sandbox does not read NotAction and NotResource: {statement}")
    actions = (pattern.lower() for pattern in _listed(statement["Action"]))
    resources = _listed(statement.get("Resource", "*"))
    return _matches(actions, action.lower()) and _matches(resources, resource)


def _names_principal(principal: Any, wanted: str) -> bool:
    if principal == "*":
        return True
    return isinstance(principal, dict) and any("*" in _listed(names) for names in principal.values()) and wanted == "*"


def _conditions_met(conditions: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    known = {name.lower(): value for name, value in context.items()}
    return all(
        _operator_met(operator, known.get(key.lower()), _listed(wanted))
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _operator_met(operator: str, value: str | None, wanted: list[Any]) -> bool:
    texts = [str(text).lower() if isinstance(text, bool) else str(text) for text in wanted]
    match operator:
        case "StringEquals" | "ArnEquals" | "Bool":
            return value in texts
        case "StringLike" | "ArnLike":
            return value is not None and _matches(texts, value)
        case "StringNotEquals":
            return value not in texts
        case "NumericLessThan":
            return value is not None and any(float(value) < float(text) for text in texts)
        case _:
            raise NotImplementedError(f"the sandbox does not know the condition operator {operator}")


def _matches(patterns: Iterable[str], text: str) -> bool:
    return any(_pattern(pattern).fullmatch(text) for pattern in patterns)


@lru_cache(maxsize=1024)
def _pattern(text: str) -> re.Pattern[str]:
    parts: Iterator[str] = ({"*": ".*", "?": "."}.get(letter) or re.escape(letter) for letter in text)
    return re.compile("".join(parts), re.DOTALL)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
