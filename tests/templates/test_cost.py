"""The price table knows every type that the stacks can make, and this repository's plan stays within its budget."""

from __future__ import annotations

from readiness.cost import estimate
from readiness.prices import load_prices
from tests.templates.conftest import Synthesized


def test_nothing_of_the_stack_is_of_unknown_price(any_plan: Synthesized) -> None:
    found = estimate([any_plan.document], any_plan.plan, load_prices())

    assert found.unpriced == ()
    assert found.lines
    assert found.usd_per_hour_least < found.usd_per_hour_most


def test_the_service_the_fleet_and_the_stores_are_all_counted(default: Synthesized) -> None:
    items = {line.item for line in estimate([default.document], default.plan, load_prices()).lines}

    assert {"fargate-vcpu", "fargate-gb", "alb", "alb-lcu", "nat-gateway", "public-ipv4", "aurora-acu"} <= items
    assert {"cache:cache.t4g.small", "secret", "kms-key", "alarm-metric", "dashboard", "logs"} <= items


def test_a_run_of_the_plan_of_this_repository_stays_within_its_budget(default: Synthesized) -> None:
    found = estimate([default.document], default.plan, load_prices())

    assert default.plan.budget.usd is not None
    assert 1 < found.usd_per_run < default.plan.budget.usd
