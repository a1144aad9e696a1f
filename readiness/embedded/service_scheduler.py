"""The service scheduler: keeps every service's tasks as its deployment says, and registers them with load balancers.

* a task is registered when it is RUNNING, and deregistered and drained before its processes are stopped
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-load-balancing.html
* a task whose target is unhealthy after the health-check grace period is replaced, and stopped once it is
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/load-balancer-healthcheck.html
* events of a service, as far as AWS gives their words
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-unhealthy-event-messages.html
* tasks that fail again and again are started at longer and longer intervals
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-throttle-logic.html
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

from readiness.embedded.deployments import (
    ROLLBACK_SUCCESSFUL,
    SUCCESSFUL,
    Start,
    Stop,
    TaskView,
    Traffic,
    View,
    roll,
)
from readiness.embedded.service import Revision, Service, ServiceDeployment
from readiness.embedded.task import Task, TaskRequest

_TICK_S = 0.1
_THROTTLE_AFTER = 3
_LONGEST_THROTTLE_S = 900.0
_SCHEDULER = "ServiceSchedulerInitiated"
_SETTLE_S = 1.0
"""Without a load balancer a task counts as healthy once it has run for so long; one that crashes at once never does."""

_log = logging.getLogger(__name__)


class TargetRegistry(Protocol):
    """The part of the load balancers that the scheduler uses."""

    def register(self, target_group_arn: str, host: str, port: int) -> None:
        """Register a target."""

    def deregister(self, target_group_arn: str, host: str, port: int) -> None:
        """Start draining a target."""

    def health(self, target_group_arn: str) -> dict[tuple[str, int], str]:
        """Return the state of every target."""

    def why(self, target_group_arn: str, host: str, port: int) -> str:
        """Return why a target is in its state, in the words of DescribeTargetHealth."""

    def in_use(self, target_group_arn: str) -> bool:
        """Tell whether a listener forwards to the group."""


@dataclass(slots=True)
class _Placed:
    """What the scheduler knows of one task: its targets, since when it runs, and in which group it is unhealthy."""

    targets: list[tuple[str, str, int]] = field(default_factory=list)
    registered: bool = False
    running_since: float = 0.0
    was_healthy: bool = False
    unhealthy_in: str = ""
    draining: bool = False
    counted: bool = False


class ServiceScheduler:
    """Drives all services in one thread.

    Args:
        run: Makes and starts a task.
        targets: The load balancers.
        shift: Makes a listener rule send so many percent to a service's revision (see ``TrafficShift``).
        alarm_state: State of an alarm by name.
        time_scale: What the grace period and throttling are divided by.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        run: Callable[[TaskRequest], Task],
        targets: TargetRegistry,
        shift: Callable[[Service, Revision | None, Revision, float], None],
        alarm_state: Callable[[str], str],
        time_scale: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._targets = targets
        self._shift = shift
        self._alarm_state = alarm_state
        self._time_scale = time_scale
        self._clock = clock
        self.lock = threading.RLock()
        self.services: dict[str, Service] = {}
        self._placed: dict[str, _Placed] = {}
        self._failures: Counter[str] = Counter()
        self._not_before: dict[str, float] = {}
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name="ecs-services", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; tasks are left to their owner."""
        self._stopping = True
        self.wake()
        if self._thread.is_alive():
            self._thread.join()

    def wake(self) -> None:
        """Look at the services now instead of at the next tick."""
        self._wake.set()

    def _loop(self) -> None:
        while not self._stopping:
            self._wake.wait(_TICK_S)
            self._wake.clear()
            for service in list(self.services.values()):
                try:
                    self.tick(service)
                except Exception:  # noqa: BLE001 - one bad service must not stop the others
                    _log.exception("service %s", service.name)

    def tick(self, service: Service) -> None:
        """Look at one service and do what is due."""
        in_alarm = self._in_alarm(service)  # asked without the lock: alarms may take their time
        with self.lock:
            if self._stopping or service.status == "INACTIVE":
                return
            for task, revision in list(service.tasks.values()):
                self._look_after(service, task, service.revisions[revision])
            if service.status == "DRAINING":
                self._wind_up(service)
                return
            self._go_on(service, in_alarm)

    def _in_alarm(self, service: Service) -> frozenset[str]:
        machine = service.current.machine
        if machine.over or not machine.watches_alarms:
            return frozenset()
        return frozenset(name for name in machine.rules.alarm_names if self._alarm_state(name) == "ALARM")

    # --- one task

    def _look_after(self, service: Service, task: Task, revision: Revision) -> None:
        placed = self._placed.setdefault(task.id, _Placed())
        if task.stopped:
            self._bury(service, task, revision, placed)
        elif task.desired_status == "STOPPED":
            if task.stop_code != _SCHEDULER:
                self._count_failure(service, task, revision, placed)
            self._drain(service, task, placed)
        elif task.running:
            if not placed.registered:
                self._register(service, task, revision, placed)
            self._check_health(service, task, revision, placed)

    def _register(self, service: Service, task: Task, revision: Revision, placed: _Placed) -> None:
        placed.running_since = self._clock()
        for group, balancer in zip(revision.target_groups, revision.settings.get("loadBalancers", ()), strict=True):
            port = task.port_of(balancer["containerName"])
            self._targets.register(group, task.address, port)
            placed.targets.append((group, task.address, port))
            service.tell(f"registered 1 targets in (target-group {group})")
        placed.registered = True

    def _check_health(self, service: Service, task: Task, revision: Revision, placed: _Placed) -> None:
        states = [self._targets.health(group).get((host, port), "unused") for group, host, port in placed.targets]
        if not placed.was_healthy and self._is_healthy(placed):
            placed.was_healthy = True
            self._failures[service.arn] = 0
            service.current.machine.task_became_healthy(revision.arn)
        grace_s = float(service.settings.get("healthCheckGracePeriodSeconds") or 0) / self._time_scale
        before, placed.unhealthy_in = placed.unhealthy_in, ""
        if "unhealthy" not in states or self._clock() - placed.running_since < grace_s:
            return
        group, host, port = placed.targets[states.index("unhealthy")]
        placed.unhealthy_in = group
        if before != group:
            why = f"(reason {self._targets.why(group, host, port)})"
            service.tell(f"(task {task.id}) (port {port}) is unhealthy in (target-group {group}) due to {why}")
            self._count_failure(service, task, revision, placed)

    def _count_failure(self, service: Service, task: Task, revision: Revision, placed: _Placed) -> None:
        """Count a task that ended by itself, could not start or was ill; not one that was asked to stop."""
        if placed.counted or task.stop_code == "UserInitiated":
            return
        placed.counted = True
        self._failures[service.arn] += 1
        excess = self._failures[service.arn] - _THROTTLE_AFTER
        if excess > 0:
            wait_s = min(_LONGEST_THROTTLE_S, 10.0 * 2.0 ** min(excess, 10)) / self._time_scale
            self._not_before[service.arn] = self._clock() + wait_s
            service.tell("is unable to consistently start tasks successfully.")
        owner = next((one for one in reversed(service.deployments) if one.machine.target == revision.arn), None)
        if owner is not None:
            owner.tasks_failed += 1
        if service.status == "ACTIVE":
            service.current.machine.task_failed(revision.arn, service.desired)

    def _drain(self, service: Service, task: Task, placed: _Placed) -> None:
        """Deregister a task that is to stop, and stop its processes once its targets have drained."""
        if not placed.draining:
            placed.draining = True
            for group, host, port in placed.targets:
                self._targets.deregister(group, host, port)
                service.tell(f"deregistered 1 targets in (target-group {group})")
            if placed.targets:
                service.tell("has begun draining connections on 1 tasks.")
        if not any((host, port) in self._targets.health(group) for group, host, port in placed.targets):
            task.stop(task.stop_code, task.stopped_reason)

    def _bury(self, service: Service, task: Task, revision: Revision, placed: _Placed) -> None:
        if task.stop_code != _SCHEDULER:
            self._count_failure(service, task, revision, placed)
        if not placed.draining:
            for group, host, port in placed.targets:
                self._targets.deregister(group, host, port)
        service.tasks.pop(task.id, None)
        self._placed.pop(task.id, None)

    # --- one service

    def _go_on(self, service: Service, in_alarm: frozenset[str]) -> None:
        deployment = service.current
        machine = deployment.machine
        view = self._view(service, in_alarm)
        if machine.over:
            commands = roll(view, service.primary(), machine.rules, may_start=machine.status != "STOPPED")
        else:
            commands = machine.step(view)
        for command in commands:
            if isinstance(command, Start):
                self._start_tasks(service, service.revisions[command.revision], command.count)
            elif isinstance(command, Stop):
                self._stop_tasks(service, command.task_ids)
            else:
                self._shift_traffic(service, command)
        self._note_progress(service, deployment)
        self._note_steady(service, view, idle=not commands)

    def _view(self, service: Service, in_alarm: frozenset[str]) -> View:
        tasks, leaving = [], Counter[str]()
        for task, revision in service.tasks.values():
            if task.desired_status == "STOPPED":
                leaving[revision] += 1
                continue
            placed = self._placed.get(task.id, _Placed())
            healthy = task.running and placed.registered and self._is_healthy(placed)
            unhealthy = task.running and bool(placed.unhealthy_in)
            tasks.append(TaskView(task.id, revision, task.running, healthy, unhealthy))
        return View(now=self._clock(), desired=service.desired, tasks=tasks, leaving=leaving, in_alarm=in_alarm)

    def _is_healthy(self, placed: _Placed) -> bool:
        if not placed.targets:
            return self._clock() - placed.running_since >= _SETTLE_S
        return all(
            self._targets.health(group).get((host, port)) in ("healthy", "unavailable")
            for group, host, port in placed.targets
        )

    def _start_tasks(self, service: Service, revision: Revision, count: int) -> None:
        if self._clock() < self._not_before.get(service.arn, 0.0):
            return
        started = []
        for _ in range(count):
            task = self._run(self._request(service, revision))
            service.tasks[task.id] = (task, revision.arn)
            started.append(f"(task {task.id})")
        service.tell(f"has started {count} tasks: {' '.join(started)}.")

    def _request(self, service: Service, revision: Revision) -> TaskRequest:
        settings = service.settings
        owner = next((one for one in reversed(service.deployments) if one.machine.target == revision.arn), None)
        network = (revision.settings.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
        source = {"SERVICE": service.tags, "TASK_DEFINITION": revision.definition.get("tags", [])}
        return TaskRequest(
            cluster_arn=service.cluster_arn,
            definition=revision.definition,
            group=f"service:{service.name}",
            started_by=owner.id if owner else "",
            launch_type=revision.settings.get("launchType", "FARGATE"),
            platform_version=_platform_version(revision),
            subnets=_rotated(network.get("subnets", ()), len(service.tasks)),
            tags=source.get(settings.get("propagateTags", "NONE"), []),
            enable_execute_command=bool(settings.get("enableExecuteCommand")),
        )

    def _stop_tasks(self, service: Service, task_ids: tuple[str, ...]) -> None:
        for task_id in task_ids:
            task, revision = service.tasks[task_id]
            owner = next((one for one in reversed(service.deployments) if one.machine.target == revision), None)
            placed = self._placed.setdefault(task_id, _Placed())
            reason = f"Scaling activity initiated by (deployment {owner.id if owner else ''})"
            if placed.unhealthy_in:
                reason = f"Task failed ELB health checks in (target-group {placed.unhealthy_in})"
            task.deactivate(_SCHEDULER, reason)
            self._drain(service, task, placed)
        stopped = " ".join(f"(task {task_id})" for task_id in task_ids)
        service.tell(f"has stopped {len(task_ids)} running tasks: {stopped}.")

    def _shift_traffic(self, service: Service, command: Traffic) -> None:
        machine = service.current.machine
        source = service.revisions[machine.source] if machine.source else None
        self._shift(service, source, service.revisions[machine.target], command.percent)

    def _note_progress(self, service: Service, deployment: ServiceDeployment) -> None:
        machine = deployment.machine
        seen = (machine.status, machine.stage, machine.traffic, machine.failures)
        if seen == deployment.seen:
            return
        deployment.seen = seen
        deployment.updated_at = datetime.now(UTC)
        if machine.rollback_reason and deployment.rollback_started_at is None:
            deployment.rollback_started_at = deployment.updated_at
            if machine.failure:
                service.tell(f"(deployment {deployment.id}) deployment failed: {machine.failure}")
            service.tell(f"rolling back to (deployment {_deployment_of(service, machine.source)}).")
        if not machine.over or deployment.finished_at is not None:
            return
        deployment.finished_at = deployment.updated_at
        if machine.status in (SUCCESSFUL, ROLLBACK_SUCCESSFUL):
            ended = deployment.id if machine.status == SUCCESSFUL else _deployment_of(service, machine.source)
            service.tell(f"(deployment {ended}) deployment completed.")
        else:
            service.tell(f"(deployment {deployment.id}) deployment failed: {machine.failure or machine.status_reason}")

    def _note_steady(self, service: Service, view: View, *, idle: bool) -> None:
        steady = (
            idle
            and len(view.tasks) == view.desired
            and all(task.healthy for task in view.tasks)
            and not any(view.leaving.values())
        )
        if steady and not service.steady:
            service.tell("has reached a steady state.")
        service.steady = steady

    def _wind_up(self, service: Service) -> None:
        """Stop a deleted service's tasks; with the last one it is INACTIVE."""
        running = tuple(task.id for task, _ in service.tasks.values() if task.desired_status == "RUNNING")
        if running:
            self._stop_tasks(service, running)
        if not service.tasks:
            service.status = "INACTIVE"
            service.tell("is inactive.")


def _deployment_of(service: Service, revision: str | None) -> str:
    """Return the id of the deployment that brought a revision out last."""
    return next((one.id for one in reversed(service.deployments) if one.machine.target == revision), "")


def _platform_version(revision: Revision) -> str:
    version = revision.settings.get("platformVersion", "LATEST")
    return "1.4.0" if version == "LATEST" else str(version)


def _rotated(subnets: Any, by: int) -> list[str]:
    """Spread tasks over the subnets."""
    found = list(subnets)
    return found[by % len(found) :] + found[: by % len(found)] if found else []
