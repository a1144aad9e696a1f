"""What an update would change: the entries of a change set.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-updating-stacks-changesets-view.html
"""

from __future__ import annotations

from typing import Any

from readiness.embedded.resources import ENTRIES
from readiness.embedded.stack_deployment import Account
from readiness.embedded.stack_records import Desired, Stack, StackResource
from readiness.embedded.template import Evaluation, ResourceDefinition, TemplateError


def preview_changes(account: Account, stack: Stack, desired: Desired) -> list[dict[str, Any]]:
    """Return what would change, or nothing if the stack already is what it shall be.

    Beside resources (``Type: Resource``), a change of outputs, tags or metadata alone counts as one change of another
    type, which a change set does not show but can be executed for, as on AWS.
    """
    old = stack.desired
    if old is not None and (old.template.document, old.parameters, old.tags) == (
        desired.template.document,
        desired.parameters,
        desired.tags,
    ):
        return []
    definitions = {definition.logical_id: definition for definition in _evaluation(account, stack, desired).included()}
    changes = [_addition(one) for name, one in definitions.items() if name not in stack.resources]
    changes += [_removal(record) for name, record in stack.resources.items() if name not in definitions]
    for name, definition in definitions.items():
        if name in stack.resources and (change := _modification(account, stack, desired, definition)):
            changes.append(change)
    return changes or [{"Type": "Stack"}]


class _Known:
    """Answers from what the stack has; what a change would only make is not known yet."""

    def __init__(self, account: Account, stack: Stack) -> None:
        self._account = account
        self._stack = stack

    def reference(self, logical_id: str) -> Any:
        record = self._stack.resources.get(logical_id)
        return record.physical_id if record else f"<known after {logical_id} is made>"

    def attribute(self, logical_id: str, name: str) -> Any:
        record = self._stack.resources.get(logical_id)
        return record.attributes.get(name) if record else f"<known after {logical_id} is made>"

    def exported(self, name: str) -> str:
        exports = self._account.exports()
        return exports[name][1] if name in exports else f"<known after {name} is exported>"

    def availability_zones(self, region: str) -> list[str]:
        found = self._account.clients("ec2").describe_availability_zones()["AvailabilityZones"]
        return sorted(zone["ZoneName"] for zone in found if zone["RegionName"] == region)


def _evaluation(account: Account, stack: Stack, desired: Desired) -> Evaluation:
    return Evaluation(
        template=desired.template,
        parameters=desired.parameters,
        pseudo=account.pseudo_parameters(stack),
        surroundings=_Known(account, stack),
    )


def _addition(definition: ResourceDefinition) -> dict[str, Any]:
    return _change("Add", definition.logical_id, definition.type, None)


def _removal(record: StackResource) -> dict[str, Any]:
    return _change("Remove", record.logical_id, record.type, record.physical_id)


def _modification(
    account: Account, stack: Stack, desired: Desired, definition: ResourceDefinition
) -> dict[str, Any] | None:
    record = stack.resources[definition.logical_id]
    try:
        properties = _evaluation(account, stack, desired).value(dict(definition.properties))
    except TemplateError:
        properties = {**record.properties, "": "not known before it is tried"}
    names = {
        name
        for name in record.properties.keys() | properties.keys()
        if record.properties.get(name) != properties.get(name)
    }
    entry = ENTRIES.get(definition.type)
    if stack.desired is not None and stack.desired.tags != desired.tags and entry is not None and entry.TAGGED:
        names.add("Tags")
    if not names:
        return None
    in_place = entry is not None and names <= entry.IN_PLACE
    change = _change("Modify", record.logical_id, record.type, record.physical_id)
    change["ResourceChange"]["Replacement"] = "False" if in_place else "True"
    change["ResourceChange"]["Scope"] = sorted({"Tags" if name == "Tags" else "Properties" for name in names})
    change["ResourceChange"]["Details"] = [
        {
            "Target": {
                "Attribute": "Tags" if name == "Tags" else "Properties",
                "Name": name,
                "RequiresRecreation": "Never" if entry is not None and name in entry.IN_PLACE else "Always",
            },
            "Evaluation": "Static",
            "ChangeSource": "DirectModification",
        }
        for name in sorted(names)
    ]
    return change


def _change(action: str, logical_id: str, kind: str, physical_id: str | None) -> dict[str, Any]:
    change: dict[str, Any] = {"Action": action, "LogicalResourceId": logical_id, "ResourceType": kind}
    if physical_id is not None:
        change["PhysicalResourceId"] = physical_id
    return {"Type": "Resource", "ResourceChange": {**change, "Scope": [], "Details": []}}
