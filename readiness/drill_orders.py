"""Which alarm is drilled how: as the plan says, or by the kind of what the alarm watches. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from readiness import contract
from readiness.alarm_wiring import AlarmSeen
from readiness.model import AlarmDrill, DrillMethod, Plan, UnhealthyHostsObjective, record

_BY_KIND: Mapping[str, DrillMethod] = {
    "errors": "fault-errors",
    "latency": "fault-slow",
    "unhealthy-hosts": "unhealthy-targets",
}


@record
class Order:
    """One alarm, and how it is made to fire.

    Attributes:
        set_by_hand: Names of the alarms whose state is set, where no fault is made.
        by: The alarm whose drill this is too, for a composite alarm that one child makes ring.
        targets: How many targets are made unhealthy.
    """

    subject: str
    alarm: str
    arn: str
    method: DrillMethod
    by: str = ""
    fault_percent: int = 100
    targets: int = 1
    set_by_hand: tuple[str, ...] = ()

    @property
    def breaches(self) -> bool:
        """Whether the alarm's own metric is breached, and not only its state set."""
        return self.method != "set-state"


def orders(plan: Plan, alarms: Sequence[AlarmSeen]) -> tuple[tuple[Order, ...], dict[str, str]]:
    """Return the drills, composite alarms last; and alarm -> why there is none, for those that cannot be drilled."""
    singles: dict[str, Order] = {}
    refused: dict[str, str] = {}
    for each in alarms:
        if each.kind == "metric":
            singles[each.name] = _single(plan, each)
            if singles[each.name].method == "no-traffic" and each.missing_data != "breaching":
                why = f"it treats missing data as {each.missing_data!r}, so silence cannot make it ring"
                refused[each.subject] = why
    drilled = {name: each for name, each in singles.items() if each.subject not in refused}
    made = list(drilled.values())
    for each in alarms:
        if each.kind == "composite":
            found = _composite(each, drilled)
            if isinstance(found, Order):
                made.append(found)
            else:
                refused[each.subject] = found
    if plan.probe is not None and contract.PROBE not in {each.subject for each in alarms}:
        refused[contract.PROBE] = "the plan's probe names no runbook and has no alarm: when it fails, it tells nobody"
    return tuple(made), refused


def alarmed(plan: Plan) -> tuple[str, ...]:
    """Return the subjects of the alarms that the stack of a plan has."""
    watched = [each.id for each in plan.objectives if getattr(each, "alarm", None) is not None]
    return (*watched, *([contract.PROBE] if plan.probe is not None and plan.probe.runbook is not None else []))


def method_of(plan: Plan, subject: str) -> DrillMethod:
    """Return how an alarm is made to fire; one of no objective has nothing that a fault could be chosen by."""
    told = _told(plan.drills.alarms.each, subject)
    if told is not None and told.method is not None:
        return told.method
    if subject == contract.PROBE:
        return "probe-fault"
    kind = next((each.kind for each in plan.objectives if each.id == subject), None)
    return "set-state" if kind is None else _BY_KIND.get(kind, "set-state")


def _single(plan: Plan, alarm: AlarmSeen) -> Order:
    """Return the drill of a metric alarm."""
    told = _told(plan.drills.alarms.each, alarm.subject)
    objective = next((each for each in plan.objectives if each.id == alarm.subject), None)
    method = method_of(plan, alarm.subject)
    return Order(
        subject=alarm.subject,
        alarm=alarm.name,
        arn=alarm.arn,
        method=method,
        fault_percent=told.fault_percent if told else 100,
        targets=objective.max_hosts + 1 if isinstance(objective, UnhealthyHostsObjective) else 1,
        set_by_hand=(alarm.name,) if method == "set-state" else (),
    )


def _told(each: Iterable[AlarmDrill], subject: str) -> AlarmDrill | None:
    return next((told for told in each if told.objective == subject), None)


def _composite(alarm: AlarmSeen, singles: Mapping[str, Order]) -> Order | str:
    """Return the drill of a composite alarm: its child's fault where one child is enough, else states set by hand."""
    foreign = [name for name in alarm.children if name not in singles]
    if foreign:
        return f"its rule looks at {', '.join(foreign)}, which is no alarm of this clone that can be drilled"
    if not alarm.children:
        return "its rule names no alarm that makes it ring by going to ALARM"
    real = [singles[name] for name in alarm.children if singles[name].breaches]
    made = Order(subject=alarm.subject, alarm=alarm.name, arn=alarm.arn, method="set-state", set_by_hand=alarm.children)
    if not alarm.any_child_suffices or not real:
        return made
    child = real[0]
    return replace(
        made,
        method=child.method,
        by=child.alarm,
        fault_percent=child.fault_percent,
        targets=child.targets,
        set_by_hand=(),
    )
