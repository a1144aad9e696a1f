"""What a plan may not say although each key may: bounds that cross, names that nothing has, thresholds of nothing."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import timedelta

from readiness import keys
from readiness.errors import PlanError, ReadinessError
from readiness.model import (
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
        PlanError: names the key.
    """
    _check_workload(plan, file)
    _check_objectives(plan, file)
    _check_drills(plan, file)
    if not plan.owners:
        raise PlanError(file, "owners", "names nobody: every decision needs an owner")
    dropped = [severity for severity in (Severity.CRITICAL, Severity.HIGH) if severity not in plan.blocking_severities]
    if dropped:
        raise PlanError(
            file,
            "blocking_severities",
            f"leaves out {dropped[0]}: a gate would pass whatever it found",
            hint="A plan may add severities; a single fault is accepted by a waiver.",
        )
    _check_secrets(plan, file)
    _check_sizes(plan, file)
    _check_people(plan, file)


def _check_secrets(plan: Plan, file: str) -> None:
    known = set(plan.service.secrets)
    for variable, source in plan.fleet.secrets.items():
        if source not in known:
            raise PlanError(
                file, f"fleet.secrets.{variable}", f"shares {source!r}, which service.secrets does not have"
            )
    for variable, source in plan.service.secrets.items():
        needed = {"database-password": plan.database, "cache-token": plan.cache}.get(source, True)
        if needed is None:
            table = source.split("-")[0]
            raise PlanError(file, f"service.secrets.{variable}", f"is {source!r}, but the plan has no [{table}]")
        if source not in _SECRET_SOURCES and not source.startswith("arn:"):
            raise PlanError(
                file,
                f"service.secrets.{variable}",
                f"is {source!r}, which refers to no secret",
                hint=f"Write {', '.join(_SECRET_SOURCES)}, or the ARN of a secret.",
            )


def _check_sizes(plan: Plan, file: str) -> None:
    """Refuse bounds that are the wrong way round: AWS would, half-way through a deployment."""
    if plan.service.max_count < plan.service.desired_count:
        raise PlanError(file, "service.max_count", "is below service.desired_count")
    if plan.database is not None and plan.database.max_acu < plan.database.min_acu:
        raise PlanError(file, "database.max_acu", "is below database.min_acu")


# --- people ----------------------------------------------------------------------------------------------------------

_ALL = "*"


def _check_people(plan: Plan, file: str) -> None:
    """Refuse names that nothing has, keys that are none, and criteria that nothing could show."""
    _check_keys(plan, file)
    _check_unique((item.id for item in plan.checklist), file, "checklist[{}].id", "item")
    _check_unique((each.id for each in plan.criteria), file, "criteria[{}].id", "criterion")
    for index, item in enumerate(plan.checklist):
        if item.owner is not None:
            _check_named([item.owner], plan.owners, file, f"checklist[{index}].owner", "role in [owners]")
        if item.measurement is not None and item.gate is None:
            raise PlanError(file, f"checklist[{index}].measurement", "stands without the gate that measures it")
    for index, criterion in enumerate(plan.criteria):
        _check_criterion(criterion, plan, file, f"criteria[{index}]")


def _check_criterion(criterion: Criterion, plan: Plan, file: str, key: str) -> None:
    items = {item.id for item in plan.checklist}
    _check_named(criterion.checklist, {*items, _ALL}, file, f"{key}.checklist", "item in [[checklist]]")
    if criterion.checklist and not items:
        raise PlanError(file, f"{key}.checklist", "asks for a checklist, and the plan has none")
    _check_named(criterion.signed, {*plan.owners, _ALL}, file, f"{key}.signed", "role in [owners]")
    if criterion.not_waived and not criterion.gates:
        raise PlanError(file, f"{key}.not_waived", "is of the findings of gates, and the criterion names none")
    proofs = (criterion.gates, criterion.figures, criterion.artifacts, criterion.checklist, criterion.signed)
    if not any(proofs) and not criterion.decided and not criterion.go_live:
        raise PlanError(
            file,
            key,
            f"{criterion.id!r} names nothing that could show it",
            hint="Give gates, figures, artifacts, checklist, signed, decided or go_live.",
        )


def _check_named(names: Iterable[str], known: Iterable[str], file: str, key: str, noun: str) -> None:
    there = set(known)
    for name in names:
        if name not in there:
            raise PlanError(file, key, f"there is no {noun} {name!r}{did_you_mean(name, there)}")


def _check_keys(plan: Plan, file: str) -> None:
    """Refuse public keys that are none, and one key for two roles: it could not show that two people signed."""
    held: dict[str, str] = {}
    for role, owner in plan.owners.items():
        if owner.public_key is None:
            continue
        key = f"owners.{role}.public_key"
        try:
            spelt = keys.spelt(keys.read_public(owner.public_key))
        except ReadinessError as error:
            raise PlanError(file, key, error.message, hint=error.hint) from None
        if spelt in held:
            raise PlanError(file, key, f"is the key of {held[spelt]} too: each role needs one of its own")
        held[spelt] = role


# --- objectives ------------------------------------------------------------------------------------------------------


def _check_objectives(plan: Plan, file: str) -> None:
    _check_unique((objective.id for objective in plan.objectives), file, "objectives[{}].id", "objective")
    for index, objective in enumerate(plan.objectives):
        key = f"objectives[{index}]"
        _check_alarm(objective, file, key)
        if not isinstance(objective, UnhealthyHostsObjective):
            _check_scope(objective, plan.workload, file, key)
            _check_part(objective, plan.workload, file, key)
            _check_lasting(objective, plan.workload, file, key)
    for kind, name in ((LatencyObjective, "latency"), (ErrorObjective, "errors"), (ThroughputObjective, "throughput")):
        if not any(isinstance(objective, kind) and _decides(objective) for objective in plan.objectives):
            raise PlanError(
                file,
                "objectives",
                f"has no objective of kind {name!r}" + (" that can fail the gate" if _has(plan, kind) else ""),
                hint="Acceptable performance needs a latency, an error and a throughput threshold, fixed beforehand.",
            )


def _has(plan: Plan, kind: type) -> bool:
    return any(isinstance(objective, kind) for objective in plan.objectives)


def _decides(objective: LoadObjective) -> bool:
    """Return whether an objective is one of those that acceptable performance cannot do without."""
    return objective.level == "fail" and getattr(objective, "part", "whole") == "whole"


def _check_alarm(objective: Objective, file: str, key: str) -> None:
    """Refuse an alarm that could not fire, or that would watch something else than its objective."""
    alarm = getattr(objective, "alarm", None)
    if alarm is None:
        return
    if alarm.datapoints_to_alarm > alarm.evaluation_periods:
        raise PlanError(file, f"{key}.alarm.datapoints_to_alarm", "is above evaluation_periods: it could not fire")
    period_s = alarm.period.total_seconds()
    if period_s <= 0 or period_s % 60:
        raise PlanError(
            file, f"{key}.alarm.period", "is no multiple of 60 s: the load balancer's metrics have no other"
        )
    narrowed = [name for name in ("scenario", "tag") if getattr(objective, name, None) is not None]
    if getattr(objective, "part", "whole") != "whole":
        narrowed.append("part")
    if narrowed:
        raise PlanError(
            file,
            f"{key}.alarm",
            f"cannot watch an objective of one {narrowed[0]}: the load balancer does not know it",
            hint="Give the alarm to an objective over all requests.",
        )


def _check_scope(objective: LoadObjective, workload: Workload, file: str, key: str) -> None:
    if objective.scenario is not None and objective.tag is not None:
        raise PlanError(file, f"{key}.tag", "stands beside a scenario: an objective is of one of them")
    # A locustfile names its requests itself: nothing can be said of them beforehand.
    known = {scenario.name for scenario in workload.scenarios}
    theirs = isinstance(workload.arrivals, LocustfileArrivals)
    if objective.scenario is not None and objective.scenario not in known and not theirs:
        raise PlanError(file, f"{key}.scenario", f"{objective.scenario!r} is not in workload.scenarios")
    tags = {tag for scenario in workload.scenarios for tag in scenario.tags}
    if objective.tag is not None and objective.tag not in tags:
        raise PlanError(file, f"{key}.tag", f"no scenario has the tag {objective.tag!r}")


def _check_part(objective: LoadObjective, workload: Workload, file: str, key: str) -> None:
    part = getattr(objective, "part", "whole")
    if part != "whole" and workload.request_start_header is None:
        raise PlanError(
            file, f"{key}.part", f"is {part!r}, but without workload.request_start_header latency is not split"
        )


def _check_lasting(objective: LoadObjective, workload: Workload, file: str, key: str) -> None:
    if isinstance(objective, LatencyChangeObjective):
        return
    if objective.lasting > workload.hold:
        raise PlanError(file, f"{key}.for", "is longer than workload.hold: no breach could last so long")
    if objective.lasting % timedelta(seconds=1):
        raise PlanError(file, f"{key}.for", "is no whole number of seconds: breaches are told by the second")
    if objective.abort_on_breach and not objective.lasting and not isinstance(workload.arrivals, OpenArrivals):
        raise PlanError(
            file,
            f"{key}.abort_on_breach",
            f"needs `for` with {workload.arrivals.kind!r} arrivals: how many requests are still to come is not known",
        )


# --- workload --------------------------------------------------------------------------------------------------------


def _check_workload(plan: Plan, file: str) -> None:
    workload = plan.workload
    _check_unique((each.name for each in workload.scenarios), file, "workload.scenarios[{}].name", "scenario")
    if not workload.hold:
        raise PlanError(file, "workload.hold", "is 0 s: nothing would be measured")
    if workload.hold < timedelta(seconds=1):
        raise PlanError(file, "workload.hold", "is below 1 s: figures are of whole seconds")
    _check_arrivals(workload, plan.fleet.workers, file)
    for index, scenario in enumerate(workload.scenarios):
        _check_scenario(scenario, file, f"workload.scenarios[{index}]")
    settings = ("cache_header", "request_start_header", "upstream_start_header", "upstream_stop_header")
    for setting in settings:
        _check_header_names([getattr(workload, setting) or "X"], file, f"workload.{setting}")


def _check_arrivals(workload: Workload, workers: int, file: str) -> None:
    arrivals = workload.arrivals
    if isinstance(arrivals, OpenArrivals):
        for index, step in enumerate(arrivals.steps):
            if step.hold < timedelta(seconds=1):
                raise PlanError(
                    file, f"workload.arrivals.steps[{index}].hold", "is below 1 s: it would have no figures"
                )
        if arrivals.max_in_flight < workers:
            raise PlanError(file, "workload.arrivals.max_in_flight", f"is below fleet.workers ({workers})")
    elif isinstance(arrivals, ClosedArrivals | LocustfileArrivals) and arrivals.users < workers:
        raise PlanError(file, "workload.arrivals.users", f"is below fleet.workers ({workers}): some would do nothing")


def _check_scenario(scenario: Scenario, file: str, key: str) -> None:
    if scenario.body is not None and scenario.body_file is not None:
        raise PlanError(file, f"{key}.body_file", "stands beside body: a request has one of them")
    if scenario.unique_ratio and not scenario.variables:
        raise PlanError(file, f"{key}.unique_ratio", "is of variables, and the scenario has none")
    for name, values in scenario.variables.items():
        if not values:
            raise PlanError(file, f"{key}.variables.{name}", "has no values")
    if not scenario.expect_status:
        raise PlanError(file, f"{key}.expect_status", "is empty: no answer would be as expected")
    if scenario.expect_body_matches is not None:
        try:
            re.compile(scenario.expect_body_matches.encode())
        except re.error as error:
            raise PlanError(file, f"{key}.expect_body_matches", f"is no regular expression: {error}") from None
    _check_header_names(scenario.headers, file, f"{key}.headers")
    _check_header_names(scenario.expect_headers, file, f"{key}.expect_headers")


def _check_header_names(names: Iterable[str], file: str, key: str) -> None:
    for name in names:
        if not _HEADER_NAME.fullmatch(name):
            raise PlanError(file, key, f"{name!r} is no name of an HTTP header")


def _check_unique(names: Iterable[str], file: str, key: str, noun: str) -> None:
    seen: Collection[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            raise PlanError(file, key.format(index), f"{name!r} is taken by an earlier {noun}")
        seen = {*seen, name}


# --- drills ----------------------------------------------------------------------------------------------------------


def _check_drills(plan: Plan, file: str) -> None:
    alarmed = {objective.id for objective in plan.objectives if getattr(objective, "alarm", None) is not None}
    for index, drill in enumerate(plan.drills.alarms.each):
        if drill.objective not in alarmed:
            raise PlanError(file, f"drills.alarms.each[{index}].objective", f"{drill.objective!r} has no alarm")
    for index, bad in enumerate(plan.drills.rollback.bad):
        if not bad.environment and bad.image is None and not bad.command:
            raise PlanError(
                file,
                f"drills.rollback.bad[{index}]",
                "is no bad release: nothing of it differs",
                hint="Give environment (variables that make the service misbehave), image or command.",
            )
    if not any(bad.starts for bad in plan.drills.rollback.bad):
        raise PlanError(
            file,
            "drills.rollback.bad",
            "has no release of kind 'errors' or 'slow': no other can be fully out, for the runbook to take it back",
        )
    if plan.drills.rollback.recovered_for < timedelta(seconds=1):
        raise PlanError(file, "drills.rollback.recovered_for", "is below 1 s: what clients see is told by the second")
    if not plan.budget.wall_clock:
        raise PlanError(file, "budget.wall_clock", "is 0 s: no run could end in it")
    if plan.budget.clone_lifetime < plan.budget.wall_clock:
        raise PlanError(file, "budget.clone_lifetime", "is shorter than budget.wall_clock: the clone would be reaped")
