"""A statement that allows every action of a service on everything, or every action on something."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.policies import IDENTITY_POLICY_TYPES, identity_statements
from readiness.scan.template import Part
from readiness.scan.values import as_list


def faults(part: Part) -> Iterator[str]:
    """Yield each such statement; what allows every action on everything is ``full-admin``'s to say."""
    for statement in identity_statements(part):
        actions = [str(action) for action in as_list(statement.get("Action"))]
        everything = "*" in as_list(statement.get("Resource"))
        every_action = any(action in ("*", "*:*") for action in actions)
        if every_action and not everything:
            yield "a statement allows every action on a resource"
        elif everything and not every_action:
            for action in actions:
                if action.endswith(":*"):
                    yield f"a statement allows {action} on every resource"


CHECK = OwnCheck(
    id="wildcard-action",
    claim="No statement allows every action of a service on every resource",
    severity=Severity.HIGH,
    family=ControlFamily.IAM,
    looks_at=IDENTITY_POLICY_TYPES,
    faults=faults,
    why="It allows what nobody thought of, and what the service will learn to do later.",
    mend="Name the actions, or the resources; resource.grant_*(role) writes just those.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege",
    same_fault=("checkov/CKV_AWS_63",),
)
