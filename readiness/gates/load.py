"""Gate ``load``: does the service meet its objectives under the load that production is expected to bring?

Judged is the hold alone, by the seconds in which requests were due; the ramp is warm-up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import sqrt

from readiness import load, stats
from readiness.gate import Context, Gate
from readiness.histogram import Histogram
from readiness.loadgen import rows
from readiness.loadgen.rows import Tally
from readiness.model import (
    Arrivals,
    CacheHitObjective,
    Duration,
    ErrorObjective,
    Finding,
    Gap,
    Instant,
    Judgement,
    LatencyObjective,
    Measurement,
    Objective,
    OpenArrivals,
    Plan,
    Ratio,
    Severity,
    Stage,
    ThroughputObjective,
    UnhealthyHostsObjective,
    record,
)

RULE = "load/objective-missed"
_PERCENTILES = (50.0, 95.0, 99.0)
_POISSON_SIGMAS = 4.0


@record
class Settings:
    """How far the generator may be off before its figures are no evidence.

    Attributes:
        rate_tolerance_ratio: Between the rate that the plan wants and the rate that was offered. Poisson arrivals
            scatter by themselves; they may be four standard deviations off.
        max_dropped: Arrivals that were not sent because too many requests were under way.
        max_generator_cpu_ratio: Of one core, over the busiest five seconds of the busiest worker.
        max_dispatcher_lag: p99 of how late requests were sent.
        max_clock_skew: Between a worker and the master.
    """

    rate_tolerance_ratio: Ratio = 0.02
    max_dropped: int = 0
    max_generator_cpu_ratio: Ratio = 0.9
    max_dispatcher_lag: Duration = timedelta(milliseconds=50)
    max_clock_skew: Duration = timedelta(milliseconds=500)


@record
class ScenarioFigures:
    """One scenario over the hold: merged histograms in their wire form, and counts."""

    scenario: str
    histograms: dict[str, str]
    counts: dict[str, int]


@record
class Observation:
    """What the load measured, and what it was held against."""

    objectives: tuple[Objective, ...]
    arrivals: Arrivals
    ramp: Duration
    hold: Duration
    cache_hit_values: tuple[str, ...]
    started_at: Instant
    first_second: int
    end_second: int
    """The first second after the hold."""
    scenarios: tuple[ScenarioFigures, ...]
    dispatcher_lag: str
    """Histogram of the hold."""
    validity: load.Validity
    problems: tuple[str, ...]
    samples: dict[str, str]
    artifact: str
    """Every second of the drive, in the bundle."""


# --- observe ---------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """Drive the plan's workload at the clone and return what it measured."""
    fleet = load.Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, ctx.narrate)
    with fleet.drive() as drive:
        result = drive.finish(lambda progress: ctx.progress(live_figures(progress)))
    path = ctx.bundle.write("load/rows.json.gz", load.artifact(result))
    return observation_of(ctx.plan, result, path)


def live_figures(progress: load.Progress) -> dict[str, str]:
    """Return what a person who watches wants to see."""

    def ms(value: float | None) -> str:
        return "-" if value is None else f"{value:.0f} ms"

    return {
        "second": str(progress.second),
        "rate": f"{progress.rate_per_s:.0f}/s",
        "p50": ms(progress.p50_ms),
        "p95": ms(progress.p95_ms),
        "p99": ms(progress.p99_ms),
        "errors": str(progress.errors),
        "dropped": str(progress.dropped),
        "workers": str(progress.workers),
    }


def observation_of(plan: Plan, result: load.LoadResult, artifact: str) -> Observation:
    """Return what the gate judges of a drive."""
    seconds = load.hold_seconds(result.workload)
    scenarios = rows.by_scenario(rows.from_rows(result.rows), seconds)
    lag = scenarios.pop(rows.EVERY, Tally()).histogram(rows.LAG)
    return Observation(
        objectives=tuple(each for each in plan.objectives if not isinstance(each, UnhealthyHostsObjective)),
        arrivals=result.workload.arrivals,
        ramp=result.workload.ramp,
        hold=result.workload.hold,
        cache_hit_values=result.workload.cache_hit_values,
        started_at=result.started_at,
        first_second=seconds.start,
        end_second=seconds.stop,
        scenarios=tuple(
            ScenarioFigures(
                scenario=name,
                histograms={series: histogram.encode() for series, histogram in sorted(tally.histograms.items())},
                counts=dict(sorted(tally.counts.items())),
            )
            for name, tally in sorted(scenarios.items())
        ),
        dispatcher_lag=lag.encode(),
        validity=result.validity,
        problems=result.problems,
        samples=result.samples,
        artifact=artifact,
    )


# --- judge -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Figures:
    """The observation, decoded."""

    observation: Observation
    scenarios: dict[str, Tally]
    whole: Tally
    lag: Histogram
    hold_s: int

    def tally(self, scenario: str | None) -> Tally:
        """Return the figures of one scenario, or of all."""
        return self.whole if scenario is None else self.scenarios.get(scenario, Tally())


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """What an objective's figure is, and on how many samples it rests."""

    value: float
    unit: str
    samples: int
    threshold: float
    at_most: bool

    @property
    def missed(self) -> bool:
        return self.value > self.threshold if self.at_most else self.value < self.threshold

    def measurement(self, name: str) -> Measurement:
        return Measurement(
            name=name,
            value=self.value,
            unit=self.unit,
            samples=self.samples,
            threshold=self.threshold,
            comparison="<=" if self.at_most else ">=",
        )

    def say(self) -> str:
        """Return the figure, its threshold and the margin as a person would say it."""
        word = "at most" if self.at_most else "at least"
        margin = "" if self.threshold == 0 else f", {(self.value / self.threshold - 1) * 100:+.1f} %"
        return (
            f"{self.value:.4g} {self.unit}, {word} {self.threshold:.4g} {self.unit} wanted{margin}, n = {self.samples}"
        )


def judge(observation: Observation, settings: Settings) -> Judgement:
    """Hold the figures of the hold against the objectives, and the generator against its own limits."""
    figures = _decode(observation)
    generator = tuple(_generator_gaps(figures, settings))
    offer = tuple(_offer_gaps(figures, settings))
    findings: list[Finding] = []
    gaps = [*(Gap(what="the whole drive", why=problem) for problem in observation.problems), *generator, *offer]
    measurements = [*_plain_measurements(figures)]
    examined = 0
    for objective in observation.objectives:
        if isinstance(objective, UnhealthyHostsObjective):
            continue
        try:
            reading = _READ[type(objective)](figures, objective)
        except stats.NoSamplesError as error:
            gaps.append(Gap(what=f"objective {objective.id}", why=error.message))
            continue
        measurements.append(reading.measurement(objective.id))
        doubt = _doubt(figures, objective, reading, generator, offer)
        if doubt:
            gaps.append(Gap(what=f"objective {objective.id}", why=doubt))
        else:
            examined += 1
            if reading.missed:
                findings.append(_finding(figures, objective, reading))
    return Judgement(examined=examined, findings=tuple(findings), gaps=tuple(gaps), measurements=tuple(measurements))


def _decode(observation: Observation) -> _Figures:
    """Return the figures of an observation.

    Raises:
        EvidenceError: a histogram cannot be read.
    """
    scenarios = {}
    for given in observation.scenarios:
        tally = Tally()
        tally.histograms = {series: Histogram.decode(text) for series, text in given.histograms.items()}
        tally.counts = dict(given.counts)
        scenarios[given.scenario] = tally
    return _Figures(
        observation=observation,
        scenarios=scenarios,
        whole=rows.over_all(scenarios),
        lag=Histogram.decode(observation.dispatcher_lag),
        hold_s=observation.end_second - observation.first_second,
    )


# --- objectives ---


def _read_latency(figures: _Figures, objective: LatencyObjective) -> _Reading:
    latencies = figures.tally(objective.scenario).latencies()
    return _Reading(
        value=stats.percentile_ms(latencies, objective.percentile),
        unit="ms",
        samples=latencies.total,
        threshold=objective.threshold.total_seconds() * 1000,
        at_most=True,
    )


def _read_errors(figures: _Figures, objective: ErrorObjective) -> _Reading:
    tally = figures.tally(objective.scenario)
    return _Reading(
        value=stats.ratio(tally.failed, tally.requests, "error ratio"),
        unit="ratio",
        samples=tally.requests,
        threshold=objective.max_ratio,
        at_most=True,
    )


def _read_throughput(figures: _Figures, objective: ThroughputObjective) -> _Reading:
    """Answers as expected that came during the hold. The samples are what was offered: no answer is an answer too."""
    counts = figures.tally(objective.scenario).counts
    if not counts.get(rows.OFFERED):
        raise stats.NoSamplesError("throughput")
    return _Reading(
        value=stats.ratio(counts.get(rows.ANSWERED, 0), figures.hold_s, "throughput"),
        unit="1/s",
        samples=counts[rows.OFFERED],
        threshold=objective.min_per_s,
        at_most=False,
    )


def _read_cache_hits(figures: _Figures, objective: CacheHitObjective) -> _Reading:
    tally = figures.tally(objective.scenario)
    return _Reading(
        value=load.cache_hit_ratio(tally, figures.observation.cache_hit_values),
        unit="ratio",
        samples=sum(tally.cache_outcomes().values()),
        threshold=objective.min_ratio,
        at_most=False,
    )


_READ: dict[type, Callable[..., _Reading]] = {
    LatencyObjective: _read_latency,
    ErrorObjective: _read_errors,
    ThroughputObjective: _read_throughput,
    CacheHitObjective: _read_cache_hits,
}


def _doubt(
    figures: _Figures, objective: Objective, reading: _Reading, generator: Sequence[Gap], offer: Sequence[Gap]
) -> str:
    """Return why an objective's figure proves nothing; empty if it does.

    A generator that is out of breath makes a service look slow, and one that offers too little makes its throughput
    look small: a miss is then no fault of the service, and not to be told as one.
    """
    assert not isinstance(objective, UnhealthyHostsObjective)
    if reading.samples < objective.min_samples:
        return f"{reading.samples} samples, {objective.min_samples} wanted ({reading.say()})"
    if isinstance(objective, LatencyObjective):
        latencies = figures.tally(objective.scenario).latencies()
        if stats.interval_ms(latencies, objective.percentile) is None:
            return f"{latencies.total} samples are too few to bound p{objective.percentile:g} with 95 % confidence"
    if not reading.missed or isinstance(objective, ErrorObjective | CacheHitObjective):
        return ""
    blamed = [*generator, *(offer if isinstance(objective, ThroughputObjective) else ())]
    if blamed:
        return f"missed ({reading.say()}), but it may be the generator's doing: {blamed[0].why}"
    return ""


def _finding(figures: _Figures, objective: Objective, reading: _Reading) -> Finding:
    assert not isinstance(objective, UnhealthyHostsObjective)
    of = "" if objective.scenario is None else f" of scenario {objective.scenario}"
    message = f"{_noun(objective)}{of}: {reading.say()}"
    if isinstance(objective, LatencyObjective):
        interval = stats.interval_ms(figures.tally(objective.scenario).latencies(), objective.percentile)
        if interval is not None:
            message += f", 95 % confidence {interval[0]:.4g} to {interval[1]:.4g} ms"
    if isinstance(objective, ErrorObjective):
        message += _worst(figures, objective.scenario)
    return Finding(
        rule=RULE,
        subject=objective.id,
        severity=Severity.HIGH,
        message=message + ".",
        help=_HELP[type(objective)],
        fingerprint=f"{RULE}:{objective.id}",
    )


def _noun(objective: Objective) -> str:
    if isinstance(objective, LatencyObjective):
        return f"Latency p{objective.percentile:g}"
    return {ErrorObjective: "Error ratio", ThroughputObjective: "Throughput", CacheHitObjective: "Cache-hit ratio"}[
        type(objective)
    ]


_HELP: dict[type, str] = {
    LatencyObjective: "Compare upstream and proxy parts and the scenarios among the measurements.",
    ErrorObjective: "The service's log has its side of the failures.",
    ThroughputObjective: "See errors and timeouts first; then whether the plan's rate is above this floor at all.",
    CacheHitObjective: "See which cache outcomes there were; each task may have a cache of its own.",
}


def _worst(figures: _Figures, scenario: str | None) -> str:
    """Return how requests failed, most often first, with a sample of each."""
    outcomes = figures.tally(scenario).outcomes()
    failed = sorted(((count, name) for name, count in outcomes.items() if name != rows.OK and count), reverse=True)
    told = []
    for count, name in failed:
        samples = figures.observation.samples
        of_scenario = [text for key, text in samples.items() if key == f"{scenario}/{name}"]
        any_scenario = [text for key, text in samples.items() if key.endswith(f"/{name}")]
        sample = next(iter(of_scenario or any_scenario), "")
        told.append(f"{count} x {name}" + (f" ({sample})" if sample else ""))
    return f"; {', '.join(told)}" if told else ""


# --- validity ---


def _generator_gaps(figures: _Figures, settings: Settings) -> Iterator[Gap]:
    """Yield what says that the generator was out of breath."""
    validity = figures.observation.validity
    cpu = validity.generator_cpu_ratio
    if cpu > settings.max_generator_cpu_ratio:
        why = f"a worker used {cpu:.0%} of its core; above {settings.max_generator_cpu_ratio:.0%} it measures itself"
        yield Gap(what="the generator", why=why)
    limit_ms = settings.max_dispatcher_lag.total_seconds() * 1000
    if figures.lag.total:
        lag_ms = stats.percentile_ms(figures.lag, 99)
        if lag_ms > limit_ms:
            why = f"1 % of the requests were sent more than {lag_ms:.1f} ms late; {limit_ms:.0f} ms allowed"
            yield Gap(what="the generator", why=why)


def _offer_gaps(figures: _Figures, settings: Settings) -> Iterator[Gap]:
    """Yield what says that less, or something else, was offered or seen than was planned."""
    observation, validity = figures.observation, figures.observation.validity
    counts = figures.whole.counts
    offered, dropped = counts.get(rows.OFFERED, 0), counts.get(rows.DROPPED, 0)
    if figures.hold_s < 1:
        yield Gap(what="the hold", why="it has not one whole second")
    if not offered:
        yield Gap(what="the load", why="no request was due in the hold")
    elif not figures.whole.requests:
        yield Gap(what="the load", why=f"{offered} requests were due in the hold, and none has ended")
    if offered and isinstance(observation.arrivals, OpenArrivals):
        yield from _rate_gap(observation.arrivals, offered, figures.hold_s, settings)
    dropped = max(dropped, validity.dropped)
    if dropped > settings.max_dropped:
        yield Gap(
            what="the load",
            why=f"{dropped} requests were due and not sent, because as many as allowed were under way",
        )
    yield from _fleet_gaps(validity, settings)


def _rate_gap(arrivals: OpenArrivals, offered: int, hold_s: int, settings: Settings) -> Iterator[Gap]:
    expected = arrivals.rate_per_s * hold_s
    tolerance = settings.rate_tolerance_ratio
    if arrivals.distribution == "poisson" and expected:
        tolerance = max(tolerance, _POISSON_SIGMAS / sqrt(expected))
    if abs(offered - expected) > max(1.0, tolerance * expected):
        why = f"{offered} requests were due in the hold instead of {expected:.0f}; {tolerance:.1%} off are allowed"
        yield Gap(what="the offered rate", why=why)


def _fleet_gaps(validity: load.Validity, settings: Settings) -> Iterator[Gap]:
    if not validity.finished:
        yield Gap(what="the end of the drive", why="the master never told it: more may have happened than was seen")
    elif validity.stopped:
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
    limit_ms = settings.max_clock_skew.total_seconds() * 1000
    if validity.clock_skew_ms > limit_ms:
        why = f"a worker's clock is {validity.clock_skew_ms:.0f} ms off; {limit_ms:.0f} ms allowed"
        yield Gap(what="the common start", why=why)


# --- measurements ---


def _plain_measurements(figures: _Figures) -> Iterator[Measurement]:
    """Yield the figures that are always told when there are samples: of all requests, then of each scenario."""
    yield from _tally_measurements(figures.whole, "", figures)
    for name, tally in figures.scenarios.items():
        yield from _tally_measurements(tally, f"{name}/", figures)
    if figures.lag.total:
        yield _percentile("generator/lag-p99", figures.lag, 99)


def _tally_measurements(tally: Tally, prefix: str, figures: _Figures) -> Iterator[Measurement]:
    latencies = tally.latencies()
    if latencies.total:
        for percentile in _PERCENTILES:
            yield _percentile(f"{prefix}p{percentile:g}", latencies, percentile)
    if tally.requests:
        value = stats.ratio(tally.failed, tally.requests)
        yield Measurement(name=f"{prefix}error-ratio", value=value, unit="ratio", samples=tally.requests)
    if tally.counts.get(rows.OFFERED) and figures.hold_s > 0:
        answered = tally.counts.get(rows.ANSWERED, 0)
        value = stats.ratio(answered, figures.hold_s)
        yield Measurement(name=f"{prefix}throughput", value=value, unit="1/s", samples=tally.counts[rows.OFFERED])
    for series, name in ((rows.UPSTREAM, "upstream"), (rows.PROXY, "proxy")):
        if (histogram := tally.histograms.get(series)) is not None:
            for percentile in _PERCENTILES:
                yield _percentile(f"{prefix}{name}-p{percentile:g}", histogram, percentile)
    cached = tally.cache_outcomes()
    if cached:
        hits = load.cache_hit_ratio(tally, figures.observation.cache_hit_values)
        yield Measurement(name=f"{prefix}cache-hit-ratio", value=hits, unit="ratio", samples=sum(cached.values()))
        for outcome in sorted(cached):
            yield _percentile(f"{prefix}cache-{outcome}-p95", tally.histograms[rows.CACHE_SERIES + outcome], 95)


def _percentile(name: str, histogram: Histogram, percentile: float) -> Measurement:
    return Measurement(name=name, value=stats.percentile_ms(histogram, percentile), unit="ms", samples=histogram.total)


GATE = Gate(
    id="load",
    question="Does the service meet its objectives under the load that production is expected to bring?",
    stage=Stage.STEADY,
    order=20,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
)
