from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from readiness.errors import EvidenceError
from readiness.gates.load import (
    GATE,
    Baseline,
    Observation,
    Settings,
    judge,
    live_figures,
    load_objectives,
    observation_of,
    rebuilt,
)
from readiness.histogram import Histogram
from readiness.load import LoadResult, Progress, Validity, artifact
from readiness.load_figures import ScenarioFigures
from readiness.loadgen import rows
from readiness.loadgen.rows import Row, Tally, tally_of, to_rows
from readiness.model import (
    CacheHitObjective,
    ClosedArrivals,
    ErrorObjective,
    Judgement,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    LocustfileArrivals,
    Measurement,
    OpenArrivals,
    Severity,
    Step,
    ThroughputObjective,
)
from readiness.objectives import RULE, WARNING
from readiness.plan import load_plan
from readiness.server_side import ClientSide, ServerSide, client_side

PLAN = load_plan(Path(__file__).parents[3] / "readiness.toml")
HOLD_S = 30
OBJECTIVES = (
    LatencyObjective(kind="latency", id="latency", percentile=95, threshold=timedelta(milliseconds=250)),
    ErrorObjective(kind="errors", id="errors", max_ratio=0.01),
    ThroughputObjective(kind="throughput", id="rate", min_per_s=90),
    CacheHitObjective(kind="cache-hits", id="hits", min_ratio=0.5, scenario="chat"),
)
VALID = Validity(
    finished=True,
    stopped=False,
    ran_out=False,
    workers_expected=2,
    workers_seen=2,
    workers_lost=(),
    workers_failed=(),
    offered=3250,
    sent=3250,
    recorded=3250,
    dropped=0,
    unreported=0,
    missing_reports=0,
    missing_lines=0,
    reconnects=0,
    in_flight_max=9,
    generator_cpu_ratio=0.2,
    clock_skew_ms=0.3,
    dispatcher_lag_p99_ms=0.5,
)
CLIENTS = ClientSide(
    sent=3250,
    answered=3250,
    status_5xx=0,
    status_unknown=0,
    repeated=0,
    latency_ms={"p50": 50.0, "p95": 60.0, "p99": 65.0},
)
SERVER = ServerSide(
    start=datetime(2026, 1, 1, tzinfo=UTC),
    end=datetime(2026, 1, 1, 0, 1, tzinfo=UTC),
    requests=3250,
    response_time_ms={"p50": (49.0,), "p95": (58.0,), "p99": (64.0,)},
)


def figures(requests: int = 3000, *, median_ms: float = 50, failed: int = 0, hit_ratio: float = 0.8) -> ScenarioFigures:
    choose = random.Random(5)
    tally = Tally()
    tally.count(rows.OFFERED, requests)
    tally.count(rows.ANSWERED, requests - failed)
    for number in range(requests):
        latency = int(median_ms * 1000 * choose.lognormvariate(0, 0.1))
        tally.time(rows.OUTCOME_SERIES + (rows.STATUS if number < failed else rows.OK), latency)
        if number >= failed:
            tally.time(rows.CACHE_SERIES + ("hit" if choose.random() < hit_ratio else "miss"), latency)
            tally.time(rows.UPSTREAM, latency // 2)
            tally.time(rows.PROXY, latency - latency // 2)
    encoded = {series: histogram.encode() for series, histogram in tally.histograms.items()}
    return ScenarioFigures(scenario="chat", histograms=encoded, counts=tally.counts)


def lag(ms: float = 0.2) -> str:
    histogram = Histogram()
    histogram.record(int(ms * 1000), 3000)
    return histogram.encode()


def observation(*scenarios: ScenarioFigures, valid: Validity = VALID, **changes: Any) -> Observation:
    made = Observation(
        objectives=OBJECTIVES,
        arrivals=OpenArrivals(kind="open", rate_per_s=100),
        ramp=timedelta(seconds=5),
        hold=timedelta(seconds=HOLD_S),
        cache_hit_values=("hit", "conditional-hit"),
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        first_second=5,
        end_second=5 + HOLD_S,
        workload_digest="sha256:w",
        scenarios=scenarios,
        tags={},
        steps=(),
        dispatcher_lag=lag(),
        by_second={},
        validity=valid,
        problems=(),
        samples={},
        artifact="artifacts/load/rows.json.gz",
        clients=CLIENTS,
        server=SERVER,
    )
    return replace(made, **changes)


def judged(seen: Observation, **settings: Any) -> Judgement:
    return judge(seen, Settings(**settings))


def measured(judgement: Judgement, name: str) -> float:
    (found,) = [each for each in judgement.measurements if each.name == name]
    assert found.samples > 0
    return found.value


def test_a_service_that_meets_every_objective_has_neither_finding_nor_gap() -> None:
    judgement = judged(observation(figures()))
    assert (judgement.findings, judgement.gaps, judgement.examined) == ((), (), 4)
    for prefix in ("", "chat/"):
        assert 45 < measured(judgement, f"{prefix}p50") < 55
        assert (
            measured(judgement, f"{prefix}p99")
            > measured(judgement, f"{prefix}p95")
            > measured(judgement, f"{prefix}p50")
        )
        assert measured(judgement, f"{prefix}error-ratio") == 0
        assert measured(judgement, f"{prefix}throughput") == 100
    assert measured(judgement, "cache-hit-ratio") == pytest.approx(0.8, abs=0.05)
    assert measured(judgement, "proxy-p95") < measured(judgement, "p95")
    thresholds = [each for each in judgement.measurements if each.threshold is not None]
    held = {each.name: (each.threshold, each.comparison) for each in thresholds}
    assert held == {"latency": (250, "<="), "errors": (0.01, "<="), "rate": (90, ">="), "hits": (0.5, ">=")}


def test_each_missed_objective_is_one_high_finding_with_value_threshold_margin_and_samples() -> None:
    judgement = judged(
        observation(
            figures(median_ms=300, failed=600, hit_ratio=0.1),
            samples={"chat/status": "status 500 instead of 200: oops"},
        )
    )
    assert {finding.subject for finding in judgement.findings} == {"latency", "errors", "rate", "hits"}
    assert {(finding.rule, finding.severity) for finding in judgement.findings} == {(RULE, Severity.HIGH)}
    told = {finding.subject: finding.message for finding in judgement.findings}
    assert "at most 250 ms wanted, +" in told["latency"]
    assert "n = 2400" in told["latency"]
    assert "95 % confidence" in told["latency"]
    assert "0.2 ratio, at most 0.01 ratio wanted" in told["errors"]
    assert "600 x status (status 500 instead of 200: oops)" in told["errors"]
    assert "80 1/s, at least 90 1/s wanted, -11.1 %, n = 3000" in told["rate"]
    assert judgement.gaps == ()


def test_nothing_observed_is_inconclusive_not_fast() -> None:
    judgement = judged(observation(dispatcher_lag=Histogram().encode()))
    assert judgement.examined == 0
    assert judgement.findings == ()
    assert all(each.name.startswith("server/") for each in judgement.measurements)
    assert {gap.what for gap in judgement.gaps} >= {"the load", *(f"objective {each.id}" for each in OBJECTIVES)}


def test_requests_that_never_ended_are_no_passed_error_objective() -> None:
    silent = ScenarioFigures(scenario="chat", histograms={}, counts={rows.OFFERED: 3000})
    judgement = judged(observation(silent))
    assert any("none has ended" in gap.why for gap in judgement.gaps)
    assert {finding.subject for finding in judgement.findings} <= {"rate"}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"finished": False}, "never told"),
        ({"stopped": True}, "stopped before its end"),
        ({"workers_lost": ("b",)}, "was lost"),
        ({"workers_failed": ("b",)}, "failed"),
        ({"workers_seen": 1}, "1 of 2 workers"),
        ({"dropped": 1}, "1 requests were due and not sent"),
        ({"unreported": 3}, "3 requests were sent and never reported"),
        ({"missing_reports": 1}, "1 reports of workers"),
        ({"missing_lines": 2}, "2 lines of the master's log"),
        ({"generator_cpu_ratio": 0.95}, "95% of its core"),
        ({"clock_skew_ms": 900.0}, "900 ms off"),
    ],
)
def test_whatever_makes_the_generator_unreliable_is_a_gap(changes: dict[str, Any], why: str) -> None:
    judgement = judged(observation(figures(), valid=replace(VALID, **changes)))
    assert any(why in gap.why for gap in judgement.gaps)


def test_a_problem_of_the_drive_is_a_gap() -> None:
    judgement = judged(observation(figures(), problems=("worker b was lost in second 7",)))
    assert [gap.why for gap in judgement.gaps] == ["worker b was lost in second 7"]


def test_a_late_dispatcher_is_a_gap() -> None:
    judgement = judged(observation(figures(), dispatcher_lag=lag(80)))
    assert any("80.1 ms late" in gap.why or "80.0 ms late" in gap.why for gap in judgement.gaps)


def test_a_rate_that_was_not_offered_is_a_gap() -> None:
    assert any("instead of 3000" in gap.why for gap in judged(observation(figures(2700))).gaps)


def test_poisson_arrivals_may_scatter_and_constant_ones_may_not() -> None:
    seen = observation(figures(2880))
    assert judged(seen).gaps == ()
    even = replace(seen, arrivals=OpenArrivals(kind="open", rate_per_s=100, distribution="constant"))
    assert any("instead of 3000" in gap.why for gap in judged(even).gaps)


def test_too_few_samples_prove_nothing_even_if_they_look_good() -> None:
    strict = tuple(replace(objective, min_samples=5000) for objective in OBJECTIVES)
    judgement = judged(observation(figures(), objectives=strict))
    assert judgement.examined == 0
    assert len(judgement.gaps) == 4
    assert all("5000 wanted" in gap.why for gap in judgement.gaps)


def test_a_percentile_that_its_samples_cannot_bound_is_a_gap() -> None:
    p999 = LatencyObjective(kind="latency", id="p999", percentile=99.9, threshold=timedelta(seconds=1))
    judgement = judged(observation(figures(), objectives=(p999,)))
    assert any("too few to bound p99.9" in gap.why for gap in judgement.gaps)
    assert judgement.examined == 0


@pytest.mark.parametrize(
    ("changes", "judgeable"),
    [({"generator_cpu_ratio": 0.99}, set()), ({"workers_lost": ("b",)}, {"latency"})],
)
def test_a_miss_that_may_be_the_generators_doing_is_not_blamed_on_the_service(
    changes: dict[str, Any], judgeable: set[str]
) -> None:
    seen = observation(figures(2400, median_ms=300), valid=replace(VALID, **changes))
    judgement = judged(seen)
    assert {finding.subject for finding in judgement.findings} == judgeable
    assert any("may be the generator's doing" in gap.why for gap in judgement.gaps)


def drive(*slow_seconds: int, **changes: Any) -> LoadResult:
    """40 seconds of 100 requests of 1 ms each; 5 s in the seconds that are named."""
    tallies: rows.Tallies = {}
    for second in range(40):
        tally = tally_of(tallies, second, "models")
        tally.count(rows.OFFERED, 100)
        tally.count(rows.ANSWERED, 100)
        tally.histogram(rows.OUTCOME_SERIES + rows.OK).record(5_000_000 if second in slow_seconds else 1000, 100)
        tally_of(tallies, second, rows.EVERY).time(rows.LAG, 100)
    made = LoadResult(
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        ended_at=None,
        workload=PLAN.workload,
        rows=to_rows(tallies),
        validity=VALID,
        problems=(),
        samples={},
    )
    return replace(made, **changes)


def seen_of(result: LoadResult, *held: LoadObjective, **changes: Any) -> Observation:
    return observation_of(held or load_objectives(PLAN), result, "x", client_side(result), SERVER, **changes)


def test_only_the_hold_is_observed_and_the_observation_survives_its_trip_through_json() -> None:
    seen = seen_of(drive(0, 1, 2, 3, 4, 35, 36, 37, 38, 39))
    (models,) = seen.scenarios
    assert models.counts[rows.OFFERED] == 3000
    assert Histogram.decode(seen.dispatcher_lag).total == 30
    judgement = judged(seen)
    assert measured(judgement, "p99") == pytest.approx(1, rel=0.001)
    adapter = TypeAdapter(Observation)
    again = adapter.validate_json(adapter.dump_json(seen))
    assert again == seen
    assert judge(again, Settings()) == judgement
    assert not any(objective.kind == "unhealthy-hosts" for objective in seen.objectives)


def test_every_figure_is_computed_again_from_the_rows_of_the_bundle() -> None:
    result = drive(20)
    lasting = replace(OBJECTIVES[0], lasting=timedelta(seconds=3))
    seen = seen_of(result, lasting, *OBJECTIVES[1:])
    kept = artifact(result)
    assert rebuilt(seen, lambda path: kept) == seen
    flattered = replace(seen, scenarios=(figures(),))
    assert rebuilt(flattered, lambda path: kept) != flattered
    with pytest.raises(EvidenceError):
        rebuilt(seen, lambda path: kept[:-20])


@pytest.mark.parametrize(
    ("slow", "missed"), [((10, 11, 12), True), ((10, 11, 13, 14, 20, 21), False), ((2, 3, 4, 5, 6), False)]
)
def test_a_breach_that_must_last_is_missed_only_by_seconds_in_a_row_of_the_hold(
    slow: tuple[int, ...], missed: bool
) -> None:
    assert isinstance(OBJECTIVES[0], LatencyObjective)
    lasting = replace(OBJECTIVES[0], percentile=50, lasting=timedelta(seconds=3))
    judgement = judged(seen_of(drive(*slow), lasting))
    assert bool(judgement.findings) is missed
    assert judgement.examined == 1
    assert measured(judgement, "latency (longest breach)") == (3 if missed else 2)


def test_seconds_without_samples_may_hide_a_breach() -> None:
    lasting = replace(OBJECTIVES[0], lasting=timedelta(seconds=3))
    seen = replace(seen_of(drive(10, 11), lasting), by_second={"latency": (1.0, 900.0, 900.0, None, 1.0)})
    judgement = judged(seen)
    assert judgement.findings == ()
    assert any("3 s in a row missed it or have no samples" in gap.why for gap in judgement.gaps)


def test_a_warning_does_not_fail_the_gate_and_silence_of_it_is_a_gap_all_the_same() -> None:
    warned = replace(OBJECTIVES[0], level="warn", threshold=timedelta(milliseconds=1))
    judgement = judged(observation(figures(), objectives=(warned,)))
    assert [(found.rule, found.severity) for found in judgement.findings] == [(WARNING, Severity.LOW)]
    assert judged(observation(objectives=(warned,))).gaps


GROWN = LatencyChangeObjective(kind="latency-change", id="grown", percentile=95, max_increase_ratio=0.1)


def earlier(median_ms: float, digest: str = "sha256:w") -> Baseline:
    at = datetime(2025, 12, 1, tzinfo=UTC)
    return Baseline(run_id="r0", decided_at=at, workload_digest=digest, scenarios=(figures(median_ms=median_ms),))


def test_a_relative_objective_fails_on_growth_and_is_inconclusive_without_a_comparable_baseline() -> None:
    def against(**changes: Any) -> Judgement:
        return judged(observation(figures(median_ms=50), objectives=(GROWN,), **changes))

    same, slower = against(baseline=earlier(49)), against(baseline=earlier(40))
    assert (same.findings, same.gaps, same.examined) == ((), (), 1)
    assert [found.subject for found in slower.findings] == ["grown"]
    none, other = against(baseline_problem="no earlier run"), against(baseline=earlier(49, "sha256:other"))
    assert (none.examined, [gap.why for gap in none.gaps]) == (0, ["no earlier run"])
    assert other.examined == 0
    assert any("another workload" in gap.why for gap in other.gaps)


def test_an_aborted_drive_fails_by_what_was_hopeless_and_says_that_the_rest_was_not_seen() -> None:
    result = drive(*range(5, 40), validity=replace(VALID, stopped=True))
    kept = tuple(row for row in result.rows if row.second < 20)
    seen = seen_of(replace(result, rows=kept), aborted="objective latency-p95 cannot be met any more: x")
    assert (seen.first_second, seen.end_second) == (5, 19)
    judgement = judged(seen)
    assert "latency-p95" in {found.subject for found in judgement.findings}
    assert any("stopped early" in gap.why for gap in judgement.gaps)


def test_a_dispatcher_that_is_late_for_a_low_threshold_is_a_gap_of_that_objective() -> None:
    low = replace(OBJECTIVES[0], threshold=timedelta(milliseconds=100))
    judgement = judged(observation(figures(), objectives=(low, OBJECTIVES[0]), dispatcher_lag=lag(30)))
    assert [gap.what for gap in judgement.gaps if "for its threshold" in gap.why] == ["objective latency"]


def test_steps_before_the_hold_are_told_and_not_judged() -> None:
    steps = (Step(rate_per_s=50, hold=timedelta(seconds=4)), Step(rate_per_s=100, hold=timedelta(seconds=3)))
    arrivals = OpenArrivals(kind="open", rate_per_s=100, steps=steps)
    workload = replace(PLAN.workload, arrivals=arrivals, ramp=timedelta(seconds=3))
    seen = seen_of(drive(*range(7), workload=workload))
    assert seen.first_second == 10
    judgement = judged(seen)
    assert measured(judgement, "step-1 at 50/s/p95") > 4000
    assert measured(judgement, "p95") < 2


@pytest.mark.parametrize(
    ("arrivals", "words"),
    [
        (OpenArrivals(kind="open", rate_per_s=100), "however slow the service answered"),
        (ClosedArrivals(kind="closed", users=5), "percentiles are too low"),
        (LocustfileArrivals(kind="locustfile", file="l.py", users=5), "percentiles are too low"),
    ],
)
def test_the_report_says_which_model_the_load_ran_under_and_its_limits(arrivals: Any, words: str) -> None:
    notes = judged(observation(figures(), arrivals=arrivals)).notes
    assert any(words in note for note in notes)


def test_a_locustfile_that_leaves_the_clone_or_raises_is_a_gap() -> None:
    judgement = judged(observation(figures(), elsewhere=3, user_errors=2))
    assert sum("another host" in gap.why or "2 exceptions" in gap.why for gap in judgement.gaps) == 2


def test_every_percentile_has_its_interval() -> None:
    found: list[Measurement] = [each for each in judged(observation(figures())).measurements if each.unit == "ms"]
    assert found
    assert all(each.interval is not None for each in found if each.name.endswith(("p50", "p95")))


def test_the_gate_is_asked_in_the_steady_stage() -> None:
    assert (GATE.id, GATE.stage.value, GATE.order) == ("load", "steady", 20)


def test_live_figures_say_nothing_of_no_answers() -> None:
    progress = Progress(
        second=0,
        rate_per_s=0,
        p50_ms=None,
        p95_ms=None,
        p99_ms=None,
        requests=0,
        errors=0,
        dropped=0,
        in_flight=0,
        workers=2,
    )
    assert live_figures(progress)["p95"] == "-"


def test_rows_of_a_result_are_rows() -> None:
    row = Row(second=1, scenario="a", histograms={}, counts={})
    assert TypeAdapter(Row).validate_json(TypeAdapter(Row).dump_json(row)) == row
