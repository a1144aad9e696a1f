"""The IAM policy: what the source and the runbooks call, all of it and nothing else, narrowed where IAM can."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from readiness import inventory, permissions
from readiness.errors import ReadinessError
from readiness.permissions import Call, actions, actions_of, calls_of_runbooks, calls_of_source, policy, shipped

REPOSITORY = Path(__file__).parents[2]
RECORDED = REPOSITORY / "tests" / "data" / "recorded_calls.csv"
AGAIN = "run `python docs/iam/write.py`"


def recorded() -> set[Call]:
    with RECORDED.open(encoding="utf-8", newline="") as file:
        return {Call(row["service"], row["operation"]) for row in csv.DictReader(file)}


def called() -> frozenset[Call]:
    return calls_of_source() | calls_of_runbooks(REPOSITORY / "runbooks")


def test_the_policy_that_ships_is_what_source_and_runbooks_yield():
    assert shipped() == policy(called()), AGAIN
    assert json.loads((REPOSITORY / "docs" / "iam" / "harness-policy.json").read_text()) == shipped(), AGAIN


def test_every_call_that_a_run_was_seen_to_make_is_allowed():
    assert len(recorded()) > 40
    allowed = set(actions(shipped()))
    missing = {call for call in recorded() if not set(actions_of(call)) <= allowed}
    assert not missing


def test_every_call_that_a_run_was_seen_to_make_is_read_out_of_the_source():
    assert recorded() <= called()


def test_nothing_is_allowed_that_nothing_calls():
    needed = {action for call in called() for action in actions_of(call)} | {"sts:AssumeRole"}
    assert set(actions(shipped())) == needed


def test_every_probe_of_the_inventory_may_ask():
    allowed = set(actions(shipped()))
    for probe in inventory.PROBES.values():
        names = permissions._operations(frozenset({probe.service}))
        (call,) = names[probe.operation]
        assert set(actions_of(call)) <= allowed


def test_it_fits_into_one_managed_policy():
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
    assert len(json.dumps(shipped(), separators=(",", ":"))) <= 6144


def test_what_changes_something_is_allowed_on_clones_alone():
    for statement in shipped()["Statement"]:
        changes = [each for each in statement["Action"] if not each.split(":")[1].startswith(permissions._READ)]
        if changes and statement["Resource"] == "*" and "Condition" not in statement:
            assert set(changes) <= set(permissions.UNNARROWED)


def test_no_secret_may_be_read():
    assert not {"secretsmanager:GetSecretValue", "s3:GetObject"} & set(actions(shipped()))


def test_what_a_clones_key_encrypts_may_be_decrypted_for_its_queues_alone():
    """AWS asks whoever receives from an encrypted queue for it; a secret's decryption comes through another service."""
    (statement,) = [each for each in shipped()["Statement"] if "kms:Decrypt" in each["Action"]]

    assert statement["Action"] == ["kms:Decrypt"]
    assert statement["Condition"] == {
        "Null": {"aws:ResourceTag/readiness:run-id": "false"},
        "StringLike": {"kms:ViaService": "sqs.*.amazonaws.com"},
    }


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (Call("cloudwatch", "DescribeAlarms"), ("cloudwatch:DescribeAlarms",)),
        (Call("elbv2", "ModifyRule"), ("elasticloadbalancing:ModifyRule",)),
        (Call("resourcegroupstaggingapi", "GetResources"), ("tag:GetResources",)),
        (Call("service-quotas", "GetServiceQuota"), ("servicequotas:GetServiceQuota",)),
        (Call("s3", "ListObjectVersions"), ("s3:ListBucketVersions",)),
        (Call("ecs", "RunTask"), ("ecs:RunTask", "ecs:TagResource", "iam:PassRole")),
        (Call("sqs", "ReceiveMessage"), ("sqs:ReceiveMessage", "kms:Decrypt")),
        (Call("sts", "GetCallerIdentity"), ()),
    ],
)
def test_an_operation_is_allowed_by_the_action_that_iam_calls_it(call, expected):
    assert actions_of(call) == expected


def test_a_call_that_changes_something_and_is_not_narrowed_is_refused():
    with pytest.raises(ReadinessError, match="ec2:TerminateInstances changes something"):
        policy([Call("ec2", "TerminateInstances")])


def test_a_call_that_reads_a_secret_is_refused():
    with pytest.raises(ReadinessError, match="secretsmanager:GetSecretValue"):
        policy([Call("secretsmanager", "GetSecretValue")])


def source(folder: Path, text: str) -> Path:
    (folder / "module.py").write_text(text)
    return folder


def test_methods_paginators_and_tables_are_found(tmp_path):
    found = calls_of_source(
        source(
            tmp_path,
            'clients("ecs").run_task(a=1)\n'
            'clients("logs").get_paginator("describe_log_groups")\n'
            'Probe(service="ec2", operation="describe_vpcs")\n',
        )
    )

    assert found == {Call("ecs", "RunTask"), Call("logs", "DescribeLogGroups"), Call("ec2", "DescribeVpcs")}


def test_an_operation_of_a_service_that_nobody_asks_for_is_none(tmp_path):
    assert not calls_of_source(source(tmp_path, "thing.run_task()\n"))


def test_an_operation_that_two_services_have_must_be_told_apart(tmp_path):
    text = 'clients("sns")\nclients("sqs")\nx.add_permission()\n'
    with pytest.raises(ReadinessError, match="add_permission is an operation of several services"):
        calls_of_source(source(tmp_path, text))


def test_the_commands_of_a_runbook_are_operations(tmp_path):
    (tmp_path / "teardown.md").write_text("aws rds delete-db-cluster --db-cluster-identifier x\n")  # people follow it
    (tmp_path / "rollback.md").write_text(
        "aws ecs update-service --cluster x\n"
        "aws cloudformation wait stack-delete-complete --stack-name x\n"
        "aws logs tail group\n"
        "ask aws about that, and aws ecs nonsense\n"
    )

    assert calls_of_runbooks(tmp_path) == {
        Call("ecs", "UpdateService"),
        Call("cloudformation", "DescribeStacks"),
        Call("logs", "FilterLogEvents"),
    }


def test_the_trust_of_github_names_one_repository_and_one_environment():
    trust = json.loads((REPOSITORY / "docs" / "iam" / "github-oidc-trust.json").read_text())
    (statement,) = trust["Statement"]
    subject = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert "*" not in subject
    assert subject.startswith("repo:OWNER/REPOSITORY:environment:")
