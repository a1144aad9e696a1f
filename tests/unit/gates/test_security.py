"""The gate ``security``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from pydantic import TypeAdapter

from readiness import decide
from readiness.errors import PlanError
from readiness.gates.security import GATE, Observation, Settings, judge
from readiness.model import ControlFamily, Outcome, Severity, Waiver
from readiness.plan import parse
from readiness.scan.observed import CheckResult, Result, Rule, Scan, ScannerRun, TemplateSeen

FAMILIES = (ControlFamily.IAM, ControlFamily.SECRETS, ControlFamily.ENCRYPTION, ControlFamily.NETWORK)
TEMPLATE = TemplateSeen(
    name="Stack.template.json",
    digest="sha256:0",
    resources={"Thing": "AWS::A::B"},
    construct_paths={"Thing": "Stack/Thing"},
)
RULES = tuple(Rule(id=f"checkov/{each}", claim="Good", severity=Severity.CRITICAL, family=each) for each in FAMILIES)
RESULTS = tuple(Result(rule=rule.id, template=TEMPLATE.name, part="Thing", result=CheckResult.PASSED) for rule in RULES)
RUN = ScannerRun(scanner="checkov", version="3", templates=(TEMPLATE.name,), rules=RULES, results=RESULTS)
GUARD = ScannerRun(scanner="cloudformation-validate", version="1", templates=(TEMPLATE.name,))
SEEN = Observation(scan=Scan(templates=(TEMPLATE,), runs=(RUN, GUARD)))
WAIVER = Waiver(
    rule="checkov/iam",
    subject="Stack/*",
    reason="accepted for this test",
    owner="a",
    approver="b",
    created=date(2026, 1, 1),
    expires=date(2026, 3, 1),
)


def having(**changes: object) -> Observation:
    return Observation(scan=replace(SEEN.scan, runs=(replace(RUN, **changes), GUARD)))


def outcome(seen: Observation, *waivers: Waiver, on: date = date(2026, 2, 1)) -> Outcome:
    judgement = judge(seen, Settings())
    return decide.outcome(
        judgement, decide.dispose(judgement.findings, waivers, on), (Severity.CRITICAL, Severity.HIGH)
    )


def with_iam(said: CheckResult) -> Observation:
    return having(results=(replace(RESULTS[0], result=said), *RESULTS[1:]))


def test_a_template_in_which_every_family_was_examined_and_is_good_passes():
    assert outcome(SEEN) is Outcome.PASSED


def test_an_open_critical_finding_fails():
    assert outcome(with_iam(CheckResult.FAILED)) is Outcome.FAILED


def test_a_waiver_in_force_disposes_of_it_and_an_expired_one_does_not():
    assert outcome(with_iam(CheckResult.FAILED), WAIVER) is Outcome.PASSED
    assert outcome(with_iam(CheckResult.FAILED), WAIVER, on=date(2026, 3, 2)) is Outcome.FAILED


def test_an_inline_skip_counts_only_with_a_twin_in_the_register():
    assert outcome(with_iam(CheckResult.SKIPPED)) is Outcome.FAILED
    assert outcome(with_iam(CheckResult.SKIPPED), WAIVER) is Outcome.PASSED


@pytest.mark.parametrize(
    "seen",
    [
        Observation(scan=Scan(templates=())),
        Observation(scan=Scan(templates=(TEMPLATE,))),
        Observation(scan=replace(SEEN.scan, unread={"b.yaml": "has no table `Resources`"})),
        having(errors=("crashed",)),
        having(results=(), rules=(), templates=()),
        having(results=RESULTS[1:]),
        having(templates=()),
    ],
    ids=["no-template", "not-asked", "one-unread", "crashed", "silent", "no-iam", "template-left-out"],
)
def test_nothing_seen_is_inconclusive(seen: Observation):
    assert outcome(seen) is Outcome.INCONCLUSIVE


def test_each_family_is_measured():
    names = {each.name for each in judge(SEEN, Settings()).measurements}

    assert {f"{family}.{what}" for family in FAMILIES for what in ("examined", "passed", "failed", "skipped")} <= names


def test_the_observation_survives_the_evidence():
    adapter = TypeAdapter(GATE.observation)

    assert adapter.validate_json(adapter.dump_json(SEEN)) == SEEN


@pytest.mark.parametrize(
    ("settings", "reached"),
    [
        ({}, Outcome.PASSED),
        ({"max_open": {"MEDIUM": 1}}, Outcome.PASSED),
        ({"max_open": {"MEDIUM": 0}}, Outcome.FAILED),
        ({"max_open_of": {"iam": {"MEDIUM": 0}}}, Outcome.FAILED),
        ({"max_open_of": {"network": {"MEDIUM": 0}}}, Outcome.PASSED),
    ],
)
def test_the_plan_may_allow_fewer_open_findings_of_a_severity_or_a_control(settings: dict, reached: Outcome):
    rules = (replace(RULES[0], severity=Severity.MEDIUM), *RULES[1:])
    seen = having(rules=rules, results=(replace(RESULTS[0], result=CheckResult.FAILED), *RESULTS[1:]))

    judgement = judge(seen, parse(Settings, settings, "readiness.toml", "gates.settings.security"))

    disposed = decide.dispose(judgement.findings, (), date(2026, 2, 1))
    assert decide.outcome(judgement, disposed, (Severity.CRITICAL, Severity.HIGH)) is reached


@pytest.mark.parametrize("key", [{"max_open": {"HIGH": 1}}, {"max_open_of": {"iam": {"CRITICAL": 2}}}])
def test_no_plan_leaves_room_for_what_only_a_waiver_may_accept(key: dict):
    with pytest.raises(PlanError, match="accepted by a waiver"):
        parse(Settings, key, "readiness.toml", "gates.settings.security")
