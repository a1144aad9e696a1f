"""The gate ``cost``: passes within the budget, fails over it, and is inconclusive without a budget or a price."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest

from readiness import decide
from readiness.cost import estimate
from readiness.errors import ReadinessError
from readiness.gates.cost import Observation, Settings, judge, observe
from readiness.model import Outcome, Severity
from readiness.prices import load_prices
from tests.unit.samples import BLOCKING, a_context, a_plan

NAT = {"Nat": {"Type": "AWS::EC2::NatGateway"}}
ON = date(2026, 12, 1)


def seen(resources=NAT, budget_usd=15.0, on=ON):
    found = estimate([{"Resources": resources}], a_plan(), load_prices())
    return Observation(estimate=found, budget_usd=budget_usd, on=on)


def outcome(observation) -> Outcome:
    judged = judge(observation, Settings())
    return decide.outcome(judged, decide.dispose(judged.findings, (), ON), BLOCKING)


def test_a_run_within_its_budget_passes():
    assert outcome(seen()) is Outcome.PASSED
    assert judge(seen(), Settings()).examined == 2


def test_a_run_over_its_budget_fails_and_the_dearest_thing_is_named():
    poor = seen(budget_usd=0.01)

    assert outcome(poor) is Outcome.FAILED
    (finding,) = judge(poor, Settings()).findings
    assert finding.rule == "cost/over-budget"
    assert "NAT gateway Nat" in finding.message


def test_a_budget_that_is_just_enough_passes():
    assert outcome(seen(budget_usd=seen().estimate.usd_per_run)) is Outcome.PASSED


def test_without_a_budget_nothing_was_examined():
    assert outcome(seen(budget_usd=None)) is Outcome.INCONCLUSIVE
    assert not judge(seen(budget_usd=None), Settings()).gaps


def test_no_resources_are_inconclusive_not_cheap():
    assert outcome(seen(resources={})) is Outcome.INCONCLUSIVE


def test_a_type_of_unknown_price_is_a_gap():
    unknown = seen(NAT | {"Stream": {"Type": "AWS::Kinesis::Stream"}})

    assert outcome(unknown) is Outcome.INCONCLUSIVE
    assert [gap.what for gap in judge(unknown, Settings()).gaps] == ["Stream (AWS::Kinesis::Stream)"]


def test_a_stack_over_its_budget_fails_although_something_of_it_has_no_price():
    assert outcome(seen(NAT | {"Stream": {"Type": "AWS::Kinesis::Stream"}}, budget_usd=0.01)) is Outcome.FAILED


def test_old_prices_are_told_and_do_not_block():
    old = seen(on=date(2028, 1, 1))

    assert [finding.severity for finding in judge(old, Settings()).findings] == [Severity.LOW]
    assert outcome(old) is Outcome.PASSED
    assert not judge(old, replace(Settings(), max_price_age=timedelta(days=9999))).findings


def test_the_estimate_is_measured_against_the_budget_and_told_to_be_one():
    judged = judge(seen(), Settings())

    run = next(each for each in judged.measurements if each.threshold is not None)
    assert (run.threshold, run.comparison, run.unit) == (15.0, "<=", "USD")
    assert run.value == pytest.approx(seen().estimate.usd_per_run)
    assert "An estimate from list prices" in judged.notes[0]


def test_the_users_own_prices_outrank_the_packages(tmp_path):
    (tmp_path / "stack.template.json").write_text(json.dumps({"Resources": {"Key": {"Type": "AWS::KMS::Key"}}}))
    (tmp_path / "prices.csv").write_text(
        "region,item,unit,usd,as_of,confirmed,source\neu-west-1,kms-key,hour,7,2026-11-01,own,https://example.org\n"
    )
    context = a_context(tmp_path, templates=(tmp_path / "stack.template.json",))

    assert observe(context, Settings(prices="prices.csv")).estimate.usd_per_hour_most == 7
    assert observe(context, Settings()).estimate.usd_per_hour_most < 1
    with pytest.raises(ReadinessError, match="cannot be read"):
        observe(context, Settings(prices="nowhere.csv"))
