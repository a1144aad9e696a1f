"""Bringing a stack to what it shall be: create, update and delete its resources, in order, and roll back on failure.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/stack-failure-options.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-update-behaviors.html

Resources are made one after the other: on loopback each takes milliseconds.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from botocore.exceptions import ClientError, ParamValidationError

from readiness.embedded.resources import ENTRIES, Cancelled, Context, Resource, ResourceError
from readiness.embedded.settings import ACCOUNT_ID
from readiness.embedded.stack_records import Desired, Output, Stack, StackResource, now
from readiness.embedded.template import (
    Evaluation,
    ResourceDefinition,
    SecretReference,
    TemplateError,
    resolve_dynamic_references,
    text_of,
)

_GONE = re.compile(r"NotFound|NoSuch|NonExistent|NotExist|Missing(?!Parameter)|INVALID_NOT_FOUND")
_POLICIES = ("Delete", "Retain", "RetainExceptOnCreate", "Snapshot")


class DeploymentFailed(Exception):
    """A resource could not be made or changed; the stack's events have told the reason."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a deployment needs of the account around its stack.

    Attributes:
        clients: Gives the boto3 client of a service.
        region: The region.
        stacks: Returns the stacks that exist, for what they export and import.
    """

    clients: Callable[[str], Any]
    region: str
    stacks: Callable[[], Iterable[Stack]]

    def exports(self) -> dict[str, tuple[Stack, str]]:
        """Return every export by name: the stack that it comes from, and its value."""
        return {
            output.export_name: (stack, output.value)
            for stack in self.stacks()
            for output in stack.outputs
            if output.export_name
        }

    def importers(self, name: str) -> list[str]:
        """Return the names of the stacks that import an export."""
        return sorted(stack.name for stack in self.stacks() if name in stack.imports)

    def stored_parameter(self, name: str) -> str:
        """Return the value of an SSM parameter."""
        try:
            found = self.clients("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]
        except ClientError as error:
            raise TemplateError(
                f"Unable to fetch parameters [{name}] from parameter store for this account: "
                f"{error.response['Error']['Code']}"
            ) from error
        return str(found["Value"])

    def secret(self, reference: SecretReference) -> str:
        """Return the value of a secret, or of one key of its JSON."""
        which = {"VersionStage": reference.stage or None, "VersionId": reference.version or None}
        given = {key: value for key, value in which.items() if value}
        answer = self.clients("secretsmanager").get_secret_value(SecretId=reference.secret, **given)
        return _secret_value(str(answer["SecretString"]), reference)

    def pseudo_parameters(self, stack: Stack) -> dict[str, Any]:
        """Return the values of the pseudo parameters."""
        return {
            "AWS::AccountId": ACCOUNT_ID,
            "AWS::NotificationARNs": [],
            "AWS::Partition": "aws",
            "AWS::Region": self.region,
            "AWS::StackId": stack.id,
            "AWS::StackName": stack.name,
            "AWS::URLSuffix": "amazonaws.com",
        }


def _secret_value(text: str, reference: SecretReference) -> str:
    if reference.key is None:
        return text
    try:
        return text_of(json.loads(text)[reference.key])
    except (ValueError, KeyError, TypeError) as error:
        raise TemplateError(f"the secret {reference.secret} has no key {reference.key} in JSON") from error


@dataclass(slots=True)
class _Surroundings:
    """Answers the functions of a template from what the stack has so far."""

    account: Account
    stack: Stack
    live: Mapping[str, StackResource]
    imports: set[str] = field(default_factory=set)

    def reference(self, logical_id: str) -> Any:
        return self._resource(logical_id).physical_id

    def attribute(self, logical_id: str, name: str) -> Any:
        resource = self._resource(logical_id)
        if resource.attributes.get(name) is None:
            raise TemplateError(
                f"attribute is not done by the embedded AWS, or the resource does not have it: {name} of {logical_id} "
                f"({resource.type})"
            )
        return resource.attributes[name]

    def exported(self, name: str) -> str:
        exports = self.account.exports()
        if name not in exports:
            raise TemplateError(f"No export named {name} found. Rollback requested by user.")
        self.imports.add(name)
        return exports[name][1]

    def availability_zones(self, region: str) -> list[str]:
        found = self.account.clients("ec2").describe_availability_zones()["AvailabilityZones"]
        return sorted(zone["ZoneName"] for zone in found if zone["RegionName"] == region)

    def _resource(self, logical_id: str) -> StackResource:
        resource = self.live.get(logical_id)
        if resource is None or resource.physical_id is None:
            raise TemplateError(f"the resource {logical_id} does not exist, or its condition does not hold")
        return resource


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that was done, so that it can be undone; ``old`` is None if the resource is new."""

    old: StackResource | None
    new: StackResource
    replaced: bool


class Deployment:
    """One create, update or delete of one stack.

    Args:
        account: What surrounds the stack.
        stack: The stack; its records are kept up to date as things happen.
    """

    def __init__(self, account: Account, stack: Stack) -> None:
        self._account = account
        self._stack = stack
        self._live = {key: record for key, record in stack.resources.items() if record.status != "DELETE_COMPLETE"}
        self._done: list[_Step] = []
        self._cancelled: threading.Event = stack.cancelled

    def create(self, desired: Desired, on_failure: str) -> None:
        """Create the stack. ``on_failure`` is ROLLBACK, DELETE or DO_NOTHING."""
        stack = self._stack
        stack.desired = desired
        try:
            self._bring(desired)
        except DeploymentFailed as failure:
            if self._cancelled.is_set():
                stack.becomes("CREATE_FAILED", "Resource creation cancelled: the stack is to be deleted")
            elif on_failure == "DO_NOTHING":
                stack.becomes("CREATE_FAILED", str(failure))
            else:
                self._roll_creation_back(str(failure), delete=on_failure == "DELETE")
            return
        stack.becomes("CREATE_COMPLETE")

    def update(self, desired: Desired, *, disable_rollback: bool) -> None:
        """Update the stack."""
        stack = self._stack
        stack.updated_at = now()
        try:
            superseded = self._bring(desired)
        except DeploymentFailed as failure:
            if disable_rollback:
                stack.becomes("UPDATE_FAILED", str(failure))
            else:
                self._roll_update_back(str(failure), desired)
            return
        stack.desired = desired
        stack.becomes("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up(superseded)
        stack.becomes("UPDATE_COMPLETE")

    def delete(self, retained: Iterable[str] = ()) -> None:
        """Delete the stack. ``retained`` are resources to leave alone, of a stack that could not be deleted before."""
        stack = self._stack
        if users := sorted(self._users_of_exports()):
            stack.becomes("DELETE_FAILED", f"Export {users[0][0]} cannot be deleted as it is in use by {users[0][1]}")
            return
        failed = self._delete_all(list(self._live.values()), on_create=False, retained=frozenset(retained))
        if failed:
            stack.becomes("DELETE_FAILED", f"The following resource(s) failed to delete: [{', '.join(failed)}]. ")
            return
        stack.outputs, stack.deleted_at = [], now()
        stack.becomes("DELETE_COMPLETE")

    # Bringing resources to what they shall be

    def _bring(self, desired: Desired) -> list[StackResource]:
        """Create and change resources; return those that the new ones supersede, still to be deleted."""
        surroundings = _Surroundings(self._account, self._stack, self._live)
        evaluation = Evaluation(
            template=desired.template,
            parameters=desired.parameters,
            pseudo=self._account.pseudo_parameters(self._stack),
            surroundings=surroundings,
        )
        definitions = self._ordered(evaluation)
        self._refuse_what_is_unknown(definitions)
        superseded: list[StackResource] = []
        for definition in definitions:
            superseded += self._bring_one(definition, evaluation, desired)
        wanted = {definition.logical_id for definition in definitions}
        superseded += [record for logical_id, record in self._live.items() if logical_id not in wanted]
        outputs = self._outputs(evaluation)
        for logical_id in self._live.keys() - wanted:
            del self._live[logical_id]
        self._stack.resources = self._live
        self._stack.outputs, self._stack.imports = outputs, surroundings.imports
        return superseded

    def _ordered(self, evaluation: Evaluation) -> list[ResourceDefinition]:
        try:
            return evaluation.creation_order()
        except TemplateError as error:
            raise DeploymentFailed(str(error)) from error

    def _refuse_what_is_unknown(self, definitions: Iterable[ResourceDefinition]) -> None:
        """Fail before anything is made if a type or property is not known here."""
        for definition in definitions:
            if reason := _unknown(definition):
                old = self._live.get(definition.logical_id)
                record = StackResource(
                    logical_id=definition.logical_id,
                    type=definition.type,
                    physical_id=old.physical_id if old else None,
                )
                verb = "UPDATE" if old else "CREATE"
                self._stack.tell_resource(record, f"{verb}_IN_PROGRESS")
                self._stack.tell_resource(record, f"{verb}_FAILED", reason)
                self._stack.resources = {definition.logical_id: record, **self._live}
                raise DeploymentFailed(self._failed(definition.logical_id, "create" if old is None else "update"))

    def _failed(self, logical_id: str, verb: str) -> str:
        return f"The following resource(s) failed to {verb}: [{logical_id}]. "

    def _bring_one(
        self, definition: ResourceDefinition, evaluation: Evaluation, desired: Desired
    ) -> list[StackResource]:
        old = self._live.get(definition.logical_id)
        try:
            record = self._record(definition, evaluation, desired)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the reason of the resource's failure
            record = StackResource(logical_id=definition.logical_id, type=definition.type)
            record.physical_id = old.physical_id if old else None
            self._fail(record, "UPDATE" if old else "CREATE", error)
        if old is None:
            self._create(record, desired)
            return []
        changed = _changed(old, record)
        if not changed and old.type == record.type:
            self._live[record.logical_id] = replace(
                old,
                dependencies=record.dependencies,
                deletion_policy=record.deletion_policy,
                update_replace_policy=record.update_replace_policy,
            )
            return []
        if old.type == record.type and changed <= ENTRIES[record.type].IN_PLACE:
            self._update(old, record, desired, changed)
            return []
        self._replace(old, record, desired, changed)
        return [old]

    def _record(self, definition: ResourceDefinition, evaluation: Evaluation, desired: Desired) -> StackResource:
        properties = evaluation.value(dict(definition.properties))
        entry = ENTRIES[definition.type]
        policy = evaluation.value(definition.deletion_policy) or entry.default_deletion_policy(properties)
        replace_policy = evaluation.value(definition.update_replace_policy) or "Delete"
        for given in (policy, replace_policy):
            if given not in _POLICIES:
                raise TemplateError(f"Template error: DeletionPolicy of {definition.logical_id} is {given}")
        record = StackResource(
            logical_id=definition.logical_id,
            type=definition.type,
            properties=properties,
            dependencies=frozenset(evaluation.dependencies(definition)),
            deletion_policy=policy,
            update_replace_policy=replace_policy,
        )
        if entry.TAGGED:
            record.tags = entry(self._context(record, desired), properties).tags()
        return record

    def _create(self, record: StackResource, desired: Desired, reason: str | None = None) -> None:
        verb = "UPDATE" if reason else "CREATE"
        self._stack.tell_resource(record, f"{verb}_IN_PROGRESS", reason)
        if verb == "CREATE":
            self._live[record.logical_id] = record
            self._stack.resources = dict(self._live)
        resource: Resource | None = None
        try:
            self._stop_if_cancelled()
            resource = self._resource(record, desired)
            resource.create()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the reason of the resource's failure
            if resource is not None and resource.physical_id is not None:
                record.physical_id, record.attributes = resource.physical_id, resource.attributes
                old = self._live.get(record.logical_id) if verb == "UPDATE" else None
                self._done.append(_Step(old, record, replaced=old is not None))
            elif verb == "CREATE":
                del self._live[record.logical_id]
            self._fail(record, verb, error)
        assert resource is not None
        record.physical_id, record.attributes = resource.id, resource.attributes
        if verb == "CREATE":
            self._done.append(_Step(None, record, replaced=False))
        self._stack.tell_resource(record, f"{verb}_COMPLETE")

    def _update(self, old: StackResource, record: StackResource, desired: Desired, changed: frozenset[str]) -> None:
        record.physical_id, record.attributes = old.physical_id, old.attributes
        self._live[record.logical_id] = record
        self._stack.resources = dict(self._live)
        self._done.append(_Step(old, record, replaced=False))
        self._stack.tell_resource(record, "UPDATE_IN_PROGRESS")
        try:
            self._stop_if_cancelled()
            assert self._stack.desired is not None
            self._change((old, self._stack.desired), (record, desired), changed)
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the reason of the resource's failure
            self._fail(record, "UPDATE", error)
        self._stack.tell_resource(record, "UPDATE_COMPLETE")

    def _change(
        self,
        old: tuple[StackResource, Desired],
        new: tuple[StackResource, Desired],
        changed: frozenset[str],
    ) -> None:
        record = new[0]
        before = self._stored(*old)
        resource = self._resource(*new)
        resource.update(changed, before)
        record.physical_id, record.attributes = resource.physical_id, resource.attributes

    def _replace(self, old: StackResource, record: StackResource, desired: Desired, changed: frozenset[str]) -> None:
        name = ENTRIES[record.type].NAME
        if old.type != record.type:
            error = ResourceError(f"Update of resource type is not permitted: {old.type} to {record.type}")
            self._fail(replace(record, physical_id=old.physical_id), "UPDATE", error)
        if name and name in record.properties and name not in changed:
            error = ResourceError(
                "CloudFormation cannot update a stack when a custom-named resource requires replacing. "
                f"Rename {record.properties[name]} and update the stack again. Changed: {', '.join(sorted(changed))}"
            )
            self._fail(replace(record, physical_id=old.physical_id), "UPDATE", error)
        reason = "Requested update requires the creation of a new physical resource; hence creating one."
        self._create(record, desired, reason)
        self._done.append(_Step(old, record, replaced=True))
        self._live[record.logical_id] = record
        self._stack.resources = dict(self._live)

    def _fail(self, record: StackResource, verb: str, error: Exception) -> None:
        self._stack.tell_resource(record, f"{verb}_FAILED", _reason(error))
        self._stack.resources = {**self._live, record.logical_id: self._live.get(record.logical_id, record)}
        raise DeploymentFailed(self._failed(record.logical_id, verb.lower())) from error

    def _stop_if_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise Cancelled("Resource creation cancelled")

    def _context(self, record: StackResource, desired: Desired) -> Context:
        return Context(
            clients=self._account.clients,
            region=self._account.region,
            stack_name=self._stack.name,
            stack_id=self._stack.id,
            logical_id=record.logical_id,
            stack_tags=desired.tags,
            cancelled=self._cancelled,
        )

    def _resource(self, record: StackResource, desired: Desired) -> Resource:
        properties = resolve_dynamic_references(
            dict(record.properties), self._account.stored_parameter, self._account.secret
        )
        context = self._context(record, desired)
        return ENTRIES[record.type](context, properties, record.physical_id, record.attributes)

    def _outputs(self, evaluation: Evaluation) -> list[Output]:
        try:
            outputs = [
                self._output(key, definition, evaluation)
                for key, definition in evaluation.template.section("Outputs").items()
                if "Condition" not in definition or evaluation.condition(definition["Condition"])
            ]
            self._check_exports(outputs)
        except TemplateError as error:
            raise DeploymentFailed(str(error)) from error
        return outputs

    def _output(self, key: str, definition: Mapping[str, Any], evaluation: Evaluation) -> Output:
        export = definition.get("Export")
        return Output(
            key=key,
            value=text_of(evaluation.value(definition["Value"])),
            description=definition.get("Description"),
            export_name=text_of(evaluation.value(export["Name"])) if export else None,
        )

    def _check_exports(self, outputs: Iterable[Output]) -> None:
        exports = self._account.exports()
        names = {output.export_name: output.value for output in outputs if output.export_name}
        for name in names:
            if name in exports and exports[name][0] is not self._stack:
                raise TemplateError(f"Export with name {name} is already exported by stack {exports[name][0].name}")
        for name, user in self._users_of_exports():
            if names.get(name) != exports[name][1]:
                raise TemplateError(f"Export {name} cannot be updated or deleted as it is in use by {user}")

    def _users_of_exports(self) -> list[tuple[str, str]]:
        """Return this stack's exports that other stacks import, with the name of such a stack."""
        own = [name for name, (owner, _) in self._account.exports().items() if owner is self._stack]
        return [(name, user) for name in own for user in self._account.importers(name) if user != self._stack.name]

    # Undoing

    def _roll_creation_back(self, reason: str, *, delete: bool) -> None:
        stack = self._stack
        stack.becomes(
            "DELETE_IN_PROGRESS" if delete else "ROLLBACK_IN_PROGRESS", f"{reason}Rollback requested by user."
        )
        made = [step.new for step in self._done]
        failed = self._delete_all(made, on_create=True)
        stack.outputs = []
        if failed:
            text = f"The following resource(s) failed to delete: [{', '.join(failed)}]. "
            stack.becomes("DELETE_FAILED" if delete else "ROLLBACK_FAILED", text)
            return
        if delete:
            stack.deleted_at = now()
        stack.becomes("DELETE_COMPLETE" if delete else "ROLLBACK_COMPLETE")

    def _roll_update_back(self, reason: str, failed_to_become: Desired) -> None:
        stack = self._stack
        # What cancelled the update must not cancel its rollback.
        self._cancelled = stack.cancelled = threading.Event()
        stack.becomes("UPDATE_ROLLBACK_IN_PROGRESS", reason)
        doomed: list[StackResource] = []
        for step in reversed(self._done):
            if step.old is None or step.replaced:
                doomed.append(step.new)
            if step.old is None:
                self._live.pop(step.new.logical_id, None)
                continue
            if not step.replaced and not self._change_back(step, failed_to_become):
                stack.resources = dict(self._live)
                failed = f"The following resource(s) failed to update: [{step.new.logical_id}]. "
                stack.becomes("UPDATE_ROLLBACK_FAILED", failed)
                return
            self._live[step.new.logical_id] = step.old
        stack.resources = dict(self._live)
        stack.becomes("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS")
        self._clean_up(doomed)
        stack.becomes("UPDATE_ROLLBACK_COMPLETE")

    def _change_back(self, step: _Step, failed_to_become: Desired) -> bool:
        assert step.old is not None
        assert self._stack.desired is not None
        old = step.old
        old.physical_id = step.new.physical_id
        self._stack.tell_resource(old, "UPDATE_IN_PROGRESS")
        try:
            self._change((step.new, failed_to_become), (old, self._stack.desired), _changed(step.new, old))
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the reason of the rollback's failure
            self._stack.tell_resource(old, "UPDATE_FAILED", _reason(error))
            return False
        self._stack.tell_resource(old, "UPDATE_COMPLETE")
        return True

    # Deleting

    def _clean_up(self, superseded: list[StackResource]) -> None:
        """Delete what an update left over; a failure is told and leaves the update done, as on AWS."""
        current = dict(self._live)
        for record in _deletion_order(superseded):
            replaced = record.logical_id in current
            policy = record.update_replace_policy if replaced else record.deletion_policy
            self._delete_one(record, policy)
        self._stack.resources = current

    def _delete_all(
        self, records: list[StackResource], *, on_create: bool, retained: frozenset[str] = frozenset()
    ) -> list[str]:
        """Delete resources, those that need others first; return the logical ids of what could not be deleted."""
        failed: list[str] = []
        needed: set[str] = set()
        for record in _deletion_order(records):
            if record.logical_id in needed:
                # What still uses it could not be deleted, so neither can this.
                needed |= record.dependencies
                continue
            policy = "Retain" if record.logical_id in retained else record.deletion_policy
            if on_create and (policy == "RetainExceptOnCreate" or self._stack.retain_except_on_create):
                policy = "Delete"
            if self._delete_one(record, policy):
                self._live.pop(record.logical_id, None)
            else:
                failed.append(record.logical_id)
                needed |= record.dependencies
        self._stack.resources = {**self._stack.resources, **self._live}
        return failed

    def _delete_one(self, record: StackResource, policy: str) -> bool:
        if record.physical_id is None or record.type not in ENTRIES:
            return True  # it never came to exist
        if policy.startswith("Retain"):
            self._stack.tell_resource(record, "DELETE_SKIPPED")
            return True
        self._stack.tell_resource(record, "DELETE_IN_PROGRESS")
        try:
            assert self._stack.desired is not None
            resource = self._stored(record, self._stack.desired)
            if policy == "Snapshot":
                resource.delete_with_snapshot()
            else:
                resource.delete()
        except Exception as error:  # noqa: BLE001 - whatever goes wrong is the reason of the resource's failure
            if not _says_gone(error):
                self._stack.tell_resource(record, "DELETE_FAILED", _reason(error))
                return False
        self._stack.tell_resource(record, "DELETE_COMPLETE")
        return True

    def _stored(self, record: StackResource, desired: Desired) -> Resource:
        """Return a resource as it is, to delete or compare. Its dynamic references stay: what they name may be gone."""
        context = replace(self._context(record, desired), cancelled=threading.Event())
        return ENTRIES[record.type](context, record.properties, record.physical_id, record.attributes)


def _unknown(definition: ResourceDefinition) -> str | None:
    """Return why a resource can't be made here at all, or None if it can."""
    entry = ENTRIES.get(definition.type)
    if entry is None:
        return f"resource type is not done by the embedded AWS: {definition.type}"
    if unknown := sorted(set(definition.properties) - entry.PROPERTIES):
        return f"properties of {definition.type} are not done by the embedded AWS: {', '.join(unknown)}"
    return None


def _changed(old: StackResource, new: StackResource) -> frozenset[str]:
    """Return the names of the properties that differ; ``Tags`` stands for all tags."""
    names = (old.properties.keys() | new.properties.keys()) - {"Tags"}
    changed = {name for name in names if old.properties.get(name) != new.properties.get(name)}
    tagged = new.type in ENTRIES and ENTRIES[new.type].TAGGED
    before, after = (old.tags, new.tags) if tagged else (old.properties.get("Tags"), new.properties.get("Tags"))
    return frozenset(changed | ({"Tags"} if before != after else set()))


def _deletion_order(records: Iterable[StackResource]) -> list[StackResource]:
    """Return resources so that each comes before all that it needs."""
    waiting = list(records)
    ordered: list[StackResource] = []
    while waiting:
        needed = {name for record in waiting for name in record.dependencies - {record.logical_id}}
        free = [record for record in waiting if record.logical_id not in needed] or waiting[-1:]
        ordered += reversed(free)
        waiting = [record for record in waiting if record not in free]
    return ordered


def _says_gone(error: Exception) -> bool:
    return isinstance(error, ClientError) and bool(_GONE.search(str(error.response["Error"].get("Code", ""))))


def _reason(error: Exception) -> str:
    """Return the reason that an event tells of an error."""
    if isinstance(error, ClientError):
        details = error.response["Error"]
        return (
            f'Resource handler returned message: "{details.get("Message")}" '
            f"({error.operation_name}: {details.get('Code')})"
        )
    if isinstance(error, ParamValidationError):
        return f"Properties validation failed: {' '.join(str(error).split())}"
    if isinstance(error, (ResourceError, TemplateError)):
        return str(error)
    return f"the embedded AWS failed with {type(error).__name__}: {error}"
