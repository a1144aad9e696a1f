"""The gate ``cfn-lint``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest
from pydantic import TypeAdapter

from readiness import decide
from readiness.gates.cfn_lint import GATE, Observation, Settings, judge
from readiness.model import Outcome, Severity
from readiness.scan.observed import CheckResult, Result, Rule, Scan, ScannerRun, TemplateSeen

TEMPLATE = TemplateSeen(name="Stack.template.json", digest="sha256:0", resources={"Queue": "AWS::SQS::Queue"})
RUN = ScannerRun(scanner="cfn-lint", version="1", templates=(TEMPLATE.name,), rules_loaded=329)
SEEN = Observation(scan=Scan(templates=(TEMPLATE,), runs=(RUN,)))


def matched(rule_id: str, severity: Severity) -> Observation:
    rule = Rule(id=f"cfn-lint/{rule_id}", claim="Valid", severity=severity, family=None)
    result = Result(rule=rule.id, template=TEMPLATE.name, part="Queue", result=CheckResult.FAILED, detail="no")
    return Observation(scan=replace(SEEN.scan, runs=(replace(RUN, rules=(rule,), results=(result,)),)))


def outcome(seen: Observation) -> Outcome:
    judgement = judge(seen, Settings())
    disposed = decide.dispose(judgement.findings, (), date(2026, 1, 1))
    return decide.outcome(judgement, disposed, (Severity.CRITICAL, Severity.HIGH))


def test_a_template_that_was_read_without_a_match_passes():
    assert outcome(SEEN) is Outcome.PASSED
    assert judge(SEEN, Settings()).examined == 1


def test_an_error_fails_and_a_warning_does_not():
    assert outcome(matched("E3002", Severity.HIGH)) is Outcome.FAILED
    assert outcome(matched("W2001", Severity.LOW)) is Outcome.PASSED


@pytest.mark.parametrize(
    "scan",
    [
        Scan(templates=()),
        Scan(templates=(TEMPLATE,)),
        Scan(templates=(TEMPLATE,), runs=(replace(RUN, templates=()),)),
        Scan(templates=(TEMPLATE,), runs=(replace(RUN, errors=("crashed",)),)),
        Scan(templates=(), unread={"a.json": "is neither JSON nor YAML"}),
    ],
    ids=["no-template", "not-asked", "read-nothing", "crashed", "unread"],
)
def test_nothing_seen_is_inconclusive(scan: Scan):
    assert outcome(Observation(scan=scan)) is Outcome.INCONCLUSIVE


def test_the_observation_survives_the_evidence():
    adapter = TypeAdapter(GATE.observation)
    seen = matched("E3002", Severity.HIGH)

    assert adapter.validate_json(adapter.dump_json(seen)) == seen
