"""Gate: is a bad release noticed and taken back by itself, under load, within the limits?

A release that is bad in the plan's way is deployed as canary while load runs. ECS must notice it, roll back, and bring
the previous revision back; the fleet counts what the clients lost meanwhile.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from readiness import contract, drill
from readiness.cloud import translated
from readiness.drill import Release, ServiceState
from readiness.gate import Context, Gate
from readiness.load import Fleet
from readiness.load_result import artifact, requests_between
from readiness.model import Duration, Finding, Gap, Instant, Judgement, Measurement, Ratio, Severity, Stage, record


@record
class Settings:
    """The table ``[gates.settings.rollback]`` of the plan."""

    steady: Duration = timedelta(seconds=8)
    """How long the load runs before the bad release and after the rollback, to prove a steady state each time."""
    max_steady_error_ratio: Ratio = 0.01


@record
class Window:
    """What the clients saw between two instants."""

    requests: int
    failed: int


@record
class Observation:
    """The release's story as ECS tells it, what ran before and after, and what the clients saw."""

    before: ServiceState
    after: ServiceState
    bad_task_definition: str
    injected_at: Instant
    release: Release | None
    last_failure_at: Instant | None
    """The end of the last second, after the order, in which a request failed."""
    steady: Window
    during: Window
    again: Window
    failed_by_second: dict[str, int]
    """Second since the bad release was ordered -> failed requests; seconds without any are left out."""
    problems: tuple[str, ...]
    """Why the fleet saw less than everything."""
    max_detect: Duration
    max_recover: Duration
    max_failed_ratio: Ratio
    artifact: str = ""
    """Every second of the drill's load, in the bundle."""


def observe(ctx: Context, settings: Settings) -> Observation:
    """Deploy the bad release under load and watch it until ECS has ended it one way or the other."""
    plan = ctx.plan.drills.rollback
    ecs = ctx.clients("ecs")
    before = drill.service_state(ecs, ctx.clone)
    bad = drill.register_bad_release(
        ecs, before.task_definition, plan.bad_environment, plan.bad_image, ctx.ledger, ctx.clone.run_id
    )
    fleet = Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, ctx.narrate, repository=ctx.repository)
    try:
        with fleet.drive(rate_per_s=plan.rate_per_s, headers={}, until_stopped=True) as load:
            begun = drill.now()
            _hold(ctx, "steady state before", settings.steady)
            injected_at = drill.now()
            _release(ecs, ctx, bad)
            release = _watch(ctx, injected_at, plan.deadline)
            ended = drill.now()
            _hold(ctx, "steady state after", settings.steady)
            result = load.stop()
        after = drill.service_state(ecs, ctx.clone)
    finally:
        drill.deregister(ecs, bad)
    stopped = drill.now()
    kept = ctx.bundle.write("rollback/rows.json.gz", artifact(result))

    def window(begin: datetime, end: datetime) -> Window:
        requests, failed = requests_between(result, begin, end)
        return Window(requests=requests, failed=failed)

    return Observation(
        before=before,
        after=after,
        bad_task_definition=bad,
        injected_at=injected_at,
        release=release,
        last_failure_at=drill.last_failure_at(result, injected_at),
        steady=window(begun, injected_at),
        during=window(injected_at, ended),
        again=window(ended, stopped),
        failed_by_second=drill.failed_by_second(result, injected_at),
        problems=result.problems,
        max_detect=plan.max_detect,
        max_recover=plan.max_recover,
        max_failed_ratio=plan.max_failed_ratio,
        artifact=kept,
    )


def _release(ecs: object, ctx: Context, task_definition: str) -> None:
    """Order the release as a pipeline would: by pointing the service at another task definition."""
    ctx.narrate("Deploying the bad release as a canary")
    with translated("Updating the service"):
        ecs.update_service(  # type: ignore[attr-defined]
            cluster=ctx.clone.outputs[contract.Output.CLUSTER],
            service=ctx.clone.outputs[contract.Output.SERVICE],
            taskDefinition=task_definition,
        )


def _watch(ctx: Context, since: datetime, within: timedelta) -> Release | None:
    """Watch the release until ECS has ended it; return the last that was seen of it."""
    ecs = ctx.clients("ecs")
    seen: list[Release] = []

    def ended() -> bool:
        release = drill.latest_release(ecs, ctx.clone, since)
        if release is not None:
            seen.append(release)
            ctx.progress({"release": release.status, "since": f"{(drill.now() - since).total_seconds():.0f} s"})
        return release is not None and release.status in drill.ENDED

    drill.wait_for(ended, within)
    return seen[-1] if seen else None


def _hold(ctx: Context, what: str, duration: timedelta) -> None:
    """Let the load run on for a while."""
    until = time.monotonic() + duration.total_seconds()
    while (left := until - time.monotonic()) > 0:
        ctx.progress({what: f"{left:.0f} s to go"})
        time.sleep(min(drill.POLL_S, left))


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find a release that was not taken back, a previous revision that is not back, and limits that were not kept.

    A release that never took effect was rolled back from nothing: then there is nothing to find, only a gap.
    """
    gaps = _blindness(seen, settings)
    findings = [*_outcome_of_release(seen), *_what_runs(seen), *_limits(seen, settings)] if _took_effect(seen) else []
    requests = seen.steady.requests + seen.during.requests + seen.again.requests
    return Judgement(
        examined=0 if seen.release is None else 1,
        findings=tuple(findings),
        gaps=tuple(gaps),
        measurements=tuple(_measurements(seen)) if requests else (),
    )


def _took_effect(seen: Observation) -> bool:
    """Say whether the bad release did any harm: a failed request, or a task that failed to start."""
    return bool(seen.during.failed or (seen.release and seen.release.failed_tasks))


def _blindness(seen: Observation, settings: Settings) -> list[Gap]:
    """Return what the drill could not see, without which its end proves nothing."""
    gaps = []
    if seen.release is None:
        gaps.append(Gap(what="the release", why="ECS lists no deployment of it"))
    if not seen.steady.requests or _ratio(seen.steady) > settings.max_steady_error_ratio:
        why = f"{seen.steady.failed} of {seen.steady.requests} requests failed before the bad release"
        gaps.append(Gap(what="a steady state to begin with", why=why))
    if not seen.again.requests:
        gaps.append(Gap(what="the steady state after the rollback", why="no request was made"))
    gaps += [Gap(what="the load of the drill", why=problem) for problem in seen.problems]
    if not _took_effect(seen):
        why = f"none of {seen.during.requests} requests failed and no task did, so the bad release never took effect"
        gaps.append(Gap(what="the bad release", why=why))
    return gaps


def _outcome_of_release(seen: Observation) -> list[Finding]:
    if seen.release is None or seen.release.status == "ROLLBACK_SUCCESSFUL":
        return []
    message = f"the bad release ended as {seen.release.status} instead of being rolled back"
    if seen.release.reason:
        message += f": {seen.release.reason}"
    return [_finding("not-rolled-back", "service", message, Severity.CRITICAL)]


def _what_runs(seen: Observation) -> list[Finding]:
    """Return how what runs now differs from what ran before."""
    findings = []
    if seen.after.task_definition != seen.before.task_definition:
        message = f"runs {seen.after.task_definition}, not the previous {seen.before.task_definition}"
        findings.append(_finding("previous-revision-not-back", "service", message, Severity.CRITICAL))
    strange = sorted(task for task, revision in seen.after.tasks.items() if revision != seen.before.task_definition)
    if strange:
        message = f"{len(strange)} running tasks are not of the previous revision"
        findings.append(_finding("bad-task-left", strange[0], message, Severity.CRITICAL))
    if len(seen.after.tasks) < seen.after.desired:
        message = f"{len(seen.after.tasks)} tasks run, {seen.after.desired} are wanted"
        findings.append(_finding("too-few-tasks", "service", message, Severity.HIGH))
    if seen.after.digests != seen.before.digests:
        message = f"the running image digests changed: {seen.before.digests} -> {seen.after.digests}"
        findings.append(_finding("image-not-back", "service", message, Severity.CRITICAL))
    return findings


def _limits(seen: Observation, settings: Settings) -> list[Finding]:
    findings = []
    for measured in _measurements(seen):
        if measured.threshold is not None and measured.value > measured.threshold:
            message = (
                f"{measured.name} was {measured.value:g} {measured.unit}, at most {measured.threshold:g} is allowed"
            )
            findings.append(_finding("limit-missed", measured.name, message, Severity.HIGH))
    if _ratio(seen.again) > settings.max_steady_error_ratio:
        message = f"{seen.again.failed} of {seen.again.requests} requests failed after the rollback had ended"
        findings.append(_finding("no-steady-state-after", "service", message, Severity.HIGH))
    return findings


def _measurements(seen: Observation) -> list[Measurement]:
    release = seen.release
    found = [
        Measurement(
            name="failed requests during the release",
            value=_ratio(seen.during),
            unit="ratio",
            samples=seen.during.requests,
            threshold=seen.max_failed_ratio,
            comparison="<=",
        ),
    ]
    instants = (
        ("order to detection", release.rollback_started_at if release else None, seen.max_detect),
        ("order to rolled back", release.finished_at if release else None, None),
        ("order to last failed request", seen.last_failure_at, seen.max_recover),
    )
    found += [
        Measurement(
            name=name,
            value=round((at - seen.injected_at).total_seconds(), 3),
            unit="s",
            samples=1,
            threshold=limit.total_seconds() if limit else None,
            comparison="<=" if limit else None,
        )
        for name, at, limit in instants
        if at is not None
    ]
    return found


def _ratio(window: Window) -> float:
    return window.failed / window.requests if window.requests else 0.0


def _finding(rule: str, subject: str, message: str, severity: Severity) -> Finding:
    return Finding(
        rule=f"rollback/{rule}",
        subject=subject,
        severity=severity,
        message=message,
        help="Look at the service's deployments and events, the deployment's alarms, and the circuit breaker.",
    )


GATE = Gate(
    id="rollback",
    question="Is a bad release noticed and taken back, under load, within the limits?",
    stage=Stage.DISRUPTIVE,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=50,
)
