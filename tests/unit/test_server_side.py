"""The load balancer's figures beside the clients': what may differ, what is a gap, and how long they are waited for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

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
        "server/5xx-target": 90,
        "server/5xx-balancer": 10,
        "server/target-response-time-p50": 29.0,
        "server/target-response-time-p95": 61.0,
        "server/target-response-time-p99": 95.0,
    }
    assert {each.unit for each in measurements if "time" in each.name} == {"ms (worst minute)"}
    assert all(each.samples == 9_995 for each in measurements)


def test_no_figures_are_a_gap_and_not_agreement() -> None:
    nothing = ServerSide(start=START, end=START, response_time_ms={})
    assert why(server=nothing) == ["it counted no request; clients sent 10000"]
    assert why(server=replace(nothing, problem="CloudWatch refused them")) == ["CloudWatch refused them"]
    assert reconcile(CLIENTS, nothing, Tolerances())[1] == ()


@pytest.mark.parametrize(
    ("requests", "differs"), [(9_889, True), (9_890, False), (9_990, False), (10_100, False), (10_101, True)]
)
def test_requests_lie_between_what_was_answered_and_what_was_sent(requests: int, differs: bool) -> None:
    found = why(server=replace(SERVER, requests=requests))
    assert bool(found) is differs
    assert all("clients sent 10000 and got 9990 answers" in each for each in found)


def test_requests_that_clients_sent_once_more_may_be_counted_twice() -> None:
    assert len(why(server=replace(SERVER, requests=10_150))) == 1
    assert why(replace(CLIENTS, repeated=50), replace(SERVER, requests=10_150)) == []


def test_a_502_of_a_counted_request_does_not_stand_in_for_a_missing_one() -> None:
    failing = replace(CLIENTS, status_5xx=5_000)
    half = replace(SERVER, requests=5_000, target_5xx=0, balancer_5xx=5_000)
    assert [each.partition(",")[0] for each in why(failing, half)] == ["it counted 5000 requests"]


def test_a_503_without_a_target_is_a_request_all_the_same() -> None:
    failing = replace(CLIENTS, status_5xx=5_000)
    assert why(failing, replace(SERVER, requests=5_000, target_5xx=0, balancer_5xx=5_000, unrouted=5_000)) == []
    nobody = ServerSide(start=START, end=START, balancer_5xx=10_000, unrouted=10_000, response_time_ms={})
    gaps, measurements = reconcile(replace(CLIENTS, status_5xx=9_990), nobody, Tolerances())
    assert gaps == ()
    assert {each.samples for each in measurements} == {10_000}


def test_a_small_load_is_held_to_the_slack() -> None:
    small = replace(CLIENTS, sent=100, answered=100, status_5xx=0)
    quiet = replace(SERVER, target_5xx=0, balancer_5xx=0)
    assert why(small, replace(quiet, requests=119)) == []
    assert len(why(small, replace(quiet, requests=121))) == 1
    assert len(why(small, replace(quiet, requests=105), count_slack=2)) == 1


@pytest.mark.parametrize(
    ("failed", "differs"), [(0, True), (79, True), (80, False), (100, False), (130, False), (131, True)]
)
def test_failures_that_only_one_side_saw_are_a_gap(failed: int, differs: bool) -> None:
    """Ten requests went unanswered; what became of them, clients can't say."""
    found = why(server=replace(SERVER, target_5xx=failed, balancer_5xx=0))
    assert bool(found) is differs
    assert all(f"it counted {failed} answers with 5xx" in each and "clients counted 100," in each for each in found)


def test_as_many_failures_as_an_objective_allows_do_not_hide_in_the_tolerance() -> None:
    clean = replace(CLIENTS, sent=10_000, answered=10_000, status_5xx=0)
    assert len(why(clean, replace(SERVER, requests=10_000, target_5xx=100, balancer_5xx=0))) == 1


def test_answers_of_unknown_status_may_be_failures() -> None:
    assert why(replace(CLIENTS, status_5xx=0, status_unknown=9_990), replace(SERVER, target_5xx=4000)) == []


def test_clients_that_claim_to_have_waited_less_than_targets_took_are_a_gap() -> None:
    slow = replace(SERVER, response_time_ms={"p50": (400.0, 410.0), "p95": (900.0, 910.0)})
    assert [each.partition(" ms at ")[0] for each in why(server=slow)] == [
        "targets took 400.0 to 410.0",
        "targets took 900.0 to 910.0",
    ]


def test_a_percentile_that_omits_a_stall_is_a_gap() -> None:
    """A closed workload's p95 against a server that stalls: 7 ms, where the balancer saw 260."""
    stalled = replace(SERVER, response_time_ms={"p50": (5.0,), "p95": (260.0,)})
    assert len(why(replace(CLIENTS, latency_ms={"p50": 6.0, "p95": 7.0}), stalled)) == 1
    assert why(replace(CLIENTS, latency_ms={"p50": 6.0, "p95": 288.0}), stalled) == []


def test_targets_may_seem_faster_for_their_time_ends_with_the_headers_and_begins_after_the_queue() -> None:
    assert why(replace(CLIENTS, latency_ms={"p50": 2_000.0, "p95": 9_000.0})) == []


def test_one_minute_of_a_busy_drive_may_be_slower_than_the_whole() -> None:
    varied = replace(SERVER, response_time_ms={"p50": (10.0, 800.0), "p95": (20.0, 2_000.0)})
    assert why(replace(CLIENTS, latency_ms={"p50": 400.0, "p95": 1_500.0}), varied) == []


def test_missing_response_times_of_requests_that_were_counted_are_a_gap() -> None:
    silent = replace(SERVER, response_time_ms={})
    assert why(server=silent) == [f"it tells no response time at p{rank} of 9995 requests" for rank in (50, 95)]


def test_targets_that_never_answered_have_no_response_time() -> None:
    dead = replace(SERVER, target_5xx=0, balancer_5xx=9_995, response_time_ms={})
    assert why(replace(CLIENTS, status_5xx=9_990), dead) == []


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
    """Answers with the next of its figures each time, the last one for ever; two pages each.

    Attributes:
        said: Metric -> status of its answer, if it is not complete.
    """

    def __init__(self, *counts: int) -> None:
        self.counts = list(counts)
        self.asked: list[dict[str, Any]] = []
        self.said: dict[str, str] = {}
        self.error: Exception | None = None

    def get_paginator(self, operation: str) -> CloudWatch:
        assert operation == "get_metric_data"
        return self

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        if self.error is not None:
            raise self.error
        self.asked.append(request)
        count = self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]
        for part, status in ((count // 2, "PartialData"), (count - count // 2, "Complete")):
            yield {"MetricDataResults": list(self._page(request["MetricDataQueries"], part, status))}

    def _page(self, queries: Sequence[dict[str, Any]], count: int, status: str) -> Iterator[dict[str, Any]]:
        for query in queries:
            metric, stat = query["MetricStat"]["Metric"]["MetricName"], query["MetricStat"]["Stat"]
            value = {"RequestCount": float(count), "TargetResponseTime": 0.0251}.get(metric)
            yield {
                "Id": query["Id"],
                "Values": [value] if value and (stat != "p99") else [],
                "StatusCode": self.said.get(metric, status),
            }


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
    assert seen.read_at is not None


def test_requests_at_the_edge_of_a_minute_are_looked_for_in_the_next_one_too() -> None:
    cloudwatch, clock = CloudWatch(1), Clock()
    edge = START.replace(second=2), START.replace(second=58)
    seen = observe({"cloudwatch": cloudwatch}.__getitem__, CLONE, *edge, CLIENTS, clock=clock, sleep=clock.sleep)
    assert (seen.start, seen.end) == (START.replace(minute=59, hour=11, second=0), START.replace(minute=2, second=0))


def test_a_drive_whose_end_nobody_told_is_looked_for_up_to_now() -> None:
    cloudwatch, clock = CloudWatch(1), Clock()
    seen = observe({"cloudwatch": cloudwatch}.__getitem__, CLONE, START, None, CLIENTS, clock=clock, sleep=clock.sleep)
    assert seen.read_at is not None
    assert timedelta(0) < seen.end - seen.read_at <= timedelta(seconds=66)


def test_figures_are_read_until_they_hold_every_answer_and_stand_still() -> None:
    clock = Clock()
    assert observed(CloudWatch(0, 0, 0, 60, 60, 100, 104, 104, 500), clock).requests == 104
    assert clock.now < server_side.WITHIN.total_seconds()


def test_nearly_all_that_stand_still_for_a_minute_are_all_that_will_come() -> None:
    clock = Clock()
    assert observed(CloudWatch(0, 0, 995), clock, answered=1_000).requests == 995
    assert 60 <= clock.now < 90


def test_nearly_all_are_not_taken_while_more_may_come() -> None:
    assert observed(CloudWatch(995, 995, 995, 1_000), Clock(), answered=1_000).requests == 1_000


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


@pytest.mark.parametrize("status", ["InternalError", "Forbidden", "PartialData"])
def test_a_count_that_was_not_answered_completely_is_a_problem_and_not_zero(status: str) -> None:
    cloudwatch, clock = CloudWatch(100), Clock()
    cloudwatch.said["HTTPCode_Target_5XX_Count"] = status
    seen = observed(cloudwatch, clock)
    assert seen.problem == f"CloudWatch did not answer completely: target_5xx ({status})"
    assert why(server=seen) == [seen.problem]
    assert clock.now >= server_side.WITHIN.total_seconds()  # it may pass, so it was asked again


def test_an_answer_that_became_complete_is_taken() -> None:
    cloudwatch, clock = CloudWatch(100), Clock()
    cloudwatch.said["RequestCount"] = "InternalError"

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        cloudwatch.said.clear()

    client = replace(CLIENTS, answered=100)
    seen = observe({"cloudwatch": cloudwatch}.__getitem__, CLONE, START, START, client, clock=clock, sleep=sleep)
    assert (seen.requests, seen.problem) == (100, "")


def test_a_network_that_fails_is_told_and_no_exception() -> None:
    cloudwatch = CloudWatch(1)
    cloudwatch.error = EndpointConnectionError(endpoint_url="https://cloudwatch")
    assert "Could not connect" in observed(cloudwatch, Clock()).problem


def test_a_stack_without_a_load_balancer_is_told() -> None:
    assert "names a load balancer" in observed(CloudWatch(1), Clock(), replace(CLONE, outputs={})).problem
