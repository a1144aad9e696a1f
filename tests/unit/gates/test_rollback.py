"""The gate ``rollback``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from readiness import decide
from readiness.drill import Release, ServiceState
from readiness.gates.rollback import Observation, Settings, Window, judge
from readiness.model import Outcome, Severity

T0 = datetime(2026, 1, 1, tzinfo=UTC)
GOOD, BAD = (
    "arn:aws:ecs:eu-west-1:123456789012:task-definition/s:1",
    "arn:aws:ecs:eu-west-1:123456789012:task-definition/s-bad:1",
)
BLOCKING = (Severity.CRITICAL, Severity.HIGH)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


ROLLED_BACK = Release(
    status="ROLLBACK_SUCCESSFUL",
    reason="",
    started_at=at(1),
    rollback_reason="alarm",
    rollback_started_at=at(20),
    finished_at=at(30),
    alarms=("errors",),
    failed_tasks=0,
)
STATE = ServiceState(task_definition=GOOD, desired=2, tasks={"a": GOOD, "b": GOOD}, digests=("sha256:1",))
SEEN = Observation(
    before=STATE,
    after=STATE,
    bad_task_definition=BAD,
    injected_at=T0,
    release=ROLLED_BACK,
    last_failure_at=at(25),
    steady=Window(requests=400, failed=0),
    during=Window(requests=1500, failed=100),
    again=Window(requests=400, failed=0),
    failed_by_second={"10": 100},
    problems=(),
    max_detect=timedelta(seconds=60),
    max_recover=timedelta(seconds=60),
    max_failed_ratio=0.25,
)


def outcome(seen: Observation) -> Outcome:
    judgement = judge(seen, Settings())
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


def rules(seen: Observation) -> set[str]:
    return {finding.rule for finding in judge(seen, Settings()).findings}


def test_a_release_that_is_taken_back_in_time_passes():
    assert outcome(SEEN) is Outcome.PASSED


def test_the_times_and_the_failed_ratio_are_measured_against_the_plan():
    measured = {each.name: each for each in judge(SEEN, Settings()).measurements}

    assert measured["order to detection"].value == 20
    assert measured["order to detection"].threshold == 60
    assert measured["failed requests during the release"].value == 100 / 1500


def test_a_bad_release_that_ecs_calls_successful_fails():
    seen = replace(SEEN, release=replace(ROLLED_BACK, status="SUCCESSFUL"))

    assert outcome(seen) is Outcome.FAILED
    assert "rollback/not-rolled-back" in rules(seen)


def test_a_previous_revision_that_is_not_back_fails():
    seen = replace(SEEN, after=replace(STATE, task_definition=BAD))

    assert "rollback/previous-revision-not-back" in rules(seen)


def test_a_task_of_the_bad_release_that_still_runs_fails():
    seen = replace(SEEN, after=replace(STATE, tasks={"a": GOOD, "b": BAD}))

    assert "rollback/bad-task-left" in rules(seen)


def test_fewer_tasks_than_wanted_fail():
    assert "rollback/too-few-tasks" in rules(replace(SEEN, after=replace(STATE, tasks={"a": GOOD})))


def test_another_image_digest_than_before_fails():
    assert "rollback/image-not-back" in rules(replace(SEEN, after=replace(STATE, digests=("sha256:2",))))


def test_too_many_failed_requests_fail():
    seen = replace(SEEN, during=Window(requests=100, failed=50))

    assert outcome(seen) is Outcome.FAILED
    assert "rollback/limit-missed" in rules(seen)


def test_a_detection_that_took_too_long_fails():
    assert outcome(replace(SEEN, max_detect=timedelta(seconds=5))) is Outcome.FAILED


def test_failures_that_go_on_after_the_rollback_fail():
    assert "rollback/no-steady-state-after" in rules(replace(SEEN, again=Window(requests=100, failed=50)))


def test_a_release_that_never_took_effect_is_a_gap_whatever_ecs_says_of_it():
    harmless = replace(SEEN, during=Window(requests=1500, failed=0))

    assert outcome(harmless) is Outcome.INCONCLUSIVE
    assert outcome(replace(harmless, release=replace(ROLLED_BACK, status="SUCCESSFUL"))) is Outcome.INCONCLUSIVE


def test_a_release_that_could_not_start_took_effect_without_a_failed_request():
    crashed = replace(SEEN, during=Window(requests=1500, failed=0), release=replace(ROLLED_BACK, failed_tasks=3))

    assert outcome(crashed) is Outcome.PASSED


def test_no_steady_state_to_begin_with_is_a_gap():
    assert outcome(replace(SEEN, steady=Window(requests=400, failed=40))) is Outcome.INCONCLUSIVE
    assert outcome(replace(SEEN, steady=Window(requests=0, failed=0))) is Outcome.INCONCLUSIVE


def test_nothing_at_all_is_inconclusive():
    none = Window(requests=0, failed=0)

    assert outcome(replace(SEEN, release=None, steady=none, during=none, again=none)) is Outcome.INCONCLUSIVE
