"""Pure figures: percentiles by nearest rank, their confidence intervals, ratios. None of them answers about nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from readiness.errors import ReadinessError
from readiness.histogram import Histogram

_Z95 = 1.959963984540054
"""How many standard deviations to either side hold 95 % of a normal distribution."""


class NoSamplesError(ReadinessError):
    """A figure was asked of no samples. There is no such figure; least of all is it zero."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no {what} of no samples.", hint="Find out why nothing was measured.")


def nearest_rank(percentile: float, samples: int) -> int:
    """Return the rank (1 = the smallest) of the smallest value that *percentile* % of *samples* do not exceed.

    Raises:
        NoSamplesError: *samples* is 0.
        ValueError: *percentile* is not above 0 and at most 100.
    """
    if not 0 < percentile <= 100:
        raise ValueError(f"A percentile lies above 0 and is at most 100, not {percentile}.")
    if samples <= 0:
        raise NoSamplesError(f"p{percentile:g}")
    # Through its decimal spelling: 99.9 % of 1,000 is rank 999, not the 1,000 that binary fractions round up to.
    return max(1, math.ceil(Fraction(repr(percentile)) * samples / 100))


def percentile_of(values: Sequence[float], percentile: float) -> float:
    """Return the nearest-rank percentile of *values*, in any order.

    Raises:
        NoSamplesError: there are no values.
    """
    return sorted(values)[nearest_rank(percentile, len(values)) - 1]


def percentile_ms(histogram: Histogram, percentile: float) -> float:
    """Return the nearest-rank percentile of a histogram, in milliseconds; at most 0.1 % above the true value.

    Raises:
        NoSamplesError: it is empty.
    """
    return histogram.value_at_rank(nearest_rank(percentile, histogram.total)) / 1000


def ratio(part: float, whole: float, what: str = "ratio") -> float:
    """Return *part* of *whole*.

    Raises:
        NoSamplesError: *whole* is 0.
    """
    if whole == 0:
        raise NoSamplesError(what)
    return part / whole


def interval_ranks(percentile: float, samples: int, confidence: float = 0.95) -> tuple[int, int] | None:
    """Return the ranks between which the true percentile lies with at least *confidence*; None = too few samples.

    By order statistics: how many of n independent samples lie below the true percentile is binomial, whatever the
    distribution of the values. Each tail gets half of what *confidence* leaves.

    Raises:
        NoSamplesError: *samples* is 0.
    """
    if samples <= 0:
        raise NoSamplesError(f"confidence interval of p{percentile:g}")
    share = percentile / 100
    tail = (1 - confidence) / 2
    lower = _binomial_quantile(samples, share, tail)
    upper = _binomial_quantile(samples, share, 1 - tail) + 1
    return (lower, upper) if lower >= 1 and upper <= samples else None


def interval_ms(histogram: Histogram, percentile: float, confidence: float = 0.95) -> tuple[float, float] | None:
    """Return the bounds of a percentile's confidence interval in milliseconds; None = too few samples to bound it.

    Raises:
        NoSamplesError: the histogram is empty.
    """
    ranks = interval_ranks(percentile, histogram.total, confidence)
    if ranks is None:
        return None
    return histogram.value_at_rank(ranks[0]) / 1000, histogram.value_at_rank(ranks[1]) / 1000


def share_interval(share: float, samples: int) -> tuple[float, float]:
    """Return the bounds of a share's 95 % confidence interval, by Wilson's score: sound also near 0 and 1.

    Args:
        share: Between 0 and 1.
        samples: Of how many.

    Raises:
        NoSamplesError: *samples* is 0.
    """
    if samples <= 0:
        raise NoSamplesError("confidence interval of a share")
    squared = _Z95**2 / samples
    middle = (share + squared / 2) / (1 + squared)
    half = math.sqrt(share * (1 - share) * squared + squared**2 / 4) / (1 + squared)
    return max(0.0, middle - half), min(1.0, middle + half)


def _binomial_quantile(trials: int, share: float, probability: float) -> int:
    """Return the smallest k with P(X <= k) >= *probability* for X binomial."""
    deviation = math.sqrt(trials * share * (1 - share))
    # Ten standard deviations below the mean there is nothing left to add up, so the walk is short for any n.
    first = max(0, math.floor(trials * share - 10 * deviation) - 1)
    term = math.exp(
        math.lgamma(trials + 1)
        - math.lgamma(first + 1)
        - math.lgamma(trials - first + 1)
        + first * math.log(share)
        + (trials - first) * math.log1p(-share)
    )
    total = term
    successes = first
    while total < probability and successes < trials:
        term *= (trials - successes) / (successes + 1) * share / (1 - share)
        successes += 1
        total += term
    return successes
