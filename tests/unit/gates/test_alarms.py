"""The gate ``alarms``: passes, fails, and is inconclusive on nothing; and what must not pass does not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from readiness import decide
from readiness.alarm_wiring import AlarmSeen, Subscriber, Wiring
from readiness.drill import Notification
from readiness.gates.alarms import Drilled, Observation, Settings, judge
from readiness.model import Outcome, Severity

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BLOCKING = (Severity.CRITICAL, Severity.HIGH)
ARN = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:clone-errors"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:clone-topic"


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def message(state: str, seconds: float) -> Notification:
    return Notification(
        alarm="clone-errors",
        arn=ARN,
        account="123456789012",
        topic=TOPIC,
        message_id=f"m-{state}",
        state=state,
        changed_at=at(seconds - 1),
        published_at=at(seconds - 0.5),
        received_at=at(seconds),
        body=json.dumps({"AlarmName": "clone-errors", "NewStateValue": state}),
    )


DRILLED = Drilled(
    objective="error-ratio",
    alarm="clone-errors",
    arn=ARN,
    method="fault-errors",
    state_before="OK",
    injected_at=T0,
    effect="200 of 200 requests met the fault",
    fault_requests=200,
    requests=200,
    alarm_at=at(6),
    alarm_message=message("ALARM", 7),
    removed_at=at(7),
    ok_at=at(12),
    ok_message=message("OK", 13),
)
ALARM = AlarmSeen(
    subject="error-ratio",
    name="clone-errors",
    arn=ARN,
    kind="metric",
    actions_enabled=True,
    alarm_actions=(TOPIC,),
    ok_actions=(TOPIC,),
    missing_data="missing",
    rule="",
    muted_by=(),
    runbook="runbooks/high-error-rate.md",
    runbook_found=True,
)
PERSON = Subscriber(protocol="email", endpoint="ada@example.com", confirmed=True)
WIRING = Wiring(alarms=(ALARM,), topic=TOPIC, subscribers=(PERSON,), people=("email", "https"))
SEEN = Observation(
    wiring=WIRING,
    drills=(DRILLED,),
    undrilled={},
    max_detect=timedelta(minutes=5),
    max_clear=timedelta(minutes=5),
)


def outcome(seen: Observation) -> Outcome:
    judgement = judge(seen, Settings())
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


def rules(seen: Observation) -> list[str]:
    return [finding.rule for finding in judge(seen, Settings()).findings]


def drilled(**changes: Any) -> Observation:
    return replace(SEEN, drills=(replace(DRILLED, **changes),))


def wired(*subscribers: Subscriber, **changes: Any) -> Observation:
    """Return what is seen of an alarm that is wired otherwise, and of nobody but these subscribers."""
    alarm = replace(ALARM, **changes)
    return replace(SEEN, wiring=replace(WIRING, alarms=(alarm,), subscribers=subscribers or (PERSON,)))


def test_an_alarm_that_fires_is_received_and_clears_passes():
    assert outcome(SEEN) is Outcome.PASSED
    assert judge(SEEN, Settings()).notes == (
        "Made to ring: error-ratio by fault-errors (200 of 200 requests met the fault). 2 of 2 messages were received.",
    )


def test_each_step_has_its_latency():
    values = [each.value for each in judge(SEEN, Settings()).measurements]

    assert values == [6, 1, 5, 1]


# --- drills ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("missing", "rule"),
    [
        (("alarm_at", "alarm_message", "ok_at", "ok_message"), "alarms/never-fired"),
        (("alarm_message", "ok_at", "ok_message"), "alarms/not-notified"),
        (("ok_at", "ok_message"), "alarms/not-cleared"),
        (("ok_message",), "alarms/recovery-not-notified"),
    ],
)
def test_each_step_that_was_not_seen_fails(missing, rule):
    seen = drilled(**dict.fromkeys(missing))

    assert outcome(seen) is Outcome.FAILED
    assert rules(seen) == [rule]


def test_a_threshold_that_never_trips_fails_and_says_that_the_fault_was_there():
    seen = drilled(alarm_at=None, alarm_message=None, ok_at=None, ok_message=None)

    assert outcome(seen) is Outcome.FAILED
    (finding,) = judge(seen, Settings()).findings
    assert finding.message == (
        "clone-errors did not go to ALARM within 300 s, although 200 of 200 requests met the fault"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"arn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:another-clone-errors"},
        {"account": "999999999999"},
        {"state": "OK"},
        {"changed_at": at(-1)},
        {"topic": TOPIC + "-of-another-clone"},
    ],
)
def test_a_message_of_another_alarm_account_state_time_or_topic_is_none(wrong):
    seen = drilled(alarm_message=replace(message("ALARM", 7), **wrong))

    assert rules(seen) == ["alarms/not-notified"]
    assert outcome(seen) is Outcome.FAILED


def test_a_fault_that_no_request_met_is_a_gap_even_when_the_alarm_fired():
    seen = drilled(effect="", fault_requests=0)

    assert outcome(seen) is Outcome.INCONCLUSIVE
    (gap,) = judge(seen, Settings()).gaps
    assert gap.why == "none of 200 requests met the fault, so it never took effect"


def test_targets_that_never_became_unhealthy_are_a_gap_even_when_the_alarm_fired():
    seen = drilled(method="unhealthy-targets", effect="", fault_requests=0, requests=0)

    assert outcome(seen) is Outcome.INCONCLUSIVE
    (gap,) = judge(seen, Settings()).gaps
    assert gap.why == "nothing was seen of unhealthy-targets, so it never took effect"


def test_an_alarm_that_was_not_ok_before_is_a_gap():
    for state in ("ALARM", "INSUFFICIENT_DATA"):
        assert outcome(drilled(state_before=state)) is Outcome.INCONCLUSIVE


def test_a_load_that_saw_less_than_everything_is_a_gap():
    assert outcome(drilled(problems=("a worker was lost",))) is Outcome.INCONCLUSIVE


def test_an_alarm_that_nobody_drilled_is_a_gap():
    other = replace(ALARM, subject="latency", name="clone-latency")
    seen = replace(SEEN, wiring=replace(WIRING, alarms=(ALARM, other)))

    assert outcome(seen) is Outcome.INCONCLUSIVE
    assert [gap.what for gap in judge(seen, Settings()).gaps] == ["alarm latency"]


def test_an_alarm_that_cannot_be_drilled_is_a_gap_that_says_why():
    seen = replace(SEEN, undrilled={"probe": "it has no alarm"})

    assert outcome(seen) is Outcome.INCONCLUSIVE
    assert [(gap.what, gap.why) for gap in judge(seen, Settings()).gaps] == [("alarm probe", "it has no alarm")]


def test_a_step_that_came_after_its_limit_is_one_that_did_not_come():
    late = drilled(alarm_at=at(301), alarm_message=message("ALARM", 302), removed_at=at(302), ok_at=at(310))
    assert rules(late)[0] == "alarms/never-fired"
    assert rules(drilled(ok_at=at(308), ok_message=message("OK", 309))) == ["alarms/not-cleared"]


def test_an_alarm_that_the_plan_promises_and_the_stack_lacks_is_a_gap():
    seen = replace(SEEN, promised=("error-ratio", "latency-p95"))

    assert [gap.what for gap in judge(seen, Settings()).gaps] == ["alarm latency-p95"]
    assert outcome(seen) is Outcome.INCONCLUSIVE


def test_no_alarm_at_all_is_inconclusive():
    assert outcome(replace(SEEN, wiring=replace(WIRING, alarms=()), drills=())) is Outcome.INCONCLUSIVE


def test_a_state_set_by_hand_says_so():
    judgement = judge(drilled(method="set-state", effect="SetAlarmState", fault_requests=0, requests=0), Settings())

    assert not judgement.gaps
    assert all("set-state" in each.name for each in judgement.measurements)
    assert judgement.notes[1].startswith("Set to ALARM by hand")


# --- before the drills -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "rule", "words"),
    [
        ({"alarm_actions": ()}, "alarms/no-alarm-action", "no action to the topic when it goes to ALARM"),
        ({"alarm_actions": ("arn:other",)}, "alarms/no-alarm-action", "but arn:other"),
        ({"ok_actions": ()}, "alarms/no-ok-action", "no action to the topic when it goes to OK"),
        ({"actions_enabled": False}, "alarms/actions-disabled", "tells nobody"),
        ({"muted_by": ("arn:mute",)}, "alarms/muted", "muted by arn:mute"),
        ({"runbook": "", "runbook_found": False}, "alarms/no-runbook", "names no runbook"),
        ({"runbook_found": False}, "alarms/runbook-not-found", "the repository does not have"),
    ],
)
def test_an_alarm_that_is_wired_wrongly_fails(wrong, rule, words):
    seen = wired(**wrong)

    assert outcome(seen) is Outcome.FAILED
    (finding,) = judge(seen, Settings()).findings
    assert finding.rule == rule
    assert words in finding.message


def test_an_alarm_without_action_is_one_finding_not_two():
    """Nobody sends the message that is missing then, so its absence says nothing more."""
    seen = replace(wired(alarm_actions=()), drills=(replace(DRILLED, alarm_message=None),))

    assert rules(seen) == ["alarms/no-alarm-action"]


def test_an_alarm_that_somebody_deleted_fails():
    seen = replace(SEEN, wiring=replace(WIRING, missing=("clone-latency",)))

    assert rules(seen) == ["alarms/missing"]
    assert outcome(seen) is Outcome.FAILED


QUEUE = Subscriber(protocol="sqs", endpoint="arn:aws:sqs:eu-west-1:123456789012:other", confirmed=True)
PENDING = replace(PERSON, confirmed=False)


@pytest.mark.parametrize(
    ("subscribers", "words"),
    [
        ((), "no subscription but the harness's own inbox"),
        ((PENDING,), "not confirmed: email ada@example.com"),
        ((QUEUE,), "no person: sqs arn:aws:sqs"),
    ],
)
def test_a_topic_without_a_person_fails(subscribers, words):
    seen = replace(SEEN, wiring=replace(WIRING, subscribers=subscribers))

    assert outcome(seen) is Outcome.FAILED
    (finding,) = judge(seen, Settings()).findings
    assert finding.rule == "alarms/nobody-listens"
    assert words in finding.message


def test_somebody_who_has_not_confirmed_beside_somebody_who_has_is_told_and_does_not_fail():
    seen = wired(PERSON, replace(PENDING, endpoint="bob@example.com"))

    assert rules(seen) == ["alarms/subscription-pending"]
    assert outcome(seen) is Outcome.PASSED


def filtered(scope: str = "MessageBody", **policy: Any) -> Observation:
    return wired(replace(PERSON, filter_policy=json.dumps(policy), filter_scope=scope))


@pytest.mark.parametrize(
    ("seen", "extent"),
    [
        (filtered("MessageAttributes", severity=["high"]), "every message of the drills"),
        (filtered(AlarmName=["somebody-elses"]), "every message of the drills"),
        (filtered(NewStateValue=["OK"]), "drops ALARM of clone-errors"),
    ],
)
def test_a_muted_subscription_fails(seen, extent):
    assert outcome(seen) is Outcome.FAILED
    (finding,) = judge(seen, Settings()).findings
    assert finding.rule == "alarms/subscription-muted"
    assert extent in finding.message
    assert "ada@example.com" in finding.message


def test_a_filter_policy_that_drops_only_the_recovery_is_told_and_one_that_drops_nothing_is_not():
    only_alarms = filtered(NewStateValue=["ALARM"])

    assert rules(only_alarms) == ["alarms/subscription-muted"]
    assert outcome(only_alarms) is Outcome.PASSED
    assert rules(filtered(NewStateValue=["ALARM", "OK"])) == []


def test_a_filter_policy_that_cannot_be_tried_is_a_gap():
    unknown = filtered(AlarmName=[{"cidr": "10.0.0.0/8"}])
    untried = replace(filtered(NewStateValue=["ALARM"]), drills=(replace(DRILLED, state_before="ALARM"),))
    nothing = replace(untried, drills=(replace(DRILLED, state_before="ALARM", alarm_message=None, ok_message=None),))

    for seen in (unknown, nothing):
        assert outcome(seen) is Outcome.INCONCLUSIVE
        assert "what ada@example.com gets" in [gap.what for gap in judge(seen, Settings()).gaps]


def test_a_confirmation_that_was_emulated_is_told():
    judgement = judge(replace(SEEN, taken_as_confirmed=("ada@example.com",)), Settings())

    note = judgement.notes[-1]
    assert "ada@example.com" in note
    assert "Nobody was asked" in note


def test_messages_of_strangers_are_told():
    note = judge(replace(SEEN, strangers=2), Settings()).notes[-1]

    assert note.startswith("2 messages in the inbox are of no alarm of this clone")
