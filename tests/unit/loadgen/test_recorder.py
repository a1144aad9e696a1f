"""What is counted of each request, in which second, and what is said of those that failed."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from readiness.loadgen import rows
from readiness.loadgen.answers import Answer
from readiness.loadgen.recorder import Recorder
from readiness.loadgen.requests import PreparedScenario
from readiness.loadgen.rows import OUTCOME_SERIES, Tally
from readiness.loadgen.template import unique_values
from readiness.model import OpenArrivals, Scenario, Workload

START = 1000.0
OK_US = OUTCOME_SERIES + rows.OK


def workload(*scenarios: Scenario, **settings: Any) -> Workload:
    return Workload(
        arrivals=OpenArrivals(kind="open", rate_per_s=1),
        ramp=timedelta(0),
        hold=timedelta(seconds=10),
        scenarios=scenarios or (Scenario(name="root", path="/"),),
        **settings,
    )


def prepared(scenario: Scenario) -> PreparedScenario:
    return PreparedScenario(scenario, workload(scenario), "h", {}, random.Random(1), unique_values())


ROOT = prepared(Scenario(name="root", path="/"))


def answer(status: int = 200, body: bytes = b"fine", **headers: str) -> Answer:
    head = "".join(f"\n{name.replace('_', '-')}: {value}\r" for name, value in headers.items())
    return Answer(status, head.encode(), body)


def recorder(secrets: tuple[str, ...] = (), **settings: Any) -> Recorder:
    made = Recorder(workload(**settings), secrets)
    made.start_at(START)
    return made


def answered(made: Recorder, answer: Answer, scenario: PreparedScenario = ROOT, at: float = 1.0) -> Tally:
    """Record a request that was due at *at*, sent 1 ms and answered 5 ms later; return its second's tally."""
    due = START + at
    made.due(scenario.name, due, due + 0.001, sending=True)
    made.answered(scenario, due, due + 0.001, due + 0.005, answer)
    return made.take()[0][int(at), scenario.name]


def only_value(tally: Tally, series: str) -> int:
    (bucket,) = tally.histograms[series].counts
    assert tally.histograms[series].total == 1
    return bucket if bucket < 2048 else tally.histograms[series].value_at_rank(1)


def test_a_latency_counts_from_the_due_instant_in_the_second_of_that_instant() -> None:
    made = recorder()
    due = START + 1.9
    made.due("root", due, due + 0.0005, sending=True)
    assert made.in_flight == 1
    made.answered(ROOT, due, due + 0.0005, due + 0.25, answer())
    tallies, samples = made.take()
    tally = tallies[1, "root"]
    assert only_value(tally, OK_US) == pytest.approx(250_000, rel=0.001)
    assert tally.counts == {rows.OFFERED: 1, rows.STATUS_COUNT + "200": 1}
    assert tallies[2, "root"].counts == {rows.ANSWERED: 1}
    assert only_value(tallies[1, rows.EVERY], rows.LAG) in (499, 500)
    assert (made.offered, made.sent, made.recorded, made.dropped, made.in_flight) == (1, 1, 1, 0, 0)
    assert samples == {}


def test_what_is_not_sent_is_counted_as_offered_and_dropped_and_never_as_ended() -> None:
    made = recorder()
    made.due("root", START, START, sending=True)
    made.due("root", START, START, sending=False)
    assert (made.offered, made.sent, made.dropped, made.in_flight, made.in_flight_max) == (2, 1, 1, 1, 1)
    tally = made.take()[0][0, "root"]
    assert tally.counts == {rows.OFFERED: 2, rows.DROPPED: 1}
    assert tally.requests == 0


def test_what_was_taken_is_not_given_again_and_answers_that_come_later_are() -> None:
    made = recorder()
    made.due("root", START, START, sending=True)
    first, _ = made.take()
    made.answered(ROOT, START, START, START + 0.001, answer())
    second, _ = made.take()
    assert first[0, "root"].counts == {rows.OFFERED: 1}
    assert second[0, "root"].outcomes() == {rows.OK: 1}
    assert made.take() == ({}, {})


def test_another_status_is_no_success_whatever_the_body_and_says_what_came() -> None:
    made = recorder()
    due = START
    made.due("root", due, due, sending=True)
    made.answered(ROOT, due, due, due + 0.001, answer(503, b"busy", X_PROXY_CACHE="hit"))
    tallies, samples = made.take()
    assert tallies[0, "root"].outcomes() == {rows.STATUS: 1}
    assert rows.ANSWERED not in tallies[0, "root"].counts
    assert tallies[0, "root"].cache_outcomes() == {}
    assert samples == {"root/status": "status 503 instead of 200: busy"}


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"expect_body_contains": "right"}, "the body lacks 'right'"),
        ({"expect_body_matches": "^r.+t$"}, "nothing in the body matches '^r.+t$'"),
        ({"expect_headers": {"X-Model": "m"}}, "there is no header X-Model"),
        ({"expect_headers": {"Content-Type": "json"}}, "header Content-Type lacks 'json': text/plain"),
    ],
)
def test_an_assertion_that_is_not_met_is_named(asked: dict[str, Any], said: str) -> None:
    made = recorder()
    scenario = prepared(Scenario(name="asks", path="/", **asked))
    made.due("asks", START, START, sending=True)
    made.answered(scenario, START, START, START, answer(body=b"wrong", Content_Type="text/plain"))
    tallies, samples = made.take()
    assert tallies[0, "asks"].outcomes() == {rows.ASSERTION: 1}
    assert samples == {"asks/assertion": f"status 200, but {said}; body: wrong"}


def test_an_answer_that_meets_all_assertions_is_ok() -> None:
    scenario = prepared(
        Scenario(
            name="asks",
            path="/",
            expect_body_contains="ri",
            expect_body_matches="r[a-z]+t",
            expect_headers={"content-type": "json", "X-Id": ""},
        )
    )
    met = answer(body=b"right", Content_Type="application/json", X_Id="7")
    assert answered(recorder(), met, scenario).outcomes() == {rows.OK: 1}


def test_one_sample_of_each_kind_of_failure_is_kept_without_secrets() -> None:
    made = recorder(("s3cret",))
    for message in ("reset by s3cret", "another"):
        made.due("root", START, START, sending=True)
        made.failed("root", START, rows.RESET, message)
    tallies, samples = made.take()
    assert samples == {"root/reset": "reset by ***"}
    assert tallies[0, "root"].outcomes() == {rows.RESET: 2}
    made.due("root", START, START, sending=True)
    made.failed("root", START, rows.RESET, "a third")
    assert made.take()[1] == {}


def test_latencies_are_told_apart_by_cache_outcome() -> None:
    made = recorder()
    assert answered(made, answer(X_PROXY_CACHE=" Hit")).cache_outcomes() == {"hit": 1}
    assert answered(made, answer()).cache_outcomes() == {}
    assert answered(recorder(cache_header=None), answer(X_PROXY_CACHE="hit")).cache_outcomes() == {}


def test_a_service_that_makes_up_cache_outcomes_cannot_fill_the_memory() -> None:
    made = recorder()
    seen: set[str] = set()
    for number in range(100):
        seen |= set(answered(made, answer(X_PROXY_CACHE=f"outcome-{number}")).cache_outcomes())
    assert len(seen) == 9
    assert "other" in seen


def test_the_upstreams_part_and_the_rest_add_up_to_what_was_waited_since_it_was_sent() -> None:
    stamps = {"X_UPSTREAM_REQUEST_START": "5000000", "X_UPSTREAM_REQUEST_STOP": "6500000"}
    tally = answered(recorder(), answer(**stamps))
    assert only_value(tally, rows.UPSTREAM) == 1500
    assert only_value(tally, rows.PROXY) in (2498, 2499, 2500, 2501)
    assert rows.UPSTREAM not in answered(recorder(request_start_header=None), answer(**stamps)).histograms


@pytest.mark.parametrize(("start", "stop"), [("5", "4"), ("0", "999000000"), ("x", "5"), ("", "")])
def test_timing_headers_that_cannot_be_true_are_counted_and_not_used(start: str, stop: str) -> None:
    tally = answered(recorder(), answer(X_UPSTREAM_REQUEST_START=start, X_UPSTREAM_REQUEST_STOP=stop))
    assert tally.counts[rows.BAD_TIMING] == 1
    assert rows.UPSTREAM not in tally.histograms
    assert tally.outcomes() == {rows.OK: 1}


def test_a_request_that_was_sent_early_has_no_negative_lag() -> None:
    made = recorder()
    made.due("root", START + 0.5, START + 0.4999, sending=True)
    assert only_value(made.take()[0][0, rows.EVERY], rows.LAG) == 0
