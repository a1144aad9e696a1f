"""CDK's validation report in a cloud assembly, and what cdk-nag advises in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from readiness import contract
from readiness.model import Severity
from readiness.scan import SECURITY, cdk_report, scan
from readiness.scan.child import Order
from readiness.scan.findings import gaps
from readiness.scan.observed import CDK, ScannerRun

QUEUE = {"Type": "AWS::SQS::Queue", "Metadata": {"aws:cdk:path": "Stack/Queue/Resource"}}


def violation(rule: str, *paths: str, severity: str = "warning") -> dict[str, Any]:
    return {
        "ruleName": rule,
        "description": f"{rule} is broken.",
        "severity": severity,
        "violatingConstructs": [{"constructPath": path} for path in paths],
    }


def advice(*violations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"pluginName": contract.ADVICE, "conclusion": "success", "violations": list(violations), **more}


def assembly(folder: Path, *reports: dict[str, Any], **stacks: dict[str, Any]) -> dict[str, str]:
    (folder / "cdk.out").touch()
    (folder / "validation-report.json").write_text(json.dumps({"pluginReports": list(reports)}))
    files = {}
    for name, resources in (stacks or {"Stack": {"Queue": QUEUE}}).items():
        file = folder / f"{name}.template.json"
        file.write_text(json.dumps({"Resources": resources}))
        files[name] = str(file)
    return files


def read(templates: dict[str, str]) -> ScannerRun:
    return cdk_report.scan(Order(templates=templates, region="eu-west-1"))


def test_advice_is_a_finding_for_information_on_the_resource(tmp_path: Path):
    run = read(assembly(tmp_path, advice(violation("AwsSolutions-SQS3", "Stack/Queue/Resource"))))

    (result,), (rule,) = run.results, run.rules
    assert (result.rule, result.part, result.result) == ("cdk-nag/AwsSolutions-SQS3", "Queue", "failed")
    assert rule.severity is Severity.INFO
    assert rule.same_fault == ("control-tower/CT.SQS.PR.1",)
    assert run.templates == ("Stack",)
    assert run.errors == ()


def test_what_a_rule_finds_several_times_is_told_beside_the_rule(tmp_path: Path):
    run = read(assembly(tmp_path, advice(violation("AwsSolutions-IAM5[Resource::*]", "Stack/Queue/Resource"))))

    assert [(each.rule, each.detail) for each in run.results] == [("cdk-nag/AwsSolutions-IAM5", "Resource::*")]


def test_a_construct_is_told_of_its_own_template_only(tmp_path: Path):
    other = {"Topic": {"Type": "AWS::SNS::Topic", "Metadata": {"aws:cdk:path": "Other/Topic/Resource"}}}
    templates = assembly(
        tmp_path, advice(violation("AwsSolutions-SQS3", "Stack/Queue/Resource")), Stack={"Queue": QUEUE}, Other=other
    )

    assert [(each.template, each.part) for each in read(templates).results] == [("Stack", "Queue")]


def test_a_resource_that_was_read_from_a_template_is_known_by_its_logical_id(tmp_path: Path):
    plain = {"Queue": {"Type": "AWS::SQS::Queue"}}
    templates = assembly(tmp_path, advice(violation("AwsSolutions-SQS3", "Stack/Template/Queue")), Stack=plain)

    assert [each.part for each in read(templates).results] == ["Queue"]


def test_what_cdk_itself_says_keeps_its_severity(tmp_path: Path):
    own = {"pluginName": "Construct Annotations", "violations": [violation("odd", "Stack", severity="error")]}

    run = read(assembly(tmp_path, advice(), own))

    assert [(each.id, each.severity) for each in run.rules] == [("cdk/odd", Severity.HIGH)]


def test_what_cdk_asks_the_same_engine_is_the_same_fault(tmp_path: Path):
    own = {"pluginName": "CloudFormation Validate", "violations": [violation("W2508", "Stack/Queue/Resource")]}

    (rule,) = read(assembly(tmp_path, advice(), own)).rules

    assert rule.same_fault == ("cloudformation-validate/W2508",)


@pytest.mark.parametrize(
    ("reports", "why"),
    [
        ([], "cdk-nag was not asked"),
        ([{"pluginName": "another", "violations": []}], "cdk-nag was not asked"),
        ([advice(metadata={"error": "the plugin failed"})], "the plugin failed"),
        ([{"violations": []}], "cannot be read"),
        (["text"], "cannot be read"),
    ],
)
def test_advice_that_was_not_given_is_an_error_and_not_silence(tmp_path: Path, reports: list[Any], why: str):
    run = read(assembly(tmp_path, *reports))

    assert any(why in error for error in run.errors)
    assert run.templates == ()


def test_a_report_that_is_missing_is_an_error(tmp_path: Path):
    templates = assembly(tmp_path)
    (tmp_path / "validation-report.json").unlink()

    assert "cannot be read" in read(templates).errors[0]


def test_a_template_outside_of_an_assembly_has_no_report_and_that_is_no_gap(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("Resources: {Queue: {Type: AWS::SQS::Queue}}")

    alone = scan([tmp_path / "own.yaml"], "eu-west-1", [CDK])

    assert alone.runs == ()
    assert [gap.what for gap in gaps(alone, [CDK], ())] == []
    assert [gap.what for gap in gaps(alone, SECURITY, ())] == ["checkov", "cloudformation-validate"]


def test_a_template_of_an_assembly_whose_report_nobody_read_is_a_gap(tmp_path: Path):
    assembly(tmp_path, advice())

    seen = scan([tmp_path / "Stack.template.json"], "eu-west-1", [])

    assert [gap.what for gap in gaps(seen, [CDK], ())] == [CDK]
