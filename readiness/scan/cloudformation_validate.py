"""AWS's cloudformation-validate: its security rules and Control Tower's. Run by ``readiness.scan.child``."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cloudformation_validate import (
    CompositeEngine,
    CompositeEngineConfig,
    Diagnostic,
    ExternalRuleSource,
    PseudoParameterOverrides,
    ReportStatus,
    RuleOrigin,
    TemplateContent,
    ValidateConfig,
    ValidationReport,
)

from readiness.model import ControlFamily, Severity
from readiness.scan.child import Order, answer
from readiness.scan.control_tower import Control, controls
from readiness.scan.corrections import false_alarm
from readiness.scan.observed import CheckResult, Result, Rule, ScannerRun
from readiness.scan.template import OUTPUTS, PARAMETERS, WHOLE_TEMPLATE, Template, read_template
from readiness.scan.values import render

SCANNER = "cloudformation-validate"

_BUILT_IN: Mapping[str, tuple[Severity, ControlFamily, tuple[str, ...]]] = {
    "I3510": (Severity.LOW, ControlFamily.IAM, ()),
    "W1011": (Severity.MEDIUM, ControlFamily.SECRETS, ()),
    "W2010": (Severity.MEDIUM, ControlFamily.SECRETS, ("readiness/secret-in-output",)),
    "W2501": (Severity.HIGH, ControlFamily.SECRETS, ("readiness/literal-password", "readiness/parameter-shows-secret")),
    "W2508": (Severity.HIGH, ControlFamily.NETWORK, ("readiness/open-ingress",)),
    "W2509": (Severity.MEDIUM, ControlFamily.SECRETS, ("readiness/parameter-shows-secret",)),
    "W2511": (Severity.LOW, ControlFamily.IAM, ()),
    "W2512": (Severity.HIGH, ControlFamily.IAM, ()),
    "W3037": (Severity.LOW, ControlFamily.IAM, ()),
    "W3663": (Severity.MEDIUM, ControlFamily.IAM, ()),
    "W9008": (Severity.HIGH, ControlFamily.ENCRYPTION, ("checkov/CKV_AWS_16", "checkov/CKV_AWS_96")),
    "W9010": (Severity.LOW, ControlFamily.SUPPLY_CHAIN, ()),
    "W9011": (Severity.CRITICAL, ControlFamily.NETWORK, ("checkov/CKV_AWS_17",)),
    "W9013": (Severity.LOW, ControlFamily.IAM, ()),
}
"""Severity, control and same faults of its own security rules, all of which it calls warnings."""

_SECURITY = "Security"
_SECTIONS = {"PARAMETER": PARAMETERS, "OUTPUT": OUTPUTS}
_PLANT: Mapping[str, Mapping[str, Any]] = {
    "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"SqsManagedSseEnabled": False}},
    "Group": {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {
            "GroupDescription": "open",
            "SecurityGroupIngress": [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "CidrIp": "0.0.0.0/0"}],
        },
    },
}
"""Resources with known faults, which whoever sees must see."""
_PLANTED = frozenset({"sqs_queue_encrypted_check", "W2508"})


def scan(order: Order) -> ScannerRun:
    """Ask its own security rules, and the controls that concern a resource that is there."""
    started = time.monotonic()
    templates = [read_template(Path(path), name) for name, path in order.templates.items()]
    kinds = {part.kind for template in templates for part in template.resources.values()}
    look = _Look(order.region, kinds | {part["Type"] for part in _PLANT.values()})
    errors: list[str] = []
    results: list[Result] = []
    read: list[str] = []
    seen = {each.rule_id for report in look.reports({"Resources": _PLANT}, None) for each in report.diagnostics}
    if not seen >= _PLANTED:
        errors.append(f"did not see the faults of a template that is made to have them: {sorted(_PLANTED - seen)}")
    for template in templates:
        reports = look.reports(_without_metadata(template.body), template)
        blind = [why for report in reports if (why := _incomplete(report))]
        errors += [f"{template.name}: {why}" for why in blind]
        if not any(report.status is ReportStatus.ERROR for report in reports):
            read.append(template.name)
            results += look.results(template, [each for report in reports for each in report.diagnostics])
    return ScannerRun(
        scanner=SCANNER,
        version=version("cloudformation-validate"),
        templates=tuple(read),
        rules_loaded=len(_BUILT_IN) + len(controls()),
        rules=tuple({rule.id: rule for rule in look.rules.values()}.values()),
        results=tuple(results),
        errors=tuple(errors),
        seconds=time.monotonic() - started,
    )


class _Look:
    """Two engines: one with its own rules, one with those of the controls that look at resources of some types.

    Attributes:
        controls: The controls that are asked.
        rules: Rules as findings tell them, by what the engines call them.
    """

    def __init__(self, region: str, kinds: Collection[str]) -> None:
        self.controls = [control for control in controls() if not control.looks_at.isdisjoint(kinds)]
        self.rules = {name: control.rule for control in self.controls for name in control.guard_rules}
        sources = [ExternalRuleSource(name=control.rule.id, content=control.text) for control in self.controls]
        self._own = CompositeEngine()
        self._guard = CompositeEngine(CompositeEngineConfig(guard_rules=sources))
        self._region = PseudoParameterOverrides(region=region)
        for told in self._own.list_rules():
            if told.category == _SECURITY:
                severity, family, same_fault = _BUILT_IN.get(told.id, (None, None, ()))
                self.rules[told.id] = Rule(
                    id=f"{SCANNER}/{told.id}",
                    claim=told.description,
                    severity=severity,
                    family=family,
                    same_fault=same_fault,
                )

    def reports(self, body: Mapping[str, Any], template: Template | None) -> tuple[ValidationReport, ...]:
        """Return what both engines say. Guard takes a value that is put together for no text, and is given the text."""
        own = ValidateConfig(pseudo_parameter_overrides=self._region)
        guard = ValidateConfig(pseudo_parameter_overrides=self._region, disable_builtin_rules=True)
        plain = body if template is None else _put_together(body, template)
        return (
            self._own.validate_template(_content(body), own),
            self._guard.validate_template(_content(plain), guard),
        )

    def results(self, template: Template, diagnostics: Iterable[Diagnostic]) -> Iterator[Result]:
        """Yield what failed, and of the controls also what passed: they say which resources they look at."""
        failed: dict[tuple[str, str], list[str]] = {}
        for each in diagnostics:
            rule = self.rules.get(each.rule_id)
            if rule is not None:
                failed.setdefault((rule.id, _part(template, each)), []).append(_detail(each))
        of_a_part = {rule for rule, part in failed if part != WHOLE_TEMPLATE}
        for (rule_id, part), details in failed.items():
            if part == WHOLE_TEMPLATE and rule_id in of_a_part:
                continue  # a step on the way to what Guard says of the part itself
            detail = "; ".join(dict.fromkeys(filter(None, details)))
            said = CheckResult.FAILED
            correction = false_alarm(rule_id, template.resources[part]) if part in template.resources else None
            if correction:
                said, detail = CheckResult.PASSED, correction
            yield Result(rule=rule_id, template=template.name, part=part, result=said, detail=detail)
        for control in self.controls:
            yield from _passed(control, template, failed)


def _passed(control: Control, template: Template, failed: Collection[tuple[str, str]]) -> Iterator[Result]:
    for part in template.of_kind(*control.looks_at):
        if (control.rule.id, part.key) not in failed:
            yield Result(rule=control.rule.id, template=template.name, part=part.key, result=CheckResult.PASSED)


def _content(body: Mapping[str, Any]) -> TemplateContent:
    return TemplateContent(json.dumps(body, default=str))


def _without_metadata(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a template without any metadata: what that switches off, only the waiver register may."""
    resources = {
        name: {key: value for key, value in part.items() if key != "Metadata"} if isinstance(part, Mapping) else part
        for name, part in body["Resources"].items()
    }
    return {key: value for key, value in body.items() if key != "Metadata"} | {"Resources": resources}


def _put_together(value: Any, template: Template) -> Any:
    """Return *value* with the text of each ``Fn::Join``, ``Fn::Sub`` and reference to a parameter in its place."""
    if isinstance(value, list):
        return [_put_together(each, template) for each in value]
    if not isinstance(value, Mapping):
        return value
    if len(value) == 1:
        function, argument = next(iter(value.items()))
        a_parameter = function == "Ref" and (str(argument).startswith("AWS::") or argument in template.parameters)
        if a_parameter or function in ("Fn::Join", "Fn::Sub"):
            text = render(value, template)
            return text == "true" if a_parameter and text in ("true", "false") else text
    return {key: _put_together(each, template) for key, each in value.items()}


def _incomplete(report: ValidationReport) -> str:
    """Return what was not looked at, or nothing."""
    if report.status is ReportStatus.ERROR:
        return "; ".join(each.message for each in report.diagnostics[:3]) or "cannot be read"
    if report.status is ReportStatus.ANALYSIS_INCOMPLETE:
        spent = report.metadata.budget_exhaustions or []
        return "was not looked at in full: " + "; ".join(each.description for each in spent)
    return ""


def _part(template: Template, each: Diagnostic) -> str:
    if each.entity is None:
        return WHOLE_TEMPLATE
    section = _SECTIONS.get(each.entity.entity_type.name)
    name = each.entity.logical_id
    return f"{section}.{name}" if section else name if name in template.resources else WHOLE_TEMPLATE


def _detail(each: Diagnostic) -> str:
    if each.source is RuleOrigin.GUARD:
        return each.property_path or ""
    return f"{each.message} (at {each.property_path})" if each.property_path else each.message


if __name__ == "__main__":
    answer(SCANNER, scan)
