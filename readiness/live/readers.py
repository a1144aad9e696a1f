"""Resources as they are in the account, told as a template would spell them: so that one check serves both.

Each reader takes the clients and a physical id, and returns the properties that checks look at, and perhaps parts
beside it (a policy is a resource of its own in a template). What AWS refuses is raised, never left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

Clients = Callable[[str], Any]
Body = dict[str, Any]
Read = dict[str, tuple[str, Body]]
"""Suffix of the logical id ("" = the resource itself) -> type and properties."""
Reader = Callable[[Clients, str], Mapping[str, tuple[str, Body]]]


def _role(clients: Clients, name: str) -> Read:
    iam = clients("iam")
    role = iam.get_role(RoleName=name)["Role"]
    inline = [
        iam.get_role_policy(RoleName=name, PolicyName=policy)
        for page in iam.get_paginator("list_role_policies").paginate(RoleName=name)
        for policy in page["PolicyNames"]
    ]
    attached = [
        policy["PolicyArn"]
        for page in iam.get_paginator("list_attached_role_policies").paginate(RoleName=name)
        for policy in page["AttachedPolicies"]
    ]
    policies = [{"PolicyName": each["PolicyName"], "PolicyDocument": each["PolicyDocument"]} for each in inline]
    policies += [_managed(iam, arn) for arn in attached if ":iam::aws:" not in arn]
    properties = {
        "AssumeRolePolicyDocument": role["AssumeRolePolicyDocument"],
        "Policies": policies,
        "ManagedPolicyArns": attached,
    }
    return {"": ("AWS::IAM::Role", properties)}


def _managed(iam: Any, arn: str) -> Body:
    """Return the version of a customer's own managed policy that is in force."""
    version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
    document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
    return {"PolicyName": arn, "PolicyDocument": document}


def _security_group(clients: Clients, group_id: str) -> Read:
    (group,) = clients("ec2").describe_security_groups(GroupIds=[group_id])["SecurityGroups"]
    return {
        "": (
            "AWS::EC2::SecurityGroup",
            {
                "SecurityGroupIngress": list(_rules(group["IpPermissions"])),
                "SecurityGroupEgress": list(_rules(group["IpPermissionsEgress"])),
            },
        )
    }


def _rules(permissions: list[Body]) -> Iterator[Body]:
    """Yield a rule for each source, or destination, of each permission."""
    for permission in permissions:
        rule: Body = {key: permission[key] for key in ("IpProtocol", "FromPort", "ToPort") if key in permission}
        for each in permission.get("IpRanges", ()):
            yield {**rule, "CidrIp": each["CidrIp"]}
        for each in permission.get("Ipv6Ranges", ()):
            yield {**rule, "CidrIpv6": each["CidrIpv6"]}
        for each in permission.get("UserIdGroupPairs", ()):
            yield {**rule, "SourceSecurityGroupId": each["GroupId"]}
        for each in permission.get("PrefixListIds", ()):
            yield {**rule, "SourcePrefixListId": each["PrefixListId"]}


def _load_balancer(clients: Clients, arn: str) -> Read:
    (balancer,) = clients("elbv2").describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"]
    return {"": ("AWS::ElasticLoadBalancingV2::LoadBalancer", {"Scheme": balancer["Scheme"]})}


def _listener(clients: Clients, arn: str) -> Read:
    (listener,) = clients("elbv2").describe_listeners(ListenerArns=[arn])["Listeners"]
    properties = {key: listener[key] for key in ("Port", "Protocol", "SslPolicy") if key in listener}
    return {"": ("AWS::ElasticLoadBalancingV2::Listener", properties)}


def _task_definition(clients: Clients, arn: str) -> Read:
    definition = clients("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
    containers = [_capitalized(container) for container in definition["containerDefinitions"]]
    return {"": ("AWS::ECS::TaskDefinition", {"ContainerDefinitions": containers})}


_FREE_KEYS = frozenset({"DockerLabels", "Options"})
"""Tables whose keys are the user's own."""


def _capitalized(value: Any) -> Any:
    """Return what ECS tells with the keys that CloudFormation has for it."""
    if isinstance(value, list):
        return [_capitalized(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    named = ((key[:1].upper() + key[1:], each) for key, each in value.items())
    return {key: each if key in _FREE_KEYS else _capitalized(each) for key, each in named}


def _service(clients: Clients, arn: str) -> Read:
    cluster = arn.split("/")[-2]
    (service,) = clients("ecs").describe_services(cluster=cluster, services=[arn])["services"]
    properties = {"NetworkConfiguration": _capitalized(service.get("networkConfiguration", {}))}
    return {"": ("AWS::ECS::Service", properties)}


def _function(clients: Clients, name: str) -> Read:
    settings = clients("lambda").get_function_configuration(FunctionName=name)
    variables = settings.get("Environment", {}).get("Variables", {})
    return {"": ("AWS::Lambda::Function", {"Environment": {"Variables": variables}})}


def _topic(clients: Clients, arn: str) -> Read:
    told = clients("sns").get_topic_attributes(TopicArn=arn)["Attributes"]
    read: Read = {"": ("AWS::SNS::Topic", {"KmsMasterKeyId": told.get("KmsMasterKeyId")})}
    if told.get("Policy"):
        read["Policy"] = ("AWS::SNS::TopicPolicy", {"PolicyDocument": json.loads(told["Policy"])})
    return read


def _queue(clients: Clients, url: str) -> Read:
    told = clients("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})
    properties = {
        "KmsMasterKeyId": told.get("KmsMasterKeyId"),
        "SqsManagedSseEnabled": told.get("SqsManagedSseEnabled") == "true",
    }
    read: Read = {"": ("AWS::SQS::Queue", properties)}
    if told.get("Policy"):
        read["Policy"] = ("AWS::SQS::QueuePolicy", {"PolicyDocument": json.loads(told["Policy"])})
    return read


def _secret(clients: Clients, arn: str) -> Read:
    manager = clients("secretsmanager")
    told = manager.describe_secret(SecretId=arn)
    read: Read = {"": ("AWS::SecretsManager::Secret", {"RotationEnabled": bool(told.get("RotationEnabled"))})}
    policy = manager.get_resource_policy(SecretId=arn).get("ResourcePolicy")
    if policy:
        read["Policy"] = ("AWS::SecretsManager::ResourcePolicy", {"ResourcePolicy": json.loads(policy)})
    return read


def _key(clients: Clients, key_id: str) -> Read:
    policy = clients("kms").get_key_policy(KeyId=key_id, PolicyName="default")["Policy"]
    return {"": ("AWS::KMS::Key", {"KeyPolicy": json.loads(policy)})}


def _db_cluster(clients: Clients, name: str) -> Read:
    (cluster,) = clients("rds").describe_db_clusters(DBClusterIdentifier=name)["DBClusters"]
    return {"": ("AWS::RDS::DBCluster", {"StorageEncrypted": bool(cluster.get("StorageEncrypted"))})}


def _db_instance(clients: Clients, name: str) -> Read:
    (instance,) = clients("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    return {"": ("AWS::RDS::DBInstance", {"PubliclyAccessible": bool(instance.get("PubliclyAccessible"))})}


def _replication_group(clients: Clients, name: str) -> Read:
    (group,) = clients("elasticache").describe_replication_groups(ReplicationGroupId=name)["ReplicationGroups"]
    properties = {
        "AtRestEncryptionEnabled": bool(group.get("AtRestEncryptionEnabled")),
        "TransitEncryptionEnabled": bool(group.get("TransitEncryptionEnabled")),
    }
    return {"": ("AWS::ElastiCache::ReplicationGroup", properties)}


def _subnet(clients: Clients, subnet_id: str) -> Read:
    """Return a subnet with the way that what it sends to the internet takes: ``internet``, ``translated`` or none."""
    ec2 = clients("ec2")
    (subnet,) = ec2.describe_subnets(SubnetIds=[subnet_id])["Subnets"]
    tables = ec2.describe_route_tables(Filters=[{"Name": "association.subnet-id", "Values": [subnet_id]}])[
        "RouteTables"
    ]
    if not tables:  # the VPC's main table serves it
        of_vpc = [{"Name": "vpc-id", "Values": [subnet["VpcId"]]}, {"Name": "association.main", "Values": ["true"]}]
        tables = ec2.describe_route_tables(Filters=of_vpc)["RouteTables"]
    routes = [route for table in tables for route in table["Routes"] if route.get("State", "active") == "active"]
    everywhere = [
        route
        for route in routes
        if route.get("DestinationCidrBlock") == "0.0.0.0/0" or route.get("DestinationIpv6CidrBlock") == "::/0"
    ]
    direct = any(str(route.get("GatewayId", "")).startswith("igw-") for route in everywhere)
    tags = {tag["Key"]: tag["Value"] for tag in subnet.get("Tags", ())}
    return {
        "": (
            "AWS::EC2::Subnet",
            {
                "CidrBlock": subnet["CidrBlock"],
                "MapPublicIpOnLaunch": bool(subnet.get("MapPublicIpOnLaunch")),
                "Tier": tags.get("aws-cdk:subnet-type", ""),
                "WayOut": "internet" if direct else "translated" if everywhere else "",
            },
        )
    }


def _log_group(clients: Clients, name: str) -> Read:
    pages = clients("logs").get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    (group,) = [each for page in pages for each in page["logGroups"] if each["logGroupName"] == name]
    told = {"RetentionInDays": group.get("retentionInDays"), "KmsKeyId": group.get("kmsKeyId")}
    return {"": ("AWS::Logs::LogGroup", {key: value for key, value in told.items() if value is not None})}


READERS: Mapping[str, Reader] = {
    "AWS::EC2::SecurityGroup": _security_group,
    "AWS::EC2::Subnet": _subnet,
    "AWS::ECS::Service": _service,
    "AWS::ECS::TaskDefinition": _task_definition,
    "AWS::ElastiCache::ReplicationGroup": _replication_group,
    "AWS::ElasticLoadBalancingV2::Listener": _listener,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _load_balancer,
    "AWS::IAM::Role": _role,
    "AWS::KMS::Key": _key,
    "AWS::Lambda::Function": _function,
    "AWS::Logs::LogGroup": _log_group,
    "AWS::RDS::DBCluster": _db_cluster,
    "AWS::RDS::DBInstance": _db_instance,
    "AWS::SNS::Topic": _topic,
    "AWS::SQS::Queue": _queue,
    "AWS::SecretsManager::Secret": _secret,
}
"""Resource type -> how to read one."""
