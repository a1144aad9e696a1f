"""What goes live: what a bundle approved, and the stack in production that is to run it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from readiness import contract
from readiness.cloud import translated
from readiness.errors import UsageError
from readiness.model import Environment, Instant, Outcome, Verdict, record
from readiness.service_content import Content

Clients = Callable[[str], Any]

ALARM_KINDS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
SERVICE_KIND = "AWS::ECS::Service"
CANARY_KIND = "AWS::Synthetics::Canary"


@record
class Approved:
    """What a bundle approved, and how.

    Attributes:
        bundle: Digest of the bundle.
        as_of: What people decided later is not looked at.
        verdict: The decision on it; of a rehearsal always NO-GO, and then *outcome* says what the gates came to.
        reasons: Why the verdict is not GO.
        decided_at: From when the approval counts.
        fidelity: What the gate ``fidelity`` came to; None = it was not asked.
        service: The content of the service that was approved.
        digests: Container -> digests of the images that were approved.
        desired: How many tasks were wanted.
        zones: In how many availability zones they ran.
    """

    bundle: str
    as_of: Instant
    run_id: str
    harness_version: str
    environment: Environment
    outcome: Outcome
    verdict: Verdict
    reasons: tuple[str, ...]
    decided_at: Instant
    commit: str
    dirty: bool
    fidelity: Outcome | None
    service: Content
    digests: dict[str, tuple[str, ...]]
    desired: int
    zones: int


@record
class Stack:
    """The stack in production.

    Attributes:
        alarms: Names of its alarms.
        canaries: Names of its synthetic canaries.
    """

    name: str
    status: str
    account: str
    region: str
    outputs: dict[str, str]
    alarms: tuple[str, ...]
    canaries: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Cutover:
    """What was approved, where it went live, and the commit that is said to be live.

    Attributes:
        cluster: The cluster of the service.
        service: The service in it.
        commit: Of the checkout, or what the user named.
    """

    approved: Approved
    stack: Stack
    cluster: str
    service: str
    commit: str
    environment: Environment


def find(clients: Clients, name: str, *, service: str | None, account: str, region: str) -> tuple[Stack, str, str]:
    """Return the stack in production, and the cluster and service in it that are asked about.

    Args:
        clients: Service name -> boto3 client.
        name: The stack.
        service: ``CLUSTER/SERVICE``, where the stack has several.
        account: The account of the clients.
        region: Their region.

    Raises:
        UsageError: there is no such stack, or it does not tell which service is meant.
        CloudError: it could not be asked for.
    """
    cloudformation = clients("cloudformation")
    with translated(f"Describing stack {name}"):
        try:
            told = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "ValidationError":
                raise
            raise UsageError(
                f"There is no stack {name!r} in {region} of account {account}.",
                hint="Name production's stack with --stack, and its region with --region.",
            ) from error
        pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        resources = [each for page in pages for each in page["StackResourceSummaries"]]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in told.get("Outputs", ())}
    stack = Stack(
        name=told["StackName"],
        status=told["StackStatus"],
        account=account,
        region=region,
        outputs=outputs,
        alarms=alarms_of(outputs, resources),
        canaries=tuple(_physical(resources, CANARY_KIND)),
    )
    return stack, *chosen(name, outputs, _physical(resources, SERVICE_KIND), service)


def alarms_of(outputs: Mapping[str, str], resources: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the names of the alarms that a stack holds, and of those that its outputs name."""
    try:
        named = json.loads(outputs.get(contract.Output.ALARMS, "{}"))
    except ValueError:
        named = {}
    told = [str(each) for each in named.values()] if isinstance(named, dict) else []
    return tuple(sorted({*_physical(resources, *ALARM_KINDS), *told}))


def chosen(stack: str, outputs: Mapping[str, str], arns: list[str], service: str | None) -> tuple[str, str]:
    """Return cluster and service that are meant: what the user named, the stack's outputs, or its only service.

    Raises:
        UsageError: none is there, several are, or what the user named is not of the stack.
    """
    there = {"/".join(arn.split("/")[-2:]) for arn in arns}
    given = (outputs.get(contract.Output.CLUSTER), outputs.get(contract.Output.SERVICE))
    if all(given):
        there.add("/".join(str(each) for each in given))
    known = ", ".join(sorted(there))
    if service is not None:
        cluster, slash, name = service.partition("/")
        if not (cluster and slash and name) or "/" in name:
            raise UsageError(
                f"--service: {service!r} is no CLUSTER/SERVICE.", hint=f"Stack {stack} has: {known or 'none'}."
            )
        if service not in there:
            raise UsageError(f"--service: stack {stack} has no service {service}.", hint=f"It has: {known or 'none'}.")
        return cluster, name
    if all(given):
        return str(given[0]), str(given[1])
    if not there:
        raise UsageError(
            f"Stack {stack} has no ECS service; nested stacks are not looked into.",
            hint="Name the stack that holds the service.",
        )
    if len(there) > 1:
        raise UsageError(f"Stack {stack} has several services: {known}.", hint="Name one: --service CLUSTER/SERVICE.")
    cluster, _, name = there.pop().partition("/")
    return cluster, name


def _physical(resources: list[Mapping[str, Any]], *kinds: str) -> list[str]:
    return [
        each["PhysicalResourceId"]
        for each in resources
        if each["ResourceType"] in kinds and each.get("PhysicalResourceId")
    ]
