"""The gate ``runbooks``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from readiness import decide
from readiness.evidence import BundleWriter
from readiness.gate import Context
from readiness.gates.runbooks import GATE, Alarm, Observation, Settings, judge, observe
from readiness.ledger import Ledger
from readiness.model import Outcome, Severity
from readiness.plan import load_plan
from readiness.runbook import SECTIONS, Block, FrontMatter, Review, Runbook

ROOT = Path(__file__).parents[3]
ON = date(2026, 6, 1)
HASH = "sha256:1"


def runbook(name: str, *alarms: str, **about: Any) -> Runbook:
    front = FrontMatter(
        id=name,
        title=name,
        service="s",
        owner="Service team",
        author="Ada",
        alarms=alarms,
        reviewers=(Review(name="Bob", date=ON, content_hash=HASH),),
        next_review=ON + timedelta(days=100),
    )
    return Runbook(
        path=f"runbooks/{name}.md",
        about=replace(front, **about),
        content_hash=HASH,
        sections=SECTIONS,
        blocks=(Block(name="a", line=9, code=":\n"),),
    )


ERRORS = runbook("high-error-rate", "error-ratio")
ROLLBACK = runbook("rollback")
ALARM = Alarm(template="t", subject="Stack/Errors", description="Few errors. Runbook: runbooks/high-error-rate.md")
SEEN = Observation(
    on=ON,
    folder="runbooks",
    templates=("t",),
    alarms=(ALARM,),
    promised={"error-ratio": "runbooks/high-error-rate.md"},
    objectives=("error-ratio", "throughput"),
    runbooks=(ERRORS, ROLLBACK),
    unreadable={},
)


def outcome(seen: Observation) -> Outcome:
    judgement = judge(seen, Settings())
    disposed = decide.dispose(judgement.findings, (), ON)
    return decide.outcome(judgement, disposed, (Severity.CRITICAL, Severity.HIGH))


def rules(seen: Observation) -> list[str]:
    return [finding.rule.removeprefix("runbooks/") for finding in judge(seen, Settings()).findings]


def described(text: str) -> Observation:
    return replace(SEEN, alarms=(replace(ALARM, description=text),))


def test_an_alarm_with_a_reviewed_runbook_passes():
    assert outcome(SEEN) is Outcome.PASSED
    assert judge(SEEN, Settings()).examined == 1


@pytest.mark.parametrize("text", ["Runbook: runbooks/high-error-rate.md.", "(Runbook: runbooks/high-error-rate.md)"])
def test_punctuation_after_the_path_is_not_part_of_it(text: str):
    assert rules(described(text)) == []


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        (described(""), "alarm-names-no-runbook"),
        (described("See the wiki"), "alarm-names-no-runbook"),
        (described("Runbook: runbooks/rollback.md Runbook: runbooks/high-error-rate.md"), "alarm-names-no-runbook"),
        (described("Runbook: runbooks/none.md"), "alarm-runbook-missing"),
        (described("Runbook: ${Where}"), "alarm-runbook-missing"),
        (replace(SEEN, runbooks=(ERRORS,)), "no-rollback-runbook"),
        (replace(SEEN, unreadable={"runbooks/odd.md": "has no front matter"}), "unreadable"),
        (replace(SEEN, promised={"error-ratio": "runbooks/none.md"}), "runbook-missing"),
        (replace(SEEN, runbooks=(replace(ERRORS, sections=SECTIONS[1:]), ROLLBACK)), "section-missing"),
        (replace(SEEN, runbooks=(replace(ERRORS, content_hash="sha256:2"), ROLLBACK)), "no-valid-review"),
        (
            replace(SEEN, runbooks=(runbook("high-error-rate", "error-ratio", reviewers=()), ROLLBACK)),
            "no-valid-review",
        ),
        (
            replace(SEEN, runbooks=(runbook("high-error-rate", "error-ratio", author="BOB"), ROLLBACK)),
            "no-valid-review",
        ),
        (
            replace(
                SEEN,
                runbooks=(replace(ERRORS, blocks=(Block(name="a", line=9, code="", fault="is no bash"),)), ROLLBACK),
            ),
            "block-not-executable",
        ),
    ],
)
def test_what_would_leave_the_engineer_alone_fails(seen: Observation, rule: str):
    assert rule in rules(seen)
    assert outcome(seen) is Outcome.FAILED


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        (replace(SEEN, runbooks=(runbook("high-error-rate"), ROLLBACK)), "runbook-silent-about-alarm"),
        (replace(SEEN, runbooks=(ERRORS, runbook("rollback", "gone"))), "alarm-unknown"),
        (replace(SEEN, runbooks=(ERRORS, runbook("rollback", "throughput"))), "alarm-unknown"),
        (replace(SEEN, runbooks=(ERRORS, replace(ROLLBACK, dead_links=("x.md",)))), "dead-link"),
        (replace(SEEN, on=ON + timedelta(days=101)), "review-due"),
    ],
)
def test_what_is_untidy_is_a_finding_and_does_not_block(seen: Observation, rule: str):
    assert rule in rules(seen)
    assert outcome(seen) is Outcome.PASSED


def test_a_review_that_is_too_old_on_the_day_of_the_observation_is_void():
    assert "no-valid-review" in rules(replace(SEEN, on=ON + timedelta(days=181)))


@pytest.mark.parametrize(
    "seen",
    [
        replace(SEEN, alarms=()),
        replace(SEEN, templates=(), alarms=()),
    ],
    ids=["no-alarm", "no-template"],
)
def test_nothing_seen_is_inconclusive(seen: Observation):
    assert outcome(seen) is Outcome.INCONCLUSIVE
    assert judge(seen, Settings()).examined == 0


def test_no_runbook_at_all_is_a_gap_besides_what_it_fails():
    judgement = judge(replace(SEEN, runbooks=()), Settings())

    assert [gap.what for gap in judgement.gaps] == ["runbooks"]


def test_fingerprints_tell_faults_apart():
    found = judge(replace(SEEN, runbooks=(replace(ERRORS, sections=()), ROLLBACK)), Settings()).findings

    assert len({finding.fingerprint for finding in found}) == len(found) == len(SECTIONS)


def test_the_observation_survives_the_evidence():
    adapter = TypeAdapter(GATE.observation)

    assert adapter.validate_json(adapter.dump_json(SEEN)) == SEEN


def test_the_repository_is_observed_with_its_date(tmp_path: Path):
    context = Context(
        plan=load_plan(ROOT / "readiness.toml"),
        repository=ROOT,
        templates=(ROOT / "tests" / "data" / "templates" / "clean.template.json",),
        clients=lambda service: pytest.fail(f"asked for {service}"),
        ledger=Ledger(tmp_path / "ledger.jsonl"),
        bundle=BundleWriter(tmp_path / "bundle"),
    )

    seen = observe(context, Settings())

    assert abs((datetime.now(UTC).date() - seen.on).days) <= 1
    assert [alarm.subject for alarm in seen.alarms] == ["CleanStack/Alarm"]
    assert seen.unreadable == {}
    signed = max(review.date for each in seen.runbooks for review in each.about.reviewers)
    assert rules(replace(seen, on=signed)) == []
