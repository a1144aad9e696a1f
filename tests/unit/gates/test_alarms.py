"""The gate ``alarms``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from readiness import decide
from readiness.gates.alarms import Drilled, Observation, Settings, judge
from readiness.model import Outcome, Severity

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BLOCKING = (Severity.CRITICAL, Severity.HIGH)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


DRILLED = Drilled(
    objective="error-ratio",
    alarm="clone-errors",
    method="fault-errors",
    state_before="OK",
    injected_at=T0,
    fault_requests=200,
    requests=200,
    alarm_at=at(6),
    alarm_received_at=at(7),
    removed_at=at(7),
    ok_at=at(12),
    ok_received_at=at(13),
)
SEEN = Observation(
    alarms={"error-ratio": "clone-errors"},
    drills=(DRILLED,),
    max_detect=timedelta(minutes=5),
    max_clear=timedelta(minutes=5),
)


def outcome(seen: Observation) -> Outcome:
    judgement = judge(seen, Settings())
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


def test_an_alarm_that_fires_is_received_and_clears_passes():
    assert outcome(SEEN) is Outcome.PASSED


def test_each_step_has_its_latency():
    values = [each.value for each in judge(SEEN, Settings()).measurements]

    assert values == [6, 1, 5, 1]


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        (("alarm_at", "alarm_received_at", "ok_at", "ok_received_at"), "alarms/never-fired"),
        (("alarm_received_at", "ok_at", "ok_received_at"), "alarms/not-notified"),
        (("ok_at", "ok_received_at"), "alarms/not-cleared"),
        (("ok_received_at",), "alarms/recovery-not-notified"),
    ],
)
def test_each_step_that_was_not_seen_fails(missing, rule):
    seen = replace(SEEN, drills=(replace(DRILLED, **dict.fromkeys(missing)),))

    assert outcome(seen) is Outcome.FAILED
    assert [finding.rule for finding in judge(seen, Settings()).findings] == [rule]


def test_a_fault_that_no_request_met_is_a_gap_even_when_the_alarm_fired():
    assert outcome(replace(SEEN, drills=(replace(DRILLED, fault_requests=0),))) is Outcome.INCONCLUSIVE


def test_an_alarm_that_was_not_ok_before_is_a_gap():
    for state in ("ALARM", "INSUFFICIENT_DATA"):
        assert outcome(replace(SEEN, drills=(replace(DRILLED, state_before=state),))) is Outcome.INCONCLUSIVE


def test_an_alarm_that_nobody_drilled_is_a_gap():
    seen = replace(SEEN, alarms={**SEEN.alarms, "latency": "clone-latency"})

    assert outcome(seen) is Outcome.INCONCLUSIVE


def test_no_alarm_at_all_is_inconclusive():
    assert outcome(replace(SEEN, alarms={}, drills=())) is Outcome.INCONCLUSIVE


def test_a_state_set_by_hand_says_so_in_its_measurements():
    by_hand = replace(DRILLED, method="set-state", fault_requests=0, requests=0)

    judgement = judge(replace(SEEN, drills=(by_hand,)), Settings())

    assert not judgement.gaps
    assert all("set-state" in each.name for each in judgement.measurements)
