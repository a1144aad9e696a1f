from __future__ import annotations

import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readiness import stats
from readiness.histogram import Histogram
from readiness.stats import NoSamplesError


@pytest.mark.parametrize(
    ("percentile", "samples", "rank"),
    [(50, 1, 1), (50, 2, 1), (50, 3, 2), (95, 100, 95), (99, 100, 99), (99.9, 1000, 999), (100, 7, 7), (0.1, 10, 1)],
)
def test_nearest_rank(percentile: float, samples: int, rank: int) -> None:
    assert stats.nearest_rank(percentile, samples) == rank


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=200), st.sampled_from([1.0, 50.0, 95.0, 99.0, 99.9, 100.0]))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(numbers: list[int], percentile: float) -> None:
    value = stats.percentile_of(numbers, percentile)
    share = sum(number <= value for number in numbers) / len(numbers)
    below = sum(number < value for number in numbers) / len(numbers)
    assert below < percentile / 100 <= share + 1e-12


def test_a_histogram_and_its_values_have_the_same_percentiles_to_a_thousandth() -> None:
    choose = random.Random(3)
    numbers = [int(choose.lognormvariate(10, 0.7)) for _ in range(3000)]
    histogram = Histogram()
    for number in numbers:
        histogram.record(number)
    for percentile in (50.0, 95.0, 99.0, 99.9):
        true_ms = stats.percentile_of(numbers, percentile) / 1000
        assert true_ms <= stats.percentile_ms(histogram, percentile) <= true_ms * 1.001


@pytest.mark.parametrize(
    "ask",
    [
        lambda: stats.percentile_of([], 95),
        lambda: stats.percentile_ms(Histogram(), 95),
        lambda: stats.ratio(0, 0),
        lambda: stats.interval_ms(Histogram(), 95),
    ],
)
def test_nothing_has_no_figure_least_of_all_zero(ask: object) -> None:
    with pytest.raises(NoSamplesError, match="of no samples"):
        ask()  # type: ignore[operator]


@pytest.mark.parametrize("percentile", [0, -1, 100.1])
def test_what_is_no_percentile_is_refused(percentile: float) -> None:
    with pytest.raises(ValueError, match="percentile"):
        stats.nearest_rank(percentile, 10)


def test_the_confidence_interval_covers_what_the_binomial_says() -> None:
    ranks = stats.interval_ranks(90, 200)
    assert ranks is not None
    lower, upper = ranks
    covered = sum(comb(200, k) * 0.9**k * 0.1 ** (200 - k) for k in range(lower, upper))
    assert 0.95 <= covered < 0.975


def test_too_few_samples_bound_nothing() -> None:
    assert stats.interval_ranks(99, 100) is None
    assert stats.interval_ranks(50, 5) is None
    assert stats.interval_ranks(99, 400) is not None


def test_an_interval_narrows_with_samples() -> None:
    small, large = stats.interval_ranks(95, 400), stats.interval_ranks(95, 400_000)
    assert small is not None
    assert large is not None
    assert (large[1] - large[0]) / 400_000 < (small[1] - small[0]) / 400
