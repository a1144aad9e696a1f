"""What is decided about load balancers without one running: rules, weights, health, draining."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from readiness.embedded import elb_routing
from readiness.embedded.haproxy import haproxy_binary
from readiness.embedded.haproxy_config import (
    ALGORITHMS,
    WEIGHT_SLOTS,
    Condition,
    ConfigurationError,
    FixedResponse,
    Forward,
    Group,
    Listener,
    LoadBalancer,
    Redirect,
    Rule,
    Target,
    condition_tests,
    files,
    render,
    structure,
    target_slots,
    weight_slots,
)
from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.target_health import CheckResult, HealthCheck, TargetHealth
from readiness.embedded.targets import GroupTargets

GOOD = CheckResult(success=True)
BAD = CheckResult(success=False, reason="Target.Timeout", description="Request timed out")
CHECK = HealthCheck(healthy_threshold=3, unhealthy_threshold=2)
ADDRESS = ("127.1.2.3", 80)


def balancer(weights: tuple[tuple[str, int], ...], targets: tuple[Target, ...] = ()) -> LoadBalancer:
    rules = (
        Rule("r1", (Condition("path-pattern", ("/a/*", "/it's")),), FixedResponse(404, "text/plain", "no")),
        Rule("r2", (Condition("host-header", ("*.x.com",)), Condition("query-string", ("a=b?",))), Redirect(301)),
        Rule("d", (), Forward(weights)),
    )
    groups = (
        Group("t1", ALGORITHMS["round_robin"], targets),
        Group("t2", ALGORITHMS["weighted_random"], is_function=True),
    )
    return LoadBalancer("127.9.9.9", 60, (Listener("l1", 8080, rules),), groups)


def test_weights_share_the_slots_in_their_proportion() -> None:
    assert weight_slots(Forward((("a", 90), ("b", 10)))) == (("0:899999", "a"), ("900000:999999", "b"))
    assert weight_slots(Forward((("a", 0), ("b", 1)))) == ((f"0:{WEIGHT_SLOTS - 1}", "b"),)


def test_all_weights_zero_is_nobody_but_a_single_group_needs_no_weight() -> None:
    assert weight_slots(Forward((("a", 0), ("b", 0)))) == ()
    assert weight_slots(Forward((("a", 0),))) == ((f"0:{WEIGHT_SLOTS - 1}", "a"),)


def test_enabled_targets_share_the_slots_evenly_and_the_counter_goes_round() -> None:
    group = Group("t", "", tuple(Target("127.0.0.9", port, port != 2) for port in (1, 2, 3, 4)))
    slots = [(range(*map(int, slot.split(":"))), server) for slot, server in target_slots(group)]
    assert [server for _, server in slots] == ["s127_0_0_9_1", "s127_0_0_9_3", "s127_0_0_9_4"]
    stride = int(ALGORITHMS["round_robin"].partition("mul(")[2].partition(")")[0])
    drawn = [next(name for slot, name in slots if n * stride % WEIGHT_SLOTS <= slot.stop) for n in range(1, 301)]
    assert {drawn.count(name) for name in set(drawn)} <= {99, 100, 101}


def test_targets_and_weights_are_no_structure_but_rules_are() -> None:
    one = balancer((("t1", 1),))
    same = balancer((("t1", 7), ("t1", 1)), (Target(*ADDRESS, True),))
    assert structure(one) == structure(same)
    other = LoadBalancer(one.address, 61, one.listeners, one.groups)
    assert structure(one) != structure(other)


def test_haproxy_takes_the_configuration(tmp_path: Path) -> None:
    described = balancer((("t1", 1),), (Target(*ADDRESS, True), Target("127.1.2.4", 81, False)))
    for name, text in {"haproxy.cfg": render(described), **files(described)}.items():
        (tmp_path / name).write_text(text, newline="")
    checked = subprocess.run(
        [haproxy_binary(), "-c", "-f", "haproxy.cfg"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


def test_only_a_functions_group_knows_answers_that_are_the_load_balancers_own() -> None:
    of_targets, of_function = render(balancer((("t1", 1),))).split("backend t")[1:]
    assert "x-embedded-own-answer" not in of_targets
    assert "http-response del-header x-embedded-own-answer" in of_function


@pytest.mark.parametrize(
    ("condition", "text", "matches"),
    [
        (Condition("path-pattern", ("/a/*",)), "/a/b/c", True),
        (Condition("path-pattern", ("/a/*",)), "/A/b", False),
        (Condition("path-pattern", ("/a?c",)), "/abc", True),
        (Condition("path-pattern", ("/a?c",)), "/ac", False),
        (Condition("path-pattern", ("/a.c",)), "/abc", False),
        (Condition("query-string", ("k=v*",)), "x=1&k=value", True),
        (Condition("query-string", ("k=v",)), "kk=v", False),
        (Condition("query-string", ("=v",)), "any=v&x=y", True),
    ],
)
def test_wildcards_are_those_of_aws(condition: Condition, text: str, matches: bool) -> None:
    (test,) = condition_tests(condition)
    pattern = test.partition("'")[2].rpartition("'")[0]
    assert bool(re.search(pattern, text, re.IGNORECASE if " -i " in test else 0)) is matches


def test_a_rule_can_not_smuggle_configuration_in() -> None:
    with pytest.raises(ConfigurationError, match="control character"):
        condition_tests(Condition("path-pattern", ("/a\nbind :1",)))
    with pytest.raises(ConfigurationError, match="can't be a header name"):
        condition_tests(Condition("http-header", ("v",), "X bad"))


def test_one_success_makes_a_new_target_healthy() -> None:
    health = TargetHealth()
    assert health.state == "initial"
    assert health.record(GOOD, CHECK)
    assert health.state == "healthy"


def test_consecutive_failures_make_it_unhealthy_and_consecutive_successes_healthy_again() -> None:
    health = TargetHealth()
    for result, state in [
        (GOOD, "healthy"),
        (BAD, "healthy"),
        (GOOD, "healthy"),
        (BAD, "healthy"),
        (BAD, "unhealthy"),
        (GOOD, "unhealthy"),
        (GOOD, "unhealthy"),
        (BAD, "unhealthy"),
        (GOOD, "unhealthy"),
        (GOOD, "unhealthy"),
        (GOOD, "healthy"),
    ]:
        health.record(result, CHECK)
        assert health.state == state


def test_an_unhealthy_target_says_why() -> None:
    health = TargetHealth()
    health.record(BAD, CHECK)
    assert (health.state, health.reason) == ("initial", "Elb.InitialHealthChecking")
    health.record(BAD, CHECK)
    assert (health.state, health.reason, health.description) == ("unhealthy", "Target.Timeout", "Request timed out")


@pytest.mark.parametrize(
    ("matcher", "status", "accepted"),
    [("200", 200, True), ("200", 201, False), ("200-299", 250, True), ("200,302", 302, True), ("200-299", 300, False)],
)
def test_a_matcher_is_codes_and_ranges(matcher: str, status: int, accepted: bool) -> None:
    assert HealthCheck(matcher=matcher).accepts(status) is accepted


def targets(*states: str) -> GroupTargets:
    group = GroupTargets()
    group.use(True)
    for number, state in enumerate(states):
        address = ("127.0.0.9", number)
        group.register(address, address[0])
        for _ in range({"healthy": 1, "unhealthy": 2, "initial": 0}[state]):
            group.record(address, GOOD if state == "healthy" else BAD, CHECK)
    return group


def test_requests_go_to_healthy_targets_only_and_to_all_when_none_is_healthy() -> None:
    assert [target.enabled for target in targets("healthy", "unhealthy", "initial").routed(1)] == [True, False, False]
    assert [target.enabled for target in targets("unhealthy", "initial").routed(1)] == [True, True]
    assert [target.enabled for target in targets("healthy", "unhealthy").routed(2)] == [True, True]


def test_a_draining_target_gets_nothing_new_not_even_when_all_are_unhealthy() -> None:
    group = targets("healthy", "unhealthy")
    assert group.deregister(("127.0.0.9", 0), now=100.0, delay_s=15.0)
    assert [target.enabled for target in group.routed(1)] == [False, True]
    assert group.state(("127.0.0.9", 0)).state == "draining"
    assert not group.drop_drained(114.9)
    assert group.drop_drained(115.0)
    assert group.state(("127.0.0.9", 0)).reason == "Target.NotRegistered"


def test_a_target_of_a_group_that_nobody_forwards_to_is_unused() -> None:
    group = targets("healthy")
    group.use(False)
    assert group.state(("127.0.0.9", 0)).reason == "Target.NotInUse"
    group.use(True)
    assert group.state(("127.0.0.9", 0)).state == "initial"


def test_initial_targets_are_neither_healthy_nor_unhealthy_hosts() -> None:
    assert targets("healthy", "initial", "unhealthy").host_counts() == (1, 1)


def test_a_target_that_drains_is_neither_a_healthy_nor_an_unhealthy_host() -> None:
    group = targets("healthy", "unhealthy", "healthy")
    group.deregister(("127.0.0.9", 0), now=100.0, delay_s=15.0)
    group.deregister(("127.0.0.9", 1), now=100.0, delay_s=15.0)
    assert group.host_counts() == (1, 0)


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ({"stickiness.enabled": "true"}, "stickiness.enabled"),
        ({"slow_start.duration_seconds": "30"}, "slow_start"),
        ({"load_balancing.algorithm.anomaly_mitigation": "on"}, "anomaly_mitigation"),
    ],
)
def test_attributes_that_are_not_done_are_refused(attributes: dict[str, str], named: str) -> None:
    with pytest.raises(AwsError, match=named):
        elb_routing.check_attributes(attributes)


@pytest.mark.parametrize(
    ("check", "params", "named"),
    [
        (elb_routing.check_listener, {"Protocol": "HTTPS"}, "HTTPS"),
        (elb_routing.check_listener, {"DefaultActions": [{"Type": "authenticate-oidc"}]}, "authenticate-oidc"),
        (elb_routing.check_target_group, {"Protocol": "TCP"}, "TCP"),
        (elb_routing.check_target_group, {"TargetType": "alb"}, "alb"),
        (elb_routing.check_target_group, {"ProtocolVersion": "GRPC"}, "GRPC"),
    ],
)
def test_kinds_that_are_not_done_are_refused(check: Any, params: dict[str, Any], named: str) -> None:
    with pytest.raises(AwsError, match=named):
        check(params)


def test_rules_are_evaluated_by_priority_and_the_default_last() -> None:
    action = [{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}]
    rules = [
        {"RuleArn": f"arn/l/{priority}", "Priority": priority, "Actions": action, "Conditions": []}
        for priority in ("default", "10", "9")
    ]
    listener = elb_routing.listener_of({"ListenerArn": "arn/l", "Port": 8080, "Protocol": "HTTP"}, rules)
    assert [rule.id for rule in listener.rules] == ["r9", "r10", "ll_default"]


def test_times_are_scaled_but_a_time_out_is_never_below_a_second() -> None:
    described = {
        "TargetGroupArn": "arn/t",
        "TargetType": "ip",
        "Port": 80,
        "HealthCheckIntervalSeconds": 10,
        "HealthCheckTimeoutSeconds": 5,
    }
    settings = elb_routing.group_settings(described, {"deregistration_delay.timeout_seconds": "40"}, 20.0)
    assert settings.check is not None
    assert (settings.check.interval_s, settings.check.timeout_s, settings.deregistration_delay_s) == (0.5, 1.0, 2.0)
