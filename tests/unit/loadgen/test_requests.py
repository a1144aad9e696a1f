"""The bytes of a request, and that nothing but what the plan says gets into them."""

from __future__ import annotations

import random
import time
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from readiness.errors import ReadinessError
from readiness.loadgen.requests import Mix, PreparedScenario
from readiness.loadgen.template import unique_values
from readiness.model import OpenArrivals, Scenario, Workload


def workload(*scenarios: Scenario, **settings: Any) -> Workload:
    return Workload(
        arrivals=OpenArrivals(kind="open", rate_per_s=1),
        ramp=timedelta(0),
        hold=timedelta(seconds=10),
        scenarios=scenarios,
        **{"request_start_header": None, **settings},
    )


def prepared(extra: dict[str, str] | None = None, header: str | None = None, **scenario: Any) -> PreparedScenario:
    made = Scenario(**{"name": "s", "path": "/", **scenario})
    plan = workload(made, request_start_header=header)
    return PreparedScenario(made, plan, "h:80", extra or {}, random.Random(1), unique_values())


def test_a_request_is_what_the_scenario_says_and_no_more() -> None:
    assert prepared(path="/a?b=c", headers={"Accept": "*/*"}).raw() == (
        b"GET /a?b=c HTTP/1.1\r\nHost: h:80\r\nUser-Agent: readiness-loadgen\r\nAccept: */*\r\n\r\n"
    )


def test_a_body_is_announced_by_its_bytes_not_its_characters() -> None:
    raw = prepared(method="POST", body="ü{{v}}", variables={"v": ("€",)}).raw()
    head, _, body = raw.partition(b"\r\n\r\n")
    assert body == "ü€".encode()
    assert head.endswith(b"\r\nContent-Length: 5")


@pytest.mark.parametrize(("method", "announced"), [("POST", True), ("PUT", True), ("PATCH", True), ("DELETE", False)])
def test_methods_that_have_a_body_announce_an_empty_one_too(method: str, announced: bool) -> None:
    assert prepared(method=method).raw().endswith(b"\r\nContent-Length: 0\r\n\r\n") is announced


def test_a_body_that_becomes_empty_is_announced_as_empty() -> None:
    assert b"Content-Length: 0\r\n\r\n" in prepared(body="{{v}}", variables={"v": ("",)}).raw()


def test_each_request_says_when_it_started() -> None:
    scenario = prepared(header="X-Request-Start")
    for _ in range(2):
        before = time.time_ns()
        head = scenario.raw()
        stamp = int(head.split(b"X-Request-Start: ")[1].split(b"\r\n")[0])
        assert before <= stamp <= time.time_ns()


def test_headers_of_the_drive_come_last_and_replace_those_of_the_same_name_in_any_case() -> None:
    raw = prepared(extra={"X-DRILL": "on"}, headers={"host": "other", "x-drill": "off", "USER-AGENT": "mine"}).raw()
    assert raw == b"GET / HTTP/1.1\r\nhost: other\r\nUSER-AGENT: mine\r\nX-DRILL: on\r\n\r\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"A": "b\r\nEvil: 1"},
        {"A": "{{v}}"},
        {"A b": "c"},
        {"A:": "c"},
        {"": "c"},
        {"A": "€"},
        {"Content-Length": "5"},
        {"transfer-encoding": "chunked"},
    ],
)
def test_headers_that_would_change_the_request_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ReadinessError, match="'s'"):
        prepared(headers=headers, variables={"v": ("good", "b\r\nEvil: 1")})


@pytest.mark.parametrize("path", ["/a b", "/a\r\nEvil: 1", "/ü"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(ReadinessError, match="may not stand in a path"):
        prepared(path=path)


def test_values_in_a_path_are_encoded() -> None:
    raw = prepared(path="/find?q={{v}}", variables={"v": ("a b&c=ü\r\n",)}).raw()
    assert raw.startswith(b"GET /find?q=a%20b%26c%3D%C3%BC%0D%0A HTTP/1.1\r\n")


def test_a_body_file_that_nobody_read_is_refused_and_not_left_out() -> None:
    with pytest.raises(ReadinessError, match=r"body\.json was not read"):
        prepared(method="POST", body_file="body.json")


@pytest.mark.parametrize("ratio", [0, 0.25, 1])
def test_the_chosen_share_of_requests_has_values_that_no_cache_can_hold(ratio: float) -> None:
    scenario = prepared(method="POST", body="{{q}}", variables={"q": ("a", "b")}, unique_ratio=ratio)
    bodies = Counter(scenario.raw().partition(b"\r\n\r\n")[2] for _ in range(4000))
    repeated = bodies[b"a"] + bodies[b"b"]
    assert 4000 - repeated == pytest.approx(4000 * ratio, abs=100)
    assert all(count == 1 for body, count in bodies.items() if body not in (b"a", b"b"))


def test_scenarios_come_as_often_as_they_weigh() -> None:
    scenarios = [Scenario(name=name, path="/", weight=weight) for name, weight in (("a", 1), ("b", 0.5), ("c", 2.5))]
    mix = Mix(workload(*scenarios), "h", {}, random.Random(7))
    seen = Counter(mix.next().name for _ in range(8000))
    assert [seen[name] / 8000 for name in "abc"] == pytest.approx([0.25, 0.125, 0.625], abs=0.02)


def test_a_single_scenario_is_always_next() -> None:
    mix = Mix(workload(Scenario(name="a", path="/")), "h", {}, random.Random(7))
    assert {mix.next().name for _ in range(100)} == {"a"}
