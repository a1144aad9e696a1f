"""A secret that is never changed."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import references


def _rotated(part: Part) -> set[str]:
    """Return the secrets that a schedule of the template rotates, directly or through an attachment to a database."""
    attached = {
        each.name: {name for name, _ in references(each.properties.get("SecretId"))}
        for each in part.template.of_kind("AWS::SecretsManager::SecretTargetAttachment")
    }
    found: set[str] = set()
    for schedule in part.template.of_kind("AWS::SecretsManager::RotationSchedule"):
        for name, _ in references(schedule.properties.get("SecretId")):
            found |= attached.get(name, {name})
    return found


def faults(part: Part) -> Iterator[str]:
    """Yield a secret that no schedule of the template rotates."""
    if part.name not in _rotated(part):
        yield "is never rotated"


CHECK = OwnCheck(
    id="secret-without-rotation",
    claim="Every secret is rotated",
    severity=Severity.MEDIUM,
    family=ControlFamily.SECRETS,
    looks_at=("AWS::SecretsManager::Secret",),
    faults=faults,
    why="Who ever read it can use it for as long as it lives.",
    mend="Call secret.add_rotation_schedule(...) or database.add_rotation_single_user(...).",
    link="https://docs.aws.amazon.com/securityhub/latest/userguide/secretsmanager-controls.html#secretsmanager-1",
)
