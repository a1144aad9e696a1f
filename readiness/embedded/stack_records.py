"""What CloudFormation remembers: stacks, their resources and events, and change sets."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from readiness.embedded.settings import ACCOUNT_ID
from readiness.embedded.template import Template


def now() -> datetime:
    """Return this instant; whole milliseconds, as the API tells it."""
    instant = datetime.now(UTC)
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a stack shall be: a template with everything that was given for it.

    Attributes:
        template: The template.
        raw_parameters: Value of every parameter as given, or its default.
        parameters: Value of every parameter, of its type; SSM parameters are read.
        tags: The stack's own tags.
        capabilities: What the caller acknowledged.
        role_arn: The role that CloudFormation would act as; IAM is not enforced here.
    """

    template: Template
    raw_parameters: Mapping[str, str]
    parameters: Mapping[str, Any]
    tags: Mapping[str, str]
    capabilities: tuple[str, ...] = ()
    role_arn: str | None = None


@dataclass(slots=True, kw_only=True)
class StackResource:
    """One resource of a stack, as it was last made or changed.

    Attributes:
        properties: Evaluated; dynamic references are left as they are, so that no secret is kept.
        tags: All tags that the resource carries.
        dependencies: Logical ids of the resources that it needs.
    """

    logical_id: str
    type: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    physical_id: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    dependencies: frozenset[str] = frozenset()
    deletion_policy: str = "Delete"
    update_replace_policy: str = "Delete"
    status: str = "CREATE_IN_PROGRESS"
    reason: str | None = None
    at: datetime = field(default_factory=now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One output of a stack."""

    key: str
    value: str
    description: str | None
    export_name: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StackEvent:
    """One line of a stack's story."""

    event_id: str
    logical_id: str
    physical_id: str | None
    type: str
    status: str
    reason: str | None
    at: datetime
    token: str | None
    operation_id: str | None


@dataclass(slots=True, kw_only=True)
class Stack:
    """One stack, from its first change set to its deletion and beyond."""

    id: str
    name: str
    status: str
    desired: Desired | None = None
    description: str | None = None
    resources: dict[str, StackResource] = field(default_factory=dict)
    outputs: list[Output] = field(default_factory=list)
    imports: set[str] = field(default_factory=set)
    events: list[StackEvent] = field(default_factory=list)
    reason: str | None = None
    created_at: datetime = field(default_factory=now)
    updated_at: datetime | None = None
    deleted_at: datetime | None = None
    change_set_id: str | None = None
    termination_protection: bool = False
    disable_rollback: bool = False
    retain_except_on_create: bool = False
    token: str | None = None
    operation_id: str | None = None
    operation: threading.Thread | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def becomes(self, status: str, reason: str | None = None) -> None:
        """Change the stack's status and tell it."""
        self.tell(self.name, "AWS::CloudFormation::Stack", self.id, status, reason)
        # The event comes first: who sees a final status must find the whole story.
        self.reason = reason
        self.status = status

    def tell(self, logical_id: str, kind: str, physical_id: str | None, status: str, reason: str | None = None) -> None:
        """Add an event. No two of a stack share an instant, since readers order them by it."""
        at = max(now(), self.events[-1].at + timedelta(milliseconds=1)) if self.events else now()
        self.events.append(
            StackEvent(
                event_id=f"{logical_id}-{status}-{uuid.uuid4()}",
                logical_id=logical_id,
                physical_id=physical_id,
                type=kind,
                status=status,
                reason=reason,
                at=at,
                token=self.token,
                operation_id=self.operation_id,
            )
        )

    def tell_resource(self, resource: StackResource, status: str, reason: str | None = None) -> None:
        """Change the status of a resource and tell it."""
        resource.status, resource.reason, resource.at = status, reason, now()
        self.tell(resource.logical_id, resource.type, resource.physical_id, status, reason)


@dataclass(slots=True, kw_only=True)
class ChangeSet:
    """A change set: what a stack shall be, and what that changes."""

    id: str
    name: str
    stack: Stack
    kind: str
    desired: Desired
    changes: list[dict[str, Any]]
    status: str
    reason: str | None
    execution_status: str
    description: str | None
    on_failure: str
    created_at: datetime = field(default_factory=now)


def new_stack(name: str, region: str, status: str) -> Stack:
    """Return a stack that has nothing yet."""
    stack_id = f"arn:aws:cloudformation:{region}:{ACCOUNT_ID}:stack/{name}/{uuid.uuid4()}"
    return Stack(id=stack_id, name=name, status=status)
