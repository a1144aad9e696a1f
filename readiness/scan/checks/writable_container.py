"""A container that may change its own files."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import is_true, render, tables


def faults(part: Part) -> Iterator[str]:
    """Yield each container whose root file system is writable."""
    for container in tables(part.properties.get("ContainerDefinitions")):
        if not is_true(container.get("ReadonlyRootFilesystem")):
            yield f"container {render(container.get('Name'), part.template)} may write to its root file system"


CHECK = OwnCheck(
    id="writable-container",
    claim="Every container's root file system is read-only",
    severity=Severity.MEDIUM,
    family=ControlFamily.SUPPLY_CHAIN,
    looks_at=("AWS::ECS::TaskDefinition",),
    faults=faults,
    why="Who breaks in can replace the program that runs.",
    mend="Set readonly_root_filesystem=True in add_container, and mount a volume where the program must write.",
    link="https://docs.aws.amazon.com/securityhub/latest/userguide/ecs-controls.html#ecs-5",
)
