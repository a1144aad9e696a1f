"""Gate: is everything that the run made gone again?

Four sources are asked, none of which is CloudFormation's own word: each resource that the stack had, by its service;
each line of the ledger; the tag index; and the log groups and snapshots that services make by themselves. What the
plan says is meant to stay must be there, and is told.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Any

from botocore.exceptions import ClientError
from pydantic import Field

from readiness import byproducts, contract, inventory
from readiness.cloud import is_gone, translated
from readiness.gate import Context, Gate
from readiness.inventory import Clients, Resource
from readiness.ledger import Entry, Ledger
from readiness.model import Finding, Gap, Judgement, Severity, Stage, record
from readiness.removal import known_names
from readiness.retained import ENTRY, is_meant, meant_by


@record
class Settings:
    """The table ``[gates.settings.leftovers]`` of the plan."""

    retained: tuple[Annotated[str, Field(pattern=ENTRY)], ...] = ()
    """What is meant to outlive the run: logical ids, or names with ``{run_id}``, ``{stack}``, ``{<logical id>}``."""


@record
class Observation:
    """Everything that was asked about, and how it stands."""

    resources: tuple[Resource, ...]
    names: dict[str, str] = field(default_factory=dict)
    """What a placeholder of ``retained`` stands for -> the name."""


_RUNS_OWN = frozenset({"stack", "ecs-task", "task-definition"})
"""What no plan can keep: it is what the run is torn down by, and without it nobody knows what else stands."""


def observe(ctx: Context, settings: Settings) -> Observation:
    """Look with the run's own clients and ledger."""
    return look(ctx.clients, ctx.ledger)


def look(clients: Clients, ledger: Ledger) -> Observation:
    """Ask for each thing that the ledger names, and for what carries the run's tag or name."""
    entries = ledger.entries()
    made = _announced(clients, ledger)
    stack_name = next((entry.name for entry in ledger.created() if entry.kind == "stack"), None)
    if stack_name is None:
        return Observation(resources=tuple(made))
    own_name = stack_name.removeprefix(contract.STACK_NAME_PREFIX)  # the ledger's first line may be unreadable
    run_id = next((entry.name for entry in entries if entry.event == "run-started"), own_name)
    recorded = _recorded(clients, entries, [each.name for each in made if each.kind == "stack"])
    stack = [inventory.look_up(clients, *each) for each in recorded]
    # What only "goes with" something else was not asked for, and tasks are known by the run's own id: neither proves
    # anything about what else carries the name.
    nameless = {*inventory.PARTS, "ecs-task"}
    gone = tuple(
        each.name for each in (*stack, *made) if each.standing in ("gone", "phantom") and each.kind not in nameless
    )
    named = {each.logical_id: each.name for each in stack if each.logical_id}
    return Observation(
        resources=(*stack, *made, *_tagged(clients, run_id, gone), *_byproducts(clients, (run_id, *gone), gone)),
        names={**known_names(run_id, entries), **named},
    )


def _recorded(clients: Clients, entries: tuple[Entry, ...], stacks: list[str]) -> list[tuple[str, str, str]]:
    """Return type, physical and logical id of each resource that the stack had.

    They were written down when it was deployed, or before it was deleted. Where nobody came to that, as when a runner
    was killed and the reaper deleted the stack, CloudFormation still tells of the deleted stack by its id.
    https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_ListStackResources.html
    """
    known = [(e.kind, e.name, e.details.get("logical_id", "")) for e in entries if e.event == "resource"]
    if known:
        return known
    with translated("Listing the resources of a deleted stack"):
        listing = clients("cloudformation").get_paginator("list_stack_resources")
        return [
            (each["ResourceType"], each.get("PhysicalResourceId", ""), each["LogicalResourceId"])
            for name in stacks
            for stack_id in _ids(clients, name)
            for page in listing.paginate(StackName=stack_id)
            for each in page["StackResourceSummaries"]
        ]


def _ids(clients: Clients, name: str) -> list[str]:
    """Return the id of each stack of a name, of those that were deleted too."""
    pages = clients("cloudformation").get_paginator("list_stacks").paginate()
    return [each["StackId"] for page in pages for each in page["StackSummaries"] if each["StackName"] == name]


def _announced(clients: Clients, ledger: Ledger) -> list[Resource]:
    """Return how the ledger's own entries stand: the stack, tasks, and task definitions outside of the stack."""
    probes = {"stack": _stack, "ecs-task": _tasks, "task-definition": _task_definition}
    named = [(entry.kind, entry.details.get("started_by", entry.name)) for entry in ledger.created()]
    return [probes[kind](clients, name) for kind, name in dict.fromkeys(named) if kind in probes]


def _stack(clients: Clients, name: str) -> Resource:
    with translated("Listing stacks"):
        pages = clients("cloudformation").get_paginator("list_stacks").paginate()
        there = [
            stack["StackStatus"]
            for page in pages
            for stack in page["StackSummaries"]
            if stack["StackName"] == name and stack["StackStatus"] != "DELETE_COMPLETE"
        ]
    return Resource(
        kind="stack", name=name, source="ledger", standing="there" if there else "gone", why=", ".join(there)
    )


def _tasks(clients: Clients, started_by: str) -> Resource:
    """Return how the tasks that the run started stand, in whichever cluster."""
    ecs = clients("ecs")
    with translated("Listing clusters"):
        clusters = [arn for page in ecs.get_paginator("list_clusters").paginate() for arn in page["clusterArns"]]
    running = [arn for cluster in clusters for arn in _running_tasks(ecs, cluster, started_by)]
    if not running:
        return Resource(kind="ecs-task", name=started_by, source="ledger", standing="gone")
    return Resource(
        kind="ecs-task", name=", ".join(running), source="ledger", standing="there", why="it is still running"
    )


def _running_tasks(ecs: Any, cluster: str, started_by: str) -> list[str]:
    """Return the running tasks of a cluster; a cluster that was deleted runs none."""
    with translated("Listing tasks"):
        try:
            pages = ecs.get_paginator("list_tasks").paginate(
                cluster=cluster, startedBy=started_by, desiredStatus="RUNNING"
            )
            return [arn for page in pages for arn in page["taskArns"]]
        except ClientError as error:
            if is_gone(error):
                return []
            raise


def _task_definition(clients: Clients, family: str) -> Resource:
    with translated("Listing task definitions"):
        active = clients("ecs").list_task_definitions(familyPrefix=family, status="ACTIVE")["taskDefinitionArns"]
    exact = [arn for arn in active if arn.rpartition("/")[2].rpartition(":")[0] == family]
    return Resource(
        kind="task-definition",
        name=", ".join(exact) or family,
        source="ledger",
        standing="there" if exact else "gone",
    )


_LAGS = (
    "the tag index lags behind; its service says that it is gone "
    "(https://docs.aws.amazon.com/resourcegroupstagging/latest/APIReference/API_GetResources.html)"
)


def _tagged(clients: Clients, run_id: str, gone: tuple[str, ...]) -> list[Resource]:
    """Return what the tag index lists for the run.

    The index lags behind: an ARN that belongs to something proven gone is a phantom. Any other is there.
    """
    with translated("Reading the tag index"):
        pages = clients("resourcegroupstaggingapi").get_paginator("get_resources")
        found = [
            mapping["ResourceARN"]
            for page in pages.paginate(TagFilters=[{"Key": contract.TAG_RUN_ID, "Values": [run_id]}])
            for mapping in page["ResourceTagMappingList"]
        ]
    resources = []
    for arn in found:
        proven = _belongs_to_gone(arn, gone)
        why = _LAGS if proven else "the tag index lists it"
        standing: inventory.Standing = "phantom" if proven else "there"
        resources.append(Resource(kind="tagged", name=arn, source="tag", standing=standing, why=why))
    return resources


def _belongs_to_gone(arn: str, gone: tuple[str, ...]) -> bool:
    """Say whether an ARN names, or lies within, something that was proven gone."""
    path = arn.split(":", 5)[-1]
    parts = set(path.replace(":", "/").split("/"))
    for name in gone:
        if name.startswith(("https://", "http://")):  # the id of an SQS queue is its URL
            name = name.rpartition("/")[2]
        if name == arn or name in parts or path.endswith((f":{name}", f"/{name.lstrip('/')}")):
            return True
    return False


def _byproducts(clients: Clients, names: tuple[str, ...], gone: tuple[str, ...]) -> list[Resource]:
    """Return the log groups and snapshots that carry a name of the run; services make some by themselves."""
    return [
        Resource(
            kind=each.kind,
            name=each.name,
            source="log-group" if each.kind == "log-group" else "snapshot",
            standing="there",
            why="made by a service",
        )
        for each in byproducts.carrying(clients, names)
        if each.name not in gone
    ]


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find what is still there and not meant to be, and what is meant to be and is not; the rest is a gap."""
    meant = meant_by(settings.retained, seen.names)
    there = [each for each in seen.resources if each.standing == "there"]
    may_stay = [each for each in there if each.kind not in _RUNS_OWN]
    kept = {entry: [each for each in may_stay if is_meant(each.name, name)] for entry, name in meant.items()}
    told = [each for found in kept.values() for each in found]
    missing = [entry for entry in settings.retained if not kept.get(entry)] if seen.resources else []
    unknown = [each for each in seen.resources if each.standing == "unknown"]
    return Judgement(
        examined=len(seen.resources),
        findings=(
            *(_left(each) for each in there if each not in told),
            *(_retained(entry, each) for entry, found in kept.items() for each in found),
            *map(_missing, missing),
        ),
        gaps=tuple(Gap(what=f"{each.kind} {each.name}", why=each.why) for each in unknown),
    )


def _left(each: Resource) -> Finding:
    return Finding(
        rule=f"leftovers/{each.source}",
        subject=each.name,
        severity=Severity.HIGH,
        message=f"{each.kind} is still there{': ' + each.why if each.why else ''}",
        help="`readiness teardown RUN_ID` goes on with the teardown.",
    )


def _retained(entry: str, each: Resource) -> Finding:
    return Finding(
        rule=contract.RETAINED_RULE,
        subject=each.name,
        severity=Severity.INFO,
        message=f"{each.kind} stays on purpose: the plan names it ({entry})",
        help="Somebody has to delete it one day; nothing here does.",
    )


def _missing(entry: str) -> Finding:
    return Finding(
        rule=contract.RETAINED_MISSING_RULE,
        subject=entry,
        severity=Severity.HIGH,
        message="the plan says that it stays, but nothing of this name is there",
        help="It was lost, or gates.settings.leftovers.retained names it wrongly.",
    )


def remaining(judgement: Judgement) -> list[str]:
    """Return the names of what was found, or could not be ruled out, to be left and is not meant to be."""
    told = (contract.RETAINED_RULE, contract.RETAINED_MISSING_RULE)
    found = [each.subject for each in judgement.findings if each.rule not in told]
    return found + [gap.what for gap in judgement.gaps]


GATE = Gate(
    id="leftovers",
    question="Is everything that the run made gone again?",
    stage=Stage.AFTER_TEARDOWN,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
)
