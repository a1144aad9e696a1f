"""A container whose output is lost."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import as_table, render, tables


def faults(part: Part) -> Iterator[str]:
    """Yield each container without a log driver."""
    for container in tables(part.properties.get("ContainerDefinitions")):
        driver = as_table(container.get("LogConfiguration")).get("LogDriver")
        if driver in (None, "none"):
            yield f"container {render(container.get('Name'), part.template)} logs nowhere"


CHECK = OwnCheck(
    id="container-without-logs",
    claim="Every container's output is kept",
    severity=Severity.HIGH,
    family=ControlFamily.LOGGING,
    looks_at=("AWS::ECS::TaskDefinition",),
    faults=faults,
    why="An engineer on call has nothing to read, and a break-in leaves no trace.",
    mend="Set logging=ecs.LogDrivers.aws_logs(...) in add_container.",
    link="https://docs.aws.amazon.com/securityhub/latest/userguide/ecs-controls.html#ecs-9",
)
