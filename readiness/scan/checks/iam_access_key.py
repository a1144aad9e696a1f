"""A long-lived access key."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part


def faults(part: Part) -> Iterator[str]:
    """Yield every access key that is not inactive."""
    if part.properties.get("Status") != "Inactive":
        yield "is an access key that never expires"


CHECK = OwnCheck(
    id="iam-access-key",
    claim="No long-lived access key is made",
    severity=Severity.HIGH,
    family=ControlFamily.IAM,
    looks_at=("AWS::IAM::AccessKey",),
    faults=faults,
    why="It never expires, works from anywhere, and its secret ends up in the stack's events, outputs or a file.",
    mend="Give the workload a role: task_role, an instance profile, or OIDC federation for a pipeline.",
    link="https://docs.aws.amazon.com/IAM/latest/UserGuide/best-practices.html",
)
