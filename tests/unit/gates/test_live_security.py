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
from readiness.gates.live_security import GATE, Observation, Settings, judge, observe
from readiness.live import review
from readiness.live.checks import OF_TEMPLATES, live_checks
from readiness.live.readers import READERS
from readiness.model import Clone, ControlFamily, Outcome, Severity
from readiness.scan.own_check import all_checks
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


def seen(account: Account) -> Observation:
    return Observation(scan=review.look(account, "stack", {"Group": "Stack/Group"}))


def outcome(observation: Observation) -> Outcome:
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

    (finding,) = judge(observation, Settings()).findings
    assert (finding.rule, finding.subject, finding.severity) == (
        "readiness/open-ingress",
        "Stack/Group",
        Severity.CRITICAL,
    )
    assert "::/0 may reach tcp 22" in finding.message
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
    clone = Clone(run_id="r", stack_name="s", stack_id="arn:s", outputs={}, expires_at=T0)
    context = a_context(tmp_path / "run", templates=(template,), clients=Account(OPEN), deployed=clone)

    (finding,) = judge(observe(context, Settings()), Settings()).findings
    assert finding.subject == "Stack/Group"


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
