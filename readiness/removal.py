"""A run's stack is deleted, and what keeps it from going is put out of its way."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness.cloud import translated
from readiness.errors import CloudError, TeardownError
from readiness.ledger import Ledger
from readiness.staging import record_resources

Clients = Callable[[str], Any]

_DEADLINE_S = 3600.0
"""For one deletion: a database takes a quarter of an hour, the network interfaces of a function half of one."""
_POLL_S = 1.0
_PAUSES_S = (5.0, 60.0)
"""Before a deletion that failed is asked for again: what another service still holds is let go by and by."""
_UNANSWERED = 10
"""How many polls in a row may fail before the stack's standing counts as unknown."""
_GONE = ("", "DELETE_COMPLETE")
_FAILED = "DELETE_FAILED"


def remove_stack(clients: Clients, name: str, ledger: Ledger) -> None:
    """Delete a stack and wait until it is gone; deleting what is not there is no error.

    A deletion that fails is asked for again, after the buckets that it failed on were emptied and others were given
    time to let go.

    Raises:
        TeardownError: it is not gone; names each resource that stays, with CloudFormation's reason.
        CloudError: AWS refuses to tell, or to delete.
    """
    cloudformation = clients("cloudformation")
    stack_id, status, _ = _standing(cloudformation, name)
    if stack_id is None:
        return
    _list_first(cloudformation, stack_id, ledger)
    for pause_s in (*_PAUSES_S, None):
        with translated(f"Deleting stack {name}"):
            cloudformation.delete_stack(StackName=stack_id)
        status, reason = _wait(cloudformation, stack_id)
        if status in _GONE:
            ledger.note("stack-deleted", kind="stack", name=stack_id)
            return
        if status != _FAILED:
            break
        kept = list(_kept(cloudformation, stack_id))
        reason = "; ".join(map(_told, kept)) or reason
        ledger.note("deletion-failed", kind="stack", name=stack_id, why=reason)
        if pause_s is not None:
            _clear_the_way(clients, kept, ledger)
            time.sleep(pause_s)
    command = f"aws cloudformation delete-stack --stack-name {name}"
    raise TeardownError([f"stack {name} ({status}: {reason})"], hint=f"Mend the cause, then: {command}")


def _list_first(cloudformation: Any, stack_id: str, ledger: Ledger) -> None:
    """Write down the resources of a stack that failed half-way: nobody did, and soon nobody can.

    That they cannot be listed is no reason to leave them standing.
    """
    if any(entry.event == "resource" for entry in ledger.entries()):
        return
    try:
        record_resources(cloudformation, stack_id, ledger)
    except CloudError as error:
        ledger.note("resources-not-listed", kind="stack", name=stack_id, why=str(error))


def _wait(cloudformation: Any, stack_id: str) -> tuple[str, str]:
    """Return status and reason once the deletion has ended, or when its time is over."""
    until = time.monotonic() + _DEADLINE_S
    status, reason, unanswered = "", "", 0
    while time.monotonic() < until:
        time.sleep(_POLL_S)
        try:
            _, status, reason = _standing(cloudformation, stack_id)
            unanswered = 0
        except CloudError:
            unanswered += 1
            if unanswered >= _UNANSWERED:
                raise
            continue
        if status in _GONE or status == _FAILED:
            break
    return status, reason


def _standing(cloudformation: Any, stack: str) -> tuple[str | None, str, str]:
    """Return id, status and reason of a stack; an unknown one has no id."""
    try:
        with translated(f"Describing stack {stack}"):
            try:
                found = cloudformation.describe_stacks(StackName=stack)["Stacks"][0]
            except ClientError as error:
                if re.search(r"does not exist", str(error)):
                    return None, "", ""
                raise
    except CloudError as error:
        raise CloudError(f"Stack {stack} cannot be described: {error.message}", hint=error.hint) from error
    return found["StackId"], found["StackStatus"], found.get("StackStatusReason", "")


def _kept(cloudformation: Any, stack_id: str) -> Iterator[Mapping[str, Any]]:
    """Yield the resources whose deletion failed."""
    with translated(f"Listing what is left of {stack_id}"):
        for page in cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack_id):
            yield from (each for each in page["StackResourceSummaries"] if each["ResourceStatus"] == _FAILED)


def _told(resource: Mapping[str, Any]) -> str:
    name = resource.get("PhysicalResourceId") or resource["LogicalResourceId"]
    return f"{resource['ResourceType']} {name}: {resource.get('ResourceStatusReason') or 'no reason given'}"


def _clear_the_way(clients: Clients, kept: list[Mapping[str, Any]], ledger: Ledger) -> None:
    """Empty the buckets among the resources that stay. They are the run's own: the stack made them."""
    for resource in kept:
        if resource["ResourceType"] == "AWS::S3::Bucket":
            bucket = resource["PhysicalResourceId"]
            ledger.note("bucket-emptied", kind="AWS::S3::Bucket", name=bucket)
            try:
                _empty(clients("s3"), bucket)
            except (ClientError, BotoCoreError) as error:
                ledger.note("bucket-not-emptied", kind="AWS::S3::Bucket", name=bucket, why=str(error))


def _empty(s3: Any, bucket: str) -> None:
    """Delete every version and every delete marker of a bucket."""
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket):
        objects = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in (*page.get("Versions", ()), *page.get("DeleteMarkers", ()))
        ]
        if objects:
            s3.delete_objects(Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
