"""Every resource type that needs no process is made, tagged anew and deleted through its service's own API."""

from __future__ import annotations

import json

import pytest

from readiness.embedded import moto_adapter
from readiness.embedded.clients import Clients
from readiness.embedded.cloudformation import CloudFormation
from readiness.embedded.cloudwatch import CloudWatch
from readiness.embedded.elasticache import ElastiCache
from readiness.embedded.rds import Rds
from readiness.embedded.resources import ENTRIES
from readiness.embedded.settings import EmbeddedSettings

REGION = "eu-west-1"
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}],
}


def get(name, attribute):
    return {"Fn::GetAtt": [name, attribute]}


def ref(name):
    return {"Ref": name}


NETWORK = {
    "Vpc": ("AWS::EC2::VPC", {"CidrBlock": "10.0.0.0/16", "EnableDnsHostnames": "true"}),
    "A": ("AWS::EC2::Subnet", {"VpcId": ref("Vpc"), "CidrBlock": "10.0.0.0/24", "AvailabilityZone": "eu-west-1a"}),
    "B": ("AWS::EC2::Subnet", {"VpcId": ref("Vpc"), "CidrBlock": "10.0.1.0/24", "AvailabilityZone": "eu-west-1b"}),
}
GROUPS = {
    "network": {
        **NETWORK,
        "Gateway": ("AWS::EC2::InternetGateway", {}),
        "Attached": ("AWS::EC2::VPCGatewayAttachment", {"VpcId": ref("Vpc"), "InternetGatewayId": ref("Gateway")}),
        "Table": ("AWS::EC2::RouteTable", {"VpcId": ref("Vpc")}),
        "Link": ("AWS::EC2::SubnetRouteTableAssociation", {"SubnetId": ref("A"), "RouteTableId": ref("Table")}),
        "Address": ("AWS::EC2::EIP", {"Domain": "vpc"}),
        "Nat": ("AWS::EC2::NatGateway", {"SubnetId": ref("A"), "AllocationId": get("Address", "AllocationId")}),
        "Route": (
            "AWS::EC2::Route",
            {"RouteTableId": ref("Table"), "DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": ref("Nat")},
        ),
        "Group": ("AWS::EC2::SecurityGroup", {"GroupDescription": "g", "VpcId": ref("Vpc")}),
        "In": (
            "AWS::EC2::SecurityGroupIngress",
            {
                "GroupId": ref("Group"),
                "IpProtocol": "tcp",
                "FromPort": 80,
                "ToPort": "80",
                "SourceSecurityGroupId": ref("Group"),
            },
        ),
        "Out": (
            "AWS::EC2::SecurityGroupEgress",
            {"GroupId": ref("Group"), "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "CidrIp": "10.0.0.0/8"},
        ),
        "Endpoint": (
            "AWS::EC2::VPCEndpoint",
            {
                "VpcId": ref("Vpc"),
                "ServiceName": "com.amazonaws.eu-west-1.s3",
                "VpcEndpointType": "Gateway",
                "RouteTableIds": [ref("Table")],
            },
        ),
        "Logs": ("AWS::Logs::LogGroup", {"RetentionInDays": 7}),
        "Role": ("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST}),
        "Flow": (
            "AWS::EC2::FlowLog",
            {
                "ResourceId": ref("Vpc"),
                "ResourceType": "VPC",
                "TrafficType": "ALL",
                "LogGroupName": ref("Logs"),
                "DeliverLogsPermissionArn": get("Role", "Arn"),
            },
        ),
    },
    "identity": {
        "Role": ("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST, "Policies": []}),
        "Inline": ("AWS::IAM::Policy", {"PolicyName": "p", "PolicyDocument": ALLOW, "Roles": [ref("Role")]}),
        "Managed": ("AWS::IAM::ManagedPolicy", {"PolicyDocument": ALLOW, "Roles": [ref("Role")]}),
        "Key": ("AWS::KMS::Key", {"EnableKeyRotation": True, "PendingWindowInDays": 7}),
        "Alias": ("AWS::KMS::Alias", {"AliasName": "alias/test", "TargetKeyId": ref("Key")}),
    },
    "messages": {
        "Topic": ("AWS::SNS::Topic", {"DisplayName": "t"}),
        "Queue": ("AWS::SQS::Queue", {"VisibilityTimeout": 45}),
        "Sub": (
            "AWS::SNS::Subscription",
            {"TopicArn": ref("Topic"), "Protocol": "sqs", "Endpoint": get("Queue", "Arn"), "RawMessageDelivery": True},
        ),
        "TopicPolicy": ("AWS::SNS::TopicPolicy", {"Topics": [ref("Topic")], "PolicyDocument": ALLOW}),
        "QueuePolicy": ("AWS::SQS::QueuePolicy", {"Queues": [ref("Queue")], "PolicyDocument": ALLOW}),
        "Parameter": ("AWS::SSM::Parameter", {"Type": "String", "Value": "v"}),
        "Alarm": (
            "AWS::CloudWatch::Alarm",
            {
                "Namespace": "n",
                "MetricName": "m",
                "Statistic": "Sum",
                "Period": "60",
                "EvaluationPeriods": 1,
                "Threshold": 1,
                "ComparisonOperator": "GreaterThanThreshold",
            },
        ),
        "Composite": ("AWS::CloudWatch::CompositeAlarm", {"AlarmRule": {"Fn::Sub": 'ALARM("${Alarm}")'}}),
        "Dashboard": ("AWS::CloudWatch::Dashboard", {"DashboardBody": '{"widgets": []}'}),
        "Meta": ("AWS::CDK::Metadata", {"Analytics": "x"}),
    },
    "data": {
        **NETWORK,
        "Subnets": (
            "AWS::RDS::DBSubnetGroup",
            {"DBSubnetGroupDescription": "d", "SubnetIds": [ref("A"), ref("B")]},
        ),
        "Settings": (
            "AWS::RDS::DBClusterParameterGroup",
            {"Family": "aurora-postgresql16", "Description": "d", "Parameters": {"rds.force_ssl": "1"}},
        ),
        "Cluster": (
            "AWS::RDS::DBCluster",
            {
                "Engine": "aurora-postgresql",
                "EngineVersion": "16.6",
                "MasterUsername": "u",
                "ManageMasterUserPassword": True,
                "ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": "2"},
                "DBSubnetGroupName": ref("Subnets"),
                "DBClusterParameterGroupName": ref("Settings"),
            },
        ),
        "Instance": (
            "AWS::RDS::DBInstance",
            {"DBClusterIdentifier": ref("Cluster"), "DBInstanceClass": "db.serverless", "Engine": "aurora-postgresql"},
        ),
        "Secret": (
            "AWS::SecretsManager::Secret",
            {"GenerateSecretString": {"SecretStringTemplate": '{"username": "u"}', "GenerateStringKey": "password"}},
        ),
        "Attachment": (
            "AWS::SecretsManager::SecretTargetAttachment",
            {"SecretId": ref("Secret"), "TargetId": ref("Cluster"), "TargetType": "AWS::RDS::DBCluster"},
        ),
        "CacheSubnets": ("AWS::ElastiCache::SubnetGroup", {"Description": "d", "SubnetIds": [ref("A")]}),
        "CacheSettings": (
            "AWS::ElastiCache::ParameterGroup",
            {"CacheParameterGroupFamily": "redis7", "Description": "d", "Properties": {"timeout": "60"}},
        ),
        "Cache": (
            "AWS::ElastiCache::ReplicationGroup",
            {
                "ReplicationGroupDescription": "d",
                "CacheNodeType": "cache.t4g.small",
                "Engine": "redis",
                "CacheSubnetGroupName": ref("CacheSubnets"),
                "CacheParameterGroupName": ref("CacheSettings"),
            },
        ),
    },
    "storage": {
        "Bucket": (
            "AWS::S3::Bucket",
            {
                "VersioningConfiguration": {"Status": "Enabled"},
                "LifecycleConfiguration": {
                    "Rules": [{"Id": "r", "Status": "Enabled", "NoncurrentVersionExpiration": {"NoncurrentDays": 30}}]
                },
            },
        ),
        "Policy": ("AWS::S3::BucketPolicy", {"Bucket": ref("Bucket"), "PolicyDocument": ALLOW}),
        "Images": ("AWS::ECR::Repository", {"ImageTagMutability": "IMMUTABLE"}),
    },
    "compute": {
        **NETWORK,
        "Cluster": ("AWS::ECS::Cluster", {}),
        "Providers": (
            "AWS::ECS::ClusterCapacityProviderAssociations",
            {"Cluster": ref("Cluster"), "CapacityProviders": ["FARGATE"], "DefaultCapacityProviderStrategy": []},
        ),
        "Task": (
            "AWS::ECS::TaskDefinition",
            {"Family": "f", "ContainerDefinitions": [{"Name": "c", "Image": "i", "Memory": "64"}]},
        ),
        "Group": ("AWS::Scheduler::ScheduleGroup", {}),
        "Balancer": (
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            {"Scheme": "internal", "Subnets": [ref("A"), ref("B")]},
        ),
        "Targets": (
            "AWS::ElasticLoadBalancingV2::TargetGroup",
            {"VpcId": ref("Vpc"), "Port": 80, "Protocol": "HTTP", "TargetType": "ip"},
        ),
        "Listener": (
            "AWS::ElasticLoadBalancingV2::Listener",
            {
                "LoadBalancerArn": ref("Balancer"),
                "Port": 8080,
                "Protocol": "HTTP",
                "DefaultActions": [{"Type": "forward", "TargetGroupArn": ref("Targets")}],
            },
        ),
        "Rule": (
            "AWS::ElasticLoadBalancingV2::ListenerRule",
            {
                "ListenerArn": ref("Listener"),
                "Priority": 10,
                "Conditions": [{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/x"]}}],
                "Actions": [{"Type": "forward", "TargetGroupArn": ref("Targets")}],
            },
        ),
    },
}
ELSEWHERE = {
    # They need processes, or a service that has some: the stories of tasks and of the CDK CLI make these.
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::ECS::Service",
    "AWS::Lambda::Function",
    "AWS::Lambda::Permission",
    "AWS::Scheduler::Schedule",
}


@pytest.fixture
def engine(tmp_path):
    settings = EmbeddedSettings(state_dir=tmp_path)
    moto_adapter.forget_all()
    moto_adapter.reset_state()
    with moto_adapter.MotoServer(REGION) as server:
        clients = Clients(server.endpoint, REGION)
        made = CloudFormation(settings, clients)
        moto_adapter.replace("cloudwatch", CloudWatch(settings, clients).actions["cloudwatch"])
        for part in (made, ElastiCache(settings), Rds()):
            for service, actions in part.actions.items():
                moto_adapter.override(service, actions)
        made.clients = clients
        yield made
    moto_adapter.forget_all()
    moto_adapter.reset_state()


def _settled(engine, stack_id):
    engine._find(stack_id).operation.join(60)
    stack = engine.clients("cloudformation").describe_stacks(StackName=stack_id)["Stacks"][0]
    events = engine.clients("cloudformation").describe_stack_events(StackName=stack_id)["StackEvents"]
    told = [(e["LogicalResourceId"], e.get("ResourceStatusReason")) for e in events if "FAILED" in e["ResourceStatus"]]
    return stack["StackStatus"], told


@pytest.mark.parametrize("group", GROUPS)
def test_every_type_is_made_tagged_anew_and_deleted(engine, group):
    resources = {
        name: {"Type": kind, "Properties": properties, "DeletionPolicy": "Delete"}
        for name, (kind, properties) in GROUPS[group].items()
    }
    api = engine.clients("cloudformation")
    asked = {"StackName": "s", "TemplateBody": json.dumps({"Resources": resources}), "Capabilities": ["CAPABILITY_IAM"]}
    stack_id = api.create_stack(**asked, Tags=[{"Key": "run", "Value": "1"}, {"Key": "gone", "Value": "x"}])["StackId"]
    assert _settled(engine, stack_id) == ("CREATE_COMPLETE", [])
    api.update_stack(**asked, Tags=[{"Key": "run", "Value": "2"}])
    assert _settled(engine, stack_id) == ("UPDATE_COMPLETE", [])
    before = {name: record.physical_id for name, record in engine._find(stack_id).resources.items()}
    assert all(before.values())
    api.delete_stack(StackName="s")
    assert _settled(engine, stack_id) == ("DELETE_COMPLETE", [])


def test_every_type_has_a_test():
    made = {kind for group in GROUPS.values() for kind, _ in group.values()}
    assert made | ELSEWHERE == set(ENTRIES)


def test_every_type_changes_in_place_only_what_it_knows():
    for entry in ENTRIES.values():
        assert entry.IN_PLACE <= entry.PROPERTIES, entry.TYPE
        assert entry.NAME is None or entry.NAME in entry.PROPERTIES, entry.TYPE
        assert not entry.TAGGED or "Tags" in entry.PROPERTIES, entry.TYPE
        assert not entry.TAGGED or "Tags" in entry.IN_PLACE, entry.TYPE


def test_a_rotation_that_would_never_happen_is_refused_by_name(engine):
    rotation = {"SecretId": "s", "RotationRules": {"AutomaticallyAfterDays": 30}}
    resources = {"Rotation": {"Type": "AWS::SecretsManager::RotationSchedule", "Properties": rotation}}
    api = engine.clients("cloudformation")
    stack_id = api.create_stack(StackName="s", TemplateBody=json.dumps({"Resources": resources}))["StackId"]
    status, told = _settled(engine, stack_id)
    assert status == "ROLLBACK_COMPLETE"
    assert any(name == "Rotation" and "AWS::SecretsManager::RotationSchedule" in reason for name, reason in told)
