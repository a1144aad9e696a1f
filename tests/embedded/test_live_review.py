"""The readers against answers of AWS's own form: resources are made through boto3, and their faults are found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from readiness.live import review
from readiness.scan.findings import findings
from readiness.scan.template import Template
from tests.embedded.parts import Parts, running

ANYBODY = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    state: Path = tmp_path_factory.mktemp("live")
    with running(state) as started:
        yield started


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


class Listing:
    """What CloudFormation would list of a stack with one resource; all else is asked of the embedded AWS."""

    def __init__(self, parts: Parts, kind: str, physical: str) -> None:
        self._parts = parts
        self._listed = {"LogicalResourceId": "Thing", "ResourceType": kind, "PhysicalResourceId": physical}

    def __call__(self, service: str) -> Any:
        return self if service == "cloudformation" else self._parts.clients(service)

    def get_paginator(self, operation: str) -> Any:
        assert operation == "list_stack_resources"
        return self

    def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
        yield {"StackResourceSummaries": [self._listed]}


def found(parts: Parts, kind: str, physical: str) -> set[str]:
    scan = review.look(Listing(parts, kind, physical), "stack").scan
    assert scan.runs[0].errors == ()
    assert scan.templates[0].resources
    return {each.rule.removeprefix("readiness/") for each in findings(scan)}


def test_a_security_group(parts: Parts) -> None:
    ec2 = parts.clients("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="g", Description="g", VpcId=vpc)["GroupId"]
    assert found(parts, "AWS::EC2::SecurityGroup", group) == set()
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}],
    )
    assert found(parts, "AWS::EC2::SecurityGroup", group) == {"open-ingress"}


def test_a_role(parts: Parts) -> None:
    iam = parts.clients("iam")
    trusted = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=document(trusted))
    assert found(parts, "AWS::IAM::Role", "r") == set()
    wide = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    iam.put_role_policy(RoleName="r", PolicyName="wide", PolicyDocument=document(wide))
    assert found(parts, "AWS::IAM::Role", "r") == {"wildcard-action"}
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    arn = iam.create_policy(PolicyName="all", PolicyDocument=document(everything))["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="r", PolicyArn=arn)
    assert found(parts, "AWS::IAM::Role", "r") == {"wildcard-action", "full-admin"}
    anybody = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    iam.update_assume_role_policy(RoleName="r", PolicyDocument=document(anybody))
    assert "wildcard-principal" in found(parts, "AWS::IAM::Role", "r")


def test_a_task_definition(parts: Parts) -> None:
    made = parts.clients("ecs").register_task_definition(
        family="f",
        containerDefinitions=[
            {
                "name": "c",
                "image": "shop@sha256:" + "0" * 64,
                "memory": 128,
                "privileged": True,
                "environment": [{"name": "API_PASSWORD", "value": "hunter2"}],
            }
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    assert found(parts, "AWS::ECS::TaskDefinition", made) == {
        "container-without-logs",
        "privileged-container",
        "root-container",
        "secret-in-environment",
        "writable-container",
    }


def test_topics_and_queues(parts: Parts) -> None:
    topic = parts.clients("sns").create_topic(Name="t", Attributes={"Policy": document(ANYBODY)})["TopicArn"]
    assert found(parts, "AWS::SNS::Topic", topic) == {
        "messages-in-clear",
        "messages-without-tls",
        "wildcard-principal",
    }
    secure = {
        **ANYBODY,
        "Effect": "Deny",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    queue = parts.clients("sqs").create_queue(
        QueueName="q", Attributes={"Policy": document(secure), "SqsManagedSseEnabled": "true"}
    )["QueueUrl"]
    assert found(parts, "AWS::SQS::Queue", queue) == set()


def test_secrets_and_keys(parts: Parts) -> None:
    manager = parts.clients("secretsmanager")
    arn = manager.create_secret(Name="s", SecretString="x")["ARN"]
    assert found(parts, "AWS::SecretsManager::Secret", arn) == {"secret-not-rotated"}
    manager.put_resource_policy(SecretId=arn, ResourcePolicy=document(ANYBODY))
    assert found(parts, "AWS::SecretsManager::Secret", arn) == {"secret-not-rotated", "wildcard-principal"}
    key = parts.clients("kms").create_key(Policy=document(ANYBODY))["KeyMetadata"]["KeyId"]
    assert found(parts, "AWS::KMS::Key", key) == {"wildcard-principal"}


def test_databases_and_caches(parts: Parts) -> None:
    rds = parts.clients("rds")
    for name, encrypted in (("good", True), ("bad", False)):
        rds.create_db_cluster(
            DBClusterIdentifier=name,
            Engine="aurora-postgresql",
            MasterUsername="u",
            MasterUserPassword="password1",
            StorageEncrypted=encrypted,
        )
    assert found(parts, "AWS::RDS::DBCluster", "good") == set()
    assert found(parts, "AWS::RDS::DBCluster", "bad") == {"database-in-clear"}
    parts.clients("elasticache").create_replication_group(
        ReplicationGroupId="cache", ReplicationGroupDescription="c", Engine="redis"
    )
    assert found(parts, "AWS::ElastiCache::ReplicationGroup", "cache") == {"cache-in-clear", "cache-without-tls"}


def test_load_balancers(parts: Parts) -> None:
    ec2, elbv2 = parts.clients("ec2"), parts.clients("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"][:2]]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.1.{number}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for number, zone in enumerate(zones)
    ]
    made = elbv2.create_load_balancer(Name="lb", Subnets=subnets, Scheme="internet-facing")["LoadBalancers"][0]
    arn = made["LoadBalancerArn"]
    assert found(parts, "AWS::ElasticLoadBalancingV2::LoadBalancer", arn) == {"internet-facing-balancer"}
    answer = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}
    listener = elbv2.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=[answer])
    assert found(parts, "AWS::ElasticLoadBalancingV2::Listener", listener["Listeners"][0]["ListenerArn"]) == {
        "listener-without-tls"
    }


def test_what_is_gone_is_told_and_not_clean(parts: Parts) -> None:
    scan = review.look(Listing(parts, "AWS::IAM::Role", "nobody"), "stack").scan
    assert [each.rule for each in findings(scan)] == ["live/drift-iam"]


def test_a_private_subnet_that_somebody_gave_a_way_in(parts: Parts) -> None:
    ec2 = parts.clients("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.1.0.0/16")["Vpc"]["VpcId"]
    tags = [{"ResourceType": "subnet", "Tags": [{"Key": "aws-cdk:subnet-type", "Value": "Private"}]}]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.1.0.0/24", TagSpecifications=tags)["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    assert found(parts, "AWS::EC2::Subnet", subnet) == set()
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
    ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
    assert found(parts, "AWS::EC2::Subnet", subnet) == {"subnet-open-to-internet"}


def test_a_log_group(parts: Parts) -> None:
    logs = parts.clients("logs")
    logs.create_log_group(logGroupName="/l")
    assert found(parts, "AWS::Logs::LogGroup", "/l") == {"logs-kept-for-ever"}
    logs.put_retention_policy(logGroupName="/l", retentionInDays=7)
    assert found(parts, "AWS::Logs::LogGroup", "/l") == set()


def test_what_somebody_added_behind_the_templates_back_is_found(parts: Parts) -> None:
    ec2 = parts.clients("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.2.0.0/16")["Vpc"]["VpcId"]
    group = ec2.create_security_group(GroupName="h", Description="h", VpcId=vpc)["GroupId"]
    body = {"Resources": {"Thing": {"Type": "AWS::EC2::SecurityGroup", "Properties": {"GroupDescription": "h"}}}}
    template = Template(name="t", path=Path("t"), digest="", body=body)

    def drift() -> set[str]:
        seen = review.look(Listing(parts, "AWS::EC2::SecurityGroup", group), "stack", [template])
        return {each.rule for each in findings(seen.scan) if each.rule.startswith("live/")}

    assert drift() == set()
    permission = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "IpRanges": [{"CidrIp": "10.9.0.0/16"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])
    assert drift() == {"live/added-access-network"}
    ec2.delete_security_group(GroupId=group)
    assert drift() == {"live/drift-network"}
