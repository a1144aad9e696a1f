"""Results -> findings, gaps and coverage; pure."""

from __future__ import annotations

from dataclasses import replace

from readiness.model import ControlFamily, Severity
from readiness.scan.findings import coverage, findings, fingerprint, gaps, judge_correctness, judge_security
from readiness.scan.observed import CheckResult, Result, Rule, Scan, ScannerRun, TemplateSeen

SEEN = TemplateSeen(
    name="ReadinessStack.template.json",
    digest="sha256:0",
    resources={"Topic1A2B": "AWS::SNS::Topic", "Odd": "Custom::Thing"},
    construct_paths={"Topic1A2B": "ReadinessStack/Topic"},
)
STOCK = Rule(id="checkov/CKV_AWS_26", claim="Encrypted", severity=Severity.CRITICAL, family=ControlFamily.ENCRYPTION)
OWN = Rule(
    id="readiness/plain-topic",
    claim="Not plain",
    severity=Severity.LOW,
    family=ControlFamily.ENCRYPTION,
    mend="Mend it.",
    link="https://example.com",
    same_fault=("checkov/CKV_AWS_26",),
)


def result(rule: str, said: CheckResult, part: str = "Topic1A2B", detail: str = "") -> Result:
    return Result(rule=rule, template=SEEN.name, part=part, result=said, detail=detail)


def seen(*results: Result, rules: tuple[Rule, ...] = (STOCK, OWN), errors: tuple[str, ...] = ()) -> Scan:
    run = ScannerRun(
        scanner="checkov", version="1", templates=(SEEN.name,), rules=rules, results=results, errors=errors
    )
    return Scan(templates=(SEEN,), runs=(run,))


def test_a_failed_check_is_a_finding_on_the_construct():
    (finding,) = findings(seen(result(STOCK.id, CheckResult.FAILED, detail="no key")))

    assert (finding.subject, finding.severity, finding.message) == (
        "ReadinessStack/Topic",
        Severity.CRITICAL,
        "Encrypted: no key",
    )


def test_without_a_construct_path_the_logical_id_is_the_subject():
    (finding,) = findings(seen(result(STOCK.id, CheckResult.FAILED, part="Odd")))

    assert finding.subject == "Odd"


def test_a_passed_check_is_none():
    assert findings(seen(result(STOCK.id, CheckResult.PASSED))) == ()


def test_an_unclassified_rule_is_high_and_says_so():
    rule = replace(STOCK, id="checkov/CKV_NEW", severity=None, family=None)

    (finding,) = findings(seen(result(rule.id, CheckResult.FAILED), rules=(rule,)))

    assert finding.severity is Severity.HIGH
    assert "unclassified" in finding.message


def test_a_rule_that_the_run_does_not_describe_is_high_too():
    (finding,) = findings(seen(result("checkov/CKV_LOST", CheckResult.FAILED), rules=()))

    assert finding.severity is Severity.HIGH


def test_one_fault_seen_by_two_rules_is_one_finding_with_the_worse_severity():
    (finding,) = findings(seen(result(STOCK.id, CheckResult.FAILED), result(OWN.id, CheckResult.FAILED)))

    assert finding.sources == (OWN.id, STOCK.id)
    assert finding.severity is Severity.CRITICAL
    assert finding.help == "Mend it. https://example.com"


def test_a_rule_that_stands_for_another_says_nothing_where_it_found_nothing():
    (finding,) = findings(seen(result(STOCK.id, CheckResult.FAILED), result(OWN.id, CheckResult.PASSED)))

    assert finding.rule == STOCK.id


def test_details_of_one_fault_are_one_finding():
    details = [result("cfn-lint/E1", CheckResult.FAILED, detail=f"at {number}") for number in range(5)]

    (finding,) = findings(seen(*details))

    assert "and 2 more" in finding.message


def test_a_fingerprint_stays_the_same_from_run_to_run():
    first = fingerprint("a/b", "readiness-20260101-000000-aaaa.template.json", "Stack/Topic")

    assert first == fingerprint("a/b", "readiness-20270101-000000-bbbb.template.json", "Stack/Topic")
    assert first != fingerprint("a/b", "other.template.json", "Stack/Topic")
    assert len({first, fingerprint("a/c", "readiness-x", "Stack/Topic"), fingerprint("a/b", "readiness-x", "S")}) == 3


def test_coverage_counts_what_was_said_and_of_how_much():
    said = seen(
        result(STOCK.id, CheckResult.FAILED),
        result(OWN.id, CheckResult.PASSED),
        result(STOCK.id, CheckResult.SKIPPED, part="Odd"),
    )

    covered = {each.family: each for each in coverage(said)}

    one = covered[ControlFamily.ENCRYPTION]
    assert (one.rules, one.resources, one.examined, one.passed, one.failed, one.skipped) == (2, 2, 3, 1, 1, 1)
    assert covered[ControlFamily.IAM].examined == 0
    assert set(covered) == set(ControlFamily)


def test_a_required_family_in_which_nothing_was_examined_is_a_gap():
    said = seen(result(STOCK.id, CheckResult.PASSED))

    assert [gap.what for gap in gaps(said, ["checkov"], [ControlFamily.ENCRYPTION, ControlFamily.IAM])] == [
        "control family iam"
    ]


def test_each_error_of_a_scanner_is_a_gap_also_beside_results():
    said = seen(result(STOCK.id, CheckResult.PASSED), errors=("CKV_AWS_1 crashed on Topic",))

    assert [gap.why for gap in gaps(said, ["checkov"], ())] == ["CKV_AWS_1 crashed on Topic"]


def test_a_scanner_that_was_not_asked_is_a_gap():
    assert [gap.what for gap in gaps(seen(), ["checkov", "cfn-lint"], ())] == ["cfn-lint"]


def test_a_template_without_resources_is_a_gap():
    empty = replace(SEEN, resources={})

    assert gaps(replace(seen(), templates=(empty,)), ["checkov"], ()) != ()


def test_examined_counts_answers_for_security_and_resources_for_correctness():
    said = seen(result(STOCK.id, CheckResult.PASSED), result(OWN.id, CheckResult.FAILED))

    assert judge_security(said, ["checkov"], ()).examined == 2
    assert judge_correctness(said, "checkov").examined == 2
    assert judge_correctness(replace(said, runs=()), "checkov").examined == 0


def test_resources_at_which_no_rule_looked_are_counted():
    values = {
        each.name: each.value
        for each in judge_security(seen(result(OWN.id, CheckResult.PASSED)), ["checkov"], ()).measurements
    }

    assert values["resources.no-rule-looked-at"] == 1
    assert values["encryption.examined"] == 1


ADVICE = Rule(
    id="cdk-nag/AwsSolutions-SNS2",
    claim="Encrypted",
    severity=Severity.INFO,
    family=None,
    same_fault=("control-tower/CT.SNS.PR.1",),
)
CONTROL = Rule(
    id="control-tower/CT.SNS.PR.1",
    claim="Encrypted",
    severity=Severity.MEDIUM,
    family=ControlFamily.ENCRYPTION,
    same_fault=("checkov/CKV_AWS_26",),
)


def test_a_fault_that_four_sources_see_is_told_by_the_one_that_tells_most_of_it():
    rules = (ADVICE, CONTROL, STOCK, OWN)

    (finding,) = findings(seen(*(result(rule.id, CheckResult.FAILED) for rule in rules), rules=rules))

    assert finding.sources == (OWN.id, STOCK.id, CONTROL.id, ADVICE.id)


def test_two_faults_that_a_third_rule_does_not_tell_apart_stay_two():
    other = replace(OWN, id="readiness/other")
    rules = (OWN, other, STOCK)

    found = findings(seen(*(result(rule.id, CheckResult.FAILED) for rule in rules), rules=rules))

    assert [each.sources for each in found] == [(other.id, STOCK.id), (OWN.id, STOCK.id)]


def test_the_same_fault_on_two_parts_is_two_findings():
    found = findings(seen(result(OWN.id, CheckResult.FAILED), result(STOCK.id, CheckResult.FAILED, part="Odd")))

    assert {each.subject for each in found} == {"ReadinessStack/Topic", "Odd"}
