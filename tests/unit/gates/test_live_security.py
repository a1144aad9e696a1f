"""The gate ``live-security``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from readiness import decide
from readiness.gates.live_security import GATE, Settings, judge, observe
from readiness.live import review
from readiness.live.checks import OF_TEMPLATES, live_checks
from readiness.live.readers import READERS
from readiness.live.review import Look
from readiness.model import Clone, ControlFamily, Outcome, Severity
from readiness.scan.own_check import all_checks
from readiness.scan.template import Template
from tests.unit.samples import T0, a_context

GROUP = "sg-1"
CLOSED = {"IpProtocol": "tcp", "FromPort": 8080, "ToPort": 8080, "UserIdGroupPairs": [{"GroupId": "sg-2"}]}
OPEN = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [], "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}


class Account:
    """The few AWS operations that reading a small stack takes; a list of permissions is the group's."""

    def __init__(self, *permissions: dict[str, Any]) -> None:
        self.permissions = list(permissions)
        self.stack = {
            "Group": ("AWS::EC2::SecurityGroup", GROUP),
            "Role": ("AWS::IAM::Role", "role"),
            "Secret": ("AWS::SecretsManager::Secret", "secret"),
            "Database": ("AWS::RDS::DBCluster", "database"),
            "Vpc": ("AWS::EC2::VPC", "vpc-1"),
        }
        self.refused: set[str] = set()

    def __call__(self, service: str) -> Account:
        return self

    def get_paginator(self, operation: str) -> Any:
        pages: dict[str, list[dict[str, Any]]] = {
            "list_stack_resources": [
                {
                    "StackResourceSummaries": [
                        {"LogicalResourceId": name, "ResourceType": kind, "PhysicalResourceId": physical}
                    ]
                }
                for name, (kind, physical) in self.stack.items()
            ],
            "list_role_policies": [{"PolicyNames": ["inline"]}],
            "list_attached_role_policies": [{"AttachedPolicies": [{"PolicyArn": "arn:aws:iam::1:policy/own"}]}],
        }
        found = pages[operation]

        class Paginator:
            def paginate(self, **_: Any) -> Iterator[dict[str, Any]]:
                return iter(found)

        return Paginator()

    def _answer(self, operation: str, answer: dict[str, Any]) -> dict[str, Any]:
        if operation in self.refused:
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, operation)
        return answer

    def describe_security_groups(self, **_: Any) -> dict[str, Any]:
        group = {"IpPermissions": self.permissions, "IpPermissionsEgress": []}
        return self._answer("DescribeSecurityGroups", {"SecurityGroups": [group]})

    def get_role(self, **_: Any) -> dict[str, Any]:
        trusted = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
        return self._answer("GetRole", {"Role": {"AssumeRolePolicyDocument": trusted}})

    def get_role_policy(self, **_: Any) -> dict[str, Any]:
        allowed = {"Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"}]}
        return {"PolicyName": "inline", "PolicyDocument": allowed}

    def get_policy(self, **_: Any) -> dict[str, Any]:
        return {"Policy": {"DefaultVersionId": "v2"}}

    def get_policy_version(self, VersionId: str, **_: Any) -> dict[str, Any]:
        action = "s3:GetObject" if VersionId == "v2" else "*"
        return {"PolicyVersion": {"Document": {"Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]}}}

    def describe_secret(self, **_: Any) -> dict[str, Any]:
        return self._answer("DescribeSecret", {"RotationEnabled": True})

    def get_resource_policy(self, **_: Any) -> dict[str, Any]:
        return {}

    def describe_db_clusters(self, **_: Any) -> dict[str, Any]:
        return {"DBClusters": [{"StorageEncrypted": True}]}


STACK_ID = "arn:aws:cloudformation:eu-west-1:123456789012:stack/shop/1"
TRUST = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}}]}
INLINE = {"Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::b/*"}]}


def deployed(**changes: dict[str, Any]) -> Template:
    """Return the template of the account's stack; *changes* are properties of its resources."""
    properties: dict[str, tuple[str, dict[str, Any]]] = {
        "Group": ("AWS::EC2::SecurityGroup", {"GroupDescription": "g"}),
        "Way": (
            "AWS::EC2::SecurityGroupIngress",
            {
                "GroupId": {"Fn::GetAtt": ["Group", "GroupId"]},
                "IpProtocol": "tcp",
                "FromPort": 8080,
                "ToPort": "8080",
                "SourceSecurityGroupId": "sg-2",
            },
        ),
        "Role": (
            "AWS::IAM::Role",
            {"AssumeRolePolicyDocument": TRUST, "ManagedPolicyArns": ["arn:aws:iam::1:policy/own"]},
        ),
        "Policy": (
            "AWS::IAM::Policy",
            {"PolicyName": "inline", "Roles": [{"Ref": "Role"}], "PolicyDocument": INLINE},
        ),
        "Secret": ("AWS::SecretsManager::Secret", {}),
        "Database": ("AWS::RDS::DBCluster", {"StorageEncrypted": "true", "Engine": "aurora-postgresql"}),
        "Vpc": ("AWS::EC2::VPC", {}),
    }
    resources = {
        name: {
            "Type": kind,
            "Properties": body | changes.get(name, {}),
            "Metadata": {"aws:cdk:path": f"Stack/{name}/Resource"},
        }
        for name, (kind, body) in properties.items()
    }
    return Template(name="t", path=Path("t"), digest="", body={"Resources": resources})


def seen(account: Account, **changes: dict[str, Any]) -> Look:
    return review.look(account, STACK_ID, [deployed(**changes)])


def drift(account: Account, **changes: dict[str, Any]) -> dict[str, str]:
    judgement = judge(seen(account, **changes), Settings())
    return {each.rule: each.message for each in judgement.findings if each.rule.startswith("live/")}


def outcome(observation: Look) -> Outcome:
    judgement = judge(observation, Settings())
    disposed = decide.dispose(judgement.findings, (), date(2026, 1, 1))
    return decide.outcome(judgement, disposed, (Severity.CRITICAL, Severity.HIGH))


def test_a_safe_clone_passes():
    observation = seen(Account(CLOSED))

    assert outcome(observation) is Outcome.PASSED
    assert judge(observation, Settings()).gaps == ()
    assert judge(observation, Settings()).examined >= 6


def test_a_port_that_was_opened_after_the_deployment_fails():
    observation = seen(Account(CLOSED, OPEN))

    first, second = judge(observation, Settings()).findings
    assert (first.rule, first.subject, first.severity) == ("readiness/open-ingress", "Stack/Group", Severity.CRITICAL)
    assert "::/0 may reach tcp 22" in first.message
    assert second.rule == "live/added-access-network"
    assert outcome(observation) is Outcome.FAILED


def test_a_policy_that_became_wider_than_its_template_fails(monkeypatch: pytest.MonkeyPatch):
    account = Account(CLOSED)
    monkeypatch.setattr(account, "get_policy", lambda **_: {"Policy": {"DefaultVersionId": "v1"}})

    assert "readiness/full-admin" in {each.rule for each in judge(seen(account), Settings()).findings}


@pytest.mark.parametrize("operation", ["DescribeSecurityGroups", "GetRole", "DescribeSecret"])
def test_what_aws_refuses_to_tell_is_a_gap_and_no_pass(operation: str):
    account = Account(CLOSED)
    account.refused.add(operation)
    observation = seen(account)

    assert outcome(observation) is Outcome.INCONCLUSIVE
    assert any("could not be read" in gap.why for gap in judge(observation, Settings()).gaps)


@pytest.mark.parametrize("family", ["Group", "Role", "Secret", "Database"])
def test_a_control_of_which_nothing_was_looked_at_is_a_gap(family: str):
    account = Account(CLOSED)
    del account.stack[family]

    assert outcome(seen(account)) is Outcome.INCONCLUSIVE


def test_an_empty_stack_proves_nothing():
    account = Account()
    account.stack.clear()

    assert outcome(seen(account)) is Outcome.INCONCLUSIVE
    assert judge(seen(account), Settings()).examined == 0


def test_a_check_that_crashes_is_a_gap(monkeypatch: pytest.MonkeyPatch):
    def crash(part: Any) -> Any:
        raise ZeroDivisionError(part)

    checks = live_checks()
    broken = type(checks[0])(
        id="broken",
        claim="c",
        severity=Severity.LOW,
        family=ControlFamily.IAM,
        looks_at=("AWS::IAM::Role",),
        faults=crash,
        why="",
        mend="",
    )
    monkeypatch.setattr(review, "live_checks", lambda: (*checks, broken))

    assert outcome(seen(Account(CLOSED))) is Outcome.INCONCLUSIVE


def test_the_gate_reads_the_stack_that_was_deployed_and_the_construct_paths_of_its_template(tmp_path: Path):
    template = tmp_path / "Stack.template.json"
    resources = {"Group": {"Type": "AWS::EC2::SecurityGroup", "Metadata": {"aws:cdk:path": "Stack/Group/Resource"}}}
    template.write_text(json.dumps({"Resources": resources}))
    clone = Clone(run_id="r", stack_name="s", stack_id=STACK_ID, outputs={}, expires_at=T0)
    context = a_context(tmp_path / "run", templates=(template,), clients=Account(OPEN), deployed=clone)

    findings = judge(observe(context, Settings()), Settings()).findings
    assert {finding.subject for finding in findings} == {"Stack/Group"}


def test_no_property_of_a_resource_is_kept_as_evidence():
    account = Account(CLOSED)
    text = str(seen(account))

    assert "s3:GetObject" not in text
    assert "sg-2" not in text


def test_the_checks_of_templates_that_are_asked_exist_and_all_that_is_read_is_asked_about():
    assert set(OF_TEMPLATES) <= {check.id for check in all_checks()}
    ids = [check.rule for check in live_checks()]
    assert len(ids) == len(set(ids))
    asked = {kind for check in live_checks() for kind in check.looks_at}
    assert set(READERS) <= asked


def test_the_gate_is_asked_first_of_the_deployed_clone():
    assert (GATE.id, GATE.stage.value, GATE.order) == ("live-security", "steady", 10)


# --- drift -----------------------------------------------------------------------------------------------------------


def test_what_is_as_its_template_says_has_not_drifted():
    look = seen(Account(CLOSED))

    assert drift(Account(CLOSED)) == {}
    assert look.compared >= 6
    passed = {each.part for run in look.scan.runs for each in run.results if each.rule.startswith("live/")}
    assert passed == {"Group", "Role", "Database"}


@pytest.mark.parametrize(
    ("changes", "rule", "words"),
    [
        ({"Database": {"StorageEncrypted": False}}, "live/drift-encryption", "StorageEncrypted"),
        ({"Role": {"ManagedPolicyArns": []}}, "live/added-access-iam", "policy/own was attached"),
        ({"Role": {"ManagedPolicyArns": ["arn:aws:iam::1:policy/own", "b"]}}, "live/drift-iam", "b is detached"),
        ({"Policy": {"PolicyName": "other"}}, "live/added-access-iam", "policy inline was added"),
        ({"Policy": {"PolicyDocument": {"Statement": []}}}, "live/drift-iam", "has 1 entries instead of 0"),
        (
            {"Policy": {"PolicyDocument": {"Statement": [{"Effect": "Deny", "Action": "s3:GetObject"}]}}},
            "live/drift-iam",
            "Statement[0].Effect",
        ),
        ({"Way": {"FromPort": 80, "ToPort": 80}}, "live/drift-network", "tcp 80-80 from or to sg-2 is gone"),
        ({"Way": {"FromPort": 80, "ToPort": 80}}, "live/added-access-network", "tcp 8080-8080"),
    ],
)
def test_what_differs_is_found(changes: dict[str, Any], rule: str, words: str):
    assert words in drift(Account(CLOSED), **changes)[rule]


def test_what_only_cloudformation_knows_is_counted_and_never_taken_for_equal():
    unknown = {"Database": {"StorageEncrypted": {"Fn::If": ["Encrypted", True, False]}}}
    before, now = seen(Account(CLOSED)), seen(Account(CLOSED), **unknown)

    assert now.not_compared == before.not_compared + 1
    assert now.compared == before.compared - 1
    assert drift(Account(CLOSED), **unknown) == {}


def test_a_rule_whose_peer_nobody_knows_excuses_one_rule_and_no_more():
    peer = {"Way": {"SourceSecurityGroupId": {"Fn::ImportValue": "peer"}}}

    assert drift(Account(CLOSED), **peer) == {}
    assert "live/added-access-network" in drift(Account(CLOSED, CLOSED | {"ToPort": 9000}), **peer)


def test_a_resource_of_the_stack_that_the_account_does_not_have_is_found(monkeypatch: pytest.MonkeyPatch):
    account = Account(CLOSED)

    def gone(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "DBClusterNotFoundFault", "Message": "no"}}, "DescribeDBClusters")

    monkeypatch.setattr(account, "describe_db_clusters", gone)

    assert "the account has not" in drift(account)["live/drift-encryption"]


def test_a_clone_of_which_nothing_could_be_compared_is_a_gap():
    judgement = judge(review.look(Account(CLOSED), STACK_ID), Settings())

    assert [gap.what for gap in judgement.gaps] == ["drift"]


def test_who_may_read_a_secret_is_told(monkeypatch: pytest.MonkeyPatch):
    account = Account(CLOSED)
    policy = {"Statement": [{"Effect": "Allow", "Action": "secretsmanager:Get*", "Resource": "sec*"}]}
    monkeypatch.setattr(account, "get_role_policy", lambda **_: {"PolicyName": "inline", "PolicyDocument": policy})

    assert seen(account).secret_readers == {"Stack/Secret": ("Stack/Role",)}
    assert seen(Account(CLOSED)).secret_readers == {"Stack/Secret": ()}
    assert "secret Stack/Secret may be read by Stack/Role" in judge(seen(account), Settings()).notes


def test_types_that_nobody_reads_back_are_named():
    assert seen(Account(CLOSED)).unread == {"AWS::EC2::VPC": 1}
