"""What a plan will take, told before it is run: time, requests, tasks, and samples for each objective. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from readiness import drill_orders, stats
from readiness.gates import alarms, load, rollback, task_loss
from readiness.hopeless import most_arrivals
from readiness.model import (
    Environment,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    OpenArrivals,
    Plan,
    UnhealthyHostsObjective,
    Workload,
)
from readiness.plan import parse

_NOTHING = timedelta(0)
_SIGMAS = 4.0
_RANK_LIMIT = 10_000_000

Standing = Literal["enough", "may fall short", "cannot reach", "not known"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the run that the plan bounds.

    Attributes:
        smooth: How long it takes if nothing has to be waited for longer than it must.
        most: After which it is given up.
        requests_smooth: Requests of the fleet meanwhile; None = the plan does not say how many.
        requests_most: The same if it takes the longest.
    """

    name: str
    smooth: timedelta
    most: timedelta
    requests_smooth: int | None = 0
    requests_most: int | None = 0


@dataclass(frozen=True, kw_only=True)
class Samples:
    """How many samples an objective will rest on.

    Attributes:
        expected: On average; None = the plan does not say.
        wanted: Without so many there is no answer: `min_samples`, or what its percentile needs to be bounded.
        why: Which of the two asks for more.
    """

    objective: str
    expected: int | None
    wanted: int
    why: str
    standing: Standing


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a plan will take.

    Attributes:
        service_tasks: Of the service: as it stands, and while a release is under way.
        fleet_tasks: The master and its workers.
    """

    parts: tuple[Part, ...]
    samples: tuple[Samples, ...]
    service_tasks: tuple[int, int]
    fleet_tasks: int

    @property
    def smooth(self) -> timedelta:
        """How long the parts take if all goes well."""
        return sum((part.smooth for part in self.parts), _NOTHING)

    @property
    def most(self) -> timedelta:
        """How long they take at the very most."""
        return sum((part.most for part in self.parts), _NOTHING)


def estimate(plan: Plan, environment: Environment) -> Estimate:
    """Return what a plan will take; the deployment and the teardown, which the plan does not bound, are not in it."""
    scale = plan.embedded.time_scale if environment is Environment.EMULATED else 1.0
    return Estimate(
        parts=(_load(plan), *_alarms(plan, scale), *_rollbacks(plan, scale), _task_loss(plan)),
        samples=tuple(
            _samples(each, plan.workload) for each in plan.objectives if not isinstance(each, UnhealthyHostsObjective)
        ),
        service_tasks=(plan.service.desired_count, 2 * plan.service.desired_count),
        fleet_tasks=1 + plan.fleet.workers,
    )


def findings(plan: Plan, made: Estimate) -> Iterator[str]:
    """Yield what will keep a run from an answer, whatever the service does."""
    for each in made.samples:
        if each.standing == "cannot reach":
            yield (
                f"objective {each.objective}: at most {each.expected} samples are expected, and {each.wanted} are "
                f"wanted ({each.why}): offer more load, hold it longer, or ask for less"
            )
    if made.smooth > plan.budget.wall_clock:
        yield "budget.wall_clock is shorter than the load and the drills take even if all goes well"


# --- time and requests -----------------------------------------------------------------------------------------------


def _settings(gate: Any, plan: Plan) -> Any:
    return parse(gate.settings, plan.gates.settings.get(gate.id, {}), "the plan", f"gates.settings.{gate.id}")


def _load(plan: Plan) -> Part:
    workload = plan.workload
    waits = plan.fleet.start_deadline + workload.timeout + _settings(load.GATE, plan).server_within
    requests = _offered(workload)
    return Part(
        name="load",
        smooth=workload.length,
        most=workload.length + waits,
        requests_smooth=requests,
        requests_most=requests,
    )


def _offered(workload: Workload) -> int | None:
    """Return how many requests are due over the whole drive, on average; None where the users' pace decides."""
    arrivals = workload.arrivals
    if not isinstance(arrivals, OpenArrivals):
        return None
    before, due = 0.0, 0.0
    for step in arrivals.steps:
        due += (before + step.rate_per_s) / 2 * step.ramp.total_seconds() + step.rate_per_s * step.hold.total_seconds()
        before = step.rate_per_s
    due += (before + arrivals.rate_per_s) / 2 * workload.ramp.total_seconds()
    return round(due + arrivals.rate_per_s * workload.hold.total_seconds())


def _drill(name: str, rate_per_s: float, smooth: timedelta, most: timedelta) -> Part:
    return Part(
        name=name,
        smooth=smooth,
        most=most,
        requests_smooth=round(rate_per_s * smooth.total_seconds()),
        requests_most=round(rate_per_s * most.total_seconds()),
    )


def _firing(plan: Plan, objective: str) -> timedelta:
    """Return how long an alarm's metric has to breach until the alarm fires."""
    alarm = next((getattr(each, "alarm", None) for each in plan.objectives if each.id == objective), None)
    return _NOTHING if alarm is None else alarm.period * alarm.datapoints_to_alarm


def _alarms(plan: Plan, scale: float) -> Iterator[Part]:
    drills = plan.drills.alarms
    limits = _settings(alarms.GATE, plan).settle + drills.max_detect + drills.max_clear
    for subject in drill_orders.alarmed(plan):
        method = drill_orders.method_of(plan, subject)
        faulty = method != "set-state"
        fires = _firing(plan, subject) / scale
        yield _drill(
            f"alarm {subject}, {method}",
            drills.rate_per_s if faulty else 0,
            2 * fires if faulty else fires,
            limits + (plan.fleet.start_deadline if faulty else _NOTHING),
        )


def _rollbacks(plan: Plan, scale: float) -> Iterator[Part]:
    drill, settings = plan.drills.rollback, _settings(rollback.GATE, plan)
    steady = settings.steady + max(settings.steady, drill.recovered_for)
    waits = settings.settle + steady + drill.deadline + settings.restored
    watched = [each.id for each in plan.objectives if getattr(each, "alarm", None) is not None]
    fires = min((_firing(plan, each) for each in watched), default=_NOTHING) / scale
    bakes = (plan.service.canary.canary_bake + plan.service.canary.bake) / scale
    for bad in drill.bad:
        yield _drill(f"rollback by itself, {bad.kind}", drill.rate_per_s, steady + fires, waits)
    kind = next((bad.kind for bad in drill.bad if bad.starts), "")
    limits = drill.runbook.max_detect + drill.runbook.max_recover
    yield _drill(f"rollback by the runbook, {kind}", drill.rate_per_s, steady + bakes, waits + limits)


def _task_loss(plan: Plan) -> Part:
    drill, settings = plan.drills.task_loss, _settings(task_loss.GATE, plan)
    steady = 2 * settings.steady
    waits = plan.fleet.start_deadline + 2 * settings.settle + drill.max_recover
    return _drill(f"loss of a {drill.lose}", drill.rate_per_s, steady, steady + waits)


# --- samples ---------------------------------------------------------------------------------------------------------


def _samples(objective: LoadObjective, workload: Workload) -> Samples:
    wanted, why = objective.min_samples, "min_samples"
    if isinstance(objective, LatencyObjective | LatencyChangeObjective):
        bounded = least_to_bound(objective.percentile)
        if bounded > wanted:
            wanted, why = bounded, f"to bound p{objective.percentile:g} with 95 % confidence"
    arrivals = workload.arrivals
    if not isinstance(arrivals, OpenArrivals):
        return Samples(objective=objective.id, expected=None, wanted=wanted, why=why, standing="not known")
    named = [
        each.weight
        for each in workload.scenarios
        if objective.scenario in (None, each.name) and (objective.tag is None or objective.tag in each.tags)
    ]
    share = sum(named) / sum(each.weight for each in workload.scenarios)
    expected = arrivals.rate_per_s * workload.hold.total_seconds() * share
    standing: Standing = "enough"
    if most_arrivals(objective, workload, workload.hold.total_seconds()) < wanted:
        standing = "cannot reach"
    elif expected - _SIGMAS * expected**0.5 < wanted:
        standing = "may fall short"
    return Samples(objective=objective.id, expected=round(expected), wanted=wanted, why=why, standing=standing)


def least_to_bound(percentile: float) -> int:
    """Return the fewest samples of which a percentile can be bounded with 95 % confidence."""
    enough = 1
    while stats.interval_ranks(percentile, enough) is None and enough < _RANK_LIMIT:
        enough *= 2
    low = enough // 2
    while enough - low > 1:
        middle = (low + enough) // 2
        low, enough = (low, middle) if stats.interval_ranks(percentile, middle) is not None else (middle, enough)
    return enough
