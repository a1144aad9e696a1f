"""RunTask, StopTask, DescribeTasks, ListTasks, and the tasks that they are about.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html ("the equivalent of docker stop is issued"):
at once, also to a task of a service. Its target is deregistered when the service scheduler sees that the task goes,
and not drained before, as it is when the scheduler itself stops a task: clients may meet a 502.
https://github.com/aws/containers-roadmap/issues/576
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html (stopped tasks: about an hour)
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from readiness.embedded.container import check_definition, check_overrides
from readiness.embedded.moto_adapter import AwsError, backend, call_moto
from readiness.embedded.processes import Spawner
from readiness.embedded.service_settings import check_launch, invalid, refused
from readiness.embedded.settings import EmbeddedSettings
from readiness.embedded.task import Task, TaskRequest, now

_KEPT = timedelta(hours=1)
_MAXIMUM_COUNT = 10
_JOIN_S = 20.0
_RUN_TASK = frozenset(
    {
        "capacityProviderStrategy",
        "cluster",
        "count",
        "enableECSManagedTags",
        "enableExecuteCommand",
        "group",
        "launchType",
        "networkConfiguration",
        "overrides",
        "platformVersion",
        "propagateTags",
        "referenceId",
        "startedBy",
        "tags",
        "taskDefinition",
        "clientToken",
    }
)


def cluster_of(name: str | None) -> dict[str, Any]:
    """Return an active cluster by name or ARN.

    Raises:
        AwsError: There is none.
    """
    described = call_moto("ecs", "DescribeClusters", {"clusters": [name or "default"]})["clusters"]
    active: list[dict[str, Any]] = [cluster for cluster in described if cluster["status"] == "ACTIVE"]
    if not active:
        raise AwsError("ClusterNotFoundException", f"Cluster not found: {name or 'default'}.")
    return active[0]


def definition_of(name: str) -> dict[str, Any]:
    """Return an active task definition, with its tags.

    Raises:
        AwsError: There is none, or it asks for what is not done.
    """
    try:
        answer = call_moto("ecs", "DescribeTaskDefinition", {"taskDefinition": name, "include": ["TAGS"]})
    except AwsError as error:
        raise AwsError("ClientException", f"TaskDefinition not found: {name} ({error.message})") from error
    definition: dict[str, Any] = {**answer["taskDefinition"], "tags": answer.get("tags", [])}
    if definition.get("status") == "INACTIVE":
        raise AwsError("ClientException", f"TaskDefinition is inactive: {name}")
    check_definition(definition)
    return definition


def _zone_of(subnets: Sequence[str]) -> str:
    """Return the availability zone of the subnet that a task is placed in; none is known of a subnet that is not there.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Task.html
    """
    if not subnets:
        return ""
    found = next((zone[subnets[0]] for zone in backend("ec2").subnets.values() if subnets[0] in zone), None)
    return str(found.availability_zone) if found is not None else ""


class Tasks:
    """All tasks of the embedded AWS, running and lately stopped.

    Args:
        settings: Image commands and the time scale.
        spawner: Starts the processes.
        clients: boto3 clients.
        changed: Called whenever a task's state has changed.
    """

    def __init__(
        self,
        settings: EmbeddedSettings,
        spawner: Spawner,
        clients: Callable[[str], Any],
        changed: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._spawner = spawner
        self._clients = clients
        self._changed = changed
        self._lock = threading.Lock()
        self._tasks: dict[str, Task] = {}
        self.actions = {
            "RunTask": self._run_task,
            "StopTask": self._stop_task,
            "DescribeTasks": self._describe_tasks,
            "ListTasks": self._list_tasks,
        }

    def run(self, request: TaskRequest) -> Task:
        """Make a task and start it."""
        placed = replace(request, availability_zone=_zone_of(request.subnets))
        task = Task(placed, self._settings, self._spawner, self._clients, self._changed)
        with self._lock:
            self._tasks[task.id] = task
        task.start()
        return task

    def stop(self) -> None:
        """Stop all tasks and wait for them."""
        tasks = self.all()
        for task in tasks:
            task.stop("TerminationNotice", "The embedded AWS stops")
        for task in tasks:
            task.join(_JOIN_S)

    def all(self) -> list[Task]:
        """Return every task that can be described, and forget those that stopped too long ago."""
        with self._lock:
            oldest = now() - _KEPT
            self._tasks = {
                identifier: task
                for identifier, task in self._tasks.items()
                if not task.stopped or task.times["stoppedAt"] > oldest
            }
            return list(self._tasks.values())

    def find(self, reference: str, cluster_arn: str | None = None) -> Task | None:
        """Return a task by id or ARN, if the cluster has it."""
        task = self._tasks.get(reference.rsplit("/", 1)[-1])
        if task is None or cluster_arn not in (None, task.request.cluster_arn):
            return None
        return task

    def _run_task(self, params: dict[str, Any]) -> Mapping[str, Any]:
        for name, value in params.items():
            if name not in _RUN_TASK and value not in (None, [], {}):
                raise refused(f"RunTask with {name}")
        check_launch(params)
        count = int(params.get("count", 1))
        if not 1 <= count <= _MAXIMUM_COUNT:
            raise invalid(f"count must be from 1 to {_MAXIMUM_COUNT}, not {count}.")
        cluster = cluster_of(params.get("cluster"))
        definition = definition_of(params["taskDefinition"])
        overrides = params.get("overrides") or {}
        check_overrides(overrides, definition)
        network = (params.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
        if definition.get("networkMode") == "awsvpc" and not network.get("subnets"):
            raise invalid("Network Configuration must be provided when networkMode 'awsvpc' is specified.")
        providers = params.get("capacityProviderStrategy") or [{}]
        propagated = definition["tags"] if params.get("propagateTags") == "TASK_DEFINITION" else []
        request = TaskRequest(
            cluster_arn=cluster["clusterArn"],
            definition=definition,
            group=params.get("group") or f"family:{definition['family']}",
            overrides=overrides,
            started_by=params.get("startedBy", ""),
            platform_version="1.4.0",
            capacity_provider=providers[0].get("capacityProvider", ""),
            subnets=network.get("subnets", ()),
            tags=[*propagated, *params.get("tags", ())],
            enable_execute_command=bool(params.get("enableExecuteCommand")),
        )
        tasks = [self.run(request) for _ in range(count)]
        return {"tasks": [task.describe(with_tags=True) for task in tasks], "failures": []}

    def _stop_task(self, params: dict[str, Any]) -> Mapping[str, Any]:
        cluster = cluster_of(params.get("cluster"))
        task = self.find(params["task"], cluster["clusterArn"])
        if task is None:
            raise invalid("The referenced task was not found.")
        task.stop("UserInitiated", params.get("reason") or "Task stopped by user")
        self._changed()
        return {"task": task.describe()}

    def _describe_tasks(self, params: dict[str, Any]) -> Mapping[str, Any]:
        cluster = cluster_of(params.get("cluster"))
        with_tags = "TAGS" in params.get("include", ())
        found, failures = [], []
        for reference in params["tasks"]:
            task = self.find(reference, cluster["clusterArn"])
            if task is None:
                missing = cluster["clusterArn"].replace(":cluster/", ":task/") + "/" + reference.rsplit("/", 1)[-1]
                failures.append({"arn": missing, "reason": "MISSING"})
            else:
                found.append(task.describe(with_tags=with_tags))
        return {"tasks": found, "failures": failures}

    def _list_tasks(self, params: dict[str, Any]) -> Mapping[str, Any]:
        cluster = cluster_of(params.get("cluster"))
        if params.get("containerInstance"):
            raise refused("ListTasks by containerInstance")
        desired = params.get("desiredStatus", "RUNNING")
        arns = [
            task.arn
            for task in self.all()
            if task.request.cluster_arn == cluster["clusterArn"]
            and task.desired_status == desired
            and _matches(task, params)
        ]
        return page(arns, params, "taskArns")


def _matches(task: Task, params: Mapping[str, Any]) -> bool:
    request = task.request
    wanted = {
        "serviceName": (f"service:{str(params.get('serviceName')).rsplit('/', 1)[-1]}", request.group),
        "family": (params.get("family"), request.definition["family"]),
        "startedBy": (params.get("startedBy"), request.started_by),
        "launchType": (params.get("launchType"), request.launch_type),
    }
    return all(asked == had for name, (asked, had) in wanted.items() if params.get(name))


def page(items: list[Any], params: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return one page of a list, as all list operations of ECS do."""
    start, size = int(params.get("nextToken") or 0), int(params.get("maxResults") or 100)
    answer: dict[str, Any] = {key: items[start : start + size]}
    if start + size < len(items):
        answer["nextToken"] = str(start + size)
    return answer
