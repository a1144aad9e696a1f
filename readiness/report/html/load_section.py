"""The load: what was driven, how the service answered, and which part of it took the time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from math import ceil
from typing import Any

from markupsafe import Markup

from readiness import load_result, stats
from readiness.gates import load as load_gate
from readiness.load_figures import decoded, latencies_of
from readiness.load_result import LoadResult
from readiness.loadgen import rows
from readiness.loadgen.rows import Tally
from readiness.model import (
    ErrorObjective,
    LatencyObjective,
    LoadObjective,
    Measurement,
    ThroughputObjective,
    spell_duration,
)
from readiness.report import over_time
from readiness.report.figure import figure
from readiness.report.html import blocks, pictures
from readiness.report.html.blocks import Facts, Fold, Heading, Note, Section, Table, Text, Unobserved
from readiness.report.html.content import Content, Unseen
from readiness.report.html.pictures import Timeline
from readiness.report.plots import Limit, Span

_ID = "load"
_SPLIT = re.compile(r"(?P<of>(?:.*/)?)(?P<part>upstream|proxy|cache-.+)-p50")
_WHOLE = re.compile(r"(?P<of>(?:.*/)?)(?:p50|error-ratio|throughput)")


def section(content: Content) -> Section:
    """Return all about the load, as far as the bundle holds it."""
    seen = content.observation(load_gate.GATE)
    title = "Load"
    if isinstance(seen, Unseen):
        return Section(id=_ID, title=title, blocks=[Unobserved(why=seen.why)])
    result = content.result(load_gate.GATE.id)
    drive = content.drive(seen.artifact)
    found = list(_blocks(content, seen, drive))
    badge = blocks.of_outcome(result.outcome) if result else Markup()
    lead = " ".join(result.judgement.notes) if result else ""
    return Section(id=_ID, title=title, lead=lead, badge=badge, blocks=found)


def _blocks(content: Content, seen: load_gate.Observation, drive: LoadResult | Unseen) -> Iterator[Any]:
    scenarios = {given.scenario: decoded(given) for given in seen.scenarios}
    whole = rows.over_all(scenarios)
    measured = content.measurements(load_gate.GATE.id)
    yield _facts(seen, whole, measured)
    if seen.aborted:
        yield Note(tone="warn", words=f"The drive was stopped early: {seen.aborted}")
    yield Heading(title="Latency", id="latency")
    yield from _over_time(seen, drive)
    points = [
        (each.percentile, each.threshold / timedelta(milliseconds=1), f"≤ {_ms(each.threshold)}")
        for each in seen.objectives
        if isinstance(each, LatencyObjective) and _of_all(each) and each.part == "whole"
    ]
    yield pictures.distribution(
        "latency-distribution", "Latency distribution over the hold", {"all": latencies_of(whole)}, points
    ) or Unobserved(why="No request was answered during the hold, so there is no distribution of latencies.")
    yield _latency_table(measured)
    yield Heading(title="Cache and upstream", id="cache-and-upstream")
    yield from _split(whole, measured)
    yield Heading(title="Both sides of the load balancer", id="both-sides")
    yield from _server_side(seen, measured)
    yield Fold(summary="Every figure of the load", blocks=[_all_figures(measured)])


def _of_all(objective: LoadObjective) -> bool:
    """Say whether an objective is about all requests."""
    return objective.scenario is None and objective.tag is None


def _facts(seen: load_gate.Observation, whole: Tally, measured: dict[str, Measurement]) -> Facts:
    validity = seen.validity
    lag = "not measured" if validity.dispatcher_lag_p99_ms is None else figure(validity.dispatcher_lag_p99_ms, "ms")
    lost = f", lost: {', '.join(validity.workers_lost)}" if validity.workers_lost else ""
    return Facts(
        rows=[
            ("Judged", f"the hold of {spell_duration(seen.hold)} after a ramp of {spell_duration(seen.ramp)}"),
            ("Requests in the hold", f"{whole.requests:,}, of which {whole.failed:,} failed"),
            ("Throughput", blocks.measured(measured.get("throughput"))),
            ("Workers", f"{validity.workers_seen} of {validity.workers_expected}{lost}"),
            ("Not sent for want of room", f"{validity.dropped:,}"),
            ("Generator late by, p99", lag),
            ("Generator CPU, busiest worker", f"{validity.generator_cpu_ratio:.0%} of a core"),
            ("Began", f"{seen.started_at:%Y-%m-%d %H:%M:%S} UTC"),
        ]
    )


# --- over time -------------------------------------------------------------------------------------------------------


def _over_time(seen: load_gate.Observation, drive: LoadResult | Unseen) -> Iterator[Any]:
    if isinstance(drive, Unseen):
        yield Unobserved(why=drive.why)
        return
    found = over_time.stretches(drive, end=ceil(drive.workload.length.total_seconds()))
    if not found:
        yield Unobserved(why="The drive has no second in which anything was due.")
        return
    timeline = Timeline(
        id="load", found=found, x_label="seconds since the drive began", spans=list(_spans(seen, drive))
    )
    latency = [each for each in seen.objectives if isinstance(each, LatencyObjective) and _of_all(each)]
    limits = [
        Limit(value=each.threshold / timedelta(milliseconds=1), label=f"p{each.percentile:g} ≤ {_ms(each.threshold)}")
        for each in latency
        if each.part == "whole"
    ]
    yield pictures.latency(timeline, (50, 95, 99), limits) or Unobserved(why="No request was answered.")
    floors = [
        Limit(value=each.min_per_s, label=f"answered ≥ {each.min_per_s:g}/s (over the hold)", at_most=False)
        for each in seen.objectives
        if isinstance(each, ThroughputObjective) and _of_all(each)
    ]
    yield pictures.throughput(timeline, floors) or Unobserved(why="No request was due.")
    yield pictures.errors(timeline) or _no_errors(seen, drive)


def _no_errors(seen: load_gate.Observation, drive: LoadResult) -> Any:
    ended = load_result.total(drive.rows).requests
    if not ended:
        return Unobserved(why="No request ended, so nothing is known of errors.")
    limits = [f"{each.max_ratio:.2%}" for each in seen.objectives if isinstance(each, ErrorObjective) and _of_all(each)]
    allowed = f" (at most {limits[0]} of those in the hold may)" if limits else ""
    return Text(words=f"Failed requests over time: none of the {ended:,} requests of the drive failed{allowed}.")


def _ms(duration: timedelta) -> str:
    return figure(duration / timedelta(milliseconds=1), "ms")


def _spans(seen: load_gate.Observation, drive: LoadResult) -> Iterator[Span]:
    """Yield the hold that was judged, and those before it."""
    for number, seconds in enumerate(load_result.step_seconds(drive.workload), 1):
        yield Span(start=seconds.start, end=seconds.stop, label=f"step {number}")
    if seen.end_second > seen.first_second:
        yield Span(start=seen.first_second, end=seen.end_second, label="hold: what is judged")


# --- tables ----------------------------------------------------------------------------------------------------------


def _latency_table(measured: dict[str, Measurement]) -> Any:
    """Return a row for all requests and for each scenario, tag and step."""
    of = list(dict.fromkeys(match["of"] for name in measured if (match := _WHOLE.fullmatch(name))))
    if not of:
        return Unobserved(why="No figure of latency, errors or throughput was measured.")
    columns = ("p50", "p95", "p99", "error-ratio", "throughput")
    return Table(
        caption="The hold, by scenario and tag",
        head=("of", "p50", "p95", "p99", "errors", "answered", "samples"),
        rows=[
            (
                _named(prefix),
                *(blocks.measured(measured.get(prefix + column)) for column in columns),
                _samples(measured, [prefix + column for column in columns]),
            )
            for prefix in of
        ],
        numeric=frozenset(range(1, 7)),
        compact=True,
    )


def _named(prefix: str) -> str:
    return prefix.removesuffix("/") or "all requests"


def _samples(measured: dict[str, Measurement], names: Sequence[str]) -> str:
    return next((f"{measured[name].samples:,}" for name in names if name in measured), "0")


def _split(whole: Tally, measured: dict[str, Measurement]) -> Iterator[Any]:
    """Yield which answers came from the cache, and what the upstream and the service itself took."""
    counts = pictures.cache_counts(whole)
    if counts:
        total = sum(counts.values())
        told = ", ".join(f"{outcome} {count:,} ({stats.ratio(count, total):.1%})" for outcome, count in counts.items())
        yield Text(words=f"Of {total:,} answers that name a cache outcome: {told}.")
    else:
        yield Unobserved(why="No answer named a cache outcome, so nothing is known of the cache.")
    parts = {
        **{f"cache {outcome}": whole.histograms[rows.CACHE_SERIES + outcome] for outcome in counts},
        "upstream": latencies_of(whole, "upstream"),
        "service itself": latencies_of(whole, "proxy"),
    }
    if not (parts["upstream"].total or parts["service itself"].total):
        yield Unobserved(why="No answer told its upstream's times, so the service's own part is not known.")
    picture = pictures.distribution("split", "Where the time went", parts)
    if picture is not None:
        yield picture
    rows_ = [
        (
            _named(match["of"]),
            _PART_WORDS.get(match["part"], match["part"].replace("-", " ", 1)),
            *(blocks.measured(measured.get(f"{match['of']}{match['part']}-{percent}")) for percent in _PERCENTS),
            f"{measured[name].samples:,}",
        )
        for name in measured
        if (match := _SPLIT.fullmatch(name))
    ]
    if rows_:
        yield Fold(
            summary="Cache and upstream by scenario and tag",
            blocks=[
                Table(
                    caption="Latency by cache outcome and by who took the time",
                    head=("of", "part", *_PERCENTS, "samples"),
                    rows=rows_,
                    numeric=frozenset(range(2, 6)),
                    compact=True,
                )
            ],
        )


_PART_WORDS = {"upstream": "upstream", "proxy": "service itself"}
_PERCENTS = ("p50", "p95", "p99")


def _server_side(seen: load_gate.Observation, measured: dict[str, Measurement]) -> Iterator[Any]:
    server, clients = seen.server, seen.clients
    if server.problem:
        yield Unobserved(why=f"The load balancer's own figures were not observed: {server.problem}")
        return
    rows_: list[tuple[str | Markup, ...]] = [
        ("requests", f"{clients.sent:,} sent", f"{server.counted:,} counted"),
        ("answers with status 5xx", f"{clients.status_5xx:,}", f"{server.target_5xx + server.balancer_5xx:,}"),
    ]
    for percent in ("50", "95", "99"):
        told = clients.latency_ms.get(f"p{percent}")
        worst = measured.get(f"server/target-response-time-p{percent}")
        rows_.append(
            (
                f"response time p{percent}",
                blocks.nothing() if told is None else blocks.data(told, figure(told, "ms")),
                blocks.measured(worst),
            )
        )
    yield Table(
        caption="The whole drive, ramp included, as the clients and as the load balancer counted it",
        head=("what", "clients", "load balancer"),
        rows=rows_,
        numeric=frozenset({1, 2}),
    )


def _all_figures(measured: dict[str, Measurement]) -> Table:
    return Table(
        caption="Figures of the gate load, as the record holds them",
        head=("what", "measured", "95 % confidence", "samples"),
        rows=[
            (name, blocks.measured(each), blocks.between(each), f"{each.samples:,}") for name, each in measured.items()
        ],
        numeric=frozenset({1, 2, 3}),
    )
