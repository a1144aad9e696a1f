"""A service as a look at it would tell it, for the tests of what is compared between clone and production."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from readiness.deployed_service import DeploymentSeen, ServiceSeen, TaskSeen
from tests.unit.samples import T0

GOOD, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
CONTENT = {
    "task.cpu": "512",
    "container.service.image": "shop:1",
    "container.service.environment.LEVEL": "sha256:" + "1" * 64,
    "container.service.secret.TOKEN": "secretsmanager",
    "service.deployment.strategy": "CANARY",
    "target.primary.healthCheckPath": "/health",
}


def a_task(name: str = "t1", zone: str = "eu-west-1a", **changes: Any) -> TaskSeen:
    return TaskSeen(
        **{
            "task": name,
            "zone": zone,
            "task_definition": "shop:1",
            "images": {"service": "shop:1"},
            "digests": {"service": GOOD},
        }
        | changes
    )


def a_deployment(**changes: Any) -> DeploymentSeen:
    return DeploymentSeen(
        **{
            "status": "PRIMARY",
            "rollout": "COMPLETED",
            "task_definition": "shop:1",
            "desired": 2,
            "running": 2,
            "pending": 0,
            "failed": 0,
            "updated_at": T0 - timedelta(hours=1),
        }
        | changes
    )


SERVICE = ServiceSeen(
    cluster="cluster",
    service="shop",
    status="ACTIVE",
    task_definition="shop:1",
    content=CONTENT,
    desired=2,
    running=2,
    pending=0,
    deployments=(a_deployment(),),
    tasks=(a_task("t1", "eu-west-1a"), a_task("t2", "eu-west-1b")),
    zones=("eu-west-1a", "eu-west-1b"),
    targets={"primary": {"healthy": 2}, "alternate": {}},
)


def a_service(**changes: Any) -> ServiceSeen:
    return replace(SERVICE, **changes)


def content(**changes: str) -> dict[str, str]:
    """Return the content with paths changed; ``__`` stands for a dot, an empty text takes a path away."""
    changed = CONTENT | {path.replace("__", "."): value for path, value in changes.items()}
    return {path: value for path, value in changed.items() if value}


NOTHING = ServiceSeen(
    cluster="",
    service="",
    status="",
    task_definition="",
    content={},
    desired=0,
    running=0,
    pending=0,
    deployments=(),
    tasks=(),
    zones=(),
    targets={},
)
