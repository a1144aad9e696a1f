"""CDK's own ``validation-report.json``, with what cdk-nag advises in it. Run as a module by ``readiness.scan.child``.

CDK writes it into the cloud assembly at each synth. What CDK itself calls an error has failed the synth before. What
cdk-nag says is advice: told, and never a reason to stay closed.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from readiness import contract
from readiness.model import Severity
from readiness.scan.child import Order, answer
from readiness.scan.observed import CDK, CheckResult, Result, Rule, ScannerRun
from readiness.scan.template import WHOLE_TEMPLATE, Template, construct_path, read_template

REPORT = "validation-report.json"

_CDK_VALIDATES = "CloudFormation Validate"
"""CDK's own plugin: the engine that is a scanner of its own here, and so sees what that sees."""
_SEVERITY = {"fatal": Severity.HIGH, "error": Severity.HIGH, "warning": Severity.LOW}
_LINK = "https://github.com/cdklabs/cdk-nag/blob/main/RULES.md"
_FINDING = re.compile(r"^(?P<rule>[^\[]+)(?:\[(?P<detail>.*)\])?$", re.DOTALL)

_SAME_FAULT: Mapping[str, tuple[str, ...]] = {
    "AEC3": ("checkov/CKV_AWS_29", "checkov/CKV_AWS_30"),
    "AEC6": ("checkov/CKV_AWS_31", "control-tower/CT.ELASTICACHE.PR.7"),
    "DDB3": ("checkov/CKV_AWS_28",),
    "EC23": ("readiness/open-ingress", "checkov/CKV_AWS_24", "checkov/CKV_AWS_25", "checkov/CKV_AWS_260"),
    "EC27": ("checkov/CKV_AWS_23",),
    "ECS4": ("checkov/CKV_AWS_65", "control-tower/CT.ECS.PR.2"),
    "ECS7": ("readiness/container-without-logs", "control-tower/CT.ECS.PR.5"),
    "EFS1": ("checkov/CKV_AWS_42",),
    "ELB2": ("checkov/CKV_AWS_91", "control-tower/CT.ELASTICLOADBALANCING.PR.6"),
    "IAM5": ("readiness/wildcard-action", "readiness/full-admin"),
    "KMS5": ("checkov/CKV_AWS_7",),
    "RDS2": ("checkov/CKV_AWS_16", "checkov/CKV_AWS_96"),
    "RDS6": ("checkov/CKV_AWS_162",),
    "RDS10": ("control-tower/CT.RDS.PR.3", "control-tower/CT.RDS.PR.13"),
    "S1": ("checkov/CKV_AWS_18",),
    "S2": ("checkov/CKV_AWS_53", "checkov/CKV_AWS_54", "checkov/CKV_AWS_55", "checkov/CKV_AWS_56"),
    "S10": ("readiness/allows-plaintext",),
    "SMG4": ("readiness/secret-without-rotation",),
    "SNS3": ("readiness/allows-plaintext",),
    "SQS2": ("checkov/CKV_AWS_27",),
    "SQS3": ("control-tower/CT.SQS.PR.1",),
    "SQS4": ("readiness/allows-plaintext",),
}
"""cdk-nag's rule, without its pack -> rules of other scanners that see the same fault."""


def scan(order: Order) -> ScannerRun:
    """Read the report beside each template; a template that lies in no cloud assembly has none."""
    started = time.monotonic()
    rules: dict[str, Rule] = {}
    results: list[Result] = []
    errors: list[str] = []
    read: list[str] = []
    templates = [read_template(Path(path), name) for name, path in order.templates.items()]
    for template in templates:
        name, file = template.name, template.path.parent / REPORT
        others = {path for other in templates if other is not template for path in _parts(other)}
        try:
            reports = json.loads(file.read_text(encoding="utf-8"))["pluginReports"]
            advised = [each for each in reports if each["pluginName"] == contract.ADVICE]
            found = list(_found(template, reports, others))
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            errors.append(f"{name}: {file.name} beside it cannot be read: {type(error).__name__}: {error}")
            continue
        crashed = [each["metadata"]["error"] for each in reports if "error" in (each.get("metadata") or {})]
        errors += [f"{name}: {why}" for why in crashed]
        if advised and not crashed:
            read.append(name)
        elif not advised:
            errors.append(f"{name}: cdk-nag was not asked at its synth")
        rules.update((rule.id, rule) for rule, _ in found)
        results += [result for _, result in found]
    return ScannerRun(
        scanner=CDK,
        version=f"cdk-nag {version('cdk-nag')}, aws-cdk-lib {version('aws-cdk-lib')}",
        templates=tuple(read),
        rules_loaded=len(rules),
        rules=tuple(rules.values()),
        results=tuple(results),
        errors=tuple(errors),
        seconds=time.monotonic() - started,
    )


def _parts(template: Template) -> dict[str, str]:
    """Return construct path -> logical id."""
    return {path: name for name, part in template.resources.items() if (path := construct_path(part))}


def _found(
    template: Template, reports: Iterable[Mapping[str, Any]], others: Collection[str]
) -> Iterator[tuple[Rule, Result]]:
    """Yield each violation with its rule, once for each construct that it is about and that no *other* template has."""
    parts = _parts(template)
    for report in reports:
        for violation in report.get("violations", ()):
            match = _FINDING.match(violation["ruleName"])
            name, detail = (match["rule"], match["detail"] or "") if match else (violation["ruleName"], "")
            rule = _rule(report["pluginName"], name, violation)
            for where in violation["violatingConstructs"]:
                path = str(where.get("constructPath", "")).removesuffix("/Resource")
                if path in others:
                    continue
                # A construct that was read from a template is called by its logical id, and tells no path.
                name_of = path.rpartition("/")[2]
                part = parts.get(path) or (name_of if name_of in template.resources else WHOLE_TEMPLATE)
                told = detail if part else f"{detail} {path}".strip()
                yield (
                    rule,
                    Result(rule=rule.id, template=template.name, part=part, result=CheckResult.FAILED, detail=told),
                )


def _rule(plugin: str, name: str, violation: Mapping[str, Any]) -> Rule:
    if plugin != contract.ADVICE:
        return Rule(
            id=f"{CDK}/{name}",
            claim=violation["description"],
            severity=_SEVERITY.get(violation.get("severity", ""), Severity.LOW),
            family=None,
            mend=violation.get("fix") or "",
            same_fault=(f"cloudformation-validate/{name}",) if plugin == _CDK_VALIDATES else (),
        )
    return Rule(
        id=f"{contract.ADVICE}/{name}",
        claim=violation["description"].rstrip("."),
        severity=Severity.INFO,
        family=None,
        why="Advice: a second opinion on what the other scanners may see otherwise.",
        mend=violation.get("fix") or "",
        link=_LINK,
        same_fault=_SAME_FAULT.get(name.rpartition("-")[2], ()),
    )


if __name__ == "__main__":
    answer(CDK, scan)
