"""The load balancer's figures beside the clients': what may differ, what is a gap, and how long they are waited for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from readiness import server_side
from readiness.contract import Output
from readiness.load_result import LoadResult, Validity
from readiness.loadgen import rows
from readiness.model import Clone, OpenArrivals, Scenario, Workload
from readiness.server_side import ClientSide, ServerSide, Tolerances, client_side, observe, reconcile

START = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
CLONE = Clone(
    run_id="r1",
    stack_name="readiness-r1",
    stack_id="arn:stack",
    expires_at=START,
    outputs={Output.LOAD_BALANCER_ARN: "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/lb/0123"},
)
CLIENTS = ClientSide(
    sent=10_000,
    answered=9_990,
    status_5xx=100,
    status_unknown=0,
    repeated=0,
    latency_ms={"p50": 30.0, "p95": 60.0, "p99": 90.0},
)
SERVER = ServerSide(
    start=START.replace(second=0),
    end=START.replace(minute=2, second=0),
    requests=9_995,
    target_5xx=90,
    balancer_5xx=10,
    response_time_ms={"p50": (28.0, 29.0), "p95": (50.0, 61.0), "p99": (80.0, 95.0)},
)


def why(client: ClientSide = CLIENTS, server: ServerSide = SERVER, **tolerances: Any) -> list[str]:
    return [gap.why for gap in reconcile(client, server, Tolerances(**tolerances))[0]]


# --- both sides -------------------------------------------------------------------------------------------------------


def test_sides_that_agree_leave_no_gap_and_the_balancers_figures_are_told() -> None:
    gaps, measurements = reconcile(CLIENTS, SERVER, Tolerances())
    assert gaps == ()
    assert {each.name: each.value for each in measurements} == {
        "server/requests": 9_995,
        "server/5xx-targets": 90,
        "server/5xx-balancer": 10,
        "server/target-response-time-p50 (worst minute)": 29.0,
        "server/target-response-time-p95 (worst minute)": 61.0,
        "server/target-response-time-p99 (worst minute)": 95.0,
    }
    assert all(each.samples == 9_995 for each in measurements)


def test_no_figures_are_a_gap_and_not_agreement() -> None:
    nothing = ServerSide(start=START, end=START, response_time_ms={})
    assert why(server=nothing) == ["it counted no request; clients sent 10000"]
    assert why(server=replace(nothing, problem="CloudWatch refused them")) == ["CloudWatch refused them"]
    assert reconcile(CLIENTS, nothing, Tolerances())[1] == ()


@pytest.mark.parametrize(("requests", "differs"), [(9_879, True), (9_881, False), (10_100, False), (10_101, True)])
def test_requests_lie_between_what_was_answered_and_what_was_sent(requests: int, differs: bool) -> None:
    found = why(server=replace(SERVER, requests=requests, balancer_5xx=10, target_5xx=90))
    assert bool(found) is differs
    assert all("clients sent 10000 and got 9990 answers" in each for each in found)


def test_a_small_load_is_held_to_the_slack() -> None:
    small = replace(CLIENTS, sent=100, answered=100, status_5xx=0)
    quiet = replace(SERVER, target_5xx=0, balancer_5xx=0)
    assert why(small, replace(quiet, requests=119)) == []
    assert len(why(small, replace(quiet, requests=121))) == 1
    assert len(why(small, replace(quiet, requests=105), count_slack=2)) == 1


@pytest.mark.parametrize(("failed", "differs"), [(0, False), (209, False), (211, True)])
def test_failures_that_clients_did_not_see_are_a_gap(failed: int, differs: bool) -> None:
    assert bool(why(server=replace(SERVER, target_5xx=failed, balancer_5xx=0))) is differs


def test_failures_that_only_clients_saw_are_a_gap() -> None:
    assert why(replace(CLIENTS, status_5xx=500)) == ["it counted 100 answers with 5xx, clients 500"]


def test_answers_of_unknown_status_may_be_failures() -> None:
    assert why(replace(CLIENTS, status_5xx=0, status_unknown=9_990), replace(SERVER, target_5xx=4000)) == []


@pytest.mark.parametrize("waited", [500.0, 5_000.0])
def test_clients_that_waited_far_longer_than_targets_took_are_a_gap(waited: float) -> None:
    (found,) = why(replace(CLIENTS, latency_ms={"p50": 30.0, "p95": waited}))
    assert f"clients waited {waited:.1f} ms at p95" in found


def test_clients_that_claim_to_have_waited_less_than_targets_took_are_a_gap() -> None:
    slow = replace(SERVER, response_time_ms={"p50": (400.0, 410.0), "p95": (900.0, 910.0)})
    assert len(why(server=slow)) == 2


def test_the_minutes_of_the_balancer_bound_what_the_whole_drive_may_show() -> None:
    varied = replace(SERVER, response_time_ms={"p50": (10.0, 800.0), "p95": (20.0, 2_000.0)})
    assert why(replace(CLIENTS, latency_ms={"p50": 400.0, "p95": 1_500.0}), varied) == []


def test_missing_response_times_are_a_gap_if_clients_waited_for_answers() -> None:
    silent = replace(SERVER, response_time_ms={})
    assert len(why(server=silent)) == 2
    assert why(replace(CLIENTS, latency_ms={}), silent) == []


# --- the clients ------------------------------------------------------------------------------------------------------


def result(tallies: rows.Tallies, reconnects: int = 0) -> LoadResult:
    validity = Validity(
        finished=True,
        stopped=False,
        ran_out=False,
        workers_expected=1,
        workers_seen=1,
        workers_lost=(),
        workers_failed=(),
        offered=0,
        sent=0,
        recorded=0,
        dropped=0,
        unreported=0,
        missing_reports=0,
        missing_lines=0,
        reconnects=reconnects,
        in_flight_max=0,
        generator_cpu_ratio=0,
        clock_skew_ms=0,
        dispatcher_lag_p99_ms=None,
    )
    workload = Workload(
        arrivals=OpenArrivals(kind="open", rate_per_s=1),
        ramp=timedelta(0),
        hold=timedelta(seconds=1),
        scenarios=(Scenario(name="a", path="/"),),
    )
    return LoadResult(
        started_at=START,
        ended_at=None,
        workload=workload,
        rows=rows.to_rows(tallies),
        validity=validity,
        problems=(),
        samples={},
    )


def test_the_clients_side_is_the_whole_drive_warm_up_included() -> None:
    tallies: rows.Tallies = {}
    for second in range(10):
        tally = rows.tally_of(tallies, second, "a")
        tally.count(rows.OFFERED, 12)
        tally.count(rows.DROPPED, 1)
        for outcome, times in ((rows.OK, 6), (rows.STATUS, 2), (rows.ASSERTION, 1), (rows.TIMEOUT, 1), (rows.RESET, 1)):
            tally.histogram(rows.OUTCOME_SERIES + outcome).record(1000 if outcome != rows.TIMEOUT else 9_000_000, times)
        tally.count(f"{rows.STATUS_COUNT}200", 7)
        tally.count(f"{rows.STATUS_COUNT}503", 1)
    seen = client_side(result(tallies, reconnects=3))
    assert (seen.sent, seen.answered, seen.status_5xx, seen.status_unknown, seen.repeated) == (110, 90, 10, 10, 3)
    assert seen.latency_ms["p50"] == pytest.approx(1, rel=0.002)
    assert seen.latency_ms["p99"] == pytest.approx(9000, rel=0.002)
    assert client_side(result({})).latency_ms == {}


# --- the balancer -----------------------------------------------------------------------------------------------------


class CloudWatch:
    """Answers with the next of its figures each time, the last one for ever; two pages each."""

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def get_paginator(self, operation: str) -> CloudWatch:
        assert operation == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        self.asked.append(request)
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        for part in (count // 2, count - count // 2):
            yield {"MetricDataResults": list(self._page(request["MetricDataQueries"], part))}

    @staticmethod
    def _page(queries: Sequence[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
        for query in queries:
            metric, stat = query["MetricStat"]["Metric"]["MetricName"], query["MetricStat"]["Stat"]
            value = {"RequestCount": float(count), "TargetResponseTime": 0.0251}.get(metric)
            yield {"Id": query["Id"], "Values": [value] if value and (stat != "p99") else []}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def observed(cloudwatch: CloudWatch, clock: Clock, clone: Clone = CLONE, answered: int = 100) -> ServerSide:
    return observe(
        {"cloudwatch": cloudwatch}.__getitem__,
        clone,
        START,
        START + timedelta(seconds=40),
        replace(CLIENTS, answered=answered),
        clock=clock,
        sleep=clock.sleep,
    )


def test_the_window_is_of_whole_minutes_and_every_page_counts() -> None:
    cloudwatch = CloudWatch(101)
    seen = observed(cloudwatch, Clock())
    assert (seen.start, seen.end) == (START.replace(second=0), START.replace(minute=2, second=0))
    assert (seen.requests, seen.target_5xx, seen.problem) == (101, 0, "")
    assert seen.response_time_ms == {"p50": (25.1, 25.1), "p95": (25.1, 25.1)}
    (query, *_) = cloudwatch.asked[0]["MetricDataQueries"]
    assert query["MetricStat"]["Metric"]["Dimensions"] == [{"Name": "LoadBalancer", "Value": "app/lb/0123"}]
    assert (cloudwatch.asked[0]["StartTime"], cloudwatch.asked[0]["EndTime"]) == (seen.start, seen.end)


def test_figures_are_read_until_they_hold_every_answer_and_stand_still() -> None:
    clock = Clock()
    assert observed(CloudWatch(0, 0, 0, 60, 60, 100, 104, 104, 500), clock).requests == 104
    assert clock.now < server_side.WITHIN.total_seconds()


def test_figures_that_never_come_are_not_waited_for_for_ever() -> None:
    clock = Clock()
    assert observed(CloudWatch(60), clock).requests == 60
    assert server_side.WITHIN.total_seconds() <= clock.now < server_side.WITHIN.total_seconds() + 20


def test_where_nothing_was_answered_nothing_is_waited_for() -> None:
    clock = Clock()
    assert observed(CloudWatch(0), clock, answered=0).requests == 0
    assert clock.now < 2


def test_a_refusal_of_cloudwatch_is_told_and_no_exception() -> None:
    cloudwatch = CloudWatch(1)
    cloudwatch.error = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "GetMetricData")
    seen = observed(cloudwatch, Clock())
    assert "CloudWatch refused them" in seen.problem
    assert why(server=seen)


def test_a_stack_without_a_load_balancer_is_told() -> None:
    assert "names a load balancer" in observed(CloudWatch(1), Clock(), replace(CLONE, outputs={})).problem
