from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import pytest

from readiness import objectives, stats
from readiness.load_figures import Figures, plain_measurements
from readiness.loadgen import rows
from readiness.loadgen.rows import Tally
from readiness.model import (
    CacheHitObjective,
    ErrorObjective,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    Severity,
    ThroughputObjective,
)

LATENCY = LatencyObjective(kind="latency", id="latency", percentile=95, threshold=timedelta(milliseconds=100))
CHANGE = LatencyChangeObjective(
    kind="latency-change", id="grown", percentile=95, max_increase_ratio=0.1, min_samples=200
)


def tally(latencies_ms: Iterable[float], *, failed: int = 0, proxy_ms: float = 2) -> Tally:
    made = Tally()
    for number, ms in enumerate(latencies_ms):
        made.count(rows.OFFERED)
        outcome = rows.STATUS if number < failed else rows.OK
        made.time(rows.OUTCOME_SERIES + outcome, round(ms * 1000))
        if outcome == rows.OK:
            made.count(rows.ANSWERED)
            made.time(rows.PROXY, round(proxy_ms * 1000))
            made.time(rows.UPSTREAM, round((ms - proxy_ms) * 1000))
    return made


def figures(**scenarios: Tally) -> Figures:
    return Figures(
        seconds=10,
        scenarios=scenarios,
        whole=rows.over_all(scenarios),
        tags={"chat": ("paid",), "ask": ("paid",), "models": ()},
        cache_hit_values=("hit",),
    )


def test_nothing_has_no_figure() -> None:
    nothing = figures()
    kinds: tuple[LoadObjective, ...] = (
        LATENCY,
        CHANGE,
        ErrorObjective(kind="errors", id="e", max_ratio=0.1),
        ThroughputObjective(kind="throughput", id="t", min_per_s=1),
        CacheHitObjective(kind="cache-hits", id="c", min_ratio=0),
    )
    for objective in kinds:
        with pytest.raises(stats.NoSamplesError):
            objectives.read(nothing, objective, nothing)


def test_each_part_of_the_latency_has_its_own_percentile() -> None:
    seen = figures(chat=tally([50.0] * 500, proxy_ms=3))
    read = {
        part: objectives.read(seen, LatencyObjective(**{**_fields(LATENCY), "part": part})).value
        for part in ("whole", "proxy", "upstream")
    }
    assert read == {
        part: pytest.approx(ms, rel=0.001) for part, ms in {"whole": 50, "proxy": 3, "upstream": 47}.items()
    }


def _fields(objective: LatencyObjective) -> dict[str, object]:
    return {name: getattr(objective, name) for name in objective.__dataclass_fields__}


def test_an_objective_of_a_tag_reads_that_tags_scenarios_alone() -> None:
    seen = figures(chat=tally([10.0] * 300), ask=tally([20.0] * 300), models=tally([900.0] * 300))
    tagged = LatencyObjective(**{**_fields(LATENCY), "tag": "paid"})
    reading = objectives.read(seen, tagged)
    assert (reading.samples, reading.missed) == (600, False)
    assert reading.value == pytest.approx(20, rel=0.001)
    assert objectives.read(seen, LATENCY).missed
    names = {each.name for each in plain_measurements(seen)}
    assert {"#paid/p95", "chat/p95", "p99.9", "models/throughput"} <= names


def test_a_latency_that_grew_is_held_against_the_baseline() -> None:
    before = figures(chat=tally([100.0] * 400))
    for now_ms, missed in ((105, False), (115, True)):
        reading = objectives.read(figures(chat=tally([now_ms] * 300)), CHANGE, before)
        assert reading.missed is missed
        assert reading.samples == 300
        assert reading.value == pytest.approx(now_ms / 100 - 1, abs=0.002)
        assert "after 100" in reading.say()
    assert objectives.too_few(figures(chat=tally([100.0] * 30)), CHANGE, reading, before)
    thin = objectives.read(figures(chat=tally([100.0] * 300)), CHANGE, figures(chat=tally([100.0] * 150)))
    assert "150 samples, 200 wanted" in objectives.too_few(before, CHANGE, thin, before)


def test_every_percentile_is_told_with_its_confidence_interval() -> None:
    seen = figures(chat=tally([10.0 + number / 100 for number in range(1000)]))
    for each in plain_measurements(seen):
        if "p95" in each.name:
            assert each.interval is not None
            assert each.interval[0] <= each.value <= each.interval[1]
    (p999,) = [each for each in plain_measurements(seen) if each.name == "p99.9"]
    assert p999.interval is None


def test_a_breach_lasts_as_long_as_its_longest_run_and_silence_is_neither_breach_nor_health() -> None:
    reading = objectives.read(figures(chat=tally([50.0] * 100)), LATENCY)
    values = [50, 200, 200, None, 200, 50]
    assert objectives.longest_breach(values, reading, unknown=False) == 2
    assert objectives.longest_breach(values, reading, unknown=True) == 4
    assert objectives.longest_breach([], reading, unknown=True) == 0


def test_a_warning_is_a_finding_that_does_not_block() -> None:
    warned = LatencyObjective(**{**_fields(LATENCY), "level": "warn"})
    seen = figures(chat=tally([300.0] * 100))
    found = objectives.finding(seen, warned, "it")
    assert (found.rule, found.severity) == (objectives.WARNING, Severity.LOW)
    assert objectives.finding(seen, LATENCY, "it").severity is Severity.HIGH
