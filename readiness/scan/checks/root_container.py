"""A container that runs as root."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import render, tables


def faults(part: Part) -> Iterator[str]:
    """Yield each container whose user is root, or is left to the image."""
    for container in tables(part.properties.get("ContainerDefinitions")):
        name = render(container.get("Name"), part.template)
        user = container.get("User")
        if user is None or user == "":
            yield f"container {name} runs as the image's user, which is root unless the image says otherwise"
        elif str(user).split(":")[0] in ("root", "0"):
            yield f"container {name} runs as root"


CHECK = OwnCheck(
    id="root-container",
    claim="No container runs as root",
    severity=Severity.MEDIUM,
    family=ControlFamily.IAM,
    looks_at=("AWS::ECS::TaskDefinition",),
    faults=faults,
    why="Root in the container is one kernel fault away from root on the host, and may change the container's files.",
    mend="Set user='1000:1000' in add_container, and USER in the image.",
    link="https://docs.aws.amazon.com/AmazonECS/latest/developerguide/security-tasks-containers.html",
)
