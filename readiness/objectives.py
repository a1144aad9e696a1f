"""Objectives against figures: what each reads, when it is missed, and when its figure proves nothing. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from readiness import stats
from readiness.histogram import Histogram
from readiness.load_figures import Figures, latencies_of
from readiness.load_result import cache_hit_ratio
from readiness.loadgen import rows
from readiness.model import (
    CacheHitObjective,
    ErrorObjective,
    Finding,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    Measurement,
    Severity,
    ThroughputObjective,
)

RULE = "load/objective-missed"
WARNING = "load/objective-warned"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What an objective's figure is, and on how many samples it rests.

    Attributes:
        interval: Bounds of its true value with 95 % confidence, if they can be told.
        beside: What else to say of it.
    """

    value: float
    unit: str
    samples: int
    threshold: float
    at_most: bool
    interval: tuple[float, float] | None = None
    beside: str = ""

    @property
    def missed(self) -> bool:
        """Whether the value is on the wrong side of its threshold."""
        return self.value > self.threshold if self.at_most else self.value < self.threshold

    def measurement(self, name: str) -> Measurement:
        """Return it as the record holds it."""
        return Measurement(
            name=name,
            value=self.value,
            unit=self.unit,
            samples=self.samples,
            threshold=self.threshold,
            comparison="<=" if self.at_most else ">=",
            interval=self.interval,
        )

    def say(self) -> str:
        """Return the figure, its threshold and the margin as a person would say it."""
        word = "at most" if self.at_most else "at least"
        margin = "" if self.threshold == 0 else f", {(self.value / self.threshold - 1) * 100:+.1f} %"
        said = (
            f"{self.value:.4g} {self.unit}, {word} {self.threshold:.4g} {self.unit} wanted{margin}, n = {self.samples}"
        )
        if self.interval is not None:
            said += f", 95 % confidence {self.interval[0]:.4g} to {self.interval[1]:.4g} {self.unit}"
        return said + self.beside


def read(figures: Figures, objective: LoadObjective, baseline: Figures | None = None) -> Reading:
    """Return an objective's figure.

    Raises:
        NoSamplesError: there is nothing to read it from.
    """
    if isinstance(objective, LatencyChangeObjective):
        return _read_latency_change(figures, objective, baseline)
    return _READ[type(objective)](figures, objective)


def _read_latency(figures: Figures, objective: LatencyObjective) -> Reading:
    latencies = latencies_of(figures.tally(objective.scenario, objective.tag), objective.part)
    return Reading(
        value=stats.percentile_ms(latencies, objective.percentile),
        unit="ms",
        samples=latencies.total,
        threshold=objective.threshold.total_seconds() * 1000,
        at_most=True,
        interval=stats.interval_ms(latencies, objective.percentile),
    )


def _read_latency_change(figures: Figures, objective: LatencyChangeObjective, baseline: Figures | None) -> Reading:
    """Read by how much a percentile grew; as many samples as the side has that has fewer."""
    if baseline is None:
        raise stats.NoSamplesError("change against a baseline")
    now, before = (
        latencies_of(each.tally(objective.scenario, objective.tag), objective.part) for each in (figures, baseline)
    )
    now_ms, before_ms = (stats.percentile_ms(each, objective.percentile) for each in (now, before))
    return Reading(
        value=stats.ratio(now_ms, before_ms, "change") - 1,
        unit="ratio",
        samples=min(now.total, before.total),
        threshold=objective.max_increase_ratio,
        at_most=True,
        beside=f": {_with_interval(now, objective.percentile)} after {_with_interval(before, objective.percentile)}",
    )


def _with_interval(histogram: Histogram, percentile: float) -> str:
    said = f"{stats.percentile_ms(histogram, percentile):.4g} ms"
    interval = stats.interval_ms(histogram, percentile)
    return said if interval is None else f"{said} ({interval[0]:.4g} to {interval[1]:.4g})"


def _read_errors(figures: Figures, objective: ErrorObjective) -> Reading:
    tally = figures.tally(objective.scenario, objective.tag)
    return Reading(
        value=stats.ratio(tally.failed, tally.requests, "error ratio"),
        unit="ratio",
        samples=tally.requests,
        threshold=objective.max_ratio,
        at_most=True,
    )


def _read_throughput(figures: Figures, objective: ThroughputObjective) -> Reading:
    """Read the answers as expected that came in these seconds. The samples are what was offered: silence counts too."""
    counts = figures.tally(objective.scenario, objective.tag).counts
    if not counts.get(rows.OFFERED):
        raise stats.NoSamplesError("throughput")
    return Reading(
        value=stats.ratio(counts.get(rows.ANSWERED, 0), figures.seconds, "throughput"),
        unit="1/s",
        samples=counts[rows.OFFERED],
        threshold=objective.min_per_s,
        at_most=False,
    )


def _read_cache_hits(figures: Figures, objective: CacheHitObjective) -> Reading:
    tally = figures.tally(objective.scenario, objective.tag)
    return Reading(
        value=cache_hit_ratio(tally, figures.cache_hit_values),
        unit="ratio",
        samples=sum(tally.cache_outcomes().values()),
        threshold=objective.min_ratio,
        at_most=False,
    )


_READ: dict[type, Callable[..., Reading]] = {
    LatencyObjective: _read_latency,
    ErrorObjective: _read_errors,
    ThroughputObjective: _read_throughput,
    CacheHitObjective: _read_cache_hits,
}


def too_few(figures: Figures, objective: LoadObjective, reading: Reading, baseline: Figures | None = None) -> str:
    """Return why a figure rests on too few samples to prove anything; empty if it does not."""
    if reading.samples < objective.min_samples:
        return f"{reading.samples} samples, {objective.min_samples} wanted ({reading.say()})"
    if isinstance(objective, LatencyObjective | LatencyChangeObjective):
        for side in (figures, *([baseline] if baseline is not None else [])):
            latencies = latencies_of(side.tally(objective.scenario, objective.tag), objective.part)
            if stats.interval_ms(latencies, objective.percentile) is None:
                return f"{latencies.total} samples are too few to bound p{objective.percentile:g} with 95 % confidence"
    return ""


# --- breaches that must last ---


def second_values(seconds: Sequence[Figures], objective: LoadObjective) -> tuple[float | None, ...]:
    """Return an objective's figure of each second; None where a second has no samples."""
    values: list[float | None] = []
    for figures in seconds:
        try:
            values.append(read(figures, objective).value)
        except stats.NoSamplesError:
            values.append(None)
    return tuple(values)


def longest_breach(values: Sequence[float | None], reading: Reading, *, unknown: bool) -> int:
    """Return for how many seconds in a row each missed the threshold; *unknown*: whether silence counts as a miss."""

    def breached(value: float | None) -> bool:
        if value is None:
            return unknown
        return value > reading.threshold if reading.at_most else value < reading.threshold

    return max((sum(1 for _ in run) for missed, run in groupby(values, breached) if missed), default=0)


# --- what is said of a miss ---


def finding(figures: Figures, objective: LoadObjective, said: str) -> Finding:
    """Return the finding of a missed objective; *said* is its reading."""
    of = f" of scenario {objective.scenario}" if objective.scenario is not None else ""
    of += f" of tag {objective.tag}" if objective.tag is not None else ""
    if isinstance(objective, ErrorObjective):
        said += worst(figures, objective)
    blocking = objective.level == "fail"
    rule = RULE if blocking else WARNING
    return Finding(
        rule=rule,
        subject=objective.id,
        severity=Severity.HIGH if blocking else Severity.LOW,
        message=f"{noun(objective)}{of}: {said}.",
        help=_HELP[type(objective)],
        fingerprint=f"{rule}:{objective.id}",
    )


def noun(objective: LoadObjective) -> str:
    """Return what an objective is about."""
    if isinstance(objective, LatencyObjective | LatencyChangeObjective):
        part = "" if objective.part == "whole" else f" of the {objective.part} part"
        grown = "Growth of latency" if isinstance(objective, LatencyChangeObjective) else "Latency"
        return f"{grown} p{objective.percentile:g}{part}"
    return {ErrorObjective: "Error ratio", ThroughputObjective: "Throughput", CacheHitObjective: "Cache-hit ratio"}[
        type(objective)
    ]


_HELP: dict[type, str] = {
    LatencyObjective: "Compare upstream and proxy parts and the scenarios among the measurements.",
    LatencyChangeObjective: "Compare the parts and scenarios of both bundles, then what changed between their commits.",
    ErrorObjective: "The service's log has its side of the failures.",
    ThroughputObjective: "See errors and timeouts first; then whether the plan's rate is above this floor at all.",
    CacheHitObjective: "See which cache outcomes there were; each task may have a cache of its own.",
}


def worst(figures: Figures, objective: LoadObjective) -> str:
    """Return how requests failed, most often first, with a sample of each."""
    outcomes = figures.tally(objective.scenario, objective.tag).outcomes()
    failed = sorted(((count, name) for name, count in outcomes.items() if name != rows.OK and count), reverse=True)
    told = []
    for count, name in failed:
        of_scenario = [text for key, text in figures.samples.items() if key == f"{objective.scenario}/{name}"]
        any_scenario = [text for key, text in figures.samples.items() if key.endswith(f"/{name}")]
        sample = next(iter(of_scenario or any_scenario), "")
        told.append(f"{count} x {name}" + (f" ({sample})" if sample else ""))
    return f"; {', '.join(told)}" if told else ""
