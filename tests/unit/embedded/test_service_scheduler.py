"""The service scheduler with tasks and target groups that only exist on paper: what it does and what it says of it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from readiness.embedded.deployments import Rules
from readiness.embedded.service import (
    Service,
    describe_deployment,
    describe_service,
    new_deployment,
    new_revision,
)
from readiness.embedded.service_scheduler import ServiceScheduler
from readiness.embedded.task import Task, TaskRequest

GROUP = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/1"
CLUSTER = "arn:aws:ecs:eu-west-1:123456789012:cluster/c"


@dataclass
class PaperTask:
    """A task that runs at once and ends when it is told."""

    request: TaskRequest
    id: str
    address: str
    status: str = "RUNNING"
    desired_status: str = "RUNNING"
    stop_code: str = ""
    stopped_reason: str = ""

    @property
    def running(self) -> bool:
        return self.status == "RUNNING" and self.desired_status == "RUNNING"

    @property
    def stopped(self) -> bool:
        return self.status == "STOPPED"

    def port_of(self, container: str) -> int:
        return 80

    def deactivate(self, code: str, reason: str) -> None:
        if self.desired_status == "RUNNING":
            self.desired_status, self.stop_code, self.stopped_reason = "STOPPED", code, reason

    def stop(self, code: str, reason: str) -> None:
        self.deactivate(code, reason)
        self.status = "STOPPED"


@dataclass
class PaperTargets:
    """Target groups whose targets are as healthy as a test says; they drain at once."""

    states: dict[tuple[str, int], str] = field(default_factory=dict)
    at_first: str = "healthy"

    def register(self, target_group_arn: str, host: str, port: int) -> None:
        self.states[host, port] = self.at_first

    def deregister(self, target_group_arn: str, host: str, port: int) -> None:
        self.states.pop((host, port), None)

    def health(self, target_group_arn: str) -> dict[tuple[str, int], str]:
        return dict(self.states)

    def why(self, target_group_arn: str, host: str, port: int) -> str:
        return "Health checks failed with these codes: [503]"

    def in_use(self, target_group_arn: str) -> bool:
        return True


class Paper:
    """A service of two tasks behind one target group, and its scheduler, stepped by hand."""

    def __init__(self, **configuration: Any) -> None:
        self.now = 0.0
        self.targets = PaperTargets()
        self.started: list[PaperTask] = []
        self.alarms: dict[str, str] = {}
        self._numbers = itertools.count()
        self.scheduler = ServiceScheduler(
            self._run, self.targets, lambda *_: None, lambda name: self.alarms[name], 1.0, clock=lambda: self.now
        )
        settings = {
            "taskDefinition": "web:1",
            "loadBalancers": [{"targetGroupArn": GROUP, "containerName": "web"}],
            "deploymentConfiguration": configuration,
            "healthCheckGracePeriodSeconds": 5,
        }
        arn = CLUSTER.replace(":cluster/", ":service/") + "/web"
        self.service = Service(arn, "web", CLUSTER, settings, 2, datetime.now(UTC))
        self.scheduler.services[arn] = self.service
        self.deploy("web:1")

    def _run(self, request: TaskRequest) -> Task:
        number = next(self._numbers)
        task = PaperTask(request, f"t{number}", f"127.0.0.{number + 1}")
        self.started.append(task)
        return cast(Task, task)

    def deploy(self, definition: str) -> str:
        """Begin a deployment; return its id."""
        arn = f"arn:aws:ecs:eu-west-1:123456789012:task-definition/{definition}"
        self.service.settings["taskDefinition"] = definition
        revision = new_revision(self.service, "eu-west-1", {"taskDefinitionArn": arn}, (GROUP,), ())
        rules = Rules.parse(self.service.settings["deploymentConfiguration"], 1.0)
        return new_deployment(self.service, "eu-west-1", revision, rules, self.now).id

    def steps(self, count: int = 8) -> None:
        for _ in range(count):
            self.now += 1.0
            self.scheduler.tick(self.service)

    def told(self) -> list[str]:
        return [event["message"].removeprefix("(service web) ") for event in reversed(self.service.events)]

    def running(self) -> list[str]:
        return [task.id for task in self.started if task.running]


@pytest.fixture
def it() -> Paper:
    made = Paper(deploymentCircuitBreaker={"enable": True, "rollback": True})
    made.steps()
    assert made.service.current.machine.status == "SUCCESSFUL"
    return made


def test_the_events_of_a_deployment_are_worded_as_aws_words_them(it: Paper) -> None:
    deployment = it.service.current.id
    assert it.told() == [
        "has started 2 tasks: (task t0) (task t1).",
        f"registered 1 targets in (target-group {GROUP})",
        f"registered 1 targets in (target-group {GROUP})",
        f"(deployment {deployment}) deployment completed.",
        "has reached a steady state.",
    ]
    (primary,) = describe_service(it.service)["deployments"]
    assert (primary["rolloutState"], primary["rolloutStateReason"]) == (
        "COMPLETED",
        f"ECS deployment {deployment} completed.",
    )


def test_an_unhealthy_task_is_told_of_replaced_and_then_stopped(it: Paper) -> None:
    seen = len(it.told())
    it.targets.states["127.0.0.1", 80] = "unhealthy"
    it.targets.at_first = "initial"
    it.steps()
    assert it.running() == ["t0", "t1", "t2"]  # the unhealthy one still runs: its replacement is not healthy yet
    it.targets.states["127.0.0.3", 80] = "healthy"
    it.steps()
    assert it.running() == ["t1", "t2"]
    assert (it.started[0].stop_code, it.started[0].stopped_reason) == (
        "ServiceSchedulerInitiated",
        f"Task failed ELB health checks in (target-group {GROUP})",
    )
    assert it.told()[seen:] == [
        f"(task t0) (port 80) is unhealthy in (target-group {GROUP}) due to "
        "(reason Health checks failed with these codes: [503])",
        "has started 1 tasks: (task t2).",
        f"registered 1 targets in (target-group {GROUP})",
        f"deregistered 1 targets in (target-group {GROUP})",
        "has begun draining connections on 1 tasks.",
        "has stopped 1 running tasks: (task t0).",
        "has reached a steady state.",
    ]


def test_a_task_that_recovers_before_it_is_replaced_is_no_fault_any_more(it: Paper) -> None:
    it.targets.states["127.0.0.1", 80] = "unhealthy"
    it.targets.at_first = "initial"
    it.steps(2)
    it.targets.states["127.0.0.1", 80] = "healthy"
    it.steps()
    assert len(it.running()) == 2
    assert {"t0", "t1"} <= set(it.running())
    assert it.started[2].stopped_reason.startswith("Scaling activity initiated by (deployment ecs-svc/")


def test_within_the_grace_period_an_unhealthy_target_is_waited_for() -> None:
    it = Paper()
    it.targets.at_first = "unhealthy"
    it.steps(4)
    assert it.running() == ["t0", "t1"]
    it.steps(20)
    assert len(it.started) > 2


def test_a_circuit_breaker_tells_of_the_failure_and_of_what_it_goes_back_to(it: Paper) -> None:
    good, seen = it.service.current.id, len(it.told())
    it.targets.at_first = "unhealthy"
    bad = it.deploy("web:2")
    for _ in range(40):
        it.steps(1)
        if it.service.current.machine.status == "ROLLBACK_IN_PROGRESS":
            break
    described = {one["status"]: one for one in describe_service(it.service)["deployments"]}
    assert described["PRIMARY"]["rolloutState"] == "IN_PROGRESS"
    assert described["PRIMARY"]["rolloutStateReason"].startswith(
        f"ECS deployment circuit breaker: rolling back to deploymentId {good}."
    )
    assert described["ACTIVE"]["rolloutState"] == "FAILED"
    assert described["ACTIVE"]["rolloutStateReason"] == "ECS deployment circuit breaker: tasks failed to start."
    it.steps(20)
    told = [message for message in it.told()[seen:] if "deployment " in message and "Scaling" not in message]
    assert told == [
        f"(deployment {bad}) deployment failed: tasks failed to start.",
        f"rolling back to (deployment {good}).",
        f"(deployment {good}) deployment completed.",
    ]
    (primary,) = describe_service(it.service)["deployments"]
    assert (primary["id"], primary["rolloutStateReason"]) == (good, f"ECS deployment {good} completed.")
    story = describe_deployment(it.service, it.service.current)
    assert story["status"] == "ROLLBACK_SUCCESSFUL"
    assert story["deploymentCircuitBreaker"] == {"status": "TRIGGERED", "failureCount": 3, "threshold": 3}
    assert story["rollback"]["serviceRevisionArn"] == it.service.current.machine.source
    assert it.running()[:2] == ["t0", "t1"]
    assert {task.stopped_reason for task in it.started[2:]} >= {
        f"Task failed ELB health checks in (target-group {GROUP})"
    }


def test_an_alarm_is_named_in_the_story_of_the_deployment() -> None:
    alarms = {"alarmNames": ["errors"], "enable": True, "rollback": True}
    it = Paper(alarms=alarms)
    it.alarms["errors"] = "OK"
    it.steps()
    good = it.service.current.id
    it.service.settings["deploymentConfiguration"] |= {"bakeTimeInMinutes": 10}
    bad = it.deploy("web:2")
    it.steps()
    it.alarms["errors"] = "ALARM"
    it.steps(1)
    assert it.told()[-1] == f"rolling back to (deployment {good})."
    assert f"(deployment {bad}) deployment failed: alarm detected." in it.told()
    story = describe_deployment(it.service, it.service.current)
    assert story["alarms"] == {"status": "TRIGGERED", "alarmNames": ["errors"], "triggeredAlarmNames": ["errors"]}


def test_a_service_whose_tasks_keep_failing_says_so_and_waits_longer_and_longer() -> None:
    it = Paper()
    for _ in range(12):
        it.steps(1)
        for task in it.started:
            task.stop("EssentialContainerExited", "Essential container in task exited")
    assert "is unable to consistently start tasks successfully." in it.told()
    before = len(it.started)
    it.steps(5)
    assert len(it.started) == before


def test_stop_task_stops_a_task_of_a_service_at_once_and_the_scheduler_deregisters_it(it: Paper) -> None:
    task = it.started[0]
    task.stop("UserInitiated", "drill")  # what StopTask does, whatever the task belongs to
    assert ("127.0.0.1", 80) in it.targets.states  # so for a moment requests still go there
    it.steps(1)
    assert ("127.0.0.1", 80) not in it.targets.states
    assert (task.stop_code, task.stopped_reason) == ("UserInitiated", "drill")
    it.steps()
    assert it.running() == ["t1", "t2"]
    assert it.service.current.tasks_failed == 0  # a task that was asked to stop has not failed
