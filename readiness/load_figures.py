"""What a drive measured, decoded: the figures that objectives are held against and that a report tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from readiness import stats
from readiness.histogram import Histogram
from readiness.load_result import cache_hit_ratio
from readiness.loadgen import rows
from readiness.loadgen.rows import Tally
from readiness.model import LatencyPart, Measurement, record

_PERCENTILES = (50.0, 95.0, 99.0)
_PERCENTILES_OVER_ALL = (*_PERCENTILES, 99.9)
_PARTS = {"upstream": rows.UPSTREAM, "proxy": rows.PROXY}


@record
class ScenarioFigures:
    """One scenario over some seconds: merged histograms in their wire form, and counts."""

    scenario: str
    histograms: dict[str, str]
    counts: dict[str, int]


@record
class StepFigures:
    """All scenarios over the hold of a step, before the hold that is judged."""

    rate_per_s: float
    first_second: int
    end_second: int
    figures: ScenarioFigures


def encoded(scenario: str, tally: Tally) -> ScenarioFigures:
    """Return a tally as evidence holds it."""
    return ScenarioFigures(
        scenario=scenario,
        histograms={series: histogram.encode() for series, histogram in sorted(tally.histograms.items())},
        counts=dict(sorted(tally.counts.items())),
    )


def decoded(given: ScenarioFigures) -> Tally:
    """Return the tally that evidence holds.

    Raises:
        EvidenceError: a histogram cannot be read.
    """
    tally = Tally()
    tally.histograms = {series: Histogram.decode(text) for series, text in given.histograms.items()}
    tally.counts = dict(given.counts)
    return tally


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Some seconds of a drive.

    Attributes:
        seconds: How many whole seconds.
        scenarios: One tally each.
        tags: Scenario -> its tags.
        whole: All scenarios in one.
        lag: How late the dispatcher sent what was due.
        samples: ``scenario/outcome`` -> one message of that class of failure.
    """

    seconds: int
    scenarios: Mapping[str, Tally]
    whole: Tally
    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lag: Histogram = field(default_factory=Histogram)
    cache_hit_values: Sequence[str] = ()
    samples: Mapping[str, str] = field(default_factory=dict)

    def tally(self, scenario: str | None = None, tag: str | None = None) -> Tally:
        """Return the figures of one scenario, of a tag's scenarios, or of all."""
        if scenario is not None:
            return self.scenarios.get(scenario, Tally())
        if tag is not None:
            return rows.over_all({name: self.scenarios[name] for name in self.tagged(tag)})
        return self.whole

    def tagged(self, tag: str) -> list[str]:
        """Return the scenarios of a tag."""
        return [name for name in self.scenarios if tag in self.tags.get(name, ())]


def latencies_of(tally: Tally, part: LatencyPart = "whole") -> Histogram:
    """Return what the client waited, or what the upstream or the service itself took of it."""
    if part == "whole":
        return tally.latencies()
    return tally.histograms.get(_PARTS[part], Histogram())


def percentile(name: str, histogram: Histogram, percent: float) -> Measurement:
    """Return a percentile with its confidence interval.

    Raises:
        NoSamplesError: the histogram is empty.
    """
    return Measurement(
        name=name,
        value=stats.percentile_ms(histogram, percent),
        unit="ms",
        samples=histogram.total,
        interval=stats.interval_ms(histogram, percent),
    )


def plain_measurements(figures: Figures, steps: Sequence[StepFigures] = ()) -> Iterator[Measurement]:
    """Yield what is always told when there are samples: of all requests, of each scenario, tag and step."""
    yield from _of_tally(figures.whole, "", figures, _PERCENTILES_OVER_ALL)
    for name, tally in figures.scenarios.items():
        yield from _of_tally(tally, f"{name}/", figures)
    for tag in sorted({tag for tags in figures.tags.values() for tag in tags}):
        yield from _of_tally(figures.tally(tag=tag), f"#{tag}/", figures)
    for number, step in enumerate(steps, 1):
        seconds = step.end_second - step.first_second
        whole = decoded(step.figures)
        yield from _basics(whole, f"step-{number} at {step.rate_per_s:g}/s/", seconds, _PERCENTILES)
    if figures.lag.total:
        yield percentile("generator/lag-p99", figures.lag, 99)


def _of_tally(
    tally: Tally, prefix: str, figures: Figures, percentiles: Sequence[float] = _PERCENTILES
) -> Iterator[Measurement]:
    yield from _basics(tally, prefix, figures.seconds, percentiles)
    for part, series in _PARTS.items():
        if (histogram := tally.histograms.get(series)) is not None:
            for percent in _PERCENTILES:
                yield percentile(f"{prefix}{part}-p{percent:g}", histogram, percent)
    cached = tally.cache_outcomes()
    if cached:
        hits = cache_hit_ratio(tally, figures.cache_hit_values)
        yield Measurement(name=f"{prefix}cache-hit-ratio", value=hits, unit="ratio", samples=sum(cached.values()))
        for outcome in sorted(cached):
            histogram = tally.histograms[rows.CACHE_SERIES + outcome]
            for percent in _PERCENTILES:
                yield percentile(f"{prefix}cache-{outcome}-p{percent:g}", histogram, percent)


def _basics(tally: Tally, prefix: str, seconds: int, percentiles: Sequence[float]) -> Iterator[Measurement]:
    latencies = tally.latencies()
    if latencies.total:
        for percent in percentiles:
            yield percentile(f"{prefix}p{percent:g}", latencies, percent)
    if tally.requests:
        value = stats.ratio(tally.failed, tally.requests)
        yield Measurement(name=f"{prefix}error-ratio", value=value, unit="ratio", samples=tally.requests)
        for outcome, count in tally.outcomes().items():
            if outcome != rows.OK and count:
                yield Measurement(
                    name=f"{prefix}errors/{outcome}", value=count, unit="requests", samples=tally.requests
                )
    if tally.counts.get(rows.OFFERED) and seconds > 0:
        answered = stats.ratio(tally.counts.get(rows.ANSWERED, 0), seconds)
        yield Measurement(name=f"{prefix}throughput", value=answered, unit="1/s", samples=tally.counts[rows.OFFERED])
