from __future__ import annotations

import itertools
import random

import pytest

from readiness.loadgen.arrivals import due_times, expected_by
from readiness.model import OpenArrivals


def all_due(kind: OpenArrivals, ramp_s: float, end_s: float, workers: int, seed: int = 1) -> list[float]:
    streams = (
        due_times(kind, ramp_s, end_s, worker=worker, workers=workers, choose=random.Random(f"{seed}/{worker}"))
        for worker in range(workers)
    )
    return sorted(due for stream in streams for due in stream)


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_constant_arrivals_of_all_workers_together_are_even(workers: int) -> None:
    due = all_due(OpenArrivals(kind="open", rate_per_s=50, distribution="constant"), 0, 10, workers)
    assert len(due) == 500
    assert all(abs((later - earlier) - 0.02) < 1e-9 for earlier, later in itertools.pairwise(due))


def test_the_ramp_climbs_linearly_to_the_rate() -> None:
    kind = OpenArrivals(kind="open", rate_per_s=100, distribution="constant")
    due = all_due(kind, 10, 20, 3)
    assert sum(time < 5 for time in due) == pytest.approx(125, abs=1)
    assert sum(time < 10 for time in due) == pytest.approx(500, abs=1)
    assert sum(10 <= time < 20 for time in due) == pytest.approx(1000, abs=1)
    assert expected_by(kind, 10, 5) == 125
    assert expected_by(kind, 10, 20) == 1500


def test_poisson_arrivals_scatter_like_poisson_and_keep_the_rate() -> None:
    due = all_due(OpenArrivals(kind="open", rate_per_s=200, distribution="poisson"), 0, 100, 4)
    counts = [sum(second <= time < second + 1 for time in due) for second in range(100)]
    mean = sum(counts) / 100
    variance = sum((count - mean) ** 2 for count in counts) / 99
    assert mean == pytest.approx(200, rel=0.03)
    assert 0.6 < variance / mean < 1.6


def test_the_same_seed_makes_the_same_arrivals() -> None:
    kind = OpenArrivals(kind="open", rate_per_s=20)
    assert all_due(kind, 1, 10, 2) == all_due(kind, 1, 10, 2) != all_due(kind, 1, 10, 2, seed=2)


def test_nothing_is_due_after_the_end() -> None:
    assert max(all_due(OpenArrivals(kind="open", rate_per_s=100), 2, 5, 2)) < 5
