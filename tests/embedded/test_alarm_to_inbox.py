"""A metric crosses its threshold; the message lies in the inbox. All through boto3, as the harness does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from readiness.embedded.settings import ACCOUNT_ID
from tests.embedded.parts import Parts, eventually, running

DIMENSIONS = [{"Name": "Service", "Value": "a"}]


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[Parts]:
    with running(tmp_path, time_scale=60.0) as parts:
        yield parts


def allow(service: str, action: str, resource: str) -> dict[str, Any]:
    return {"Effect": "Allow", "Principal": {"Service": service}, "Action": action, "Resource": resource}


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def shared_key(aws: Parts) -> str:
    """Make a key that alarms and topics may use."""
    services = ("cloudwatch.amazonaws.com", "sns.amazonaws.com")
    policy = document(*(allow(service, "kms:*", "*") for service in services))
    return str(aws.clients("kms").create_key(Policy=policy)["KeyMetadata"]["Arn"])


def inbox(aws: Parts, attributes: dict[str, str] | None = None, *, encrypted: bool = False) -> tuple[str, str]:
    """Make a topic with a queue subscribed to it; return the topic's ARN and the queue's URL."""
    arn = f"arn:aws:sqs:eu-west-1:{ACCOUNT_ID}:inbox"
    key = {"KmsMasterKeyId": shared_key(aws)} if encrypted else {}
    topic = aws.clients("sns").create_topic(Name="alarms", Attributes=key)["TopicArn"]
    policy = document(allow("sns.amazonaws.com", "sqs:SendMessage", arn))
    queue = aws.clients("sqs").create_queue(QueueName="inbox", Attributes=key | {"Policy": policy})["QueueUrl"]
    aws.clients("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=attributes or {})
    return topic, queue


def receive(aws: Parts, queue: str) -> Any:
    """Wait for the next message and return its body."""
    sqs = aws.clients("sqs")

    def once() -> Any:
        found = sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            return json.loads(message["Body"])
        return None

    return eventually(once)


def put_alarm(aws: Parts, topic: str, **changes: Any) -> None:
    alarm = {
        "AlarmName": "errors",
        "Namespace": "App",
        "MetricName": "Errors",
        "Dimensions": DIMENSIONS,
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": 5,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [topic],
        "OKActions": [topic],
        "Tags": [{"Key": "readiness:run-id", "Value": "r1"}],
    }
    aws.clients("cloudwatch").put_metric_alarm(**(alarm | changes))


def put_errors(aws: Parts, count: float) -> None:
    datum = {"MetricName": "Errors", "Dimensions": DIMENSIONS, "Value": count, "Unit": "Count"}
    aws.clients("cloudwatch").put_metric_data(Namespace="App", MetricData=[datum])


def test_an_alarm_reaches_the_inbox_and_so_does_its_end(aws: Parts) -> None:
    topic, queue = inbox(aws)
    put_alarm(aws, topic)
    first = json.loads(receive(aws, queue)["Message"])
    assert (first["OldStateValue"], first["NewStateValue"]) == ("INSUFFICIENT_DATA", "OK")

    put_errors(aws, 9)
    raised = receive(aws, queue)
    assert raised["Subject"] == 'ALARM: "errors" in EU (Ireland)'
    assert raised["TopicArn"] == topic
    document = json.loads(raised["Message"])
    assert (document["AlarmName"], document["NewStateValue"], document["OldStateValue"]) == ("errors", "ALARM", "OK")
    assert document["Trigger"]["MetricName"] == "Errors"

    cleared = json.loads(receive(aws, queue)["Message"])
    assert (cleared["NewStateValue"], cleared["OldStateValue"]) == ("OK", "ALARM")

    cloudwatch = aws.clients("cloudwatch")
    (alarm,) = cloudwatch.describe_alarms(AlarmNames=["errors"])["MetricAlarms"]
    assert alarm["StateValue"] == "OK"
    assert alarm["StateUpdatedTimestamp"] > datetime.now(UTC) - timedelta(minutes=1)
    tags = cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
    assert tags == [{"Key": "readiness:run-id", "Value": "r1"}]
    history = cloudwatch.get_paginator("describe_alarm_history").paginate(AlarmName="errors").build_full_result()
    kinds = [item["HistoryItemType"] for item in history["AlarmHistoryItems"]]
    assert kinds.count("StateUpdate") == 3
    assert kinds.count("Action") == 3
    assert kinds[-1] == "ConfigurationUpdate"


def test_an_encrypted_raw_and_filtered_subscription_delivers(aws: Parts) -> None:
    attributes = {
        "RawMessageDelivery": "true",
        "FilterPolicyScope": "MessageBody",
        "FilterPolicy": json.dumps({"NewStateValue": ["ALARM"]}),
    }
    topic, queue = inbox(aws, attributes, encrypted=True)
    put_alarm(aws, topic)
    put_errors(aws, 9)
    document = receive(aws, queue)
    assert document["NewStateValue"] == "ALARM"


def test_a_composite_alarm_reaches_the_inbox(aws: Parts) -> None:
    topic, queue = inbox(aws)
    put_alarm(aws, topic, AlarmActions=[], OKActions=[])
    aws.clients("cloudwatch").put_composite_alarm(
        AlarmName="any", AlarmRule="ALARM(errors) OR FALSE", AlarmActions=[topic]
    )
    put_errors(aws, 9)
    document = json.loads(receive(aws, queue)["Message"])
    assert (document["AlarmName"], document["NewStateValue"]) == ("any", "ALARM")
    with pytest.raises(ClientError, match="depending"):
        aws.clients("cloudwatch").delete_alarms(AlarmNames=["errors"])


def test_an_alarm_without_its_topic_says_so_in_its_history(aws: Parts, capsys: pytest.CaptureFixture[str]) -> None:
    put_alarm(aws, f"arn:aws:sns:eu-west-1:{ACCOUNT_ID}:nowhere")
    cloudwatch = aws.clients("cloudwatch")

    def failed_action() -> Any:
        return cloudwatch.describe_alarm_history(AlarmName="errors", HistoryItemType="Action")["AlarmHistoryItems"]

    summary = eventually(failed_action)[0]["HistorySummary"]
    assert summary.startswith(f"Failed to execute action arn:aws:sns:eu-west-1:{ACCOUNT_ID}:nowhere")
    assert "nowhere" in capsys.readouterr().err


def test_an_alarm_at_a_topic_whose_key_does_not_let_it_rings_and_nobody_hears_it(aws: Parts) -> None:
    topic, queue = inbox(aws)
    shut = aws.clients("kms").create_key()["KeyMetadata"]["Arn"]  # with the policy that KMS gives to a new key
    sns = aws.clients("sns")
    sns.set_topic_attributes(TopicArn=topic, AttributeName="KmsMasterKeyId", AttributeValue=shut)
    put_alarm(aws, topic)
    put_errors(aws, 9)
    cloudwatch = aws.clients("cloudwatch")

    def items() -> Any:
        found = cloudwatch.describe_alarm_history(AlarmName="errors", HistoryItemType="Action")["AlarmHistoryItems"]
        return len(found) >= 2 and found

    assert all(
        "authorization to access the SNS topic encryption key" in item["HistorySummary"] for item in eventually(items)
    )
    assert "Messages" not in aws.clients("sqs").receive_message(QueueUrl=queue)


def test_percentiles_and_expressions_come_through_the_api(aws: Parts) -> None:
    cloudwatch = aws.clients("cloudwatch")
    at = datetime.now(UTC)
    values = [float(value) for value in range(1, 101)]
    latency = {"MetricName": "Latency", "Dimensions": DIMENSIONS, "Timestamp": at, "Values": values, "Unit": "Seconds"}
    cloudwatch.put_metric_data(Namespace="App", MetricData=[latency])
    metric = {"Namespace": "App", "MetricName": "Latency", "Dimensions": DIMENSIONS}
    queries = [
        {"Id": "p", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "p99"}},
        {"Id": "n", "MetricStat": {"Metric": metric, "Period": 60, "Stat": "SampleCount"}, "ReturnData": False},
        {"Id": "e", "Expression": "p / n", "Label": "ratio"},
    ]
    answer = cloudwatch.get_metric_data(
        MetricDataQueries=queries, StartTime=at - timedelta(minutes=5), EndTime=at + timedelta(minutes=1)
    )
    assert {one["Id"]: one["Values"] for one in answer["MetricDataResults"]} == {"p": [99.0], "e": [0.99]}
    queries[0]["MetricStat"]["Stat"] = "tm99"
    with pytest.raises(ClientError, match="tm99"):
        cloudwatch.get_metric_data(MetricDataQueries=queries, StartTime=at - timedelta(minutes=5), EndTime=at)


def test_an_operation_that_is_not_done_is_refused_by_name(aws: Parts) -> None:
    with pytest.raises(ClientError, match="PutAnomalyDetector"):
        aws.clients("cloudwatch").put_anomaly_detector(Namespace="App", MetricName="Errors", Stat="Sum")


def test_a_state_set_by_hand_is_notified_and_then_corrected(aws: Parts) -> None:
    topic, queue = inbox(aws)
    put_alarm(aws, topic)
    receive(aws, queue)
    aws.clients("cloudwatch").set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="drill")
    assert json.loads(receive(aws, queue)["Message"])["NewStateReason"] == "drill"
    assert json.loads(receive(aws, queue)["Message"])["NewStateValue"] == "OK"
