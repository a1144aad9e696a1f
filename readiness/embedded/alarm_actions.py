"""What alarms do when they change state: messages to SNS topics and invocations of Lambda functions.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-actions-Lambda.html

Actions run on state changes only, one after another from a thread, so that a slow topic never delays an evaluation.
Each is recorded in the alarm's history as succeeded or failed; failed is also what a topic's or function's policy, or
the policy of a topic's key, does not let CloudWatch do. Left out: EC2, Auto Scaling and Systems Manager actions
(refused when an alarm is put), events to EventBridge.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

import botocore.session

from readiness.embedded.alarms import Alarm, AlarmBook, Transition, timestamp_text, treatment_of
from readiness.embedded.service_permissions import alarm_refusal
from readiness.embedded.settings import ACCOUNT_ID

_ACTION_KEYS = {"OK": "OKActions", "ALARM": "AlarmActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
_MAX_SUBJECT_LENGTH = 100

Clients = Callable[[str], Any]
Refusal = Callable[[str, str], str]
"""Gets the ARNs of an action and of an alarm; returns why the alarm may not run it, or an empty string."""


class RefusedActionError(Exception):
    """CloudWatch is not allowed to run the action; the message is the one of the alarm's history."""


def is_supported(action_arn: str) -> bool:
    """Return whether an action of this ARN is done here."""
    return action_arn.startswith(("arn:aws:sns:", "arn:aws:lambda:"))


@lru_cache(maxsize=8)
def region_name(region: str) -> str:
    """Return a region as CloudWatch names it in messages: ``EU (Ireland)`` for eu-west-1."""
    partitions = botocore.session.get_session().get_data("endpoints")["partitions"]
    known = {code: one["description"] for partition in partitions for code, one in partition["regions"].items()}
    return str(known.get(region, region)).replace("Europe (", "EU (")


def subject(name: str, state: str, region: str) -> str:
    """Return the subject of the notification, cut to the 100 characters that SNS takes."""
    frame = f'{state}: "{{}}" in {region_name(region)}'
    room = _MAX_SUBJECT_LENGTH - len(frame.format(""))
    return frame.format(name if len(name) <= room else f"{name[: room - 3]}...")


def message(transition: Transition, region: str) -> dict[str, Any]:
    """Return the JSON document that CloudWatch publishes for a change of state.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/US_SetupSNS.html (fields as AWS sends them)
    """
    alarm = transition.alarm
    configuration = alarm.configuration
    document: dict[str, Any] = {
        "AlarmName": alarm.name,
        "AlarmDescription": configuration.get("AlarmDescription"),
        "AWSAccountId": ACCOUNT_ID,
        "AlarmConfigurationUpdatedTimestamp": timestamp_text(alarm.configured_at),
        "NewStateValue": transition.new_state,
        "NewStateReason": transition.new_reason,
        "StateChangeTime": timestamp_text(transition.at),
        "Region": region_name(region),
        "AlarmArn": alarm.arn,
        "OldStateValue": transition.old_state,
        **{key: list(configuration.get(key, ())) for key in ("OKActions", "AlarmActions", "InsufficientDataActions")},
    }
    if alarm.rule is not None:
        document["AlarmRule"] = alarm.rule.text
        document["TriggeringChildren"] = [
            {"Arn": arn, "State": {"Value": state, "Timestamp": timestamp_text(at)}}
            for arn, state, at in transition.children
        ]
    else:
        document["Trigger"] = _trigger(alarm)
    return document


def _trigger(alarm: Alarm) -> dict[str, Any]:
    configuration = alarm.configuration
    watched: dict[str, Any] = {}
    if "Metrics" not in configuration:
        extended = configuration.get("ExtendedStatistic")
        watched = {"MetricName": configuration["MetricName"], "Namespace": configuration["Namespace"]}
        watched |= (
            {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": extended}
            if extended
            else {"StatisticType": "Statistic", "Statistic": _shouted(configuration["Statistic"])}
        )
        watched |= {"Unit": configuration.get("Unit"), "Dimensions": _dimensions(configuration)}
    trigger = watched | {"Period": alarm.period_s, "EvaluationPeriods": alarm.evaluation_periods}
    if configuration.get("DatapointsToAlarm"):
        trigger["DatapointsToAlarm"] = alarm.datapoints_to_alarm
    trigger |= {
        "ComparisonOperator": configuration["ComparisonOperator"],
        "Threshold": float(configuration["Threshold"]),
        "TreatMissingData": treatment_of(alarm),
        "EvaluateLowSampleCountPercentile": configuration.get("EvaluateLowSampleCountPercentile", ""),
    }
    if "Metrics" in configuration:
        trigger["Metrics"] = [_query(raw) for raw in configuration["Metrics"]]
    return trigger


def _shouted(statistic: str) -> str:
    return {"SampleCount": "SAMPLE_COUNT"}.get(statistic, statistic.upper())


def _dimensions(raw: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"value": one["Value"], "name": one["Name"]} for one in raw.get("Dimensions", ())]


def _query(raw: Mapping[str, Any]) -> dict[str, Any]:
    query = {key: raw[key] for key in ("Expression", "Id", "Label") if key in raw}
    if "MetricStat" in raw:
        metric = raw["MetricStat"]["Metric"]
        query["MetricStat"] = {
            "Metric": {
                "Dimensions": _dimensions(metric),
                "MetricName": metric.get("MetricName"),
                "Namespace": metric.get("Namespace"),
            },
            **{key: raw["MetricStat"][key] for key in ("Period", "Stat", "Unit") if key in raw["MetricStat"]},
        }
    return query | {"ReturnData": bool(raw.get("ReturnData", True))}


def lambda_event(transition: Transition, region: str) -> dict[str, Any]:
    """Return the event with which CloudWatch invokes a function for a change of state."""
    alarm = transition.alarm
    state = {
        "value": transition.new_state,
        "reason": transition.new_reason,
        "timestamp": timestamp_text(transition.at),
    }
    if transition.new_reason_data:
        state["reasonData"] = transition.new_reason_data
    previous = {
        "value": transition.old_state,
        "reason": transition.old_reason,
        "timestamp": timestamp_text(transition.old_updated_at),
    }
    configuration: dict[str, Any] = {"description": alarm.configuration.get("AlarmDescription")}
    if alarm.rule is not None:
        configuration["alarmRule"] = alarm.rule.text
    else:
        configuration["metrics"] = [_lambda_metric(alarm, query.id) for query in alarm.queries]
    return {
        "source": "aws.cloudwatch",
        "alarmArn": alarm.arn,
        "accountId": ACCOUNT_ID,
        "time": timestamp_text(transition.at),
        "region": region,
        "alarmData": {
            "alarmName": alarm.name,
            "state": state,
            "previousState": previous,
            "configuration": configuration,
        },
    }


def _lambda_metric(alarm: Alarm, query_id: str) -> dict[str, Any]:
    query = next(one for one in alarm.queries if one.id == query_id)
    described: dict[str, Any] = {"id": query.id, "returnData": query.returns_data}
    if query.expression is not None:
        return described | {"expression": query.expression.text, "label": query.label}
    assert query.stat is not None
    metric = {"namespace": query.stat.key.namespace, "name": query.stat.key.name}
    stat = {"period": str(query.stat.period_s), "stat": query.stat.statistic}
    return described | {"metricStat": {"metric": metric | {"dimensions": dict(query.stat.key.dimensions)}, **stat}}


class AlarmActions:
    """Runs actions one after another and records how each went.

    Args:
        clients: Gives the boto3 client of a service.
        region: Region of the alarms.
        refusal: Tells whether CloudWatch may run an action.
    """

    def __init__(self, clients: Clients, region: str, refusal: Refusal = alarm_refusal) -> None:
        self._clients = clients
        self._region = region
        self._refusal = refusal
        self._waiting: queue.SimpleQueue[tuple[AlarmBook, Transition, str] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="alarm-actions", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread after the action that it is at; what still waits is dropped."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join(timeout=10)
            self._thread = None

    def enqueue(self, book: AlarmBook, transition: Transition) -> None:
        """Take note of the actions of a change of state; none if the alarm's actions are disabled."""
        alarm = transition.alarm
        if not alarm.configuration.get("ActionsEnabled", True):
            return
        frozen = replace(transition, alarm=replace(alarm))
        for arn in alarm.configuration.get(_ACTION_KEYS[transition.new_state], ()):
            self._waiting.put((book, frozen, arn))

    def run_waiting(self) -> None:
        """Run what waits, now, in the caller's thread (for tests that have no thread)."""
        while not self._waiting.empty():
            self._run_one(self._waiting.get())

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            self._run_one(waiting)

    def _run_one(self, waiting: tuple[AlarmBook, Transition, str] | None) -> None:
        if waiting is None:
            return
        book, transition, arn = waiting
        published = message(transition, self._region)
        data: dict[str, Any] = {"actionState": "Succeeded", "notificationResource": arn}
        try:
            self._execute(arn, transition, published)
            summary = f"Successfully executed action {arn}"
        except Exception as error:  # noqa: BLE001 - whatever went wrong belongs into the history
            summary = f'Failed to execute action {arn}. Received error: "{error}"'
            data |= {"actionState": "Failed", "error": str(error)}
            told = f"embedded AWS: alarm {transition.alarm.name}: {summary}"
            print(told, file=sys.stderr)  # noqa: T201
        data |= {
            "stateUpdateTimestamp": round(transition.at * 1000),
            "publishedMessage": json.dumps({"default": json.dumps(published)}),
        }
        book.record(transition.alarm, "Action", summary, data)

    def _execute(self, arn: str, transition: Transition, published: Mapping[str, Any]) -> None:
        if refused := self._refusal(arn, transition.alarm.arn):
            raise RefusedActionError(refused)
        if arn.startswith("arn:aws:sns:"):
            title = subject(transition.alarm.name, transition.new_state, self._region)
            self._clients("sns").publish(TopicArn=arn, Subject=title, Message=json.dumps(published))
        else:
            event = json.dumps(lambda_event(transition, self._region))
            self._clients("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=event)
