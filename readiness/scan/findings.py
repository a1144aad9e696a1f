"""Pure: what a scan saw -> findings, gaps and coverage."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from readiness import contract
from readiness.model import ControlFamily, Finding, Gap, Judgement, Measurement, OpenLimit, Severity
from readiness.scan.observed import CDK, CheckResult, Result, Rule, Scan, TemplateSeen
from readiness.scan.template import WHOLE_TEMPLATE

_SOURCES = ("readiness", "checkov", "control-tower", "cloudformation-validate", "cfn-lint", "cdk", "cdk-nag")
"""Sources of rules: the one that tells most of a fault, and how to mend it in the CDK, first."""

_LOUDEST = 3
"""How many details of one fault its message quotes; it counts the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyCoverage:
    """How much of one security control was looked at.

    Attributes:
        family: The control.
        rules: How many rules said something.
        resources: How many parts of templates they said it of.
        examined: How many results that makes: passed + failed + skipped.
        passed: Of these, the good ones.
        failed: The bad ones, waived or not.
        skipped: Those that a template switched off.
    """

    family: ControlFamily
    rules: int
    resources: int
    examined: int
    passed: int
    failed: int
    skipped: int


def coverage(scan: Scan) -> tuple[FamilyCoverage, ...]:
    """Return how much of each control family was looked at, also of those of which nothing was."""
    families = {rule.id: rule.family for run in scan.runs for rule in run.rules}
    by_family: dict[ControlFamily, list[Result]] = {family: [] for family in ControlFamily}
    for run in scan.runs:
        for result in run.results:
            family = families.get(result.rule)
            if family is not None:
                by_family[family].append(result)
    return tuple(_coverage(family, results) for family, results in by_family.items())


def _coverage(family: ControlFamily, results: list[Result]) -> FamilyCoverage:
    counts = {said: sum(result.result is said for result in results) for said in CheckResult}
    return FamilyCoverage(
        family=family,
        rules=len({result.rule for result in results}),
        resources=len({(result.template, result.part) for result in results}),
        examined=len(results),
        passed=counts[CheckResult.PASSED],
        failed=counts[CheckResult.FAILED],
        skipped=counts[CheckResult.SKIPPED],
    )


def findings(scan: Scan) -> tuple[Finding, ...]:
    """Return one finding for each fault: what failed and what was skipped, worst first.

    What several rules say of one part about the same fault is one finding with several sources.
    """
    rules = {rule.id: rule for run in scan.runs for rule in run.rules}
    templates = {template.name: template for template in scan.templates}
    faults: dict[tuple[str, str], dict[str, list[Result]]] = {}
    for run in scan.runs:
        for result in run.results:
            if result.result is not CheckResult.PASSED:
                faults.setdefault((result.template, result.part), {}).setdefault(result.rule, []).append(result)
    made = [
        _finding(rules.get(rule), of_part[rule], templates.get(template), [rules[each] for each in others])
        for (template, _), of_part in faults.items()
        for rule, others in _one_for_each_fault(rules, of_part).items()
    ]
    return tuple(sorted(made, key=lambda finding: (finding.severity.rank, finding.rule, finding.subject)))


def _one_for_each_fault(rules: Mapping[str, Rule], failed: Collection[str]) -> dict[str, list[str]]:
    """Return the rules that speak for a fault of a part, each with the other rules that saw the same.

    Of two rules that see the same fault, the one of the source that tells most of it speaks.
    """
    known = sorted((rule for rule in failed if rule in rules), key=_rank)
    spoken: dict[str, list[str]] = {rule: [] for rule in failed if rule not in rules}
    for rule in known:
        before = [
            other
            for other in spoken
            if _rank(other) < _rank(rule)
            and other in rules
            and any(_same(rules[each], rules[rule]) for each in (other, *spoken[other]))
        ]
        for other in before:
            spoken[other].append(rule)
        if not before:
            spoken[rule] = []
    return spoken


def _rank(rule: str) -> int:
    source = rule.partition("/")[0]
    return _SOURCES.index(source) if source in _SOURCES else len(_SOURCES)


def _same(one: Rule, other: Rule) -> bool:
    return other.id in one.same_fault or one.id in other.same_fault


def _finding(rule: Rule | None, results: list[Result], template: TemplateSeen | None, others: list[Rule]) -> Finding:
    first = results[0]
    where = _subject(first, template)
    classified = [each.severity for each in (rule, *others) if each is not None and each.severity is not None]
    severity = min(classified, key=lambda each: each.rank) if rule and rule.severity else Severity.HIGH
    return Finding(
        rule=first.rule,
        subject=where,
        severity=severity,
        message=_message(rule, results),
        help=" ".join(text for text in ((rule.mend, rule.link) if rule else ()) if text),
        family=rule.family if rule else None,
        fingerprint=fingerprint(first.rule, first.template, where),
        sources=(first.rule, *(other.id for other in others)),
        template=(template.file or template.name) if template else first.template,
        line=template.lines.get(first.part) if template else None,
        logical_id=first.part,
        why=rule.why if rule else "",
    )


def _subject(result: Result, template: TemplateSeen | None) -> str:
    """Return what has the fault: its construct path, else its logical id, else the template."""
    if result.part == WHOLE_TEMPLATE:
        return result.template
    return (template.construct_paths.get(result.part) if template else None) or result.part


def _message(rule: Rule | None, results: list[Result]) -> str:
    """Return what is wrong, in one line."""
    details = list(dict.fromkeys(result.detail for result in results if result.detail))
    quoted = "; ".join(details[:_LOUDEST]) + (
        f"; and {len(details) - _LOUDEST} more" if len(details) > _LOUDEST else ""
    )
    if any(result.result is CheckResult.SKIPPED for result in results):
        said = f" ({quoted})" if quoted else ""
        what = f"the template skips this check{said}; a skip counts only with a twin in the waiver register"
    else:
        what = quoted
    claim = rule.claim if rule else results[0].rule
    unclassified = "" if rule and rule.severity else " [unclassified rule: HIGH until somebody classifies it]"
    return f"{claim}{': ' if what else ''}{what}{unclassified}"


def fingerprint(rule: str, template: str, subject: str) -> str:
    """Return what tells a fault from every other and stays the same from run to run.

    Args:
        rule: The rule's id.
        template: The template's name; a run id in it is left out.
        subject: Construct path or logical id.
    """
    name = PurePosixPath(template).name
    if name.startswith(contract.STACK_NAME_PREFIX):
        name = contract.STACK_NAME_PREFIX
    return hashlib.sha256("\n".join((rule, name, subject)).encode()).hexdigest()


def gaps(scan: Scan, scanners: Iterable[str], families: Iterable[ControlFamily]) -> tuple[Gap, ...]:
    """Return what was not seen: templates, scanners, rules, control families."""
    missed = [Gap(what=f"template {name}", why=why) for name, why in scan.unread.items()]
    if not scan.templates:
        missed.append(Gap(what="templates", why="there is none to scan"))
    runs = {run.scanner: run for run in scan.runs}
    for scanner in scanners:
        run = runs.get(scanner)
        concerned = [template for template in scan.templates if scanner != CDK or template.synthesized]
        if run is None:
            if concerned or not scan.templates:
                missed.append(Gap(what=scanner, why="was not asked"))
            continue
        missed += [Gap(what=scanner, why=error) for error in run.errors]
        for template in concerned:
            if not template.resources:
                missed.append(Gap(what=scanner, why=f"{template.name} has no resource to look at"))
            elif template.name not in run.templates and not run.errors:
                missed.append(Gap(what=scanner, why=f"did not read {template.name}"))
    wanted = frozenset(families)
    missed += [
        Gap(what=f"control family {each.family}", why="no rule said anything of any resource")
        for each in coverage(scan)
        if each.family in wanted and not each.examined
    ]
    return tuple(dict.fromkeys(missed))


def open_limits(
    most: Mapping[Severity, int], most_of: Mapping[ControlFamily, Mapping[Severity, int]]
) -> tuple[OpenLimit, ...]:
    """Return a plan's limits of open findings: of all, and of single control families."""
    limits = [OpenLimit(severity=severity, most=count) for severity, count in most.items()]
    limits += [
        OpenLimit(severity=severity, most=count, family=family)
        for family, counts in most_of.items()
        for severity, count in counts.items()
    ]
    return tuple(limits)


def judge_security(
    scan: Scan,
    scanners: Iterable[str],
    families: Iterable[ControlFamily],
    limits: tuple[OpenLimit, ...] = (),
) -> Judgement:
    """Judge what the security scanners saw: examined counts each answer of a rule on a resource."""
    covered = coverage(scan)
    looked_at = {(result.template, result.part) for run in scan.runs for result in run.results}
    unexamined = sum(
        (template.name, part) not in looked_at for template in scan.templates for part in template.resources
    )
    measurements = [
        Measurement(name=f"{each.family}.{name}", value=value, unit="results", samples=each.resources)
        for each in covered
        for name, value in (
            ("examined", each.examined),
            ("passed", each.passed),
            ("failed", each.failed),
            ("skipped", each.skipped),
        )
    ]
    resources = sum(len(template.resources) for template in scan.templates)
    measurements += [
        Measurement(name="templates", value=len(scan.templates), unit="templates", samples=len(scan.templates)),
        Measurement(name="resources", value=resources, unit="resources", samples=resources),
        Measurement(name="resources.no-rule-looked-at", value=unexamined, unit="resources", samples=resources),
        Measurement(name="scan", value=round(scan.seconds, 3), unit="s", samples=len(scan.runs)),
    ]
    return Judgement(
        examined=sum(len(run.results) for run in scan.runs),
        findings=findings(scan),
        gaps=gaps(scan, scanners, families),
        measurements=tuple(measurements),
        limits=limits,
    )


def judge_correctness(scan: Scan, scanner: str) -> Judgement:
    """Judge what a linter saw, which speaks of faults alone: examined counts the resources of what it read."""
    run = next((run for run in scan.runs if run.scanner == scanner), None)
    read = [template for template in scan.templates if run is not None and template.name in run.templates]
    examined = sum(len(template.resources) for template in read)
    return Judgement(
        examined=examined,
        findings=findings(scan),
        gaps=gaps(scan, [scanner], ()),
        measurements=(
            Measurement(name="templates", value=len(read), unit="templates", samples=len(read)),
            Measurement(name="resources", value=examined, unit="resources", samples=examined),
            Measurement(name="rules", value=run.rules_loaded if run else 0, unit="rules", samples=len(read)),
            Measurement(name="scan", value=round(scan.seconds, 3), unit="s", samples=1),
        ),
    )
