"""What alarms, topics and load balancers may do is decided by policies and keys: faults that silence an alarm."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from readiness.embedded import moto_adapter
from readiness.embedded.clients import Clients
from readiness.embedded.cloudwatch import CloudWatch
from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.service_permissions import (
    Deliveries,
    alarm_refusal,
    delivery_refusal,
    registration_refusal,
)
from readiness.embedded.settings import EmbeddedSettings

REGION, ACCOUNT = "eu-west-1", "123456789012"
ALARM = f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:errors"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:alarms"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:inbox"
ROOT = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}

Make = Callable[[str], Any]


@pytest.fixture
def clients() -> Iterator[Make]:
    moto_adapter.forget_all()
    moto_adapter.reset_state()
    with moto_adapter.MotoServer(REGION) as server:
        moto_adapter.override("sqs", Deliveries().actions["sqs"])
        yield Clients(server.endpoint, REGION)
    moto_adapter.forget_all()
    moto_adapter.reset_state()


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def publish_by(service: str, **changes: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sns:Publish", "Resource": TOPIC} | changes


def send_by(source: str, **changes: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": QUEUE,
        "Condition": {"ArnEquals": {"aws:SourceArn": source}},
    } | changes


def use_by(service: str, *actions: str, **changes: Any) -> dict[str, Any]:
    return {
        "Effect": "Allow",
        "Principal": {"Service": service},
        "Action": list(actions or ("kms:Decrypt", "kms:GenerateDataKey*")),
        "Resource": "*",
    } | changes


def key(clients: Make, *statements: dict[str, Any]) -> str:
    return str(clients("kms").create_key(Policy=document(ROOT, *statements))["KeyMetadata"]["Arn"])


def topic(clients: Make, **attributes: str) -> str:
    return str(clients("sns").create_topic(Name="alarms", Attributes=attributes)["TopicArn"])


def queue(clients: Make, **attributes: str) -> str:
    return str(clients("sqs").create_queue(QueueName="inbox", Attributes=attributes)["QueueUrl"])


# An alarm at a topic


def test_the_policy_that_sns_gives_a_new_topic_lets_alarms_of_the_account_publish(clients: Make) -> None:
    assert alarm_refusal(topic(clients), ALARM) == ""


def test_a_policy_of_ones_own_has_to_let_cloudwatch_publish(clients: Make) -> None:
    arn = topic(clients, Policy=document(publish_by("events.amazonaws.com")))
    assert alarm_refusal(arn, ALARM) == (
        f"Resource: {ALARM} is not authorized to perform: SNS:Publish on resource: {TOPIC}"
    )


def test_a_policy_for_other_alarms_is_none_for_this_one(clients: Make) -> None:
    others = {"ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:staging-*"}}
    arn = topic(clients, Policy=document(publish_by("cloudwatch.amazonaws.com", Condition=others)))
    assert "not authorized" in alarm_refusal(arn, ALARM)
    assert alarm_refusal(arn, ALARM.replace("errors", "staging-errors")) == ""


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        ((), "does not let cloudwatch.amazonaws.com do kms:GenerateDataKey"),  # the key's policy as KMS gives it
        ((use_by("cloudwatch.amazonaws.com", "kms:GenerateDataKey*"),), "do kms:Decrypt"),
        ((use_by("sns.amazonaws.com"),), "cloudwatch.amazonaws.com"),
    ],
)
def test_the_key_of_an_encrypted_topic_has_to_let_cloudwatch_use_it(
    clients: Make, statements: tuple[dict[str, Any], ...], why: str
) -> None:
    refusal = alarm_refusal(topic(clients, KmsMasterKeyId=key(clients, *statements)), ALARM)
    assert refusal.startswith("CloudWatch Alarms does not have authorization to access the SNS topic encryption key.")
    assert why in refusal


def test_a_key_that_lets_this_accounts_alarms_use_it_will_do(clients: Make) -> None:
    own = {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:cloudwatch:{REGION}:{ACCOUNT}:alarm:*"},
    }
    arn = topic(clients, KmsMasterKeyId=key(clients, use_by("cloudwatch.amazonaws.com", Condition=own)))
    assert alarm_refusal(arn, ALARM) == ""


def test_the_aws_managed_key_of_sns_will_not_do(clients: Make) -> None:
    assert "alias/aws/sns is an AWS managed key" in alarm_refusal(topic(clients, KmsMasterKeyId="alias/aws/sns"), ALARM)


def test_a_key_that_is_to_be_deleted_is_no_key(clients: Make) -> None:
    arn = key(clients, use_by("cloudwatch.amazonaws.com"))
    clients("kms").schedule_key_deletion(KeyId=arn.rsplit("/", 1)[1], PendingWindowInDays=7)
    assert "PendingDeletion" in alarm_refusal(topic(clients, KmsMasterKeyId=arn), ALARM)


def test_a_topic_that_is_not_there_is_an_error(clients: Make) -> None:
    with pytest.raises(AwsError, match="NotFound"):
        alarm_refusal(TOPIC, ALARM)


def test_an_action_that_is_refused_is_a_failed_one_in_the_alarms_history(
    clients: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arn = topic(clients, Policy=document(publish_by("events.amazonaws.com")))
    queue(clients, Policy=document(send_by(arn)))
    clients("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)
    cloudwatch = CloudWatch(EmbeddedSettings(state_dir=tmp_path), clients)
    act = cloudwatch.actions["cloudwatch"]
    metric = {"Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 60, "EvaluationPeriods": 1}
    rest = {"Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold", "AlarmActions": [arn]}
    act["PutMetricAlarm"]({"AlarmName": "errors", **metric, **rest})
    act["SetAlarmState"]({"AlarmName": "errors", "StateValue": "ALARM", "StateReason": "drill"})
    cloudwatch.run_waiting_actions()
    (item,) = act["DescribeAlarmHistory"]({"AlarmName": "errors", "HistoryItemType": "Action"})["AlarmHistoryItems"]
    assert item["HistorySummary"] == (
        f'Failed to execute action {arn}. Received error: "Resource: {ALARM} is not authorized to perform: '
        f'SNS:Publish on resource: {arn}"'
    )
    assert json.loads(item["HistoryData"])["actionState"] == "Failed"
    assert "not authorized" in capsys.readouterr().err


# A topic at a queue


def test_a_queue_without_a_policy_takes_nothing_from_topics(clients: Make) -> None:
    queue(clients)
    assert "does not let sns.amazonaws.com" in delivery_refusal(topic(clients), QUEUE)


def test_a_queues_policy_lets_the_topic_that_it_names_send(clients: Make) -> None:
    queue(clients, Policy=document(send_by(TOPIC)))
    assert delivery_refusal(topic(clients), QUEUE) == ""
    assert delivery_refusal(f"{TOPIC}-other", QUEUE) != ""


def test_the_key_of_an_encrypted_queue_has_to_let_sns_use_it(clients: Make) -> None:
    arn = topic(clients)
    shut = key(clients, use_by("cloudwatch.amazonaws.com"))
    url = queue(clients, Policy=document(send_by(arn)), KmsMasterKeyId=shut)
    assert "does not let sns.amazonaws.com do kms:GenerateDataKey" in delivery_refusal(arn, QUEUE)
    clients("kms").put_key_policy(KeyId=shut, PolicyName="default", Policy=document(ROOT, use_by("sns.amazonaws.com")))
    assert delivery_refusal(arn, QUEUE) == ""
    clients("sqs").set_queue_attributes(QueueUrl=url, Attributes={"KmsMasterKeyId": "alias/aws/sqs"})
    assert "AWS managed key" in delivery_refusal(arn, QUEUE)  # and the policy is still there


def test_a_refused_message_is_lost_without_a_word_to_the_publisher(
    clients: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    arn, url = topic(clients), queue(clients)
    clients("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)
    deliveries = Deliveries()
    deliveries.start()
    assert clients("sns").publish(TopicArn=arn, Message="lost")["MessageId"]
    assert "was not delivered: the policy of queue inbox" in capsys.readouterr().err
    clients("sqs").set_queue_attributes(QueueUrl=url, Attributes={"Policy": document(send_by(arn))})
    clients("sns").publish(TopicArn=arn, Subject="about", Message="kept")
    (message,) = clients("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert json.loads(message["Body"])["Message"] == "kept"
    deliveries.stop()


def test_a_message_lies_in_the_queue_in_the_documented_envelope(clients: Make) -> None:
    arn = topic(clients)
    url = queue(clients, Policy=document(send_by(arn)))
    clients("sns").subscribe(TopicArn=arn, Protocol="sqs", Endpoint=QUEUE)
    published = clients("sns").publish(TopicArn=arn, Subject="about", Message="text")["MessageId"]
    (message,) = clients("sqs").receive_message(QueueUrl=url)["Messages"]
    envelope = json.loads(message["Body"])
    assert (envelope["Type"], envelope["MessageId"], envelope["TopicArn"]) == ("Notification", published, arn)
    assert (envelope["Subject"], envelope["Message"]) == ("about", "text")
    told = {"Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL"}
    assert told <= set(envelope)


# A load balancer at a function


def test_a_load_balancer_may_invoke_a_function_only_with_its_permission(clients: Make) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", "")
    role = clients("iam").create_role(RoleName="r", AssumeRolePolicyDocument=document())["Role"]["Arn"]
    made = {"Runtime": "python3.12", "Role": role, "Handler": "index.h", "Code": {"ZipFile": archive.getvalue()}}
    function = clients("lambda").create_function(FunctionName="fault", **made)["FunctionArn"]
    group = f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/fault/1"
    assert "does not have permission to invoke" in registration_refusal(function, group)
    clients("lambda").add_permission(
        FunctionName=function,
        StatementId="balancer",
        Action="lambda:InvokeFunction",
        Principal="elasticloadbalancing.amazonaws.com",
        SourceArn=f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/*",
    )
    assert registration_refusal(function, group) == ""
    assert alarm_refusal(function, ALARM) != ""  # that is another principal
