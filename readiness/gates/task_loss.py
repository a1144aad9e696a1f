"""Gate: does the service outlive the loss of a task, or of a zone's tasks, under load?

Tasks are stopped while load runs. The objectives must be kept, or no more requests fail than the plan allows; as many
tasks as before must run, and their targets be healthy, in time; and every alarm must be OK at the end.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Any, Literal

from readiness import contract, drill, drill_clients, drill_release, staging
from readiness.cloud import translated
from readiness.drill import ServiceState
from readiness.drill_clients import ClientsSeen, Window
from readiness.drill_timeline import Timeline
from readiness.errors import CloudError
from readiness.gate import Context, Gate
from readiness.load import Fleet, artifact
from readiness.model import Duration, Finding, Gap, Instant, Judgement, Measurement, Severity, Stage, record


@record
class Settings:
    """The table ``[gates.settings.task-loss]`` of the plan."""

    steady: Duration = timedelta(seconds=5)
    """How long the load runs before the loss and after the recovery, to prove a steady state each time."""
    settle: Duration = timedelta(minutes=5)
    """How long the alarms may take to be OK, before the loss and at the end."""


@record
class Lost:
    """A task that was stopped.

    Attributes:
        gone_at: When it was first seen not to run any more; None = never.
    """

    task: str
    zone: str
    gone_at: Instant | None = None


@record
class Observation:
    """What ran before and after, which tasks were lost, and what the clients saw.

    Attributes:
        healthy_before: Healthy targets of the live target group.
        replaced_at: When as many tasks ran as wanted, none of them a lost one, and their targets were healthy.
    """

    lose: Literal["task", "zone"]
    before: ServiceState
    after: ServiceState
    alarms_before: dict[str, str]
    alarms_after: dict[str, str]
    healthy_before: int
    healthy_after: int
    lost: tuple[Lost, ...]
    begun_at: Instant
    injected_at: Instant
    replaced_at: Instant | None
    ended_at: Instant
    clients: ClientsSeen
    max_recover: Duration
    max_failed_requests: int
    artifact: str


# --- observing -------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """Stop the tasks under load, and watch until others stand in for them."""
    plan = ctx.plan.drills.task_loss
    ecs, cloudwatch = ctx.clients("ecs"), ctx.clients("cloudwatch")
    alarms = tuple(staging.alarms(ctx.clone).values())
    timeline = Timeline("task loss", ctx.narrate, ctx.progress)
    fleet = Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, ctx.narrate, repository=ctx.repository)
    with fleet.drive(rate_per_s=plan.rate_per_s, headers={}, until_stopped=True) as load:
        alarms_before = drill_release.settle(cloudwatch, alarms, settings.settle)
        begun_at = drill.now()
        _hold(ctx, "steady state before", settings.steady)
        before, healthy_before = drill.service_state(ecs, ctx.clone), healthy_targets(ctx)
        chosen = choose(zones(ecs, ctx, before), plan.lose)
        injected_at = timeline.mark(f"inject: {len(chosen)} tasks are stopped")
        _stop(ecs, ctx, chosen)
        gone, replaced_at, after, healthy_after = _watch(ctx, chosen, timeline, plan.max_recover)
        _hold(ctx, "steady state after", settings.steady)
        ended_at = drill.now()
        result = load.stop()
    alarms_after = drill_release.settle(cloudwatch, alarms, settings.settle)
    return Observation(
        lose=plan.lose,
        before=before,
        after=after,
        alarms_before=alarms_before,
        alarms_after=alarms_after,
        healthy_before=healthy_before,
        healthy_after=healthy_after,
        lost=tuple(Lost(task=task, zone=zone, gone_at=gone.get(task)) for task, zone in chosen.items()),
        begun_at=begun_at,
        injected_at=injected_at,
        replaced_at=replaced_at,
        ended_at=ended_at,
        clients=drill_clients.clients_seen(result, drill_clients.watched_objectives(ctx.plan)),
        max_recover=plan.max_recover,
        max_failed_requests=plan.max_failed_requests,
        artifact=ctx.bundle.write("task-loss/rows.json.gz", artifact(result)),
    )


def zones(ecs: Any, ctx: Context, state: ServiceState) -> dict[str, str]:
    """Return the availability zone of each running task."""
    if not state.tasks:
        return {}
    with translated("Describing the tasks"):
        told = ecs.describe_tasks(cluster=ctx.clone.outputs[contract.Output.CLUSTER], tasks=sorted(state.tasks)[:100])
    return {task["taskArn"]: task.get("availabilityZone", "") for task in told["tasks"]}


def choose(by_task: dict[str, str], lose: Literal["task", "zone"]) -> dict[str, str]:
    """Return which tasks are stopped: the first by name, or all of the zone that has most.

    Raises:
        CloudError: a zone is to be lost, and no task tells its zone.
    """
    tasks = sorted(by_task)
    if lose == "task" or not tasks:
        return {task: by_task[task] for task in tasks[:1]}
    known = [by_task[task] for task in tasks if by_task[task]]
    if not known:
        raise CloudError("No task of the service tells its availability zone, so no zone can be lost.")
    zone = max(sorted(set(known)), key=known.count)
    return {task: zone for task in tasks if by_task[task] == zone}


def _stop(ecs: Any, ctx: Context, chosen: dict[str, str]) -> None:
    for task in chosen:
        ctx.ledger.note("about-to-inject", kind="task-loss", name=task)
        with translated(f"Stopping {task}"):
            ecs.stop_task(
                cluster=ctx.clone.outputs[contract.Output.CLUSTER], task=task, reason="readiness: drill of a lost task"
            )


def healthy_targets(ctx: Context) -> int:
    """Return how many targets of the live target group are healthy."""
    elbv2 = ctx.clients("elbv2")
    group = drill.live_target_group(elbv2, ctx.clone)
    with translated("Describing target health"):
        told = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return sum(each["TargetHealth"]["State"] == "healthy" for each in told)


def _watch(
    ctx: Context, chosen: dict[str, str], timeline: Timeline, within: timedelta
) -> tuple[dict[str, datetime], datetime | None, ServiceState, int]:
    """Watch until the lost tasks are gone and others stand in for them, or until the time is over."""
    ecs = ctx.clients("ecs")
    gone: dict[str, datetime] = {}
    last: list[tuple[ServiceState, int]] = []

    def replaced() -> bool:
        now, healthy = drill.service_state(ecs, ctx.clone), healthy_targets(ctx)
        last.append((now, healthy))
        for task in chosen:
            if task not in now.tasks and task not in gone:
                gone[task] = timeline.mark(f"lost: task {task.rpartition('/')[2][:8]}")
        timeline.show(f"{len(now.tasks)} of {now.desired} tasks, {healthy} healthy")
        return len(gone) == len(chosen) and len(now.tasks) >= now.desired and healthy >= now.desired

    found = drill.wait_for(replaced, within)
    return gone, timeline.mark("recovered: as many healthy tasks as wanted") if found else None, *last[-1]


def _hold(ctx: Context, what: str, duration: timedelta) -> None:
    until = time.monotonic() + duration.total_seconds()
    while (left := until - time.monotonic()) > 0:
        ctx.progress({what: f"{left:.0f} s to go"})
        time.sleep(min(drill.POLL_S, left))


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find requests that the loss cost, tasks that were not replaced in time, and alarms that are still ringing."""
    gaps = _blindness(seen)
    findings = [*_service(seen), *_clients(seen), *_alarms(seen)] if _was_lost(seen) else []
    return Judgement(
        examined=sum(each.gone_at is not None for each in seen.lost),
        findings=tuple(findings),
        gaps=tuple(gaps),
        measurements=tuple(_measurements(seen)) if _during(seen).requests else (),
    )


def _was_lost(seen: Observation) -> bool:
    return bool(seen.lost) and all(each.gone_at is not None for each in seen.lost)


def _steady(seen: Observation) -> Window:
    return drill_clients.within(seen.clients, seen.begun_at, seen.injected_at)


def _during(seen: Observation) -> Window:
    return drill_clients.between(seen.clients, seen.injected_at, seen.ended_at)


def _blindness(seen: Observation) -> list[Gap]:
    gaps = [Gap(what="the load of the drill", why=problem) for problem in seen.clients.problems]
    if not seen.lost:
        gaps.append(Gap(what="the loss", why="the service ran no task that could be lost"))
    staying = [each.task for each in seen.lost if each.gone_at is None]
    if staying:
        gaps.append(Gap(what="the loss", why=f"stopped tasks went on running: {', '.join(staying)}"))
    if not _during(seen).requests:
        gaps.append(Gap(what="the load of the drill", why="no request was made while tasks were lost"))
    if not seen.clients.watched:
        gaps.append(Gap(what="the objectives", why="none over all requests has an alarm"))
    steady = _steady(seen)
    wrong = drill_clients.missed(steady, seen.clients.watched) if steady.requests else ("no request was made",)
    if wrong:
        gaps.append(Gap(what="a steady state to begin with", why="; ".join(wrong)))
    ringing = [f"{name} is {state}" for name, state in seen.alarms_before.items() if state != "OK"]
    if ringing or not seen.alarms_before:
        gaps.append(Gap(what="alarms that are OK to begin with", why="; ".join(ringing) or "no alarm was asked"))
    if len(seen.before.tasks) < seen.before.desired or seen.healthy_before < seen.before.desired:
        why = f"{len(seen.before.tasks)} tasks ran and {seen.healthy_before} were healthy, of {seen.before.desired}"
        gaps.append(Gap(what="a whole service to begin with", why=why))
    return gaps


def _service(seen: Observation) -> list[Finding]:
    after, limit = seen.after, seen.max_recover.total_seconds()
    if seen.replaced_at is None:
        message = (
            f"after {limit:g} s {len(after.tasks)} tasks run and {seen.healthy_after} targets are healthy, of "
            f"{after.desired} that are wanted"
        )
        return [_finding("not-replaced", "service", message, Severity.CRITICAL)]
    findings = []
    seconds = (seen.replaced_at - seen.injected_at).total_seconds()
    if seconds > limit:
        message = f"the lost tasks were replaced after {seconds:.1f} s, at most {limit:g} s are allowed"
        findings.append(_finding("replaced-too-late", "service", message, Severity.HIGH))
    if after.desired < seen.before.desired or len(after.tasks) < seen.before.desired:
        message = f"{len(after.tasks)} tasks run of {after.desired} wanted; {seen.before.desired} were wanted before"
        findings.append(_finding("count-not-back", "service", message, Severity.HIGH))
    return findings


def _clients(seen: Observation) -> list[Finding]:
    """Return what the loss cost the clients, where it is more than the plan allows."""
    during = _during(seen)
    wrong = drill_clients.missed(during, seen.clients.watched)
    tolerated = seen.max_failed_requests > 0 and during.failed <= seen.max_failed_requests
    if not during.requests or not wrong or tolerated:
        return []
    message = f"objectives were missed ({'; '.join(wrong)}), and {during.failed} requests failed"
    return [_finding("objectives-missed", "clients", message, Severity.HIGH)]


def _alarms(seen: Observation) -> list[Finding]:
    ringing = {name: state for name, state in seen.alarms_after.items() if state != "OK"}
    return [
        _finding("alarm-not-ok", name, f"alarm {name} is {state} when all is over", Severity.HIGH)
        for name, state in ringing.items()
    ]


def _measurements(seen: Observation) -> list[Measurement]:
    during = _during(seen)
    limit_s = seen.max_recover.total_seconds()
    found = [
        Measurement(name="failed during the loss", value=during.failed, unit="requests", samples=during.requests),
        Measurement(
            name="slowed during the loss",
            value=max(during.slow.values(), default=0),
            unit="requests",
            samples=during.requests,
        ),
        Measurement(name="tasks lost", value=len(seen.lost), unit="tasks", samples=len(seen.before.tasks)),
    ]
    instants: tuple[tuple[str, datetime | None, float | None], ...] = (
        ("order to lost", max((each.gone_at for each in seen.lost if each.gone_at), default=None), None),
        ("order to replaced", seen.replaced_at, limit_s),
    )
    found += [
        Measurement(
            name=name,
            value=round((at - seen.injected_at).total_seconds(), 3),
            unit="s",
            samples=1,
            threshold=limit,
            comparison=None if limit is None else "<=",
        )
        for name, at, limit in instants
        if at is not None
    ]
    return found


def _finding(rule: str, subject: str, message: str, severity: Severity) -> Finding:
    return Finding(
        rule=f"task-loss/{rule}",
        subject=subject,
        severity=severity,
        message=message,
        help="Look at the service's events, at the stopped reasons of its tasks, and at desired_count.",
    )


GATE = Gate(
    id="task-loss",
    question="Does the service outlive the loss of a task under load?",
    stage=Stage.DISRUPTIVE,
    acts=True,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=60,
)
