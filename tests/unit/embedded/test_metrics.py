from __future__ import annotations

import random

import pytest

from readiness.embedded.metrics import (
    RETENTION_S,
    Aggregate,
    Datum,
    MetricKey,
    MetricStore,
    StatisticSet,
    UnknownStatisticError,
)

NOW = 1_700_000_040.0
KEY = MetricKey("App", "Latency", (("Service", "a"),))


def datum(
    *values: float,
    at: float = NOW,
    counts: tuple[float, ...] = (),
    dimensions: tuple[tuple[str, str], ...] = KEY.dimensions,
    unit: str = "None",
    statistic_set: StatisticSet | None = None,
) -> Datum:
    return Datum("App", "Latency", dimensions, at, unit, values, counts or (1.0,) * len(values), statistic_set)


def aggregate(*values: float, counts: tuple[float, ...] = ()) -> Aggregate:
    one = Aggregate()
    one.add(datum(*values, counts=counts))
    return one


def test_statistics_weigh_each_value_by_its_count() -> None:
    one = aggregate(10.0, 20.0, counts=(3.0, 1.0))
    assert [one.statistic(name) for name in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")] == [
        4.0,
        50.0,
        12.5,
        10.0,
        20.0,
    ]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("p0", 1.0), ("p50", 50.0), ("p95", 95.0), ("p99", 99.0), ("p99.9", 100.0), ("p100", 100.0)],
)
def test_a_percentile_is_a_value_that_was_seen(statistic: str, expected: float) -> None:
    assert aggregate(*(float(value) for value in range(1, 101))).statistic(statistic) == expected


def test_a_percentile_counts_samples_not_distinct_values() -> None:
    assert aggregate(1.0, 9.0, counts=(1.0, 99.0)).statistic("p50") == 9.0


@pytest.mark.parametrize("name", ["tm99", "TM(10%:90%)", "p101", "p", "average", "IQM", "wm98", "PR(:300)"])
def test_a_statistic_that_is_not_done_is_refused_by_name(name: str) -> None:
    with pytest.raises(UnknownStatisticError, match="not done"):
        aggregate(1.0).statistic(name)


def test_no_samples_have_no_statistic_rather_than_zero() -> None:
    assert Aggregate().statistic("Average") is None
    assert Aggregate().statistic("p99") is None


def test_a_statistic_set_has_sums_but_no_percentile() -> None:
    one = Aggregate()
    one.add(datum(statistic_set=StatisticSet(4, 10, 1, 5)))
    assert one.statistic("Average") == 2.5
    assert one.statistic("p50") is None


@pytest.mark.parametrize("summary", [StatisticSet(1, 7, 7, 7), StatisticSet(5, 35, 7, 7)])
def test_a_statistic_set_of_one_value_has_percentiles(summary: StatisticSet) -> None:
    one = Aggregate()
    one.add(datum(statistic_set=summary))
    assert one.statistic("p99") == 7.0


def test_dimensions_match_as_an_exact_set() -> None:
    store = MetricStore(clock=lambda: NOW)
    store.put([datum(1.0, dimensions=(("Service", "a"), ("Zone", "1")))])
    period = {"start": 0, "end": int(NOW) + 60, "period": 60}
    assert store.aggregates(KEY, **period) == {}
    both = MetricKey("App", "Latency", (("Service", "a"), ("Zone", "1")))
    assert len(store.aggregates(both, **period)) == 1


def test_a_period_holds_its_start_and_not_its_end() -> None:
    store = MetricStore(clock=lambda: NOW)
    start = int(NOW) // 60 * 60
    store.put([datum(1.0, at=start), datum(2.0, at=start + 59.99), datum(4.0, at=start + 60)])
    found = store.aggregates(KEY, start, start + 120, 60)
    assert {tick: one.total for tick, one in found.items()} == {start: 3.0, start + 60: 4.0}


def test_data_may_come_late_and_out_of_order() -> None:
    store = MetricStore(clock=lambda: NOW)
    store.put([datum(1.0, at=NOW), datum(2.0, at=NOW - 120), datum(4.0, at=NOW - 60), datum(8.0, at=NOW - 120)])
    first = int(NOW) - 180
    totals = {tick: one.total for tick, one in store.aggregates(KEY, first, int(NOW) + 60, 60).items()}
    assert totals == {first + 60: 10.0, first + 120: 4.0, first + 180: 1.0}


def test_a_unit_selects_and_no_unit_takes_all() -> None:
    store = MetricStore(clock=lambda: NOW)
    store.put([datum(1.0, unit="Seconds"), datum(1000.0, unit="Milliseconds")])
    period = {"start": int(NOW) - 60, "end": int(NOW) + 60, "period": 120}
    assert [one.total for one in store.aggregates(KEY, **period, unit="Seconds").values()] == [1.0]
    assert [one.total for one in store.aggregates(KEY, **period).values()] == [1001.0]


@pytest.mark.parametrize("scale", [1.0, 7.0, 20.0, 60.0])
def test_a_scaled_period_is_a_whole_number_of_ticks(scale: float) -> None:
    store = MetricStore(scale, clock=lambda: NOW)
    bucket_s = 60 / scale
    start = store.instant_of(store.tick_of(NOW) // 60 * 60)
    store.put([datum(1.0, at=start + bucket_s * part) for part in (0.0, 0.5, 0.99, 1.0, 1.5)])
    first = store.tick_of(start)
    found = store.aggregates(KEY, first, first + 120, 60)
    assert {tick - first: one.sample_count for tick, one in found.items()} == {0: 3.0, 60: 2.0}


def test_data_older_than_the_retention_are_dropped() -> None:
    now = NOW
    store = MetricStore(clock=lambda: now)
    store.put([datum(1.0, at=NOW)])
    now = NOW + RETENTION_S + 61
    store.put([datum(1.0, dimensions=(("Service", "b"),), at=now)])
    assert store.metrics() == [MetricKey("App", "Latency", (("Service", "b"),))]


def test_many_values_in_one_second_take_bounded_memory_and_one_percent_of_a_percentile() -> None:
    chance = random.Random(7)
    values = [chance.lognormvariate(3, 1.5) for _ in range(50_000)]
    one = Aggregate()
    for start in range(0, len(values), 150):
        one.add(datum(*values[start : start + 150]))
    assert len(one.values) <= 2048 + 150
    assert one.sample_count == len(values)
    assert one.total == pytest.approx(sum(values))
    assert one.maximum == max(values)
    for percent in (50, 95, 99):
        exact = sorted(values)[len(values) * percent // 100 - 1]
        assert one.statistic(f"p{percent}") == pytest.approx(exact, rel=0.011)


def test_grouping_keeps_negative_zero_and_positive_values_apart() -> None:
    one = Aggregate()
    spread = [sign * 1.003**power for power in range(700) for sign in (1.0, -1.0)]
    one.add(datum(*spread, 0.0))
    assert one.minimum == min(spread)
    assert one.statistic("p50") == pytest.approx(0.0, abs=1.01)
    assert one.statistic("p25") == pytest.approx(sorted(spread)[350], rel=0.01)


def test_a_datum_without_values_or_with_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="neither values nor"):
        datum()
    with pytest.raises(ValueError, match="not finite"):
        datum(float("nan"))
    with pytest.raises(ValueError, match="counts"):
        datum(1.0, 2.0, counts=(1.0,))
