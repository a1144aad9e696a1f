"""Controls of the gate `load`: thresholds that cannot be met, traffic that was not there, a generator that failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from readiness.controls.control import Control, NothingToSpoilError
from readiness.controls.planted import spoiled
from readiness.gates.load import Observation
from readiness.load_figures import ScenarioFigures
from readiness.loadgen import rows
from readiness.model import ErrorObjective, LatencyObjective, LoadObjective, OpenArrivals, ThroughputObjective


def _impossible(
    kind: type[LatencyObjective] | type[ThroughputObjective], **limits: object
) -> Callable[[Observation], Observation]:
    """Return what gives the first objective of a kind limits that nothing keeps."""

    def spoil(objective: LoadObjective) -> LoadObjective:
        return replace(objective, level="fail", **limits)  # type: ignore[arg-type]

    def plant(seen: Observation) -> Observation:
        objectives = spoiled(seen.objectives, spoil, lambda each: isinstance(each, kind), what=f"{kind.__name__}")
        return replace(seen, objectives=objectives)

    return plant


def _all_failed(seen: Observation) -> Observation:
    if not any(isinstance(each, ErrorObjective) for each in seen.objectives):
        raise NothingToSpoilError("the evidence has no objective of errors")
    return replace(seen, scenarios=tuple(_failing(each) for each in seen.scenarios))


def _failing(figures: ScenarioFigures) -> ScenarioFigures:
    """Return a scenario's figures as if each answer had had a wrong status."""
    ok, bad = rows.OUTCOME_SERIES + rows.OK, rows.OUTCOME_SERIES + rows.STATUS
    histograms = {bad if series == ok else series: text for series, text in figures.histograms.items()}
    return replace(figures, histograms=histograms)


def _too_few_samples(seen: Observation) -> Observation:
    return replace(seen, objectives=tuple(replace(each, min_samples=10**9) for each in seen.objectives))


def _twice_the_rate(seen: Observation) -> Observation:
    if not isinstance(seen.arrivals, OpenArrivals):
        raise NothingToSpoilError("the load was not one of an arrival rate")
    return replace(seen, arrivals=replace(seen.arrivals, rate_per_s=2 * seen.arrivals.rate_per_s))


CONTROLS: tuple[Control[Observation], ...] = (
    Control(
        id="load/impossible-threshold",
        plants="a latency that no service keeps",
        plant=_impossible(LatencyObjective, threshold=timedelta(microseconds=1)),
    ),
    Control(
        id="load/impossible-throughput",
        plants="a throughput that nobody drove",
        plant=_impossible(ThroughputObjective, min_per_s=1e9),
    ),
    Control(id="load/every-request-failed", plants="every answer was an error", plant=_all_failed),
    Control(
        id="load/no-traffic",
        plants="no request was made",
        plant=lambda seen: replace(seen, scenarios=(), steps=()),
    ),
    Control(id="load/too-few-samples", plants="more samples are wanted than there are", plant=_too_few_samples),
    Control(
        id="load/no-objectives",
        plants="there is no objective to hold the figures against",
        plant=lambda seen: replace(seen, objectives=()),
    ),
    Control(
        id="load/killed-worker",
        plants="a worker was lost under way",
        plant=lambda seen: replace(seen, validity=replace(seen.validity, workers_lost=("worker-1",))),
    ),
    Control(
        id="load/unreported-requests",
        plants="of one request nothing is known",
        plant=lambda seen: replace(seen, validity=replace(seen.validity, unreported=1)),
    ),
    Control(
        id="load/generator-out-of-breath",
        plants="a load generator had no processor time left",
        plant=lambda seen: replace(seen, validity=replace(seen.validity, generator_cpu_ratio=1.0)),
    ),
    Control(id="load/offered-too-little", plants="half the planned rate was offered", plant=_twice_the_rate),
    Control(
        id="load/cut-short",
        plants="the drive was stopped early",
        plant=lambda seen: replace(seen, aborted="an objective could not be met any more"),
    ),
    Control(
        id="load/balancer-disagrees",
        plants="the load balancer counted twice the requests",
        plant=lambda seen: replace(seen, server=replace(seen.server, requests=2 * seen.server.requests + 1000)),
    ),
    Control(
        id="load/balancer-silent",
        plants="the load balancer told nothing",
        plant=lambda seen: replace(seen, server=replace(seen.server, problem="no metrics arrived")),
    ),
)
