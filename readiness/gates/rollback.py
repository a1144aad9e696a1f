"""Gate: is a bad release taken back under load, by ECS itself and by the runbook, within the limits?

For each bad release of the plan: it is deployed as canary while load runs, and ECS must notice it and roll back by
itself. Then one is let out fully, with nothing that takes it back; once an alarm has fired, the harness follows the
runbook's steps as an engineer on call would. Each time the previous revision must be back, everywhere, and the
objectives met again. The fleet counts what the clients lost meanwhile.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from readiness import drill, drill_clients, drill_release, runbook_steps, staging
from readiness.drill import Release, ServiceState
from readiness.drill_clients import ClientsSeen, Window
from readiness.drill_release import StoppedTask
from readiness.drill_timeline import Timeline
from readiness.errors import ReadinessError
from readiness.gate import Context, Gate
from readiness.load import Fleet
from readiness.load_result import LoadResult, artifact
from readiness.model import (
    BadRelease,
    Duration,
    Finding,
    Gap,
    Instant,
    Judgement,
    Measurement,
    Ratio,
    Severity,
    Stage,
    record,
)
from readiness.runbook import content_hash
from readiness.runbook_steps import StepRun

Way = Literal["automatic", "runbook"]
ReleaseKind = Literal["errors", "slow", "crash", "never-healthy", "unpullable"]
_FOLDER = "runbooks"


@record
class Settings:
    """The table ``[gates.settings.rollback]`` of the plan."""

    steady: Duration = timedelta(seconds=6)
    """How long the load runs before each bad release and after it is gone, to prove a steady state each time."""
    settle: Duration = timedelta(minutes=5)
    """How long the alarms may take to be OK before a bad release is ordered."""
    restored: Duration = timedelta(minutes=1)
    """How long tasks of the previous revision may take to be all there once the release has ended."""


@record
class Limits:
    """What a rehearsal may take."""

    max_detect: Duration
    max_recover: Duration
    max_failed_ratio: Ratio
    max_failed_requests: int | None


@record
class Rehearsal:
    """One bad release: what ran before and after, and what happened when.

    Attributes:
        way: Who takes it back: ECS by itself, or whoever follows the runbook.
        effective_at: When the bad release was fully out; by the runbook only.
        detected_at: When the first alarm fired or the circuit breaker tripped.
        decided_at: When the way back began.
        rolled_back_at: When the release that brings the previous revision back, or the rollback, had ended.
        failed_tasks: The most failed tasks of the bad release that ECS told of.
        stopped: Tasks of the bad release that failed, and why.
        release: The bad release's story, as ECS tells it.
        steps: What became of the runbook's steps.
        runbook_fault: Why it could not be followed at all.
        runbook_hash: The runbook's content hash, in the wording that was followed.
        put_back: Whether the harness had to bring the previous revision back by itself afterwards.
    """

    way: Way
    kind: ReleaseKind
    limits: Limits
    before: ServiceState
    after: ServiceState
    alarms_before: dict[str, str]
    bad_task_definition: str
    begun_at: Instant
    injected_at: Instant
    effective_at: Instant | None = None
    detected_at: Instant | None = None
    decided_at: Instant | None = None
    rolled_back_at: Instant | None = None
    restored_at: Instant
    ended_at: Instant
    failed_tasks: int
    stopped: tuple[StoppedTask, ...]
    release: Release | None
    runbook: str = ""
    steps: tuple[StepRun, ...] = ()
    planned_steps: tuple[str, ...] = ()
    runbook_fault: str = ""
    runbook_hash: str = ""
    put_back: bool = False

    @property
    def name(self) -> str:
        """What it is called in findings."""
        return f"{self.kind}, {'rolled back by itself' if self.way == 'automatic' else 'taken back by the runbook'}"


@record
class Followed:
    """How a runbook was followed; its parts are those of a ``Rehearsal``."""

    steps: tuple[StepRun, ...] = ()
    planned_steps: tuple[str, ...] = ()
    runbook_fault: str = ""
    runbook_hash: str = ""


@record
class Observation:
    """Each rehearsal, and what the clients saw during all of them."""

    rehearsals: tuple[Rehearsal, ...]
    clients: ClientsSeen
    recovered_for: Duration
    artifact: str
    """The load's every row, in the bundle."""


# --- observing -------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """Rehearse each way back, one after the other, under one load that is never interrupted."""
    plan = ctx.plan.drills.rollback
    fleet = Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, ctx.narrate, repository=ctx.repository)
    rehearsals = []
    with fleet.drive(rate_per_s=plan.rate_per_s, headers={}, until_stopped=True) as load:
        for bad in plan.bad:
            rehearsals.append(rehearse(ctx, settings, "automatic", bad))
        rehearsals.append(rehearse(ctx, settings, "runbook", next(bad for bad in plan.bad if bad.starts)))
        result = load.stop()
    return observed(ctx, tuple(rehearsals), result)


def observed(ctx: Context, rehearsals: tuple[Rehearsal, ...], result: LoadResult) -> Observation:
    """Return the observation of rehearsals under one load, whose every row goes into the bundle."""
    return Observation(
        rehearsals=rehearsals,
        clients=drill_clients.clients_seen(result, drill_clients.watched_objectives(ctx.plan)),
        recovered_for=ctx.plan.drills.rollback.recovered_for,
        artifact=ctx.bundle.write("rollback/rows.json.gz", artifact(result)),
    )


def rehearse(ctx: Context, settings: Settings, way: Way, bad: BadRelease) -> Rehearsal:
    """Prove a steady state, let the bad release out, have it taken back, and prove a steady state again."""
    ecs, cloudwatch = ctx.clients("ecs"), ctx.clients("cloudwatch")
    timeline = Timeline(f"{way} rollback, {bad.kind}", ctx.narrate, ctx.progress)
    configuration = drill_release.configuration_of(ecs, ctx.clone)
    alarms = drill_release.deployment_alarms(configuration) or tuple(staging.alarms(ctx.clone).values())
    alarms_before = drill_release.settle(cloudwatch, alarms, settings.settle)
    begun_at = drill.now()
    _hold(ctx, "steady state before", settings.steady)
    before = drill.service_state(ecs, ctx.clone)
    definition = drill.register_bad_release(ecs, before.task_definition, bad, ctx.ledger, ctx.clone.run_id)
    try:
        act = _by_itself if way == "automatic" else _by_runbook
        try:
            seen = act(ctx, settings, definition, alarms, configuration, timeline)
            after = drill_release.await_state(ecs, ctx.clone, drill_release.runs_only(before), settings.restored)
            back = drill_release.runs_only(before)(after)
            restored_at = timeline.mark("previous revision runs alone") if back else drill.now()
            _hold(ctx, "steady state after", max(settings.steady, ctx.plan.drills.rollback.recovered_for))
            ended_at = drill.now()
            stopped = drill_release.stopped_tasks(ecs, ctx.clone, definition)
        except BaseException:  # whoever interrupts is not kept waiting, but the way back is ordered
            _put_back(ctx, before, configuration, way, wait=False)
            raise
        put_back = _put_back(ctx, before, configuration, way, wait=True)
    finally:
        drill.deregister(ecs, definition)
    return Rehearsal(
        way=way,
        kind=bad.kind,
        limits=_limits(ctx, way),
        before=before,
        after=after,
        alarms_before=alarms_before,
        bad_task_definition=definition,
        begun_at=begun_at,
        restored_at=restored_at,
        ended_at=ended_at,
        stopped=stopped,
        put_back=put_back,
        **seen,
    )


def _limits(ctx: Context, way: Way) -> Limits:
    plan = ctx.plan.drills.rollback
    source = plan if way == "automatic" else plan.runbook
    return Limits(
        max_detect=source.max_detect,
        max_recover=source.max_recover,
        max_failed_ratio=source.max_failed_ratio,
        max_failed_requests=source.max_failed_requests,
    )


def _by_itself(
    ctx: Context,
    settings: Settings,
    definition: str,
    alarms: tuple[str, ...],
    configuration: Mapping[str, Any],
    timeline: Timeline,
) -> dict[str, Any]:
    """Order the bad release as a canary, and watch ECS take it back."""
    ecs = ctx.clients("ecs")
    injected_at = timeline.mark("inject: the bad release is ordered")
    drill_release.order(ecs, ctx.clone, definition)

    def show(release: Release) -> None:
        if release.alarms:
            timeline.mark(
                f"alarm: {', '.join(release.alarms)}",
                drill_release.first_alarm_at(ctx.clients("cloudwatch"), release.alarms, injected_at),
            )
        if release.rollback_started_at:
            timeline.mark("decide: ECS rolls back", release.rollback_started_at)
        timeline.show(release.status)

    release, failed_tasks = drill_release.watch(ecs, ctx.clone, injected_at, ctx.plan.drills.rollback.deadline, show)
    decided_at = release.rollback_started_at if release else None
    ended = release.finished_at if release and release.status == "ROLLBACK_SUCCESSFUL" else None
    if ended:
        timeline.mark("rolled back", ended)
    alarmed = (
        drill_release.first_alarm_at(ctx.clients("cloudwatch"), release.alarms, injected_at)
        if release and release.alarms
        else None
    )
    return {
        "injected_at": injected_at,
        "detected_at": alarmed or decided_at,
        "decided_at": decided_at,
        "rolled_back_at": ended,
        "failed_tasks": failed_tasks,
        "release": release,
    }


def _by_runbook(
    ctx: Context,
    settings: Settings,
    definition: str,
    alarms: tuple[str, ...],
    configuration: Mapping[str, Any],
    timeline: Timeline,
) -> dict[str, Any]:
    """Let the bad release out fully, wait for the alarm that would call somebody, and follow the runbook."""
    plan = ctx.plan.drills.rollback
    ecs, cloudwatch = ctx.clients("ecs"), ctx.clients("cloudwatch")
    injected_at = timeline.mark("inject: the bad release is ordered, with nothing that takes it back")
    ctx.ledger.note("about-to-inject", kind="deployment-configuration", name=definition)
    drill_release.order(ecs, ctx.clone, definition, drill_release.unguarded(configuration))
    release, failed_tasks = drill_release.watch(
        ecs, ctx.clone, injected_at, plan.deadline, lambda release: timeline.show(release.status)
    )
    out = release is not None and release.status == "SUCCESSFUL"
    if out and release is not None:
        timeline.mark("the bad release is fully out", release.finished_at)
    detected: list[datetime] = []

    def fired() -> bool:
        timeline.show("waiting for an alarm")
        at = drill_release.first_alarm_at(cloudwatch, alarms, injected_at)
        detected.extend([at] if at else [])
        return at is not None

    drill.wait_for(fired, plan.runbook.max_detect if out else timedelta(0))
    if detected:
        timeline.mark("alarm", detected[0])
    decided_at = timeline.mark("decide: the runbook is followed")
    followed = follow_runbook(ctx, plan.runbook.id, timeline)
    back = drill.latest_release(ecs, ctx.clone, decided_at)
    rolled_back_at = back.finished_at if back and back.status == "SUCCESSFUL" else None
    if rolled_back_at:
        timeline.mark("rolled back", rolled_back_at)
    return {
        "injected_at": injected_at,
        "effective_at": release.finished_at if out and release else None,
        "detected_at": detected[0] if detected else None,
        "decided_at": decided_at,
        "rolled_back_at": rolled_back_at,
        "failed_tasks": failed_tasks,
        "release": release,
        "runbook": f"{_FOLDER}/{plan.runbook.id}.md",
        "steps": followed.steps,
        "planned_steps": followed.planned_steps,
        "runbook_fault": followed.runbook_fault,
        "runbook_hash": followed.runbook_hash,
    }


def follow_runbook(ctx: Context, runbook: str, timeline: Timeline) -> Followed:
    """Follow a runbook; return what became of its steps, or why it could not be followed at all."""
    path = ctx.repository / _FOLDER / f"{runbook}.md"
    try:
        text = path.read_text(encoding="utf-8")
        steps = runbook_steps.parse_steps(text, str(path))
    except (OSError, UnicodeDecodeError, ReadinessError) as error:
        return Followed(runbook_fault=str(error))
    wording = content_hash(text)
    planned = tuple(step.id for step in steps.steps)
    known = inputs_of(ctx.clone.outputs)
    missing = sorted(steps.inputs.keys() - known.keys())
    if missing:
        fault = f"it asks for {', '.join(missing)}, which no output of the stack gives"
        return Followed(planned_steps=planned, runbook_fault=fault, runbook_hash=wording)
    environment = runbook_steps.step_environment(ctx.variables)
    values = {name: known[name] for name in steps.inputs}

    def tell(what: str) -> None:
        timeline.mark(what)

    done = runbook_steps.follow(steps, values, environment, cwd=ctx.repository, tell=tell)
    return Followed(steps=done, planned_steps=planned, runbook_hash=wording)


def inputs_of(outputs: Mapping[str, str]) -> dict[str, str]:
    """Return the stack's outputs as inputs of runbooks: ``LoadBalancerArn`` is ``LOAD_BALANCER_ARN``."""
    return {re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", key).upper(): value for key, value in outputs.items()}


def _put_back(ctx: Context, before: ServiceState, configuration: Mapping[str, Any], way: Way, *, wait: bool) -> bool:
    """Leave the service as it was found, whatever the drill did to it; return whether its revision had to be put back.

    A clone that a failed drill left broken would have the gates after it judge the drill.
    """
    ecs = ctx.clients("ecs")
    if drill.service_state(ecs, ctx.clone).task_definition == before.task_definition:
        if way == "runbook":
            drill_release.configure(ecs, ctx.clone, configuration)
        return False
    ctx.narrate("The previous revision was not brought back: the harness does it now")
    if not wait:
        drill_release.order(ecs, ctx.clone, before.task_definition, configuration)
        return True
    ordered_at = drill.now()
    drill_release.order(ecs, ctx.clone, before.task_definition, drill_release.unguarded(configuration))
    drill_release.watch(ecs, ctx.clone, ordered_at, ctx.plan.drills.rollback.deadline, lambda _: None)
    drill_release.configure(ecs, ctx.clone, configuration)
    return True


def _hold(ctx: Context, what: str, duration: timedelta) -> None:
    """Let the load run on for a while."""
    until = time.monotonic() + duration.total_seconds()
    while (left := until - time.monotonic()) > 0:
        ctx.progress({what: f"{left:.0f} s to go"})
        time.sleep(min(drill.POLL_S, left))


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find a release that was not taken back, a previous revision that is not back, and limits that were not kept.

    A release that never took effect was rolled back from nothing: then there is nothing to find, only a gap.
    """
    gaps = [Gap(what="the load of the drill", why=problem) for problem in seen.clients.problems]
    if not seen.clients.watched:
        why = "no objective over all requests has an alarm, so nothing says when the service has recovered"
        gaps.append(Gap(what="recovery", why=why))
    for way in ("automatic", "runbook"):
        if not any(each.way == way for each in seen.rehearsals):
            gaps.append(Gap(what=f"the {way} rollback", why="it was not rehearsed"))
    findings: list[Finding] = []
    measurements: list[Measurement] = []
    for each in seen.rehearsals:
        gaps += _blindness(seen, each)
        if _took_effect(seen, each):
            findings += [*_way_back(each), *_what_runs(each), *_limits_kept(seen, each)]
        if seen.clients.seconds:
            measurements += _measurements(seen, each)
    return Judgement(
        examined=sum(each.release is not None for each in seen.rehearsals),
        findings=tuple(findings),
        gaps=tuple(gaps),
        measurements=tuple(measurements),
    )


def _steady(seen: Observation, each: Rehearsal) -> Window:
    return drill_clients.within(seen.clients, each.begun_at, each.injected_at)


def _disturbed(seen: Observation, each: Rehearsal) -> Window:
    """Return what the clients saw from the order until the service had recovered, or until the end if it did not."""
    return drill_clients.between(seen.clients, each.injected_at, _recovered_at(seen, each) or each.ended_at)


def _again(seen: Observation, each: Rehearsal) -> Window:
    """Return what the clients saw at the end, when all should be well."""
    return drill_clients.within(seen.clients, each.ended_at - seen.recovered_for, each.ended_at)


def _recovered_at(seen: Observation, each: Rehearsal) -> datetime | None:
    """Return when the objectives began to be met again for good measure, seen from when the way back began."""
    if each.decided_at is None or not seen.clients.watched:
        return None
    at = drill_clients.recovered_at(seen.clients, each.decided_at, seen.recovered_for)
    return at if at is not None and at < each.ended_at else None


def _took_effect(seen: Observation, each: Rehearsal) -> bool:
    """Say whether the bad release did the harm that its kind is for."""
    if each.kind == "errors":
        return _more(
            _disturbed(seen, each).failed, _disturbed(seen, each), _steady(seen, each).failed, _steady(seen, each)
        )
    if each.kind == "slow":
        during, steady = _disturbed(seen, each), _steady(seen, each)
        return any(_more(count, during, steady.slow.get(name, 0), steady) for name, count in during.slow.items())
    return bool(each.failed_tasks or each.stopped)


def _more(count: int, during: Window, usual: int, steady: Window) -> bool:
    """Say whether a share of requests grew: by at least one request more than the steady state's share explains."""
    expected = usual / steady.requests * during.requests if steady.requests else 0.0
    return count >= expected + 1


def _blindness(seen: Observation, each: Rehearsal) -> list[Gap]:
    """Return what a rehearsal could not see, without which its end proves nothing."""
    gaps = []
    if each.release is None:
        gaps.append(Gap(what=each.name, why="ECS lists no deployment of the bad release"))
    wrong = drill_clients.missed(_steady(seen, each), seen.clients.watched)
    if not _steady(seen, each).requests:
        wrong = ("no request was made",)
    if wrong:
        gaps.append(Gap(what=f"{each.name}: a steady state to begin with", why="; ".join(wrong)))
    ringing = [f"{name} is {state}" for name, state in each.alarms_before.items() if state != "OK"]
    if ringing or not each.alarms_before:
        why = "; ".join(ringing) or "no alarm was asked"
        gaps.append(Gap(what=f"{each.name}: alarms that are OK to begin with", why=why))
    if not _again(seen, each).requests:
        gaps.append(Gap(what=f"{each.name}: the steady state afterwards", why="no request was made"))
    if not _took_effect(seen, each):
        during = _disturbed(seen, each)
        why = (
            f"of {during.requests} requests {during.failed} failed and {max(during.slow.values(), default=0)} were "
            f"slow, no more than before it, and {each.failed_tasks} tasks failed: the fault never took effect"
        )
        gaps.append(Gap(what=f"{each.name}: the bad release", why=why))
    if each.way == "runbook":
        gaps += _runbook_blindness(each)
    return gaps


def _runbook_blindness(each: Rehearsal) -> list[Gap]:
    gaps = []
    if each.effective_at is None:
        why = f"the bad release ended as {each.release.status if each.release else 'nothing'} and was never fully out"
        gaps.append(Gap(what=f"{each.name}: a release to take back", why=why))
    if not each.planned_steps and not each.runbook_fault:
        gaps.append(Gap(what=each.runbook, why="it has no executable step, so nobody knows whether it works"))
    return gaps


def _way_back(each: Rehearsal) -> list[Finding]:
    """Return what is wrong with how the release was taken back."""
    if each.way == "automatic":
        if each.release is None or each.release.status == "ROLLBACK_SUCCESSFUL":
            return []
        message = f"{each.name}: the bad release ended as {each.release.status} instead of being rolled back"
        if each.release.reason:
            message += f": {each.release.reason}"
        return [_finding("not-rolled-back", each.kind, message, Severity.CRITICAL)]
    found = []
    if each.runbook_fault:
        message = f"{each.runbook} cannot be followed: {each.runbook_fault}"
        found.append(_finding("runbook-unusable", each.runbook, message, Severity.CRITICAL))
    for step in each.steps:
        if step.fault:
            said = (step.stderr or step.stdout).strip().splitlines()
            message = f"step {step.id} of {each.runbook} failed: {step.fault}" + (f": {said[-1][:200]}" if said else "")
            found.append(_finding("runbook-step-failed", f"{each.runbook}#{step.id}", message, Severity.CRITICAL))
    skipped = each.planned_steps[len(each.steps) :]
    if skipped and not found:
        message = f"steps of {each.runbook} were not followed: {', '.join(skipped)}"
        found.append(_finding("runbook-step-failed", each.runbook, message, Severity.CRITICAL))
    return found


def _what_runs(each: Rehearsal) -> list[Finding]:
    """Return how what runs afterwards differs from what ran before."""
    findings = []
    before, after = each.before, each.after
    if after.task_definition != before.task_definition:
        message = f"{each.name}: runs {after.task_definition}, not the previous {before.task_definition}"
        findings.append(_finding("previous-revision-not-back", each.kind, message, Severity.CRITICAL))
    strange = sorted(task for task, revision in after.tasks.items() if revision != before.task_definition)
    if strange:
        message = f"{each.name}: {len(strange)} running tasks are not of the previous revision"
        findings.append(_finding("bad-task-left", strange[0], message, Severity.CRITICAL))
    if len(after.tasks) < max(1, after.desired):
        message = f"{each.name}: {len(after.tasks)} tasks run, {after.desired} are wanted"
        findings.append(_finding("too-few-tasks", each.kind, message, Severity.HIGH))
    if after.digests != before.digests:
        message = f"{each.name}: the running image digests changed: {before.digests} -> {after.digests}"
        findings.append(_finding("image-not-back", each.kind, message, Severity.CRITICAL))
    return findings


def _limits_kept(seen: Observation, each: Rehearsal) -> list[Finding]:
    findings = []
    for measured in _measurements(seen, each):
        if measured.threshold is not None and measured.value > measured.threshold:
            message = (
                f"{measured.name} was {measured.value:g} {measured.unit}, at most {measured.threshold:g} is allowed"
            )
            findings.append(_finding("limit-missed", measured.name, message, Severity.HIGH))
    limits = each.limits
    if each.detected_at is None:
        message = f"{each.name}: no alarm fired within {limits.max_detect.total_seconds():g} s of the order"
        findings.append(_finding("not-detected", each.kind, message, Severity.HIGH))
    if _recovered_at(seen, each) is None and seen.clients.watched:
        lasting = seen.recovered_for.total_seconds()
        message = f"{each.name}: the objectives were never met again for {lasting:g} s"
        findings.append(_finding("not-recovered", each.kind, message, Severity.HIGH))
    wrong = drill_clients.missed(_again(seen, each), seen.clients.watched)
    if wrong:
        message = f"{each.name}: when all was over, objectives were missed: {'; '.join(wrong)}"
        findings.append(_finding("no-steady-state-after", each.kind, message, Severity.HIGH))
    return findings


def _measurements(seen: Observation, each: Rehearsal) -> list[Measurement]:
    """Return counts of requests and the seconds from the order to each instant; what was not seen is left out."""
    during, limits = _disturbed(seen, each), each.limits
    found = []
    if during.requests:
        ratio = during.failed / during.requests
        found.append(_measured(each, "failed", ratio, "ratio", during.requests, limits.max_failed_ratio))
        found.append(_measured(each, "failed", during.failed, "requests", during.requests, limits.max_failed_requests))
        slow = max(during.slow.values(), default=0)
        found.append(_measured(each, "slowed", slow, "requests", during.requests, None))
    instants: tuple[tuple[str, datetime | None, timedelta | None], ...] = (
        ("order to fully out", each.effective_at, None),
        ("order to detection", each.detected_at, limits.max_detect),
        ("order to decision", each.decided_at, None),
        ("order to rolled back", each.rolled_back_at, None),
        ("order to recovery", _recovered_at(seen, each), limits.max_recover),
    )
    for name, at, limit in instants:
        if at is not None:
            seconds = round((at - each.injected_at).total_seconds(), 3)
            found.append(_measured(each, name, seconds, "s", 1, limit.total_seconds() if limit is not None else None))
    return found


def _measured(
    each: Rehearsal, name: str, value: float, unit: str, samples: int, threshold: float | None
) -> Measurement:
    return Measurement(
        name=f"{each.name}: {name}",
        value=value,
        unit=unit,
        samples=samples,
        threshold=threshold,
        comparison=None if threshold is None else "<=",
    )


def _finding(rule: str, subject: str, message: str, severity: Severity) -> Finding:
    return Finding(
        rule=f"rollback/{rule}",
        subject=subject,
        severity=severity,
        message=message,
        help="Look at the service's deployments and events, the deployment's alarms, the circuit breaker, and the "
        "output of the runbook's steps in the observation.",
    )


GATE = Gate(
    id="rollback",
    question="Is a bad release taken back under load, by itself and by the runbook, within the limits?",
    stage=Stage.DISRUPTIVE,
    acts=True,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=50,
)
