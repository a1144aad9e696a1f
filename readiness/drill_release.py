"""Acts on the clone's service that drills share: order a release, watch it, put things back, see what its tasks say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from readiness import contract, drill
from readiness.cloud import translated
from readiness.drill import Release, ServiceState
from readiness.model import Clone, record

_KEPT_STOPPED = 20


@record
class StoppedTask:
    """A task that ended, and why ECS says it did."""

    task: str
    code: str
    reason: str


def order(ecs: Any, clone: Clone, task_definition: str, configuration: Mapping[str, Any] | None = None) -> None:
    """Order a release as a pipeline would: by pointing the service at another task definition."""
    changed = {} if configuration is None else {"deploymentConfiguration": configuration}
    with translated("Updating the service"):
        ecs.update_service(**_service(clone), taskDefinition=task_definition, **changed)


def configure(ecs: Any, clone: Clone, configuration: Mapping[str, Any]) -> None:
    """Set how the service is released; that alone releases nothing."""
    with translated("Setting the deployment configuration of the service"):
        ecs.update_service(**_service(clone), deploymentConfiguration=configuration)


def configuration_of(ecs: Any, clone: Clone) -> dict[str, Any]:
    """Return how the service is released."""
    cluster, service = clone.outputs[contract.Output.CLUSTER], clone.outputs[contract.Output.SERVICE]
    with translated("Describing the service"):
        found = ecs.describe_services(cluster=cluster, services=[service])["services"][0]
    configuration: dict[str, Any] = found["deploymentConfiguration"]
    return configuration


def unguarded(configuration: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration with which nothing takes a release back by itself, and nothing bakes."""
    changed = {**configuration, "bakeTimeInMinutes": 0}
    if configuration.get("canaryConfiguration"):
        changed["canaryConfiguration"] = {**configuration["canaryConfiguration"], "canaryBakeTimeInMinutes": 0}
    if configuration.get("alarms"):
        changed["alarms"] = {**configuration["alarms"], "enable": False, "rollback": False}
    changed["deploymentCircuitBreaker"] = {"enable": False, "rollback": False}
    return changed


def deployment_alarms(configuration: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the alarms that take a release back."""
    alarms = configuration.get("alarms") or {}
    return tuple(alarms.get("alarmNames", ())) if alarms.get("enable") else ()


def watch(
    ecs: Any, clone: Clone, since: datetime, within: timedelta, show: Callable[[Release], None]
) -> tuple[Release | None, int]:
    """Watch the newest release since an instant until ECS has ended it.

    Returns:
        The last that was seen of it, and the most failed tasks that ECS told of at any time: it forgets them.
    """
    seen: list[Release] = []

    def ended() -> bool:
        release = drill.latest_release(ecs, clone, since)
        if release is not None:
            seen.append(release)
            show(release)
        return release is not None and release.status in drill.ENDED

    drill.wait_for(ended, within)
    return (seen[-1] if seen else None), max((each.failed_tasks for each in seen), default=0)


def stopped_tasks(ecs: Any, clone: Clone, task_definition: str) -> tuple[StoppedTask, ...]:
    """Return tasks of a task definition that failed: not those that were stopped because they were not wanted."""
    cluster = clone.outputs[contract.Output.CLUSTER]
    family = task_definition.rpartition("/")[2].rpartition(":")[0]
    with translated("Listing stopped tasks"):
        arns = ecs.list_tasks(cluster=cluster, family=family, desiredStatus="STOPPED")["taskArns"]
        told = ecs.describe_tasks(cluster=cluster, tasks=arns[:100])["tasks"] if arns else []
    failed = [
        StoppedTask(task=each["taskArn"], code=each.get("stopCode", ""), reason=each.get("stoppedReason", ""))
        for each in told
        if each["taskDefinitionArn"] == task_definition
        and (each.get("stopCode") in ("TaskFailedToStart", "EssentialContainerExited") or _is_ill(each))
    ]
    return tuple(failed[:_KEPT_STOPPED])


def _is_ill(task: Mapping[str, Any]) -> bool:
    return "health checks" in task.get("stoppedReason", "")


def await_state(ecs: Any, clone: Clone, done: Callable[[ServiceState], bool], within: timedelta) -> ServiceState:
    """Return what the service runs, as soon as it is as wanted, or at the end of the time."""
    seen: list[ServiceState] = []

    def there() -> bool:
        seen.append(drill.service_state(ecs, clone))
        return done(seen[-1])

    drill.wait_for(there, within)
    return seen[-1]


def runs_only(before: ServiceState) -> Callable[[ServiceState], bool]:
    """Return what says whether a service runs nothing but what it ran before, and as much of it."""

    def check(now: ServiceState) -> bool:
        return (
            now.task_definition == before.task_definition
            and len(now.tasks) >= now.desired
            and set(now.tasks.values()) == {before.task_definition}
        )

    return check


def states_of(cloudwatch: Any, alarms: tuple[str, ...]) -> dict[str, str]:
    """Return the state of each alarm."""
    return {name: drill.alarm_state(cloudwatch, name) for name in alarms}


def settle(cloudwatch: Any, alarms: tuple[str, ...], within: timedelta) -> dict[str, str]:
    """Wait until every alarm is OK; return their states at the end of the wait."""
    drill.wait_for(lambda: all(state == "OK" for state in states_of(cloudwatch, alarms).values()), within)
    return states_of(cloudwatch, alarms)


def first_alarm_at(cloudwatch: Any, alarms: tuple[str, ...], since: datetime) -> datetime | None:
    """Return when the first of some alarms went to ALARM after an instant, by their history."""
    changes = [at for name in alarms for at, state in drill.state_changes(cloudwatch, name, since) if state == "ALARM"]
    return min(changes, default=None)


def _service(clone: Clone) -> dict[str, str]:
    return {"cluster": clone.outputs[contract.Output.CLUSTER], "service": clone.outputs[contract.Output.SERVICE]}
