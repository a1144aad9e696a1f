"""Ask each service by name whether something of a run still exists. CloudFormation's word is not enough.

A type that is not in ``PROBES`` or ``PARTS`` is *unknown*, never gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import BotoCoreError, ClientError

from readiness.cloud import is_gone
from readiness.model import record

Standing = Literal["gone", "there", "phantom", "unknown"]
Clients = Callable[[str], Any]


@record
class Resource:
    """Something that the run made, and whether it is still there.

    ``phantom``: AWS still lists it, does not run or bill it, and lets nobody delete it; ``why`` names the rule.
    """

    kind: str
    name: str
    logical_id: str = ""
    source: Literal["stack", "ledger", "tag", "log-group", "snapshot"]
    standing: Standing
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How to ask for one resource.

    Attributes:
        operation: boto3 method of the service's client.
        ask: Physical id -> parameters.
        found: Response -> the descriptions of what is there.
        phantom: Description -> why it is no leftover although it is listed, or an empty string.
    """

    service: str
    operation: str
    ask: Callable[[str], Mapping[str, Any]]
    found: Callable[[Mapping[str, Any]], list[Any]]
    phantom: Callable[[Any], str] = lambda _: ""

    def standing(self, clients: Clients, name: str) -> tuple[Standing, str]:
        """Return how a resource stands now, and why."""
        try:
            response = getattr(clients(self.service), self.operation)(**self.ask(name))
        except ClientError as error:
            return ("gone", "") if is_gone(error) else ("unknown", str(error))
        except (BotoCoreError, ValueError, LookupError) as error:
            return "unknown", repr(error)
        excuses = [self.phantom(each) for each in self.found(response)]
        if not excuses:
            return "gone", ""
        return ("phantom", excuses[0]) if all(excuses) else ("there", "")


def _by_ids(service: str, operation: str, parameter: str, key: str, **rules: Any) -> Probe:
    """Return the probe of an operation that takes a list of ids and answers with a list."""
    return Probe(
        service=service,
        operation=operation,
        ask=lambda name: {parameter: [name]},
        found=lambda response: list(response.get(key, [])),
        **rules,
    )


def _by_name(service: str, operation: str, parameter: str, key: str | None = None, **rules: Any) -> Probe:
    """Return the probe of an operation that takes one name; with *key* its answer is a list, else it is the thing."""
    return Probe(
        service=service,
        operation=operation,
        ask=lambda name: {parameter: name},
        found=lambda response: list(response.get(key, [])) if key else [response],
        **rules,
    )


def _state(key: str, ended: str, rule: str, inside: str | None = None) -> Callable[[Any], str]:
    """Return the phantom rule "its *key* says *ended*"."""
    return lambda each: rule if (each[inside] if inside else each).get(key) == ended else ""


def _service_of(arn: str) -> Mapping[str, Any]:
    """Return how to ask for an ECS service by its ARN, which names its cluster."""
    _, cluster, name = arn.split(":", 5)[5].split("/")
    return {"cluster": cluster, "services": [name]}


def _schedule(name: str) -> Mapping[str, Any]:
    group, _, schedule = name.rpartition("|")
    return {"Name": schedule, "GroupName": group} if group else {"Name": schedule}


def _scalable_target(name: str) -> Mapping[str, Any]:
    """Return how to ask for a scalable target; CloudFormation's id is ``resource|dimension|namespace``."""
    resource, dimension, namespace = name.split("|")
    return {"ServiceNamespace": namespace, "ResourceIds": [resource], "ScalableDimension": dimension}


_INACTIVE = (
    "ECS keeps what was deleted as INACTIVE "
    "(https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DeregisterTaskDefinition.html)"
)
_PENDING = (
    "KMS deletes keys after a waiting period and bills nothing meanwhile "
    "(https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html)"
)
_SECRET = (
    "deleted and within its recovery window "
    "(https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html)"
)
_NAT = (
    "EC2 shows a deleted NAT gateway for about an hour "
    "(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNatGateway.html)"
)
_RELEASED = (
    "EC2 shows a deleted VPC endpoint for a while "
    "(https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteVpcEndpoints.html)"
)

PROBES: Mapping[str, Probe] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": Probe(
        service="application-autoscaling",
        operation="describe_scalable_targets",
        ask=_scalable_target,
        found=lambda response: list(response["ScalableTargets"]),
    ),
    "AWS::CloudWatch::Alarm": _by_ids("cloudwatch", "describe_alarms", "AlarmNames", "MetricAlarms"),
    "AWS::CloudWatch::CompositeAlarm": Probe(
        service="cloudwatch",
        operation="describe_alarms",
        ask=lambda name: {"AlarmNames": [name], "AlarmTypes": ["CompositeAlarm"]},
        found=lambda response: list(response["CompositeAlarms"]),
    ),
    "AWS::CloudWatch::Dashboard": _by_name("cloudwatch", "get_dashboard", "DashboardName"),
    "AWS::EC2::EIP": Probe(
        service="ec2",
        operation="describe_addresses",
        ask=lambda name: {"PublicIps": [name.split("|")[0]]},
        found=lambda response: list(response["Addresses"]),
    ),
    "AWS::EC2::FlowLog": _by_ids("ec2", "describe_flow_logs", "FlowLogIds", "FlowLogs"),
    "AWS::EC2::InternetGateway": _by_ids("ec2", "describe_internet_gateways", "InternetGatewayIds", "InternetGateways"),
    "AWS::EC2::NatGateway": _by_ids(
        "ec2", "describe_nat_gateways", "NatGatewayIds", "NatGateways", phantom=_state("State", "deleted", _NAT)
    ),
    "AWS::EC2::RouteTable": _by_ids("ec2", "describe_route_tables", "RouteTableIds", "RouteTables"),
    "AWS::EC2::SecurityGroup": _by_ids("ec2", "describe_security_groups", "GroupIds", "SecurityGroups"),
    "AWS::EC2::Subnet": _by_ids("ec2", "describe_subnets", "SubnetIds", "Subnets"),
    "AWS::EC2::VPC": _by_ids("ec2", "describe_vpcs", "VpcIds", "Vpcs"),
    "AWS::EC2::VPCEndpoint": _by_ids(
        "ec2", "describe_vpc_endpoints", "VpcEndpointIds", "VpcEndpoints", phantom=_state("State", "deleted", _RELEASED)
    ),
    "AWS::ECS::Cluster": _by_ids(
        "ecs", "describe_clusters", "clusters", "clusters", phantom=_state("status", "INACTIVE", _INACTIVE)
    ),
    "AWS::ECS::Service": Probe(
        service="ecs",
        operation="describe_services",
        ask=_service_of,
        found=lambda response: list(response["services"]),
        phantom=_state("status", "INACTIVE", _INACTIVE),
    ),
    "AWS::ECS::TaskDefinition": _by_name(
        "ecs",
        "describe_task_definition",
        "taskDefinition",
        phantom=_state("status", "INACTIVE", _INACTIVE, inside="taskDefinition"),
    ),
    "AWS::ECR::Repository": _by_ids("ecr", "describe_repositories", "repositoryNames", "repositories"),
    "AWS::ElastiCache::ParameterGroup": _by_name(
        "elasticache", "describe_cache_parameter_groups", "CacheParameterGroupName", "CacheParameterGroups"
    ),
    "AWS::ElastiCache::ReplicationGroup": _by_name(
        "elasticache", "describe_replication_groups", "ReplicationGroupId", "ReplicationGroups"
    ),
    "AWS::ElastiCache::SubnetGroup": _by_name(
        "elasticache", "describe_cache_subnet_groups", "CacheSubnetGroupName", "CacheSubnetGroups"
    ),
    "AWS::ElasticLoadBalancingV2::Listener": _by_ids("elbv2", "describe_listeners", "ListenerArns", "Listeners"),
    "AWS::ElasticLoadBalancingV2::ListenerRule": _by_ids("elbv2", "describe_rules", "RuleArns", "Rules"),
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _by_ids(
        "elbv2", "describe_load_balancers", "LoadBalancerArns", "LoadBalancers"
    ),
    "AWS::ElasticLoadBalancingV2::TargetGroup": _by_ids(
        "elbv2", "describe_target_groups", "TargetGroupArns", "TargetGroups"
    ),
    "AWS::IAM::ManagedPolicy": _by_name("iam", "get_policy", "PolicyArn"),
    "AWS::IAM::Role": _by_name("iam", "get_role", "RoleName"),
    "AWS::KMS::Alias": Probe(
        service="kms",
        operation="describe_key",
        ask=lambda name: {"KeyId": name},
        found=lambda response: [response["KeyMetadata"]],
        phantom=_state("KeyState", "PendingDeletion", _PENDING),
    ),
    "AWS::KMS::Key": Probe(
        service="kms",
        operation="describe_key",
        ask=lambda name: {"KeyId": name},
        found=lambda response: [response["KeyMetadata"]],
        phantom=_state("KeyState", "PendingDeletion", _PENDING),
    ),
    "AWS::Lambda::Function": _by_name("lambda", "get_function", "FunctionName"),
    "AWS::Logs::LogGroup": Probe(
        service="logs",
        operation="describe_log_groups",
        ask=lambda name: {"logGroupNamePrefix": name},
        found=lambda response: list(response["logGroups"]),
    ),
    "AWS::RDS::DBCluster": _by_name("rds", "describe_db_clusters", "DBClusterIdentifier", "DBClusters"),
    "AWS::RDS::DBClusterParameterGroup": _by_name(
        "rds", "describe_db_cluster_parameter_groups", "DBClusterParameterGroupName", "DBClusterParameterGroups"
    ),
    "AWS::RDS::DBInstance": _by_name("rds", "describe_db_instances", "DBInstanceIdentifier", "DBInstances"),
    "AWS::RDS::DBSubnetGroup": _by_name("rds", "describe_db_subnet_groups", "DBSubnetGroupName", "DBSubnetGroups"),
    "AWS::S3::Bucket": _by_name("s3", "get_bucket_location", "Bucket"),
    "AWS::SNS::Topic": _by_name("sns", "get_topic_attributes", "TopicArn"),
    "AWS::SNS::Subscription": _by_name("sns", "get_subscription_attributes", "SubscriptionArn"),
    "AWS::SQS::Queue": _by_name("sqs", "get_queue_attributes", "QueueUrl"),
    "AWS::SSM::Parameter": _by_name("ssm", "get_parameter", "Name"),
    "AWS::Scheduler::Schedule": Probe(
        service="scheduler", operation="get_schedule", ask=_schedule, found=lambda response: [response]
    ),
    "AWS::Scheduler::ScheduleGroup": _by_name("scheduler", "get_schedule_group", "Name"),
    "AWS::SecretsManager::Secret": _by_name(
        "secretsmanager",
        "describe_secret",
        "SecretId",
        phantom=lambda each: _SECRET if each.get("DeletedDate") else "",
    ),
    "AWS::Synthetics::Canary": _by_name("synthetics", "get_canary", "Name"),
}
"""Resource type of CloudFormation -> how to ask for it by its physical id."""

PARTS: Mapping[str, str] = {
    "AWS::ApplicationAutoScaling::ScalingPolicy": "goes with its scalable target",
    "AWS::CDK::Metadata": "is no resource of any service",
    "AWS::EC2::Route": "goes with its route table",
    "AWS::EC2::SecurityGroupEgress": "goes with its security group",
    "AWS::EC2::SecurityGroupIngress": "goes with its security group",
    "AWS::EC2::SubnetRouteTableAssociation": "goes with its route table",
    "AWS::EC2::VPCGatewayAttachment": "goes with its internet gateway",
    "AWS::ECS::ClusterCapacityProviderAssociations": "goes with its cluster",
    "AWS::IAM::Policy": "goes with its role",
    "AWS::Lambda::Permission": "goes with its function",
    "AWS::S3::BucketPolicy": "goes with its bucket",
    "AWS::SNS::TopicPolicy": "goes with its topic",
    "AWS::SQS::QueuePolicy": "goes with its queue",
    "AWS::SecretsManager::RotationSchedule": "goes with its secret",
    "AWS::SecretsManager::SecretTargetAttachment": "goes with its secret",
}
"""Types that cannot outlive another one, which is asked for."""


def look_up(clients: Clients, kind: str, name: str, logical_id: str = "") -> Resource:
    """Return how one resource of the stack stands now."""
    standing, why = _standing(clients, kind, name)
    return Resource(kind=kind, name=name or kind, logical_id=logical_id, source="stack", standing=standing, why=why)


def _standing(clients: Clients, kind: str, name: str) -> tuple[Standing, str]:
    if kind in PARTS:
        return "gone", PARTS[kind]
    if not name:
        return "gone", "it was never made"
    probe = PROBES.get(kind)
    if probe is None:
        return "unknown", "no probe asks for this type; look yourself, and add one to readiness/inventory.py"
    return probe.standing(clients, name)
