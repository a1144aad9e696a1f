"""EventBridge Scheduler of the embedded AWS: one-time schedules that run.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/what-is-scheduler.html

moto keeps the schedules; here they become due, in real time (the time scale does not touch them), within a second of
their instant (AWS: within the minute that follows it).

Done: ``at(yyyy-mm-ddThh:mm:ss)`` with a time zone, ActionAfterCompletion, ENABLED and DISABLED, RetryPolicy,
dead-letter queue, context attributes in Input; targets: universal (``arn:aws:scheduler:::aws-sdk:service:action``),
Lambda functions, SNS topics, SQS queues. Left out, and refused by name: rate() and cron(), flexible time windows,
StartDate and EndDate, customer keys, other templated targets. The role is not assumed and not checked.

An instant in the past is refused at CreateSchedule. The user guide does not speak of it; users of the service report
that it is rejected.
"""

from __future__ import annotations

import heapq
import json
import re
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

import botocore.session
from botocore.exceptions import UnknownServiceError

from readiness.embedded.moto_adapter import Action, AwsError, backend, call_moto
from readiness.embedded.settings import EmbeddedSettings

_AT: Final = re.compile(r"at\((\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\)")
_UNIVERSAL: Final = re.compile(r"arn:aws:scheduler:::aws-sdk:(?P<service>[A-Za-z0-9-]+):(?P<action>[A-Za-z0-9]+)")
_READS: Final = ("get", "describe", "list", "poll", "receive", "search", "scan", "query", "select", "read", "lookup")
_SERVICE_NAMES: Final = {
    "sfn": "stepfunctions",
    "eventbridge": "events",
    "cloudwatchlogs": "logs",
    "elasticloadbalancingv2": "elbv2",
    "elasticloadbalancing": "elb",
    "databasemigration": "dms",
    "applicationautoscaling": "application-autoscaling",
    "resourcegroupstaggingapi": "resourcegroupstaggingapi",
}
_DEFAULT_RETRIES = 185
_DEFAULT_MAX_AGE_S = 86_400
_LONGEST_PAUSE_S = 60.0
_WORKERS = 8


@dataclass(frozen=True, slots=True)
class Retries:
    """How often and how long a failed call is repeated.

    https://docs.aws.amazon.com/scheduler/latest/APIReference/API_RetryPolicy.html
    """

    attempts: int = _DEFAULT_RETRIES
    max_age_s: float = _DEFAULT_MAX_AGE_S

    def pause_s(self, attempt: int) -> float:
        """Return the pause before retry number ``attempt`` (1 is the first): exponential, at most a minute."""
        return float(min(_LONGEST_PAUSE_S, 2.0 ** (attempt - 1)))


def parse_at(expression: str, zone: str | None) -> float:
    """Return the instant of a one-time schedule, epoch seconds.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#one-time

    Raises:
        AwsError: It is rate() or cron() (not done here), malformed, or in an unknown time zone.
    """
    if expression.startswith(("rate(", "cron(")):
        raise AwsError("NotImplemented", f"recurring schedules are not done by the embedded AWS: {expression}")
    match = _AT.fullmatch(expression)
    try:
        local = datetime.fromisoformat(match[1]) if match else None
    except ValueError:
        local = None
    if local is None:
        raise AwsError("ValidationException", f"Invalid Schedule Expression {expression}.")
    try:
        return local.replace(tzinfo=ZoneInfo(zone or "UTC")).timestamp()
    except (KeyError, ValueError, OSError) as error:
        raise AwsError("ValidationException", f"Invalid ScheduleExpressionTimezone {zone}.") from error


@lru_cache(maxsize=64)
def _service_model(service: str) -> Any:
    return botocore.session.get_session().get_service_model(service)


def universal_call(arn: str) -> tuple[str, str]:
    """Return the boto3 service and the API operation of a universal target.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-universal.html: operations that only read
    are not supported.

    Raises:
        AwsError: There is no such service or operation, or it only reads.
    """
    match = _UNIVERSAL.fullmatch(arn)
    if match is None:
        raise AwsError("ValidationException", f"Provided Arn {arn} is not in correct format.")
    service = _SERVICE_NAMES.get(match["service"].lower(), match["service"].lower())
    try:
        operations = _service_model(service).operation_names
    except UnknownServiceError as error:
        raise AwsError("ValidationException", f"Provided Arn {arn}: there is no service {match['service']}.") from error
    wanted = match["action"].lower()
    if wanted.startswith(_READS):
        raise AwsError("ValidationException", f"Provided Arn {arn}: operations that only read are not supported.")
    operation = next((name for name in operations if name.lower() == wanted), None)
    if operation is None:
        raise AwsError("ValidationException", f"Provided Arn {arn}: {service} has no operation {match['action']}.")
    return service, operation


def as_parameters(value: Any, shape: Any) -> Any:
    """Return Input with its keys spelled as boto3 wants them.

    Scheduler wants every key with a capital ("Cluster"), some APIs spell them without ("cluster").
    """
    if shape is None:
        return value
    if shape.type_name == "structure" and isinstance(value, Mapping):
        members = {name.lower(): name for name in shape.members}
        spelled = {members.get(key.lower(), key): content for key, content in value.items()}
        return {key: as_parameters(content, shape.members.get(key)) for key, content in spelled.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [as_parameters(content, shape.member) for content in value]
    if shape.type_name == "map" and isinstance(value, Mapping):
        return {key: as_parameters(content, shape.value) for key, content in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Occasion:
    """One due invocation of one schedule."""

    group: str
    name: str
    arn: str
    target: Mapping[str, Any]
    due: float
    execution_id: str
    delete_afterwards: bool

    @property
    def retries(self) -> Retries:
        """The schedule's retry policy."""
        policy = self.target.get("RetryPolicy") or {}
        return Retries(
            attempts=int(policy.get("MaximumRetryAttempts", _DEFAULT_RETRIES)),
            max_age_s=float(policy.get("MaximumEventAgeInSeconds", _DEFAULT_MAX_AGE_S)),
        )

    def input(self, attempt: int) -> str:
        """Return Input with the context attributes put in.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
        """
        text = str(self.target.get("Input") or "{}")
        attributes = {
            "<aws.scheduler.schedule-arn>": self.arn,
            "<aws.scheduler.scheduled-time>": f"{datetime.fromtimestamp(self.due, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "<aws.scheduler.execution-id>": self.execution_id,
            "<aws.scheduler.attempt-number>": str(attempt),
        }
        for name, value in attributes.items():
            text = text.replace(name, value)
        return text


class Scheduler:
    """Runs one-time schedules.

    Args:
        settings: Settings of the embedded AWS.
        clients: Gives the boto3 client of a service.
        clock: Returns epoch seconds; tests inject one.
    """

    def __init__(
        self, settings: EmbeddedSettings, clients: Callable[[str], Any], clock: Callable[[], float] = time.time
    ) -> None:
        self._clients = clients
        self._clock = clock
        self._condition = threading.Condition()
        self._due: dict[tuple[str, str], float] = {}
        self._heap: list[tuple[float, str, str]] = []
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pool: ThreadPoolExecutor | None = None
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "scheduler": {
                "CreateSchedule": self._create,
                "UpdateSchedule": self._update,
                "DeleteSchedule": self._delete,
                "DeleteScheduleGroup": self._delete_group,
            }
        }

    def start(self) -> None:
        """Start waiting for schedules."""
        self._stopping.clear()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="schedule")
        self._thread = threading.Thread(target=self._run, name="scheduler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop; a retry that waits is given up."""
        self._stopping.set()
        with self._condition:
            self._condition.notify_all()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None

    # The API

    def _create(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html."""
        due = self._checked(params)
        created = call_moto("scheduler", "CreateSchedule", params)
        self._plan(params.get("GroupName") or "default", params["Name"], due)
        return created

    def _update(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/scheduler/latest/APIReference/API_UpdateSchedule.html (overwrites all of it)."""
        due = self._checked(params)
        updated = call_moto("scheduler", "UpdateSchedule", params)
        group = params.get("GroupName") or "default"
        stored = backend("scheduler").get_schedule(group, params["Name"])
        # moto keeps the old values of these where the update leaves them out or changes them
        stored.action_after_completion = params.get("ActionAfterCompletion") or "NONE"
        stored.state = params.get("State") or "ENABLED"
        self._plan(group, params["Name"], due)
        return updated

    def _checked(self, params: Mapping[str, Any]) -> float:
        """Check what would change behaviour; return the instant."""
        due = parse_at(params["ScheduleExpression"], params.get("ScheduleExpressionTimezone"))
        if due <= self._clock():
            told = f"Invalid Schedule Expression {params['ScheduleExpression']}: the time is in the past."
            raise AwsError("ValidationException", told)
        for name in ("StartDate", "EndDate", "KmsKeyArn"):
            if params.get(name):
                raise AwsError("NotImplemented", f"this parameter is not done by the embedded AWS: {name}")
        if params["FlexibleTimeWindow"].get("Mode") != "OFF":
            raise AwsError(
                "NotImplemented", "this parameter is not done by the embedded AWS: FlexibleTimeWindow FLEXIBLE"
            )
        _check_target(params["Target"])
        return due

    def _delete(self, params: dict[str, Any]) -> Mapping[str, Any]:
        deleted = call_moto("scheduler", "DeleteSchedule", params)
        self._forget(lambda key: key == (params.get("GroupName") or "default", params["Name"]))
        return deleted

    def _delete_group(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/scheduler/latest/APIReference/API_DeleteScheduleGroup.html."""
        if params["Name"] not in backend("scheduler").schedule_groups:
            raise AwsError("ResourceNotFoundException", f"Schedule group {params['Name']} does not exist.", 404)
        deleted = call_moto("scheduler", "DeleteScheduleGroup", params)
        self._forget(lambda key: key[0] == params["Name"])
        return deleted

    def _plan(self, group: str, name: str, due: float) -> None:
        with self._condition:
            self._due[group, name] = due
            heapq.heappush(self._heap, (due, group, name))
            self._condition.notify_all()

    def _forget(self, matches: Callable[[tuple[str, str]], bool]) -> None:
        with self._condition:
            for key in [key for key in self._due if matches(key)]:
                del self._due[key]

    # Running

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._condition:
                waits = self._heap[0][0] - self._clock() if self._heap else None
                if waits is None or waits > 0:
                    # wall-clock time may be set: look again every second
                    self._condition.wait(min(waits, 1.0) if waits is not None else None)
            for group, name, due in self.take_due():
                assert self._pool is not None
                self._pool.submit(self.run_schedule, group, name, due)

    def take_due(self) -> list[tuple[str, str, float]]:
        """Return the schedules whose instant has come, each once."""
        taken: list[tuple[str, str, float]] = []
        with self._condition:
            while self._heap and self._heap[0][0] <= self._clock():
                due, group, name = heapq.heappop(self._heap)
                if self._due.get((group, name)) == due:  # otherwise updated or deleted since
                    del self._due[group, name]
                    taken.append((group, name, due))
        return taken

    def run_schedule(self, group: str, name: str, due: float) -> None:
        """Invoke the target of a due schedule, with its retries, and complete it."""
        try:
            schedule = call_moto("scheduler", "GetSchedule", {"GroupName": group, "Name": name})
        except AwsError as error:
            _tell(f"schedule {group}/{name} was due, but is gone: {error}")
            return
        if schedule.get("State") == "DISABLED":
            return
        occasion = Occasion(
            group=group,
            name=name,
            arn=schedule["Arn"],
            target=schedule["Target"],
            due=due,
            execution_id=str(uuid.uuid4()),
            delete_afterwards=schedule.get("ActionAfterCompletion") == "DELETE",
        )
        try:
            self._invoke_with_retries(occasion)
        except Exception as error:  # noqa: BLE001 - a thread's end nobody would see
            _tell(f"schedule {name} failed: {type(error).__name__}: {error}")
        if occasion.delete_afterwards:
            self._complete(occasion)

    def _invoke_with_retries(self, occasion: Occasion) -> None:
        began, attempt = self._clock(), 0
        while True:
            attempt += 1
            try:
                self._invoke(occasion, attempt)
            except Exception as error:  # noqa: BLE001 - every failure is retried, told and, at last, sent to the queue
                retries = occasion.retries
                exhausted = _exhausted(retries, attempt, self._clock() - began)
                _tell(f"schedule {occasion.name}, attempt {attempt}, target {occasion.target['Arn']} failed: {error}")
                if exhausted:
                    self._give_up(occasion, error, attempt, exhausted)
                    return
                if self._stopping.wait(retries.pause_s(attempt)):
                    return
            else:
                return

    def _invoke(self, occasion: Occasion, attempt: int) -> None:
        arn, text = str(occasion.target["Arn"]), occasion.input(attempt)
        if arn.startswith("arn:aws:scheduler:::"):
            service, operation = universal_call(arn)
            client = self._clients(service)
            shape = client.meta.service_model.operation_model(operation).input_shape
            methods = {api: python for python, api in client.meta.method_to_api_mapping.items()}
            getattr(client, methods[operation])(**as_parameters(json.loads(text), shape))
        elif arn.startswith("arn:aws:lambda:"):
            self._clients("lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=text.encode())
        elif arn.startswith("arn:aws:sns:"):
            self._clients("sns").publish(TopicArn=arn, Message=text)
        else:
            grouped = {"MessageGroupId": group} if (group := _message_group(occasion.target)) else {}
            self._clients("sqs").send_message(QueueUrl=self._queue_url(arn), MessageBody=text, **grouped)

    def _queue_url(self, arn: str) -> str:
        return str(self._clients("sqs").get_queue_url(QueueName=arn.rsplit(":", 1)[1])["QueueUrl"])

    def _give_up(self, occasion: Occasion, error: Exception, attempt: int, exhausted: str) -> None:
        """Send the event to the dead-letter queue, if there is one.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
        """
        queue_arn = (occasion.target.get("DeadLetterConfig") or {}).get("Arn")
        if not queue_arn:
            _tell(f"schedule {occasion.name} is given up after {attempt} attempts; it has no dead-letter queue")
            return
        response = getattr(error, "response", {}).get("Error", {})
        attributes = {
            "ERROR_CODE": str(response.get("Code") or type(error).__name__),
            "ERROR_MESSAGE": str(response.get("Message") or error) or "-",
            "EXECUTION_ID": occasion.execution_id,
            "EXHAUSTED_RETRY_CONDITION": exhausted,
            "IS_PAYLOAD_TRUNCATED": "false",
            "RETRY_ATTEMPTS": str(attempt - 1),
            "SCHEDULE_ARN": occasion.arn,
            "SCHEDULED_TIME": f"{datetime.fromtimestamp(occasion.due, UTC):%Y-%m-%dT%H:%M:%SZ}",
            "TARGET_ARN": str(occasion.target["Arn"]),
        }
        self._clients("sqs").send_message(
            QueueUrl=self._queue_url(queue_arn),
            MessageBody=occasion.input(attempt),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )

    def _complete(self, occasion: Occasion) -> None:
        """Delete the schedule after its last invocation.

        https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-delete.html
        """
        try:
            call_moto("scheduler", "DeleteSchedule", {"GroupName": occasion.group, "Name": occasion.name})
        except AwsError as error:
            if error.code != "ResourceNotFoundException":  # its own target, a stack's deletion, may have deleted it
                _tell(f"schedule {occasion.name} has run but can't be deleted: {error}")


def _check_target(target: Mapping[str, Any]) -> None:
    """Refuse a target that could not be invoked when the time comes."""
    arn = str(target["Arn"])
    if arn.startswith("arn:aws:scheduler:::"):
        universal_call(arn)
        try:
            document = json.loads(target.get("Input") or "{}")
        except ValueError as error:
            raise AwsError("ValidationException", f"Input of a universal target has to be JSON: {error}") from error
        if not isinstance(document, dict):
            raise AwsError("ValidationException", "Input of a universal target has to be a JSON object")
    elif not arn.startswith(("arn:aws:lambda:", "arn:aws:sns:", "arn:aws:sqs:")):
        raise AwsError("NotImplemented", f"this target is not done by the embedded AWS: {arn}")
    for name in ("EcsParameters", "EventBridgeParameters", "KinesisParameters", "SageMakerPipelineParameters"):
        if target.get(name):
            raise AwsError("NotImplemented", f"this parameter is not done by the embedded AWS: Target.{name}")


def _message_group(target: Mapping[str, Any]) -> str | None:
    return (target.get("SqsParameters") or {}).get("MessageGroupId")


def _exhausted(retries: Retries, attempt: int, age_s: float) -> str:
    """Return which limit of the retry policy is reached, or an empty string."""
    if attempt > retries.attempts:
        return "MaximumRetryAttempts"
    if age_s + retries.pause_s(attempt) > retries.max_age_s:
        return "MaximumEventAgeInSeconds"
    return ""


def _tell(what: str) -> None:
    print(f"embedded AWS: {what}", file=sys.stderr, flush=True)  # noqa: T201
