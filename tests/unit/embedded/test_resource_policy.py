"""Whether a resource's policy lets a service do something, by IAM's documented rules."""

from __future__ import annotations

import json
from typing import Any

import pytest

from readiness.embedded.resource_policy import PolicyNotDoneError, ServiceCall, allows

TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
ALARM = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:errors"
CALL = ServiceCall(
    service="cloudwatch.amazonaws.com",
    action="sns:Publish",
    resource=TOPIC,
    context={"aws:SourceArn": ALARM, "aws:SourceAccount": "123456789012", "aws:SecureTransport": "true"},
)
ALLOW = {"Effect": "Allow", "Principal": {"Service": "cloudwatch.amazonaws.com"}, "Action": "sns:Publish"}


def statement(**changes: Any) -> dict[str, Any]:
    return ALLOW | {"Resource": TOPIC} | changes


def allowed(*statements: dict[str, Any]) -> bool:
    return allows(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), CALL)


def test_nothing_is_allowed_unless_a_statement_allows_it() -> None:
    assert not allowed()
    assert allowed(statement())


def test_a_statement_that_denies_wins() -> None:
    assert not allowed(statement(), statement(Effect="Deny"))


def test_a_deny_of_what_comes_without_tls_leaves_services_alone() -> None:
    without_tls = {"Bool": {"aws:SecureTransport": "false"}}
    assert allowed(statement(), statement(Effect="Deny", Principal="*", Action="sns:*", Condition=without_tls))


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"Service": ["events.amazonaws.com", "cloudwatch.amazonaws.com"]}}, True),
        ({"Principal": {"Service": "events.amazonaws.com"}}, False),
        ({"Principal": {"AWS": "arn:aws:iam::123456789012:root"}}, False),  # of the account, which a service is not
        ({"Action": ["SNS:Subscribe", "SNS:Pub*"]}, True),
        ({"Action": "sns:Subscribe"}, False),
        ({"Resource": "arn:aws:sns:*:*:al?rms"}, True),
        ({"Resource": f"{TOPIC}-other"}, False),
    ],
)
def test_principal_action_and_resource_have_to_match(changes: dict[str, Any], expected: bool) -> None:
    assert allowed(statement(**changes)) is expected


def test_not_action_and_not_resource_match_all_others() -> None:
    everything_else = {key: value for key, value in statement().items() if key != "Action"}
    assert allowed(everything_else | {"NotAction": "sns:Subscribe"})
    assert not allowed(everything_else | {"NotAction": "sns:*"})


@pytest.mark.parametrize(
    ("operator", "key", "wanted", "expected"),
    [
        ("StringEquals", "AWS:SourceAccount", "123456789012", True),  # keys are compared without regard to case
        ("StringEquals", "aws:SourceAccount", ["1", "123456789012"], True),
        ("StringEquals", "aws:SourceAccount", "1", False),
        ("StringNotEquals", "aws:SourceAccount", "1", True),
        ("StringNotEquals", "aws:SourceAccount", ["1", "123456789012"], False),
        ("StringLike", "aws:SourceArn", "arn:aws:cloudwatch:*", True),
        ("StringEqualsIgnoreCase", "aws:SourceArn", ALARM.upper(), True),
        ("ArnLike", "aws:SourceArn", "arn:aws:cloudwatch:*:*:alarm:*", True),
        ("ArnEquals", "aws:SourceArn", "arn:aws:cloudwatch:*:*:alarm:err*", True),  # the same as ArnLike
        ("ArnLike", "aws:SourceArn", "arn:aws:cloudwatch:*", False),  # no wildcard reaches beyond its part
        ("ArnNotLike", "aws:SourceArn", "arn:aws:cloudwatch:*:*:alarm:other", True),
        ("Bool", "aws:SecureTransport", True, True),
        ("Bool", "aws:SecureTransport", "false", False),
        ("StringEquals", "aws:PrincipalOrgID", "o-1", False),  # a key that the request does not carry
        ("StringEqualsIfExists", "aws:PrincipalOrgID", "o-1", True),
        ("StringNotEquals", "aws:PrincipalOrgID", "o-1", True),
        ("Null", "aws:PrincipalOrgID", "true", True),
        ("Null", "aws:SourceArn", "true", False),
        ("Null", "aws:SourceArn", False, True),
    ],
)
def test_conditions_hold_as_documented(operator: str, key: str, wanted: Any, expected: bool) -> None:
    assert allowed(statement(Condition={operator: {key: wanted}})) is expected


def test_every_condition_of_a_statement_has_to_hold() -> None:
    both = {"StringEquals": {"aws:SourceAccount": "123456789012"}, "ArnLike": {"aws:SourceArn": TOPIC}}
    assert not allowed(statement(Condition=both))


@pytest.mark.parametrize(
    ("policy", "named"),
    [
        ("not json", "no policy document"),
        ('{"Version": "2012-10-17"}', "no policy document"),
        (json.dumps({"Statement": [statement(NotPrincipal="*")]}), "NotPrincipal"),
        (json.dumps({"Statement": statement(Condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})}), "IpAddress"),
        (
            json.dumps({"Statement": statement(Condition={"ForAnyValue:StringLike": {"aws:x": "*"}})}),
            "ForAnyValue:StringLike",
        ),
        (json.dumps({"Statement": statement(Condition={"StringLike": {"aws:x": "${aws:y}"}})}), "variable"),
    ],
)
def test_a_policy_that_can_not_be_judged_is_refused_by_name_and_never_taken_for_a_yes(policy: str, named: str) -> None:
    with pytest.raises(PolicyNotDoneError, match=named):
        allows(policy, CALL)
