from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from readiness.embedded import scheduler as scheduler_module
from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.scheduler import Retries, Scheduler, as_parameters, parse_at, universal_call
from readiness.embedded.settings import EmbeddedSettings

NOON = datetime(2030, 1, 2, 12, 0, 0, tzinfo=UTC).timestamp()
DELETE_STACK = "arn:aws:scheduler:::aws-sdk:cloudformation:deleteStack"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:dead"


def test_an_instant_is_read_in_its_time_zone() -> None:
    assert parse_at("at(2030-01-02T12:00:00)", None) == NOON
    assert parse_at("at(2030-01-02T13:00:00)", "Europe/Berlin") == NOON
    assert parse_at("at(2030-07-02T14:00:00)", "Europe/Berlin") == parse_at("at(2030-07-02T12:00:00)", "UTC")


@pytest.mark.parametrize(
    ("expression", "zone", "code"),
    [
        ("rate(5 minutes)", None, "NotImplemented"),
        ("cron(0 12 * * ? *)", None, "NotImplemented"),
        ("at(2030-01-02)", None, "ValidationException"),
        ("at(2030-13-02T12:00:00)", None, "ValidationException"),
        ("at(2030-01-02T12:00:00)", "Mars/Olympus", "ValidationException"),
    ],
)
def test_an_expression_that_cannot_be_run_is_refused(expression: str, zone: str | None, code: str) -> None:
    with pytest.raises(AwsError, match=r"not done|Invalid") as refused:
        parse_at(expression, zone)
    assert refused.value.code == code


def test_a_universal_target_names_a_service_and_an_operation() -> None:
    assert universal_call(DELETE_STACK) == ("cloudformation", "DeleteStack")
    assert universal_call("arn:aws:scheduler:::aws-sdk:sfn:startExecution") == ("stepfunctions", "StartExecution")


@pytest.mark.parametrize(
    "arn",
    [
        "arn:aws:scheduler:::aws-sdk:nothing:deleteStack",
        "arn:aws:scheduler:::aws-sdk:cloudformation:explode",
        "arn:aws:scheduler:::aws-sdk:cloudformation:describeStacks",
        "arn:aws:scheduler:::http-invoke",
    ],
)
def test_a_universal_target_that_cannot_be_called_is_refused(arn: str) -> None:
    with pytest.raises(AwsError, match="Provided Arn"):
        universal_call(arn)


def test_input_keys_are_spelled_as_the_api_spells_them() -> None:
    import botocore.session

    shape = botocore.session.get_session().get_service_model("ecs").operation_model("UpdateService").input_shape
    spelled = as_parameters({"Cluster": "c", "Service": "s", "DesiredCount": 0, "Unknown": 1}, shape)
    assert spelled == {"cluster": "c", "service": "s", "desiredCount": 0, "Unknown": 1}


def test_pauses_between_retries_double_up_to_a_minute() -> None:
    assert [Retries().pause_s(attempt) for attempt in (1, 2, 3, 7, 8, 100)] == [1, 2, 4, 60, 60, 60]


class World:
    """A scheduler with a clock that is set by hand; the store and the AWS APIs take notes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = NOON - 60
        self.store: dict[tuple[str, str], dict[str, Any]] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.failures = 0
        monkeypatch.setattr(scheduler_module, "call_moto", self.call_moto)
        settings = EmbeddedSettings(state_dir=Path("/nonexistent"))
        self.scheduler = Scheduler(settings, self.client, clock=lambda: self.now)
        monkeypatch.setattr(self.scheduler._stopping, "wait", self.wait)

    def wait(self, pause_s: float) -> bool:
        self.now += pause_s
        return False

    def call_moto(self, _service: str, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        key = (params.get("GroupName") or "default", params["Name"])
        if operation == "CreateSchedule":
            self.store[key] = params | {"Arn": f"arn:aws:scheduler:eu-west-1:123456789012:schedule/{'/'.join(key)}"}
            return {"ScheduleArn": self.store[key]["Arn"]}
        if key not in self.store:
            raise AwsError("ResourceNotFoundException", "gone", 404)
        return self.store.pop(key) if operation == "DeleteSchedule" else self.store[key]

    def client(self, service: str) -> Any:
        import boto3

        world = self

        class Recording:
            meta = (
                boto3.session.Session(region_name="eu-west-1", aws_access_key_id="x", aws_secret_access_key="x")
                .client(service)
                .meta
            )

            def __getattr__(self, method: str) -> Callable[..., Any]:
                def call(**params: Any) -> Any:
                    if method == "get_queue_url":
                        return {"QueueUrl": f"http://queue/{params['QueueName']}"}
                    world.calls.append((f"{service}.{method}", params))
                    if world.failures and method != "send_message":
                        world.failures -= 1
                        raise ClientError({"Error": {"Code": "Throttling", "Message": "slow down"}}, method)
                    return {}

                return call

        return Recording()

    def create(self, **changes: Any) -> None:
        params: dict[str, Any] = {
            "Name": "reaper",
            "ScheduleExpression": "at(2030-01-02T12:00:00)",
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "ActionAfterCompletion": "DELETE",
            "Target": {"Arn": DELETE_STACK, "RoleArn": "arn:aws:iam::1:role/r", "Input": '{"StackName": "s"}'},
        }
        self.scheduler.actions["scheduler"]["CreateSchedule"](params | changes)

    def run_due(self) -> int:
        due = self.scheduler.take_due()
        for group, name, at in due:
            self.scheduler.run_schedule(group, name, at)
        return len(due)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def target(arn: str = DELETE_STACK, **changes: Any) -> dict[str, Any]:
    return {"Arn": arn, "RoleArn": "arn:aws:iam::1:role/r", "Input": '{"StackName": "s"}'} | changes


def test_a_schedule_runs_at_its_instant_once_and_is_deleted(world: World) -> None:
    world.create()
    assert world.run_due() == 0
    world.now = NOON
    assert world.run_due() == 1
    assert world.calls == [("cloudformation.delete_stack", {"StackName": "s"})]
    assert world.store == {}
    assert world.run_due() == 0


def test_without_deletion_a_schedule_stays_and_never_runs_again(world: World) -> None:
    world.create(ActionAfterCompletion="NONE")
    world.now = NOON
    world.run_due()
    world.now += 3600
    assert world.run_due() == 0
    assert ("default", "reaper") in world.store


def test_an_instant_in_the_past_is_refused(world: World) -> None:
    world.now = NOON + 1
    with pytest.raises(AwsError, match="in the past") as refused:
        world.create()
    assert refused.value.code == "ValidationException"
    assert world.store == {}


def test_a_deleted_schedule_does_not_run(world: World) -> None:
    world.create()
    world.scheduler.actions["scheduler"]["DeleteSchedule"]({"Name": "reaper"})
    world.now = NOON
    assert world.run_due() == 0
    assert world.calls == []


def test_a_disabled_schedule_does_not_run(world: World) -> None:
    world.create(State="DISABLED")
    world.now = NOON
    world.run_due()
    assert world.calls == []


def test_a_failure_is_retried_until_it_succeeds(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.create()
    world.now, world.failures = NOON, 3
    world.run_due()
    assert [name for name, _ in world.calls] == ["cloudformation.delete_stack"] * 4
    assert world.now == NOON + 1 + 2 + 4
    assert capsys.readouterr().err.count("slow down") == 3


def test_used_up_retries_end_in_the_dead_letter_queue(world: World) -> None:
    policy = {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600}
    world.create(Target=target(RetryPolicy=policy, DeadLetterConfig={"Arn": QUEUE}))
    world.now, world.failures = NOON, 99
    world.run_due()
    name, message = world.calls[-1]
    assert len(world.calls) == 3 + 1
    assert (name, message["QueueUrl"], message["MessageBody"]) == (
        "sqs.send_message",
        "http://queue/dead",
        '{"StackName": "s"}',
    )
    attributes = {key: value["StringValue"] for key, value in message["MessageAttributes"].items()}
    assert attributes["ERROR_CODE"] == "Throttling"
    assert attributes["RETRY_ATTEMPTS"] == "2"
    assert attributes["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts"


def test_an_event_that_is_too_old_is_not_retried(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    world.create(Target=target(RetryPolicy={"MaximumRetryAttempts": 185, "MaximumEventAgeInSeconds": 60}))
    world.now, world.failures = NOON, 999
    world.run_due()
    assert world.now - NOON <= 60
    assert "given up" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arn", "call", "expected"),
    [
        ("arn:aws:lambda:eu-west-1:1:function:f", "lambda.invoke", {"InvocationType": "Event"}),
        ("arn:aws:sns:eu-west-1:1:t", "sns.publish", {"TopicArn": "arn:aws:sns:eu-west-1:1:t"}),
        ("arn:aws:sqs:eu-west-1:1:q", "sqs.send_message", {"QueueUrl": "http://queue/q"}),
    ],
)
def test_templated_targets(world: World, arn: str, call: str, expected: dict[str, str]) -> None:
    world.create(Target=target(arn))
    world.now = NOON
    world.run_due()
    ((name, params),) = world.calls
    assert name == call
    assert expected.items() <= params.items()


def test_context_attributes_are_put_into_the_input(world: World) -> None:
    text = json.dumps({"StackName": "<aws.scheduler.scheduled-time> <aws.scheduler.attempt-number>"})
    world.create(Target=target(Input=text))
    world.now = NOON
    world.run_due()
    assert world.calls[0][1] == {"StackName": "2030-01-02T12:00:00Z 1"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"FlexibleTimeWindow": {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5}}, "FlexibleTimeWindow"),
        ({"StartDate": datetime(2030, 1, 1, tzinfo=UTC)}, "StartDate"),
        ({"Target": target("arn:aws:ecs:eu-west-1:1:cluster/c")}, "cluster/c"),
        ({"Target": target(Input="[1]")}, "JSON object"),
        ({"Target": target(Input="{")}, "JSON"),
    ],
)
def test_what_is_not_done_is_refused_by_name(world: World, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(AwsError, match=told):
        world.create(**changes)
    assert world.store == {}
