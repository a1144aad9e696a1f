"""Load balancers: listeners, rules and target groups.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_ElasticLoadBalancingV2.html
"""

from __future__ import annotations

from typing import Any, ClassVar

from readiness.embedded.resources.base import Resource, ResourceError, key_values, words


class _ElbResource(Resource):
    SERVICE = "elbv2"

    def update_tags(self, before: Resource) -> None:
        self.retag(
            before,
            add=lambda tags: self.call("AddTags", ResourceArns=[self.id], Tags=key_values(tags)),
            remove=lambda keys: self.call("RemoveTags", ResourceArns=[self.id], TagKeys=keys),
        )


class LoadBalancer(_ElbResource):
    """An Application Load Balancer."""

    TYPE = "AWS::ElasticLoadBalancingV2::LoadBalancer"
    PROPERTIES = words("IpAddressType LoadBalancerAttributes Name Scheme SecurityGroups Subnets Type Tags")
    IN_PLACE = words("LoadBalancerAttributes SecurityGroups Subnets Tags")
    NAME = "Name"
    TAGGED = True

    def create(self) -> None:
        """Make the balancer and wait until it is active."""
        if self.get("Type", "application") != "application":
            raise ResourceError(f"load balancer type is not done by the embedded AWS: {self.get('Type')}")
        balancer = self.call(
            "CreateLoadBalancer",
            Name=self.name(longest=32),
            Tags=self.tag_list(),
            **self.some("IpAddressType", "Scheme", "SecurityGroups", "Subnets", "Type"),
        )["LoadBalancers"][0]
        self.physical_id = balancer["LoadBalancerArn"]
        self.wait(f"{self.id} to be active", self._is_active, deadline_s=60)
        self.attributes = {
            "LoadBalancerArn": self.id,
            "DNSName": balancer["DNSName"],
            "CanonicalHostedZoneID": balancer.get("CanonicalHostedZoneId"),
            "LoadBalancerName": balancer["LoadBalancerName"],
            "LoadBalancerFullName": self.id.split(":loadbalancer/", 1)[1],
            "SecurityGroups": list(balancer.get("SecurityGroups", [])),
        }
        self._set_attributes()

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change attributes, security groups, subnets and tags."""
        if "LoadBalancerAttributes" in changed:
            self._set_attributes()
        if "SecurityGroups" in changed:
            self.call("SetSecurityGroups", LoadBalancerArn=self.id, **self.some("SecurityGroups"))
        if "Subnets" in changed:
            self.call("SetSubnets", LoadBalancerArn=self.id, **self.some("Subnets"))
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the balancer."""
        self.call("DeleteLoadBalancer", LoadBalancerArn=self.id)

    def _is_active(self) -> bool:
        found = self.call("DescribeLoadBalancers", LoadBalancerArns=[self.id])["LoadBalancers"]
        return bool(found) and found[0].get("State", {}).get("Code") == "active"

    def _set_attributes(self) -> None:
        if attributes := self.get("LoadBalancerAttributes"):
            self.call("ModifyLoadBalancerAttributes", LoadBalancerArn=self.id, Attributes=attributes)


class Listener(_ElbResource):
    """A listener."""

    TYPE = "AWS::ElasticLoadBalancingV2::Listener"
    _SETTINGS: ClassVar = ("Certificates", "DefaultActions", "Port", "Protocol", "SslPolicy")
    PROPERTIES = words("Certificates DefaultActions LoadBalancerArn Port Protocol SslPolicy Tags")
    IN_PLACE = words("Certificates DefaultActions Port Protocol SslPolicy Tags")
    TAGGED = True

    def create(self) -> None:
        """Make the listener."""
        listener = self.call(
            "CreateListener",
            LoadBalancerArn=self.need("LoadBalancerArn"),
            Tags=self.tag_list(),
            **self.some(*self._SETTINGS),
        )["Listeners"][0]
        self.physical_id = listener["ListenerArn"]
        self.attributes = {"ListenerArn": self.id}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the listener."""
        if names := changed - {"Tags"}:
            self.call("ModifyListener", ListenerArn=self.id, **self.some(*sorted(names)))
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the listener."""
        self.call("DeleteListener", ListenerArn=self.id)


class ListenerRule(_ElbResource):
    """A rule of a listener."""

    TYPE = "AWS::ElasticLoadBalancingV2::ListenerRule"
    PROPERTIES = words("Actions Conditions ListenerArn Priority Tags")
    IN_PLACE = words("Actions Conditions Priority Tags")
    TAGGED = True

    def create(self) -> None:
        """Make the rule."""
        rule = self.call(
            "CreateRule",
            Tags=self.tag_list(),
            **self.some("Actions", "Conditions", "ListenerArn", "Priority"),
        )["Rules"][0]
        self.physical_id = rule["RuleArn"]
        self.attributes = {"RuleArn": self.id, "IsDefault": bool(rule.get("IsDefault", False))}

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change actions, conditions, priority and tags."""
        if names := changed & {"Actions", "Conditions"}:
            self.call("ModifyRule", RuleArn=self.id, **self.some(*sorted(names)))
        if "Priority" in changed:
            priorities = [{"RuleArn": self.id, "Priority": self.need("Priority")}]
            self.call("SetRulePriorities", RulePriorities=priorities)
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the rule."""
        self.call("DeleteRule", RuleArn=self.id)


_CHECKS = words(
    "HealthCheckEnabled HealthCheckIntervalSeconds HealthCheckPath HealthCheckPort HealthCheckProtocol "
    "HealthCheckTimeoutSeconds HealthyThresholdCount Matcher UnhealthyThresholdCount"
)


class TargetGroup(_ElbResource):
    """A target group with the targets that are written within it."""

    TYPE = "AWS::ElasticLoadBalancingV2::TargetGroup"
    _CREATED_WITH: ClassVar = _CHECKS | words("IpAddressType Port Protocol ProtocolVersion TargetType VpcId")
    PROPERTIES = _CREATED_WITH | words("Name TargetGroupAttributes Targets Tags")
    IN_PLACE = _CHECKS | words("TargetGroupAttributes Targets Tags")
    NAME = "Name"
    TAGGED = True

    def create(self) -> None:
        """Make the group and register its targets."""
        group = self.call(
            "CreateTargetGroup",
            Name=self.name(longest=32),
            Tags=self.tag_list(),
            **self.some(*sorted(self._CREATED_WITH)),
        )["TargetGroups"][0]
        self.physical_id = group["TargetGroupArn"]
        self.attributes = {
            "TargetGroupArn": self.id,
            "TargetGroupName": group["TargetGroupName"],
            "TargetGroupFullName": self.id.rsplit(":", 1)[1],
        }
        self._set_attributes()
        if targets := self.get("Targets"):
            self.call("RegisterTargets", TargetGroupArn=self.id, Targets=targets)
        self.attributes["LoadBalancerArns"] = []

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change health checks, attributes, targets and tags."""
        if names := changed & _CHECKS:
            self.call("ModifyTargetGroup", TargetGroupArn=self.id, **self.some(*sorted(names)))
        if "TargetGroupAttributes" in changed:
            self._set_attributes()
        if "Targets" in changed:
            self._change_targets(before.get("Targets") or [], self.get("Targets") or [])
        self.update_tags(before)

    def delete(self) -> None:
        """Delete the group."""
        self.call("DeleteTargetGroup", TargetGroupArn=self.id)

    def _set_attributes(self) -> None:
        if attributes := self.get("TargetGroupAttributes"):
            self.call("ModifyTargetGroupAttributes", TargetGroupArn=self.id, Attributes=attributes)

    def _change_targets(self, old: list[Any], new: list[Any]) -> None:
        if gone := [target for target in old if target not in new]:
            self.call("DeregisterTargets", TargetGroupArn=self.id, Targets=gone)
        if added := [target for target in new if target not in old]:
            self.call("RegisterTargets", TargetGroupArn=self.id, Targets=added)


ENTRIES: tuple[type[Resource], ...] = (Listener, ListenerRule, LoadBalancer, TargetGroup)
"""The types of this file."""
