"""What a CloudFormation resource type is to the embedded AWS: how it is made, changed and deleted through the APIs.

A type's entry states the properties that it knows. A property it does not know fails the deployment by name, and so
does an unknown key deeper down: every call is fitted to botocore's model of the operation, which knows every key.
"""

from __future__ import annotations

import json
import secrets
import string
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from botocore import xform_name

from readiness.embedded.settings import ACCOUNT_ID

Properties = Mapping[str, Any]


class ResourceError(Exception):
    """A resource can't be made, changed or deleted; the message is the reason that the stack's events tell."""


class Cancelled(ResourceError):
    """The stack operation was told to stop, so waiting for the resource ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What surrounds one resource of one stack.

    Attributes:
        clients: Gives the boto3 client of a service.
        region: The region.
        stack_name: Name of the stack; generated names begin with it.
        stack_id: ARN of the stack.
        logical_id: The resource's name in the template.
        stack_tags: Tags of the stack, which every resource that can carry tags gets.
        cancelled: Set when the stack operation is to end early.
    """

    clients: Callable[[str], Any]
    region: str
    stack_name: str
    stack_id: str
    logical_id: str
    stack_tags: Mapping[str, str] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def system_tags(self) -> dict[str, str]:
        """The tags that CloudFormation itself adds.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-resource-tags.html
        """
        return {
            "aws:cloudformation:stack-name": self.stack_name,
            "aws:cloudformation:stack-id": self.stack_id,
            "aws:cloudformation:logical-id": self.logical_id,
        }


class Resource:
    """One resource of a stack. A subclass is the entry of one resource type.

    ``create`` sets ``physical_id`` as soon as something exists, so that whatever fails afterwards can still be undone.
    """

    TYPE: ClassVar[str]
    SERVICE: ClassVar[str] = ""
    PROPERTIES: ClassVar[frozenset[str]] = frozenset()
    """Every property that the entry knows."""
    IN_PLACE: ClassVar[frozenset[str]] = frozenset()
    """Those that ``update`` can change; a change of any other replaces the resource."""
    NAME: ClassVar[str | None] = None
    """The property that names the resource. If a template sets it, the resource can't be replaced under that name."""
    TAGGED: ClassVar[bool] = False
    """Whether the resource carries the stack's tags."""

    def __init__(
        self,
        context: Context,
        properties: Properties,
        physical_id: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.context = context
        self.properties = properties
        self.physical_id = physical_id
        self.attributes: dict[str, Any] = dict(attributes or {})

    @classmethod
    def default_deletion_policy(cls, properties: Properties) -> str:
        """Return what becomes of the resource if the template does not say.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-deletionpolicy.html
        """
        return "Delete"

    def create(self) -> None:
        """Make the resource; set ``physical_id`` and ``attributes``."""
        raise NotImplementedError

    def update(self, changed: frozenset[str], before: Resource) -> None:
        """Change the resource in place; ``changed`` is within ``IN_PLACE`` (``Tags`` stands for all its tags)."""
        raise ResourceError(f"an update of {self.TYPE} is not done by the embedded AWS: {', '.join(sorted(changed))}")

    def delete(self) -> None:
        """Delete the resource. An error that it does not exist counts as deleted."""
        raise NotImplementedError

    def delete_with_snapshot(self) -> None:
        """Delete the resource and keep a snapshot of its data."""
        raise ResourceError(f"DeletionPolicy Snapshot is not done by the embedded AWS for {self.TYPE}")

    # What entries are written with.

    @property
    def id(self) -> str:
        """The physical id of a resource that exists."""
        if self.physical_id is None:
            raise ResourceError(f"{self.context.logical_id} does not exist yet")
        return self.physical_id

    def get(self, name: str, default: Any = None) -> Any:
        """Return a property."""
        return self.properties.get(name, default)

    def need(self, name: str) -> Any:
        """Return a property that the type requires."""
        if name not in self.properties:
            raise ResourceError(f"Properties validation failed: required key [{name}] not found")
        return self.properties[name]

    def some(self, *names: str) -> dict[str, Any]:
        """Return those of the named properties that the template sets."""
        return {name: self.properties[name] for name in names if name in self.properties}

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a boolean property, which a template may spell as text."""
        value = self.properties.get(name, default)
        return value.lower() == "true" if isinstance(value, str) else bool(value)

    def call(self, operation: str, /, **params: Any) -> dict[str, Any]:
        """Call an API operation (as ``CreateTopic``) with parameters fitted to its model; None is left out."""
        return self.call_other(self.SERVICE, operation, **params)

    def call_other(self, service: str, operation: str, /, **params: Any) -> dict[str, Any]:
        """Call an operation of another service than the type's own."""
        client = self.context.clients(service)
        fitted = fit(client, operation, {key: value for key, value in params.items() if value is not None})
        answer: dict[str, Any] = getattr(client, xform_name(operation))(**fitted)
        return answer

    def name(self, *, longest: int, lower: bool = False) -> str:
        """Return the name that the template gives, or ``stack-logicalId-random`` as CloudFormation generates it.

        https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-name.html
        """
        if self.NAME and self.NAME in self.properties:
            return str(self.properties[self.NAME])
        suffix = random_suffix(12 if longest >= 48 else 8)
        room = longest - len(suffix) - 1
        stack, logical_id = self.context.stack_name, self.context.logical_id
        if len(stack) + 1 + len(logical_id) > room:
            # Room is shared, so that both halves stay recognisable.
            stack = stack[: max(room // 2, room - 1 - len(logical_id))].rstrip("-")
            logical_id = logical_id[: room - 1 - len(stack)]
        generated = f"{stack}-{logical_id}-{suffix}"
        return generated.lower() if lower else generated

    def tags(self) -> dict[str, str]:
        """All tags that the resource shall carry: the template's own win over the stack's."""
        return {**self.context.stack_tags, **self.own_tags(), **self.context.system_tags}

    def own_tags(self) -> dict[str, str]:
        """The tags that the template gives the resource, as a list of keys and values or as a mapping."""
        given = self.properties.get("Tags") or {}
        if isinstance(given, Mapping):
            return {str(key): str(value) for key, value in given.items()}
        return {str(tag["Key"]): str(tag["Value"]) for tag in given}

    def tag_list(self) -> list[dict[str, str]]:
        """All tags, as most APIs take them; keys are fitted to the operation's own spelling."""
        return [{"Key": key, "Value": value} for key, value in self.tags().items()]

    def retag(self, before: Resource, add: Callable[[dict[str, str]], Any], remove: Callable[[list[str]], Any]) -> None:
        """Bring tags from what they were to what they shall be."""
        old, new = before.tags(), self.tags()
        if gone := sorted(old.keys() - new.keys()):
            remove(gone)
        if added := {key: value for key, value in new.items() if old.get(key) != value}:
            add(added)

    def wait(self, what: str, check: Callable[[], bool], *, deadline_s: float, interval_s: float = 0.1) -> None:
        """Poll until ``check`` holds.

        Raises:
            ResourceError: The deadline passed.
            Cancelled: The stack operation is to end.
        """
        remaining = deadline_s
        while not check():
            if self.context.cancelled.wait(interval_s):
                raise Cancelled(f"Resource creation cancelled while waiting for {what}")
            remaining -= interval_s
            if remaining <= 0:
                raise ResourceError(f"waited {deadline_s:.0f} s for {what}, in vain")


def words(text: str) -> frozenset[str]:
    """Return the words of a text, as a set."""
    return frozenset(text.split())


def random_suffix(length: int) -> str:
    """Return what makes a generated name unique."""
    return "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(length))


def arn(service: str, region: str, resource: str) -> str:
    """Return an ARN of this account."""
    return f"arn:aws:{service}:{region}:{ACCOUNT_ID}:{resource}"


def key_values(tags: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as most APIs take them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def policy_text(document: Any) -> str:
    """Return a policy document as the APIs take it."""
    return document if isinstance(document, str) else json.dumps(document)


def fit(client: Any, operation: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as an operation takes them: keys in its spelling, scalars of its types.

    Templates write ``ContainerDefinitions`` and ``"80"`` where an API has ``containerDefinitions`` and 80.

    Raises:
        ResourceError: A key that the operation does not have.
    """
    shape = client.meta.service_model.operation_model(operation).input_shape
    fitted: dict[str, Any] = _fit_structure(shape, values, "")
    return fitted


def _fit_structure(shape: Any, value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ResourceError(f"Properties validation failed: {path or 'the properties'} must be an object")
    members = {name.lower(): name for name in shape.members}
    fitted: dict[str, Any] = {}
    for key, item in value.items():
        name = members.get(str(key).lower())
        if name is None:
            raise ResourceError(f"property is not done by the embedded AWS: {path}{key}")
        if item is not None:
            fitted[name] = _fit(shape.members[name], item, f"{path}{key}.")
    return fitted


def _fit(shape: Any, value: Any, path: str) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return value if getattr(shape, "is_document_type", False) else _fit_structure(shape, value, path)
    if kind == "list":
        if not isinstance(value, Iterable) or isinstance(value, (str, bytes, Mapping)):
            raise ResourceError(f"Properties validation failed: {path.rstrip('.')} must be a list")
        return [_fit(shape.member, item, f"{path}{index}.") for index, item in enumerate(value)]
    if kind == "map":
        return {str(key): _fit(shape.value, item, f"{path}{key}.") for key, item in dict(value).items()}
    return _fit_scalar(kind, value, path.rstrip("."))


def _fit_scalar(kind: str, value: Any, path: str) -> Any:
    try:
        if kind == "boolean":
            return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]
        if kind in ("integer", "long"):
            return int(value)
        if kind in ("float", "double"):
            return float(value)
    except (KeyError, ValueError, TypeError) as error:
        raise ResourceError(f"Properties validation failed: {path} must be of type {kind}, not {value!r}") from error
    if kind != "string" or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, (Mapping, list)) else str(value)
