"""cloudformation-validate and the Guard rules that it runs, in this process: what they see, and what they must."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from readiness.scan import cloudformation_validate
from readiness.scan.child import Order
from readiness.scan.observed import CheckResult, Result, ScannerRun


def looked(folder: Path, resources: dict[str, Any], **sections: Any) -> ScannerRun:
    file = folder / "t.template.json"
    file.write_text(json.dumps({"Resources": resources, **sections}))
    return cloudformation_validate.scan(Order(templates={"t": str(file)}, region="eu-west-1"))


def said(run: ScannerRun, rule: str) -> list[tuple[str, CheckResult]]:
    return [(each.part, each.result) for each in run.results if each.rule == rule]


def queue(**more: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", **more}


def test_a_control_says_of_each_resource_that_it_looks_at_whether_it_is_good(tmp_path: Path):
    run = looked(
        tmp_path,
        {
            "Plain": queue(Properties={"SqsManagedSseEnabled": False}),
            "Good": queue(Properties={"SqsManagedSseEnabled": True}),
        },
    )

    assert sorted(said(run, "control-tower/CT.SQS.PR.2")) == [
        ("Good", CheckResult.PASSED),
        ("Plain", CheckResult.FAILED),
    ]
    assert run.templates == ("t",)
    assert run.errors == ()


def test_what_metadata_switches_off_is_seen_all_the_same(tmp_path: Path):
    off = {"cfn-lint": {"config": {"ignore_checks": ["W2508", "W"]}}, "guard": {"SuppressedRules": ["CT.SQS.PR.2"]}}
    group = {
        "Type": "AWS::EC2::SecurityGroup",
        "Properties": {"GroupDescription": "g", "SecurityGroupIngress": [{"IpProtocol": "-1", "CidrIpv6": "::/0"}]},
        "Metadata": off,
    }

    run = looked(tmp_path, {"Group": group}, Metadata=off)

    assert said(run, "cloudformation-validate/W2508") == [("Group", CheckResult.FAILED)]
    assert said(run, "control-tower/CT.EC2.PR.4") == [("Group", CheckResult.FAILED)]


def test_a_parameter_that_shows_a_password_is_told_of_the_parameter(tmp_path: Path):
    run = looked(tmp_path, {"Queue": queue()}, Parameters={"DatabasePassword": {"Type": "String"}})

    assert said(run, "cloudformation-validate/W2509") == [("Parameters.DatabasePassword", CheckResult.FAILED)]


@pytest.mark.parametrize(("default", "result"), [("true", CheckResult.PASSED), ("false", CheckResult.FAILED)])
def test_guard_is_given_the_default_of_a_parameter(tmp_path: Path, default: str, result: CheckResult):
    run = looked(
        tmp_path,
        {"Queue": queue(Properties={"SqsManagedSseEnabled": {"Ref": "Encrypted"}})},
        Parameters={"Encrypted": {"Type": "String", "Default": default}},
    )

    assert said(run, "control-tower/CT.SQS.PR.2") == [("Queue", result)]


def test_a_source_that_is_put_together_is_a_source(tmp_path: Path):
    permission = {
        "Type": "AWS::Lambda::Permission",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": "f",
            "Principal": "sns.amazonaws.com",
            "SourceArn": {"Fn::Sub": "arn:${AWS::Partition}:sns:${AWS::Region}:${AWS::AccountId}:topic"},
        },
    }

    assert said(looked(tmp_path, {"P": permission}), "control-tower/CT.LAMBDA.PR.2") == [("P", CheckResult.PASSED)]


def test_a_false_alarm_passes_with_its_reason(tmp_path: Path):
    task = {
        "Type": "AWS::ECS::TaskDefinition",
        "Properties": {
            "RequiresCompatibilities": ["FARGATE"],
            "Memory": "512",
            "ContainerDefinitions": [{"Name": "c", "Image": "i"}],
        },
    }

    run = looked(tmp_path, {"Task": task})

    (result,) = [each for each in run.results if each.rule == "control-tower/CT.ECS.PR.7"]
    assert result.result is CheckResult.PASSED
    assert "Fargate" in result.detail


def test_an_engine_that_sees_nothing_is_blind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cloudformation_validate, "_PLANT", {"Queue": queue(Properties={"SqsManagedSseEnabled": True})})

    (error,) = looked(tmp_path, {"Queue": queue()}).errors

    assert "did not see" in error


def test_what_it_cannot_read_it_names_and_does_not_count_as_read(tmp_path: Path):
    run = looked(tmp_path, {"Queue": "no resource", "Other": 3})

    assert isinstance(run.results, tuple)
    assert not any(isinstance(each, Result) and each.part == "Queue" for each in run.results)
