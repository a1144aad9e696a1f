"""When an objective cannot be met any more, whatever is still to come: the only reason to abort a load early. Pure.

A run that is aborted by these rules would have failed at its end as well; none that could still pass is cut short.
"""

from __future__ import annotations

from math import floor, sqrt

from readiness import objectives, stats
from readiness.load_figures import Figures, latencies_of
from readiness.loadgen import rows
from readiness.model import (
    CacheHitObjective,
    ErrorObjective,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    OpenArrivals,
    ThroughputObjective,
    Workload,
)

_POISSON_SIGMAS = 6.0


def hopeless(objective: LoadObjective, so_far: Figures, workload: Workload) -> str:
    """Return why an objective can no longer be met over the whole hold; empty if it can.

    Args:
        objective: One that is not to last.
        so_far: The hold up to now.
        workload: Of open arrivals: of others it is not known how many requests are still to come.
    """
    if not isinstance(workload.arrivals, OpenArrivals) or isinstance(objective, LatencyChangeObjective):
        return ""
    tally = so_far.tally(objective.scenario, objective.tag)
    most = most_arrivals(objective, workload, workload.hold.total_seconds())
    if isinstance(objective, LatencyObjective):
        limit_us = round(objective.threshold.total_seconds() * 1e6)
        bad, share = latencies_of(tally, objective.part).count_above(limit_us), 1 - objective.percentile / 100
        what = f"took longer than {limit_us / 1000:g} ms"
    elif isinstance(objective, ErrorObjective):
        bad, share, what = tally.failed, objective.max_ratio, "failed"
    elif isinstance(objective, CacheHitObjective):
        hits = {value.lower() for value in so_far.cache_hit_values}
        bad = sum(count for name, count in tally.cache_outcomes().items() if name not in hits)
        share, what = 1 - objective.min_ratio, "were no cache hits"
    else:
        return _throughput(objective, so_far, workload)
    allowed = floor(share * most + 1e-9)
    return f"{bad} requests {what}, and of all {most} in the hold at most {allowed} may" if bad > allowed else ""


def _throughput(objective: ThroughputObjective, so_far: Figures, workload: Workload) -> str:
    """All that is under way and all that is still due, answered at once, must be too little."""
    tally = so_far.tally(objective.scenario, objective.tag)
    hold_s = workload.hold.total_seconds()
    answered = tally.counts.get(rows.ANSWERED, 0)
    under_way = tally.counts.get(rows.OFFERED, 0) - tally.counts.get(rows.DROPPED, 0) - tally.requests
    to_come = most_arrivals(objective, workload, max(0.0, hold_s - so_far.seconds))
    wanted = objective.min_per_s * hold_s
    if answered + max(0, under_way) + to_come < wanted:
        return f"{answered} answers so far, and at most {under_way + to_come} more can come; {wanted:.0f} are wanted"
    return ""


def lasted(objective: LoadObjective, seconds: list[Figures]) -> str:
    """Return that a breach has lasted for as long as the objective allows; empty if none has.

    Args:
        objective: One that is to last.
        seconds: The hold up to now; the seconds of which all requests have ended count.
    """
    if isinstance(objective, LatencyChangeObjective):
        return ""
    values = [objectives.second_values([each], objective)[0] if _ended(each) else None for each in seconds]
    try:
        reading = next(objectives.read(each, objective) for each in seconds if _ended(each))
    except (StopIteration, stats.NoSamplesError):
        return ""
    longest = objectives.longest_breach(values, reading, unknown=False)
    wanted_s = objective.lasting.total_seconds()
    return f"every second of {longest} in a row missed it; {wanted_s:g} s are too long" if longest >= wanted_s else ""


def _ended(second: Figures) -> bool:
    counts = second.whole.counts
    return second.whole.requests >= counts.get(rows.OFFERED, 0) - counts.get(rows.DROPPED, 0)


def most_arrivals(objective: LoadObjective, workload: Workload, seconds: float) -> int:
    """Return how many requests of an objective's scenarios may be due in some seconds of the hold, at the very most."""
    assert isinstance(workload.arrivals, OpenArrivals)
    weights = {scenario.name: scenario.weight for scenario in workload.scenarios}
    named = [
        scenario.name
        for scenario in workload.scenarios
        if objective.scenario in (None, scenario.name) and (objective.tag is None or objective.tag in scenario.tags)
    ]
    share = sum(weights[name] for name in named) / sum(weights.values())
    expected = workload.arrivals.rate_per_s * seconds * share
    # Which scenario comes next is drawn by lot even when the arrivals themselves are even.
    scatters = workload.arrivals.distribution == "poisson" or share < 1
    return floor(expected + (_POISSON_SIGMAS * sqrt(expected) if scatters else 0) + 1)
