"""Subscriptions that somebody has to confirm: the rules that AWS documents, by boto3."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from readiness.embedded import moto_adapter
from readiness.embedded.clients import Clients
from readiness.embedded.settings import EmbeddedSettings
from readiness.embedded.subscriptions import Subscriptions

ADA, BOB = "ada@example.com", "bob@example.com"


@pytest.fixture
def sns(tmp_path):
    moto_adapter.reset_state()
    part = Subscriptions(EmbeddedSettings(state_dir=tmp_path, confirms=(ADA,)))
    for service, actions in part.actions.items():
        moto_adapter.override(service, actions)
    with moto_adapter.MotoServer("eu-west-1") as server:
        yield Clients(server.endpoint, "eu-west-1")("sns")
    moto_adapter.forget_all()


@pytest.fixture
def topic(sns):
    return sns.create_topic(Name="alarms")["TopicArn"]


def listed(sns, topic):
    told = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return {each["Endpoint"]: each["SubscriptionArn"] for each in told}


def test_an_email_subscription_waits_for_its_owner(sns, topic):
    answer = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=BOB)

    assert answer["SubscriptionArn"] == "pending confirmation"
    assert listed(sns, topic) == {BOB: "PendingConfirmation"}


def test_its_arn_is_told_only_to_who_asks_for_it(sns, topic):
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=BOB, ReturnSubscriptionArn=True)["SubscriptionArn"]

    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["PendingConfirmation"] == "true"
    assert listed(sns, topic) == {BOB: "PendingConfirmation"}
    again = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=BOB, ReturnSubscriptionArn=True)
    assert again["SubscriptionArn"] == arn, "AWS makes no second one"


def test_an_address_that_the_settings_confirm_is_confirmed(sns, topic):
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=ADA)["SubscriptionArn"]

    assert listed(sns, topic) == {ADA: arn}
    assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"] == arn
    attributes = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    assert (attributes["PendingConfirmation"], attributes["Protocol"]) == ("false", "email")


def test_nothing_is_sent_to_anybody(sns, topic):
    """The unit tests refuse any connection but to this machine; moto alone would post to the address."""
    sns.subscribe(TopicArn=topic, Protocol="https", Endpoint="https://pager.example.com/alarms")

    sns.publish(TopicArn=topic, Message="hello")

    assert listed(sns, topic) == {"https://pager.example.com/alarms": "PendingConfirmation"}


def test_a_filter_policy_is_kept_and_taken_away(sns, topic):
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=ADA)["SubscriptionArn"]
    policy = {"SubscriptionArn": arn, "AttributeName": "FilterPolicy"}

    sns.set_subscription_attributes(**policy, AttributeValue='{"a": ["b"]}')
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["FilterPolicy"] == '{"a": ["b"]}'
    sns.set_subscription_attributes(**policy, AttributeValue="")
    assert "FilterPolicy" not in sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]


def test_what_is_unsubscribed_or_whose_topic_is_deleted_is_gone(sns, topic):
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=ADA)["SubscriptionArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=BOB)

    sns.unsubscribe(SubscriptionArn=arn)
    assert list(listed(sns, topic)) == [BOB]
    with pytest.raises(ClientError, match="NotFound"):
        sns.get_subscription_attributes(SubscriptionArn=arn)

    sns.delete_topic(TopicArn=topic)
    assert sns.list_subscriptions()["Subscriptions"] == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"Endpoint": "nobody"}, "InvalidParameter"),
        ({"Protocol": "https", "Endpoint": "http://plain"}, "InvalidParameter"),
        ({"TopicArn": "arn:aws:sns:eu-west-1:123456789012:nothing"}, "NotFound"),
        ({"Attributes": {"Colour": "red"}}, "InvalidParameter"),
    ],
)
def test_what_aws_would_refuse_is_refused(sns, topic, changes, code):
    with pytest.raises(ClientError) as caught:
        sns.subscribe(**{"TopicArn": topic, "Protocol": "email", "Endpoint": BOB, **changes})

    assert caught.value.response["Error"]["Code"] == code


def test_a_confirmation_by_token_is_refused_by_name_because_no_token_is_ever_sent(sns, topic):
    with pytest.raises(ClientError, match=r"\[embedded\] confirms"):
        sns.confirm_subscription(TopicArn=topic, Token="x")


def test_queues_stay_with_moto(sns, topic):
    queue = "arn:aws:sqs:eu-west-1:123456789012:inbox"
    arn = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)["SubscriptionArn"]

    assert listed(sns, topic) == {queue: arn}
    sns.unsubscribe(SubscriptionArn=arn)
    assert listed(sns, topic) == {}
