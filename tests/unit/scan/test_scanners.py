"""The scanners as they are: what they find in a template full of planted faults, and what they say of a clean one.

This is the one file of these tests that starts scanners; it takes some seconds.
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from readiness.model import ControlFamily, Judgement, Severity
from readiness.scan import CFN_LINT, CHECKOV, CLOUDFORMATION_VALIDATE, SECURITY, find_templates, scan
from readiness.scan.findings import coverage, judge_security
from readiness.scan.observed import Scan

TEMPLATES = Path(__file__).parents[2] / "data" / "templates"
FAMILIES = (ControlFamily.IAM, ControlFamily.SECRETS, ControlFamily.ENCRYPTION, ControlFamily.NETWORK)

with (TEMPLATES / "planted.csv").open(encoding="utf-8") as rows:
    PLANTED = [(row["rule"], row["subject"]) for row in csv.DictReader(rows)]


@pytest.fixture(scope="module")
def planted() -> Scan:
    return scan([TEMPLATES / "planted.yaml"], "eu-west-1")


@pytest.fixture(scope="module")
def clean() -> Scan:
    return scan(find_templates([TEMPLATES / "clean.template.json"]), "eu-west-1")


def judged(seen: Scan) -> Judgement:
    return judge_security(seen, (CFN_LINT, *SECURITY), FAMILIES)


@pytest.mark.parametrize(("rule", "subject"), PLANTED)
def test_a_planted_fault_is_found(planted: Scan, rule: str, subject: str):
    assert any(rule in each.sources and each.subject == subject for each in judged(planted).findings)


def test_the_faults_lie_in_every_control_that_must_be_examined():
    assert len(PLANTED) >= 60


def test_a_clean_template_has_no_finding_above_low_and_no_gap(clean: Scan):
    judgement = judged(clean)

    assert [(each.rule, each.subject) for each in judgement.findings if each.severity.rank < Severity.LOW.rank] == []
    assert judgement.gaps == ()


def test_each_required_family_was_examined_in_both(planted: Scan, clean: Scan):
    for seen in (planted, clean):
        covered = {each.family: each for each in coverage(seen)}

        assert all(covered[family].examined > 0 for family in FAMILIES)
        assert all(each.passed + each.failed + each.skipped == each.examined for each in covered.values())


def test_several_scanners_that_see_one_fault_make_one_finding(planted: Scan):
    ssh = [each for each in judged(planted).findings if each.subject == "Ssh" and each.family is ControlFamily.NETWORK]

    assert [each.sources for each in ssh] == [
        (
            "readiness/open-ingress",
            "checkov/CKV_AWS_24",
            "control-tower/CT.EC2.PR.3",
            "control-tower/CT.EC2.PR.4",
            "cloudformation-validate/W2508",
        )
    ]


@pytest.mark.parametrize(
    ("rule", "subject"), [("checkov/CKV_AWS_27", "OpenQueue"), ("checkov/CKV_AWS_33", "ConfinedKey")]
)
def test_what_checkov_gets_wrong_is_corrected_with_a_reason(planted: Scan, rule: str, subject: str):
    results = [each for run in planted.runs for each in run.results if (each.rule, each.part) == (rule, subject)]

    assert [str(each.result) for each in results] == ["passed"]
    assert "checkov" in results[0].detail


@pytest.mark.parametrize(
    ("rule", "subject"),
    [("checkov/CKV_AWS_26", "SkippedTopic"), ("readiness/container-without-logs", "SkippedTask")],
)
def test_what_a_template_skips_by_itself_is_a_finding(planted: Scan, rule: str, subject: str):
    (finding,) = [each for each in judged(planted).findings if (each.rule, each.subject) == (rule, subject)]

    assert "waiver register" in finding.message


def test_no_finding_repeats_a_planted_secret(planted: Scan):
    assert b"planted-not-real" not in TypeAdapter(Scan).dump_json(planted)


def test_a_scan_survives_the_evidence_unchanged(planted: Scan):
    adapter = TypeAdapter(Scan)
    again = adapter.validate_json(adapter.dump_json(planted))

    assert again == planted
    assert judged(again) == judged(planted)


def test_each_run_names_its_scanner_version_and_rules(clean: Scan):
    assert [(run.scanner, bool(run.version), run.rules_loaded > 100) for run in clean.runs] == [
        (CFN_LINT, True, True),
        (CHECKOV, True, True),
        (CLOUDFORMATION_VALIDATE, True, True),
    ]
