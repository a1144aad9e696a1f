"""One ECS service: its settings, its revisions, its deployments, and how the API describes them.

https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Service.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html
https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceRevision.html
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from readiness.embedded.deployments import (
    IN_PROGRESS,
    ROLLBACK_FAILED,
    ROLLBACK_SUCCESSFUL,
    STOPPED,
    SUCCESSFUL,
    Deployment,
    Rules,
)
from readiness.embedded.settings import ACCOUNT_ID
from readiness.embedded.task import Task

_KEPT_EVENTS = 100

REVISION_SETTINGS = (
    "taskDefinition",
    "loadBalancers",
    "networkConfiguration",
    "launchType",
    "capacityProviderStrategy",
    "platformVersion",
)
"""What makes a service revision: a change of any of it is a new deployment."""


def _number() -> str:
    return str(random.randrange(10**18, 10**19))


@dataclass(slots=True)
class Revision:
    """One service revision: an unchangeable snapshot of what a deployment brings out.

    Attributes:
        arn: Its ARN.
        settings: Those of ``REVISION_SETTINGS``.
        definition: The task definition as DescribeTaskDefinition returned it.
        target_groups: Target group that its tasks are registered in, for each entry of ``loadBalancers``.
        images: What stands for its images' digests.
        created_at: When it was made.
    """

    arn: str
    settings: Mapping[str, Any]
    definition: Mapping[str, Any]
    target_groups: tuple[str, ...]
    images: Sequence[Mapping[str, str]]
    created_at: datetime


@dataclass(slots=True)
class ServiceDeployment:
    """One service deployment as the API knows it, around the state machine that drives it."""

    arn: str
    id: str
    machine: Deployment
    configuration: Mapping[str, Any]
    created_at: datetime
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    rollback_started_at: datetime | None = None
    tasks_failed: int = 0
    seen: tuple[Any, ...] = ()


@dataclass(slots=True)
class Service:
    """One service."""

    arn: str
    name: str
    cluster_arn: str
    settings: dict[str, Any]
    desired: int
    created_at: datetime
    status: str = "ACTIVE"
    tags: list[dict[str, str]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    revisions: dict[str, Revision] = field(default_factory=dict)
    deployments: list[ServiceDeployment] = field(default_factory=list)
    tasks: dict[str, tuple[Task, str]] = field(default_factory=dict)
    swapped: bool = False
    steady: bool = False

    @property
    def current(self) -> ServiceDeployment:
        """The newest deployment."""
        return self.deployments[-1]

    def primary(self) -> str:
        """Return the revision that the service is to have."""
        machine = self.current.machine
        back = machine.rolling_back or machine.status in (ROLLBACK_SUCCESSFUL, ROLLBACK_FAILED)
        return machine.source if back and machine.source else machine.target

    def last_good(self) -> str | None:
        """Return the revision that the last completed deployment left, if there is one."""
        for deployment in reversed(self.deployments):
            machine = deployment.machine
            if machine.status == SUCCESSFUL:
                return machine.target
            if machine.status == ROLLBACK_SUCCESSFUL:
                return machine.source
        return None

    def tell(self, message: str) -> None:
        """Add a service event."""
        event = {"id": str(uuid.uuid4()), "createdAt": datetime.now(UTC), "message": f"(service {self.name}) {message}"}
        self.events = [event, *self.events][:_KEPT_EVENTS]

    def counts(self, revision: str | None = None) -> tuple[int, int]:
        """Return running and pending tasks, of all revisions or of one."""
        tasks = [
            task for task, of in self.tasks.values() if revision in (None, of) and task.desired_status == "RUNNING"
        ]
        running = sum(task.status == "RUNNING" for task in tasks)
        return running, len(tasks) - running


def new_revision(
    service: Service,
    region: str,
    definition: Mapping[str, Any],
    target_groups: tuple[str, ...],
    images: Sequence[Mapping[str, str]],
) -> Revision:
    """Return a revision of a service's present settings; it is the service's from now on."""
    cluster = service.cluster_arn.rsplit("/", 1)[1]
    revision = Revision(
        arn=f"arn:aws:ecs:{region}:{ACCOUNT_ID}:service-revision/{cluster}/{service.name}/{_number()}",
        settings={name: service.settings[name] for name in REVISION_SETTINGS if name in service.settings},
        definition=definition,
        target_groups=target_groups,
        images=images,
        created_at=datetime.now(UTC),
    )
    service.revisions[revision.arn] = revision
    return revision


def new_deployment(service: Service, region: str, revision: Revision, rules: Rules, now: float) -> ServiceDeployment:
    """Return a deployment that brings a revision out; it is the service's newest from now on."""
    cluster = service.cluster_arn.rsplit("/", 1)[1]
    deployment = ServiceDeployment(
        arn=f"arn:aws:ecs:{region}:{ACCOUNT_ID}:service-deployment/{cluster}/{service.name}/{uuid.uuid4().hex[:21]}",
        id=f"ecs-svc/{_number()}",
        machine=Deployment(source=service.last_good(), target=revision.arn, rules=rules, started=now),
        configuration=dict(service.settings.get("deploymentConfiguration") or {}),
        created_at=datetime.now(UTC),
    )
    service.deployments.append(deployment)
    return deployment


_ROLLOUT_STATES = {
    SUCCESSFUL: "COMPLETED",
    ROLLBACK_SUCCESSFUL: "COMPLETED",
    STOPPED: "FAILED",
    ROLLBACK_FAILED: "FAILED",
}


def describe_service(service: Service) -> dict[str, Any]:
    """Return a service as DescribeServices does."""
    running, pending = service.counts()
    primary = service.revisions[service.primary()]
    settings = service.settings
    description = {
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster_arn,
        "status": service.status,
        "desiredCount": service.desired,
        "runningCount": running,
        "pendingCount": pending,
        "schedulingStrategy": "REPLICA",
        "deploymentController": {"type": "ECS"},
        "deploymentConfiguration": settings.get("deploymentConfiguration", {}),
        "deployments": _classic_deployments(service) if service.status != "INACTIVE" else [],
        "events": list(service.events),
        "createdAt": service.created_at,
        "createdBy": f"arn:aws:iam::{ACCOUNT_ID}:root",
        "placementConstraints": [],
        "placementStrategy": [],
        "serviceRegistries": [],
        "enableECSManagedTags": settings.get("enableECSManagedTags", False),
        "enableExecuteCommand": settings.get("enableExecuteCommand", False),
        "propagateTags": settings.get("propagateTags", "NONE"),
        "availabilityZoneRebalancing": settings.get("availabilityZoneRebalancing", "DISABLED"),
        "loadBalancers": [],
        "currentServiceRevisions": [
            _revision_counts(service, arn) for arn in _present_revisions(service) if service.status != "INACTIVE"
        ],
        **primary.settings,
    }
    if settings.get("loadBalancers") and "healthCheckGracePeriodSeconds" in settings:
        description["healthCheckGracePeriodSeconds"] = settings["healthCheckGracePeriodSeconds"]
    description["platformFamily"] = "Linux"
    description["taskDefinition"] = primary.definition["taskDefinitionArn"]
    if not service.current.machine.over:
        description["currentServiceDeployment"] = service.current.arn
    return description


def _present_revisions(service: Service) -> list[str]:
    """Return the primary revision and those that still have tasks."""
    present = {revision for _, revision in service.tasks.values()}
    return [service.primary(), *sorted(present - {service.primary()})]


def _revision_counts(service: Service, arn: str) -> dict[str, Any]:
    running, pending = service.counts(arn)
    requested = service.desired if arn == service.primary() else running + pending
    return {
        "arn": arn,
        "requestedTaskCount": requested,
        "runningTaskCount": running,
        "pendingTaskCount": pending,
    }


def _classic_deployments(service: Service) -> list[dict[str, Any]]:
    """Return ``deployments``: the PRIMARY one, and ACTIVE ones while tasks of other revisions are left."""
    described = []
    for arn in _present_revisions(service):
        owner = next((one for one in reversed(service.deployments) if one.machine.target == arn), service.current)
        machine = owner.machine
        is_primary = arn == service.primary()
        newest = service.current
        if is_primary and newest.machine.rolling_back:
            state, reason = "IN_PROGRESS", _rollback_reason(newest, owner)
        elif is_primary:
            state = _ROLLOUT_STATES.get(newest.machine.status, "IN_PROGRESS")
            reason = _rollout_reason(owner if state == "COMPLETED" else newest, state)
        else:
            failed = machine.rolling_back or machine.status in (ROLLBACK_SUCCESSFUL, ROLLBACK_FAILED, STOPPED)
            state = "FAILED" if failed else "COMPLETED" if machine.status == SUCCESSFUL else "IN_PROGRESS"
            reason = _rollout_reason(owner, state)
        running, pending = service.counts(arn)
        revision = service.revisions[arn]
        described.append(
            {
                "id": owner.id,
                "status": "PRIMARY" if is_primary else "ACTIVE",
                "taskDefinition": revision.definition["taskDefinitionArn"],
                "desiredCount": service.desired if is_primary else running + pending,
                "runningCount": running,
                "pendingCount": pending,
                "failedTasks": owner.tasks_failed,
                "createdAt": owner.created_at,
                "updatedAt": owner.updated_at or owner.created_at,
                "rolloutState": state,
                "rolloutStateReason": reason,
                **{
                    name: revision.settings[name]
                    for name in ("launchType", "networkConfiguration", "platformVersion", "capacityProviderStrategy")
                    if name in revision.settings
                },
            }
        )
    return described


def _rollout_reason(deployment: ServiceDeployment, state: str) -> str:
    """Return a rolloutStateReason.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
    """
    machine = deployment.machine
    if state == "FAILED" and machine.breaker_tripped:
        return f"ECS deployment circuit breaker: {machine.failure}"
    ending = {"FAILED": f" {machine.failure or machine.status_reason}"}.get(state, "")
    return f"ECS deployment {deployment.id} {state.lower().replace('_', ' ')}{':' if ending else '.'}{ending}"


def _rollback_reason(failed: ServiceDeployment, source: ServiceDeployment) -> str:
    cause = "ECS deployment circuit breaker" if failed.machine.breaker_tripped else "ECS deployment"
    return f"{cause}: rolling back to deploymentId {source.id}. {failed.machine.rollback_reason}".strip()


def describe_deployment(service: Service, deployment: ServiceDeployment) -> dict[str, Any]:
    """Return a service deployment as DescribeServiceDeployments does."""
    machine, rules = deployment.machine, deployment.machine.rules
    weight = machine.traffic if machine.shifts_traffic else 100.0
    described: dict[str, Any] = {
        "serviceDeploymentArn": deployment.arn,
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "createdAt": deployment.created_at,
        "startedAt": deployment.created_at,
        "updatedAt": deployment.updated_at or deployment.created_at,
        "status": machine.status,
        "lifecycleStage": machine.stage,
        "deploymentConfiguration": deployment.configuration,
        "targetServiceRevision": {
            **_deployed_counts(service, machine.target),
            "requestedProductionTrafficWeight": weight,
        },
        "sourceServiceRevisions": [],
        "deploymentCircuitBreaker": {
            "status": _monitor(machine, rules.breaker, tripped=machine.breaker_tripped),
            "failureCount": machine.failures,
            "threshold": rules.breaker_threshold(service.desired),
        },
        "alarms": {
            "status": _monitor(
                machine, bool(rules.alarm_names) and machine.watches_alarms, tripped=bool(machine.triggered_alarms)
            ),
            "alarmNames": list(rules.alarm_names),
            "triggeredAlarmNames": list(machine.triggered_alarms),
        },
    }
    if machine.source is not None:
        described["sourceServiceRevisions"] = [
            {**_deployed_counts(service, machine.source), "requestedProductionTrafficWeight": 100.0 - weight}
        ]
    if machine.status_reason:
        described["statusReason"] = machine.status_reason
    if deployment.finished_at is not None:
        described["stoppedAt" if machine.status == STOPPED else "finishedAt"] = deployment.finished_at
    if machine.rollback_reason:
        described["rollback"] = {
            "reason": machine.rollback_reason,
            "startedAt": deployment.rollback_started_at or deployment.updated_at or deployment.created_at,
            "serviceRevisionArn": machine.source,
        }
    return described


def _deployed_counts(service: Service, arn: str) -> dict[str, Any]:
    running, pending = service.counts(arn)
    return {
        "arn": arn,
        "requestedTaskCount": service.desired if arn == service.primary() else running + pending,
        "runningTaskCount": running,
        "pendingTaskCount": pending,
    }


def _monitor(machine: Deployment, enabled: bool, *, tripped: bool) -> str:
    if tripped:
        return "TRIGGERED"
    if not enabled:
        return "DISABLED"
    return "MONITORING" if machine.status == IN_PROGRESS else "MONITORING_COMPLETE"


def describe_revision(service: Service, revision: Revision) -> dict[str, Any]:
    """Return a service revision as DescribeServiceRevisions does."""
    balancers = revision.settings.get("loadBalancers") or []
    resolved = [
        {
            "targetGroupArn": group,
            "productionListenerRule": (balancer.get("advancedConfiguration") or {}).get("productionListenerRule", ""),
        }
        for group, balancer in zip(revision.target_groups, balancers, strict=True)
    ]
    return {
        "serviceRevisionArn": revision.arn,
        "serviceArn": service.arn,
        "clusterArn": service.cluster_arn,
        "createdAt": revision.created_at,
        "containerImages": list(revision.images),
        "platformFamily": "Linux",
        **revision.settings,
        "taskDefinition": revision.definition["taskDefinitionArn"],
        "resolvedConfiguration": {"loadBalancers": resolved},
    }
