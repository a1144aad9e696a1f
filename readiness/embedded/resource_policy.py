"""Resource-based policies: whether one lets an AWS service do something. Pure.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html: nothing is
allowed unless a statement allows it, and a statement that denies wins.

* a key that the request does not carry fails a condition, but not a negated one, nor one that ends with IfExists
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
* keys and actions are compared without regard to case, values with; ArnEquals and ArnLike are one and the same

Only calls of services are judged here (a topic's by an alarm, a queue's by a topic), never those of people and roles:
IAM does not act in the embedded AWS. Left out, and refused by name: NotPrincipal, policy variables, operators on
numbers, dates and addresses, and those on sets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final


class PolicyNotDoneError(Exception):
    """A policy that can't be judged here; the message names what stands in the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCall:
    """What a service asks of a resource.

    Attributes:
        service: The service's principal, such as ``cloudwatch.amazonaws.com``.
        action: Such as ``sns:Publish``.
        resource: ARN of the resource whose policy is asked.
        context: Condition keys that the request carries, in any case.
    """

    service: str
    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


def allows(policy: str, call: ServiceCall) -> bool:
    """Return whether a policy lets a service make a call.

    Raises:
        PolicyNotDoneError: A statement that could decide has something that is not done here.
    """
    try:
        document = json.loads(policy)
        statements = _listed(document["Statement"])
    except (ValueError, KeyError, TypeError) as error:
        raise PolicyNotDoneError(f"the policy of {call.resource} is no policy document") from error
    effects = [statement.get("Effect") for statement in statements if _applies(statement, call)]
    return "Allow" in effects and "Deny" not in effects


def _applies(statement: Mapping[str, Any], call: ServiceCall) -> bool:
    if "NotPrincipal" in statement:
        raise PolicyNotDoneError(f"NotPrincipal in the policy of {call.resource} is not done by the embedded AWS")
    return (
        _names(statement.get("Principal"), call.service)
        and _selected(statement, "Action", call.action.lower(), str.lower)
        and _selected(statement, "Resource", call.resource, str)
        and all(
            _holds(operator, key, _listed(wanted), call)
            for operator, keys in (statement.get("Condition") or {}).items()
            for key, wanted in keys.items()
        )
    )


def _names(principal: Any, service: str) -> bool:
    """Return whether a statement's principal is this service, or everybody."""
    if isinstance(principal, Mapping):
        return "*" in _listed(principal.get("AWS", ())) or service in _listed(principal.get("Service", ()))
    return bool(principal == "*")


def _selected(statement: Mapping[str, Any], element: str, value: str, spell: Callable[[str], str]) -> bool:
    if f"Not{element}" in statement:
        return not any(_like(spell(pattern), value) for pattern in _listed(statement[f"Not{element}"]))
    return any(_like(spell(pattern), value) for pattern in _listed(statement.get(element, ())))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _like(pattern: str, value: str) -> bool:
    parts = (".*" if character == "*" else "." if character == "?" else re.escape(character) for character in pattern)
    return re.fullmatch("".join(parts), value, re.DOTALL) is not None


def _like_arn(pattern: str, value: str) -> bool:
    """Compare two ARNs part by part: a wildcard never reaches beyond its colon, except in the last part."""
    patterns, values = pattern.split(":", 5), value.split(":", 5)
    return len(patterns) == len(values) == 6 and all(map(_like, patterns, values))


_POSITIVE: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "StringEquals": str.__eq__,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": _like,
    "ArnEquals": _like_arn,
    "ArnLike": _like_arn,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
}
_NEGATED: Final = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
}


def _holds(operator: str, key: str, wanted: Iterable[Any], call: ServiceCall) -> bool:
    texts = [str(one).lower() if isinstance(one, bool) else str(one) for one in wanted]
    if any("${" in text for text in texts):
        raise PolicyNotDoneError(f"a policy variable in the policy of {call.resource} is not done by the embedded AWS")
    context = {name.lower(): value for name, value in call.context.items()}
    value = context.get(key.lower())
    if operator == "Null":
        return (value is None) == ("true" in [text.lower() for text in texts])
    base = operator.removesuffix("IfExists")
    matches = _POSITIVE.get(_NEGATED.get(base, base))
    if matches is None:
        raise PolicyNotDoneError(
            f"the condition operator {operator} in the policy of {call.resource} is not done by the embedded AWS"
        )
    if value is None:
        return base != operator or base in _NEGATED
    return any(matches(text, value) for text in texts) != (base in _NEGATED)
