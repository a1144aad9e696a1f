"""Our own checks, one by one, on parts of templates: what each sees, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from readiness.scan.catalogue import catalogue, classified
from readiness.scan.own_check import OwnCheck, all_checks
from readiness.scan.template import OUTPUTS, PARAMETERS, Part, Template

CHECKS = {check.id: check for check in all_checks()}
CDK = {"Fn::GetAtt": ["Other", "Arn"]}


def faults(check: str, kind: str, body: dict[str, Any], **sections: Any) -> list[str]:
    section = kind if kind in (OUTPUTS, PARAMETERS) else "Resources"
    whole = body if kind in (OUTPUTS, PARAMETERS) else {"Type": kind, "Properties": body}
    merged = {section: {"It": whole}}
    for name, more in sections.items():
        merged[name] = {**merged.get(name, {}), **more}
    template = Template(name="t", path=Path("t"), digest="", body=merged)
    return list(CHECKS[check].faults(Part(kind=kind, name="It", body=whole, template=template)))


def container(**more: Any) -> dict[str, Any]:
    return {"ContainerDefinitions": [{"Name": "web", "Image": "a:1", **more}]}


def allow(**more: Any) -> dict[str, Any]:
    return {"Statement": [{"Effect": "Allow", **more}]}


TASK, ROLE, GROUP = "AWS::ECS::TaskDefinition", "AWS::IAM::Role", "AWS::EC2::SecurityGroup"
ANYBODY = {"AssumeRolePolicyDocument": allow(Principal="*", Action="sts:AssumeRole")}
CONFINED = {"StringEquals": {"aws:PrincipalOrgID": "o-1"}}


@pytest.mark.parametrize(
    ("check", "kind", "body"),
    [
        ("unpinned-image", TASK, container(Image="registry:5000/web")),
        ("unpinned-image", TASK, container(Image={"Fn::Sub": "${AWS::AccountId}.dkr.ecr/web:latest"})),
        ("unpinned-image", "AWS::Lambda::Function", {"Code": {"ImageUri": "web"}}),
        ("secret-in-environment", TASK, container(Environment=[{"Name": "TOKEN", "Value": {"Fn::Sub": "abc"}}])),
        ("secret-in-environment", TASK, container(Environment=[{"Name": "URL", "Value": "redis://u:secret@host"}])),
        ("literal-password", "AWS::ElastiCache::User", {"Passwords": [CDK, "x"]}),
        ("literal-password", "AWS::AmazonMQ::Broker", {"Users": [{"Password": "x"}]}),
        ("password-in-ssm-string", "AWS::SSM::Parameter", {"Type": "String", "Name": "/a/api-key", "Value": "x"}),
        ("secret-in-output", OUTPUTS, {"Value": "{{resolve:secretsmanager:a}}"}),
        ("wildcard-principal", ROLE, ANYBODY),
        ("wildcard-principal", ROLE, {"AssumeRolePolicyDocument": allow(Principal={"AWS": ["*"]})}),
        ("wildcard-principal", ROLE, {"AssumeRolePolicyDocument": allow(NotPrincipal={"AWS": "1"})}),
        (
            "wildcard-principal",
            ROLE,
            {
                "AssumeRolePolicyDocument": allow(
                    Principal="*", Condition={"StringNotEquals": {"aws:PrincipalOrgID": "o"}}
                )
            },
        ),
        (
            "wildcard-principal",
            "AWS::Logs::ResourcePolicy",
            {"PolicyDocument": '{"Statement": {"Effect": "Allow", "Principal": "*"}}'},
        ),
        ("full-admin", ROLE, {"Policies": [{"PolicyDocument": allow(Action=["s3:Get*", "*"], Resource=["*"])}]}),
        (
            "full-admin",
            ROLE,
            {"ManagedPolicyArns": [{"Fn::Sub": "arn:${AWS::Partition}:iam::aws:policy/PowerUserAccess"}]},
        ),
        ("wildcard-action", "AWS::IAM::ManagedPolicy", {"PolicyDocument": allow(Action="*", Resource=CDK)}),
        ("open-ingress", GROUP, {"SecurityGroupIngress": [{"CidrIp": "0.0.0.0/0", "IpProtocol": -1}]}),
        (
            "open-ingress",
            GROUP,
            {"SecurityGroupIngress": [{"CidrIpv6": "::/0", "IpProtocol": "tcp", "FromPort": 80, "ToPort": 443}]},
        ),
        (
            "open-ingress",
            GROUP,
            {
                "SecurityGroupIngress": [
                    {"CidrIp": {"Ref": "Anywhere"}, "IpProtocol": "tcp", "FromPort": 22, "ToPort": 22}
                ]
            },
        ),
        ("privileged-container", TASK, container(LinuxParameters={"Capabilities": {"Add": ["SYS_ADMIN"]}})),
        ("root-container", TASK, container(User="0:0")),
        ("container-without-logs", TASK, container(LogConfiguration={"LogDriver": "none"})),
        (
            "public-task",
            "AWS::Events::Rule",
            {
                "Targets": [
                    {"EcsParameters": {"NetworkConfiguration": {"AwsVpcConfiguration": {"AssignPublicIp": "ENABLED"}}}}
                ]
            },
        ),
    ],
)
def test_a_fault_is_seen_in_each_of_its_forms(check: str, kind: str, body: dict[str, Any]):
    assert len(faults(check, kind, body, Parameters={"Anywhere": {"Default": "0.0.0.0/0"}})) == 1


@pytest.mark.parametrize(
    ("check", "kind", "body"),
    [
        ("unpinned-image", TASK, container(Image={"Ref": "Image"})),
        ("unpinned-image", TASK, container(Image="registry:5000/web@sha256:00")),
        ("unpinned-image", TASK, container(Image={"Fn::Join": ["", [CDK, "/web:1"]]})),
        ("secret-in-environment", TASK, container(Environment=[{"Name": "TOKEN", "Value": CDK}])),
        ("secret-in-environment", TASK, container(Environment=[{"Name": "SECRET_NAME", "Value": "x"}])),
        ("secret-in-environment", TASK, container(Environment={"Fn::If": ["c", [], []]})),
        (
            "literal-password",
            "AWS::RDS::DBCluster",
            {
                "MasterUserPassword": {
                    "Fn::Join": ["", ["{{resolve:secretsmanager:", {"Ref": "S"}, ":SecretString:password::}}"]]
                }
            },
        ),
        ("literal-password", "AWS::RDS::DBCluster", {"ManageMasterUserPassword": True}),
        ("literal-secret-string", "AWS::SecretsManager::Secret", {"GenerateSecretString": {}}),
        ("parameter-shows-secret", PARAMETERS, {"Type": "AWS::SSM::Parameter::Value<String>"}),
        ("secret-in-output", OUTPUTS, {"Value": CDK}),
        ("wildcard-principal", ROLE, {"AssumeRolePolicyDocument": allow(Principal={"AWS": CDK})}),
        ("wildcard-principal", ROLE, {"AssumeRolePolicyDocument": allow(Principal="*", Condition=CONFINED)}),
        ("wildcard-principal", "AWS::KMS::Key", {"KeyPolicy": {"Statement": [{"Effect": "Deny", "Principal": "*"}]}}),
        ("full-admin", ROLE, {"Policies": [{"PolicyDocument": allow(Action="s3:*", Resource=CDK)}]}),
        ("wildcard-action", ROLE, {"Policies": [{"PolicyDocument": allow(Action="s3:Get*", Resource="*")}]}),
        ("open-ingress", GROUP, {"SecurityGroupIngress": [{"CidrIp": "10.0.0.0/8", "IpProtocol": "-1"}]}),
        (
            "open-ingress",
            GROUP,
            {"SecurityGroupIngress": [{"CidrIp": {"Fn::GetAtt": ["Vpc", "CidrBlock"]}, "IpProtocol": "-1"}]},
        ),
        ("open-ingress", GROUP, {}),
        ("public-task", "AWS::ECS::Service", {"NetworkConfiguration": CDK}),
        ("container-without-logs", TASK, container(LogConfiguration={"LogDriver": CDK})),
    ],
)
def test_what_is_no_fault_or_is_decided_elsewhere_is_left_alone(check: str, kind: str, body: dict[str, Any]):
    assert faults(check, kind, body) == []


def test_a_secret_is_rotated_through_its_attachment():
    attached = {
        "Attachment": {
            "Type": "AWS::SecretsManager::SecretTargetAttachment",
            "Properties": {"SecretId": {"Ref": "It"}},
        },
        "Schedule": {
            "Type": "AWS::SecretsManager::RotationSchedule",
            "Properties": {"SecretId": {"Ref": "Attachment"}},
        },
    }

    assert faults("secret-without-rotation", "AWS::SecretsManager::Secret", {}, Resources=attached) == []
    assert faults("secret-without-rotation", "AWS::SecretsManager::Secret", {}) == ["is never rotated"]


@pytest.mark.parametrize("check", all_checks(), ids=lambda check: check.id)
@pytest.mark.parametrize("odd", [None, "text", 7, [], {}, CDK, [CDK], {"Fn::If": ["c", CDK, {"Ref": "AWS::NoValue"}]}])
def test_no_check_fails_on_intrinsics_or_oddities(check: OwnCheck, odd: Any):
    properties = (
        "ContainerDefinitions",
        "Environment",
        "Policies",
        "PolicyDocument",
        "AssumeRolePolicyDocument",
        "KeyPolicy",
        "SecurityGroupIngress",
        "ManagedPolicyArns",
        "SecretString",
        "Value",
        "Type",
        "Code",
        "MasterUserPassword",
        "NetworkConfiguration",
        "Passwords",
        "Users",
    )
    nested = container(Environment=odd, LogConfiguration=odd, LinuxParameters=odd, Image=odd, Privileged=odd, User=odd)
    for kind in check.looks_at:
        for body in (
            dict.fromkeys(properties, odd),
            nested,
            {"PolicyDocument": allow(Action=odd, Resource=odd, Principal=odd, Condition=odd)},
        ):
            assert isinstance(faults(check.id, kind, body), list)


def test_each_check_says_why_it_matters_how_to_mend_it_and_where_to_read_on():
    for check in all_checks():
        assert check.why.endswith(".")
        assert check.mend.endswith(".")
        assert check.link.startswith("https://docs.aws.amazon.com/")


def test_what_a_check_claims_to_see_for_others_is_in_the_catalogue():
    assert {rule for check in all_checks() for rule in check.same_fault} <= set(catalogue())


def test_a_rule_that_nobody_classified_has_no_severity():
    assert classified("checkov/CKV_AWS_99999", "New").severity is None


def test_the_catalogue_is_whole():
    assert len(catalogue()) == 139 + 19


@pytest.mark.parametrize("spelling", [["Key", "SecretAccessKey"], "Key.SecretAccessKey"])
def test_a_secret_in_an_output_is_seen_in_either_spelling_of_getatt(spelling):
    key = {"Key": {"Type": "AWS::IAM::AccessKey"}}

    shown = faults("secret-in-output", OUTPUTS, {"Value": {"Fn::GetAtt": spelling}}, Resources=key)

    assert shown == ["shows the secret access key of Key"]


@pytest.mark.parametrize(("inside", "count"), [([], 1), ([{"IpProtocol": "icmp", "CidrIp": "255.255.255.255/32"}], 0)])
def test_an_egress_rule_that_stands_alone_leaves_the_default_in_place(inside, count):
    alone = {"Type": "AWS::EC2::SecurityGroupEgress", "Properties": {"GroupId": {"Fn::GetAtt": ["It", "GroupId"]}}}

    found = faults("egress-rule-beside-default", GROUP, {"SecurityGroupEgress": inside}, Resources={"Alone": alone})

    assert len(found) == count


def test_a_group_that_says_nothing_of_what_leaves_it_is_left_alone():
    assert faults("egress-rule-beside-default", GROUP, {}) == []


PLAIN = {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize(
    ("statement", "closed"),
    [
        ({"Principal": "*", "Action": "s3:*", "Condition": PLAIN}, True),
        ({"Principal": {"AWS": "*"}, "Action": ["*"], "Condition": PLAIN}, True),
        ({"Principal": "*", "Action": "s3:*", "Condition": {"BoolIfExists": {"AWS:SecureTransport": [False]}}}, True),
        ({"Principal": {"AWS": "arn:aws:iam::111122223333:root"}, "Action": "s3:*", "Condition": PLAIN}, False),
        ({"Principal": "*", "Action": "s3:GetObject", "Condition": PLAIN}, False),
        ({"Principal": "*", "Action": "s3:*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}}, False),
        ({"Principal": "*", "Action": "s3:*"}, False),
    ],
)
def test_only_a_denial_to_everybody_of_everything_keeps_plaintext_out(statement: dict[str, Any], closed: bool):
    policy = {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {"Bucket": {"Ref": "It"}, "PolicyDocument": {"Statement": [{"Effect": "Deny", **statement}]}},
    }

    found = faults("allows-plaintext", "AWS::S3::Bucket", {}, Resources={"Policy": policy})

    assert (found == []) is closed
