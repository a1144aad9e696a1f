"""The gate ``runbooks``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from readiness import decide
from readiness.evidence import BundleWriter
from readiness.gate import Context
from readiness.gates.runbooks import GATE, Alarm, Observation, Settings, index, judge, observe, settings_in
from readiness.ledger import Ledger
from readiness.model import Environment, Outcome, Severity
from readiness.plan import load_plan
from readiness.runbook import SECTIONS, FrontMatter, Rehearsed, Review, Runbook
from readiness.runbook_body import Block
from tests.unit.samples import a_plan

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
ALARM = Alarm(
    template="t",
    subject="Stack/error-ratio",
    names=("error-ratio", "Stack/error-ratio", "Errors123"),
    description="Few errors. Runbook: runbooks/high-error-rate.md",
)
DEPLOY = runbook("deploy")
SEEN = Observation(
    on=ON,
    folder="runbooks",
    templates=("t",),
    alarms=(ALARM,),
    environment=Environment.AWS,
    promised={"error-ratio": "runbooks/high-error-rate.md"},
    runbooks=(ERRORS, ROLLBACK, DEPLOY),
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
        (replace(SEEN, runbooks=(ERRORS, DEPLOY)), "required-runbook-missing"),
        (replace(SEEN, runbooks=(ERRORS, ROLLBACK)), "required-runbook-missing"),
        (replace(SEEN, unreadable={"runbooks/odd.md": "has no front matter"}), "unreadable"),
        (replace(SEEN, promised={"error-ratio": "runbooks/none.md"}), "runbook-missing"),
        (replace(SEEN, runbooks=(replace(ERRORS, sections=SECTIONS[1:]), ROLLBACK, DEPLOY)), "section-missing"),
        (replace(SEEN, runbooks=(replace(ERRORS, content_hash="sha256:2"), ROLLBACK, DEPLOY)), "no-valid-review"),
        (
            replace(SEEN, runbooks=(runbook("high-error-rate", "error-ratio", reviewers=()), ROLLBACK, DEPLOY)),
            "no-valid-review",
        ),
        (
            replace(SEEN, runbooks=(runbook("high-error-rate", "error-ratio", author="BOB"), ROLLBACK, DEPLOY)),
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
        (replace(SEEN, runbooks=(runbook("high-error-rate"), ROLLBACK, DEPLOY)), "runbook-silent-about-alarm"),
        (replace(SEEN, runbooks=(ERRORS, runbook("rollback", "error-ratio"), DEPLOY)), "alarm-has-two-runbooks"),
        (
            replace(SEEN, runbooks=(runbook("high-error-rate"), runbook("rollback", "Errors123"), DEPLOY)),
            "runbook-silent-about-alarm",
        ),
        (replace(SEEN, runbooks=(ERRORS, runbook("rollback", "gone"), DEPLOY)), "alarm-unknown"),
        (replace(SEEN, runbooks=(ERRORS, replace(ROLLBACK, dead_links=("x.md",)), DEPLOY)), "dead-link"),
    ],
    ids=["silent runbook", "two runbooks", "another runbook", "alarm that is not there", "dead link"],
)
def test_alarms_and_runbooks_that_do_not_find_each_other_fail(seen: Observation, rule: str):
    assert rules(seen) == [rule]
    assert outcome(seen) is Outcome.FAILED


def test_the_finding_about_a_silent_runbook_names_the_one_that_speaks_up():
    seen = replace(SEEN, runbooks=(runbook("high-error-rate"), runbook("rollback", "Errors123"), DEPLOY))

    (found,) = judge(seen, Settings()).findings
    assert found.subject == "runbooks/high-error-rate.md"
    assert found.message.endswith("does not list error-ratio; runbooks/rollback.md does")


@pytest.mark.parametrize("name", ALARM.names)
def test_a_runbook_may_call_an_alarm_by_any_of_its_names(name: str):
    assert rules(replace(SEEN, runbooks=(runbook("high-error-rate", name), ROLLBACK, DEPLOY))) == []


@pytest.mark.parametrize(
    ("seen", "rule"),
    [
        (replace(SEEN, on=ON + timedelta(days=101)), "review-due"),
        (replace(SEEN, index="stale"), "index-stale"),
        (
            replace(SEEN, promised={**SEEN.promised, "latency-p95": "runbooks/high-error-rate.md"}),
            "alarm-missing",
        ),
    ],
)
def test_what_is_untidy_is_a_finding_and_does_not_block(seen: Observation, rule: str):
    assert set(rules(seen)) == {rule}
    assert outcome(seen) is Outcome.PASSED


# --- samples and rehearsals ------------------------------------------------------------------------------------------


def sampled(environment: Environment, *more: Review) -> Observation:
    reviews = (Review(name="Bob", date=ON, content_hash=HASH, sample=True), *more)
    books = (runbook("high-error-rate", "error-ratio", reviewers=reviews), ROLLBACK, DEPLOY)
    return replace(SEEN, environment=environment, runbooks=books)


def test_a_rehearsal_passes_on_a_sample_review_and_says_so():
    seen = sampled(Environment.EMULATED)
    (found,) = judge(seen, Settings()).findings

    assert (found.rule, found.severity) == ("runbooks/sample-review", Severity.LOW)
    assert "no person stands behind it" in found.message
    assert outcome(seen) is Outcome.PASSED


def test_on_aws_a_sample_review_is_no_review():
    seen = sampled(Environment.AWS)
    (found,) = judge(seen, Settings()).findings

    assert (found.rule, found.severity) == ("runbooks/no-valid-review", Severity.HIGH)
    assert "Bob is a sample" in found.message
    assert outcome(seen) is Outcome.FAILED


@pytest.mark.parametrize("environment", Environment)
def test_a_persons_review_beside_a_sample_is_all_that_it_takes(environment: Environment):
    assert rules(sampled(environment, Review(name="Eve", date=ON, content_hash=HASH))) == []


def test_the_figures_do_not_count_samples_on_aws():
    def reviewed(environment: Environment) -> float:
        figures = {each.name: each.value for each in judge(sampled(environment), Settings()).measurements}
        return figures["runbooks.reviewed"]

    assert (reviewed(Environment.EMULATED), reviewed(Environment.AWS)) == (3, 2)


def rehearsed(content_hash: str = HASH, on: date = ON) -> Observation:
    last = Rehearsed(run="r", date=on, environment=Environment.EMULATED, content_hash=content_hash, bundle="sha256:b")
    return replace(SEEN, runbooks=(ERRORS, runbook("rollback", rehearsed_in=last), DEPLOY))


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        (SEEN, "it was never rehearsed"),
        (rehearsed("sha256:2"), "another wording was rehearsed in run r"),
        (rehearsed(on=ON - timedelta(days=31)), "more than 30 days ago"),
    ],
    ids=["never", "another wording", "long ago"],
)
def test_a_rehearsal_that_the_plan_requires_and_that_is_not_there_fails(seen: Observation, words: str):
    terms = Settings(rehearsed=("rollback",), max_rehearsal_age=timedelta(days=30))
    (found,) = judge(seen, terms).findings

    assert (found.rule, found.severity) == ("runbooks/not-rehearsed", Severity.HIGH)
    assert words in found.message


def test_a_rehearsal_of_the_present_wording_is_what_the_plan_requires():
    assert judge(rehearsed(), Settings(rehearsed=("rollback",))).findings == ()


def test_a_runbook_whose_rehearsal_is_required_must_exist():
    found = judge(SEEN, Settings(rehearsed=("no-such",))).findings

    assert [each.subject for each in found] == ["runbooks/no-such.md"]


def test_the_index_for_the_reports_knows_the_day_and_the_environment():
    (entry, *_) = index(sampled(Environment.AWS), Settings())
    assert (entry.status, entry.why) == ("no valid review", "Bob is a sample: no person stands behind it")

    (entry, *_) = index(replace(SEEN, on=ON + timedelta(days=181)), Settings())
    assert entry.status == "no valid review"
    assert entry.due


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
    found = judge(replace(SEEN, runbooks=(replace(ERRORS, sections=()), ROLLBACK, DEPLOY)), Settings()).findings

    assert len({finding.fingerprint for finding in found}) == len(found) == len(SECTIONS)


def test_the_observation_survives_the_evidence():
    adapter = TypeAdapter(GATE.observation)

    assert adapter.validate_json(adapter.dump_json(SEEN)) == SEEN


# --- observing -------------------------------------------------------------------------------------------------------


def alarm(name: str, runbook_name: str) -> dict[str, Any]:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Metadata": {"aws:cdk:path": f"ReadinessStack/Alarms/{name}/Resource"},
        "Properties": {"AlarmDescription": f"Objective {name}. Runbook: runbooks/{runbook_name}.md"},
    }


def context(folder: Path, repository: Path, environment: Environment = Environment.EMULATED) -> Context:
    template = folder / "shop.template.json"
    resources = {
        "A": alarm("latency-p95", "high-latency"),
        "B": alarm("error-ratio", "high-error-rate"),
        "C": alarm("unhealthy-hosts", "unhealthy-hosts"),
    }
    template.write_text(json.dumps({"Resources": resources}))
    return Context(
        plan=load_plan(ROOT / "readiness.toml"),
        repository=repository,
        templates=(template,),
        clients=lambda service: pytest.fail(f"asked for {service}"),
        ledger=Ledger(folder / "ledger.jsonl"),
        bundle=BundleWriter(folder / "bundle"),
        environment=environment,
    )


def test_the_repository_is_observed_with_its_date(tmp_path: Path):
    ctx = context(tmp_path, ROOT)
    terms = settings_in(ctx.plan, "readiness.toml")

    seen = observe(ctx, terms)

    assert abs((datetime.now(UTC).date() - seen.on).days) <= 1
    assert seen.alarms[0].subject == "ReadinessStack/Alarms/latency-p95"
    assert seen.alarms[0].names == ("latency-p95", "ReadinessStack/Alarms/latency-p95", "A")
    assert (seen.unreadable, seen.index) == ({}, "current")
    signed = max(review.date for each in seen.runbooks for review in each.about.reviewers)
    found = judge(replace(seen, on=signed), terms).findings
    assert {each.rule for each in found} == {"runbooks/sample-review"}
    assert len(found) == len(terms.required) == len(seen.runbooks) == 11


def test_the_shipped_runbooks_do_not_let_anybody_go_live(tmp_path: Path):
    seen = observe(context(tmp_path, ROOT, Environment.AWS), Settings())

    assert outcome(seen) is Outcome.FAILED
    assert rules(seen).count("no-valid-review") == 11


def test_nothing_there_at_all_is_inconclusive(tmp_path: Path):
    ctx = replace(context(tmp_path, tmp_path), templates=(), plan=replace(a_plan(), objectives=()))

    seen = observe(ctx, Settings())
    judgement = judge(seen, Settings())

    assert (seen.alarms, seen.runbooks, seen.index) == ((), (), "none")
    assert (judgement.examined, [gap.what for gap in judgement.gaps]) == (0, ["alarms", "runbooks"])
    assert outcome(seen) is Outcome.INCONCLUSIVE


def test_an_empty_folder_beside_alarms_fails(tmp_path: Path):
    seen = observe(context(tmp_path, tmp_path), Settings())

    assert outcome(seen) is Outcome.FAILED
    assert set(rules(seen)) == {"alarm-runbook-missing", "runbook-missing"}


def edited(folder: Path) -> Path:
    """Return a copy of the repository's runbooks, to be spoilt."""
    shutil.copytree(ROOT / "runbooks", folder / "repository" / "runbooks")
    return folder / "repository" / "runbooks"


@pytest.mark.parametrize(
    ("name", "old", "new", "rule"),
    [
        ("high-latency.md", "Latency that stays high", "Latency which stays high", "no-valid-review"),
        ("high-latency.md", "author: Service team", "author: 'operations  OWNER'", "no-valid-review"),
        ("high-latency.md", "## Escalate", "## Call", "section-missing"),
        ("high-latency.md", "(rollback.md)", "(rolback.md)", "dead-link"),
        ("scale-out.md", "high-latency.md#diagnose", "high-latency.md#look", "dead-link"),
        ("high-latency.md", "- latency-p95", "- latency-p99", "alarm-unknown"),
        ("high-latency.md", "- latency-p95", "- latency-p99", "runbook-silent-about-alarm"),
        ("deploy.md", "alarms: []", "alarms: [error-ratio]", "alarm-has-two-runbooks"),
        ("deploy.md", "  sample: true", "  sample: perhaps", "unreadable"),
        ("deploy.md", "done\n", "\n", "block-not-executable"),
        ("README.md", "| Service team |", "| Nobody |", "index-stale"),
        ("README.md", "<!-- index: end -->", "", "index-stale"),
    ],
)
def test_an_edit_that_breaks_a_runbook_is_found(tmp_path: Path, name: str, old: str, new: str, rule: str):
    folder = edited(tmp_path)
    text = (folder / name).read_text(encoding="utf-8")
    assert old in text
    (folder / name).write_text(text.replace(old, new), encoding="utf-8")

    seen = observe(context(tmp_path, folder.parent), Settings())

    assert rule in rules(seen)


def test_a_runbook_that_is_gone_is_missed_by_its_alarm_and_by_the_plan(tmp_path: Path):
    folder = edited(tmp_path)
    (folder / "high-latency.md").unlink()

    found = rules(observe(context(tmp_path, folder.parent), Settings()))

    assert {"alarm-runbook-missing", "runbook-missing", "index-stale"} <= set(found)
