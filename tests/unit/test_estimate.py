"""What a plan will take: figures that follow from the plan, and objectives that can never have their samples."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from readiness import stats
from readiness.estimate import Part, estimate, findings, least_to_bound
from readiness.model import ClosedArrivals, Environment, Plan, Step
from tests.unit.samples import a_plan


def with_load(plan: Plan, **changes) -> Plan:
    return replace(plan, workload=replace(plan.workload, **changes))


def part(plan: Plan, name: str, environment: Environment = Environment.AWS) -> Part:
    return next(each for each in estimate(plan, environment).parts if each.name.startswith(name))


def standings(plan: Plan) -> dict[str, str]:
    return {each.objective: each.standing for each in estimate(plan, Environment.AWS).samples}


def test_the_load_is_the_area_under_the_rate():
    plan = a_plan()
    arrivals = replace(
        plan.workload.arrivals,
        rate_per_s=20,
        steps=(Step(rate_per_s=10, ramp=timedelta(seconds=4), hold=timedelta(seconds=5)),),
    )
    plan = with_load(plan, arrivals=arrivals, ramp=timedelta(seconds=2), hold=timedelta(seconds=10))

    load = part(plan, "load")

    assert load.smooth == timedelta(seconds=21)
    assert load.requests_smooth == 20 + 50 + 30 + 200
    assert load.most > load.smooth


def test_what_users_will_send_is_not_known():
    plan = with_load(a_plan(), arrivals=ClosedArrivals(kind="closed", users=3))

    assert part(plan, "load").requests_smooth is None
    assert set(standings(plan).values()) == {"not known"}
    assert list(findings(plan, estimate(plan, Environment.AWS))) == []


def test_an_alarm_fires_after_its_periods_and_no_later_than_its_limit():
    plan = a_plan()
    drill = part(plan, "alarm latency")

    assert drill.smooth == timedelta(minutes=2)
    assert drill.most >= plan.drills.alarms.max_detect + plan.drills.alarms.max_clear


def test_a_rehearsal_shortens_the_waiting_times():
    plan = a_plan()
    plan = replace(plan, embedded=replace(plan.embedded, time_scale=20))

    assert part(plan, "alarm latency", Environment.EMULATED).smooth == timedelta(seconds=6)
    assert part(plan, "alarm latency", Environment.AWS).smooth == timedelta(minutes=2)


def test_no_part_takes_longer_than_its_most():
    for environment in Environment:
        for each in estimate(a_plan(), environment).parts:
            assert timedelta(0) <= each.smooth <= each.most


@pytest.mark.parametrize(("wanted", "standing"), [(10, "enough"), (195, "may fall short"), (9000, "cannot reach")])
def test_samples_are_held_against_what_is_wanted(wanted, standing):
    plan = a_plan()
    objective = next(each for each in plan.objectives if each.kind == "errors")
    plan = replace(plan, objectives=(replace(objective, min_samples=wanted),))

    made = estimate(plan, Environment.AWS)

    assert made.samples[0].standing == standing
    assert bool(list(findings(plan, made))) == (standing == "cannot reach")


def test_a_percentile_wants_as_many_samples_as_bound_it():
    plan = a_plan()
    objective = replace(
        next(each for each in plan.objectives if each.kind == "latency"), percentile=99.9, min_samples=1
    )
    plan = replace(plan, objectives=(objective,))

    (found,) = estimate(plan, Environment.AWS).samples

    assert found.wanted == least_to_bound(99.9) > 1000
    assert found.standing == "cannot reach"
    assert "to bound p99.9" in found.why


@pytest.mark.parametrize("percentile", [50, 95, 99, 99.9])
def test_the_fewest_samples_that_bound_a_percentile_are_the_fewest(percentile):
    enough = least_to_bound(percentile)

    assert stats.interval_ranks(percentile, enough) is not None
    assert stats.interval_ranks(percentile, enough - 1) is None


def test_a_wall_clock_that_is_too_short_is_found():
    plan = a_plan()
    plan = replace(plan, budget=replace(plan.budget, wall_clock=timedelta(seconds=30)))

    assert any("budget.wall_clock" in each for each in findings(plan, estimate(plan, Environment.AWS)))
