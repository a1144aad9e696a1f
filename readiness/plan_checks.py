"""What a plan may not say although each key may: bounds that cross, names that nothing has, thresholds of nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from datetime import timedelta

from readiness.errors import Fault, PlanError
from readiness.model import (
    ClosedArrivals,
    ErrorObjective,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    LocustfileArrivals,
    Objective,
    OpenArrivals,
    Plan,
    Scenario,
    Severity,
    ThroughputObjective,
    UnhealthyHostsObjective,
    Workload,
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


def _check_drills(plan: Plan) -> Iterator[Fault]:
    alarmed = {objective.id for objective in plan.objectives if getattr(objective, "alarm", None) is not None}
    for index, drill in enumerate(plan.drills.alarms.each):
        if drill.objective not in alarmed:
            yield Fault(
                f"drills.alarms.each[{index}].objective",
                f"{drill.objective!r} has no alarm" + did_you_mean(drill.objective, alarmed),
            )
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
