"""When requests of an open workload are due: pure, reproducible, the same however the service answers."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

from readiness.model import OpenArrivals


def expected_by(arrivals: OpenArrivals, ramp_s: float, at_s: float) -> float:
    """Return how many arrivals are expected in the first *at_s* seconds: the rate climbs linearly, then holds."""
    if at_s < ramp_s:
        return arrivals.rate_per_s * at_s * at_s / (2 * ramp_s)
    return arrivals.rate_per_s * (at_s - ramp_s / 2)


def due_times(
    arrivals: OpenArrivals, ramp_s: float, end_s: float, *, worker: int, workers: int, choose: random.Random
) -> Iterator[float]:
    """Yield the seconds after the start at which one of several workers has a request due, up to *end_s*.

    Together the workers offer the whole: constant arrivals are dealt out in turn, Poisson arrivals are independent
    streams of a share of the rate each, which add up to a Poisson stream of the whole rate.
    """
    number = 0.0 if arrivals.distribution == "poisson" else worker + 0.5
    if arrivals.distribution == "poisson":
        number += choose.expovariate(1.0) * workers
    while (due := _when(arrivals.rate_per_s, ramp_s, number)) < end_s:
        yield due
        number += choose.expovariate(1.0) * workers if arrivals.distribution == "poisson" else workers


def _when(rate_per_s: float, ramp_s: float, number: float) -> float:
    """Return the second by which *number* arrivals are expected."""
    in_ramp = rate_per_s * ramp_s / 2
    if number < in_ramp:
        return math.sqrt(2 * ramp_s * number / rate_per_s)
    return ramp_s / 2 + number / rate_per_s
