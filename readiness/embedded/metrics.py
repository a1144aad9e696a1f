"""The metric store of the embedded AWS: data as CloudWatch takes them, statistics as it gives them back.

What follows AWS:

* A metric is its namespace, its name and its *exact* set of dimensions: data of ``{Service=a, Zone=1}`` are not data
  of ``{Service=a}``.
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Dimension
* SampleCount, Sum, Average, Minimum, Maximum and percentiles ``p0`` to ``p100`` (also ``p99.9``) per period.
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
* A statistic set has no percentile, unless it is of one sample or its minimum equals its maximum.
  https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_concepts.html#Percentiles

What is left out or differs:

* Trimmed means, winsorized means, percentile ranks, IQM: refused by name.
* Data are kept for three hours and then dropped; AWS rolls them up and keeps them for up to 15 months.
* A percentile is the smallest value with at least that share of the samples at or below it (AWS doesn't document
  its interpolation). Where more than 2048 values fall into one second, near ones are grouped so that a percentile may
  be off by one percent; counts, sums, minima and maxima are always exact.
* The resolution is one second divided by the time scale, so that scaled periods have whole numbers of ticks.
"""

from __future__ import annotations

import bisect
import math
import re
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

RETENTION_S = 3 * 3600.0
"""How long a datum is kept."""

_VALUES_PER_TICK = 1024
_GROUP_WIDTH = 0.01
_PERCENTILE = re.compile(r"p(100(?:\.0*)?|\d{1,2}(?:\.\d{1,10})?)")
_SIMPLE = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")

Dimensions = tuple[tuple[str, str], ...]


class UnknownStatisticError(ValueError):
    """A statistic that is not computed here; the message names it."""


@dataclass(frozen=True, slots=True)
class StatisticSet:
    """A summary that somebody else computed (``StatisticValues`` of PutMetricData)."""

    sample_count: float
    total: float
    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Datum:
    """Values of one metric at one instant.

    Attributes:
        namespace: Namespace, e.g. ``AWS/ApplicationELB``.
        name: Metric name.
        dimensions: All its dimensions as (name, value), sorted.
        timestamp: Epoch seconds.
        unit: Unit as CloudWatch spells it; ``None`` (the word) when there is none.
        values: Distinct values.
        counts: How often each of them occurred; as long as ``values``.
        statistic_set: A summary instead of values.
    """

    namespace: str
    name: str
    dimensions: Dimensions
    timestamp: float
    unit: str = "None"
    values: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()
    statistic_set: StatisticSet | None = None

    def __post_init__(self) -> None:
        if len(self.values) != len(self.counts):
            raise ValueError(
                f"datum of {self.namespace}/{self.name}: {len(self.values)} values but {len(self.counts)} counts"
            )
        if not self.values and self.statistic_set is None:
            raise ValueError(f"datum of {self.namespace}/{self.name} has neither values nor a statistic set")
        if not all(math.isfinite(number) for number in (*self.values, *self.counts)):
            raise ValueError(f"datum of {self.namespace}/{self.name} has a value or count that is not finite")


@dataclass(frozen=True, slots=True, order=True)
class MetricKey:
    """What tells one metric from another."""

    namespace: str
    name: str
    dimensions: Dimensions


@dataclass(slots=True)
class Aggregate:
    """The samples of one metric in one period (or tick)."""

    sample_count: float = 0.0
    total: float = 0.0
    minimum: float = math.inf
    maximum: float = -math.inf
    values: array[float] = field(default_factory=lambda: array("d"))
    counts: array[float] = field(default_factory=lambda: array("d"))
    has_percentiles: bool = True
    unit: str = "None"

    def add(self, datum: Datum) -> None:
        """Take in one datum."""
        self.unit = datum.unit
        for value, count in zip(datum.values, datum.counts, strict=True):
            self._add_value(value, count)
        if datum.statistic_set is not None:
            self._add_set(datum.statistic_set)
        if len(self.values) > 2 * _VALUES_PER_TICK:
            self._group()

    def merge(self, other: Aggregate) -> None:
        """Take in what another aggregate holds."""
        self.sample_count += other.sample_count
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)
        self.values.extend(other.values)
        self.counts.extend(other.counts)
        self.has_percentiles = self.has_percentiles and other.has_percentiles
        self.unit = other.unit

    def statistic(self, name: str) -> float | None:
        """Return the statistic that CloudWatch calls this, or None where there is none of it.

        Raises:
            UnknownStatisticError: The name is not one that is computed here.
        """
        check_statistic(name)
        if self.sample_count <= 0:
            return None
        match name:
            case "SampleCount":
                return self.sample_count
            case "Sum":
                return self.total
            case "Average":
                return self.total / self.sample_count
            case "Minimum":
                return self.minimum
            case "Maximum":
                return self.maximum
        return self._percentile(float(name[1:]))

    def _add_value(self, value: float, count: float) -> None:
        if count <= 0:
            return
        self.sample_count += count
        self.total += value * count
        self.minimum = min(self.minimum, value)
        self.maximum = max(self.maximum, value)
        self.values.append(value)
        self.counts.append(count)

    def _add_set(self, summary: StatisticSet) -> None:
        if summary.sample_count == 1 or summary.minimum == summary.maximum:
            self._add_value(summary.minimum, summary.sample_count)
            return
        self.sample_count += summary.sample_count
        self.total += summary.total
        self.minimum = min(self.minimum, summary.minimum)
        self.maximum = max(self.maximum, summary.maximum)
        self.has_percentiles = False

    def _percentile(self, percent: float) -> float | None:
        if not self.has_percentiles or not self.values:
            return None
        wanted = self.sample_count * percent / 100.0
        reached = 0.0
        for value, count in sorted(zip(self.values, self.counts, strict=True)):
            reached += count
            # the tolerance keeps 0.95 * 20 = 19.000000000000004 from asking for one sample too many
            if reached >= wanted - 1e-9 * self.sample_count:
                return value
        return self.maximum

    def _group(self) -> None:
        """Bound the memory of a tick: same values together, then neighbours closer than one percent, then wider."""
        width = 0.0
        while True:
            groups = _grouped(self.values, self.counts, width)
            if len(groups) <= _VALUES_PER_TICK:
                break
            width = _GROUP_WIDTH if width == 0.0 else width * 2
        self.values = array("d", (weighted / count for weighted, count in groups))
        self.counts = array("d", (count for _, count in groups))


def _grouped(values: Iterable[float], counts: Iterable[float], width: float) -> list[tuple[float, float]]:
    """Return (weighted sum, count) of each group of values; a width of 0 groups equal values only."""
    groups: dict[tuple[float, int], tuple[float, float]] = {}
    base = math.log1p(width)
    for value, count in zip(values, counts, strict=True):
        exact = width == 0.0 or value == 0.0
        key = (value, 0) if exact else (math.copysign(1.0, value), math.floor(math.log(abs(value)) / base))
        weighted, total = groups.get(key, (0.0, 0.0))
        groups[key] = (weighted + value * count, total + count)
    return list(groups.values())


def check_statistic(name: str) -> None:
    """Accept SampleCount, Average, Sum, Minimum, Maximum and percentiles; refuse anything else by name.

    Raises:
        UnknownStatisticError: The statistic is not computed here.
    """
    if name not in _SIMPLE and not _PERCENTILE.fullmatch(name):
        raise UnknownStatisticError(
            f"statistic {name!r} is not done by the embedded AWS; it has {', '.join(_SIMPLE)} and p0 to p100"
        )


def percentile_of(statistic: str) -> float | None:
    """Return the percentile as a ratio (p99 -> 0.99), or None for another statistic."""
    return float(statistic[1:]) / 100.0 if _PERCENTILE.fullmatch(statistic) else None


class _Series:
    """All data of one metric in one unit: one aggregate per tick, ticks in order."""

    __slots__ = ("aggregates", "ticks")

    def __init__(self) -> None:
        self.ticks: list[int] = []
        self.aggregates: dict[int, Aggregate] = {}

    def add(self, tick: int, datum: Datum) -> None:
        aggregate = self.aggregates.get(tick)
        if aggregate is None:
            aggregate = self.aggregates[tick] = Aggregate()
            if self.ticks and tick < self.ticks[-1]:
                bisect.insort(self.ticks, tick)
            else:
                self.ticks.append(tick)
        aggregate.add(datum)

    def forget_before(self, tick: int) -> None:
        old = bisect.bisect_left(self.ticks, tick)
        for dropped in self.ticks[:old]:
            del self.aggregates[dropped]
        del self.ticks[:old]

    def between(self, start: int, end: int) -> Iterator[tuple[int, Aggregate]]:
        for tick in self.ticks[bisect.bisect_left(self.ticks, start) : bisect.bisect_left(self.ticks, end)]:
            yield tick, self.aggregates[tick]


class MetricStore:
    """Holds the data of the last three hours; safe for any number of threads.

    Args:
        time_scale: By how much periods are shortened; a tick is one second divided by it.
        clock: Returns epoch seconds; tests inject one.
    """

    def __init__(self, time_scale: float = 1.0, clock: Callable[[], float] = time.time) -> None:
        self.time_scale = time_scale
        self._clock = clock
        self._lock = threading.Lock()
        self._metrics: dict[MetricKey, dict[str, _Series]] = {}
        self._next_prune = 0.0

    def tick_of(self, timestamp: float) -> int:
        """Return the tick that an instant falls into."""
        # a hair of tolerance: 3.0 * 20 computed from a float timestamp must not land in the tick before
        return math.floor(timestamp * self.time_scale + 1e-6)

    def instant_of(self, tick: int) -> float:
        """Return the epoch seconds at which a tick starts."""
        return tick / self.time_scale

    def put(self, data: Iterable[Datum]) -> None:
        """Store data; those older than the retention are dropped, as CloudWatch drops those of over two weeks."""
        now = self._clock()
        oldest = now - RETENTION_S
        with self._lock:
            for datum in data:
                if datum.timestamp < oldest:
                    continue
                key = MetricKey(datum.namespace, datum.name, tuple(sorted(datum.dimensions)))
                series = self._metrics.setdefault(key, {}).setdefault(datum.unit, _Series())
                series.add(self.tick_of(datum.timestamp), datum)
            if now >= self._next_prune:
                self._prune(self.tick_of(oldest))
                self._next_prune = now + 60.0

    def metrics(self) -> list[MetricKey]:
        """Return every metric with data, in order."""
        with self._lock:
            return sorted(self._metrics)

    def aggregates(
        self, key: MetricKey, start: int, end: int, period: int, unit: str | None = None
    ) -> dict[int, Aggregate]:
        """Return the aggregate of each period that has data.

        Args:
            key: The metric, with its exact dimensions.
            start: First tick; the first period starts here.
            end: Tick after the last.
            period: Length of a period in ticks.
            unit: Only data of this unit; of all units if None.

        Returns:
            First tick of a period -> aggregate; periods without data are absent.
        """
        periods: dict[int, Aggregate] = {}
        with self._lock:
            by_unit = self._metrics.get(key, {})
            for series_unit, series in by_unit.items():
                if unit is not None and series_unit != unit:
                    continue
                for tick, aggregate in series.between(start, end):
                    first = start + (tick - start) // period * period
                    periods.setdefault(first, Aggregate()).merge(aggregate)
        return periods

    def _prune(self, tick: int) -> None:
        for key, by_unit in list(self._metrics.items()):
            for unit, series in list(by_unit.items()):
                series.forget_before(tick)
                if not series.ticks:
                    del by_unit[unit]
            if not by_unit:
                del self._metrics[key]
