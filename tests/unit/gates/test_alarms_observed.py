"""What the gate ``alarms`` does while it looks: whom it waits for, and for how long."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from readiness import drill
from readiness.contract import Output
from readiness.gate import Context
from readiness.gates import alarms
from readiness.model import AlarmDrill, Clone
from tests.unit.samples import T0, FakeClient, FakeClock, a_context, a_plan

ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:eu-west-1:{ACCOUNT}:topic"
NAME = "clone-latency"
ARN = f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:{NAME}"
CLONE = Clone(
    run_id="r",
    stack_name="s",
    stack_id="s",
    outputs={
        Output.ALARMS: json.dumps({"latency": NAME}),
        Output.TOPIC_ARN: TOPIC,
        Output.INBOX_URL: "https://inbox",
    },
    expires_at=T0,
)


class World:
    """One alarm that goes to ALARM when its state is set, and clears at once; its topic, and somebody who confirms."""

    def __init__(self, confirmed: list[bool], actions: tuple[str, ...] = (TOPIC,), *, rings: bool = True) -> None:
        self.confirmed = confirmed
        self.rings = rings
        self.changes: list[tuple[datetime, str]] = []
        self.messages: list[dict[str, str]] = []
        alarm = {
            "AlarmName": NAME,
            "AlarmArn": ARN,
            "AlarmDescription": "Runbook: https://wiki.example.com",
            "StateValue": "OK",
            "AlarmActions": list(actions),
            "OKActions": list(actions),
        }
        self.by_name = {
            "cloudformation": FakeClient(list_stack_resources={"StackResourceSummaries": []}),
            "cloudwatch": FakeClient(
                describe_alarms={"MetricAlarms": [alarm]},
                list_alarm_mute_rules={},
                set_alarm_state=lambda **_: self.ring(alarm),
                describe_alarm_history=lambda **_: {"AlarmHistoryItems": [self.item(*each) for each in self.changes]},
            ),
            "sns": FakeClient(
                list_subscriptions_by_topic=lambda **_: {"Subscriptions": [self.subscription()]},
                get_subscription_attributes={"Attributes": {}},
            ),
            "sqs": FakeClient(
                get_queue_attributes={"Attributes": {"QueueArn": "arn:inbox"}},
                receive_message=lambda **_: {"Messages": [self.messages.pop(0)] if self.messages else []},
                delete_message={},
            ),
        }

    def ring(self, alarm: dict[str, Any]) -> None:
        if not self.rings:
            return
        for state in ("ALARM", "OK"):
            at = drill.now()
            self.changes.append((at, state))
            if alarm["AlarmActions"]:
                self.messages.append({"ReceiptHandle": state, "Body": self.body(at, state)})

    @staticmethod
    def item(at: datetime, state: str) -> dict[str, Any]:
        return {"Timestamp": at, "HistoryData": json.dumps({"newState": {"stateValue": state}})}

    @staticmethod
    def body(at: datetime, state: str) -> str:
        message = {
            "AlarmName": NAME,
            "AlarmArn": ARN,
            "AWSAccountId": ACCOUNT,
            "NewStateValue": state,
            "StateChangeTime": at.strftime("%Y-%m-%dT%H:%M:%S.%f%z"),
        }
        envelope = {"MessageId": state, "TopicArn": TOPIC, "Timestamp": at.isoformat(), "Message": json.dumps(message)}
        return json.dumps(envelope)

    def subscription(self) -> dict[str, str]:
        now = self.confirmed.pop(0) if len(self.confirmed) > 1 else self.confirmed[0]
        arn = "arn:aws:sns:subscription" if now else "PendingConfirmation"
        return {"SubscriptionArn": arn, "Protocol": "email", "Endpoint": "ada@example.com"}


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(drill, "time", clock)
    return clock


def context(folder, world: World) -> Context:
    plan = a_plan()
    by_hand = replace(plan.drills.alarms, each=(AlarmDrill(objective="latency", method="set-state"),))
    plan = replace(plan, drills=replace(plan.drills, alarms=by_hand))
    return a_context(folder, plan=plan, clients=world.by_name.__getitem__, deployed=CLONE)


def observed(folder, world: World, **settings: Any) -> alarms.Observation:
    return alarms.observe(context(folder, world), alarms.Settings(**settings))


def test_an_alarm_is_seen_to_ring_to_tell_and_to_clear_and_no_time_is_lost(tmp_path, clock):
    (drilled,) = observed(tmp_path, World([True])).drills

    assert drilled.injected_at <= drilled.alarm_at <= drilled.ok_at
    assert [message.message_id for message in (drilled.alarm_message, drilled.ok_message)] == ["ALARM", "OK"]
    assert clock.now < 2


def test_somebody_who_has_still_to_confirm_is_waited_for(tmp_path, clock):
    seen = observed(tmp_path, World([False, False, False, True]))

    assert seen.wiring.persons[0].confirmed
    assert 0 < clock.now < 5


def test_somebody_who_never_confirms_is_waited_for_no_longer_than_the_plan_says(tmp_path, clock):
    seen = observed(tmp_path, World([False]), confirm=timedelta(seconds=30))

    assert not seen.wiring.persons[0].confirmed
    assert 30 <= clock.now < 33
    assert [each.rule for each in alarms.judge(seen, alarms.Settings()).findings] == ["alarms/nobody-listens"]


def test_no_message_is_waited_for_that_no_action_sends(tmp_path, clock):
    (drilled,) = observed(tmp_path, World([True], actions=())).drills

    assert drilled.alarm_at is not None
    assert drilled.alarm_message is None
    assert clock.now < 2


def test_an_alarm_that_never_rang_is_not_waited_for_to_clear(tmp_path, clock):
    (drilled,) = observed(tmp_path, World([True], rings=False)).drills

    limit_s = a_plan().drills.alarms.max_detect.total_seconds()
    assert (drilled.alarm_at, drilled.ok_at) == (None, None)
    assert limit_s <= clock.now < limit_s + 2


def test_messages_of_another_clone_are_counted_and_left_out(tmp_path, clock):
    world = World([True])
    stranger = world.body(drill.now(), "ALARM").replace(NAME, "another-clone-latency")
    world.messages.append({"ReceiptHandle": "1", "Body": stranger})

    seen = observed(tmp_path, world)

    assert seen.strangers == 1
    assert seen.drills[0].alarm_message.message_id == "ALARM"
