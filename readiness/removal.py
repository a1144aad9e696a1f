"""What a run made is taken away: its tasks, its task definitions, its stack, and what services made for it.

Nothing that goes wrong on the way, a full disk among them, keeps the rest from being taken away.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import product
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness import byproducts, contract, obstacles, retained, staging
from readiness.cloud import is_gone, translated
from readiness.errors import CloudError, EvidenceError, ReadinessError, TeardownError
from readiness.ledger import Entry, Ledger

Clients = Callable[[str], Any]
Step = Callable[[], None]

_DEADLINE_S = 3600.0
"""For one deletion: a database takes a quarter of an hour, the network interfaces of a function half of one."""
_POLL_S = 1.0
_PAUSES_S = (5.0, 60.0)
"""Before a deletion that failed is asked for again: what another service still holds is let go by and by."""
_UNANSWERED = 10
"""How many polls in a row may fail before the stack's standing counts as unknown."""
_TOLD_EVERY_S = 15.0
_GONE = ("", "DELETE_COMPLETE")
_FAILED = "DELETE_FAILED"


def silent(text: str) -> None:
    """Say nothing."""


def remove_run(
    clients: Clients, run_id: str, ledger: Ledger, *, say: Callable[[str], None] = silent, keep: tuple[str, ...] = ()
) -> list[str]:
    """Take away all that a run made: what runs first, what it ran in then, what services made for it last.

    Args:
        clients: Service name -> client.
        run_id: The run.
        ledger: Its ledger, which names what it made.
        say: Says one sentence on how it goes.
        keep: What the plan says is meant to stay, of what services made.

    Returns:
        What went wrong on the way, a sentence each. Whether anything is left is for the gate ``leftovers`` to say.

    Raises:
        TeardownError: the stack is not gone.
        CloudError: AWS refuses to tell of the stack, or to delete it.
    """
    failed: list[str] = []
    for step in _steps(clients, run_id, ledger, keep):
        try:
            step()
        except ReadinessError as error:
            failed.append(error.message)
            note(ledger, "teardown-step-failed", why=error.message)
    if any(entry.kind == "stack" for entry in ledger.created()):
        try:
            remove_stack(clients, staging.stack_name(run_id), ledger, say=say)
        finally:  # a stack that stays is no reason to let a log group stay
            failed += _remove_byproducts(clients, run_id, ledger, keep)
    return failed


def _steps(clients: Clients, run_id: str, ledger: Ledger, keep: tuple[str, ...]) -> Iterator[Step]:
    """Yield what goes before the stack: nothing of it can be deleted while it is in use."""
    made = ledger.created()
    if any(entry.kind == "ecs-task" for entry in made):
        yield lambda: stop_tasks(clients("ecs"), made)
    for family in sorted({entry.name for entry in made if entry.kind == "task-definition"}):
        yield partial(deregister_family, clients("ecs"), family)


def stop_tasks(ecs: Any, made: tuple[Entry, ...]) -> None:
    """Stop every task that the run started by itself."""
    started_by = {entry.details["started_by"] for entry in made if entry.kind == "ecs-task"}
    with translated("Stopping the run's tasks"):
        clusters = [arn for page in ecs.get_paginator("list_clusters").paginate() for arn in page["clusterArns"]]
        for cluster, name in product(clusters, sorted(started_by)):
            _stop_in(ecs, cluster, name)


def _stop_in(ecs: Any, cluster: str, started_by: str) -> None:
    """Stop the run's tasks in one cluster; one that somebody deleted meanwhile runs none."""
    try:
        for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, startedBy=started_by):
            for task in page["taskArns"]:
                ecs.stop_task(cluster=cluster, task=task, reason="readiness teardown")
    except ClientError as error:
        if not is_gone(error):
            raise


def deregister_family(ecs: Any, family: str) -> None:
    """Take every active revision of a family out of use."""
    with translated(f"Deregistering {family}"):
        pages = ecs.get_paginator("list_task_definitions").paginate(familyPrefix=family, status="ACTIVE")
        for arn in [arn for page in pages for arn in page["taskDefinitionArns"]]:
            if arn.rpartition("/")[2].rpartition(":")[0] == family:
                ecs.deregister_task_definition(taskDefinition=arn)


def _remove_byproducts(clients: Clients, run_id: str, ledger: Ledger, keep: tuple[str, ...]) -> list[str]:
    """Delete the log groups and snapshots that services made for the run; return what went wrong."""
    failed = []
    try:
        meant = retained.meant_by(keep, known_names(run_id, ledger.entries())).values()
        for each in byproducts.carrying(clients, own_names(run_id, ledger.entries())):
            if any(retained.is_meant(each.name, name) for name in meant):
                continue
            try:
                note(ledger, "about-to-delete", kind=each.kind, name=each.name)
                byproducts.delete(clients, each)
            except ReadinessError as error:
                failed.append(error.message)
    except ReadinessError as error:
        failed.append(error.message)
    return failed


def own_names(run_id: str, entries: tuple[Entry, ...]) -> tuple[str, ...]:
    """Return the names that nothing but this run's can carry: its own, and those that CloudFormation made of it.

    CloudFormation cuts the stack's name short for some types. A name that the stack's author chose proves nothing:
    something of somebody else may be called like it.
    """
    made_of_it = contract.STACK_NAME_PREFIX + run_id[:8]
    return (run_id, *(entry.name for entry in entries if entry.event == "resource" and made_of_it in entry.name))


def known_names(run_id: str, entries: tuple[Entry, ...]) -> dict[str, str]:
    """Return what a placeholder in ``retained`` stands for: the run's id, its stack, and each logical id."""
    resources = (entry for entry in entries if entry.event == "resource")
    named = {entry.details.get("logical_id", ""): entry.name for entry in resources}
    return {**named, "run_id": run_id, "stack": staging.stack_name(run_id)}


def remove_stack(clients: Clients, name: str, ledger: Ledger, *, say: Callable[[str], None] = silent) -> None:
    """Delete a stack and wait until it is gone; deleting what is not there is no error.

    A deletion that fails is asked for again, after what it failed on was put out of its way, or was given time to go.

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
        status, reason = _wait(cloudformation, stack_id, say)
        if status in _GONE:
            note(ledger, "stack-deleted", kind="stack", name=stack_id)
            return
        if status != _FAILED:
            break
        kept = list(_kept(cloudformation, stack_id))
        reason = "; ".join(map(_told, kept)) or reason
        note(ledger, "deletion-failed", kind="stack", name=stack_id, why=reason)
        if pause_s is not None:
            say(f"The deletion failed and is tried again: {reason}")
            _clear_the_way(clients, kept, ledger)
            time.sleep(pause_s)
    command = f"aws cloudformation delete-stack --stack-name {name}"
    raise TeardownError([f"stack {name} ({status}: {reason})"], hint=f"Mend the cause, then: {command}")


def note(ledger: Ledger, event: str, **what: str) -> None:
    """Write a line of the teardown. A disk that takes no more lines is no reason to leave a clone standing."""
    with suppress(EvidenceError):
        ledger.note(event, **what)


def _list_first(cloudformation: Any, stack_id: str, ledger: Ledger) -> None:
    """Write down the resources of a stack whose runner did not come to it, or not to the end: soon nobody can.

    That they cannot be listed is no reason to leave them standing.
    """
    try:
        staging.record_resources(cloudformation, stack_id, ledger)
    except ReadinessError as error:
        note(ledger, "resources-not-listed", kind="stack", name=stack_id, why=str(error))


def _wait(cloudformation: Any, stack_id: str, say: Callable[[str], None]) -> tuple[str, str]:
    """Return status and reason once the deletion has ended, or when its time is over."""
    begun = told_at = time.monotonic()
    status, reason, unanswered = "", "", 0
    while time.monotonic() < begun + _DEADLINE_S:
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
        if time.monotonic() >= told_at + _TOLD_EVERY_S:
            told_at = time.monotonic()
            say(f"The stack is {status} for {told_at - begun:.0f} s")
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
    """Put what is in the way of each resource that stays out of it; what cannot be is told in the ledger."""
    for resource in kept:
        kind, name = resource["ResourceType"], resource.get("PhysicalResourceId", "")
        for obstacle in obstacles.of(resource):
            note(ledger, "about-to-clear", kind=kind, name=name, what=obstacle.name)
            try:
                said = obstacle.clear(clients, resource)
            except (ClientError, BotoCoreError, ReadinessError, LookupError) as error:
                note(ledger, "not-cleared", kind=kind, name=name, what=obstacle.name, why=str(error))
            else:
                note(ledger, "cleared", kind=kind, name=name, what=obstacle.name, how=said)
