"""Shifts a service's production traffic between its two target groups, by the weights of a listener rule.

Target groups in the rule that aren't the service's keep their weight.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/alb-resources-for-blue-green.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from readiness.embedded.moto_adapter import AwsError


def weights(percent: float) -> tuple[int, int]:
    """Return (rest, share) as weights of a listener rule, which are whole numbers up to 999."""
    if float(percent).is_integer():
        return 100 - int(percent), int(percent)
    share = max(1, min(998, round(percent * 9.99)))
    return 999 - share, share


def shifted(
    actions: Sequence[Mapping[str, Any]], source_group: str, target_group: str, percent: float
) -> list[dict[str, Any]]:
    """Return a rule's actions with so many percent for the target group and the rest for the source group.

    Raises:
        AwsError: The rule doesn't forward.
    """
    rest, share = weights(percent)
    found = [dict(action) for action in actions]
    forward = next((action for action in found if action["Type"] == "forward"), None)
    if forward is None:
        raise AwsError("InvalidParameterException", "the production listener rule must have a forward action")
    config = dict(forward.get("ForwardConfig") or {})
    groups = config.get("TargetGroups") or [{"TargetGroupArn": forward["TargetGroupArn"], "Weight": 1}]
    others = [dict(group) for group in groups if group["TargetGroupArn"] not in (source_group, target_group)]
    config["TargetGroups"] = [
        {"TargetGroupArn": source_group, "Weight": rest},
        {"TargetGroupArn": target_group, "Weight": share},
        *others,
    ]
    forward.pop("TargetGroupArn", None)
    forward["ForwardConfig"] = config
    return found


def shift_traffic(elbv2: Any, rule_arn: str, source_group: str, target_group: str, percent: float) -> None:
    """Change the weights of one rule, which may be a listener's default."""
    rule = elbv2.describe_rules(RuleArns=[rule_arn])["Rules"][0]
    actions = shifted(rule["Actions"], source_group, target_group, percent)
    if rule["IsDefault"]:
        parts = rule_arn.replace(":listener-rule/", ":listener/").rsplit("/", 1)[0]
        elbv2.modify_listener(ListenerArn=parts, DefaultActions=actions)
    else:
        elbv2.modify_rule(RuleArn=rule_arn, Actions=actions)


def shifter(clients: Callable[[str], Any]) -> Callable[[Any, Any, Any, float], None]:
    """Return what the service scheduler calls to shift a service's traffic."""

    def shift(service: Any, source: Any, target: Any, percent: float) -> None:
        balancers = target.settings.get("loadBalancers") or ()
        for index, balancer in enumerate(balancers):
            rule = (balancer.get("advancedConfiguration") or {}).get("productionListenerRule")
            if rule and source is not None:
                shift_traffic(clients("elbv2"), rule, source.target_groups[index], target.target_groups[index], percent)

    return shift
