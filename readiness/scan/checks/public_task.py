"""A task with an address on the internet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from readiness.model import ControlFamily, Severity
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part
from readiness.scan.values import as_list, as_table


def _assignments(value: Any) -> Iterator[Any]:
    """Yield each AssignPublicIp below *value*."""
    if isinstance(value, list):
        for entry in value:
            yield from _assignments(entry)
    else:
        for key, below in as_table(value).items():
            if key == "AssignPublicIp":
                yield below
            elif isinstance(below, list | dict):
                yield from _assignments(below)


def faults(part: Part) -> Iterator[str]:
    """Yield a service, task set, rule or schedule whose tasks get a public address."""
    for assignment in _assignments(part.properties):
        branches = as_list(as_table(assignment).get("Fn::If"))[1:] or [assignment]
        if "ENABLED" in branches:
            yield "gives its tasks a public address"
            return


CHECK = OwnCheck(
    id="public-task",
    claim="No task has a public address",
    severity=Severity.HIGH,
    family=ControlFamily.NETWORK,
    looks_at=("AWS::ECS::Service", "AWS::ECS::TaskSet", "AWS::Events::Rule", "AWS::Scheduler::Schedule"),
    faults=faults,
    why="The container is on the internet with only a security group before it: no load balancer, no TLS, no log.",
    mend="Set assign_public_ip=False and vpc_subnets to private subnets.",
    link="https://docs.aws.amazon.com/securityhub/latest/userguide/ecs-controls.html#ecs-2",
)
