"""One ECS task: each of its containers is one local process.

What follows AWS:

* the life cycle PROVISIONING, PENDING, ACTIVATING, RUNNING, DEACTIVATING, STOPPING, DEPROVISIONING, STOPPED
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
* when an essential container ends, the task is stopped
  https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
* SIGTERM, and SIGKILL after ``stopTimeout`` (default 30 s)
  https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
* stop codes and reasons
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html

What differs, because a process is no container: there is no image (a local command stands in for it, and the
``imageDigest`` is the SHA-256 of the image's name and that command), no isolation, no limit of CPU or memory, no
credentials and no metadata endpoint. ``{host}`` in the command is the task's own loopback address and ``{port}`` a free
port there. The command is the image's entry point: a container's ``command`` is appended to it.
"""

from __future__ import annotations

import hashlib
import logging
import os
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from readiness.embedded.container import ContainerPlan, StartError, log_sender, plan_container
from readiness.embedded.processes import Spawner, SpawnError, await_exit, free_port, own_loopback_address, signal_group
from readiness.embedded.settings import ACCOUNT_ID, EmbeddedSettings
from readiness.embedded.task_logs import pump

_MINIMUM_STOP_TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """What a task is made of.

    Attributes:
        cluster_arn: Its cluster.
        definition: The task definition as DescribeTaskDefinition returns it.
        group: ``service:name`` or ``family:name``.
        overrides: As RunTask takes them.
        started_by: Free text, or a deployment's id.
        launch_type: ``FARGATE``.
        platform_version: As asked for.
        capacity_provider: The one that was chosen, or empty.
        subnets: Where it is placed; the first is named in the attachment.
        availability_zone: That subnet's.
        tags: Its tags.
        enable_execute_command: Only recorded.
    """

    cluster_arn: str
    definition: Mapping[str, Any]
    group: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    started_by: str = ""
    launch_type: str = "FARGATE"
    platform_version: str = "1.4.0"
    capacity_provider: str = ""
    subnets: Sequence[str] = ()
    availability_zone: str = ""
    tags: Sequence[Mapping[str, str]] = ()
    enable_execute_command: bool = False


@dataclass(slots=True)
class Container:
    """One container of a task and the process that stands for it."""

    plan: ContainerPlan
    port: int
    arn: str
    status: str = "PENDING"
    exit_code: int | None = None
    reason: str = ""
    process: subprocess.Popen[bytes] | None = None
    threads: list[threading.Thread] = field(default_factory=list)


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class Task:
    """One task, from its request to some time after its end.

    Args:
        request: What to run.
        settings: Image commands, the time scale and the region.
        spawner: Starts the processes.
        clients: boto3 clients, for secrets, parameters and logs.
        changed: Called, from any thread, whenever the task's state has changed.
    """

    def __init__(
        self,
        request: TaskRequest,
        settings: EmbeddedSettings,
        spawner: Spawner,
        clients: Callable[[str], Any],
        changed: Callable[[], None],
    ) -> None:
        self.request = request
        self.id = uuid.uuid4().hex
        cluster = request.cluster_arn.rsplit("/", 1)[1]
        self.arn = f"arn:aws:ecs:{settings.region}:{ACCOUNT_ID}:task/{cluster}/{self.id}"
        self.address = own_loopback_address()
        self.status = "PROVISIONING"
        self.desired_status = "RUNNING"
        self.stop_code = ""
        self.stopped_reason = ""
        self.tags = [dict(tag) for tag in request.tags]
        self.times: dict[str, datetime] = {"createdAt": now()}
        self.containers: list[Container] = []
        self._settings = settings
        self._spawner = spawner
        self._clients = clients
        self._changed = changed
        self._lock = threading.RLock()
        self._stop_asked = threading.Event()
        self._ended = threading.Event()
        self._attachment = str(uuid.uuid4())
        self._version = 1
        self._thread = threading.Thread(target=self._live, name=f"task-{self.id[:8]}", daemon=True)

    @property
    def running(self) -> bool:
        """Whether it is RUNNING and is to stay so."""
        return self.status == "RUNNING" and self.desired_status == "RUNNING"

    @property
    def stopped(self) -> bool:
        """Whether it is STOPPED: every process is gone and all output delivered."""
        return self.status == "STOPPED"

    def start(self) -> None:
        """Start it; returns at once."""
        self._thread.start()

    def port_of(self, container: str) -> int:
        """Return the port of one of its containers.

        Raises:
            KeyError: It has no container of that name.
        """
        for one in self.containers:
            if one.plan.name == container:
                return one.port
        raise KeyError(f"task {self.id} has no container {container}")

    def deactivate(self, code: str, reason: str) -> None:
        """Note that it is to stop, but let its processes run while its target drains."""
        with self._lock:
            if self.desired_status == "STOPPED":
                return
            self.desired_status = "STOPPED"
            self.stop_code, self.stopped_reason = code, reason
            self.times["stoppingAt"] = now()
            if self.status == "RUNNING":
                self._become("DEACTIVATING")

    def stop(self, code: str, reason: str) -> None:
        """Stop its processes; returns at once. The first reason given is the one that is kept."""
        self.deactivate(code, reason)
        self._stop_asked.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until it is STOPPED; return whether it is."""
        if not self._thread.is_alive() and not self.stopped:
            return False
        return self._ended.wait(timeout_s)

    def _become(self, status: str) -> None:
        with self._lock:
            self.status = status
            self._version += 1
        self._changed()

    def _live(self) -> None:
        try:
            self._begin()
        except StartError as error:
            self._fail_to_start(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the task must not hang in PENDING
            _log.exception("task %s", self.id)
            self._fail_to_start(f"InternalError: {type(error).__name__}: {error}")
        else:
            self._stop_asked.wait()
        self._end()

    def _begin(self) -> None:
        self._become("PENDING")
        self.times["pullStartedAt"] = now()
        definition = self.request.definition
        plans = [
            plan_container(container, self.request.overrides, self._settings, self._clients, self.id)
            for container in definition["containerDefinitions"]
        ]
        for plan in plans:
            self.containers.append(Container(plan=plan, port=self._own_port(), arn=self._container_arn()))
        self.times["pullStoppedAt"] = now()
        self.times["connectivityAt"] = now()
        if self._stop_asked.is_set():
            return
        for container in self.containers:
            self._start_container(container)
        with self._lock:
            self.times["startedAt"] = now()
            if self.desired_status == "RUNNING":
                self._become("RUNNING")

    def _own_port(self) -> int:
        taken = {container.port for container in self.containers}
        while (port := free_port(self.address)) in taken:
            pass
        return port

    def _container_arn(self) -> str:
        cluster = self.request.cluster_arn.rsplit("/", 1)[1]
        return f"arn:aws:ecs:{self._settings.region}:{ACCOUNT_ID}:container/{cluster}/{self.id}/{uuid.uuid4()}"

    def _start_container(self, container: Container) -> None:
        plan = container.plan
        argv = [part.replace("{host}", self.address).replace("{port}", str(container.port)) for part in plan.image_argv]
        send = log_sender(plan, self._clients, self._settings.state_dir / "tasks" / self.id)
        reader, writer = os.pipe()
        try:
            process = self._spawner.spawn([*argv, *plan.command], env=plan.environment, stdout=writer, stderr=writer)
        except SpawnError as error:
            os.close(reader)
            container.reason = f"CannotStartContainerError: {error}"
            raise StartError(container.reason) from error
        finally:
            os.close(writer)
        container.process, container.status = process, "RUNNING"
        logs = threading.Thread(target=_pump_and_close, args=(reader, send), name=f"logs-{self.id[:8]}", daemon=True)
        exit_ = threading.Thread(target=self._watch, args=(container,), name=f"exit-{self.id[:8]}", daemon=True)
        container.threads = [logs, exit_]
        logs.start()
        exit_.start()

    def _watch(self, container: Container) -> None:
        """Record the end of a container; the end of an essential one is the end of the task."""
        assert container.process is not None
        container.exit_code = await_exit(container.process)
        container.status = "STOPPED"
        if container.plan.essential:
            self.stop("EssentialContainerExited", "Essential container in task exited")
        self._changed()

    def _fail_to_start(self, reason: str) -> None:
        if self.desired_status == "RUNNING":
            self.stop("TaskFailedToStart", reason)
        self._stop_asked.set()

    def _end(self) -> None:
        self.times.setdefault("stoppingAt", now())
        self._become("STOPPING")
        alive = [container for container in self.containers if container.process and container.exit_code is None]
        for container in alive:
            assert container.process is not None
            if container.process.returncode is None:
                # As with a container, only its first process is asked; the others end with it.
                container.process.send_signal(signal.SIGTERM)
        for container in alive:
            self._kill_after_timeout(container)
        for container in self.containers:
            for thread in container.threads:
                thread.join()
            container.status = "STOPPED"
        self.times["executionStoppedAt"] = now()
        self._become("DEPROVISIONING")
        self.times["stoppedAt"] = now()
        self._become("STOPPED")
        self._ended.set()

    def _kill_after_timeout(self, container: Container) -> None:
        timeout_s = max(_MINIMUM_STOP_TIMEOUT_S, container.plan.stop_timeout_s / self._settings.time_scale)
        container.threads[1].join(timeout_s)
        if container.exit_code is None and container.process is not None:
            signal_group(container.process, signal.SIGKILL)

    def describe(self, *, with_tags: bool = False) -> dict[str, Any]:
        """Return the task as DescribeTasks does."""
        request, definition = self.request, self.request.definition
        with self._lock:
            description: dict[str, Any] = {
                "taskArn": self.arn,
                "clusterArn": request.cluster_arn,
                "taskDefinitionArn": definition["taskDefinitionArn"],
                "group": request.group,
                "startedBy": request.started_by,
                "launchType": request.launch_type,
                "platformVersion": request.platform_version,
                "platformFamily": "Linux",
                "capacityProviderName": request.capacity_provider,
                "lastStatus": self.status,
                "desiredStatus": self.desired_status,
                "connectivity": "CONNECTED" if "connectivityAt" in self.times else "",
                "cpu": str(request.overrides.get("cpu") or definition.get("cpu", "")),
                "memory": str(request.overrides.get("memory") or definition.get("memory", "")),
                "overrides": dict(request.overrides) or {"containerOverrides": []},
                "healthStatus": "UNKNOWN",
                "availabilityZone": self.request.availability_zone,
                "enableExecuteCommand": request.enable_execute_command,
                "version": self._version,
                "attachments": [self._network_attachment()],
                "attributes": [{"name": "ecs.cpu-architecture", "value": os.uname().machine}],
                "containers": [self._describe_container(container) for container in self.containers],
                "stopCode": self.stop_code,
                "stoppedReason": self.stopped_reason,
                "tags": list(self.tags) if with_tags else [],
                **self.times,
            }
        return {name: value for name, value in description.items() if value != ""}

    def _network_attachment(self) -> dict[str, Any]:
        status = "DELETED" if self.stopped else "ATTACHED"
        details = [
            {"name": "subnetId", "value": self.request.subnets[0] if self.request.subnets else ""},
            {"name": "privateIPv4Address", "value": self.address},
        ]
        return {"id": self._attachment, "type": "ElasticNetworkInterface", "status": status, "details": details}

    def _describe_container(self, container: Container) -> dict[str, Any]:
        plan = container.plan
        described: dict[str, Any] = {
            "containerArn": container.arn,
            "taskArn": self.arn,
            "name": plan.name,
            "image": plan.image,
            "imageDigest": plan.image_digest,
            "runtimeId": f"{self.id}-{hashlib.sha256(plan.name.encode()).hexdigest()[:10]}",
            "lastStatus": container.status,
            "healthStatus": "UNKNOWN",
            "networkBindings": [
                {
                    "bindIP": self.address,
                    "containerPort": int(mapping.get("containerPort", 0)),
                    "hostPort": container.port,
                    "protocol": mapping.get("protocol", "tcp"),
                }
                for mapping in plan.port_mappings
            ],
            "networkInterfaces": [{"attachmentId": self._attachment, "privateIpv4Address": self.address}],
            "cpu": plan.cpu,
        }
        if container.exit_code is not None:
            described["exitCode"] = container.exit_code
        if container.reason:
            described["reason"] = container.reason
        return described


def _pump_and_close(reader: int, send: Callable[[list[dict[str, Any]]], None]) -> None:
    try:
        pump(reader, send)
    finally:
        os.close(reader)
