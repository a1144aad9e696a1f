"""Gate: can the engineer on call act on every alarm, by a runbook that somebody else than its author has read?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from readiness import contract
from readiness.gate import Context, Gate
from readiness.model import Duration, Finding, Gap, Judgement, Measurement, Plan, Severity, Stage, record
from readiness.runbook import Runbook, RunbookError, read_runbook, runbook_files
from readiness.scan.findings import fingerprint
from readiness.scan.template import construct_path, read_template
from readiness.scan.values import render

_ALARM_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_NAMED = re.compile(r"\bRunbook: *(\S+?)[.,;)]*(?=\s|$)")
_HELP = "See runbooks/README.md: the form of a runbook, and what a review means."


@record
class Settings:
    """The table ``[gates.settings.runbooks]`` of the plan."""

    folder: str = "runbooks"
    """Where the runbooks are, from the repository's root."""
    max_age: Duration = timedelta(days=180)
    """How old a review may be."""
    rollback: str = "rollback"
    """Id of the runbook that takes a release back; it must exist."""


@record
class Alarm:
    """An alarm of a template.

    Attributes:
        template: The template's name.
        subject: Its construct path, or its logical id.
        description: What it says to whom it wakes.
    """

    template: str
    subject: str
    description: str


@record
class Observation:
    """What was there to read, and on which day, before any opinion about it.

    Attributes:
        on: The day.
        folder: Where runbooks were looked for.
        templates: The templates that were read.
        alarms: The alarms in them.
        promised: Objective, or ``probe`` -> the runbook that the plan names for its alarm.
        objectives: Every objective of the plan.
        runbooks: Those that could be read.
        unreadable: Path -> why it could not be read.
    """

    on: date
    folder: str
    templates: tuple[str, ...]
    alarms: tuple[Alarm, ...]
    promised: dict[str, str]
    objectives: tuple[str, ...]
    runbooks: tuple[Runbook, ...]
    unreadable: dict[str, str]


def observe(ctx: Context, settings: Settings) -> Observation:
    """Read the alarms of every template and every file of the folder."""
    templates = [read_template(path) for path in ctx.templates]
    alarms = [
        Alarm(
            template=template.name,
            subject=construct_path(part) or part.name,
            description=render(part.properties.get("AlarmDescription", ""), template),
        )
        for template in templates
        for part in template.of_kind(*_ALARM_TYPES)
    ]
    runbooks: list[Runbook] = []
    unreadable: dict[str, str] = {}
    for path in runbook_files(ctx.repository / settings.folder):
        try:
            runbooks.append(read_runbook(path, ctx.repository))
        except RunbookError as error:
            unreadable[f"{settings.folder}/{path.name}"] = error.message
    watched = {objective.id: getattr(objective, "alarm", None) for objective in ctx.plan.objectives}
    return Observation(
        on=datetime.now(UTC).date(),
        folder=settings.folder,
        templates=tuple(template.name for template in templates),
        alarms=tuple(alarms),
        promised={name: alarm.runbook for name, alarm in watched.items() if alarm is not None} | _of_probe(ctx.plan),
        objectives=tuple(watched),
        runbooks=tuple(runbooks),
        unreadable=unreadable,
    )


def _of_probe(plan: Plan) -> dict[str, str]:
    """Return the runbook of the synthetic probe's alarm, if it has one."""
    runbook = plan.probe.runbook if plan.probe is not None else None
    return {contract.PROBE: runbook} if runbook is not None else {}


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find alarms without a runbook, and runbooks that are incomplete, unread, or about nothing.

    Examined are the alarms: where there is none, nothing is known of what wakes an engineer.
    """
    findings = [*_alarm_findings(seen), *_rollback_findings(seen, settings), *_plan_findings(seen)]
    for path, why in seen.unreadable.items():
        findings.append(_finding("unreadable", path, Severity.HIGH, why))
    for runbook in seen.runbooks:
        findings += _runbook_findings(runbook, seen, settings)
    gaps = []
    if not seen.templates:
        gaps.append(Gap(what="alarms", why="there is no template to look for them in"))
    elif not seen.alarms:
        gaps.append(Gap(what="alarms", why=f"there is none in {', '.join(seen.templates)}"))
    if not seen.runbooks and not seen.unreadable:
        gaps.append(Gap(what="runbooks", why=f"there is none in {seen.folder}/"))
    count = len(seen.runbooks) + len(seen.unreadable)
    reviewed = sum(_is_reviewed(runbook, seen, settings) for runbook in seen.runbooks)
    return Judgement(
        examined=len(seen.alarms),
        findings=tuple(findings),
        gaps=tuple(gaps),
        measurements=(
            Measurement(name="alarms", value=len(seen.alarms), unit="alarms", samples=len(seen.templates)),
            Measurement(name="runbooks", value=count, unit="runbooks", samples=count),
            Measurement(name="runbooks.reviewed", value=reviewed, unit="runbooks", samples=count),
        ),
    )


def _alarm_findings(seen: Observation) -> Iterator[Finding]:
    """Yield each alarm that does not name exactly one runbook that can be read."""
    readable = {runbook.path for runbook in seen.runbooks}
    for alarm in seen.alarms:
        named = _NAMED.findall(alarm.description)
        if len(named) != 1:
            words = f"names {len(named)} runbooks ({', '.join(named)})" if named else "names no runbook"
            message = f"The alarm {words}; its description must say `Runbook: <path>` once"
            yield _finding("alarm-names-no-runbook", alarm.subject, Severity.HIGH, message, alarm.template)
        elif named[0] not in readable:
            why = seen.unreadable.get(named[0], "there is no such file")
            message = f"The alarm names {named[0]}, which cannot be used: {why}"
            yield _finding("alarm-runbook-missing", alarm.subject, Severity.HIGH, message, alarm.template)


def _rollback_findings(seen: Observation, settings: Settings) -> Iterator[Finding]:
    if not any(runbook.about.id == settings.rollback for runbook in seen.runbooks):
        path = f"{seen.folder}/{settings.rollback}.md"
        yield _finding("no-rollback-runbook", path, Severity.HIGH, "There is no runbook that takes a release back")


def _plan_findings(seen: Observation) -> Iterator[Finding]:
    """Yield each runbook that the plan names for an objective's alarm and that does not name the objective in turn."""
    about = {runbook.path: runbook.about.alarms for runbook in seen.runbooks}
    for objective, path in seen.promised.items():
        if path not in about and path not in seen.unreadable:
            message = f"The plan names it for the alarm of {objective}, and there is no such file"
            yield _finding("runbook-missing", path, Severity.HIGH, message)
        elif path in about and objective not in about[path]:
            message = f"The plan names it for the alarm of {objective}, which its front matter does not list"
            yield _finding("runbook-silent-about-alarm", path, Severity.MEDIUM, message)


def _runbook_findings(runbook: Runbook, seen: Observation, settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with one runbook by itself."""
    for section in runbook.missing_sections:
        yield _finding("section-missing", runbook.path, Severity.HIGH, f"It has no section `## {section}`")
    if not _is_reviewed(runbook, seen, settings):
        void = runbook.void_reviews(seen.on, settings.max_age)
        why = "; ".join(f"{name} {reason}" for name, reason in void.items()) or "nobody signed it"
        yield _finding("no-valid-review", runbook.path, Severity.HIGH, f"It has no valid review: {why}")
    if runbook.about.next_review < seen.on:
        message = f"It was to be reviewed by {runbook.about.next_review}"
        yield _finding("review-due", runbook.path, Severity.MEDIUM, message)
    for block in runbook.blocks:
        if block.fault:
            message = f"Block {block.name or '(no name)'} at line {block.line} {block.fault}"
            yield _finding("block-not-executable", runbook.path, Severity.HIGH, message)
    for objective in runbook.about.alarms:
        if objective not in seen.promised:
            known = "has no alarm" if objective in seen.objectives else "is not in the plan"
            message = f"It is for the alarm of {objective}, which {known}"
            yield _finding("alarm-unknown", runbook.path, Severity.MEDIUM, message)
    for link in runbook.dead_links:
        yield _finding("dead-link", runbook.path, Severity.LOW, f"Its link to {link} leads nowhere in the repository")


def _is_reviewed(runbook: Runbook, seen: Observation, settings: Settings) -> bool:
    void = runbook.void_reviews(seen.on, settings.max_age)
    return any(review.name not in void for review in runbook.about.reviewers)


def _finding(thing: str, subject: str, severity: Severity, message: str, template: str = "") -> Finding:
    rule = f"runbooks/{thing}"
    return Finding(
        rule=rule,
        subject=subject,
        severity=severity,
        message=message,
        help=_HELP,
        fingerprint=fingerprint(rule, template, f"{subject}\n{message}"),
        sources=(rule,),
    )


GATE = Gate(
    id="runbooks",
    question="Can the engineer on call act on every alarm?",
    stage=Stage.BEFORE_DEPLOY,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=30,
)
