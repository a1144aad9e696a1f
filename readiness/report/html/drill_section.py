"""The drills: what happened when, and what the clients saw meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from math import floor
from typing import Any

from markupsafe import Markup

from readiness import drill_clients
from readiness.alarm_wiring import Subscriber
from readiness.gates import alarms as alarm_gate
from readiness.gates import rollback as rollback_gate
from readiness.load_result import LoadResult
from readiness.model import GateResult, Stage
from readiness.report import axes, over_time, plots
from readiness.report.html import blocks, pictures
from readiness.report.html.blocks import Facts, Fold, Heading, Items, Picture, Section, Table, Text, Unobserved
from readiness.report.html.content import Content, Unseen
from readiness.report.html.pictures import Timeline
from readiness.report.plots import Lane, Mark

_METHODS = {
    "fault-errors": "fault target answers 5xx",
    "fault-slow": "fault target answers late",
    "unhealthy-targets": "targets that fail their health check",
    "no-traffic": "no request comes",
    "probe-fault": "fault target answers the probe",
    "set-state": "state set by hand: shows the way to the inbox, and nothing of the metric",
}


def section(content: Content) -> Section:
    """Return every drill of the run."""
    known = {rollback_gate.GATE.id, alarm_gate.GATE.id}
    others = [
        result for result in content.record.results if result.stage is Stage.DISRUPTIVE and result.gate not in known
    ]
    found = [
        Heading(title="Rollback of a bad release", id="rollback"),
        *_rollback(content),
        Heading(title="Alarms", id="alarms"),
        *_alarms(content),
        *(block for result in others for block in _other(result)),
    ]
    return Section(id="drills", title="Drills", blocks=found)


# --- rollback --------------------------------------------------------------------------------------------------------


def _rollback(content: Content) -> Iterator[Any]:
    seen = content.observation(rollback_gate.GATE)
    if isinstance(seen, Unseen):
        yield Unobserved(why=seen.why)
        return
    result = content.result(rollback_gate.GATE.id)
    if result is not None:
        yield Text(words=blocks.of_outcome(result.outcome))
    if not seen.rehearsals:
        yield Unobserved(why="No way back was rehearsed.")
        return
    yield from _rollback_pictures(content, seen)
    yield Table(
        caption="What the clients saw",
        head=("rehearsal", "when", "requests", "failed", "share that failed"),
        rows=[row for each in seen.rehearsals for row in _window_rows(seen, each)],
        numeric=frozenset({2, 3, 4}),
    )
    for each in seen.rehearsals:
        yield Heading(title=each.name[:1].upper() + each.name[1:], id=f"rollback-{each.way}-{each.kind}")
        if each.release is None and each.way == "automatic":
            yield Unobserved(why="ECS listed no deployment of the bad release, so there is no story to tell of it.")
        yield _release_facts(each)
        yield from _steps(each)


def _instants(seen: rollback_gate.Observation) -> list[tuple[float, str]]:
    """Return seconds since the first bad release was ordered, and what happened then, in order."""
    origin = seen.rehearsals[0].injected_at
    told: list[tuple[datetime | None, str]] = []
    for each in seen.rehearsals:
        recovered = drill_clients.recovered_at(
            seen.clients, each.rolled_back_at or each.restored_at, seen.recovered_for
        )
        told += [
            (each.injected_at, f"inject: the bad release is ordered ({each.name})"),
            (each.effective_at, "effective: it is fully out"),
            (each.detected_at, "detect: the first alarm, or the circuit breaker"),
            (each.decided_at, "decide: the way back begins"),
            (each.rolled_back_at, "rolled back"),
            (recovered, "recover: the objectives are met again"),
        ]
    return sorted(((at - origin).total_seconds(), words) for at, words in told if at is not None)


def _release_facts(seen: rollback_gate.Rehearsal) -> Facts:
    release = seen.release
    return Facts(
        long=True,
        rows=[
            ("Ended as", blocks.code(release.status) if release else "not observed"),
            ("Reason given by ECS", (release.rollback_reason or release.reason or "none given") if release else "none"),
            ("Before", blocks.code(seen.before.task_definition)),
            ("Bad release", blocks.code(seen.bad_task_definition)),
            ("After", blocks.code(seen.after.task_definition)),
            ("Running tasks after", f"{len(seen.after.tasks)} of {seen.after.desired} wanted"),
            ("Ordered", f"{seen.injected_at:%Y-%m-%d %H:%M:%S} UTC"),
            ("Put back by the harness", "yes: nothing else did" if seen.put_back else "no"),
        ],
    )


def _steps(seen: rollback_gate.Rehearsal) -> Iterator[Any]:
    """Yield what became of the runbook's steps, if it was followed."""
    if seen.way != "runbook":
        return
    if seen.runbook_fault:
        yield Unobserved(why=f"The runbook could not be followed: {seen.runbook_fault}")
    if seen.steps:
        yield Table(
            caption=f"Steps of {seen.runbook}",
            head=("step", "outcome", "exit code", "took"),
            rows=[
                (
                    blocks.code(each.id),
                    blocks.badge("bad", each.fault) if each.fault else blocks.badge("good", "done"),
                    "none" if each.exit_code is None else str(each.exit_code),
                    f"{(each.ended_at - each.started_at).total_seconds():.1f} s",
                )
                for each in seen.steps
            ],
            numeric=frozenset({2, 3}),
        )


def _window_rows(seen: rollback_gate.Observation, each: rollback_gate.Rehearsal) -> Iterator[Sequence[str | Markup]]:
    clients = seen.clients
    yield each.name, *_window("before", drill_clients.within(clients, each.begun_at, each.injected_at))
    yield each.name, *_window("from the order on", drill_clients.between(clients, each.injected_at, each.restored_at))
    yield each.name, *_window("after", drill_clients.within(clients, each.restored_at, each.ended_at))


def _window(name: str, window: drill_clients.Window) -> Sequence[str | Markup]:
    if not window.requests:
        return name, "0", "0", "nothing to tell: no requests"
    ratio = window.failed / window.requests
    return name, f"{window.requests:,}", f"{window.failed:,}", blocks.data(ratio, f"{ratio:.2%}")


def _rollback_pictures(content: Content, seen: rollback_gate.Observation) -> Iterator[Any]:
    """Yield rate, errors and p95 over time where the bundle holds the drill's seconds."""
    instants = _instants(seen)
    legend = [f"{at:+.1f} s: {words}" for at, words in instants]
    drive = _drive(content, seen.artifact)
    if isinstance(drive, Unseen):
        yield Items(items=legend, numbered=True)
        yield Unobserved(why=f"Request rate, errors and latency by second. {drive.why}")
        return
    marks = [Mark(at=at, number=str(number)) for number, (at, _) in enumerate(instants, 1)]
    x_label = "seconds since the first bad release was ordered"
    origin = seen.rehearsals[0].injected_at
    yield from _drive_pictures("rollback", "Rollback", drive, origin, x_label, marks, legend)


def _drive(content: Content, path: str) -> LoadResult | Unseen:
    """Return every second of a drill's load."""
    if not path:
        return Unseen(why="The bundle does not hold the seconds of this drill's load.")
    drive = content.drive(path)
    if isinstance(drive, Unseen) or drive.rows:
        return drive
    return Unseen(why="The load of this drill has no second in which anything was due.")


def _drive_pictures(
    id_: str,
    name: str,
    drive: LoadResult,
    origin: datetime,
    x_label: str,
    marks: Sequence[Mark],
    legend: Sequence[str],
) -> Iterator[Any]:
    """Yield what the clients of a drill saw, over time, with its instants."""
    end = None if drive.ended_at is None else floor((drive.ended_at - drive.started_at).total_seconds())
    found = over_time.stretches(drive, end=end)
    if not found:
        yield Unobserved(why="The load of this drill has no whole second.")
        return
    timeline = Timeline(
        id=id_,
        found=found,
        origin_s=(origin - drive.started_at).total_seconds(),
        x_label=x_label,
        marks=marks,
        name=name,
    )
    yield Items(items=legend, numbered=True)
    yield pictures.throughput(timeline) or Unobserved(why="No request was due.")
    yield pictures.errors(timeline) or Text(words="No request of this drill failed.")
    yield pictures.latency(timeline, (95,)) or Unobserved(why="No request was answered, so there is no latency.")


# --- alarms ----------------------------------------------------------------------------------------------------------


def _alarms(content: Content) -> Iterator[Any]:
    seen = content.observation(alarm_gate.GATE)
    if isinstance(seen, Unseen):
        yield Unobserved(why=seen.why)
        return
    result = content.result(alarm_gate.GATE.id)
    if result is not None:
        yield Text(words=blocks.of_outcome(result.outcome))
    yield from _alarm_preconditions(seen)
    undrilled = {each.subject: "not drilled" for each in seen.wiring.alarms} | seen.undrilled
    for each in seen.drills:
        undrilled.pop(each.objective, None)
    if undrilled:
        told = "; ".join(f"{subject} ({why})" for subject, why in sorted(undrilled.items()))
        yield Unobserved(why=f"Alarms that were not drilled: {told}.")
    if not seen.drills:
        yield Unobserved(why="No alarm was drilled.")
        return
    yield from _alarm_picture(seen.drills)
    for each in seen.drills:
        yield from _alarm_fold(content, each)
    yield Table(
        caption="Each alarm: how long until it fired, reached the inbox, and cleared",
        head=("alarm of", "fault", "before", "to ALARM", "to its message", "fault out to OK", "to its message"),
        rows=[_alarm_row(each) for each in seen.drills],
        numeric=frozenset({3, 4, 5, 6}),
    )
    yield Fold(
        summary="The messages, as the inbox received them",
        blocks=[
            Table(
                caption="Each message is matched by its alarm's ARN and by when that changed; instants in UTC",
                head=("alarm of", "state", "SNS message id", "changed", "published", "received"),
                rows=[row for each in seen.drills for row in _message_rows(each)],
            )
        ],
    )


def _alarm_preconditions(seen: alarm_gate.Observation) -> Iterator[Any]:
    """Yield how the alarms were wired before the drills, and who listens."""
    topic = seen.wiring.topic
    yield Table(
        caption="Before the drills: whom each alarm tells, and what to do then",
        head=("alarm of", "its ALARM", "its OK", "its actions", "runbook"),
        rows=[
            (
                each.subject,
                _yes(topic in each.alarm_actions, "to the topic", "not told"),
                _yes(topic in each.ok_actions, "to the topic", "not told"),
                _yes(each.actions_enabled and not each.muted_by, "enabled", "muted" if each.muted_by else "disabled"),
                _yes(each.runbook_found, each.runbook, each.runbook or "none named"),
            )
            for each in seen.wiring.alarms
        ],
    )
    if not seen.wiring.subscribers:
        yield Unobserved(why="Nobody listens to the topic but the harness's own inbox.")
        return
    yield Table(
        caption="Who listens to the topic, besides the harness's own inbox",
        head=("address", "protocol", "is a person", "subscription", "filter policy"),
        rows=[_subscriber_row(seen, each) for each in seen.wiring.subscribers],
    )


def _subscriber_row(seen: alarm_gate.Observation, each: Subscriber) -> Sequence[str | Markup]:
    confirmed: str | Markup = _yes(each.confirmed, "confirmed", "not confirmed: gets nothing")
    if each.confirmed and each.endpoint in seen.taken_as_confirmed:
        confirmed = blocks.badge("unknown", "taken as confirmed: emulated")
    person = each in seen.wiring.persons
    policy = f"over {each.filter_scope}: {each.filter_policy}" if each.filter_policy else "none"
    return each.endpoint, each.protocol, "yes" if person else "no", confirmed, policy


def _yes(good: bool, words: str, otherwise: str) -> Markup:
    return blocks.badge("good", words) if good else blocks.badge("bad", otherwise)


def _message_rows(each: alarm_gate.Drilled) -> Iterator[Sequence[str | Markup]]:
    for state, message in (("ALARM", each.alarm_message), ("OK", each.ok_message)):
        if message is None:
            yield each.objective, state, blocks.badge("unknown", "none received"), "", "", ""
            continue
        instants = (message.changed_at, message.published_at, message.received_at)
        told = [f"{at:%H:%M:%S}.{at.microsecond // 1000:03d}" for at in instants]
        yield each.objective, state, blocks.code(message.message_id), *told


def _alarm_fold(content: Content, each: alarm_gate.Drilled) -> Iterator[Any]:
    """Yield the load of one alarm's drill, on demand."""
    if not each.requests or each.injected_at is None:
        return
    offsets = _offsets(each)
    marks = [Mark(at=at, number=str(number)) for number, at in offsets]
    legend = [words for _, words in _STEPS]
    drive = _drive(content, each.artifact)
    if isinstance(drive, Unseen):
        yield Unobserved(why=f"Request rate, errors and latency by second of {each.objective}. {drive.why}")
        return
    x_label = "seconds since the fault was put in"
    id_, name = f"alarm-{each.objective}", f"Drill of {each.objective}"
    drawn = list(_drive_pictures(id_, name, drive, each.injected_at, x_label, marks, legend))
    yield Fold(summary=f"What the clients saw while {each.objective} was drilled", blocks=drawn)


_STEPS = (
    ("injected_at", "inject: the fault is put in"),
    ("alarm_at", "detect: the alarm goes to ALARM"),
    ("alarm_received_at", "the message of ALARM is in the inbox"),
    ("removed_at", "the fault is taken out"),
    ("ok_at", "recover: the alarm is OK again"),
    ("ok_received_at", "the message of OK is in the inbox"),
)


def _offsets(each: alarm_gate.Drilled) -> list[tuple[int, float]]:
    """Return step -> seconds since the fault was put in, of the steps that were seen."""
    if each.injected_at is None:
        return []
    instants = [(number, getattr(each, field)) for number, (field, _) in enumerate(_STEPS, 1)]
    return [(number, (at - each.injected_at).total_seconds()) for number, at in instants if at is not None]


def _alarm_picture(drills: Sequence[alarm_gate.Drilled]) -> Iterator[Any]:
    lanes = []
    for each in drills:
        offsets = dict(_offsets(each))
        stretches = [
            (offsets[start], offsets[end], look)
            for start, end, look in ((1, 2, 4), (2, 4, 2), (4, 5, 1))
            if start in offsets and end in offsets
        ]
        marks = [Mark(at=at, number=str(number)) for number, at in offsets.items()]
        unseen = [str(number) for number in range(1, len(_STEPS) + 1) if number not in offsets]
        name = f"{each.objective} ({each.method})" + (f", never seen: {', '.join(unseen)}" if unseen else "")
        lanes.append(Lane(name=name, stretches=stretches, marks=marks))
    last = max((mark.at for lane in lanes for mark in lane.marks), default=0.0)
    told = (
        f"{blocks.count(len(drills), 'alarm')}, from the fault to the message that all is well again. A stroke is an "
        "instant; where several lie close together, their numbers stand side by side. The table has the seconds."
    )
    x_label = "seconds since the fault was put in"
    yield Picture(
        id="alarm-drills",
        title="Alarm drills",
        told=told,
        svg=plots.lanes("alarm-drills", "Alarm drills", told, axes.time(0, last * 1.12 + 0.5), x_label, lanes),
        below=[Items(items=[words for _, words in _STEPS], numbered=True)],
    )


def _alarm_row(each: alarm_gate.Drilled) -> Sequence[str | Markup]:
    return (
        each.objective,
        blocks.lines(
            _METHODS.get(each.method, each.method) + (f", as for {each.by}" if each.by else ""),
            blocks.small(each.effect or "nothing was seen of it"),
        ),
        each.state_before,
        _took(each.injected_at, each.alarm_at),
        _took(each.alarm_at, each.alarm_received_at),
        _took(each.removed_at, each.ok_at),
        _took(each.ok_at, each.ok_received_at),
    )


def _took(begin: datetime | None, end: datetime | None) -> Markup:
    if begin is None or end is None:
        return blocks.badge("unknown", "not seen")
    seconds = max(0.0, (end - begin).total_seconds())
    return blocks.data(round(seconds, 3), f"{seconds:.2f} s")


# --- any other -------------------------------------------------------------------------------------------------------


def _other(result: GateResult) -> Iterator[Any]:
    """Yield what the record tells of a drill that has no picture."""
    yield Heading(title=result.question, id=f"drill-{result.gate}")
    yield Text(words=blocks.of_outcome(result.outcome))
    if not result.judgement.measurements:
        yield Unobserved(why="Nothing was measured.")
        return
    yield Table(
        caption=f"Figures of the gate {result.gate}",
        head=("what", "measured", "samples"),
        rows=[(each.name, blocks.measured(each), f"{each.samples:,}") for each in result.judgement.measurements],
        numeric=frozenset({1, 2}),
    )
