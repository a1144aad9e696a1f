"""When requests of an open workload are due: pure, reproducible, the same however the service answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

from readiness.model import OpenArrivals, Workload


@dataclass(frozen=True)
class _Piece:
    """A time in which the rate changes linearly, or not at all."""

    begins_s: float
    lasts_s: float
    from_rate: float
    to_rate: float

    @property
    def expected(self) -> float:
        """How many arrivals are expected in it."""
        return self.lasts_s * (self.from_rate + self.to_rate) / 2

    def when(self, number: float) -> float:
        """Return the second of the drive by which *number* of its arrivals are expected."""
        if number <= 0:
            return self.begins_s
        slope = (self.to_rate - self.from_rate) / self.lasts_s
        # The root of slope/2 t² + from_rate t = number, in the form that no small slope can spoil.
        return self.begins_s + 2 * number / (self.from_rate + sqrt(self.from_rate**2 + 2 * slope * number))


def due_times(workload: Workload, *, worker: int, workers: int, choose: random.Random) -> Iterator[float]:
    """Yield the seconds after the start at which one of several workers has a request due, up to the end of the hold.

    Together the workers offer the whole: constant arrivals are dealt out in turn, Poisson arrivals are independent
    streams of a share of the rate each, which add up to a Poisson stream of the whole rate.

    Args:
        workload: Of open arrivals.
        worker: Which of the workers, from 0.
        workers: How many there are.
        choose: Of Poisson arrivals.
    """
    assert isinstance(workload.arrivals, OpenArrivals)
    poisson = workload.arrivals.distribution == "poisson"
    number = choose.expovariate(1.0) * workers if poisson else worker + 0.5
    before = 0.0
    for piece in _pieces(workload, workload.arrivals):
        through = before + piece.expected
        while number < through:
            yield piece.when(number - before)
            number += choose.expovariate(1.0) * workers if poisson else workers
        before = through


def _pieces(workload: Workload, arrivals: OpenArrivals) -> Iterator[_Piece]:
    """Yield the course of the rate: from nothing through each step to the rate that is judged."""
    at_s = rate = 0.0
    steps = [(step.ramp, step.hold, step.rate_per_s) for step in arrivals.steps]
    for ramp, hold, next_rate in (*steps, (workload.ramp, workload.hold, arrivals.rate_per_s)):
        for lasts_s, from_rate in ((ramp.total_seconds(), rate), (hold.total_seconds(), next_rate)):
            if lasts_s > 0:
                yield _Piece(at_s, lasts_s, from_rate, next_rate)
            at_s += lasts_s
        rate = next_rate
