"""What the drills share: faults that are taken out again, alarms and their inbox, releases and their story."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from readiness import contract, load_result
from readiness.cloud import translated
from readiness.errors import CloudError
from readiness.ledger import Ledger
from readiness.load_result import LoadResult
from readiness.loadgen import rows
from readiness.model import BadRelease, Clone, Instant, record

Clients = Callable[[str], Any]
POLL_S = 0.5


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


def wait_for(seen: Callable[[], bool], within: timedelta) -> bool:
    """Ask again and again until *seen* says yes; return whether it did in time."""
    until = time.monotonic() + within.total_seconds()
    while True:
        if seen():
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(POLL_S)


# --- alarms ----------------------------------------------------------------------------------------------------------

ALARM_TYPES = ["MetricAlarm", "CompositeAlarm"]
"""What CloudWatch has to be asked for by name: without it only metric alarms are told."""


@record
class Notification:
    """An alarm's message, as the inbox received it.

    Attributes:
        arn: The alarm's; it names account, region and, by the alarm's name, the clone.
        topic: ARN of the topic that delivered it.
        message_id: What SNS calls it.
        changed_at: When the alarm changed, by the message.
        published_at: When SNS took it.
        body: CloudWatch's JSON, as it came.
    """

    alarm: str
    arn: str
    account: str
    topic: str
    message_id: str
    state: str
    changed_at: Instant
    published_at: Instant
    received_at: Instant
    body: str


@dataclass(kw_only=True)
class Inbox:
    """The harness's own subscription: an SQS queue behind the alarms' topic."""

    sqs: Any
    url: str
    received: list[Notification] = field(default_factory=list)

    def poll(self) -> None:
        """Take what has arrived. A message that is no alarm's is left out, never guessed at."""
        with translated("Reading the alarm inbox"):
            answer = self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10, WaitTimeSeconds=0)
            for message in answer.get("Messages", []):
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
                notification = parse_notification(message["Body"], now())
                if notification is not None:
                    self.received.append(notification)

    def first(self, arn: str, state: str, since: datetime) -> Notification | None:
        """Return the first message of the alarm with this ARN about a change into a state at or after an instant."""
        return next(
            (each for each in self.received if each.arn == arn and each.state == state and each.changed_at >= since),
            None,
        )


def parse_notification(body: str, received_at: datetime) -> Notification | None:
    """Return the alarm message in an SQS body: SNS's envelope around CloudWatch's JSON; None when it is no alarm's."""
    try:
        envelope = json.loads(body)
        message = json.loads(envelope["Message"])
        return Notification(
            alarm=message["AlarmName"],
            arn=message["AlarmArn"],
            account=message["AWSAccountId"],
            topic=envelope["TopicArn"],
            message_id=envelope["MessageId"],
            state=message["NewStateValue"],
            changed_at=datetime.strptime(message["StateChangeTime"], "%Y-%m-%dT%H:%M:%S.%f%z"),
            published_at=datetime.fromisoformat(envelope["Timestamp"]),
            received_at=received_at,
            body=envelope["Message"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def alarm_state(cloudwatch: Any, name: str) -> str:
    """Return an alarm's state.

    Raises:
        CloudError: there is no such alarm.
    """
    with translated(f"Describing alarm {name}"):
        found = cloudwatch.describe_alarms(AlarmNames=[name], AlarmTypes=ALARM_TYPES)
    alarms = found.get("MetricAlarms", []) + found.get("CompositeAlarms", [])
    if not alarms:
        raise CloudError(f"There is no alarm {name}.", hint="Was the clone deployed from this plan?")
    return str(alarms[0]["StateValue"])


def state_changes(cloudwatch: Any, name: str, since: datetime) -> list[tuple[datetime, str]]:
    """Return instant and new state of each change of an alarm since an instant, oldest first, from its history."""
    with translated(f"Reading the history of alarm {name}"):
        answer = cloudwatch.describe_alarm_history(
            AlarmName=name,
            AlarmTypes=ALARM_TYPES,
            HistoryItemType="StateUpdate",
            StartDate=since,
            EndDate=now() + timedelta(minutes=1),
        )
    changes = [
        (item["Timestamp"], json.loads(item["HistoryData"])["newState"]["stateValue"])
        for item in answer["AlarmHistoryItems"]
    ]
    return sorted(each for each in changes if each[0] >= since)


# --- the fault target ------------------------------------------------------------------------------------------------


@contextmanager
def fault_target(elbv2: Any, clone: Clone, percent: int, ledger: Ledger) -> Iterator[None]:
    """Send *percent* of the requests that carry the drill header to the fault target while the block lasts."""
    ledger.note("about-to-inject", kind="listener-rule", name=clone.outputs[contract.Output.FAULT_RULE_ARN])
    try:  # a call that fails on the way back may have worked: the fault is taken out even then
        _weigh(elbv2, clone, percent)
        yield
    finally:
        _weigh(elbv2, clone, 0)


def _weigh(elbv2: Any, clone: Clone, percent: int) -> None:
    """Set the weights of the fault rule: the fault target's, and the rest for whichever target group is live."""
    outputs = clone.outputs
    weights = {live_target_group(elbv2, clone): 100 - percent, outputs[contract.Output.FAULT_TARGET_GROUP_ARN]: percent}
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in weights.items()]
    with translated("Setting the weights of the fault rule"):
        elbv2.modify_rule(
            RuleArn=outputs[contract.Output.FAULT_RULE_ARN],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}],
        )


def live_target_group(elbv2: Any, clone: Clone) -> str:
    """Return the target group that has most of the production rule's weight: a release swaps the two."""
    with translated("Reading the production rule"):
        rules = elbv2.describe_rules(RuleArns=[clone.outputs[contract.Output.PRODUCTION_RULE_ARN]])["Rules"]
    groups = rules[0]["Actions"][0]["ForwardConfig"]["TargetGroups"]
    return str(max(groups, key=lambda group: group.get("Weight", 0))["TargetGroupArn"])


# --- what the clients saw -------------------------------------------------------------------------------------------


def slower_between(result: LoadResult, start: datetime, end: datetime, than: timedelta) -> int:
    """Return how many requests that were due between two instants took longer than *than*, however they ended."""
    whole = load_result.total(load_result.window(result.rows, load_result.seconds_between(result, start, end)))
    return whole.latencies(rows.OUTCOMES).count_above(round(than.total_seconds() * 1e6))


# --- releases --------------------------------------------------------------------------------------------------------


@record
class ServiceState:
    """Which revision a service runs, and what each of its running tasks really is.

    ``tasks``: task ARN -> task definition ARN; ``digests``: the image digests of the running containers.
    """

    task_definition: str
    desired: int
    tasks: dict[str, str]
    digests: tuple[str, ...]


def service_state(ecs: Any, clone: Clone) -> ServiceState:
    """Return what the clone's service runs now."""
    cluster, service = clone.outputs[contract.Output.CLUSTER], clone.outputs[contract.Output.SERVICE]
    with translated("Describing the service"):
        found = ecs.describe_services(cluster=cluster, services=[service])["services"]
        if not found:
            raise CloudError(f"There is no service {service} in cluster {cluster}.")
        pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING")
        arns = [arn for page in pages for arn in page["taskArns"]]
        described: list[Any] = []
        for start in range(0, len(arns), 100):  # DescribeTasks takes at most 100
            described += ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + 100])["tasks"]
    running = [task for task in described if task["lastStatus"] == "RUNNING"]
    digests = {
        container["imageDigest"]
        for task in running
        for container in task.get("containers", [])
        if container.get("imageDigest")
    }
    return ServiceState(
        task_definition=found[0]["taskDefinition"],
        desired=found[0]["desiredCount"],
        tasks={task["taskArn"]: task["taskDefinitionArn"] for task in running},
        digests=tuple(sorted(digests)),
    )


_NOT_FOR_REGISTERING = frozenset(
    {
        "taskDefinitionArn",
        "revision",
        "status",
        "requiresAttributes",
        "compatibilities",
        "registeredAt",
        "registeredBy",
        "deregisteredAt",
    }
)


def register_bad_release(ecs: Any, good: str, bad: BadRelease, ledger: Ledger, run_id: str) -> str:
    """Register a copy of a task definition, spoilt in the plan's way, in a family of its own; return its ARN."""
    with translated("Reading the task definition of the service"):
        definition = ecs.describe_task_definition(taskDefinition=good)["taskDefinition"]
    copy = {key: value for key, value in definition.items() if key not in _NOT_FOR_REGISTERING}
    copy["family"] = f"{definition['family']}-bad-release"
    ours = [each for each in copy["containerDefinitions"] if each["name"] == contract.SERVICE_CONTAINER]
    if not ours:
        raise CloudError(
            f"{good} has no container {contract.SERVICE_CONTAINER!r}, so no bad release can be made of it.",
            hint="Was the clone made by this version of app.py?",
        )
    for container in ours:
        kept = [each for each in container.get("environment", []) if each["name"] not in bad.environment]
        changed = [{"name": name, "value": value} for name, value in bad.environment.items()]
        container["environment"] = kept + changed
        container["image"] = bad.image or container["image"]
        if bad.command:
            container["command"] = list(bad.command)
    ledger.about_to_create("task-definition", copy["family"])
    with translated("Registering the bad release"):
        answer = ecs.register_task_definition(**copy, tags=[{"key": contract.TAG_RUN_ID, "value": run_id}])
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def deregister(ecs: Any, task_definition: str) -> None:
    """Take a task definition out of use; ECS keeps it as INACTIVE."""
    with translated(f"Deregistering {task_definition}"):
        ecs.deregister_task_definition(taskDefinition=task_definition)


@record
class Release:
    """How ECS tells the story of one service deployment."""

    status: str
    reason: str
    started_at: Instant
    rollback_reason: str
    rollback_started_at: Instant | None
    finished_at: Instant | None
    alarms: tuple[str, ...]
    failed_tasks: int


ENDED = frozenset({"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"})
"""The statuses of a service deployment that do not change any more."""


def latest_release(ecs: Any, clone: Clone, since: datetime) -> Release | None:
    """Return the newest service deployment that was made since an instant, or None as long as there is none."""
    cluster, service = clone.outputs[contract.Output.CLUSTER], clone.outputs[contract.Output.SERVICE]
    with translated("Listing the service's deployments"):
        listed = ecs.list_service_deployments(cluster=cluster, service=service)["serviceDeployments"]
        recent = [each for each in listed if each["createdAt"] >= since]
        if not recent:
            return None
        arn = max(recent, key=lambda each: each["createdAt"])["serviceDeploymentArn"]
        told = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]
    rollback = told.get("rollback") or {}
    return Release(
        status=told["status"],
        reason=told.get("statusReason", ""),
        started_at=told.get("startedAt") or told["createdAt"],
        rollback_reason=rollback.get("reason", ""),
        rollback_started_at=rollback.get("startedAt"),
        finished_at=told.get("finishedAt"),
        alarms=tuple(told.get("alarms", {}).get("triggeredAlarmNames", ())),
        failed_tasks=told.get("deploymentCircuitBreaker", {}).get("failureCount", 0),
    )
