"""What one container of a task runs, with what environment and where its output goes: everything before its start.

* overrides: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerOverride.html
* secrets: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html and
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-ssm-paramstore.html
* CannotPullContainerError, ResourceInitializationError:
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/stopped-task-error-codes.html
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.processes import base_environment
from readiness.embedded.settings import EmbeddedSettings

_DEFAULT_STOP_TIMEOUT_S = 30
_NOT_DONE = (
    "entryPoint",
    "dependsOn",
    "healthCheck",
    "environmentFiles",
    "firelensConfiguration",
    "resourceRequirements",
    "workingDirectory",
    "repositoryCredentials",
    "credentialSpecs",
    "restartPolicy",
    "links",
    "volumesFrom",
)


class StartError(Exception):
    """A task can't start; the message is its ``stoppedReason``, in the documented form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPlan:
    """All that is decided before a container's process starts."""

    name: str
    image: str
    image_argv: tuple[str, ...]
    image_digest: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    essential: bool
    stop_timeout_s: float
    log_group: str
    log_stream: str
    creates_log_group: bool
    port_mappings: Sequence[Mapping[str, Any]]
    cpu: str


def check_definition(definition: Mapping[str, Any]) -> None:
    """Refuse task definitions that ask for what is not done.

    Raises:
        AwsError: Names the setting.
    """
    for container in definition.get("containerDefinitions", ()):
        for setting in _NOT_DONE:
            if container.get(setting):
                raise _refused(f"{setting} of container {container['name']}")
        driver = (container.get("logConfiguration") or {}).get("logDriver", "awslogs")
        if driver != "awslogs":
            raise _refused(f"log driver {driver} of container {container['name']}; only awslogs is")
    for volume in definition.get("volumes", ()):
        for kind in ("efsVolumeConfiguration", "dockerVolumeConfiguration", "fsxWindowsFileServerVolumeConfiguration"):
            if volume.get(kind):
                raise _refused(f"{kind} of volume {volume.get('name')}")


def check_overrides(overrides: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    """Refuse overrides that are not done, and those for containers that the task definition doesn't have."""
    if overrides.get("inferenceAcceleratorOverrides"):
        raise _refused("inferenceAcceleratorOverrides")
    names = {container["name"] for container in definition.get("containerDefinitions", ())}
    for override in overrides.get("containerOverrides", ()):
        if override.get("name") not in names:
            raise AwsError(
                "InvalidParameterException",
                f"Override for container named {override.get('name')} is not a container in the TaskDefinition.",
            )
        for setting in ("environmentFiles", "resourceRequirements"):
            if override.get(setting):
                raise _refused(f"override of {setting}")


def _refused(what: str) -> AwsError:
    return AwsError("NotImplemented", f"this is not done by the embedded AWS: {what}")


def image_digest(image: str, argv: Sequence[str]) -> str:
    """Return what stands for an image's digest: the SHA-256 of its name and the command that stands in for it."""
    return "sha256:" + hashlib.sha256(json.dumps([image, *argv]).encode()).hexdigest()


def plan_container(
    container: Mapping[str, Any],
    overrides: Mapping[str, Any],
    settings: EmbeddedSettings,
    clients: Callable[[str], Any],
    task_id: str,
) -> ContainerPlan:
    """Decide what a container runs.

    Raises:
        StartError: Its image has no command, or a secret can't be had.
    """
    name, image = container["name"], container["image"]
    override: Mapping[str, Any] = next(
        (one for one in overrides.get("containerOverrides", ()) if one.get("name") == name), {}
    )
    if image not in settings.images:
        raise StartError(
            f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref {image}: "
            f"{image}: not found. The embedded AWS has no command for this image: name one under [embedded.images]"
        )
    argv = tuple(settings.images[image])
    log = (container.get("logConfiguration") or {}).get("options") or {}
    prefix = log.get("awslogs-stream-prefix")
    return ContainerPlan(
        name=name,
        image=image,
        image_argv=argv,
        image_digest=image_digest(image, argv),
        command=tuple(override.get("command") or container.get("command") or ()),
        environment=_environment(container, override, clients),
        essential=bool(container.get("essential", True)),
        stop_timeout_s=float(container.get("stopTimeout") or _DEFAULT_STOP_TIMEOUT_S),
        log_group=log.get("awslogs-group", ""),
        log_stream=f"{prefix}/{name}/{task_id}" if prefix else task_id,
        creates_log_group=log.get("awslogs-create-group", "false").lower() == "true",
        port_mappings=tuple(container.get("portMappings") or ()),
        cpu=str(override.get("cpu") or container.get("cpu") or 0),
    )


def _environment(
    container: Mapping[str, Any], override: Mapping[str, Any], clients: Callable[[str], Any]
) -> dict[str, str]:
    found = base_environment()
    found |= {pair["name"]: pair.get("value", "") for pair in container.get("environment") or ()}
    found |= {secret["name"]: _secret(secret["valueFrom"], clients) for secret in container.get("secrets") or ()}
    found |= {pair["name"]: pair.get("value", "") for pair in override.get("environment") or ()}
    return found


def _secret(source: str, clients: Callable[[str], Any]) -> str:
    """Return a secret's value from Secrets Manager (full ARN, optionally with key, stage and version) or SSM."""
    try:
        if source.startswith("arn:") and source.split(":")[2] == "secretsmanager":
            return _from_secrets_manager(source, clients)
        name = source.split(":parameter", 1)[1] if source.startswith("arn:") else source
        # An ARN has one slash before the name; a name with a path keeps it.
        names = [name, name.removeprefix("/")] if source.startswith("arn:") else [name]
        return _from_parameter_store(names, clients)
    except (ClientError, BotoCoreError, KeyError, ValueError) as error:
        raise StartError(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval "
            f"failed: unable to retrieve secret {source}: {error}"
        ) from error


def _from_secrets_manager(source: str, clients: Callable[[str], Any]) -> str:
    parts = source.split(":")
    arn, (key, stage, version) = ":".join(parts[:7]), ([*parts[7:], "", "", ""])[:3]
    asked = {"SecretId": arn}
    if stage:
        asked["VersionStage"] = stage
    if version:
        asked["VersionId"] = version
    text: str = clients("secretsmanager").get_secret_value(**asked)["SecretString"]
    if not key:
        return text
    values = json.loads(text)
    if key not in values:
        raise KeyError(f"retrieved secret did not contain json key {key}")
    return str(values[key])


def _from_parameter_store(names: Sequence[str], clients: Callable[[str], Any]) -> str:
    for name in names[:-1]:
        try:
            return str(clients("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"])
        except ClientError:
            continue
    return str(clients("ssm").get_parameter(Name=names[-1], WithDecryption=True)["Parameter"]["Value"])


def log_sender(
    plan: ContainerPlan, clients: Callable[[str], Any], folder: Path
) -> Callable[[list[dict[str, Any]]], None]:
    """Return what delivers a container's output: to its log stream, or without one to a file for the curious.

    Raises:
        StartError: The log group is not there.
    """
    if not plan.log_group:
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{plan.name}.log"

        def to_file(events: list[dict[str, Any]]) -> None:
            with file.open("a", encoding="utf-8") as output:
                output.writelines(event["message"] + "\n" for event in events)

        return to_file
    logs = clients("logs")
    where = {"logGroupName": plan.log_group, "logStreamName": plan.log_stream}
    if plan.creates_log_group:
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=plan.log_group)
    try:
        logs.create_log_stream(**where)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceAlreadyExistsException":
            raise StartError(
                "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: "
                f"failed to create Cloudwatch log stream: {error} : exit status 1"
            ) from error

    def to_stream(events: list[dict[str, Any]]) -> None:
        logs.put_log_events(**where, logEvents=events)

    return to_stream
