"""What a plan may not say although each key may: bounds that cross, names that nothing has, thresholds of nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

from readiness import contract, keys
from readiness.errors import Fault, PlanError, ReadinessError
from readiness.model import (
    AlarmedObjective,
    ClosedArrivals,
    Criterion,
    ErrorObjective,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    LocustfileArrivals,
    Objective,
    OpenArrivals,
    Plan,
    Probe,
    Scenario,
    Severity,
    ThroughputObjective,
    UnhealthyHostsObjective,
    Workload,
    spell_duration,
)
from readiness.spelling import did_you_mean

_SECRET_SOURCES = ("generate", "database-password", "cache-token")
_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


def check(plan: Plan, file: str) -> None:
    """Refuse what each key allows and the whole does not.

    Args:
        plan: What was read.
        file: To name in the error.

    Raises:
        PlanError: names the key of every fault.
    """
    found = list(_faults(plan))
    if found:
        raise PlanError.of(file, found)


def _faults(plan: Plan) -> Iterator[Fault]:
    yield from _check_workload(plan)
    yield from _check_objectives(plan)
    yield from _check_drills(plan)
    yield from _check_owners(plan)
    yield from _check_severities(plan)
    yield from _check_secrets(plan)
    yield from _check_sizes(plan)
    yield from _check_people(plan)
    yield from _check_production_stacks(plan)
    yield from _check_budget(plan)


def _check_owners(plan: Plan) -> Iterator[Fault]:
    if not plan.owners:
        yield Fault("owners", "names nobody: every decision needs an owner")


def _check_severities(plan: Plan) -> Iterator[Fault]:
    for severity in (Severity.CRITICAL, Severity.HIGH):
        if severity not in plan.blocking_severities:
            yield Fault(
                "blocking_severities",
                f"leaves out {severity}: a gate would pass whatever it found",
                hint="A plan may add severities; a single fault is accepted by a waiver.",
            )


def _check_secrets(plan: Plan) -> Iterator[Fault]:
    known = set(plan.service.secrets)
    for variable, source in plan.fleet.secrets.items():
        if source not in known:
            yield Fault(
                f"fleet.secrets.{variable}",
                f"shares {source!r}, which service.secrets does not have{did_you_mean(source, known)}",
            )
    for variable, source in plan.service.secrets.items():
        needed = {"database-password": plan.database, "cache-token": plan.cache}.get(source, True)
        if needed is None:
            table = source.split("-")[0]
            yield Fault(f"service.secrets.{variable}", f"is {source!r}, but the plan has no [{table}]")
        if source not in _SECRET_SOURCES and not source.startswith("arn:"):
            yield Fault(
                f"service.secrets.{variable}",
                f"is {source!r}, which refers to no secret{did_you_mean(source, _SECRET_SOURCES)}",
                hint=f"Write {', '.join(_SECRET_SOURCES)}, or the ARN of a secret.",
            )


def _check_sizes(plan: Plan) -> Iterator[Fault]:
    """Refuse bounds that are the wrong way round: AWS would, half-way through a deployment."""
    if plan.service.max_count < plan.service.desired_count:
        yield Fault(
            "service.max_count",
            f"is {plan.service.max_count}, below service.desired_count ({plan.service.desired_count})",
        )
    if plan.database is not None and plan.database.max_acu < plan.database.min_acu:
        yield Fault(
            "database.max_acu",
            f"is {plan.database.max_acu:g}, below database.min_acu ({plan.database.min_acu:g})",
        )


# --- people ----------------------------------------------------------------------------------------------------------

_ALL = "*"


def _check_people(plan: Plan) -> Iterator[Fault]:
    """Refuse names that nothing has, keys that are none, and criteria that nothing could show."""
    yield from _check_keys(plan)
    yield from _check_unique((item.id for item in plan.checklist), "checklist[{}].id", "item")
    yield from _check_unique((each.id for each in plan.criteria), "criteria[{}].id", "criterion")
    for index, item in enumerate(plan.checklist):
        if item.owner is not None:
            yield from _check_named([item.owner], plan.owners, f"checklist[{index}].owner", "role in [owners]")
        if item.measurement is not None and item.gate is None:
            yield Fault(f"checklist[{index}].measurement", "stands without the gate that measures it")
    for index, criterion in enumerate(plan.criteria):
        yield from _check_criterion(criterion, plan, f"criteria[{index}]")


def _check_criterion(criterion: Criterion, plan: Plan, key: str) -> Iterator[Fault]:
    items = {item.id for item in plan.checklist}
    yield from _check_named(criterion.checklist, {*items, _ALL}, f"{key}.checklist", "item in [[checklist]]")
    if criterion.checklist and not items:
        yield Fault(f"{key}.checklist", "asks for a checklist, and the plan has none")
    yield from _check_named(criterion.signed, {*plan.owners, _ALL}, f"{key}.signed", "role in [owners]")
    if criterion.not_waived and not criterion.gates:
        yield Fault(f"{key}.not_waived", "is of the findings of gates, and the criterion names none")
    proofs = (criterion.gates, criterion.figures, criterion.artifacts, criterion.checklist, criterion.signed)
    if not any(proofs) and not criterion.decided and not criterion.go_live:
        yield Fault(
            key,
            f"{criterion.id!r} names nothing that could show it",
            hint="Give gates, figures, artifacts, checklist, signed, decided or go_live.",
        )


def _check_named(names: Iterable[str], known: Iterable[str], key: str, noun: str) -> Iterator[Fault]:
    there = set(known)
    for name in names:
        if name not in there:
            yield Fault(key, f"there is no {noun} {name!r}{did_you_mean(name, there)}")


def _check_keys(plan: Plan) -> Iterator[Fault]:
    """Refuse public keys that are none, and one key for two roles: it could not show that two people signed."""
    held: dict[str, str] = {}
    for role, owner in plan.owners.items():
        if owner.public_key is None:
            continue
        key = f"owners.{role}.public_key"
        try:
            spelt = keys.spelt(keys.read_public(owner.public_key))
        except ReadinessError as error:
            yield Fault(key, error.message, hint=error.hint)
            continue
        if spelt in held:
            yield Fault(key, f"is the key of {held[spelt]} too: each role needs one of its own")
        held[spelt] = role


def _check_production_stacks(plan: Plan) -> Iterator[Fault]:
    """Refuse a pattern that would refuse every clone."""
    pattern = plan.aws.production_pattern(f"{contract.STACK_NAME_PREFIX}20260131-120000-abcd")
    if pattern is not None:
        yield Fault(
            "aws.production_stacks",
            f"{pattern!r} is also the name of every clone ({contract.STACK_NAME_PREFIX}RUN_ID): nothing could be run",
        )


# --- objectives ------------------------------------------------------------------------------------------------------


def _check_objectives(plan: Plan) -> Iterator[Fault]:
    yield from _check_unique((objective.id for objective in plan.objectives), "objectives[{}].id", "objective")
    for index, objective in enumerate(plan.objectives):
        key = f"objectives[{index}]"
        yield from _check_alarm(objective, key)
        if not isinstance(objective, UnhealthyHostsObjective):
            yield from _check_scope(objective, plan.workload, key)
            yield from _check_part(objective, plan.workload, key)
            yield from _check_lasting(objective, plan.workload, key)
    for kind, name in ((LatencyObjective, "latency"), (ErrorObjective, "errors"), (ThroughputObjective, "throughput")):
        if not any(isinstance(objective, kind) and _decides(objective) for objective in plan.objectives):
            yield Fault(
                "objectives",
                f"has no objective of kind {name!r}" + (" that can fail the gate" if _has(plan, kind) else ""),
                hint="Acceptable performance needs a latency, an error and a throughput threshold, fixed beforehand.",
            )


def _has(plan: Plan, kind: type) -> bool:
    return any(isinstance(objective, kind) for objective in plan.objectives)


def _decides(objective: LoadObjective) -> bool:
    """Return whether an objective is one of those that acceptable performance cannot do without."""
    return objective.level == "fail" and getattr(objective, "part", "whole") == "whole"


def _check_alarm(objective: Objective, key: str) -> Iterator[Fault]:
    """Refuse an alarm that could not fire, or that would watch something else than its objective."""
    alarm = getattr(objective, "alarm", None)
    if alarm is None:
        return
    if alarm.datapoints_to_alarm > alarm.evaluation_periods:
        yield Fault(
            f"{key}.alarm.datapoints_to_alarm",
            f"is above evaluation_periods ({alarm.evaluation_periods}): it could not fire",
        )
    period_s = alarm.period.total_seconds()
    if period_s <= 0 or period_s % 60:
        yield Fault(f"{key}.alarm.period", "is no multiple of 60 s: the load balancer's metrics have no other")
    narrowed = [name for name in ("scenario", "tag") if getattr(objective, name, None) is not None]
    if getattr(objective, "part", "whole") != "whole":
        narrowed.append("part")
    if narrowed:
        yield Fault(
            f"{key}.alarm",
            f"cannot watch an objective of one {narrowed[0]}: the load balancer does not know it",
            hint="Give the alarm to an objective over all requests.",
        )


def _check_scope(objective: LoadObjective, workload: Workload, key: str) -> Iterator[Fault]:
    if objective.scenario is not None and objective.tag is not None:
        yield Fault(f"{key}.tag", "stands beside a scenario: an objective is of one of them")
    # A locustfile names its requests itself: nothing can be said of them beforehand.
    known = {scenario.name for scenario in workload.scenarios}
    theirs = isinstance(workload.arrivals, LocustfileArrivals)
    if objective.scenario is not None and objective.scenario not in known and not theirs:
        yield Fault(
            f"{key}.scenario",
            f"{objective.scenario!r} is not in workload.scenarios" + did_you_mean(objective.scenario, known),
        )
    tags = {tag for scenario in workload.scenarios for tag in scenario.tags}
    if objective.tag is not None and objective.tag not in tags:
        yield Fault(f"{key}.tag", f"no scenario has the tag {objective.tag!r}{did_you_mean(objective.tag, tags)}")


def _check_part(objective: LoadObjective, workload: Workload, key: str) -> Iterator[Fault]:
    part = getattr(objective, "part", "whole")
    if part != "whole" and workload.request_start_header is None:
        yield Fault(f"{key}.part", f"is {part!r}, but without workload.request_start_header latency is not split")


def _check_lasting(objective: LoadObjective, workload: Workload, key: str) -> Iterator[Fault]:
    if isinstance(objective, LatencyChangeObjective):
        return
    if objective.lasting > workload.hold:
        yield Fault(f"{key}.for", "is longer than workload.hold: no breach could last so long")
    if objective.lasting % timedelta(seconds=1):
        yield Fault(f"{key}.for", "is no whole number of seconds: breaches are told by the second")
    if objective.abort_on_breach and not objective.lasting and not isinstance(workload.arrivals, OpenArrivals):
        yield Fault(
            f"{key}.abort_on_breach",
            f"needs `for` with {workload.arrivals.kind!r} arrivals: how many requests are still to come is not known",
        )


# --- workload --------------------------------------------------------------------------------------------------------


def _check_workload(plan: Plan) -> Iterator[Fault]:
    workload = plan.workload
    yield from _check_unique((each.name for each in workload.scenarios), "workload.scenarios[{}].name", "scenario")
    if not workload.hold:
        yield Fault("workload.hold", "is 0 s: nothing would be measured")
    elif workload.hold < timedelta(seconds=1):
        yield Fault("workload.hold", "is below 1 s: figures are of whole seconds")
    yield from _check_arrivals(workload, plan.fleet.workers)
    for index, scenario in enumerate(workload.scenarios):
        yield from _check_scenario(scenario, f"workload.scenarios[{index}]")
    settings = ("cache_header", "request_start_header", "upstream_start_header", "upstream_stop_header")
    for setting in settings:
        yield from _check_header_names([getattr(workload, setting) or "X"], f"workload.{setting}")


def _check_arrivals(workload: Workload, workers: int) -> Iterator[Fault]:
    arrivals = workload.arrivals
    if isinstance(arrivals, OpenArrivals):
        for index, step in enumerate(arrivals.steps):
            if step.hold < timedelta(seconds=1):
                yield Fault(f"workload.arrivals.steps[{index}].hold", "is below 1 s: it would have no figures")
        if arrivals.max_in_flight < workers:
            yield Fault("workload.arrivals.max_in_flight", f"is below fleet.workers ({workers})")
    elif isinstance(arrivals, ClosedArrivals | LocustfileArrivals) and arrivals.users < workers:
        yield Fault("workload.arrivals.users", f"is below fleet.workers ({workers}): some would do nothing")


def _check_scenario(scenario: Scenario, key: str) -> Iterator[Fault]:
    if scenario.body is not None and scenario.body_file is not None:
        yield Fault(f"{key}.body_file", "stands beside body: a request has one of them")
    if scenario.unique_ratio and not scenario.variables:
        yield Fault(f"{key}.unique_ratio", "is of variables, and the scenario has none")
    for name, values in scenario.variables.items():
        if not values:
            yield Fault(f"{key}.variables.{name}", "has no values")
    if not scenario.expect_status:
        yield Fault(f"{key}.expect_status", "is empty: no answer would be as expected")
    if scenario.expect_body_matches is not None:
        try:
            re.compile(scenario.expect_body_matches.encode())
        except re.error as error:
            yield Fault(f"{key}.expect_body_matches", f"is no regular expression: {error}")
    yield from _check_header_names(scenario.headers, f"{key}.headers")
    yield from _check_header_names(scenario.expect_headers, f"{key}.expect_headers")


def _check_header_names(names: Iterable[str], key: str) -> Iterator[Fault]:
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            yield Fault(key, f"{name!r} is no name of an HTTP header")


def _check_unique(names: Iterable[str], key: str, noun: str) -> Iterator[Fault]:
    seen: Collection[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield Fault(key.format(index), f"{name!r} is taken by an earlier {noun}")
        seen = {*seen, name}


# --- drills ----------------------------------------------------------------------------------------------------------


_METHODS = {
    "errors": ("fault-errors", "no-traffic", "set-state"),
    "latency": ("fault-slow", "no-traffic", "set-state"),
    "unhealthy-hosts": ("unhealthy-targets", "set-state"),
    contract.PROBE: ("probe-fault", "set-state"),
}
"""What an alarm watches -> the methods that can make it ring."""


def _check_alarm_drills(plan: Plan) -> Iterator[Fault]:
    """Refuse drills of alarms that are not there, and those whose fault could never make the alarm ring."""
    alarmed: dict[str, AlarmedObjective | None] = {
        each.id: each for each in plan.objectives if isinstance(each, AlarmedObjective) and each.alarm is not None
    }
    if plan.probe is not None and plan.probe.runbook is not None:
        if contract.PROBE in {each.id for each in plan.objectives}:
            yield Fault("probe.runbook", f"gives the probe an alarm, and an objective is called {contract.PROBE!r}")
        yield from _check_probe(plan, plan.probe)
        alarmed[contract.PROBE] = None
    drills = plan.drills.alarms
    yield from _check_unique((each.objective for each in drills.each), "drills.alarms.each[{}].objective", "drill")
    for index, drill in enumerate(drills.each):
        key = f"drills.alarms.each[{index}]"
        if drill.objective not in alarmed:
            yield Fault(
                f"{key}.objective", f"{drill.objective!r} has no alarm" + did_you_mean(drill.objective, alarmed)
            )
            continue
        objective = alarmed[drill.objective]
        fitting = _METHODS[objective.kind if objective is not None else contract.PROBE]
        if drill.method is not None and drill.method not in fitting:
            yield Fault(
                f"{key}.method",
                f"{drill.method!r} cannot make the alarm of {drill.objective!r} ring",
                hint=f"Take one of {', '.join(fitting)}, or leave it out.",
            )
        if drill.method == "no-traffic" and (
            objective is None or objective.alarm is None or objective.alarm.missing_data != "breaching"
        ):
            yield Fault(
                f"{key}.method",
                f"is 'no-traffic', but the alarm of {drill.objective!r} does not ring on silence",
                hint="Set missing_data = 'breaching' in the objective's alarm, or take another method.",
            )
    for objective_id, objective in alarmed.items():
        told = next((each for each in drills.each if each.objective == objective_id), None)
        if told is None or told.method in (None, "fault-errors", "fault-slow"):
            yield from _check_strength(objective, told.fault_percent if told else 100, drills.fault_delay)


def _check_strength(objective: AlarmedObjective | None, percent: int, delay: timedelta) -> Iterator[Fault]:
    """Refuse a fault that is too weak for the threshold that it has to breach."""
    if isinstance(objective, ErrorObjective) and percent <= objective.max_ratio * 100:
        yield Fault(
            "drills.alarms.each",
            f"lets {percent} % of the requests of {objective.id!r} fail, which its threshold of "
            f"{objective.max_ratio:.0%} allows: its alarm could not ring",
        )
    if isinstance(objective, LatencyObjective):
        if delay <= objective.threshold:
            yield Fault(
                "drills.alarms.fault_delay",
                f"is not above the threshold of {objective.id!r} ({spell_duration(objective.threshold)}): its alarm "
                "could not ring",
            )
        if percent <= 100 - objective.percentile:
            yield Fault(
                "drills.alarms.each",
                f"slows {percent} % of the requests of {objective.id!r}, which its percentile of "
                f"{objective.percentile:g} leaves out: its alarm could not ring",
            )


def _check_probe(plan: Plan, probe: Probe) -> Iterator[Fault]:
    if probe.every.total_seconds() % 60 or not probe.every:
        yield Fault("probe.every", "is no multiple of 60 s, which the period of its alarm has to be")
    drills = plan.drills.alarms
    for name, limit in (("max_detect", drills.max_detect), ("max_clear", drills.max_clear)):
        if limit < 2 * probe.every:
            yield Fault(
                f"drills.alarms.{name}", "is below twice probe.every: the probe's alarm could not change in time"
            )


def _check_drills(plan: Plan) -> Iterator[Fault]:
    yield from _check_alarm_drills(plan)
    for index, bad in enumerate(plan.drills.rollback.bad):
        if not bad.environment and bad.image is None and not bad.command:
            yield Fault(
                f"drills.rollback.bad[{index}]",
                "is no bad release: nothing of it differs",
                hint="Give environment (variables that make the service misbehave), image or command.",
            )
    if not any(bad.starts for bad in plan.drills.rollback.bad):
        yield Fault(
            "drills.rollback.bad",
            "has no release of kind 'errors' or 'slow': no other can be fully out, for the runbook to take it back",
        )
    if plan.drills.rollback.recovered_for < timedelta(seconds=1):
        yield Fault("drills.rollback.recovered_for", "is below 1 s: what clients see is told by the second")


def _check_budget(plan: Plan) -> Iterator[Fault]:
    if not plan.budget.wall_clock:
        yield Fault("budget.wall_clock", "is 0 s: no run could end in it")
    if plan.budget.clone_lifetime < plan.budget.wall_clock:
        yield Fault("budget.clone_lifetime", "is shorter than budget.wall_clock: the clone would be reaped")
