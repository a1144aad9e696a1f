"""What a service is, without the names that differ from stack to stack: one spelling of it, and one comparison.

A content is a table: path -> value, such as ``container.service.image`` -> ``shop:1.4.2``. ECS, the load balancer and
a CloudFormation template are spelled alike, so that a deployed service can be held against its template, its plan, and
another service. Values of variables, commands and labels, which may be secret, are kept as digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final

from pydantic import Field

from readiness.model import record

Content = dict[str, str]
PathOrGlob = Annotated[str, Field(pattern=r"[^*?\[\].]{3}")]
"""A path of a content, or a glob of such: one that names nothing would excuse whatever differs."""

UNKNOWN: Final = "(not known)"
"""A value that only CloudFormation knows: it is compared with nothing."""
ANY: Final = "(any)"
"""Stands for every value: the path has to be there."""

_NAMES = frozenset(
    {
        "compatibilities",
        "containerDefinitions",
        "deregisteredAt",
        "family",
        "registeredAt",
        "registeredBy",
        "requiresAttributes",
        "revision",
        "status",
        "tags",
        "taskDefinitionArn",
    }
)
"""What a task definition is called, and what ECS notes beside it. All else of it is compared."""
_ROLES = frozenset({"executionRoleArn", "taskRoleArn"})
_SECRET = frozenset({"command", "entryPoint", "dockerLabels", "environmentFiles", "options"})
"""Keys whose values are kept as digests."""
_PLACES = frozenset({"awslogs-group", "awslogs-region"})
_FREE_KEYS = frozenset({"DockerLabels", "Options"})
"""Tables whose keys are the user's own."""
_OF_SERVICE = {"launchType": "", "platformVersion": "LATEST", "schedulingStrategy": "REPLICA"}
"""Keys of a service that are compared as they are, and what is meant where they are not given."""
_OF_TARGETS = (
    "healthCheckEnabled",
    "healthCheckIntervalSeconds",
    "healthCheckPath",
    "healthCheckPort",
    "healthCheckProtocol",
    "healthCheckTimeoutSeconds",
    "healthyThresholdCount",
    "matcher",
    "port",
    "protocol",
    "targetType",
    "unhealthyThresholdCount",
)


@record
class Difference:
    """A path at which two contents differ; "" = it is not there."""

    path: str
    wanted: str
    found: str

    def told(self, whose: str) -> str:
        """Return the difference in words; *whose* begins what was wanted: ``the plan has``, ``approved was``."""
        if not self.found:
            return f"is not there; {whose} {_value(self.wanted)}"
        if not self.wanted:
            return f"is {_value(self.found)}; {whose} nothing"
        if self.found.startswith("sha256:"):
            return f"is another value; {whose} one with another digest"
        return f"is {_value(self.found)}; {whose} {_value(self.wanted)}"


@record
class Comparison:
    """Two contents side by side.

    Attributes:
        compared: How many paths were.
        unknown: Paths of which what was wanted is not known.
        differences: Where they differ.
        allowed: Where they differ, and may.
    """

    compared: int
    unknown: tuple[str, ...]
    differences: tuple[Difference, ...]
    allowed: tuple[Difference, ...] = ()


def compare(
    wanted: Mapping[str, str], found: Mapping[str, str], *, may_differ: Iterable[str] = (), whole: bool = True
) -> Comparison:
    """Hold what was found against what was wanted, path by path.

    Args:
        wanted: What it has to be: what was approved, or what a template or a plan says.
        found: What it is.
        may_differ: Paths, or globs of them, at which it may be another.
        whole: Whether what is found beyond what was wanted is a difference too.
    """
    globs = tuple(may_differ)
    unknown = tuple(sorted(path for path, value in wanted.items() if value == UNKNOWN and path in found))
    paths = sorted(wanted.keys() | found.keys() if whole else wanted.keys())
    told = [
        Difference(path=path, wanted=wanted.get(path, ""), found=found.get(path, ""))
        for path in paths
        if path not in unknown and not _same(wanted.get(path, ""), found.get(path, ""))
    ]
    allowed = tuple(each for each in told if _matches(each.path, globs))
    return Comparison(
        compared=len(paths) - len(unknown),
        unknown=unknown,
        differences=tuple(each for each in told if each not in allowed),
        allowed=allowed,
    )


def _same(wanted: str, found: str) -> bool:
    return bool(found) if wanted == ANY else wanted == found


def _matches(path: str, globs: Iterable[str]) -> bool:
    return any(path == glob or fnmatchcase(path, glob) for glob in globs)


def _value(value: str) -> str:
    return "a value" if value.startswith("sha256:") or value == ANY else repr(value)


# --- the contents ----------------------------------------------------------------------------------------------------


def as_api(value: Any) -> Any:
    """Return what CloudFormation and the load balancer's API spell ``Like`` this as ECS does: ``like`` this."""
    if isinstance(value, list | tuple):
        return [as_api(each) for each in value]
    if not isinstance(value, Mapping):
        return value
    named = ((key[:1].lower() + key[1:], key, each) for key, each in value.items())
    return {name: each if key in _FREE_KEYS else as_api(each) for name, key, each in named}


def of_task_definition(definition: Mapping[str, Any]) -> Content:
    """Return the content of a task definition, spelled as ECS does: all of it but what it is called."""
    told: Content = {}
    for key, value in definition.items():
        if key in _ROLES:
            told |= {f"task.{key}": "given"} if value else {}
        elif key not in _NAMES:
            told |= dict(_flat(f"task.{key}", value))
    for container in definition.get("containerDefinitions") or ():
        told |= _container(container)
    return told


def of_service(service: Mapping[str, Any]) -> Content:
    """Return the content of a service, spelled as ECS does: how it is placed and released, not how many it runs."""
    told = {f"service.{key}": str(service.get(key) or usual) for key, usual in _OF_SERVICE.items()}
    told["service.deploymentController"] = (service.get("deploymentController") or {}).get("type", "ECS")
    told |= dict(_flat("service.enableExecuteCommand", service.get("enableExecuteCommand")))
    told |= dict(_flat("service.healthCheckGracePeriodSeconds", service.get("healthCheckGracePeriodSeconds")))
    told |= dict(_flat("service.capacityProviderStrategy", service.get("capacityProviderStrategy")))
    network = (service.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    told["service.network.assignPublicIp"] = str(network.get("assignPublicIp") or "DISABLED")
    told |= _count("service.network.subnets", network.get("subnets"))
    told |= _count("service.network.securityGroups", network.get("securityGroups"))
    configuration = dict(service.get("deploymentConfiguration") or {})
    alarms = configuration.pop("alarms", None) or {}
    if alarms.get("enable"):
        told |= _count("service.deployment.alarms", alarms.get("alarmNames"))
        told["service.deployment.alarms.rollback"] = str(bool(alarms.get("rollback"))).lower()
    told |= dict(_flat("service.deployment", configuration))
    for number, balancer in enumerate(service.get("loadBalancers") or ()):
        told[f"service.loadBalancer.{number}"] = f"{balancer.get('containerName')}:{balancer.get('containerPort')}"
    return {path: value for path, value in told.items() if value}


def of_target_group(group: Mapping[str, Any], role: str) -> Content:
    """Return the content of a target group, spelled as ``as_api`` does: how the health of its targets is judged."""
    return {path: value for key in _OF_TARGETS for path, value in _flat(f"target.{role}.{key}", group.get(key))}


def target_groups(service: Mapping[str, Any]) -> dict[str, Any]:
    """Return what each target group is to a service (``primary``, ``alternate``, or numbered) -> its ARN."""
    found: dict[str, Any] = {}
    for number, balancer in enumerate(service.get("loadBalancers") or ()):
        suffix = "" if number == 0 else f"-{number + 1}"
        alternate = (balancer.get("advancedConfiguration") or {}).get("alternateTargetGroupArn")
        found |= {f"primary{suffix}": balancer.get("targetGroupArn"), f"alternate{suffix}": alternate}
    return {role: arn for role, arn in found.items() if arn}


def digest(name: str, value: Any) -> str:
    """Return what tells a value from others without telling it; equal values of two names do not look equal."""
    if _vague(value):
        return UNKNOWN
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)
    return "sha256:" + hashlib.sha256(f"{name}\0{text}".encode()).hexdigest()


def _container(container: Mapping[str, Any]) -> Content:
    name = container.get("name")
    told: Content = {f"container.{name}.essential": str(container.get("essential", True)).lower()}
    for key, value in container.items():
        path = f"container.{name}.{key}"
        if key == "environment":
            told |= {f"{path}.{each['name']}": digest(each["name"], each.get("value", "")) for each in value or ()}
        elif key == "secrets":
            told |= {f"container.{name}.secret.{each['name']}": _store(each.get("valueFrom")) for each in value or ()}
        elif key == "portMappings":
            told |= {f"container.{name}.port.{each.get('containerPort')}": _protocol(each) for each in value or ()}
        elif key == "logConfiguration":
            told |= dict(_logging(path, value or {}))
        elif key not in ("name", "essential"):
            told |= dict(_flat(path, value))
    return told


def _store(source: Any) -> str:
    """Return where a secret comes from, without its name: the kind of store, and the key in it."""
    if not isinstance(source, str):
        return UNKNOWN
    parts = source.split(":")
    if len(parts) > 6 and parts[2] == "secretsmanager":
        return f"secretsmanager {parts[7]}".strip() if len(parts) > 7 else "secretsmanager"
    return "ssm"


def _protocol(mapping: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (mapping.get("protocol") or "tcp", mapping.get("appProtocol"))))


def _logging(path: str, logging: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from _flat(f"{path}.logDriver", logging.get("logDriver"))
    for option, value in (logging.get("options") or {}).items():
        if option not in _PLACES:
            yield f"{path}.options.{option}", digest(option, value)


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Yield each value below a path; nothing where it is empty, zero or false, as ECS tells what was never given."""
    key = path.rpartition(".")[2]
    if _vague(value) and not isinstance(value, Mapping):
        yield path, UNKNOWN
    elif not value:
        return
    elif key in _SECRET:
        yield path, digest(key, value)
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _flat(f"{path}.{name}", each)
    elif isinstance(value, list):
        yield path, json.dumps(sorted(_plain(each) for each in value), sort_keys=True)
    else:
        yield path, _plain(value)


def _plain(value: Any) -> str:
    """Return a value as it is compared: a template has ``"80"`` for 80, and ``true`` for True."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return json.dumps(value, sort_keys=True, default=str) if isinstance(value, Mapping | list) else str(value)


def _vague(value: Any) -> bool:
    """Say whether something in a value is no value: a function's result that nobody but CloudFormation knows."""
    if isinstance(value, Mapping):
        return any(_vague(each) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_vague(each) for each in value)
    return value is not None and not isinstance(value, str | int | float)


def _count(path: str, listed: Sequence[Any] | Any) -> Content:
    return {path: str(len(listed))} if isinstance(listed, list | tuple) else {}
