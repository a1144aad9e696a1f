"""Who may talk to whom, exactly."""

from __future__ import annotations

from typing import Any

from tests.templates.conftest import Synthesized

Rule = tuple[str, str, int]


def _ends(stack: Synthesized, ends: dict[str, Any], key: str) -> str:
    group: str = ends[key]["Fn::GetAtt"][0]
    return stack.path_of(group).removeprefix("Network/")


def _ingress(stack: Synthesized) -> set[Rule]:
    """Return (from, to, port) of every ingress rule; each must name a group and one TCP port."""
    for name, group in stack.of_type("AWS::EC2::SecurityGroup").items():
        assert "SecurityGroupIngress" not in group, name
    rules = set()
    for rule in stack.of_type("AWS::EC2::SecurityGroupIngress").values():
        assert rule["IpProtocol"] == "tcp"
        assert rule["FromPort"] == rule["ToPort"]
        rules.add((_ends(stack, rule, "SourceSecurityGroupId"), _ends(stack, rule, "GroupId"), rule["FromPort"]))
    return rules


def _egress(stack: Synthesized) -> set[Rule]:
    """Return (from, to, port) of every egress rule; an address stands for itself."""
    rules = set()
    for name, group in stack.of_type("AWS::EC2::SecurityGroup").items():
        for rule in group.get("SecurityGroupEgress", ()):
            if rule["IpProtocol"] == "icmp":
                assert rule["CidrIp"] == "255.255.255.255/32", "CDK's way of saying: nowhere"
                continue
            assert rule["IpProtocol"] == "tcp"
            assert rule["FromPort"] == rule["ToPort"]
            rules.add((stack.path_of(name).removeprefix("Network/"), rule["CidrIp"], rule["FromPort"]))
    for rule in stack.of_type("AWS::EC2::SecurityGroupEgress").values():
        assert rule["IpProtocol"] == "tcp"
        assert rule["FromPort"] == rule["ToPort"]
        rules.add((_ends(stack, rule, "GroupId"), _ends(stack, rule, "DestinationSecurityGroupId"), rule["FromPort"]))
    return rules


def test_only_the_allowed_ways_are_open(default: Synthesized) -> None:
    inside = {
        ("Fleet", "Balancer", 8080),
        ("Fleet", "Fleet", 5557),
        ("Balancer", "Service", 8080),
        ("Service", "Database", 5432),
        ("Service", "Cache", 6379),
    }
    assert _ingress(default) == inside
    assert _egress(default) == inside | {("Fleet", "0.0.0.0/0", 443), ("Service", "0.0.0.0/0", 443)}


def test_another_service_opens_its_own_port_and_no_store(other_service: Synthesized) -> None:
    assert _ingress(other_service) == {
        ("Fleet", "Balancer", 8443),
        ("Fleet", "Fleet", 5557),
        ("Balancer", "Service", 3000),
    }


def test_a_probe_reaches_the_listener_and_nobody_reaches_the_probe(imported_network: Synthesized) -> None:
    rules = _ingress(imported_network)
    assert ("Probe", "Balancer", 8080) in rules
    assert not {rule for rule in rules if rule[1] == "Probe"}


def test_a_group_without_a_rule_may_send_nothing(any_plan: Synthesized) -> None:
    """A group without an egress rule of its own gets AWS's default, which allows everything; one beside it won't do."""
    for name, group in any_plan.of_type("AWS::EC2::SecurityGroup").items():
        assert group.get("SecurityGroupEgress"), any_plan.path_of(name)


def test_the_own_vpc_has_two_zones_three_tiers_and_one_nat(default: Synthesized) -> None:
    subnets = default.of_type("AWS::EC2::Subnet").values()
    assert len(subnets) == 6
    zones = [subnet["AvailabilityZone"]["Fn::Select"] for subnet in subnets]
    assert sorted(zone[0] for zone in zones) == [0, 0, 0, 1, 1, 1]
    assert all(zone[1] == {"Fn::GetAZs": ""} for zone in zones)
    assert not any(subnet["MapPublicIpOnLaunch"] for subnet in subnets)
    assert len(default.of_type("AWS::EC2::NatGateway")) == 1
    assert len(default.of_type("AWS::EC2::FlowLog")) == 1


def test_an_imported_vpc_is_used_and_nothing_of_it_is_made(imported_network: Synthesized) -> None:
    kinds = {resource["Type"] for resource in imported_network.document["Resources"].values()}
    made = {kind for kind in kinds if kind.startswith("AWS::EC2::")}
    assert made == {"AWS::EC2::SecurityGroup", "AWS::EC2::SecurityGroupEgress", "AWS::EC2::SecurityGroupIngress"}
    network = imported_network.plan.network
    assert network is not None
    private = list(network.private_subnet_ids)
    (service,) = imported_network.of_type("AWS::ECS::Service").values()
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"] == private
    (balancer,) = imported_network.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    assert balancer["Subnets"] == private
    (group,) = imported_network.of_type("AWS::ElastiCache::SubnetGroup").values()
    assert group["SubnetIds"] == list(network.isolated_subnet_ids)
    assert imported_network.document["Outputs"]["FleetSubnets"]["Value"] == ",".join(private)
    assert all(
        group["VpcId"] == network.vpc_id for group in imported_network.of_type("AWS::EC2::SecurityGroup").values()
    )


def test_nothing_has_a_public_address(any_plan: Synthesized) -> None:
    (service,) = any_plan.of_type("AWS::ECS::Service").values()
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["AssignPublicIp"] == "DISABLED"
    (balancer,) = any_plan.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer").values()
    assert balancer["Scheme"] == "internal"
    assert all(not instance["PubliclyAccessible"] for instance in any_plan.of_type("AWS::RDS::DBInstance").values())
