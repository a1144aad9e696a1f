"""Gate: does every alarm fire when it must, reach somebody, and clear when the fault is gone?

For each alarm of the clone: the fault is put in while load runs, ALARM is seen in the alarm's history and received in
the inbox, the fault is taken out, OK is seen and received. Where the plan says ``set-state`` no fault is made: then the
way from the alarm to the inbox is shown, and nothing is claimed of the alarm's own metric.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Literal

from readiness import contract, drill, staging
from readiness.cloud import translated
from readiness.gate import Context, Gate
from readiness.load import Fleet
from readiness.load_result import artifact, requests_between
from readiness.model import AlarmDrill, Duration, Finding, Gap, Instant, Judgement, Measurement, Severity, Stage, record


@record
class Settings:
    """The table ``[gates.settings.alarms]`` of the plan."""

    settle: Duration = timedelta(minutes=5)
    """How long an alarm may take to be OK before the fault is put in."""


@record
class Drilled:
    """What was seen of one alarm."""

    objective: str
    alarm: str
    method: Literal["fault-errors", "fault-slow", "set-state"]
    state_before: str
    injected_at: Instant | None = None
    fault_requests: int = 0
    """Requests that met the fault, as the fleet saw them."""
    requests: int = 0
    problems: tuple[str, ...] = ()
    """Why the fleet saw less than everything."""
    alarm_at: Instant | None = None
    alarm_received_at: Instant | None = None
    removed_at: Instant | None = None
    ok_at: Instant | None = None
    ok_received_at: Instant | None = None
    artifact: str = ""
    """Every second of the drill's load, in the bundle; empty where no load ran."""


@record
class Observation:
    """Every alarm of the clone, those that were drilled, and the limits that hold."""

    alarms: dict[str, str]
    """Objective id -> alarm name."""
    drills: tuple[Drilled, ...]
    max_detect: Duration
    max_clear: Duration


def observe(ctx: Context, settings: Settings) -> Observation:
    """Drill each alarm that the plan names, one after the other."""
    plan = ctx.plan.drills.alarms
    alarms = staging.alarms(ctx.clone)
    inbox = drill.Inbox(sqs=ctx.clients("sqs"), url=ctx.clone.outputs[contract.Output.INBOX_URL])
    drilled = []
    for each in plan.each:
        ctx.narrate(f"Drilling the alarm of {each.objective} by {each.method}")
        act = _set_state if each.method == "set-state" else _fault
        drilled.append(act(ctx, settings, each, alarms[each.objective], inbox))
    return Observation(alarms=alarms, drills=tuple(drilled), max_detect=plan.max_detect, max_clear=plan.max_clear)


def _fault(ctx: Context, settings: Settings, each: AlarmDrill, alarm: str, inbox: drill.Inbox) -> Drilled:
    """Breach the alarm's own metric by the fault target, under load that carries the drill header."""
    plan = ctx.plan.drills.alarms
    elbv2 = ctx.clients("elbv2")
    kind = contract.DRILL_ERROR if each.method == "fault-errors" else contract.DRILL_SLOW
    fleet = Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, ctx.narrate, repository=ctx.repository)
    headers = {contract.DRILL_HEADER: kind}
    with fleet.drive(rate_per_s=plan.rate_per_s, headers=headers, until_stopped=True) as load:
        before = _settle(ctx, alarm, inbox, settings.settle)
        injected_at = drill.now()
        with drill.fault_target(elbv2, ctx.clone, each.fault_percent, ctx.ledger):
            alarm_at, received_at = _await(ctx, inbox, alarm, "ALARM", injected_at, plan.max_detect)
        removed_at = drill.now()
        ok_at, ok_received_at = _await(ctx, inbox, alarm, "OK", removed_at, plan.max_clear)
        result = load.stop()
    kept = ctx.bundle.write(f"alarms/{each.objective}/rows.json.gz", artifact(result))
    requests, failed = requests_between(result, injected_at, removed_at)
    slow = drill.slower_between(result, injected_at, removed_at, plan.fault_delay * 0.9)
    return Drilled(
        objective=each.objective,
        alarm=alarm,
        method=each.method,
        state_before=before,
        injected_at=injected_at,
        fault_requests=failed if each.method == "fault-errors" else slow,
        requests=requests,
        problems=result.problems,
        alarm_at=alarm_at,
        alarm_received_at=received_at,
        removed_at=removed_at,
        ok_at=ok_at,
        ok_received_at=ok_received_at,
        artifact=kept,
    )


def _set_state(ctx: Context, settings: Settings, each: AlarmDrill, alarm: str, inbox: drill.Inbox) -> Drilled:
    """Set the alarm's state by hand; the next evaluation of its metric clears it again."""
    plan = ctx.plan.drills.alarms
    cloudwatch = ctx.clients("cloudwatch")
    before = _settle(ctx, alarm, inbox, settings.settle)
    injected_at = drill.now()
    with translated(f"Setting the state of alarm {alarm}"):
        cloudwatch.set_alarm_state(AlarmName=alarm, StateValue="ALARM", StateReason="readiness: drill of the alarm")
    alarm_at, received_at = _await(ctx, inbox, alarm, "ALARM", injected_at, plan.max_detect)
    removed_at = alarm_at or drill.now()
    ok_at, ok_received_at = _await(ctx, inbox, alarm, "OK", removed_at, plan.max_clear)
    return Drilled(
        objective=each.objective,
        alarm=alarm,
        method=each.method,
        state_before=before,
        injected_at=injected_at,
        alarm_at=alarm_at,
        alarm_received_at=received_at,
        removed_at=removed_at,
        ok_at=ok_at,
        ok_received_at=ok_received_at,
    )


def _settle(ctx: Context, alarm: str, inbox: drill.Inbox, within: timedelta) -> str:
    """Wait until the alarm is OK and return its state at the end of the wait."""
    cloudwatch = ctx.clients("cloudwatch")
    drill.wait_for(lambda: drill.alarm_state(cloudwatch, alarm) == "OK", within)
    inbox.poll()
    return drill.alarm_state(cloudwatch, alarm)


def _await(
    ctx: Context, inbox: drill.Inbox, alarm: str, state: str, since: datetime, within: timedelta
) -> tuple[datetime | None, datetime | None]:
    """Wait for a change of state and its message; return when the alarm changed and when the message was received."""
    cloudwatch = ctx.clients("cloudwatch")
    begun = time.monotonic()
    changed_at: list[datetime] = []

    def seen() -> bool:
        inbox.poll()
        if not changed_at:
            changed_at.extend(at for at, new in drill.state_changes(cloudwatch, alarm, since) if new == state)
        ctx.progress({"alarm": alarm, "waiting for": state, "since": f"{time.monotonic() - begun:.0f} s"})
        return bool(changed_at) and inbox.first(alarm, state, since) is not None

    drill.wait_for(seen, within)
    message = inbox.first(alarm, state, since)
    return (changed_at[0] if changed_at else None), (message.received_at if message else None)


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find each alarm that did not fire, did not reach the inbox, or did not clear; each too late is a finding too."""
    findings: list[Finding] = []
    gaps = [
        Gap(what=f"alarm {objective}", why="the plan names no drill for it, so nobody saw it fire")
        for objective in seen.alarms
        if objective not in {each.objective for each in seen.drills}
    ]
    measurements: list[Measurement] = []
    for each in seen.drills:
        gap = _blindness(each)
        if gap is not None:
            gaps.append(gap)
            continue
        findings += _faults(each, seen)
        measurements += _latencies(each, seen)
    return Judgement(
        examined=len(seen.drills), findings=tuple(findings), gaps=tuple(gaps), measurements=tuple(measurements)
    )


def _blindness(each: Drilled) -> Gap | None:
    """Return why a drill says nothing about its alarm, if it does not."""
    if each.state_before != "OK":
        why = f"it was {each.state_before} before the drill, so a change by the fault could not be told apart"
        return Gap(what=f"alarm {each.objective}", why=why)
    if each.method != "set-state" and not each.fault_requests:
        why = f"none of {each.requests} requests met the fault, so it never took effect"
        return Gap(what=f"alarm {each.objective}", why=why)
    if each.problems:
        return Gap(what=f"the load of the drill of {each.objective}", why="; ".join(each.problems))
    return None


def _faults(each: Drilled, seen: Observation) -> list[Finding]:
    """Return what is wrong with one alarm."""
    steps = (
        ("never-fired", each.alarm_at, "did not go to ALARM", seen.max_detect),
        ("not-notified", each.alarm_received_at, "went to ALARM, but no message of it was received", seen.max_detect),
        ("not-cleared", each.ok_at, "did not go back to OK after the fault was taken out", seen.max_clear),
        ("recovery-not-notified", each.ok_received_at, "went back to OK, but no message was received", seen.max_clear),
    )
    for rule, at, words, limit in steps:
        if at is None:
            return [
                Finding(
                    rule=f"alarms/{rule}",
                    subject=each.objective,
                    severity=Severity.HIGH,
                    message=f"{each.alarm} {words} within {limit.total_seconds():g} s",
                    help="Look at the alarm's history, its actions and the topic's subscriptions.",
                )
            ]
    return []


def _latencies(each: Drilled, seen: Observation) -> list[Measurement]:
    """Return the latencies of one drill, in seconds; what was not seen is left out, and is a finding already."""
    pairs = (
        ("fault to alarm", each.injected_at, each.alarm_at, seen.max_detect),
        ("alarm to message", each.alarm_at, each.alarm_received_at, None),
        ("fault out to OK", each.removed_at, each.ok_at, seen.max_clear),
        ("OK to message", each.ok_at, each.ok_received_at, None),
    )
    return [
        Measurement(
            name=f"{each.objective}: {name} ({each.method})",
            value=round(max(0.0, (end - begin).total_seconds()), 3),
            unit="s",
            samples=1,
            threshold=limit.total_seconds() if limit else None,
            comparison="<=" if limit else None,
        )
        for name, begin, end, limit in pairs
        if begin is not None and end is not None
    ]


GATE = Gate(
    id="alarms",
    question="Does every alarm fire, reach somebody, and clear?",
    stage=Stage.STEADY,
    acts=True,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    order=60,
)
