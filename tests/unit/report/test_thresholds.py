"""Thresholds: met, missed, and neither of both where there is nothing to tell."""

from __future__ import annotations

import pytest

from readiness.model import Gap, Measurement
from readiness.report.thresholds import Standing, margin, met, thresholds
from tests.unit.report.bundles import plan
from tests.unit.samples import a_judgement, a_result


def a_measurement(value, threshold=250.0, comparison="<=", name="latency-p95"):
    return Measurement(name=name, value=value, unit="ms", samples=900, threshold=threshold, comparison=comparison)


def standings(*measurements, gaps=(), gate="load"):
    result = a_result(gate, a_judgement(measurements=measurements, gaps=gaps))
    return {each.name: each.standing for each in thresholds([result], plan())}


@pytest.mark.parametrize(
    ("value", "comparison", "is_met", "left"),
    [
        (200, "<=", True, 0.2),
        (250, "<=", True, 0.0),
        (300, "<=", False, -0.2),
        (250, "<", False, 0.0),
        (249, "<", True, 0.004),
        (300, ">=", True, 0.2),
        (250, ">=", True, 0.0),
        (200, ">=", False, -0.2),
    ],
)
def test_the_side_of_the_threshold_decides(value, comparison, is_met, left):
    measured = a_measurement(value, comparison=comparison)

    assert met(measured) is is_met
    assert margin(measured) == pytest.approx(left)
    assert standings(measured)["latency-p95"] is (Standing.MET if is_met else Standing.MISSED)


def test_a_margin_of_a_threshold_of_zero_is_none():
    assert margin(a_measurement(0, threshold=0)) is None


def test_what_has_no_threshold_is_on_no_side_of_it():
    with pytest.raises(ValueError, match="no threshold"):
        met(a_measurement(1, threshold=None, comparison=None))


def test_a_good_figure_that_proves_nothing_is_not_met():
    gap = Gap(what="objective latency-p95", why="3 samples, 500 wanted")
    result = a_result("load", a_judgement(measurements=(a_measurement(1),), gaps=(gap,)))
    (found,) = [each for each in thresholds([result], plan()) if each.name == "latency-p95"]

    assert (found.standing, found.why) == (Standing.UNPROVEN, "3 samples, 500 wanted")


def test_a_breach_that_must_last_is_doubted_by_the_name_of_its_objective():
    name = "latency-p95 (longest breach)"
    found = standings(a_measurement(0, 10, "<", name), gaps=(Gap(what="objective latency-p95", why="silent for 12 s"),))

    assert found[name] is Standing.UNPROVEN
    assert "latency-p95" not in found


def test_every_objective_without_a_figure_is_named():
    found = standings(a_measurement(1))

    assert found.pop("latency-p95") is Standing.MET
    assert set(found.values()) == {Standing.UNOBSERVED}
    assert "unhealthy-hosts" not in found, "only the load balancer sees it"
    assert len(found) == len(plan().objectives) - 2


def test_a_load_that_was_not_asked_leaves_every_objective_unobserved():
    found = thresholds([], plan())

    assert {each.standing for each in found} == {Standing.UNOBSERVED}
    assert {each.why for each in found} == {"the gate load was not asked"}


def test_an_objective_without_a_figure_still_says_what_it_asks_for():
    limits = {each.name: each.limit for each in thresholds([], plan())}

    assert limits == {
        "latency-p50": "≤ 60 ms",
        "latency-p95": "≤ 250 ms",
        "latency-p99": "≤ 500 ms",
        "error-ratio": "≤ 1.00%",
        "throughput": "≥ 90/s",
        "cache-hits": "≥ 50.00%",
        "proxy-overhead-p99": "≤ 50 ms",
        "models-p95": "≤ 100 ms",
    }
