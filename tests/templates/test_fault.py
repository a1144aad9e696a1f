"""The fault target: what it answers, and that nobody gets there by accident."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from readiness import contract
from tests.templates.conftest import Synthesized

Answer = dict[str, Any]


@pytest.fixture
def handler(default: Synthesized, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str] | None], Answer]:
    """The function's own code, as it is in the template."""
    (function,) = default.of_type("AWS::Lambda::Function").values()
    for name, value in function["Environment"]["Variables"].items():
        monkeypatch.setenv(name, value)
    namespace: dict[str, Any] = {}
    exec(function["Code"]["ZipFile"], namespace)
    return lambda headers: namespace["handler"]({"headers": headers}, None)


def test_an_error_drill_is_answered_500(handler: Callable[..., Answer]) -> None:
    answer = handler({contract.DRILL_HEADER.lower(): contract.DRILL_ERROR})
    assert (answer["statusCode"], answer["statusDescription"]) == (500, "500 Internal Server Error")
    assert answer["isBase64Encoded"] is False


def test_a_slow_drill_is_answered_200_after_the_plans_delay(
    handler: Callable[..., Answer], default: Synthesized, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    assert handler({contract.DRILL_HEADER: contract.DRILL_SLOW})["statusCode"] == 200
    assert slept == [default.plan.drills.alarms.fault_delay.total_seconds()]


@pytest.mark.parametrize("headers", [None, {}, {"x-readiness-drill": "something else"}])
def test_a_request_without_an_order_is_refused(handler: Callable[..., Answer], headers: dict[str, str] | None) -> None:
    assert handler(headers)["statusCode"] == 400


def test_the_function_outlives_its_own_delay(any_plan: Synthesized) -> None:
    (function,) = any_plan.of_type("AWS::Lambda::Function").values()
    assert function["Timeout"] > any_plan.plan.drills.alarms.fault_delay.total_seconds()
    assert len(function["Code"]["ZipFile"]) < 4096, "CloudFormation takes no longer inline code"


def test_only_requests_of_a_drill_meet_the_rule_and_none_meet_the_function_at_rest(default: Synthesized) -> None:
    rules = {
        default.path_of(name): rule
        for name, rule in default.of_type("AWS::ElasticLoadBalancingV2::ListenerRule").items()
    }
    fault, production = rules["Fault/Rule"], rules["Balancer/ProductionRule"]
    assert fault["Priority"] < production["Priority"], "the lower number is asked first"
    (condition,) = fault["Conditions"]
    assert condition["HttpHeaderConfig"] == {"HttpHeaderName": contract.DRILL_HEADER, "Values": ["*"]}
    (action,) = fault["Actions"]
    weights = {
        default.path_of(group["TargetGroupArn"]["Ref"]): group["Weight"]
        for group in action["ForwardConfig"]["TargetGroups"]
    }
    assert weights == {"Balancer/Primary": 100, "Fault/TargetGroup": 0}


def test_only_load_balancers_of_this_account_may_call_the_function(default: Synthesized) -> None:
    (permission,) = default.of_type("AWS::Lambda::Permission").values()
    assert permission["Principal"] == "elasticloadbalancing.amazonaws.com"
    assert {"Ref": "AWS::AccountId"} in permission["SourceArn"]["Fn::Join"][1]
