"""An identity that may do everything."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.policies import IDENTITY_POLICY_TYPES, identity_statements
from readiness.scan.template import Part
from readiness.scan.values import as_list, render

_ADMIN_POLICIES = ("AdministratorAccess", "IAMFullAccess", "PowerUserAccess")


def faults(part: Part) -> Iterator[str]:
    """Yield each statement that allows every action on everything, and each attached policy of AWS that does."""
    for statement in identity_statements(part):
        every_action = any(action in ("*", "*:*") for action in as_list(statement.get("Action")))
        if every_action and "*" in as_list(statement.get("Resource")):
            yield "a statement allows every action on every resource"
        elif "NotAction" in statement and "*" in as_list(statement.get("Resource")):
            yield "a statement allows every action but a few (NotAction) on every resource"
    for managed in as_list(part.properties.get("ManagedPolicyArns")) + as_list(part.properties.get("ManagedPolicies")):
        name = render(managed, part.template).rsplit("/", 1)[-1]
        if name in _ADMIN_POLICIES:
            yield f"has the policy {name}"


CHECK = OwnCheck(
    id="full-admin",
    claim="No identity may do everything",
    severity=Severity.CRITICAL,
    family=ControlFamily.IAM,
    looks_at=IDENTITY_POLICY_TYPES,
    faults=faults,
    why="One stolen credential of the workload is the whole account.",
    mend="Name the actions and the resources; resource.grant_*(role) writes just those.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html#grant-least-privilege",
    same_fault=tuple(f"checkov/CKV_AWS_{number}" for number in (62, 63, 107, 108, 109, 110, 111)),
)
