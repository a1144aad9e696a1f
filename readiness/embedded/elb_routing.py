"""Listeners, rules and target groups as the API describes them -> what the load balancer's process is told.

Pure. What would change behaviour and isn't done is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from readiness.embedded.haproxy_config import (
    ALGORITHMS,
    Condition,
    FixedResponse,
    Forward,
    Listener,
    Redirect,
    Rule,
    condition_tests,
)
from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.target_health import MINIMUM_TIMEOUT_S, HealthCheck

_UNHEALTHY_ROUTING = "target_group_health.unhealthy_state_routing.minimum_healthy_targets"


def refused(what: str) -> AwsError:
    """Return the error for something that is not done by the embedded AWS."""
    return AwsError("NotImplemented", f"this is not done by the embedded AWS: {what}")


@dataclass(frozen=True, slots=True)
class GroupSettings:
    """What a target group's settings mean here; times are scaled.

    Attributes:
        arn: Its ARN.
        target_type: ``ip`` or ``lambda``.
        port: Port of targets that are registered without one.
        algorithm: HAProxy's name of the routing algorithm.
        deregistration_delay_s: For so long a target drains.
        minimum_healthy: With fewer healthy targets, requests go to all.
        check: How targets are checked; None if they are not.
    """

    arn: str
    target_type: str
    port: int
    algorithm: str
    deregistration_delay_s: float
    minimum_healthy: int
    check: HealthCheck | None


def short_id(prefix: str, arn: str) -> str:
    """Return an identifier for HAProxy: a prefix and the last part of an ARN."""
    return prefix + arn.rsplit("/", 1)[-1]


def group_id(arn: str) -> str:
    """Return the identifier of a target group."""
    return short_id("t", arn)


def group_settings(group: Mapping[str, Any], attributes: Mapping[str, str], time_scale: float) -> GroupSettings:
    """Return the settings of a target group from its description and attributes."""
    check_attributes(attributes)
    is_lambda = group.get("TargetType") == "lambda"
    port = int(group.get("Port") or 0)
    return GroupSettings(
        arn=group["TargetGroupArn"],
        target_type=group.get("TargetType", "instance"),
        port=port,
        algorithm=ALGORITHMS[attributes.get("load_balancing.algorithm.type", "round_robin")],
        deregistration_delay_s=0.0
        if is_lambda
        else float(attributes.get("deregistration_delay.timeout_seconds", 300)) / time_scale,
        minimum_healthy=int(attributes.get(f"{_UNHEALTHY_ROUTING}.count", 1)),
        check=_health_check(group, time_scale) if group.get("HealthCheckEnabled", True) else None,
    )


def _health_check(group: Mapping[str, Any], time_scale: float) -> HealthCheck:
    port = group.get("HealthCheckPort", "traffic-port")
    return HealthCheck(
        path=group.get("HealthCheckPath") or "/",
        port=int(port) if str(port).isdigit() else None,
        interval_s=float(group.get("HealthCheckIntervalSeconds") or 30) / time_scale,
        timeout_s=max(MINIMUM_TIMEOUT_S, float(group.get("HealthCheckTimeoutSeconds") or 5) / time_scale),
        healthy_threshold=int(group.get("HealthyThresholdCount") or 5),
        unhealthy_threshold=int(group.get("UnhealthyThresholdCount") or 2),
        matcher=str((group.get("Matcher") or {}).get("HttpCode", "200")),
    )


def check_attributes(attributes: Mapping[str, str]) -> None:
    """Refuse target group attributes that would change behaviour and are not done.

    Raises:
        AwsError: One of them; its name is in the message.
    """
    harmless = {
        "stickiness.enabled": {"false"},
        "slow_start.duration_seconds": {"0"},
        "load_balancing.algorithm.type": set(ALGORITHMS),
        "load_balancing.algorithm.anomaly_mitigation": {"off"},
        f"{_UNHEALTHY_ROUTING}.percentage": {"off"},
    }
    for name, values in harmless.items():
        if name in attributes and str(attributes[name]) not in values:
            raise refused(f"target group attribute {name}={attributes[name]}")


def check_target_group(params: Mapping[str, Any]) -> None:
    """Refuse kinds of target groups that are not done."""
    if params.get("TargetType", "instance") not in ("ip", "lambda", "instance"):
        raise refused(f"target group of type {params['TargetType']}")
    for name in ("Protocol", "HealthCheckProtocol"):
        if params.get(name, "HTTP") != "HTTP":
            raise refused(f"target group with {name} {params[name]}; only HTTP is")
    if params.get("ProtocolVersion", "HTTP1") != "HTTP1":
        raise refused(f"target group with ProtocolVersion {params['ProtocolVersion']}; only HTTP1 is")


def check_listener(params: Mapping[str, Any]) -> None:
    """Refuse kinds of listeners that are not done."""
    if params.get("Protocol", "HTTP") != "HTTP":
        raise refused(f"listener with Protocol {params['Protocol']}; only HTTP is")
    for name in ("Certificates", "AlpnPolicy", "MutualAuthentication"):
        if params.get(name):
            raise refused(f"listener with {name}")
    for action in params.get("DefaultActions", ()):
        action_of([action])


def check_rule(params: Mapping[str, Any]) -> None:
    """Refuse kinds of rules that are not done."""
    if params.get("Transforms"):
        raise refused("listener rule with Transforms")
    for condition in params.get("Conditions", ()):
        condition_tests(condition_of(condition))
    if params.get("Actions"):
        action_of(params["Actions"])


def listener_of(listener: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> Listener:
    """Return a listener with its rules in the order of their evaluation."""
    check_listener(listener)
    identifier = short_id("l", listener["ListenerArn"])
    ordered = sorted(rules, key=lambda rule: (rule["Priority"] == "default", _number(rule["Priority"])))
    return Listener(
        id=identifier,
        port=int(listener["Port"]),
        rules=tuple(
            Rule(
                id=f"{identifier}_default" if rule["Priority"] == "default" else short_id("r", rule["RuleArn"]),
                conditions=tuple(condition_of(condition) for condition in rule.get("Conditions", ())),
                action=action_of(rule["Actions"]),
            )
            for rule in ordered
        ),
    )


def _number(priority: str) -> int:
    return 0 if priority == "default" else int(priority)


def action_of(actions: Sequence[Mapping[str, Any]]) -> Forward | FixedResponse | Redirect:
    """Return what a rule does."""
    for action in actions:
        if action["Type"] not in ("forward", "fixed-response", "redirect"):
            raise refused(f"listener action {action['Type']}")
    last = max(actions, key=lambda action: int(action.get("Order") or 0))
    if last["Type"] == "fixed-response":
        fixed = last["FixedResponseConfig"]
        return FixedResponse(
            int(fixed["StatusCode"]), fixed.get("ContentType") or "text/plain", fixed.get("MessageBody") or ""
        )
    if last["Type"] == "redirect":
        return _redirect(last["RedirectConfig"])
    config = last.get("ForwardConfig") or {}
    if (config.get("TargetGroupStickinessConfig") or {}).get("Enabled"):
        raise refused("forward action with TargetGroupStickinessConfig enabled")
    groups = config.get("TargetGroups") or [{"TargetGroupArn": last["TargetGroupArn"], "Weight": 1}]
    return Forward(
        tuple(
            (group_id(group["TargetGroupArn"]), 1 if group.get("Weight") is None else int(group["Weight"]))
            for group in groups
        )
    )


def _redirect(config: Mapping[str, Any]) -> Redirect:
    return Redirect(
        status=int(config["StatusCode"].removeprefix("HTTP_")),
        protocol=config.get("Protocol") or "#{protocol}",
        host=config.get("Host") or "#{host}",
        port=config.get("Port") or "#{port}",
        path=config.get("Path") or "/#{path}",
        query=config.get("Query", "#{query}"),
    )


def forwarded_groups(actions: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the ARNs of all target groups that actions forward to."""
    found = set()
    for action in actions:
        if action["Type"] == "forward":
            groups = (action.get("ForwardConfig") or {}).get("TargetGroups") or [action]
            found |= {group["TargetGroupArn"] for group in groups}
    return found


_CONDITION_KEYS = {
    "path-pattern": "PathPatternConfig",
    "host-header": "HostHeaderConfig",
    "http-header": "HttpHeaderConfig",
    "http-request-method": "HttpRequestMethodConfig",
    "query-string": "QueryStringConfig",
    "source-ip": "SourceIpConfig",
}


def condition_of(condition: Mapping[str, Any]) -> Condition:
    """Return one condition of a rule."""
    field = condition.get("Field", "")
    if field not in _CONDITION_KEYS:
        raise refused(f"rule condition {field}")
    config = condition.get(_CONDITION_KEYS[field]) or {}
    if config.get("RegexValues") or condition.get("RegexValues"):
        raise refused(f"rule condition {field} with RegexValues")
    values = config.get("Values") or condition.get("Values") or ()
    if field == "query-string":
        values = [f"{pair.get('Key', '')}={pair['Value']}" for pair in values]
    return Condition(field, tuple(values), config.get("HttpHeaderName", ""))
