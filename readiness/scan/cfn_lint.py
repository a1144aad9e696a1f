"""cfn-lint: is the template one that CloudFormation would accept? Run as a module by ``readiness.scan.child``."""

from __future__ import annotations

import time
from collections.abc import Mapping, MutableMapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from readiness.model import Severity
from readiness.scan.child import Order, answer
from readiness.scan.observed import CheckResult, Result, Rule, ScannerRun
from readiness.scan.template import OUTPUTS, PARAMETERS, WHOLE_TEMPLATE

SCANNER = "cfn-lint"

IGNORED = ("W3005", "W3045")
"""Said of every template that the CDK writes: a needless DependsOn, and ACLs that CDK's own log delivery needs."""

_SEVERITY = {"E": Severity.HIGH, "W": Severity.LOW, "I": Severity.INFO}

_PLANT = '{"Resources": {"Plant": {"Type": "AWS::SQS::Queue", "Properties": {"NoSuchProperty": 1}}}}'
"""A template with a known fault: a linter that does not see it is blind, and its silence says nothing."""


def scan(order: Order) -> ScannerRun:
    """Lint each template by cfn-lint's API."""
    from cfnlint.config import ConfigMixIn, ManualArgs
    from cfnlint.decode.decode import decode_str
    from cfnlint.runner import Runner

    started = time.monotonic()
    runner = Runner(ConfigMixIn(**ManualArgs(regions=[order.region], ignore_checks=list(IGNORED))))

    def lint(text: str) -> list[Any]:
        template, faults = decode_str(text)
        if faults or template is None:
            raise ValueError("; ".join(str(fault.message) for fault in faults) or "is empty")
        _ignore_directives(template)
        return list(runner.validate_template(template))

    rules: dict[str, Rule] = {}
    results: list[Result] = []
    read: list[str] = []
    errors = [] if lint(_PLANT) else ["did not see the fault of a template that is made to have one"]
    for name, path in order.templates.items():
        try:
            matches = lint(Path(path).read_text(encoding="utf-8-sig"))
        except ValueError as error:
            errors.append(f"{name}: cannot be read: {error}")
            continue
        read.append(name)
        for match in matches:
            rule = _rule(match.rule)
            rules[rule.id] = rule
            location = [str(part) for part in getattr(match, "path", None) or []]
            detail = match.message + (f" (at {'/'.join(location)})" if location else "")
            results.append(
                Result(rule=rule.id, template=name, part=_part(location), result=CheckResult.FAILED, detail=detail)
            )
    return ScannerRun(
        scanner=SCANNER,
        version=version("cfn-lint"),
        templates=tuple(read),
        rules_loaded=len(runner.rules),
        rules=tuple(rules.values()),
        results=tuple(results),
        errors=tuple(errors),
        seconds=time.monotonic() - started,
    )


def _rule(rule: Any) -> Rule:
    return Rule(
        id=f"{SCANNER}/{rule.id}",
        claim=rule.shortdesc,
        severity=_SEVERITY.get(rule.id[:1]),
        family=None,
        why=rule.description,
        link=rule.source_url,
    )


def _part(location: list[str]) -> str:
    """Return which part of the template a path names."""
    if len(location) < 2:
        return WHOLE_TEMPLATE
    section, name = location[:2]
    return (
        f"{section}.{name}" if section in (OUTPUTS, PARAMETERS) else name if section == "Resources" else WHOLE_TEMPLATE
    )


def _ignore_directives(template: Any) -> None:
    """Take cfn-lint's own metadata out of a template: what it switches off, only the waiver register may."""
    resources = template.get("Resources")
    bodies = list(resources.values()) if isinstance(resources, Mapping) else []
    for body in (template, *bodies):
        metadata = body.get("Metadata") if isinstance(body, Mapping) else None
        if isinstance(metadata, MutableMapping):
            metadata.pop(SCANNER, None)


if __name__ == "__main__":
    answer(SCANNER, scan)
