"""Gate: does every alarm fire when it must, reach somebody, and clear when the fault is gone?

Before anything is broken: every alarm must tell the topic, somebody must listen to it, and every alarm must name its
runbook. Then for each alarm of the clone its own metric is breached where a drill can do that, ALARM is seen in the
alarm's history and received in the inbox, the fault is taken out, OK is seen and received. Only where no fault can be
made is the state set by hand: that shows the way from the alarm to the inbox, and nothing is claimed of its metric.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from datetime import datetime, timedelta

from readiness import alarm_wiring, contract, drill, drill_faults, drill_orders
from readiness.alarm_wiring import Wiring
from readiness.drill import Notification
from readiness.drill_faults import Effect
from readiness.drill_orders import Order
from readiness.drill_timeline import Timeline
from readiness.gate import Context, Gate
from readiness.load import Fleet, Load
from readiness.load_result import LoadResult, artifact, requests_between
from readiness.model import (
    DrillMethod,
    Duration,
    Environment,
    Finding,
    Gap,
    Instant,
    Judgement,
    Measurement,
    Severity,
    Stage,
    record,
)

_ACCOUNT = 4
"""Where an ARN has the account, between its colons."""
_HEADERS = {"fault-errors": contract.DRILL_ERROR, "fault-slow": contract.DRILL_SLOW}


@record
class Settings:
    """The table ``[gates.settings.alarms]`` of the plan."""

    settle: Duration = timedelta(minutes=5)
    """How long an alarm may take to be OK before the fault is put in."""
    confirm: Duration = timedelta(minutes=5)
    """How long somebody may take to confirm a subscription, as long as nobody has confirmed any."""
    people: tuple[str, ...] = ("email", "email-json", "sms", "application", "http", "https")
    """Protocols of SNS by which a person is reached, at first hand or by a paging service."""


@record
class Drilled:
    """What was seen of one alarm.

    Attributes:
        objective: Id of the objective that it watches, ``probe``, or its own name where it is of neither.
        method: How it was made to fire.
        by: The alarm whose fault this was too, for a composite alarm.
        effect: What was seen of the fault besides the alarm itself; "" = nothing, so it may never have been.
        fault_requests: Requests that met the fault, as the fleet saw them.
        problems: Why the fleet saw less than everything.
        alarm_message: The first message of this alarm's ALARM after the fault was put in.
        artifact: Every second of the drill's load, in the bundle; empty where no load ran.
    """

    objective: str
    alarm: str
    arn: str
    method: DrillMethod
    by: str = ""
    state_before: str
    injected_at: Instant | None = None
    effect: str = ""
    fault_requests: int = 0
    requests: int = 0
    problems: tuple[str, ...] = ()
    alarm_at: Instant | None = None
    alarm_message: Notification | None = None
    removed_at: Instant | None = None
    ok_at: Instant | None = None
    ok_message: Notification | None = None
    artifact: str = ""

    @property
    def alarm_received_at(self) -> datetime | None:
        """When the message of ALARM was received."""
        return self.alarm_message.received_at if self.alarm_message else None

    @property
    def ok_received_at(self) -> datetime | None:
        """When the message of OK was received."""
        return self.ok_message.received_at if self.ok_message else None


@record
class Observation:
    """Every alarm of the clone, how they are wired, those that were drilled, and the limits that hold.

    Attributes:
        undrilled: Alarm -> why it could not be drilled.
        promised: Subjects of the alarms that the stack has by the plan.
        strangers: Messages in the inbox that are of no alarm of this clone.
        taken_as_confirmed: Addresses that the embedded AWS takes as confirmed because the plan says so.
    """

    wiring: Wiring
    drills: tuple[Drilled, ...]
    undrilled: dict[str, str]
    strangers: int = 0
    taken_as_confirmed: tuple[str, ...] = ()
    max_detect: Duration
    max_clear: Duration
    promised: tuple[str, ...] = ()


# --- observing -------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """See how the alarms are wired, then drill each, one after the other."""
    plan = ctx.plan.drills.alarms
    wiring = _wiring(ctx, settings)
    for finding in alarm_wiring.faults(wiring, ()):
        ctx.narrate(f"Before the drills: {finding.message}")
    made, refused = drill_orders.orders(ctx.plan, wiring.alarms)
    inbox = drill.Inbox(sqs=ctx.clients("sqs"), url=ctx.clone.outputs[contract.Output.INBOX_URL])
    drilled = []
    for order in made:
        timeline = Timeline(f"alarm {order.subject}", ctx.narrate, ctx.progress)
        watch = _Watch(ctx, order, inbox, timeline, _told_states(wiring, order))
        drilled.append(_silence(watch, settings) if order.method == "no-traffic" else _fault(watch, settings))
    known = {each.arn for each in wiring.alarms}
    return Observation(
        wiring=wiring,
        drills=tuple(drilled),
        undrilled=refused,
        strangers=sum(each.arn not in known for each in inbox.received),
        taken_as_confirmed=ctx.plan.embedded.confirms if ctx.environment is Environment.EMULATED else (),
        max_detect=plan.max_detect,
        max_clear=plan.max_clear,
        promised=drill_orders.alarmed(ctx.plan),
    )


def _wiring(ctx: Context, settings: Settings) -> Wiring:
    """Return how the alarms are wired; whoever has still to confirm a subscription is waited for."""
    wirings = [alarm_wiring.read(ctx.clients, ctx.clone, ctx.repository, settings.people)]
    pending = [each.endpoint for each in wirings[0].persons if not each.confirmed]

    def heard() -> bool:
        ctx.progress({"waiting for a confirmation by": ", ".join(pending)})
        wirings.append(alarm_wiring.read(ctx.clients, ctx.clone, ctx.repository, settings.people))
        return any(each.confirmed for each in wirings[-1].persons)

    if pending and len(pending) == len(wirings[0].persons) and settings.confirm:
        ctx.narrate(f"Nobody has confirmed a subscription yet; waiting for {', '.join(pending)}")
        drill.wait_for(heard, settings.confirm)
    return wirings[-1]


def _told_states(wiring: Wiring, order: Order) -> frozenset[str]:
    """Return the states of which an alarm tells the topic: no message is waited for that nobody will send."""
    alarm = next(each for each in wiring.alarms if each.name == order.alarm)
    if not alarm.actions_enabled or alarm.muted_by:
        return frozenset()
    actions = {"ALARM": alarm.alarm_actions, "OK": alarm.ok_actions}
    return frozenset(state for state, arns in actions.items() if wiring.topic in arns)


class _Watch:
    """Watches one alarm and the inbox during its drill.

    Attributes:
        changed_at: State -> when the alarm first changed into it.
        messages: State -> the first message of it.
        effect: What was seen of the fault.
    """

    def __init__(
        self, ctx: Context, order: Order, inbox: drill.Inbox, timeline: Timeline, told: frozenset[str]
    ) -> None:
        self.ctx = ctx
        self.order = order
        self.timeline = timeline
        self.changed_at: dict[str, datetime] = {}
        self.messages: dict[str, Notification] = {}
        self.effect = ""
        self._inbox = inbox
        self._told = told
        self._cloudwatch = ctx.clients("cloudwatch")

    def settle(self, within: timedelta) -> str:
        """Wait until the alarm is OK; return its state at the end of the wait."""
        name = self.order.alarm

        def is_ok() -> bool:
            self.timeline.show("waiting for a steady state")
            return drill.alarm_state(self._cloudwatch, name) == "OK"

        drill.wait_for(is_ok, within)
        self._inbox.poll()
        return drill.alarm_state(self._cloudwatch, name)

    def until(self, state: str, since: datetime, within: timedelta, effect: Effect = lambda: "") -> None:
        """Wait until the alarm has changed into a state after an instant, and its message is there if it sends one."""
        words = {"ALARM": "alarm", "OK": "cleared"}[state]

        def seen() -> bool:
            self._inbox.poll()
            if not self.effect and (told := effect()):
                self.effect = told
                self.timeline.mark(f"effective: {told}")
            if state not in self.changed_at:
                changes = drill.state_changes(self._cloudwatch, self.order.alarm, since)
                at = next((at for at, new in changes if new == state), None)
                if at is not None:
                    self.changed_at[state] = self.timeline.mark(words, at)
            message = self._inbox.first(self.order.arn, state, since)
            if message is not None and state not in self.messages:
                self.messages[state] = message
                self.timeline.mark(f"message of {state}", message.received_at)
            self.timeline.show(f"waiting for {state}")
            return state in self.changed_at and (state in self.messages or state not in self._told)

        drill.wait_for(seen, within)

    def until_cleared(self, since: datetime, within: timedelta) -> None:
        """Wait until the alarm is OK again; one that never rang has nothing to clear."""
        if "ALARM" in self.changed_at:
            self.until("OK", since, within)


def _fault(watch: _Watch, settings: Settings) -> Drilled:
    """Put the fault in, see the alarm, take the fault out, see the alarm clear; under load where requests breach it."""
    ctx, order = watch.ctx, watch.order
    plan = ctx.plan.drills.alarms
    with ExitStack() as stack:
        kind = _HEADERS.get(order.method)
        load = stack.enter_context(_load(ctx, {contract.DRILL_HEADER: kind})) if kind else None
        before = watch.settle(settings.settle)
        injected_at = watch.timeline.mark(f"inject: {order.method}")
        with _injected(ctx, order) as effect:
            watch.until("ALARM", injected_at, plan.max_detect, effect)
        removed_at = drill.now()
        if not order.breaches:  # nothing was put in: the next evaluation clears it, before its message is here perhaps
            removed_at = watch.changed_at.get("ALARM", removed_at)
        watch.timeline.mark("the fault is out", removed_at)
        watch.until_cleared(removed_at, plan.max_clear)
        result = load.stop() if load else None
    return _drilled(watch, before, injected_at, removed_at, result)


def _silence(watch: _Watch, settings: Settings) -> Drilled:
    """Let no request come until the alarm rings, and let them come again."""
    ctx, plan = watch.ctx, watch.ctx.plan.drills.alarms
    with _load(ctx, {}) as load:
        before = watch.settle(settings.settle)
        load.stop()
    injected_at = watch.timeline.mark("inject: no traffic")
    watch.until("ALARM", injected_at, plan.max_detect)
    with _load(ctx, {}) as load:
        removed_at = watch.timeline.mark("the fault is out: requests come again")
        watch.effect = f"no request came for {(removed_at - injected_at).total_seconds():.0f} s"
        watch.until_cleared(removed_at, plan.max_clear)
        load.stop()
    return _drilled(watch, before, injected_at, removed_at, None)


def _load(ctx: Context, headers: dict[str, str]) -> AbstractContextManager[Load]:
    fleet = Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, ctx.narrate, repository=ctx.repository)
    return fleet.drive(rate_per_s=ctx.plan.drills.alarms.rate_per_s, headers=headers, until_stopped=True)


def _injected(ctx: Context, order: Order) -> AbstractContextManager[Effect]:
    """Return what has the fault of a drill in place while its block lasts."""
    clone, ledger = ctx.clone, ctx.ledger
    if order.method == "unhealthy-targets":
        return drill_faults.unhealthy_targets(ctx.clients, clone, order.targets, ledger)
    if order.method == "probe-fault":
        return drill_faults.failing_probe(ctx.clients, clone, ledger)
    if order.method == "set-state":
        return drill_faults.set_by_hand(ctx.clients("cloudwatch"), order.set_by_hand, ledger)
    return drill_faults.bad_answers(ctx.clients, clone, order.fault_percent, ledger)


def _drilled(
    watch: _Watch, before: str, injected_at: datetime, removed_at: datetime, result: LoadResult | None
) -> Drilled:
    """Return what was seen of one alarm; the load of its drill goes into the bundle."""
    order, ctx = watch.order, watch.ctx
    met = requests = 0
    if result is not None:
        requests, met = requests_between(result, injected_at, removed_at)
        if order.method == "fault-slow":
            met = drill.slower_between(result, injected_at, removed_at, ctx.plan.drills.alarms.fault_delay * 0.9)
        watch.effect = f"{met} of {requests} requests met the fault" if met else ""
    return Drilled(
        objective=order.subject,
        alarm=order.alarm,
        arn=order.arn,
        method=order.method,
        by=order.by,
        state_before=before,
        injected_at=injected_at,
        effect=watch.effect,
        fault_requests=met,
        requests=requests,
        problems=result.problems if result else (),
        alarm_at=watch.changed_at.get("ALARM"),
        alarm_message=watch.messages.get("ALARM"),
        removed_at=removed_at,
        ok_at=watch.changed_at.get("OK"),
        ok_message=watch.messages.get("OK"),
        artifact=ctx.bundle.write(f"alarms/{order.subject}/rows.json.gz", artifact(result)) if result else "",
    )


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find each alarm that tells nobody, did not fire, did not reach the inbox, or did not clear in time."""
    messages = [each for drilled in seen.drills for each in (drilled.alarm_message, drilled.ok_message) if each]
    findings = alarm_wiring.faults(seen.wiring, messages)
    gaps = [Gap(what=f"alarm {subject}", why=why) for subject, why in seen.undrilled.items()]
    there = {each.subject for each in seen.wiring.alarms}
    gaps += [
        Gap(what=f"alarm {subject}", why="the plan promises it, and the stack has none such")
        for subject in seen.promised
        if subject not in there and subject not in seen.undrilled
    ]
    gaps += [
        Gap(what=f"alarm {each.subject}", why="it was not drilled, so nobody saw it fire")
        for each in seen.wiring.alarms
        if each.subject not in seen.undrilled and each.name not in {drilled.alarm for drilled in seen.drills}
    ]
    gaps += alarm_wiring.blindness(seen.wiring, messages)
    measurements: list[Measurement] = []
    for each in seen.drills:
        gap = _blindness(each)
        if gap is not None:
            gaps.append(gap)
            continue
        findings += _faults(each, seen)
        measurements += _latencies(each, seen)
    return Judgement(
        examined=len(seen.drills),
        findings=tuple(findings),
        gaps=tuple(gaps),
        measurements=tuple(measurements),
        notes=tuple(_notes(seen)),
    )


def _blindness(each: Drilled) -> Gap | None:
    """Return why a drill says nothing about its alarm, if it does not."""
    if each.state_before != "OK":
        why = f"it was {each.state_before} before the drill, so a change by the fault could not be told apart"
        return Gap(what=f"alarm {each.objective}", why=why)
    if not each.effect:
        met = (
            f"none of {each.requests} requests met the fault" if each.requests else f"nothing was seen of {each.method}"
        )
        return Gap(what=f"alarm {each.objective}", why=f"{met}, so it never took effect")
    if each.problems:
        return Gap(what=f"the load of the drill of {each.objective}", why="; ".join(each.problems))
    return None


def _faults(each: Drilled, seen: Observation) -> list[Finding]:
    """Return what is wrong with one alarm: the first step that was not seen, or was too late, and is not explained."""
    topic = seen.wiring.topic
    wired = next((alarm for alarm in seen.wiring.alarms if alarm.name == each.alarm), None)
    silent = wired is not None and (not wired.actions_enabled or bool(wired.muted_by))
    sent = {
        "ALARM": not silent and (wired is None or topic in wired.alarm_actions),
        "OK": not silent and (wired is None or topic in wired.ok_actions),
    }
    detect, clear = seen.max_detect.total_seconds(), seen.max_clear.total_seconds()
    steps = (
        (
            "never-fired",
            _within(each.injected_at, each.alarm_at, seen.max_detect),
            f"did not go to ALARM within {detect:g} s, although {each.effect}",
            True,
        ),
        (
            "not-notified",
            _of(each.alarm_message, each, "ALARM", seen.wiring.topic),
            f"went to ALARM, but no message of it was received within {detect:g} s",
            sent["ALARM"],
        ),
        (
            "not-cleared",
            _within(each.removed_at, each.ok_at, seen.max_clear),
            f"did not go back to OK within {clear:g} s after the fault was taken out",
            True,
        ),
        (
            "recovery-not-notified",
            _of(each.ok_message, each, "OK", seen.wiring.topic),
            f"went back to OK, but no message of it was received within {clear:g} s",
            sent["OK"],
        ),
    )
    for rule, at, words, expected in steps:
        if at is None and expected:  # a message that no action sends is a finding of the wiring already
            return [
                Finding(
                    rule=f"alarms/{rule}",
                    subject=each.objective,
                    severity=Severity.HIGH,
                    message=f"{each.alarm} {words}",
                    help="Look at the alarm's threshold and history, its actions and the topic's subscriptions.",
                )
            ]
    return []


def _within(begun: datetime | None, at: datetime | None, limit: timedelta) -> datetime | None:
    """Return an instant, if it is one after the beginning and in time; polling may see later ones."""
    in_time = begun is not None and at is not None and begun <= at <= begun + limit
    return at if in_time else None


def _of(message: Notification | None, each: Drilled, state: str, topic: str) -> datetime | None:
    """Return when a message was received, if it is one of this alarm, account, topic and change."""
    if message is None or each.injected_at is None:
        return None
    account = each.arn.split(":")[_ACCOUNT] if each.arn.count(":") > _ACCOUNT else ""
    ours = (message.arn, message.account, message.state, message.topic) == (each.arn, account, state, topic)
    return message.received_at if ours and message.changed_at >= each.injected_at else None


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


def _notes(seen: Observation) -> Iterator[str]:
    """Yield how each alarm was made to ring, and what of it is less than it seems."""
    told = [f"{each.objective} by {each.method} ({each.effect})" for each in seen.drills if each.effect]
    if told:
        received = sum(
            each is not None for drilled in seen.drills for each in (drilled.alarm_message, drilled.ok_message)
        )
        yield f"Made to ring: {'; '.join(told)}. {received} of {2 * len(seen.drills)} messages were received."
    by_hand = [each.objective for each in seen.drills if each.method == "set-state"]
    if by_hand:
        yield (
            f"Set to ALARM by hand, because no fault of a drill can breach them: {', '.join(by_hand)}. That shows the "
            "way from the alarm to the inbox, and nothing of the alarm's own metric."
        )
    emulated = [each.endpoint for each in seen.wiring.persons if each.endpoint in seen.taken_as_confirmed]
    if emulated:
        yield (
            f"The embedded AWS takes the subscriptions of {', '.join(emulated)} as confirmed because the plan says so "
            "(embedded.confirms). Nobody was asked, and nothing was sent to them."
        )
    if seen.strangers:
        yield f"{seen.strangers} messages in the inbox are of no alarm of this clone, and were left out."


GATE = Gate(
    id="alarms",
    question="Does every alarm fire, reach somebody, and clear?",
    stage=Stage.STEADY,
    acts=True,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
    terms=lambda plan: {
        "max_detect": plan.drills.alarms.max_detect,
        "max_clear": plan.drills.alarms.max_clear,
        "promised": drill_orders.alarmed(plan),
    },
    order=60,
)
