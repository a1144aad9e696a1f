"""The estimate: what each type costs by hand-made templates, and what nobody knows the price of."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from readiness import cost
from readiness.cost import FREE, estimate, summary, table
from readiness.prices import HOURS_PER_MONTH, load_prices
from tests.unit.samples import a_plan

PRICES = load_prices()


def of(plan=None, outputs=None, **resources):
    """Return the estimate of resources: logical id -> (type, properties)."""
    template = {"Resources": {name: {"Type": kind, "Properties": each} for name, (kind, each) in resources.items()}}
    return estimate([template | ({"Outputs": outputs} if outputs else {})], plan or a_plan(), PRICES)


def amounts(found):
    """Return item -> least and most, as they are used."""
    return {line.item: (line.least, line.most) for line in found.lines}


def test_a_service_costs_its_tasks_and_twice_its_largest_while_a_release_runs_beside_it():
    found = of(
        Tasks=("AWS::ECS::TaskDefinition", {"Cpu": "512", "Memory": "1024"}),
        Service=("AWS::ECS::Service", {"TaskDefinition": {"Ref": "Tasks"}, "DesiredCount": 2}),
        Scaling=("AWS::ApplicationAutoScaling::ScalableTarget", {"ServiceNamespace": "ecs", "MaxCapacity": 6}),
    )

    assert amounts(found) == {"fargate-vcpu": (1.0, 6.0), "fargate-gb": (2.0, 12.0)}
    vcpu, gb = PRICES["eu-west-1", "fargate-vcpu"].usd, PRICES["eu-west-1", "fargate-gb"].usd
    assert found.usd_per_hour_least == pytest.approx(vcpu + 2 * gb)
    assert found.usd_per_hour_most == pytest.approx(6 * vcpu + 12 * gb)


def test_the_fleet_costs_a_master_and_the_workers_of_the_plan():
    plan = replace(a_plan(), fleet=replace(a_plan().fleet, workers=5))
    found = of(
        plan,
        {"FleetMasterTaskDefinition": {"Value": {"Ref": "M"}}, "FleetWorkerTaskDefinition": {"Value": {"Ref": "W"}}},
        M=("AWS::ECS::TaskDefinition", {"Cpu": 1024, "Memory": 2048}),
        W=("AWS::ECS::TaskDefinition", {"Cpu": 1024, "Memory": 2048}),
    )

    assert sum(line.most for line in found.lines if line.item == "fargate-vcpu") == 6
    assert found.usd_per_hour_least == 0


def test_a_task_definition_that_nobody_runs_is_of_unknown_price():
    found = of(Stray=("AWS::ECS::TaskDefinition", {"Cpu": 1024, "Memory": 2048}))

    assert not found.lines
    assert "no service runs it" in found.unpriced[0].why


def test_a_public_load_balancer_has_an_address_in_each_zone_and_an_internal_one_has_none():
    public = of(Lb=("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Subnets": ["a", "b"]}))
    internal = of(Lb=("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Subnets": ["a", "b"], "Scheme": "internal"}))

    assert amounts(public)["public-ipv4"] == (2, 2)
    assert "public-ipv4" not in amounts(internal)


def test_capacity_units_of_a_load_balancer_grow_with_the_rate_of_the_plan():
    slow = of(Lb=("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Scheme": "internal"}))
    plan = a_plan()
    arrivals = replace(plan.workload.arrivals, rate_per_s=1000)
    fast = of(
        replace(plan, workload=replace(plan.workload, arrivals=arrivals)),
        Lb=("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Scheme": "internal"}),
    )

    assert amounts(fast)["alb-lcu"][1] == 40
    assert amounts(slow)["alb-lcu"][1] < 40


def test_a_database_costs_its_capacity_its_storage_and_its_password():
    found = of(
        Db=(
            "AWS::RDS::DBCluster",
            {"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4}, "ManageMasterUserPassword": 1},
        ),
        One=("AWS::RDS::DBInstance", {"DBClusterIdentifier": {"Ref": "Db"}, "DBInstanceClass": "db.serverless"}),
        Two=("AWS::RDS::DBInstance", {"DBClusterIdentifier": {"Ref": "Db"}, "DBInstanceClass": "db.serverless"}),
    )

    assert amounts(found)["aurora-acu"] == (1.0, 8.0)
    assert amounts(found)["secret"] == (1, 1)


def test_the_nodes_of_a_cache_are_counted_either_way():
    by_count = of(C=("AWS::ElastiCache::ReplicationGroup", {"NumCacheClusters": 3, "CacheNodeType": "cache.t4g.small"}))
    by_groups = of(
        C=(
            "AWS::ElastiCache::ReplicationGroup",
            {"NumNodeGroups": 2, "ReplicasPerNodeGroup": 1, "CacheNodeType": "cache.t4g.small"},
        )
    )

    assert amounts(by_count) == {"cache:cache.t4g.small": (3, 3)}
    assert amounts(by_groups) == {"cache:cache.t4g.small": (4, 4)}


def test_the_metrics_of_an_alarm_are_counted_and_its_expressions_are_not():
    metrics = [{"Expression": "a / b"}, {"MetricStat": {}}, {"MetricStat": {}}]
    found = of(A=("AWS::CloudWatch::Alarm", {"Metrics": metrics}), B=("AWS::CloudWatch::Alarm", {"MetricName": "x"}))

    assert [line.most for line in found.lines] == [2, 1]
    assert found.usd_per_hour_most == pytest.approx(3 * 0.1 / HOURS_PER_MONTH)


def test_an_interface_endpoint_costs_in_each_subnet_and_a_gateway_endpoint_nothing():
    found = of(
        I=("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Interface", "SubnetIds": ["a", "b"]}),
        G=("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "Gateway"}),
    )

    assert amounts(found) == {"interface-endpoint": (2, 2)}
    assert not found.unpriced


@pytest.mark.parametrize(
    ("kind", "properties", "why"),
    [
        ("AWS::Kinesis::Stream", {}, "knows no such type"),
        ("AWS::RDS::DBCluster", {}, "not Aurora Serverless v2"),
        ("AWS::RDS::DBInstance", {"DBInstanceClass": "db.r6g.large"}, "its class is db.r6g.large"),
        ("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Type": "network"}, "type network"),
        ("AWS::EC2::VPCEndpoint", {"VpcEndpointType": "GatewayLoadBalancer"}, "type GatewayLoadBalancer"),
        ("AWS::EC2::FlowLog", {"LogDestinationType": "s3"}, "does not write to a log group"),
        ("AWS::ECS::Service", {"LaunchType": "EC2"}, "its launch type is EC2"),
        ("AWS::SSM::Parameter", {"Tier": "Advanced"}, "its tier is Advanced"),
        (
            "AWS::ElastiCache::ReplicationGroup",
            {"NumCacheClusters": {"Ref": "P"}},
            "NumCacheClusters is no plain number",
        ),
        ("AWS::ElastiCache::ReplicationGroup", {"CacheNodeType": "cache.x9.huge"}, "no price of cache:cache.x9.huge"),
    ],
)
def test_what_the_table_does_not_price_is_named_with_its_reason(kind, properties, why):
    found = of(Thing=(kind, properties))

    assert not found.lines
    assert len(found.unpriced) == 1
    assert why in found.unpriced[0].why


def test_a_region_without_prices_is_unknown_and_not_free():
    plan = a_plan()
    found = of(replace(plan, aws=replace(plan.aws, region="mars-1")), Key=("AWS::KMS::Key", {}))

    assert found.usd_per_run == 0
    assert "no price of kms-key in mars-1" in found.unpriced[0].why


def test_types_that_cost_nothing_are_listed():
    assert of(Vpc=("AWS::EC2::VPC", {}), Role=("AWS::IAM::Role", {}), Other=("AWS::IAM::Role", {})).free == {
        "AWS::EC2::VPC": 1,
        "AWS::IAM::Role": 2,
    }


def test_no_type_is_both_free_and_priced():
    assert not FREE & set(cost._COSTS)


def test_a_run_is_charged_for_all_its_time_and_its_teardown_by_whole_hours():
    plan = a_plan()
    found = of(
        replace(plan, budget=replace(plan.budget, wall_clock=timedelta(minutes=90))), Nat=("AWS::EC2::NatGateway", {})
    )

    assert found.hours == 3
    assert found.usd_per_run == pytest.approx(3 * found.usd_per_hour_most)


def test_it_is_told_in_a_line_and_in_a_table_with_the_dearest_first():
    found = of(Nat=("AWS::EC2::NatGateway", {}), Key=("AWS::KMS::Key", {}), Odd=("AWS::Kinesis::Stream", {}))

    rows = table(found)
    assert "NAT gateway" in rows[0]
    assert "(price not confirmed)" in rows[-2]
    assert rows[-1].endswith("Odd (AWS::Kinesis::Stream): the price table knows no such type")
    assert "and 1 of unknown price; an estimate from list prices of 2026" in summary(found)
