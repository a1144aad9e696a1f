"""A container that may do what its host may."""

from __future__ import annotations

from collections.abc import Iterator

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import as_list, as_table, is_true, render, tables

_HOST_CAPABILITIES = frozenset({"ALL", "SYS_ADMIN", "SYS_PTRACE", "SYS_MODULE", "NET_ADMIN", "DAC_READ_SEARCH"})


def faults(part: Part) -> Iterator[str]:
    """Yield each container that is privileged, or has a capability of the host; and a task in the host's namespaces."""
    for container in tables(part.properties.get("ContainerDefinitions")):
        name = render(container.get("Name"), part.template)
        if is_true(container.get("Privileged")):
            yield f"container {name} is privileged"
        added = as_table(as_table(container.get("LinuxParameters")).get("Capabilities")).get("Add")
        excess = sorted(_HOST_CAPABILITIES.intersection(str(capability) for capability in as_list(added)))
        if excess:
            yield f"container {name} has the capabilities {', '.join(excess)}"
    for mode in ("PidMode", "IpcMode"):
        if part.properties.get(mode) == "host":
            yield f"{mode} is host"


CHECK = OwnCheck(
    id="privileged-container",
    claim="No container has the rights of its host",
    severity=Severity.HIGH,
    family=ControlFamily.IAM,
    looks_at=("AWS::ECS::TaskDefinition",),
    faults=faults,
    why="Who breaks into the container has the host, and every other task on it.",
    mend="Leave privileged unset; add single capabilities with LinuxParameters.add_capabilities.",
    link="https://docs.aws.amazon.com/securityhub/latest/userguide/ecs-controls.html#ecs-4",
)
