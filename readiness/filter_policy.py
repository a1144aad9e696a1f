"""Whether the filter policy of an SNS subscription lets an alarm's message through. Pure.

https://docs.aws.amazon.com/sns/latest/dg/sns-subscription-filter-policies.html

CloudWatch publishes alarms without message attributes, so a policy over attributes (the default scope) drops them all,
unless it asks only that an attribute is *not* there. A policy over the body is matched against the alarm's JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from readiness.errors import ReadinessError

ATTRIBUTES, BODY = "MessageAttributes", "MessageBody"
_ABSENT = object()
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda value, bound: value == bound,
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


class UnknownCondition(ReadinessError):
    """A policy has a condition that is not understood here."""


def lets_through(policy: str, scope: str, message: str) -> bool:
    """Return whether a subscription with this filter policy gets this message, which has no attributes.

    Args:
        policy: JSON, as the subscription's attribute ``FilterPolicy`` has it.
        scope: ``MessageAttributes`` or ``MessageBody``.
        message: The message that was published, JSON.

    Raises:
        UnknownCondition: the policy cannot be read, or has a condition that is not understood here.
    """
    try:
        wanted, body = json.loads(policy), json.loads(message) if scope == BODY else {}
    except ValueError as error:
        raise UnknownCondition(f"The filter policy cannot be held against the message: {error}.") from None
    if not isinstance(wanted, dict) or not isinstance(body, dict):
        raise UnknownCondition("The filter policy cannot be held against the message: one of them is no JSON object.")
    return _matches(wanted, body)


def _matches(policy: Mapping[str, Any], document: Any) -> bool:
    """Return whether every key of a policy is met."""
    for key, wanted in policy.items():
        if key == "$or" and isinstance(wanted, list) and len(wanted) > 1:
            if not any(_matches(each, document) for each in wanted):
                return False
            continue
        value = document.get(key, _ABSENT) if isinstance(document, dict) else _ABSENT
        met = _matches(wanted, value) if isinstance(wanted, dict) else _meets(wanted, value)
        if not met:
            return False
    return True


def _meets(conditions: Any, value: Any) -> bool:
    """Return whether a value, or one of a list of values, meets one of the conditions."""
    if not isinstance(conditions, list):
        raise UnknownCondition(f"The filter policy has {conditions!r} where SNS wants a list of conditions.")
    values: Sequence[Any] = value if isinstance(value, list) else [value]
    return any(_meets_one(condition, each) for condition in conditions for each in values)


def _meets_one(condition: Any, value: Any) -> bool:
    if not isinstance(condition, dict):
        return value is not _ABSENT and type(condition) is type(value) and bool(condition == value)
    if len(condition) != 1:
        raise UnknownCondition(f"The filter policy has a condition that is not understood: {condition!r}.")
    ((kind, wanted),) = condition.items()
    if kind == "exists":
        return bool(wanted) == (value is not _ABSENT)
    if value is _ABSENT:
        return False
    if kind == "anything-but":
        if isinstance(wanted, dict):
            return not _meets_one(wanted, value)
        return value not in (wanted if isinstance(wanted, list) else [wanted])
    if kind == "numeric":
        return _fits(wanted, value)
    text = value if isinstance(value, str) else ""
    tests: Mapping[str, Callable[[str], bool]] = {
        "prefix": text.startswith,
        "suffix": text.endswith,
        "equals-ignore-case": lambda other: text.lower() == other.lower(),
    }
    if kind not in tests or not isinstance(wanted, str):
        raise UnknownCondition(f"The filter policy has a condition that is not understood: {condition!r}.")
    return isinstance(value, str) and tests[kind](wanted)


def _fits(bounds: Any, value: Any) -> bool:
    """Return whether a value is a number within bounds that are written as ``[">", 0, "<=", 5]``."""
    pairs = list(zip(bounds[::2], bounds[1::2], strict=False)) if isinstance(bounds, list) else []
    if not pairs or len(bounds) % 2 or any(sign not in _COMPARISONS or not _is_number(than) for sign, than in pairs):
        raise UnknownCondition(f"The filter policy compares numbers by {bounds!r}, which is not understood.")
    return _is_number(value) and all(_COMPARISONS[sign](value, than) for sign, than in pairs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
