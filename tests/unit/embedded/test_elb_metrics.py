from __future__ import annotations

import time
from typing import Any

import pytest

from readiness.embedded.elb_metrics import ElbMetrics, LogLine

BALANCER = "app/lb/1"
GROUPS = {"t1": "targetgroup/one/1", "t2": "targetgroup/two/2"}
HOSTS = {"t1": (2, 1)}


def collected(*lines: str, period_s: float = 60.0) -> dict[tuple[str, str], Any]:
    metrics = ElbMetrics(BALANCER, period_s)
    metrics.add(lines, now=100.5)
    assert metrics.collect(100.9, GROUPS, HOSTS) == []
    found: dict[tuple[str, str], Any] = {}
    for datum in metrics.collect(101.0, GROUPS, HOSTS):
        dimensions = dict(datum.dimensions)
        assert datum.timestamp == 100.0
        where = dimensions.get("TargetGroup", "") if "LoadBalancer" in dimensions else "alone"
        found[where, datum.name] = dict(zip(datum.values, datum.counts, strict=True))
    assert metrics.collect(200.0, GROUPS, HOSTS) == []
    return found


def test_targets_answers_are_counted_by_class_and_their_times_keep_their_distribution() -> None:
    found = collected(
        "t1 s1 200 5 -- -", "t1 s1 200 5 -- -", "t1 s1 204 7 -- -", "t1 s1 500 1000 -- -", "t2 s1 404 3 -- -"
    )
    one = "targetgroup/one/1"
    assert found[one, "RequestCount"] == {4: 1}
    assert found["", "RequestCount"] == {5: 1}
    assert found[one, "HTTPCode_Target_2XX_Count"] == {3: 1}
    assert found["", "HTTPCode_Target_5XX_Count"] == {1: 1}
    assert found["", "HTTPCode_Target_4XX_Count"] == {1: 1}
    assert found[one, "TargetResponseTime"] == {0.005: 2, 0.007: 1, 1.0: 1}
    assert found["", "TargetResponseTime"] == {0.003: 1, 0.005: 2, 0.007: 1, 1.0: 1}
    assert found[one, "RequestCountPerTarget"] == {2: 1}


def test_what_is_zero_is_not_published() -> None:
    found = collected("t1 s1 200 5 -- -")
    assert not [name for _, name in found if "5XX" in name or "4XX" in name or "Error" in name]
    assert collected() == {}


@pytest.mark.parametrize(
    ("line", "status", "connection_errors", "requests"),
    [
        ("t1 s1 503 -1 SC -", 502, 1, 1),  # refused
        ("t1 s1 503 -1 sC -", 504, 1, 1),  # nobody took the connection in time
        ("t1 s1 504 -1 sC -", 504, 1, 1),
        ("t1 s1 502 -1 SH -", 502, 0, 1),  # closed without an answer
        ("t1 s1 504 -1 sH -", 504, 0, 1),  # no answer in time
        ("t1 s1 503 -1 LR empty", 503, 0, 0),  # no target: none was chosen
        ("l1 <NOSRV> 503 -1 LR none", 503, 0, 0),  # no weight
    ],
)
def test_the_load_balancers_own_errors_are_told_apart(
    line: str, status: int, connection_errors: int, requests: int
) -> None:
    found = collected(line)
    assert found["", f"HTTPCode_ELB_{status}_Count"] == {1: 1}
    assert found["", "HTTPCode_ELB_5XX_Count"] == {1: 1}
    assert ("targetgroup/one/1", "HTTPCode_ELB_5XX_Count") not in found
    assert bool(found.get(("", "TargetConnectionErrorCount"))) is bool(connection_errors)
    assert bool(found.get(("", "RequestCount"))) is bool(requests)
    assert not [name for _, name in found if "Target_" in name or name == "TargetResponseTime"]


def test_a_function_that_failed_is_the_load_balancers_error_and_no_answer_of_a_target() -> None:
    found = collected("t1 s1 502 7 -- function", "t1 s1 413 3 -- function", "t1 s1 500 9 -- -")
    one = "targetgroup/one/1"
    assert found["", "HTTPCode_ELB_502_Count"] == {1: 1}
    assert found["", "HTTPCode_ELB_5XX_Count"] == {1: 1}
    assert found["", "HTTPCode_ELB_4XX_Count"] == {1: 1}
    assert found["", "HTTPCode_Target_5XX_Count"] == {1: 1}  # the answer 500 that the function gave by itself
    assert found["", "TargetResponseTime"] == {0.009: 1}
    assert found["", "RequestCount"] == {3: 1}
    assert found[one, "LambdaUserError"] == found["alone", "LambdaUserError"] == {2: 1}
    assert ("", "LambdaUserError") not in found
    assert ("", "HTTPCode_Target_4XX_Count") not in found


def test_fixed_responses_and_redirects_are_no_requests_to_targets() -> None:
    found = collected("l1 <NOSRV> 404 -1 LR fixed", "l1 <NOSRV> 301 -1 LR redirect")
    assert found == {
        ("", "HTTP_Fixed_Response_Count"): {1: 1},
        ("", "HTTP_Redirect_Count"): {1: 1},
        ("", "HTTPCode_ELB_3XX_Count"): {1: 1},
    }


def test_a_client_that_leaves_is_a_client_error() -> None:
    assert collected("t1 s1 -1 -1 CH -")["", "HTTPCode_ELB_4XX_Count"] == {1: 1}


def test_a_request_that_a_target_broke_off_counts_once_as_502() -> None:
    found = collected("t1 broken_off 502 0 -- -", "l1 <NOSRV> 400 -1 PR -")
    assert found.pop(("targetgroup/one/1", "RequestCount")) == {1: 1}
    assert {where: counts for where, counts in found.items() if where[1] != "RequestCountPerTarget"} == {
        ("", "RequestCount"): {1: 1},
        ("", "HTTPCode_ELB_502_Count"): {1: 1},
        ("", "HTTPCode_ELB_5XX_Count"): {1: 1},
        ("", "HTTPCode_ELB_4XX_Count"): {1: 1},
    }


def test_a_line_that_is_no_request_is_counted_as_such_not_dropped() -> None:
    metrics = ElbMetrics(BALANCER, 60.0)
    metrics.add(["", "t1 s1 abc 5 -- -", "x"], now=1.0)
    assert metrics.unparsed == 3
    assert LogLine.parse("t1 s1 200 5 -- -") == LogLine("t1", "s1", 200, 5, "--", "-")


@pytest.mark.parametrize("scale", [1.0, 7.0, 20.0, 60.0, 100.0])
def test_every_grain_lies_within_one_period(scale: float) -> None:
    period_s = 60.0 / scale
    grain_s = ElbMetrics(BALANCER, period_s).grain_s
    assert grain_s <= 1.0
    assert round(period_s / grain_s, 9).is_integer()


def test_hosts_are_published_where_targets_are_registered() -> None:
    metrics = ElbMetrics(BALANCER, 60.0)
    data = metrics.host_counts(5.0, GROUPS, HOSTS)
    assert [(datum.name, datum.values) for datum in data] == [("HealthyHostCount", (2,)), ("UnHealthyHostCount", (1,))]
    assert dict(data[0].dimensions) == {"LoadBalancer": BALANCER, "TargetGroup": "targetgroup/one/1"}


def test_a_second_of_two_thousand_requests_is_counted_in_milliseconds_of_work() -> None:

    lines = [f"t{n % 2 + 1} s1 200 {n % 40} -- -" for n in range(2000)]
    metrics = ElbMetrics(BALANCER, 60.0)
    started = time.process_time()
    metrics.add(lines, now=1.0)
    assert len(metrics.collect(2.0, GROUPS, HOSTS)) > 0
    assert time.process_time() - started < 0.1
