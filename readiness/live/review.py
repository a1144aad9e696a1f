"""Reads the clone's resources, and asks the checks of each."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness import __version__
from readiness.live.checks import live_checks
from readiness.live.readers import READERS, Clients
from readiness.scan.observed import CheckResult, Result, Rule, Scan, ScannerRun, TemplateSeen
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part, Template

SCANNER = "live"
"""Both the scanner's name and the name of what it looks at."""


def look(clients: Clients, stack: str, construct_paths: Mapping[str, str]) -> Scan:
    """Return what the checks say of each resource of a stack, as it is in the account now.

    Args:
        clients: Service name -> boto3 client.
        stack: Its name or id.
        construct_paths: Logical id -> where the CDK app made it.

    Raises:
        ClientError: the stack's resources cannot be listed.
    """
    started = time.monotonic()
    resources, errors = _read(clients, list(_resources(clients, stack)))
    template = Template(name=SCANNER, path=Path(SCANNER), digest=_digest(resources), body={"Resources": resources})
    checks = live_checks()
    results = tuple(_results(template, checks, errors))
    run = ScannerRun(
        scanner=SCANNER,
        version=__version__,
        templates=(SCANNER,),
        rules_loaded=len(checks),
        rules=tuple(_rule(check) for check in checks),
        results=results,
        errors=tuple(errors),
        seconds=time.monotonic() - started,
    )
    seen = TemplateSeen(
        name=SCANNER,
        digest=template.digest,
        resources={name: part.kind for name, part in template.resources.items()},
        construct_paths={name: _path(name, construct_paths) for name in template.resources},
    )
    return Scan(templates=(seen,), runs=(run,), seconds=run.seconds)


def _resources(clients: Clients, stack: str) -> Iterator[Mapping[str, Any]]:
    for page in clients("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack):
        yield from page["StackResourceSummaries"]


def _read(clients: Clients, listed: list[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return the resources as a template would spell them, and what could not be read."""
    found: dict[str, Any] = {}
    errors = []
    for each in listed:
        name, kind = each["LogicalResourceId"], each["ResourceType"]
        reader = READERS.get(kind)
        if reader is None:
            continue
        try:
            read = reader(clients, each["PhysicalResourceId"])
        except (ClientError, BotoCoreError, LookupError, ValueError) as error:
            errors.append(f"{name} ({kind}) could not be read: {type(error).__name__}: {error}")
            continue
        found.update({f"{name}{suffix}": {"Type": of, "Properties": body} for suffix, (of, body) in read.items()})
    return found, errors


def _digest(resources: Mapping[str, Any]) -> str:
    """Return what tells this state from others; the state itself, which may hold secrets, is not kept."""
    return "sha256:" + hashlib.sha256(json.dumps(resources, sort_keys=True, default=str).encode()).hexdigest()


def _path(name: str, construct_paths: Mapping[str, str]) -> str:
    """Return the construct path of a resource, or of the resource that a policy read beside it belongs to."""
    return construct_paths.get(name) or construct_paths.get(name.removesuffix("Policy"), "") or name


def _results(template: Template, checks: tuple[OwnCheck, ...], errors: list[str]) -> Iterator[Result]:
    for part in template.resources.values():
        for check in checks:
            if part.kind in check.looks_at:
                yield from _result(check, part, errors)


def _result(check: OwnCheck, part: Part, errors: list[str]) -> Iterator[Result]:
    try:
        faults = tuple(check.faults(part))
    except Exception as error:  # noqa: BLE001 - a check that crashes has seen nothing, and that is told
        errors.append(f"{check.rule} crashed on {part.name} ({part.kind}): {error!r}")
        return
    said = CheckResult.FAILED if faults else CheckResult.PASSED
    yield Result(rule=check.rule, template=SCANNER, part=part.name, result=said, detail="; ".join(faults))


def _rule(check: OwnCheck) -> Rule:
    return Rule(
        id=check.rule,
        claim=check.claim,
        severity=check.severity,
        family=check.family,
        why=check.why,
        mend=check.mend,
        link=check.link,
    )
