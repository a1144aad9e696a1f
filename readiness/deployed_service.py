"""What an ECS service runs: its content, its deployments, the image of every task, its zones, its targets' health."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness.cloud import translated
from readiness.errors import CloudError
from readiness.model import Instant, record
from readiness.service_content import Content, as_api, of_service, of_target_group, of_task_definition, target_groups

Clients = Callable[[str], Any]

_TASKS_AT_ONCE = 100
_INJECTED = ("aws-guardduty-agent", "ecs-service-connect")
"""What the containers are called that AWS puts into a task by itself, each time under another name: no task definition
has them, and nobody approves them.
https://docs.aws.amazon.com/guardduty/latest/ug/how-runtime-monitoring-works-ecs-fargate.html
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-connect-concepts-deploy.html
"""
_ECR = re.compile(
    r"(?P<registry>\d{12})\.dkr[.-]ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.(?:amazonaws\.com(?:\.cn)?|on\.aws)"
    r"/(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_PINNED = re.compile(r"@(sha256:[0-9a-f]{64})$")
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@record
class TaskSeen:
    """A running task.

    Attributes:
        task_definition: Family and revision.
        images: Container -> the image that its task definition names.
        digests: Container -> digest of the image that it runs; "" = ECS does not tell.
    """

    task: str
    zone: str
    task_definition: str
    images: dict[str, str]
    digests: dict[str, str]


@record
class DeploymentSeen:
    """A deployment that a service still has tasks of, or wants.

    Attributes:
        updated_at: When it last changed: of a completed one, when it was; None = ECS does not tell.
    """

    status: str
    rollout: str
    task_definition: str
    desired: int
    running: int
    pending: int
    failed: int
    updated_at: Instant | None = None


@record
class Resolved:
    """What a registry says that an image's name stands for.

    Attributes:
        digests: The image's, or those of an index and of the images in it; empty = the registry could not be asked.
        error: What it answered instead.
    """

    image: str
    digests: tuple[str, ...] = ()
    error: str = ""


@record
class ServiceSeen:
    """A service, as it is in the account.

    Attributes:
        task_definition: Family and revision of the one that the service is to run.
        content: What it is: see ``service_content``.
        zones: The availability zones of its subnets.
        targets: What a target group is to the service -> state of its targets -> how many.
        registry: What the images' names stand for, of those whose registry can be asked.
    """

    cluster: str
    service: str
    status: str
    task_definition: str
    content: Content
    desired: int
    running: int
    pending: int
    deployments: tuple[DeploymentSeen, ...]
    tasks: tuple[TaskSeen, ...]
    zones: tuple[str, ...]
    targets: dict[str, dict[str, int]]
    registry: tuple[Resolved, ...] = field(default=())

    @property
    def digests(self) -> dict[str, tuple[str, ...]]:
        """Container -> the different digests that its tasks run."""
        found: dict[str, set[str]] = {}
        for task in self.tasks:
            for container, each in task.digests.items():
                found.setdefault(container, set()).update({each} - {""})
        return {container: tuple(sorted(each)) for container, each in sorted(found.items())}

    @property
    def used_zones(self) -> tuple[str, ...]:
        """The availability zones that its tasks run in."""
        return tuple(sorted({task.zone for task in self.tasks} - {""}))


def unsteady(service: ServiceSeen) -> str:
    """Return why a service is not steady, or "" if it is.

    Steady is one deployment that is completed, and as many running tasks as wanted, none of them coming or going.
    """
    if service.status != "ACTIVE":
        return f"the service is {service.status}"
    if len(service.deployments) != 1:
        return f"it has {len(service.deployments)} deployments"
    rollout = service.deployments[0].rollout
    if rollout != "COMPLETED":
        return f"its deployment is {rollout or 'in an unknown state'}"
    if service.running != service.desired or service.pending:
        return f"{service.running} of {service.desired} tasks run, {service.pending} are pending"
    return ""


def counts(clients: Clients, cluster: str, service: str) -> ServiceSeen:
    """Return a service without its tasks and its content: what tells whether it is steady.

    Raises:
        CloudError: there is no such service, or it cannot be asked for.
    """
    return _seen(_describe(clients, cluster, service), cluster, service)


def see(clients: Clients, cluster: str, service: str) -> ServiceSeen:
    """Return all of a service.

    Raises:
        CloudError: there is no such service, or something of it cannot be asked for.
    """
    told = _describe(clients, cluster, service)
    ecs = clients("ecs")
    with translated(f"Reading the task definition of {service}"):
        definition = ecs.describe_task_definition(taskDefinition=told["taskDefinition"])["taskDefinition"]
    content = of_task_definition(definition) | of_service(told)
    targets = {}
    for role, arn in target_groups(told).items():
        group, states = _target_group(clients("elbv2"), arn)
        content |= of_target_group(group, role)
        targets[role] = states
    tasks = _tasks(ecs, cluster, service)
    images = {each["image"] for each in definition["containerDefinitions"]}
    return _seen(
        told,
        cluster,
        service,
        content=content,
        tasks=tasks,
        zones=_zones(clients("ec2"), told),
        targets=targets,
        registry=tuple(_resolved(clients, images)),
    )


def _describe(clients: Clients, cluster: str, service: str) -> Mapping[str, Any]:
    with translated(f"Describing service {service} in cluster {cluster}"):
        found = clients("ecs").describe_services(cluster=cluster, services=[service])["services"]
    if not found:
        raise CloudError(f"There is no service {service} in cluster {cluster}.", hint="Name it as CLUSTER/SERVICE.")
    described: Mapping[str, Any] = found[0]
    return described


def _seen(told: Mapping[str, Any], cluster: str, service: str, **more: Any) -> ServiceSeen:
    return ServiceSeen(
        **{
            "cluster": cluster.rpartition("/")[2],
            "service": service.rpartition("/")[2],
            "status": told.get("status", ""),
            "task_definition": told["taskDefinition"].rpartition("/")[2],
            "content": {},
            "desired": told["desiredCount"],
            "running": told["runningCount"],
            "pending": told["pendingCount"],
            "deployments": tuple(_deployment(each) for each in told.get("deployments", ())),
            "tasks": (),
            "zones": (),
            "targets": {},
            **more,
        }
    )


def _deployment(told: Mapping[str, Any]) -> DeploymentSeen:
    return DeploymentSeen(
        status=told.get("status", ""),
        rollout=told.get("rolloutState", ""),
        task_definition=told.get("taskDefinition", "").rpartition("/")[2],
        desired=told.get("desiredCount", 0),
        running=told.get("runningCount", 0),
        pending=told.get("pendingCount", 0),
        failed=told.get("failedTasks", 0),
        updated_at=told.get("updatedAt"),
    )


def _tasks(ecs: Any, cluster: str, service: str) -> tuple[TaskSeen, ...]:
    with translated(f"Describing the tasks of {service}"):
        pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING")
        arns = [arn for page in pages for arn in page["taskArns"]]
        told: list[Any] = []
        for start in range(0, len(arns), _TASKS_AT_ONCE):
            told += ecs.describe_tasks(cluster=cluster, tasks=arns[start : start + _TASKS_AT_ONCE])["tasks"]
    return tuple(_task(each) for each in told if each.get("lastStatus") == "RUNNING")


def _task(told: Mapping[str, Any]) -> TaskSeen:
    containers = [each for each in told.get("containers", ()) if not each["name"].startswith(_INJECTED)]
    return TaskSeen(
        task=told["taskArn"].rpartition("/")[2],
        zone=told.get("availabilityZone", ""),
        task_definition=told["taskDefinitionArn"].rpartition("/")[2],
        images={each["name"]: each.get("image", "") for each in containers},
        digests={each["name"]: each.get("imageDigest", "") for each in containers},
    )


def _zones(ec2: Any, told: Mapping[str, Any]) -> tuple[str, ...]:
    network = (told.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    if not network.get("subnets"):
        return ()
    with translated("Describing the subnets of the service"):
        found = ec2.describe_subnets(SubnetIds=network["subnets"])["Subnets"]
    return tuple(sorted({each["AvailabilityZone"] for each in found}))


def _target_group(elbv2: Any, arn: str) -> tuple[Mapping[str, Any], dict[str, int]]:
    with translated(f"Describing target group {arn}"):
        group = elbv2.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
        health = elbv2.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
    return as_api(group), dict(Counter(each["TargetHealth"]["State"] for each in health))


# --- registries ------------------------------------------------------------------------------------------------------


def _resolved(clients: Clients, images: Iterable[str]) -> Iterable[Resolved]:
    """Yield what each image's name stands for; of a registry that cannot be asked, nothing."""
    for image in sorted(images):
        pinned, named = _PINNED.search(image), _ECR.fullmatch(image)
        if named is not None:
            yield _ask_ecr(clients("ecr"), image, named)
        elif pinned is not None:
            yield Resolved(image=image, digests=(pinned[1],))


def _ask_ecr(ecr: Any, image: str, named: re.Match[str]) -> Resolved:
    """Ask ECR for an image and, where it is an index of images for several platforms, for the digests of those."""
    if named["region"] != ecr.meta.region_name:
        return Resolved(image=image, error=f"it lies in {named['region']}, and only {ecr.meta.region_name} is asked")
    wanted = {"imageDigest": named["digest"]} if named["digest"] else {"imageTag": named["tag"] or "latest"}
    try:
        told = ecr.batch_get_image(
            registryId=named["registry"],
            repositoryName=named["repository"],
            imageIds=[wanted],
            acceptedMediaTypes=list(_MANIFESTS),
        )
    except (BotoCoreError, ClientError) as error:
        return Resolved(image=image, error=str(error))
    if not told.get("images"):
        reasons = [each.get("failureReason", "") for each in told.get("failures", ())]
        return Resolved(image=image, error="; ".join(reasons) or "the registry has no such image")
    found = [each["imageId"]["imageDigest"] for each in told["images"]]
    for each in told["images"]:
        found += [child["digest"] for child in json.loads(each.get("imageManifest") or "{}").get("manifests", ())]
    return Resolved(image=image, digests=tuple(dict.fromkeys(found)))
