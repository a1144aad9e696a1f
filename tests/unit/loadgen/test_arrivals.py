from __future__ import annotations

import itertools
import random
from datetime import timedelta
from typing import Any

import pytest

from readiness.loadgen.arrivals import due_times
from readiness.model import OpenArrivals, Scenario, Step, Workload


def workload(rate_per_s: float, ramp_s: float, hold_s: float, **changes: Any) -> Workload:
    return Workload(
        arrivals=OpenArrivals(kind="open", rate_per_s=rate_per_s, **changes),
        ramp=timedelta(seconds=ramp_s),
        hold=timedelta(seconds=hold_s),
        scenarios=(Scenario(name="a", path="/"),),
    )


def all_due(offered: Workload, workers: int, seed: int = 1) -> list[float]:
    streams = (
        due_times(offered, worker=worker, workers=workers, choose=random.Random(f"{seed}/{worker}"))
        for worker in range(workers)
    )
    return sorted(due for stream in streams for due in stream)


def step(rate_per_s: float, ramp_s: float, hold_s: float) -> Step:
    return Step(rate_per_s=rate_per_s, ramp=timedelta(seconds=ramp_s), hold=timedelta(seconds=hold_s))


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_constant_arrivals_of_all_workers_together_are_even(workers: int) -> None:
    due = all_due(workload(50, 0, 10, distribution="constant"), workers)
    assert len(due) == 500
    assert all(abs((later - earlier) - 0.02) < 1e-9 for earlier, later in itertools.pairwise(due))


def test_the_ramp_climbs_linearly_to_the_rate() -> None:
    due = all_due(workload(100, 10, 10, distribution="constant"), 3)
    assert sum(time < 5 for time in due) == pytest.approx(125, abs=1)
    assert sum(time < 10 for time in due) == pytest.approx(500, abs=1)
    assert sum(10 <= time < 20 for time in due) == pytest.approx(1000, abs=1)


@pytest.mark.parametrize("distribution", ["constant", "poisson"])
def test_steps_are_climbed_one_after_the_other_and_may_go_down(distribution: Any) -> None:
    steps = (step(1000, 0, 4), step(4000, 2, 3))
    due = all_due(workload(500, 1, 10, distribution=distribution, steps=steps), 2)
    counts = [sum(start <= time < end for time in due) for start, end in ((0, 4), (4, 6), (6, 9), (9, 10), (10, 20))]
    assert counts == pytest.approx([4000, 5000, 12000, 2250, 5000], abs=1 if distribution == "constant" else 400)
    assert len(due) == sum(counts)
    assert due == sorted(due)


def test_poisson_arrivals_scatter_like_poisson_and_keep_the_rate() -> None:
    due = all_due(workload(200, 0, 100, distribution="poisson"), 4)
    counts = [sum(second <= time < second + 1 for time in due) for second in range(100)]
    mean = sum(counts) / 100
    variance = sum((count - mean) ** 2 for count in counts) / 99
    assert mean == pytest.approx(200, rel=0.03)
    assert 0.6 < variance / mean < 1.6


def test_the_same_seed_makes_the_same_arrivals() -> None:
    offered = workload(20, 1, 9)
    assert all_due(offered, 2) == all_due(offered, 2) != all_due(offered, 2, seed=2)


@pytest.mark.parametrize("ramp_s", [0, 2])
def test_nothing_is_due_after_the_end(ramp_s: float) -> None:
    due = all_due(workload(100, ramp_s, 3), 2)
    assert min(due) >= 0
    assert ramp_s + 2.5 < max(due) < ramp_s + 3
