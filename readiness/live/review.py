"""Reads the clone's resources, and asks the checks of each."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness import __version__
from readiness.cloud import is_gone
from readiness.live.checks import live_checks
from readiness.live.deployed_values import DeployedValues
from readiness.live.drift import DRIFT_RULES, Comparison, changes, compare, drift_rule
from readiness.live.readers import READERS, Clients, Read
from readiness.live.secret_readers import readers_of_secrets
from readiness.model import record
from readiness.scan.observed import CheckResult, Result, Rule, Scan, ScannerRun, TemplateSeen
from readiness.scan.own_check import OwnCheck
from readiness.scan.template import Part, Template, construct_path

SCANNER = "live"
"""Both the scanner's name and the name of what it looks at."""


READ_ELSEWHERE = frozenset(
    {
        "AWS::EC2::Route",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::IAM::Policy",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::SecretsManager::ResourcePolicy",
    }
)
"""Types that are read with what they belong to: routes with subnets, rules with groups, policies with their owner."""


@record
class Look:
    """What was seen of a deployed stack.

    Attributes:
        scan: What each check said of each resource; the resources themselves are not kept.
        compared: How many values of the template were compared with the account's.
        not_compared: How many could not be: only CloudFormation knows what they came to.
        unread: Type -> how many resources of it there are that nobody can read back.
        secret_readers: Secret -> the roles of the stack that may read it.
    """

    scan: Scan
    compared: int = 0
    not_compared: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    secret_readers: dict[str, tuple[str, ...]] = field(default_factory=dict)


def look(clients: Clients, stack: str, templates: Sequence[Template] = ()) -> Look:
    """Return what the checks say of each resource of a stack, as it is in the account now, and how far it drifted.

    Args:
        clients: Service name -> boto3 client.
        stack: Its name or id; drift is seen only of an id.
        templates: What was deployed.

    Raises:
        ClientError: the stack's resources cannot be listed.
    """
    started = time.monotonic()
    listed = list(_resources(clients, stack))
    there, missing, errors = _read(clients, listed)
    resources = {f"{name}{suffix}": body for name, read in there.items() for suffix, body in read.items()}
    spelled = {name: {"Type": kind, "Properties": body} for name, (kind, body) in resources.items()}
    template = Template(name=SCANNER, path=Path(SCANNER), digest=_digest(spelled), body={"Resources": spelled})
    checks = live_checks()
    results = list(_results(template, checks, errors))
    physical = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in listed}
    compared, drifted = _compared(templates, stack, physical, there)
    results += drifted
    for name, kind in missing.items():
        results.append(
            _said(drift_rule("drift", kind), name, CheckResult.FAILED, "the stack has it, the account has not")
        )
    paths = {
        part.name: path for each in templates for part in each.resources.values() if (path := construct_path(part))
    }
    run = ScannerRun(
        scanner=SCANNER,
        version=__version__,
        templates=(SCANNER,),
        rules_loaded=len(checks) + len(DRIFT_RULES),
        rules=(*(_rule(check) for check in checks), *DRIFT_RULES.values()),
        results=tuple(results),
        errors=tuple(errors),
        seconds=time.monotonic() - started,
    )
    kinds = {name: part.kind for name, part in template.resources.items()} | missing
    seen = TemplateSeen(
        name=SCANNER,
        digest=template.digest,
        resources=kinds,
        construct_paths={name: _path(name, paths) for name in kinds},
    )
    unread = Counter(each["ResourceType"] for each in listed if each["ResourceType"] not in {*READERS, *READ_ELSEWHERE})
    return Look(
        scan=Scan(templates=(seen,), runs=(run,), seconds=run.seconds),
        compared=sum(each.compared for each in compared),
        not_compared=sum(each.unknown for each in compared),
        unread=dict(sorted(unread.items())),
        secret_readers=readers_of_secrets(template, physical, paths),
    )


def _compared(
    templates: Sequence[Template], stack: str, physical: Mapping[str, str], there: Mapping[str, Read]
) -> tuple[list[Comparison], list[Result]]:
    """Return each resource of the templates beside the account, and what that says."""
    comparisons, results = [], []
    for template in templates:
        values = DeployedValues(template=template, stack_id=stack, physical=physical)
        for part in template.resources.values():
            if part.name not in there:
                continue
            comparison = compare(part, {suffix: body for suffix, (_, body) in there[part.name].items()}, values)
            comparisons.append(comparison)
            told = dict(changes(comparison))
            for what, detail in told.items():
                results.append(_said(drift_rule(what, part.kind), part.name, CheckResult.FAILED, detail))
            if not told and comparison.compared:
                results.append(_said(drift_rule("drift", part.kind), part.name, CheckResult.PASSED))
    return comparisons, results


def _said(rule: Rule, part: str, result: CheckResult, detail: str = "") -> Result:
    return Result(rule=rule.id, template=SCANNER, part=part, result=result, detail=detail)


def _resources(clients: Clients, stack: str) -> Iterator[Mapping[str, Any]]:
    for page in clients("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack):
        yield from page["StackResourceSummaries"]


def _read(clients: Clients, listed: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Read], dict[str, str], list[str]]:
    """Return the resources as a template would spell them, the type of those that are gone, and what went wrong."""
    there: dict[str, Read] = {}
    missing: dict[str, str] = {}
    errors = []
    for each in listed:
        name, kind = each["LogicalResourceId"], each["ResourceType"]
        reader = READERS.get(kind)
        if reader is None:
            continue
        try:
            there[name] = dict(reader(clients, each["PhysicalResourceId"]))
        except ClientError as error:
            if is_gone(error):
                missing[name] = kind
            else:
                errors.append(f"{name} ({kind}) could not be read: {error}")
        except (BotoCoreError, LookupError, ValueError) as error:
            errors.append(f"{name} ({kind}) could not be read: {type(error).__name__}: {error}")
    return there, missing, errors


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
