"""Gate: can the engineer on call act on every alarm, by a runbook that somebody else than its author has read?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from readiness import contract
from readiness.errors import ReadinessError
from readiness.gate import Context, Gate
from readiness.model import (
    Duration,
    Environment,
    Finding,
    Gap,
    Judgement,
    Measurement,
    Plan,
    Severity,
    Stage,
    record,
    spell_duration,
)
from readiness.plan import parse
from readiness.runbook import INDEX, Runbook, RunbookError, read_runbook, read_text, runbook_files
from readiness.runbook_index import Entry, entries, has_index, index_lines, with_index
from readiness.scan.findings import fingerprint
from readiness.scan.template import construct_path, read_template
from readiness.scan.values import render

_ALARM_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_NAMED = re.compile(r"\bRunbook: *(\S+?)[.,;)]*(?=\s|$)")
SAMPLE_REVIEW = "runbooks/sample-review"
"""Rule of the finding that a runbook's only reviews are samples."""
_HELP = "See runbooks/README.md: the form of a runbook, and what a review means."


@record
class Settings:
    """The table ``[gates.settings.runbooks]`` of the plan."""

    folder: str = "runbooks"
    """Where the runbooks are, from the repository's root."""
    max_age: Duration = timedelta(days=180)
    """How old a review may be."""
    required: tuple[str, ...] = ("deploy", "rollback")
    """Ids of the runbooks that must exist, besides one for each alarm."""
    rehearsed: tuple[str, ...] = ()
    """Ids of the runbooks that a run must have followed as they are now; see ``readiness runbooks rehearsed``."""
    max_rehearsal_age: Duration = timedelta(days=365)
    """How old such a rehearsal may be."""


@record
class Alarm:
    """An alarm of a template.

    Attributes:
        template: The template's name.
        subject: Its construct path, or its logical id.
        names: What a runbook may call it: its construct id (of our own stack: the objective's id), its construct path,
            its logical id, its name.
        description: What it says to whom it wakes.
    """

    template: str
    subject: str
    names: tuple[str, ...]
    description: str


@record
class Observation:
    """What was there to read, and on which day, before any opinion about it.

    Attributes:
        on: The day.
        environment: What the run is for: a sample review counts in a rehearsal only.
        folder: Where runbooks were looked for.
        templates: The templates that were read.
        alarms: The alarms in them.
        promised: Objective, or ``probe`` -> the runbook that the plan names for its alarm.
        runbooks: Those that could be read.
        unreadable: Path -> why it could not be read.
        index: How the index in the folder's README stands.
    """

    on: date
    environment: Environment
    folder: str
    templates: tuple[str, ...]
    alarms: tuple[Alarm, ...]
    promised: dict[str, str]
    runbooks: tuple[Runbook, ...]
    unreadable: dict[str, str] = field(default_factory=dict)
    index: Literal["none", "current", "stale"] = "none"


# --- observing -------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """Read the alarms of every template and every file of the folder."""
    templates = [read_template(path) for path in ctx.templates]
    alarms = [_alarm(part, template) for template in templates for part in template.of_kind(*_ALARM_TYPES)]
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
        environment=ctx.environment,
        folder=settings.folder,
        templates=tuple(template.name for template in templates),
        alarms=tuple(alarms),
        promised={name: alarm.runbook for name, alarm in watched.items() if alarm is not None} | _of_probe(ctx.plan),
        runbooks=tuple(runbooks),
        unreadable=unreadable,
        index=_index(ctx, settings, runbooks),
    )


def _of_probe(plan: Plan) -> dict[str, str]:
    """Return the runbook of the synthetic probe's alarm, if it has one."""
    runbook = plan.probe.runbook if plan.probe is not None else None
    return {contract.PROBE: runbook} if runbook is not None else {}


def _alarm(part: Any, template: Any) -> Alarm:
    path = construct_path(part)
    given = part.properties.get("AlarmName")
    names = (*_watched(path), path, part.name, given if isinstance(given, str) else "")
    return Alarm(
        template=template.name,
        subject=path or part.name,
        names=tuple(dict.fromkeys(name for name in names if name)),
        description=render(part.properties.get("AlarmDescription", ""), template),
    )


def _watched(path: str) -> tuple[str, ...]:
    """Return what front matter calls an alarm: the objective that it is of, or ``probe`` for the synthetic probe's."""
    *_, of, name = ("", *path.split("/"))
    return (name, contract.PROBE) if (of, name) == ("Probe", "Alarm") else (name,)


def _index(ctx: Context, settings: Settings, runbooks: list[Runbook]) -> Literal["none", "current", "stale"]:
    path = ctx.repository / settings.folder / INDEX
    try:
        text = read_text(path)
        if not has_index(text):
            return "none"
        lines = index_lines(entries(runbooks, None, settings.max_age))
        return "current" if with_index(text, lines, INDEX) == text else "stale"
    except RunbookError:
        return "none"
    except ReadinessError:  # half a mark
        return "stale"


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find alarms without a runbook, and runbooks that are incomplete, unread, unrehearsed, or about nothing.

    Examined are the alarms: where there is none, nothing is known of what wakes an engineer.
    """
    findings = [*_alarm_findings(seen), *_plan_findings(seen), *_required_findings(seen, settings)]
    for path, why in seen.unreadable.items():
        findings.append(_finding("unreadable", path, Severity.HIGH, why))
    for runbook in seen.runbooks:
        findings += _runbook_findings(runbook, seen, settings)
    if seen.index == "stale":
        message = "Its index is not what the runbooks say: `readiness runbooks index` writes it again"
        findings.append(_finding("index-stale", f"{seen.folder}/{INDEX}", Severity.MEDIUM, message))
    gaps = []
    if not seen.templates:
        gaps.append(Gap(what="alarms", why="there is no template to look for them in"))
    elif not seen.alarms:
        gaps.append(Gap(what="alarms", why=f"there is none in {', '.join(seen.templates)}"))
    if not seen.runbooks and not seen.unreadable:
        gaps.append(Gap(what="runbooks", why=f"there is none in {seen.folder}/"))
    count = len(seen.runbooks) + len(seen.unreadable)
    counts = {
        "runbooks": count,
        "runbooks.reviewed": sum(bool(_reviews(each, seen, settings)) for each in seen.runbooks),
        "runbooks.rehearsed": sum(not each.unrehearsed(seen.on, settings.max_rehearsal_age) for each in seen.runbooks),
    }
    return Judgement(
        examined=len(seen.alarms),
        findings=tuple(findings),
        gaps=tuple(gaps),
        measurements=(
            Measurement(name="alarms", value=len(seen.alarms), unit="alarms", samples=len(seen.templates)),
            *(Measurement(name=name, value=value, unit="runbooks", samples=count) for name, value in counts.items()),
        ),
    )


def settings_in(plan: Plan, file: str) -> Settings:
    """Return the gate's settings in a plan; *file* names it in an error."""
    return parse(Settings, plan.gates.settings.get(GATE.id, {}), file, f"gates.settings.{GATE.id}")


def index(seen: Observation, settings: Settings) -> tuple[Entry, ...]:
    """Return the index of the runbooks as they stood on the day of the observation, for the reports."""
    return entries(seen.runbooks, seen.on, settings.max_age, samples=_samples_count(seen))


def _alarm_findings(seen: Observation) -> Iterator[Finding]:
    """Yield each alarm that does not name exactly one runbook, or whose runbook does not name it in turn."""
    by_path = {runbook.path: runbook for runbook in seen.runbooks}
    for alarm in seen.alarms:
        claimed_by = [runbook.path for runbook in seen.runbooks if set(runbook.about.alarms) & set(alarm.names)]
        if len(claimed_by) > 1:
            message = f"{len(claimed_by)} runbooks say that they are for the alarm ({', '.join(claimed_by)}): keep one"
            yield _finding("alarm-has-two-runbooks", alarm.subject, Severity.HIGH, message, alarm.template)
        named = _NAMED.findall(alarm.description)
        if len(named) != 1:
            words = f"names {len(named)} runbooks ({', '.join(named)})" if named else "names no runbook"
            message = f"The alarm {words}; its description must say `Runbook: <path>` once"
            yield _finding("alarm-names-no-runbook", alarm.subject, Severity.HIGH, message, alarm.template)
        elif named[0] not in by_path:
            why = seen.unreadable.get(named[0], "there is no such file")
            message = f"The alarm names {named[0]}, which cannot be used: {why}"
            yield _finding("alarm-runbook-missing", alarm.subject, Severity.HIGH, message, alarm.template)
        elif named[0] not in claimed_by:
            others = f"; {', '.join(claimed_by)} does" if claimed_by else ""
            message = f"The alarm {alarm.subject} names it, and its front matter does not list {alarm.names[0]}{others}"
            yield _finding("runbook-silent-about-alarm", named[0], Severity.HIGH, message, alarm.template)


def _plan_findings(seen: Observation) -> Iterator[Finding]:
    """Yield each alarm that the plan asks for and no template has, and each runbook of the plan that is not there."""
    paths = {runbook.path for runbook in seen.runbooks}
    known = {name for alarm in seen.alarms for name in alarm.names}
    for objective, path in seen.promised.items():
        if path not in paths and path not in seen.unreadable:
            message = f"The plan names it for the alarm of {objective}, and there is no such file"
            yield _finding("runbook-missing", path, Severity.HIGH, message)
        if seen.alarms and objective not in known:
            message = f"The plan has an alarm for {objective}, and no template has an alarm of this name"
            yield _finding("alarm-missing", objective, Severity.MEDIUM, message)


def _required_findings(seen: Observation, settings: Settings) -> Iterator[Finding]:
    """Yield each runbook that must exist, or must have been rehearsed, and is not.

    An empty folder is a gap already: it may be the wrong one.
    """
    if not seen.runbooks and not seen.unreadable:
        return
    by_id = {runbook.about.id: runbook for runbook in seen.runbooks}
    for name in dict.fromkeys((*settings.required, *settings.rehearsed)):
        if name not in by_id:
            message = f"The plan requires a runbook {name!r}, and there is none that can be read"
            yield _finding("required-runbook-missing", f"{seen.folder}/{name}.md", Severity.HIGH, message)
        elif name in settings.rehearsed:
            why = by_id[name].unrehearsed(seen.on, settings.max_rehearsal_age)
            if why:
                message = f"The plan requires its rehearsal within {spell_duration(settings.max_rehearsal_age)}: {why}"
                yield _finding("not-rehearsed", by_id[name].path, Severity.HIGH, message)


def _runbook_findings(runbook: Runbook, seen: Observation, settings: Settings) -> Iterator[Finding]:
    """Yield what is wrong with one runbook by itself."""
    for section in runbook.missing_sections:
        yield _finding("section-missing", runbook.path, Severity.HIGH, f"It has no section `## {section}`")
    yield from _review_findings(runbook, seen, settings)
    for block in runbook.blocks:
        if block.fault:
            message = f"Block {block.name or '(no name)'} at line {block.line} {block.fault}"
            yield _finding("block-not-executable", runbook.path, Severity.HIGH, message)
    known = {name for alarm in seen.alarms for name in alarm.names} if seen.alarms else set(seen.promised)
    for name in runbook.about.alarms:
        if name not in known:
            message = f"It is for the alarm {name}, which is not there"
            yield _finding("alarm-unknown", runbook.path, Severity.HIGH, message)
    for link in runbook.dead_links:
        yield _finding("dead-link", runbook.path, Severity.HIGH, f"Its link to {link} leads nowhere in the repository")


def _review_findings(runbook: Runbook, seen: Observation, settings: Settings) -> Iterator[Finding]:
    reviews = _reviews(runbook, seen, settings)
    if not reviews:
        void = runbook.void_reviews(seen.on, settings.max_age, samples=_samples_count(seen))
        why = "; ".join(f"{name} {reason}" for name, reason in void.items()) or "nobody signed it"
        yield _finding("no-valid-review", runbook.path, Severity.HIGH, f"It has no valid review: {why}")
    elif all(review.sample for review in reviews):
        whose = f"Its review by {reviews[0].name} is a sample"
        message = f"{whose}: no person stands behind it, and on AWS it counts for nothing"
        yield _finding(SAMPLE_REVIEW.partition("/")[2], runbook.path, Severity.LOW, message)
    if runbook.about.next_review < seen.on:
        message = f"It was to be reviewed by {runbook.about.next_review}"
        yield _finding("review-due", runbook.path, Severity.MEDIUM, message)


def _reviews(runbook: Runbook, seen: Observation, settings: Settings) -> tuple[Any, ...]:
    return runbook.valid_reviews(seen.on, settings.max_age, samples=_samples_count(seen))


def _samples_count(seen: Observation) -> bool:
    """Say whether a sample stands in for a review: in a rehearsal, and never on the way to production."""
    return seen.environment is Environment.EMULATED


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
