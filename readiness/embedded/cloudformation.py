"""CloudFormation: the API of stacks and change sets, in place of moto's.

https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/Welcome.html

Operations answer at once and work in a thread of their own, as on AWS. Left out, and refused by name: nested stacks,
custom resources, transforms, imports of existing resources, drift, stack policies, stack sets, hooks, rollback
triggers, notifications. Roles are accepted; IAM is not enforced.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlparse

from botocore.exceptions import ClientError

from readiness.embedded.change_preview import preview_changes
from readiness.embedded.moto_adapter import Action, AwsError
from readiness.embedded.settings import ACCOUNT_ID, EmbeddedSettings
from readiness.embedded.stack_deployment import Account, Deployment
from readiness.embedded.stack_records import ChangeSet, Desired, Stack, StackEvent, StackResource, new_stack
from readiness.embedded.template import Evaluation, Template, TemplateError, parameter_values, read_template

_NO_CHANGES = "The submitted information didn't contain changes. Submit different information to create a change set."
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")
_STABLE = frozenset(
    ["CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE", "UPDATE_FAILED"]
)
_IAM_NAMES = {"AWS::IAM::Role": "RoleName", "AWS::IAM::ManagedPolicy": "ManagedPolicyName", "AWS::IAM::Policy": None}
_STOP_DEADLINE_S = 10.0


class CloudFormation:
    """Stacks and change sets.

    Args:
        settings: The region.
        clients: Gives the boto3 client of a service; resources are made through it.
    """

    def __init__(self, settings: EmbeddedSettings, clients: Callable[[str], Any]) -> None:
        self._region = settings.region
        self._clients = clients
        self._lock = threading.RLock()
        self._stacks: list[Stack] = []
        self._change_sets: list[ChangeSet] = []
        self._account = Account(clients, settings.region, self._existing)
        self.actions: Mapping[str, Mapping[str, Action]] = {
            "cloudformation": {
                "CancelUpdateStack": self._cancel_update_stack,
                "CreateChangeSet": self._create_change_set,
                "CreateStack": self._create_stack,
                "DeleteChangeSet": self._delete_change_set,
                "DeleteStack": self._delete_stack,
                "DescribeChangeSet": self._describe_change_set,
                "DescribeEvents": self._describe_events,
                "DescribeStackEvents": self._describe_stack_events,
                "DescribeStackResource": self._describe_stack_resource,
                "DescribeStackResources": self._describe_stack_resources,
                "DescribeStacks": self._describe_stacks,
                "ExecuteChangeSet": self._execute_change_set,
                "GetTemplate": self._get_template,
                "GetTemplateSummary": self._get_template_summary,
                "ListChangeSets": self._list_change_sets,
                "ListExports": self._list_exports,
                "ListImports": self._list_imports,
                "ListStackResources": self._list_stack_resources,
                "ListStacks": self._list_stacks,
                "UpdateStack": self._update_stack,
                "UpdateTerminationProtection": self._update_termination_protection,
                "ValidateTemplate": self._validate_template,
            }
        }

    def start(self) -> None:
        """Nothing runs until a stack is asked for."""

    def stop(self) -> None:
        """End operations that run; what they made stays in the API state, which ends with the process."""
        running = [stack for stack in self._stacks if stack.operation is not None and stack.operation.is_alive()]
        for stack in running:
            stack.cancelled.set()
        for stack in running:
            if stack.operation is not None:
                stack.operation.join(_STOP_DEADLINE_S)

    # Finding stacks

    def _existing(self) -> list[Stack]:
        with self._lock:
            return [stack for stack in self._stacks if stack.deleted_at is None]

    def _find(self, name_or_id: str) -> Stack | None:
        """Find a stack by name, or by ARN; a deleted one by ARN only."""
        with self._lock:
            for stack in self._stacks:
                if stack.id == name_or_id or (stack.name == name_or_id and stack.deleted_at is None):
                    return stack
        return None

    def _stack(self, name_or_id: str) -> Stack:
        stack = self._find(name_or_id)
        if stack is None:
            raise AwsError("ValidationError", f"Stack with id {name_or_id} does not exist")
        return stack

    def _change_set(self, params: Mapping[str, Any]) -> ChangeSet:
        wanted = params["ChangeSetName"]
        # A name counts within the stack that exists now, not within a deleted one that had the same name.
        stack = self._find(params["StackName"]) if params.get("StackName") else None
        for change_set in reversed(self._change_sets):
            if change_set.id == wanted or (change_set.name == wanted and change_set.stack is stack):
                return change_set
        raise AwsError("ChangeSetNotFound", f"ChangeSet [{wanted}] does not exist", 404)

    # What a request asks a stack to be

    def _desired(self, params: Mapping[str, Any], stack: Stack | None) -> Desired:
        """Read template, parameters and tags of a request, and check them."""
        try:
            template = read_template(self._template_text(params, stack))
            given, previous = _given_parameters(params, stack)
            values = parameter_values(template, given, previous, self._account.stored_parameter)
        except TemplateError as error:
            raise AwsError("ValidationError", str(error)) from error
        declared = template.section("Parameters")
        raw = {name: str({**_defaults(declared), **previous, **given}[name]) for name in declared}
        tags = {str(tag["Key"]): str(tag["Value"]) for tag in params.get("Tags") or []}
        if "Tags" not in params and stack is not None and stack.desired is not None:
            tags = dict(stack.desired.tags)
        desired = Desired(
            template=template,
            raw_parameters=raw,
            parameters=values,
            tags=tags,
            capabilities=tuple(params.get("Capabilities") or ()),
            role_arn=params.get("RoleARN"),
        )
        self._check(desired, stack)
        return desired

    def _template_text(self, params: Mapping[str, Any], stack: Stack | None) -> str:
        if body := params.get("TemplateBody"):
            return str(body)
        if url := params.get("TemplateURL"):
            return self._fetched(str(url))
        if params.get("UsePreviousTemplate") and stack is not None and stack.desired is not None:
            return stack.desired.template.text
        raise AwsError("ValidationError", "Either Template URL or Template Body must be specified.")

    def _fetched(self, url: str) -> str:
        """Read a template from S3; the bucket is in the host's name or is the path's first part."""
        parsed = urlparse(url)
        host, path = parsed.hostname or "", unquote(parsed.path.lstrip("/"))
        in_host = re.match(r"(?P<bucket>[a-z0-9.-]+)\.s3[.-]", host)
        bucket, key = (in_host["bucket"], path) if in_host else path.partition("/")[::2]
        try:
            body: bytes = self._clients("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            reason = error.response["Error"].get("Code")
            raise AwsError("ValidationError", f"S3 error: {url} can't be read: {reason}") from error
        return body.decode()

    def _check(self, desired: Desired, stack: Stack | None) -> None:
        """Refuse what CloudFormation refuses before it begins: broken rules, cycles, missing capabilities."""
        probe = stack or new_stack("check", self._region, "REVIEW_IN_PROGRESS")
        evaluation = Evaluation(
            template=desired.template,
            parameters=desired.parameters,
            pseudo=self._account.pseudo_parameters(probe),
            surroundings=_NoResources(),
        )
        try:
            broken = evaluation.broken_rules()
            evaluation.creation_order()
        except TemplateError as error:
            raise AwsError("ValidationError", str(error)) from error
        if broken:
            raise AwsError("ValidationError", f"Template rules are broken: {'; '.join(broken)}")
        needed = _capability_needed(desired.template)
        if needed and not _acknowledged(needed, desired.capabilities):
            raise AwsError("InsufficientCapabilitiesException", f"Requires capabilities : [{needed}]")

    # Starting operations

    def _begin(self, stack: Stack, work: Callable[[Deployment], None], params: Mapping[str, Any], verb: str) -> str:
        """Run an operation of a stack in a thread of its own; return the operation's id."""
        stack.cancelled = threading.Event()
        stack.token = params.get("ClientRequestToken")
        stack.operation_id = str(uuid.uuid4())
        stack.becomes(f"{verb}_IN_PROGRESS", "User Initiated")
        deployment = Deployment(self._account, stack)

        def run() -> None:
            try:
                work(deployment)
            except Exception as error:  # noqa: BLE001 - a fault of ours must end the operation, and be told
                stack.becomes(f"{verb}_FAILED", f"the embedded AWS failed with {type(error).__name__}: {error}")

        stack.operation = threading.Thread(target=run, name=f"stack-{stack.name}", daemon=True)
        stack.operation.start()
        return stack.operation_id

    def _new(self, params: Mapping[str, Any], status: str) -> Stack:
        name = str(params["StackName"])
        if not _NAME.fullmatch(name):
            raise AwsError(
                "ValidationError",
                f"1 validation error detected: Value '{name}' at 'stackName' failed to satisfy constraint: "
                "Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*",
            )
        stack = new_stack(name, self._region, status)
        self._stacks.append(stack)
        return stack

    def _create_stack(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html."""
        _refuse(params, "TimeoutInMinutes")
        with self._lock:
            if self._find(params["StackName"]):
                raise AwsError("AlreadyExistsException", f"Stack [{params['StackName']}] already exists")
            desired = self._desired(params, None)
            stack = self._new(params, "CREATE_IN_PROGRESS")
        stack.termination_protection = bool(params.get("EnableTerminationProtection"))
        stack.disable_rollback = _rollback_disabled(params)
        stack.retain_except_on_create = bool(params.get("RetainExceptOnCreate"))
        stack.description = desired.template.document.get("Description")
        on_failure = "DO_NOTHING" if stack.disable_rollback else params.get("OnFailure", "ROLLBACK")
        operation = self._begin(stack, lambda one: one.create(desired, on_failure), params, "CREATE")
        return {"StackId": stack.id, "OperationId": operation}

    def _update_stack(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_UpdateStack.html."""
        _refuse(params)
        with self._lock:
            stack = self._stack(params["StackName"])
            self._check_updatable(stack)
            desired = self._desired(params, stack)
            if not preview_changes(self._account, stack, desired):
                raise AwsError("ValidationError", "No updates are to be performed.")
            operation = self._begin_update(stack, desired, params)
        return {"StackId": stack.id, "OperationId": operation}

    def _begin_update(self, stack: Stack, desired: Desired, params: Mapping[str, Any]) -> str:
        stack.description = desired.template.document.get("Description")
        stack.retain_except_on_create = bool(params.get("RetainExceptOnCreate"))
        disable_rollback = _rollback_disabled(params)
        return self._begin(stack, lambda one: one.update(desired, disable_rollback=disable_rollback), params, "UPDATE")

    def _check_updatable(self, stack: Stack) -> None:
        if stack.status not in _STABLE:
            raise AwsError("ValidationError", f"Stack:{stack.id} is in {stack.status} state and can not be updated.")

    def _cancel_update_stack(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CancelUpdateStack.html."""
        stack = self._stack(params["StackName"])
        if stack.status != "UPDATE_IN_PROGRESS":
            raise AwsError(
                "ValidationError", f"CancelUpdateStack cannot be called from current stack status {stack.status}"
            )
        stack.cancelled.set()
        return {}

    def _delete_stack(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteStack.html."""
        if params.get("DeletionMode") not in (None, "STANDARD"):
            raise _refusal(f"DeletionMode {params['DeletionMode']}")
        _refuse(params)
        with self._lock:
            stack = self._find(params["StackName"])
            if stack is None or stack.deleted_at is not None or stack.status == "DELETE_IN_PROGRESS":
                return {}  # deleting what is gone, or going, is no error
            retained = list(params.get("RetainResources") or [])
            self._check_deletable(stack, retained)
            before = stack.operation
            stack.cancelled.set()

            def delete(deployment: Deployment) -> None:
                deployment.delete(retained)

            if before is None or not before.is_alive():
                self._begin(stack, delete, params, "DELETE")
            else:
                self._begin_after(before, stack, delete, params)
        return {}

    def _begin_after(
        self, before: threading.Thread, stack: Stack, delete: Callable[[Deployment], None], params: Mapping[str, Any]
    ) -> None:
        """Delete a stack as soon as its creation, which was cancelled, has ended."""

        def wait_and_delete() -> None:
            before.join()
            with self._lock:
                self._begin(stack, delete, params, "DELETE")

        threading.Thread(target=wait_and_delete, name=f"delete-{stack.name}", daemon=True).start()

    def _check_deletable(self, stack: Stack, retained: list[str]) -> None:
        if stack.termination_protection:
            raise AwsError(
                "ValidationError", f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        if stack.status.endswith("_IN_PROGRESS") and stack.status not in ("CREATE_IN_PROGRESS", "REVIEW_IN_PROGRESS"):
            raise AwsError("ValidationError", f"Stack [{stack.name}] cannot be deleted while in status {stack.status}")
        if retained and stack.status != "DELETE_FAILED":
            raise AwsError(
                "ValidationError", "RetainResources can be specified only for a stack in DELETE_FAILED state"
            )
        if unknown := sorted(set(retained) - set(stack.resources)):
            raise AwsError("ValidationError", f"The stack has no resources {', '.join(unknown)}")

    def _update_termination_protection(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_UpdateTerminationProtection.html."""
        stack = self._stack(params["StackName"])
        stack.termination_protection = bool(params["EnableTerminationProtection"])
        return {"StackId": stack.id}

    # Change sets

    def _create_change_set(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateChangeSet.html."""
        kind = params.get("ChangeSetType", "UPDATE")
        if kind not in ("CREATE", "UPDATE"):
            raise _refusal(f"ChangeSetType {kind}")
        # CDK sets ImportExistingResources for bootstrap; what would be imported is refused as what it is: existing.
        _refuse(params, "ResourcesToImport", "DeploymentMode")
        with self._lock:
            stack = self._stack_of_change_set(params, kind)
            desired = self._desired(params, stack)
            stack = stack or self._new(params, "REVIEW_IN_PROGRESS")
            if not stack.events:
                stack.becomes("REVIEW_IN_PROGRESS", "User Initiated")
            name = params["ChangeSetName"]
            if any(one.name == name and one.stack is stack for one in self._change_sets):
                raise AwsError("AlreadyExistsException", f"ChangeSet {name} already exists")
            changes = preview_changes(self._account, stack, desired)
            change_set = ChangeSet(
                id=f"arn:aws:cloudformation:{self._region}:{ACCOUNT_ID}:changeSet/{name}/{uuid.uuid4()}",
                name=name,
                stack=stack,
                kind=kind,
                desired=desired,
                changes=[one for one in changes if one["Type"] == "Resource"],
                status="CREATE_COMPLETE" if changes else "FAILED",
                reason=None if changes else _NO_CHANGES,
                execution_status="AVAILABLE" if changes else "UNAVAILABLE",
                description=params.get("Description"),
                on_failure=params.get("OnStackFailure", "ROLLBACK"),
            )
            self._change_sets.append(change_set)
        return {"Id": change_set.id, "StackId": stack.id}

    def _stack_of_change_set(self, params: Mapping[str, Any], kind: str) -> Stack | None:
        stack = self._find(params["StackName"])
        if kind == "UPDATE":
            stack = self._stack(params["StackName"])
            self._check_updatable(stack)
        elif stack is not None and stack.status != "REVIEW_IN_PROGRESS":
            raise AwsError(
                "ValidationError",
                f"Stack [{stack.name}] already exists and cannot be created again with the changeSet "
                f"[{params['ChangeSetName']}].",
            )
        return stack

    def _describe_change_set(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeChangeSet.html."""
        change_set = self._change_set(params)
        return {
            **_change_set_summary(change_set),
            "Parameters": _told_parameters(change_set.desired),
            "Capabilities": list(change_set.desired.capabilities),
            "Tags": _told_tags(change_set.desired),
            "Changes": change_set.changes,
            "NotificationARNs": [],
            "RollbackConfiguration": {},
            "OnStackFailure": change_set.on_failure,
        }

    def _list_change_sets(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListChangeSets.html."""
        stack = self._stack(params["StackName"])
        return {"Summaries": [_change_set_summary(one) for one in self._change_sets if one.stack is stack]}

    def _execute_change_set(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ExecuteChangeSet.html."""
        with self._lock:
            change_set = self._change_set(params)
            stack = change_set.stack
            if change_set.execution_status != "AVAILABLE":
                raise AwsError(
                    "InvalidChangeSetStatus",
                    f"ChangeSet [{change_set.id}] cannot be executed in its current status of [{change_set.status}]",
                )
            # Executing one change set makes all others of the stack worthless.
            self._change_sets = [one for one in self._change_sets if one.stack is not stack or one is change_set]
            change_set.execution_status = "EXECUTE_COMPLETE"
            stack.change_set_id = change_set.id
            desired = change_set.desired
            if change_set.kind == "UPDATE":
                self._check_updatable(stack)
                self._begin_update(stack, desired, params)
                return {}
            stack.description = desired.template.document.get("Description")
            stack.retain_except_on_create = bool(params.get("RetainExceptOnCreate"))
            stack.disable_rollback = _rollback_disabled(params)
            on_failure = "DO_NOTHING" if stack.disable_rollback else change_set.on_failure
            self._begin(stack, lambda one: one.create(desired, on_failure), params, "CREATE")
        return {}

    def _delete_change_set(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DeleteChangeSet.html."""
        with self._lock:
            try:
                self._change_sets.remove(self._change_set(params))
            except AwsError as error:
                if error.code != "ChangeSetNotFound":
                    raise
        return {}

    # Telling

    def _describe_stacks(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStacks.html."""
        if name := params.get("StackName"):
            return {"Stacks": [_told_stack(self._stack(name))]}
        return {"Stacks": [_told_stack(stack) for stack in reversed(self._existing())]}

    def _list_stacks(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStacks.html."""
        wanted = params.get("StackStatusFilter")
        found = [stack for stack in reversed(self._stacks) if not wanted or stack.status in wanted]
        return {"StackSummaries": [_stack_summary(stack) for stack in found]}

    def _describe_stack_events(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackEvents.html."""
        stack = self._stack(params["StackName"])
        return {"StackEvents": [_told_event(stack, event) for event in reversed(list(stack.events))]}

    def _describe_events(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeEvents.html."""
        if params.get("ChangeSetName"):
            return {"OperationEvents": []}  # events of a change set come from hooks and validations; there are none
        only_failed = bool((params.get("Filters") or {}).get("FailedEvents"))
        stacks = [self._stack(params["StackName"])] if params.get("StackName") else list(self._stacks)
        told = [
            {**_told_event(stack, event), "EventType": "STACK_EVENT"}
            for stack in stacks
            for event in reversed(list(stack.events))
            if (not only_failed or event.status.endswith("_FAILED"))
            and params.get("OperationId") in (None, event.operation_id)
        ]
        return {"OperationEvents": told}

    def _list_stack_resources(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackResources.html."""
        stack = self._stack(params["StackName"])
        return {"StackResourceSummaries": [_resource_summary(one) for one in _shown(stack)]}

    def _describe_stack_resources(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResources.html."""
        if physical_id := params.get("PhysicalResourceId"):
            owners = [s for s in self._existing() if any(r.physical_id == physical_id for r in s.resources.values())]
            if not owners:
                raise AwsError("ValidationError", f"Stack for {physical_id} does not exist")
            stack = owners[0]
        else:
            stack = self._stack(params["StackName"])
        wanted = params.get("LogicalResourceId")
        return {
            "StackResources": [
                {**_resource_summary(one), **_of_stack(stack), "Timestamp": one.at}
                for one in _shown(stack)
                if wanted in (None, one.logical_id)
            ]
        }

    def _describe_stack_resource(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_DescribeStackResource.html."""
        stack = self._stack(params["StackName"])
        resource = stack.resources.get(params["LogicalResourceId"])
        if resource is None:
            raise AwsError(
                "ValidationError", f"Resource {params['LogicalResourceId']} does not exist for stack {stack.name}"
            )
        definition = stack.desired.template.resources.get(resource.logical_id) if stack.desired else None
        metadata = json.dumps(definition.metadata or {}) if definition else "{}"
        return {"StackResourceDetail": {**_resource_summary(resource), **_of_stack(stack), "Metadata": metadata}}

    def _get_template(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_GetTemplate.html."""
        desired = (
            self._change_set(params).desired
            if params.get("ChangeSetName")
            else self._stack(params["StackName"]).desired
        )
        # A stack that is only under review has no template yet.
        return {"TemplateBody": desired.template.text if desired else "", "StagesAvailable": ["Original", "Processed"]}

    def _template_of(self, params: Mapping[str, Any]) -> Template:
        stack = self._stack(params["StackName"]) if params.get("StackName") else None
        if stack is not None and stack.desired is not None:
            return stack.desired.template
        try:
            return read_template(self._template_text(params, None))
        except TemplateError as error:
            raise AwsError("ValidationError", str(error)) from error

    def _get_template_summary(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_GetTemplateSummary.html."""
        template = self._template_of(params)
        return {
            **_capabilities(template),
            "Parameters": [
                {
                    **_told_declaration(name, declaration),
                    "ParameterType": declaration.get("Type", "String"),
                    "ParameterConstraints": {"AllowedValues": [str(v) for v in declaration.get("AllowedValues", [])]},
                }
                for name, declaration in template.section("Parameters").items()
            ],
            "Description": template.document.get("Description"),
            "ResourceTypes": sorted({resource.type for resource in template.resources.values()}),
            "Version": template.document.get("AWSTemplateFormatVersion"),
            "Metadata": json.dumps(template.section("Metadata")),
        }

    def _validate_template(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ValidateTemplate.html."""
        template = self._template_of(params)
        declared = template.section("Parameters").items()
        return {
            **_capabilities(template),
            "Parameters": [_told_declaration(name, declaration) for name, declaration in declared],
            "Description": template.document.get("Description"),
        }

    def _list_exports(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListExports.html."""
        exports = sorted(self._account.exports().items())
        return {
            "Exports": [
                {"ExportingStackId": stack.id, "Name": name, "Value": value} for name, (stack, value) in exports
            ]
        }

    def _list_imports(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListImports.html."""
        importers = self._account.importers(params["ExportName"])
        if not importers:
            raise AwsError("ValidationError", f"Export '{params['ExportName']}' is not imported by any stack.")
        return {"Imports": importers}


class _NoResources:
    """Answers what conditions and rules may ask, which are about parameters alone."""

    def reference(self, logical_id: str) -> Any:
        raise TemplateError(f"Template error: a condition or rule refers to the resource {logical_id}")

    def attribute(self, logical_id: str, name: str) -> Any:
        raise TemplateError(f"Template error: a condition or rule refers to the resource {logical_id}")

    def exported(self, name: str) -> str:
        raise TemplateError(f"Template error: a condition or rule imports {name}")

    def availability_zones(self, region: str) -> list[str]:
        raise TemplateError("Template error: a condition or rule asks for availability zones")


def _refusal(what: str) -> AwsError:
    return AwsError("NotImplemented", f"it is not done by the embedded AWS: {what}")


_UNDONE = ("NotificationARNs", "ResourceTypes", "StackPolicyBody", "StackPolicyURL")


def _refuse(params: Mapping[str, Any], *names: str) -> None:
    for name in (*names, *_UNDONE):
        if params.get(name):
            raise _refusal(name)
    mode = (params.get("DeploymentConfig") or {}).get("Mode", "STANDARD")
    if mode != "STANDARD":
        raise _refusal(f"DeploymentConfig.Mode {mode}")
    mode = (params.get("DeploymentConfig") or {}).get("Mode", "STANDARD")
    if mode != "STANDARD":
        raise _refusal(f"DeploymentConfig.Mode {mode}")
    if (params.get("RollbackConfiguration") or {}).get("RollbackTriggers"):
        raise _refusal("RollbackConfiguration.RollbackTriggers")


def _rollback_disabled(params: Mapping[str, Any]) -> bool:
    return bool(params.get("DisableRollback") or (params.get("DeploymentConfig") or {}).get("DisableRollback"))


def _given_parameters(params: Mapping[str, Any], stack: Stack | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return the values that a request gives, and those that shall stay as they were."""
    before = dict(stack.desired.raw_parameters) if stack is not None and stack.desired is not None else {}
    given: dict[str, str] = {}
    previous: dict[str, str] = {}
    for parameter in params.get("Parameters") or []:
        name = parameter["ParameterKey"]
        if not parameter.get("UsePreviousValue"):
            given[name] = str(parameter.get("ParameterValue", ""))
        elif name in before:
            previous[name] = before[name]
        else:
            raise TemplateError(f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true")
    return given, previous


def _defaults(declared: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(declaration["Default"]) for name, declaration in declared.items() if "Default" in declaration}


def _capability_needed(template: Template) -> str | None:
    """https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/control-access-with-iam.html."""
    found = [resource for resource in template.resources.values() if resource.type in _IAM_NAMES]
    named = any(_IAM_NAMES[resource.type] in resource.properties for resource in found if _IAM_NAMES[resource.type])
    return "CAPABILITY_NAMED_IAM" if named else "CAPABILITY_IAM" if found else None


def _acknowledged(needed: str, given: Iterable[str]) -> bool:
    return needed in given or "CAPABILITY_NAMED_IAM" in given


def _capabilities(template: Template) -> dict[str, Any]:
    needed = _capability_needed(template)
    if needed is None:
        return {"Capabilities": []}
    types = sorted({one.type for one in template.resources.values() if one.type in _IAM_NAMES})
    return {
        "Capabilities": [needed],
        "CapabilitiesReason": f"The following resource(s) require capabilities: [{', '.join(types)}]",
    }


def _told_declaration(name: str, declaration: Mapping[str, Any]) -> dict[str, Any]:
    told = {
        "ParameterKey": name,
        "NoEcho": str(declaration.get("NoEcho", "")).lower() == "true",
        "Description": declaration.get("Description"),
    }
    return {**told, "DefaultValue": str(declaration["Default"])} if "Default" in declaration else told


def _told_parameters(desired: Desired) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for name, declaration in desired.template.section("Parameters").items():
        hidden = str(declaration.get("NoEcho", "")).lower() == "true"
        one = {"ParameterKey": name, "ParameterValue": "****" if hidden else desired.raw_parameters[name]}
        if str(declaration.get("Type", "")).startswith("AWS::SSM::Parameter::Value") and not hidden:
            value = desired.parameters[name]
            one["ResolvedValue"] = ",".join(value) if isinstance(value, list) else str(value)
        told.append(one)
    return told


def _told_tags(desired: Desired) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in desired.tags.items()]


def _told_stack(stack: Stack) -> dict[str, Any]:
    told: dict[str, Any] = {
        **_stack_summary(stack),
        "Description": stack.description,
        "ChangeSetId": stack.change_set_id,
        "DisableRollback": stack.disable_rollback,
        "EnableTerminationProtection": stack.termination_protection,
        "NotificationARNs": [],
        "RollbackConfiguration": {},
        "Outputs": [
            {
                "OutputKey": output.key,
                "OutputValue": output.value,
                "Description": output.description,
                "ExportName": output.export_name,
            }
            for output in stack.outputs
        ],
    }
    if stack.desired is not None:
        told["Parameters"] = _told_parameters(stack.desired)
        told["Tags"] = _told_tags(stack.desired)
        told["Capabilities"] = list(stack.desired.capabilities)
        told["RoleARN"] = stack.desired.role_arn
    return told


def _stack_summary(stack: Stack) -> dict[str, Any]:
    return {
        **_of_stack(stack),
        "TemplateDescription": stack.description,
        "CreationTime": stack.created_at,
        "LastUpdatedTime": stack.updated_at,
        "DeletionTime": stack.deleted_at,
        "StackStatus": stack.status,
        "StackStatusReason": stack.reason,
        "DriftInformation": {"StackDriftStatus": "NOT_CHECKED"},
    }


def _of_stack(stack: Stack) -> dict[str, Any]:
    return {"StackId": stack.id, "StackName": stack.name}


def _told_event(stack: Stack, event: StackEvent) -> dict[str, Any]:
    return {
        **_of_stack(stack),
        "EventId": event.event_id,
        "OperationId": event.operation_id,
        "LogicalResourceId": event.logical_id,
        "PhysicalResourceId": event.physical_id or "",
        "ResourceType": event.type,
        "Timestamp": event.at,
        "ResourceStatus": event.status,
        "ResourceStatusReason": event.reason,
        "ClientRequestToken": event.token,
    }


def _shown(stack: Stack) -> list[StackResource]:
    return list(stack.resources.values())


def _resource_summary(resource: StackResource) -> dict[str, Any]:
    return {
        "LogicalResourceId": resource.logical_id,
        "PhysicalResourceId": resource.physical_id,
        "ResourceType": resource.type,
        "LastUpdatedTimestamp": resource.at,
        "ResourceStatus": resource.status,
        "ResourceStatusReason": resource.reason,
        "DriftInformation": {"StackResourceDriftStatus": "NOT_CHECKED"},
    }


def _change_set_summary(change_set: ChangeSet) -> dict[str, Any]:
    return {
        **_of_stack(change_set.stack),
        "ChangeSetId": change_set.id,
        "ChangeSetName": change_set.name,
        "ExecutionStatus": change_set.execution_status,
        "Status": change_set.status,
        "StatusReason": change_set.reason,
        "CreationTime": change_set.created_at,
        "Description": change_set.description,
        "IncludeNestedStacks": False,
    }
