"""Graph checks: ours and a user's own are asked, and a file that cannot be is never passed over."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from readiness.model import ControlFamily, Severity
from readiness.scan import graph_check, scan
from readiness.scan.findings import findings
from readiness.scan.observed import CheckResult, Scan

PUBLIC = {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Scheme": "internet-facing"}}
INSIDE = {"Type": "AWS::ElasticLoadBalancingV2::LoadBalancer", "Properties": {"Scheme": "internal"}}
SHIELDED = {
    "Type": "AWS::WAFv2::WebACLAssociation",
    "Properties": {"ResourceArn": {"Ref": "Shielded"}, "WebACLArn": "arn:aws:wafv2:eu-west-1:1:regional/webacl/a/b"},
}
GUIDE = (Path(__file__).parents[3] / "docs" / "guide.md").read_text(encoding="utf-8")
OWN = re.search(r"```yaml\n(# security-checks/.*?)```", GUIDE, re.DOTALL)[1]


def scanned(folder: Path, resources: dict[str, Any], *own: Path) -> Scan:
    (folder / "t.template.json").write_text(json.dumps({"Resources": resources}))
    return scan([folder / "t.template.json"], "eu-west-1", ["checkov"], graph_checks=own)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    folder = tmp_path_factory.mktemp("graph")
    (folder / "checks").mkdir()
    (folder / "checks" / "queue-without-alarm.yaml").write_text(OWN)
    (folder / "checks" / "broken.yaml").write_text("metadata: {id: ours/broken, name: n, category: LOGGING}\n")
    resources = {
        "Public": PUBLIC,
        "Inside": INSIDE,
        "Shielded": PUBLIC,
        "Shield": SHIELDED,
        "Queue": {"Type": "AWS::SQS::Queue"},
    }
    return scanned(folder, resources, folder / "checks")


def said(seen: Scan, rule: str) -> dict[str, CheckResult]:
    return {each.part: each.result for run in seen.runs for each in run.results if each.rule == rule}


def test_ours_follow_a_connection_from_one_resource_to_another(both: Scan):
    assert said(both, "readiness/public-balancer-without-firewall") == {
        "Public": CheckResult.FAILED,
        "Inside": CheckResult.PASSED,
        "Shielded": CheckResult.PASSED,
    }


def test_a_users_own_is_asked_with_its_severity_and_control(both: Scan):
    (finding,) = [each for each in findings(both) if each.rule == "ours/queue-without-alarm"]

    assert (finding.subject, finding.severity, finding.family) == ("Queue", Severity.LOW, ControlFamily.LOGGING)


def test_a_file_that_cannot_be_used_is_an_error_beside_the_others(both: Scan):
    assert [error for run in both.runs for error in run.errors] == ["graph check broken.yaml has no definition"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[", "cannot be read"),
        ("just text", "has no metadata.id, metadata.name, metadata.category"),
        (OWN.replace("ours/", ""), "names no source"),
        (OWN.replace("LOW", "AWFUL"), "AWFUL"),
        (OWN.replace("control_family: logging", "control_family: magic"), "magic"),
    ],
)
def test_what_is_no_check_says_why(tmp_path: Path, text: str, why: str):
    (tmp_path / "a.yaml").write_text(text)

    with pytest.raises(graph_check.NotACheckError, match=why):
        graph_check.rule(tmp_path / "a.yaml")


@pytest.mark.parametrize("name", ["none", "empty"])
def test_a_folder_without_a_check_is_an_error(tmp_path: Path, name: str):
    (tmp_path / "empty").mkdir()

    with pytest.raises(graph_check.NotACheckError, match="no folder with graph checks"):
        graph_check.files(tmp_path / name)


@pytest.mark.parametrize("path", graph_check.files(graph_check.OUR_FOLDER), ids=lambda path: path.stem)
def test_each_of_ours_is_named_like_its_file_and_says_all_that_a_finding_tells(path: Path):
    told = graph_check.rule(path)

    assert told.id == f"readiness/{path.stem}"
    assert told.severity
    assert told.family
    assert told.why
    assert told.mend
    assert told.link
