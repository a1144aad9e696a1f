"""How the alarms of a clone are wired, as AWS's own APIs tell it."""

from __future__ import annotations

import json

import pytest

from readiness import alarm_wiring
from readiness.alarm_wiring import Subscriber
from readiness.contract import Output
from readiness.errors import CloudError
from readiness.model import Clone
from tests.unit.samples import T0, FakeClient, client_error

TOPIC = "arn:aws:sns:eu-west-1:123456789012:topic"
INBOX = "arn:aws:sqs:eu-west-1:123456789012:inbox"
CLONE = Clone(
    run_id="r",
    stack_name="s",
    stack_id="arn:stack",
    outputs={
        Output.ALARMS: json.dumps({"error-ratio": "clone-errors"}),
        Output.TOPIC_ARN: TOPIC,
        Output.INBOX_URL: "https://inbox",
    },
    expires_at=T0,
)
ERRORS = {
    "AlarmName": "clone-errors",
    "AlarmArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:clone-errors",
    "AlarmDescription": "Objective error-ratio. Runbook: runbooks/errors.md.",
    "AlarmActions": [TOPIC],
    "OKActions": [TOPIC],
    "ActionsEnabled": True,
    "TreatMissingData": "missing",
}
ANY = {
    "AlarmName": "clone-any",
    "AlarmArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:clone-any",
    "AlarmRule": 'ALARM("clone-errors")',
}
RESOURCES = {
    "StackResourceSummaries": [
        {"ResourceType": "AWS::CloudWatch::Alarm", "PhysicalResourceId": "clone-errors"},
        {"ResourceType": "AWS::CloudWatch::CompositeAlarm", "PhysicalResourceId": ANY["AlarmArn"]},
        {"ResourceType": "AWS::SNS::Topic", "PhysicalResourceId": TOPIC},
    ]
}


def listed(protocol: str, endpoint: str, arn: str = "arn:aws:sns:sub") -> dict[str, str]:
    return {"SubscriptionArn": arn, "Protocol": protocol, "Endpoint": endpoint}


def clients(subscriptions=(), attributes=None, metric=(ERRORS,), composite=(ANY,), muted=()):
    mutes = {"AlarmMuteRuleSummaries": [{"AlarmMuteRuleArn": arn} for arn in muted]}
    made = {
        "cloudformation": FakeClient(list_stack_resources=RESOURCES),
        "cloudwatch": FakeClient(
            describe_alarms={"MetricAlarms": list(metric), "CompositeAlarms": list(composite)},
            list_alarm_mute_rules=lambda AlarmName, Statuses: mutes if AlarmName == "clone-errors" else {},
        ),
        "sns": FakeClient(
            list_subscriptions_by_topic={"Subscriptions": [listed("sqs", INBOX), *subscriptions]},
            get_subscription_attributes={"Attributes": attributes or {}},
        ),
        "sqs": FakeClient(get_queue_attributes={"Attributes": {"QueueArn": INBOX}}),
    }
    return made.__getitem__


def read(tmp_path, **answers):
    return alarm_wiring.read(clients(**answers), CLONE, tmp_path, ("email",))


def test_every_alarm_of_the_stack_is_seen_those_of_no_objective_too(tmp_path):
    errors, whole = read(tmp_path).alarms

    assert (errors.subject, errors.kind, errors.alarm_actions) == ("error-ratio", "metric", (TOPIC,))
    assert (whole.subject, whole.kind, whole.children) == ("clone-any", "composite", ("clone-errors",))
    assert whole.any_child_suffices


def test_an_alarm_of_the_stack_that_cloudwatch_does_not_have_is_missing(tmp_path):
    wiring = read(tmp_path, metric=())

    assert wiring.missing == ("clone-errors",)
    assert [each.rule for each in alarm_wiring.faults(wiring, ()) if each.subject == "clone-errors"] == [
        "alarms/missing"
    ]


def test_a_runbook_is_found_in_the_repository_or_is_an_address(tmp_path):
    assert not read(tmp_path).alarms[0].runbook_found
    (tmp_path / "runbooks").mkdir()
    (tmp_path / "runbooks" / "errors.md").touch()
    assert read(tmp_path).alarms[0].runbook_found

    linked = {**ERRORS, "AlarmDescription": "Runbook: https://wiki.example.com/errors"}
    (errors, whole) = read(tmp_path, metric=(linked,)).alarms
    assert (errors.runbook, errors.runbook_found) == ("https://wiki.example.com/errors", True)
    assert (whole.runbook, whole.runbook_found) == ("", False)


def test_what_holds_actions_back_now_is_seen(tmp_path):
    suppressed = {**ANY, "ActionsSuppressor": "arn:suppressor", "ActionsSuppressedBy": "Alarm"}
    errors, whole = read(tmp_path, muted=("arn:mute",), composite=(suppressed,)).alarms
    assert (errors.muted_by, whole.muted_by) == (("arn:mute",), ("arn:suppressor",))

    (_, idle) = read(tmp_path, composite=({**ANY, "ActionsSuppressor": "arn:suppressor"},)).alarms
    assert idle.muted_by == ()


def test_the_harnesss_own_inbox_is_nobody(tmp_path):
    assert read(tmp_path).subscribers == ()


@pytest.mark.parametrize("arn", ["PendingConfirmation", "Deleted"])
def test_a_subscription_that_is_not_confirmed_does_not_count(tmp_path, arn):
    wiring = read(tmp_path, subscriptions=(listed("email", "ada@example.com", arn),))

    assert wiring.persons == (Subscriber(protocol="email", endpoint="ada@example.com", confirmed=False),)
    assert "alarms/nobody-listens" in [each.rule for each in alarm_wiring.faults(wiring, ())]


def test_a_subscription_tells_its_filter_policy(tmp_path):
    attributes = {"PendingConfirmation": "false", "FilterPolicy": '{"a": ["b"]}', "FilterPolicyScope": "MessageBody"}
    wiring = read(tmp_path, subscriptions=(listed("email", "ada@example.com"),), attributes=attributes)

    (person,) = wiring.persons
    assert (person.confirmed, person.filter_policy, person.filter_scope) == (True, '{"a": ["b"]}', "MessageBody")


def test_a_topic_that_cannot_be_asked_is_an_error_never_nobody():
    sns = FakeClient(list_subscriptions_by_topic=client_error("AuthorizationError"))
    broken = {"sns": sns, "sqs": FakeClient(get_queue_attributes={"Attributes": {"QueueArn": INBOX}})}

    with pytest.raises(CloudError, match="Reading who listens to the topic failed"):
        alarm_wiring.subscribers(broken.__getitem__, CLONE)
