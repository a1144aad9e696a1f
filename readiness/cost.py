"""What a clone costs: an estimate from the synthesized template, the plan and the price table. Pure.

It is an estimate, made to be too high rather than too low: how much is used is assumed where a template does not say,
discounts and free tiers are left out, and a run is charged for its whole time limit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from typing import Any, Final

from readiness import contract
from readiness.model import ClosedArrivals, LocustfileArrivals, OpenArrivals, Plan, record
from readiness.prices import Price, Prices

TEARDOWN: Final = timedelta(hours=1)
"""What a teardown may take after the time limit of the run: a database and network interfaces go slowly."""

_NEW_CONNECTIONS_OF_A_UNIT = 25
"""A load balancer's capacity unit has 25 new connections a second; every request is taken for a new connection.
Source: https://aws.amazon.com/elasticloadbalancing/pricing/"""
_NAT_GB_PER_HOUR = 5.0
_LOG_GB_PER_HOUR = 0.2
"""Of each log group."""
_STORED_GB = 10.0
_DATABASE_IO_MILLIONS_PER_HOUR = 1.0
_MESSAGES_MILLIONS_PER_HOUR = 0.02
"""The inbox is asked twice a second, and a drill sends a handful."""
_SERVERLESS = "db.serverless"
_ALL_SERVICES = 2.0
"""A release runs beside what it replaces: twice the tasks."""

FREE: Final = frozenset(
    {
        "AWS::ApplicationAutoScaling::ScalableTarget",
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::CDK::Metadata",
        "AWS::EC2::InternetGateway",
        "AWS::EC2::Route",
        "AWS::EC2::RouteTable",
        "AWS::EC2::SecurityGroup",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::EC2::Subnet",
        "AWS::EC2::SubnetRouteTableAssociation",
        "AWS::EC2::VPC",
        "AWS::EC2::VPCGatewayAttachment",
        "AWS::ECS::Cluster",
        "AWS::ElastiCache::SubnetGroup",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::ListenerRule",
        "AWS::ElasticLoadBalancingV2::TargetGroup",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::IAM::Role",
        "AWS::KMS::Alias",
        "AWS::Lambda::Permission",
        "AWS::RDS::DBClusterParameterGroup",
        "AWS::RDS::DBParameterGroup",
        "AWS::RDS::DBSubnetGroup",
        "AWS::S3::BucketPolicy",
        "AWS::SNS::Subscription",
        "AWS::SNS::TopicPolicy",
        "AWS::SQS::QueuePolicy",
        "AWS::Scheduler::Schedule",  # one invocation
        "AWS::SecretsManager::SecretTargetAttachment",
    }
)
"""Types that AWS charges nothing for as they are used here."""


@record
class Line:
    """One thing that costs.

    Attributes:
        subject: What it is, for a reader.
        least, most: How much of it: for prices by the hour how many at a time, for others how much an hour uses up.
    """

    item: str
    subject: str
    least: float
    most: float
    price: Price

    @property
    def usd_per_hour_least(self) -> float:
        """Dollars an hour while the clone idles."""
        return self.least * self.price.usd_of_an_hour

    @property
    def usd_per_hour_most(self) -> float:
        """Dollars an hour while everything is as large as it may become."""
        return self.most * self.price.usd_of_an_hour


@record
class Unpriced:
    """A resource of which nobody knows what it costs, and why."""

    subject: str
    why: str


@record
class Estimate:
    """What the templates cost.

    Attributes:
        hours: For how many hours a run is charged at most.
        free: Type -> how many resources of it there are; AWS charges nothing for them.
    """

    region: str
    hours: float
    lines: tuple[Line, ...]
    unpriced: tuple[Unpriced, ...]
    free: dict[str, int]

    @property
    def usd_per_hour_least(self) -> float:
        """Dollars an hour while the clone idles."""
        return sum(line.usd_per_hour_least for line in self.lines)

    @property
    def usd_per_hour_most(self) -> float:
        """Dollars an hour while everything is as large as it may become."""
        return sum(line.usd_per_hour_most for line in self.lines)

    @property
    def usd_per_run(self) -> float:
        """Dollars for a run that takes all its time, with everything as large as it may become."""
        return self.usd_per_hour_most * self.hours

    @property
    def oldest(self) -> date | None:
        """The day of the oldest price in it."""
        return min((line.price.as_of for line in self.lines), default=None)


class _UnknownError(Exception):
    """A template does not say how much of something there is."""


@dataclass(frozen=True)
class _Scene:
    """A template, beside the plan that it was made of."""

    template: Mapping[str, Any]
    plan: Plan

    @cached_property
    def resources(self) -> dict[str, tuple[str, Mapping[str, Any]]]:
        """Logical id -> type and properties."""
        found = self.template.get("Resources")
        return {
            name: (str(body.get("Type")), body.get("Properties") or {})
            for name, body in (found if isinstance(found, Mapping) else {}).items()
            if isinstance(body, Mapping)
        }

    def of_type(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Logical id -> properties of the resources of a type."""
        return {name: properties for name, (each, properties) in self.resources.items() if each == kind}

    @cached_property
    def fleet(self) -> dict[str, int]:
        """Logical id of a task definition of the fleet -> how many tasks of it run."""
        outputs = self.template.get("Outputs") or {}
        counts = {
            contract.Output.FLEET_MASTER_TASK_DEFINITION: 1,
            contract.Output.FLEET_WORKER_TASK_DEFINITION: self.plan.fleet.workers,
        }
        return {str(_ref(outputs.get(key, {}).get("Value"))): count for key, count in counts.items()}

    @property
    def peak_per_s(self) -> float:
        """The most requests a second that the plan lets the fleet send; of a closed load, one for each user."""
        arrivals = self.plan.workload.arrivals
        drills = self.plan.drills
        rates = [drills.alarms.rate_per_s, drills.rollback.rate_per_s, drills.task_loss.rate_per_s]
        if isinstance(arrivals, OpenArrivals):
            rates += [arrivals.rate_per_s, *(step.rate_per_s for step in arrivals.steps)]
        if isinstance(arrivals, ClosedArrivals | LocustfileArrivals):
            rates.append(arrivals.users)
        return max(rates)


@dataclass(frozen=True)
class _Use:
    """So much of an item."""

    item: str
    subject: str
    least: float
    most: float


def estimate(templates: Sequence[Mapping[str, Any]], plan: Plan, prices: Prices) -> Estimate:
    """Return what a clone of these templates costs in the plan's region.

    Args:
        templates: Bodies of CloudFormation templates.
        plan: Sizes of the fleet, rates of the drills, the time limit, the region.
        prices: The price table.
    """
    lines: list[Line] = []
    unpriced: list[Unpriced] = []
    free: Counter[str] = Counter()
    region = plan.aws.region
    for template in templates:
        scene = _Scene(template, plan)
        for name, (kind, properties) in scene.resources.items():
            if kind in FREE:
                free[kind] += 1
                continue
            try:
                for use in _uses(scene, name, kind, properties):
                    price = prices.get((region, use.item))
                    if price is None:
                        why = f"there is no price of {use.item} in {region}"
                        unpriced.append(Unpriced(subject=use.subject, why=why))
                    else:
                        line = Line(item=use.item, subject=use.subject, least=use.least, most=use.most, price=price)
                        lines.append(line)
            except _UnknownError as error:
                unpriced.append(Unpriced(subject=f"{name} ({kind})", why=str(error)))
    hours = float(math.ceil((plan.budget.wall_clock + TEARDOWN) / timedelta(hours=1)))
    return Estimate(region=region, hours=hours, lines=tuple(lines), unpriced=tuple(unpriced), free=dict(free))


def summary(found: Estimate) -> str:
    """Return an estimate in one line."""
    said = (
        f"about {found.usd_per_hour_least:.2f} to {found.usd_per_hour_most:.2f} USD an hour in {found.region}, "
        f"at most {found.usd_per_run:.2f} USD for a run of {found.hours:g} hours with its teardown"
    )
    if found.unpriced:
        said += f", and {len(found.unpriced)} of unknown price"
    return said + f"; an estimate from list prices of {found.oldest}" if found.lines else said


def table(found: Estimate) -> tuple[str, ...]:
    """Return an estimate as lines of text, the dearest first."""
    rows = [
        f"{line.usd_per_hour_least:8.4f} to {line.usd_per_hour_most:8.4f} USD/h  {line.subject}"
        + ("" if line.price.confirmed != "no" else " (price not confirmed)")
        for line in sorted(found.lines, key=lambda line: -line.usd_per_hour_most)
    ]
    rows += [f"       ? USD/h              {each.subject}: {each.why}" for each in found.unpriced]
    return tuple(rows)


def _uses(scene: _Scene, name: str, kind: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    costs = _COSTS.get(kind)
    if costs is None:
        raise _UnknownError("the price table knows no such type")
    yield from costs(scene, name, properties)


def _number(properties: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """Return a number that a template says outright.

    Raises:
        _UnknownError: it is missing, or computed on deployment.
    """
    value = properties.get(key, default)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _UnknownError(f"its {key} is no plain number") from None


def _ref(value: object) -> object:
    """Return the logical id that a value refers to."""
    if isinstance(value, Mapping) and len(value) == 1:
        ((function, target),) = value.items()
        if function == "Ref":
            return target
        if function == "Fn::GetAtt":
            return target[0] if isinstance(target, list) else str(target).split(".")[0]
    return value


# --- what each type uses ----------------------------------------------------------------------------------------------


def _fargate(properties: Mapping[str, Any], least: float, most: float, what: str) -> Iterator[_Use]:
    vcpu, gb = _number(properties, "Cpu") / 1024, _number(properties, "Memory") / 1024
    tasks = f"{least:g} to {most:g} tasks" if least != most else f"{most:g} task{'s' if most != 1 else ''}"
    yield _Use("fargate-vcpu", f"{tasks} of {what}: {vcpu:g} vCPU each", least * vcpu, most * vcpu)
    yield _Use("fargate-gb", f"{tasks} of {what}: {gb:g} GB each", least * gb, most * gb)


def _task_definition(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    """Count the tasks of a definition: a service's, its largest twice over; the fleet's, as the plan has workers."""
    if name in scene.fleet:
        count = float(scene.fleet[name])
        yield from _fargate(properties, 0, count, f"the fleet ({name})")
        return
    services = [
        service
        for service in scene.of_type("AWS::ECS::Service").values()
        if _ref(service.get("TaskDefinition")) == name
    ]
    if not services:
        raise _UnknownError("no service runs it and the fleet does not: how many tasks there will be is not known")
    wanted = sum(_number(service, "DesiredCount", 1) for service in services)
    limits = [
        _number(target, "MaxCapacity")
        for target in scene.of_type("AWS::ApplicationAutoScaling::ScalableTarget").values()
        if target.get("ServiceNamespace") == "ecs"
    ]
    most = max([wanted, *limits]) * _ALL_SERVICES
    yield from _fargate(properties, wanted, most, "the service, a release beside it")
    for service in services:
        addresses = (service.get("NetworkConfiguration") or {}).get("AwsvpcConfiguration") or {}
        if addresses.get("AssignPublicIp") == "ENABLED":
            yield _Use("public-ipv4", f"public addresses of {name}", wanted, most)


def _service(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    if properties.get("LaunchType", "FARGATE") != "FARGATE":
        raise _UnknownError(f"its launch type is {properties['LaunchType']}: the machines that it runs on are not seen")
    yield from ()


def _load_balancer(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    if properties.get("Type", "application") != "application":
        raise _UnknownError(f"a load balancer of type {properties['Type']} has no price in the table")
    yield _Use("alb", f"load balancer {name}", 1, 1)
    units = max(1.0, scene.peak_per_s / _NEW_CONNECTIONS_OF_A_UNIT)
    yield _Use("alb-lcu", f"load balancer {name}: capacity units at {scene.peak_per_s:g} requests/s", 0, units)
    if properties.get("Scheme", "internet-facing") == "internet-facing":
        subnets = properties.get("Subnets") or properties.get("SubnetMappings")
        zones = float(len(subnets)) if isinstance(subnets, list) else 3.0
        yield _Use("public-ipv4", f"load balancer {name}: public addresses", zones, zones)


def _nat_gateway(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    yield _Use("nat-gateway", f"NAT gateway {name}", 1, 1)
    yield _Use("nat-gb", f"NAT gateway {name}: {_NAT_GB_PER_HOUR:g} GB an hour assumed", 0, _NAT_GB_PER_HOUR)


def _public_address(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    yield _Use("public-ipv4", f"public address {name}", 1, 1)


def _endpoint(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    kind = properties.get("VpcEndpointType", "Gateway")
    if kind == "Gateway":
        return
    subnets = properties.get("SubnetIds")
    if kind != "Interface" or not isinstance(subnets, list):
        raise _UnknownError(f"an endpoint of type {kind} in subnets that the template does not list")
    yield _Use("interface-endpoint", f"endpoint {name} in {len(subnets)} subnets", len(subnets), len(subnets))


def _database(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    scaling = properties.get("ServerlessV2ScalingConfiguration")
    if not isinstance(scaling, Mapping):
        raise _UnknownError("it is not Aurora Serverless v2, whose price alone is in the table")
    instances = [
        each for each in scene.of_type("AWS::RDS::DBInstance").values() if _ref(each.get("DBClusterIdentifier")) == name
    ]
    count = max(1, len(instances))
    least, most = _number(scaling, "MinCapacity") * count, _number(scaling, "MaxCapacity") * count
    yield _Use("aurora-acu", f"database {name}: {least:g} to {most:g} ACU", least, most)
    yield _Use("aurora-storage", f"database {name}: {_STORED_GB:g} GB assumed", _STORED_GB, _STORED_GB)
    millions = _DATABASE_IO_MILLIONS_PER_HOUR
    yield _Use("aurora-io", f"database {name}: {millions:g} million I/O an hour assumed", 0, millions)
    if properties.get("ManageMasterUserPassword"):
        yield _Use("secret", f"database {name}: the password that RDS manages", 1, 1)


def _database_instance(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    if properties.get("DBInstanceClass") != _SERVERLESS:
        raise _UnknownError(f"its class is {properties.get('DBInstanceClass')}; the table prices {_SERVERLESS} alone")
    yield from ()  # charged by the capacity of its cluster


def _cache(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    if "NumCacheClusters" in properties:
        nodes = _number(properties, "NumCacheClusters")
    else:
        nodes = _number(properties, "NumNodeGroups", 1) * (1 + _number(properties, "ReplicasPerNodeGroup", 0))
    kind = properties.get("CacheNodeType")
    yield _Use(f"cache:{kind}", f"cache {name}: {nodes:g} nodes {kind}", nodes, nodes)


def _alarm(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    metrics = properties.get("Metrics")
    stats = [each for each in metrics if "MetricStat" in each] if isinstance(metrics, list) else [None]
    yield _Use("alarm-metric", f"alarm {name}: {len(stats)} metric(s)", len(stats), len(stats))


def _function(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    """Count what the drills send: every request of theirs is answered by a function, for as long as its timeout."""
    per_hour = scene.plan.drills.alarms.rate_per_s * 3600
    seconds = min(scene.plan.drills.alarms.fault_delay.total_seconds() + 1, _number(properties, "Timeout", 3))
    gb_seconds = per_hour * seconds * _number(properties, "MemorySize", 128) / 1024
    yield _Use("lambda-gb-second", f"function {name}: the drills' requests", 0, gb_seconds)
    yield _Use("lambda-requests", f"function {name}: {per_hour:g} requests an hour", 0, per_hour / 1e6)


def _flow_log(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    if properties.get("LogDestinationType", "cloud-watch-logs") != "cloud-watch-logs":
        raise _UnknownError("it does not write to a log group, where its lines would be charged")
    yield from ()


def _probe(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    every = scene.plan.probe.every if scene.plan.probe else timedelta(minutes=1)
    runs = timedelta(hours=1) / max(every, timedelta(minutes=1))
    yield _Use("synthetics-run", f"probe {name}: {runs:g} runs an hour", runs, runs)


def _ssm_parameter(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
    if properties.get("Tier", "Standard") != "Standard":
        raise _UnknownError(f"its tier is {properties['Tier']}; only standard parameters are free")
    yield from ()


def _flat(item: str, noun: str, least: float, most: float) -> Callable[..., Iterator[_Use]]:
    """Return what counts the same for every resource of a type."""

    def uses(scene: _Scene, name: str, properties: Mapping[str, Any]) -> Iterator[_Use]:
        yield _Use(item, f"{noun} {name}", least, most)

    return uses


_MESSAGES = _MESSAGES_MILLIONS_PER_HOUR
_COSTS: Final[Mapping[str, Callable[..., Iterator[_Use]]]] = {
    "AWS::CloudWatch::Alarm": _alarm,
    "AWS::CloudWatch::CompositeAlarm": _flat("composite-alarm", "composite alarm", 1, 1),
    "AWS::CloudWatch::Dashboard": _flat("dashboard", "dashboard", 1, 1),
    "AWS::EC2::EIP": _public_address,
    "AWS::EC2::FlowLog": _flow_log,
    "AWS::EC2::NatGateway": _nat_gateway,
    "AWS::EC2::VPCEndpoint": _endpoint,
    "AWS::ECS::Service": _service,
    "AWS::ECS::TaskDefinition": _task_definition,
    "AWS::ElastiCache::ReplicationGroup": _cache,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _load_balancer,
    "AWS::KMS::Key": _flat("kms-key", "key", 1, 1),
    "AWS::Lambda::Function": _function,
    "AWS::Logs::LogGroup": _flat("logs", f"log group, {_LOG_GB_PER_HOUR:g} GB an hour assumed:", 0, _LOG_GB_PER_HOUR),
    "AWS::RDS::DBCluster": _database,
    "AWS::RDS::DBInstance": _database_instance,
    "AWS::S3::Bucket": _flat("s3-storage", f"bucket, {_STORED_GB:g} GB assumed:", 0, _STORED_GB),
    "AWS::SNS::Topic": _flat("sns-requests", "topic", 0, _MESSAGES),
    "AWS::SQS::Queue": _flat("sqs-requests", "queue", 0, _MESSAGES),
    "AWS::SSM::Parameter": _ssm_parameter,
    "AWS::SecretsManager::Secret": _flat("secret", "secret", 1, 1),
    "AWS::Synthetics::Canary": _probe,
}
