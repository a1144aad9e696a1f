"""The clone is temporary: tagged, destroyable, and made of nothing that outlives its stack."""

from __future__ import annotations

import json
import re
from datetime import datetime

import pytest
from aws_cdk import CfnResource, TagManager

from readiness import contract
from readiness.inventory import PARTS, PROBES
from tests.templates.conftest import EXPIRES_AT, RUN_ID, Synthesized

UNTAGGABLE = {
    "AWS::ApplicationAutoScaling::ScalableTarget",
    "AWS::ApplicationAutoScaling::ScalingPolicy",
    "AWS::CloudWatch::Dashboard",
    "AWS::EC2::Route",
    "AWS::EC2::SecurityGroupEgress",
    "AWS::EC2::SecurityGroupIngress",
    "AWS::EC2::SubnetRouteTableAssociation",
    "AWS::EC2::VPCGatewayAttachment",
    "AWS::IAM::Policy",
    "AWS::Lambda::Permission",
    "AWS::S3::BucketPolicy",
    "AWS::SNS::Subscription",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}
"""Types that CloudFormation can't tag, each seen to be so."""

NAMES = {
    "AlarmName", "BucketName", "CacheSubnetGroupName", "ClusterName", "DBClusterIdentifier", "DBSubnetGroupName",
    "DashboardName", "FunctionName", "GroupName", "LoadBalancerName", "LogGroupName", "Name", "QueueName",
    "ReplicationGroupId", "RoleName", "ServiceName", "TopicName",
}  # fmt: skip


def test_everything_that_can_be_tagged_names_the_run_its_owner_and_its_expiry(any_plan: Synthesized) -> None:
    owner = next(iter(any_plan.plan.owners.values())).name
    expected = {
        contract.TAG_RUN_ID: RUN_ID,
        contract.TAG_OWNER: owner,
        contract.TAG_EXPIRES_AT: EXPIRES_AT,
    }
    taggable = [node for node in any_plan.stack.node.find_all() if TagManager.is_taggable(node)]
    kinds = {node.cfn_resource_type for node in taggable if isinstance(node, CfnResource)}
    assert not kinds & UNTAGGABLE
    for name, resource in any_plan.document["Resources"].items():
        if resource["Type"] in UNTAGGABLE:
            continue
        given = resource["Properties"]["Tags"]
        tags = given if isinstance(given, dict) else {tag["Key"]: tag["Value"] for tag in given}
        assert tags.items() >= expected.items(), name


def test_tasks_inherit_the_tags(any_plan: Synthesized) -> None:
    (service,) = any_plan.of_type("AWS::ECS::Service").values()
    assert service["PropagateTags"] == "SERVICE"


def test_everything_goes_with_the_stack(any_plan: Synthesized) -> None:
    for name, resource in any_plan.document["Resources"].items():
        assert resource["DeletionPolicy"] == "Delete", name
        assert resource["UpdateReplacePolicy"] == "Delete", name


def test_nothing_is_protected_from_deletion(any_plan: Synthesized) -> None:
    for cluster in any_plan.of_type("AWS::RDS::DBCluster").values():
        assert cluster["DeletionProtection"] is False
    for balancer in any_plan.of_type("AWS::ElasticLoadBalancingV2::LoadBalancer").values():
        assert {"Key": "deletion_protection.enabled", "Value": "false"} in balancer["LoadBalancerAttributes"]


def test_there_is_no_custom_resource_no_transform_and_no_function_but_the_fault_and_the_probe(
    any_plan: Synthesized,
) -> None:
    kinds = {resource["Type"] for resource in any_plan.document["Resources"].values()}
    assert not {kind for kind in kinds if not kind.startswith("AWS::")}
    assert not kinds & {"AWS::CloudFormation::CustomResource", "AWS::Serverless::Application"}
    assert "Transform" not in any_plan.document
    assert len(any_plan.of_type("AWS::Lambda::Function")) == 1


def test_every_log_group_forgets_within_a_week(any_plan: Synthesized) -> None:
    groups = any_plan.of_type("AWS::Logs::LogGroup")
    assert len(groups) >= 3
    assert all(group["RetentionInDays"] <= 7 for group in groups.values())


def test_nothing_that_writes_logs_makes_its_own_log_group(any_plan: Synthesized) -> None:
    permitted = json.dumps([any_plan.of_type("AWS::IAM::Policy"), any_plan.of_type("AWS::IAM::Role")])
    assert "logs:CreateLogGroup" not in permitted
    assert "AWSLambdaBasicExecutionRole" not in permitted
    (function,) = any_plan.of_type("AWS::Lambda::Function").values()
    assert "Ref" in function["LoggingConfig"]["LogGroup"]
    for cluster in any_plan.of_type("AWS::RDS::DBCluster").values():
        assert "EnableCloudwatchLogsExports" not in cluster


def test_nothing_is_named_by_hand_so_that_clones_live_side_by_side(any_plan: Synthesized) -> None:
    for name, resource in any_plan.document["Resources"].items():
        literal = {key for key in NAMES & resource["Properties"].keys() if isinstance(resource["Properties"][key], str)}
        if resource["Type"] == "AWS::Synthetics::Canary":
            assert RUN_ID in resource["Properties"]["Name"], "a canary must be named, so the run id has to be in it"
            literal.remove("Name")
        assert not literal, name
    for definition in any_plan.of_type("AWS::ECS::TaskDefinition").values():
        assert {"Ref": "AWS::StackName"} in definition["Family"]["Fn::Join"][1]


def test_no_account_and_no_region_is_written_down(any_plan: Synthesized) -> None:
    # The ARN of a secret or certificate is the plan's own word; nothing else may know an account.
    text = any_plan.path.read_text(encoding="utf-8").replace(any_plan.plan.service.certificate_arn or "\0", "")
    assert not re.search(r"(?<![0-9a-f])\d{12}(?![0-9a-f])", text)
    assert any_plan.plan.aws.region not in text.replace("eu-west-1a", "").replace("eu-west-1b", "")


def test_the_reaper_deletes_this_stack_at_its_expiry_and_may_do_nothing_else(default: Synthesized) -> None:
    (schedule,) = default.of_type("AWS::Scheduler::Schedule").values()
    at = datetime.fromisoformat(EXPIRES_AT)
    assert schedule["ScheduleExpression"] == f"at({at:%Y-%m-%dT%H:%M:%S})"
    assert schedule["ScheduleExpressionTimezone"] == "UTC"
    assert schedule["FlexibleTimeWindow"] == {"Mode": "OFF"}
    target = schedule["Target"]
    assert target["Arn"]["Fn::Join"][1][-1] == ":scheduler:::aws-sdk:cloudformation:deleteStack"
    before, stack, after = target["Input"]["Fn::Join"][1]
    assert json.loads(f"{before}name{after}") == {"StackName": "name"}
    assert stack == {"Ref": "AWS::StackName"}
    role = target["RoleArn"]["Fn::GetAtt"][0]
    policies = [p for p in default.of_type("AWS::IAM::Policy").values() if {"Ref": role} in p["Roles"]]
    (statement,) = (statement for policy in policies for statement in policy["PolicyDocument"]["Statement"])
    assert statement == {
        "Action": "cloudformation:DeleteStack",
        "Effect": "Allow",
        "Resource": {"Ref": "AWS::StackId"},
    }


@pytest.mark.parametrize("key", sorted(value for name, value in vars(contract.Output).items() if name.isupper()))
def test_every_output_of_the_contract_is_there(any_plan: Synthesized, key: str) -> None:
    assert any_plan.document["Outputs"][key]["Value"]


def test_there_is_no_output_that_the_contract_does_not_name(any_plan: Synthesized) -> None:
    named = {value for name, value in vars(contract.Output).items() if name.isupper()}
    assert set(any_plan.document["Outputs"]) == named


def test_every_type_of_every_plan_can_be_asked_for_after_the_teardown(any_plan: Synthesized) -> None:
    """A type that nobody asks for would keep the gate `leftovers` inconclusive in every run."""
    kinds = {resource["Type"] for resource in any_plan.document["Resources"].values()}

    assert kinds
    assert kinds - set(PROBES) - set(PARTS) == set()
