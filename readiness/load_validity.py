"""Whether a load is evidence: what says that the generator was out of breath, or offered something else. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from math import sqrt

from readiness import stats
from readiness.load_figures import Figures
from readiness.load_result import Validity
from readiness.loadgen import rows
from readiness.model import (
    Arrivals,
    Duration,
    Gap,
    LatencyObjective,
    LoadObjective,
    OpenArrivals,
    Ratio,
    record,
)

_POISSON_SIGMAS = 4.0
_LEAST_LAG_MS = 5.0


@record
class Limits:
    """How far the generator may be off before its figures are no evidence.

    Attributes:
        rate_tolerance_ratio: Between the rate that the plan wants and the rate that was offered. Poisson arrivals
            scatter by themselves; they may be four standard deviations off.
        max_dropped: Arrivals that were not sent because too many requests were under way.
        max_generator_cpu_ratio: Of one core, over the busiest five seconds of the busiest worker.
        max_dispatcher_lag: p99 of how late requests were sent.
        max_lag_share: The same, as a share of the threshold of each latency objective; 5 ms are always allowed.
        max_clock_skew: Between a worker and the master.
    """

    rate_tolerance_ratio: Ratio = 0.02
    max_dropped: int = 0
    max_generator_cpu_ratio: Ratio = 0.9
    max_dispatcher_lag: Duration = timedelta(milliseconds=50)
    max_lag_share: Ratio = 0.2
    max_clock_skew: Duration = timedelta(milliseconds=500)


@dataclass(frozen=True, kw_only=True)
class Drive:
    """What the generator says of itself and of the hold.

    Attributes:
        aborted: Why the harness itself cut the drive short; empty if it did not.
    """

    arrivals: Arrivals
    figures: Figures
    validity: Validity
    aborted: str = ""


def generator_gaps(drive: Drive, limits: Limits) -> Iterator[Gap]:
    """Yield what says that the generator was out of breath."""
    cpu = drive.validity.generator_cpu_ratio
    if cpu > limits.max_generator_cpu_ratio:
        why = f"a worker used {cpu:.0%} of its core; above {limits.max_generator_cpu_ratio:.0%} it measures itself"
        yield Gap(what="the generator", why=why)
    limit_ms = limits.max_dispatcher_lag.total_seconds() * 1000
    lag_ms = lag_p99_ms(drive.figures)
    if lag_ms > limit_ms:
        why = f"1 % of the requests were sent more than {lag_ms:.1f} ms late; {limit_ms:.0f} ms allowed"
        yield Gap(what="the generator", why=why)


def late_for(objective: LoadObjective, figures: Figures, limits: Limits) -> str:
    """Return that requests were sent too late for so low a latency threshold; empty if they were not."""
    if not isinstance(objective, LatencyObjective) or objective.part != "whole":
        return ""
    limit_ms = max(_LEAST_LAG_MS, limits.max_lag_share * objective.threshold.total_seconds() * 1000)
    lag_ms = lag_p99_ms(figures)
    if lag_ms <= limit_ms:
        return ""
    return f"1 % of the requests were sent more than {lag_ms:.1f} ms late; {limit_ms:.1f} ms allowed for its threshold"


def lag_p99_ms(figures: Figures) -> float:
    """Return how late the latest 1 % of the requests were sent; a closed workload knows no lateness."""
    return stats.percentile_ms(figures.lag, 99) if figures.lag.total else 0.0


def offer_gaps(drive: Drive, limits: Limits) -> Iterator[Gap]:
    """Yield what says that less, or something else, was offered or seen than was planned."""
    figures = drive.figures
    counts = figures.whole.counts
    offered, dropped = counts.get(rows.OFFERED, 0), counts.get(rows.DROPPED, 0)
    if figures.seconds < 1:
        yield Gap(what="the hold", why="it has not one whole second")
    if not offered:
        yield Gap(what="the load", why="no request was due in the hold")
    elif not figures.whole.requests:
        yield Gap(what="the load", why=f"{offered} requests were due in the hold, and none has ended")
    if offered and isinstance(drive.arrivals, OpenArrivals):
        yield from _rate_gap(drive.arrivals, offered, figures.seconds, limits)
    dropped = max(dropped, drive.validity.dropped)
    if dropped > limits.max_dropped:
        why = f"{dropped} requests were due and not sent, because as many as allowed were under way"
        yield Gap(what="the load", why=why)
    yield from _fleet_gaps(drive, limits)


def _rate_gap(arrivals: OpenArrivals, offered: int, hold_s: int, limits: Limits) -> Iterator[Gap]:
    expected = arrivals.rate_per_s * hold_s
    tolerance = limits.rate_tolerance_ratio
    if arrivals.distribution == "poisson" and expected:
        tolerance = max(tolerance, _POISSON_SIGMAS / sqrt(expected))
    if abs(offered - expected) > max(1.0, tolerance * expected):
        why = f"{offered} requests were due in the hold instead of {expected:.0f}; {tolerance:.1%} off are allowed"
        yield Gap(what="the offered rate", why=why)


def _fleet_gaps(drive: Drive, limits: Limits) -> Iterator[Gap]:
    validity = drive.validity
    if not validity.finished:
        yield Gap(what="the end of the drive", why="the master never told it: more may have happened than was seen")
    elif validity.stopped and not drive.aborted:
        yield Gap(what="the hold", why="the drive was stopped before its end")
    for worker in validity.workers_lost:
        yield Gap(what=f"worker {worker}", why="it was lost, and with it what it had not reported")
    for worker in validity.workers_failed:
        yield Gap(what=f"worker {worker}", why="it failed; see the problems of the drive")
    if validity.workers_seen < validity.workers_expected:
        why = f"{validity.workers_seen} of {validity.workers_expected} workers took part"
        yield Gap(what="the fleet", why=why)
    for count, what in (
        (validity.unreported, "requests were sent and never reported"),
        (validity.missing_reports, "reports of workers never arrived"),
        (validity.missing_lines, "lines of the master's log never arrived"),
    ):
        if count:
            yield Gap(what="the figures", why=f"{count} {what}")
    limit_ms = limits.max_clock_skew.total_seconds() * 1000
    if validity.clock_skew_ms > limit_ms:
        why = f"a worker's clock is {validity.clock_skew_ms:.0f} ms off; {limit_ms:.0f} ms allowed"
        yield Gap(what="the common start", why=why)
