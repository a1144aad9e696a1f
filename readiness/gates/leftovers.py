"""Gate: is everything that the run made gone again?

Four sources are asked, none of which is CloudFormation's own word: each resource that the stack had, by its service;
each line of the ledger; the tag index; and the log groups and snapshots that services make by themselves.
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from readiness import contract, inventory
from readiness.cloud import is_gone, translated
from readiness.gate import Context, Gate
from readiness.inventory import Clients, Resource
from readiness.ledger import Ledger
from readiness.model import Finding, Gap, Judgement, Severity, Stage, record


@record
class Settings:
    """The table ``[gates.settings.leftovers]`` of the plan."""


@record
class Observation:
    """Everything that was asked about, and how it stands."""

    resources: tuple[Resource, ...]


def observe(ctx: Context, settings: Settings) -> Observation:
    """Look with the run's own clients and ledger."""
    return look(ctx.clients, ctx.ledger)


def look(clients: Clients, ledger: Ledger) -> Observation:
    """Ask for each thing that the ledger names, and for what carries the run's tag or name."""
    entries = ledger.entries()
    stack = [inventory.look_up(clients, entry.kind, entry.name) for entry in entries if entry.event == "resource"]
    made = _announced(clients, ledger)
    if not any(entry.kind == "stack" for entry in ledger.created()):
        return Observation(resources=tuple(made))
    run_id = next(entry.name for entry in entries if entry.event == "run-started")
    # What only "goes with" something else was not asked for, and tasks are known by the run's own id: neither proves
    # anything about what else carries the name.
    nameless = {*inventory.PARTS, "ecs-task"}
    gone = tuple(
        each.name for each in (*stack, *made) if each.standing in ("gone", "phantom") and each.kind not in nameless
    )
    return Observation(
        resources=(
            *stack,
            *made,
            *_tagged(clients, run_id, gone),
            *_log_groups(clients, (run_id, *gone), gone),
            *_snapshots(clients, (run_id, *gone)),
        )
    )


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
        why = "the tag index lags behind; its service says that it is gone" if proven else "the tag index lists it"
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


def _log_groups(clients: Clients, names: tuple[str, ...], gone: tuple[str, ...]) -> list[Resource]:
    """Return the log groups that carry a name of the run; services make some by themselves, outside of any stack."""
    with translated("Listing log groups"):
        pages = clients("logs").get_paginator("describe_log_groups").paginate()
        groups = [group["logGroupName"] for page in pages for group in page["logGroups"]]
    return [
        Resource(kind="log-group", name=group, source="log-group", standing="there", why="made by a service")
        for group in groups
        if group not in gone and _carries(group, names)
    ]


def _snapshots(clients: Clients, names: tuple[str, ...]) -> list[Resource]:
    """Return the database snapshots that carry a name of the run."""
    with translated("Listing database snapshots"):
        pages = clients("rds").get_paginator("describe_db_cluster_snapshots").paginate()
        found = [each["DBClusterSnapshotIdentifier"] for page in pages for each in page["DBClusterSnapshots"]]
    return [
        Resource(kind="snapshot", name=name, source="snapshot", standing="there")
        for name in found
        if _carries(name, names)
    ]


_TELLING = 16
"""A physical name of at least so many characters is no coincidence within another name."""


def _carries(text: str, names: tuple[str, ...]) -> bool:
    """Say whether *text* holds one of the names of the run or of its resources; CloudFormation cuts run ids short."""
    return any(name in text for name in names if len(name) >= _TELLING)


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find what is still there; what could not be asked for is a gap."""
    there = [each for each in seen.resources if each.standing == "there"]
    unknown = [each for each in seen.resources if each.standing == "unknown"]
    return Judgement(
        examined=len(seen.resources),
        findings=tuple(
            Finding(
                rule=f"leftovers/{each.source}",
                subject=each.name,
                severity=Severity.HIGH,
                message=f"{each.kind} is still there{': ' + each.why if each.why else ''}",
                help="`readiness teardown RUN_ID` goes on with the teardown.",
            )
            for each in there
        ),
        gaps=tuple(Gap(what=f"{each.kind} {each.name}", why=each.why) for each in unknown),
    )


GATE = Gate(
    id="leftovers",
    question="Is everything that the run made gone again?",
    stage=Stage.AFTER_TEARDOWN,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
)
