"""Whether a filter policy lets an alarm's message through."""

from __future__ import annotations

import json

import pytest

from readiness.filter_policy import ATTRIBUTES, BODY, UnknownCondition, lets_through

MESSAGE = json.dumps(
    {
        "AlarmName": "readiness-1-errors",
        "NewStateValue": "ALARM",
        "AWSAccountId": "123456789012",
        "Trigger": {"Threshold": 0.01, "Dimensions": [{"name": "a"}, {"name": "b"}]},
    }
)


@pytest.mark.parametrize(
    ("policy", "passes"),
    [
        ({"NewStateValue": ["ALARM"]}, True),
        ({"NewStateValue": ["OK"]}, False),
        ({"NewStateValue": ["OK", "ALARM"]}, True),
        ({"AlarmName": [{"prefix": "readiness-"}]}, True),
        ({"AlarmName": [{"prefix": "prod-"}]}, False),
        ({"AlarmName": [{"suffix": "-errors"}]}, True),
        ({"AlarmName": [{"anything-but": ["readiness-1-errors"]}]}, False),
        ({"AlarmName": [{"anything-but": {"prefix": "prod-"}}]}, True),
        ({"AlarmName": [{"equals-ignore-case": "READINESS-1-ERRORS"}]}, True),
        ({"Trigger": {"Threshold": [{"numeric": [">", 0, "<=", 0.01]}]}}, True),
        ({"Trigger": {"Threshold": [{"numeric": [">", 1]}]}}, False),
        ({"Trigger": {"Nothing": [{"exists": False}]}}, True),
        ({"Nothing": [{"exists": True}]}, False),
        ({"Nothing": [{"anything-but": "x"}]}, False),
        ({"$or": [{"NewStateValue": ["OK"]}, {"AWSAccountId": ["123456789012"]}]}, True),
        ({"$or": [{"NewStateValue": ["OK"]}, {"AWSAccountId": ["1"]}]}, False),
        ({"NewStateValue": ["ALARM"], "AWSAccountId": ["1"]}, False),
        ({}, True),
    ],
)
def test_a_policy_over_the_body_is_held_against_the_alarm(policy, passes):
    assert lets_through(json.dumps(policy), BODY, MESSAGE) is passes


def test_a_policy_over_attributes_drops_every_alarm_because_alarms_have_none():
    assert not lets_through('{"severity": ["high"]}', ATTRIBUTES, MESSAGE)
    assert not lets_through('{"NewStateValue": ["ALARM"]}', ATTRIBUTES, MESSAGE)
    assert lets_through('{"severity": [{"exists": false}]}', ATTRIBUTES, MESSAGE)


@pytest.mark.parametrize(
    "policy",
    [
        "no json",
        "[]",
        '{"AlarmName": "not a list"}',
        '{"AlarmName": [{"cidr": "10.0.0.0/8"}]}',
        '{"AlarmName": [{"prefix": "a", "suffix": "b"}]}',
        '{"Trigger": {"Threshold": [{"numeric": ["~", 1]}]}}',
        '{"Trigger": {"Threshold": [{"numeric": [">"]}]}}',
        '{"Trigger": {"Threshold": [{"numeric": 1}]}}',
    ],
)
def test_what_is_not_understood_is_said_never_taken_as_passing(policy):
    with pytest.raises(UnknownCondition):
        lets_through(policy, BODY, MESSAGE)
