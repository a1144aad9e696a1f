from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from readiness.hopeless import hopeless, lasted, most_arrivals
from readiness.load_figures import Figures
from readiness.loadgen import rows
from readiness.loadgen.rows import Tally
from readiness.model import (
    CacheHitObjective,
    ClosedArrivals,
    ErrorObjective,
    LatencyObjective,
    LoadObjective,
    OpenArrivals,
    ThroughputObjective,
    Workload,
)
from readiness.plan import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "readiness.toml")
EVEN = OpenArrivals(kind="open", rate_per_s=100, distribution="constant")
WORKLOAD = replace(PLAN.workload, arrivals=EVEN, hold=timedelta(seconds=10), scenarios=PLAN.workload.scenarios[:1])
"""1,000 requests are due in the hold, and one more for the edge."""
LATENCY = LatencyObjective(kind="latency", id="l", percentile=95, threshold=timedelta(milliseconds=100))
ERRORS = ErrorObjective(kind="errors", id="e", max_ratio=0.05)
FLOOR = ThroughputObjective(kind="throughput", id="t", min_per_s=90)
HITS = CacheHitObjective(kind="cache-hits", id="c", min_ratio=0.95)


def so_far(*, good: int = 0, slow: int = 0, failed: int = 0, waiting: int = 0, seconds: int = 1) -> Figures:
    tally = Tally()
    tally.count(rows.OFFERED, good + slow + failed + waiting)
    tally.count(rows.ANSWERED, good + slow)
    for number, series, us in (
        (good, rows.OUTCOME_SERIES + rows.OK, 10_000),
        (slow, rows.OUTCOME_SERIES + rows.OK, 900_000),
        (failed, rows.OUTCOME_SERIES + rows.STATUS, 900),
        (good, rows.CACHE_SERIES + "hit", 10_000),
        (slow, rows.CACHE_SERIES + "miss", 900_000),
    ):
        if number:
            tally.histogram(series).record(us, number)
    return Figures(seconds=seconds, scenarios={"chat-cached": tally}, whole=tally, cache_hit_values=("hit",), tags={})


@pytest.mark.parametrize(
    ("objective", "still", "lost"),
    [
        (LATENCY, so_far(slow=50), so_far(slow=51)),
        (ERRORS, so_far(failed=50), so_far(failed=51)),
        (HITS, so_far(slow=50), so_far(slow=51)),
        (FLOOR, so_far(failed=100, seconds=1), so_far(failed=200, seconds=2)),
        (FLOOR, so_far(waiting=200, seconds=2), so_far(failed=200, seconds=2)),
    ],
)
def test_hopeless_is_what_even_perfect_answers_from_now_on_could_not_mend(
    objective: LoadObjective, still: Figures, lost: Figures
) -> None:
    assert hopeless(objective, still, WORKLOAD) == ""
    assert hopeless(objective, lost, WORKLOAD) != ""


def test_nothing_seen_yet_is_not_hopeless() -> None:
    for objective in (LATENCY, ERRORS, HITS, FLOOR):
        assert hopeless(objective, so_far(seconds=0), WORKLOAD) == ""


def test_random_arrivals_are_given_room() -> None:
    random = replace(WORKLOAD, arrivals=OpenArrivals(kind="open", rate_per_s=100))
    assert most_arrivals(LATENCY, random, 10) > most_arrivals(LATENCY, WORKLOAD, 10) == 1001
    assert hopeless(LATENCY, so_far(slow=51), random) == ""


def test_of_a_closed_workload_nobody_knows_what_is_still_to_come() -> None:
    closed: Workload = replace(WORKLOAD, arrivals=ClosedArrivals(kind="closed", users=5))
    assert hopeless(LATENCY, so_far(slow=999), closed) == ""


def test_a_breach_that_lasts_needs_its_seconds_in_a_row_and_all_their_answers() -> None:
    objective = replace(LATENCY, lasting=timedelta(seconds=3))
    bad, good, open_ended = so_far(slow=100), so_far(good=100), so_far(slow=99, waiting=1)
    assert lasted(objective, [bad, bad, good, bad]) == ""
    assert lasted(objective, [bad, bad, open_ended]) == ""
    assert "3 in a row" in lasted(objective, [good, bad, bad, bad])
    assert lasted(objective, []) == ""
