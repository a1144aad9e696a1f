"""Find every run of ours that outlived its time or its runner, in one account and region, and tear it down.

A run is ours when its stack carries both our name and our tag, and the two say the same. What carries only one of them
is refused: nobody's stack is deleted for being called like ours.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from readiness import aftermath, contract, runner
from readiness.cloud import Connection, note_connection, translated
from readiness.errors import ReadinessError, TeardownError
from readiness.gates import leftovers
from readiness.ledger import FILE, Ledger
from readiness.run import RUNS

Choice = Literal["sweep", "leave", "refuse"]
_AT_A_TIME = 8
"""How many runs are torn down side by side: a stack with a database takes a quarter of an hour."""
_GOING = "DELETE_IN_PROGRESS"
_SERVICES = ("cloudformation", "ecs", "logs", "rds", "elasticache", "s3", "ec2", "elbv2", "resourcegroupstaggingapi")


@dataclass(frozen=True, kw_only=True)
class Found:
    """One stack, or what is left of one, and what is to become of it.

    Attributes:
        name: The stack's name.
        run_id: Its run; empty where it is refused.
        choice: What is to become of it.
        why: Why.
    """

    name: str
    run_id: str
    choice: Choice
    why: str

    def told(self) -> str:
        """Return it as a line."""
        return f"{self.choice:<6}  {self.name}  {self.why}"


def survey(
    connection: Connection, repository: Path, *, now: datetime, older_than: timedelta | None = None
) -> list[Found]:
    """Return every stack that carries our name or our tag, and every run of which only resources are left.

    It reads, and changes nothing.

    Args:
        connection: The account and region.
        repository: Where ledgers of runs may lie; they tell whether a runner is still at work.
        now: The instant that expiries are held against.
        older_than: Also sweep what was created so long ago, whatever its expiry.

    Raises:
        CloudError: the account does not tell.
    """
    with translated("Listing stacks"):
        pages = connection.client("cloudformation").get_paginator("describe_stacks").paginate()
        stacks = [stack for page in pages for stack in page["Stacks"]]
    judged = [_judge(stack, repository, now, older_than) for stack in stacks]
    found = [each for each in judged if each is not None]
    standing = {_tags(stack).get(contract.TAG_RUN_ID) for stack in stacks}  # that of a refused stack among them
    for run_id, arns in sorted(_tagged(connection).items()):
        name = contract.STACK_NAME_PREFIX + run_id
        if not aftermath.is_run_id(run_id):
            why = f"something carries our tag, but {run_id!r} is no run's id"
            found.append(Found(name=name, run_id="", choice="refuse", why=why))
        elif run_id not in standing and name not in {stack["StackName"] for stack in stacks}:
            found.append(_orphan(connection, repository, run_id, name, len(arns)))
    return sorted(found, key=lambda each: (each.choice, each.name))


def _judge(stack: Mapping[str, Any], repository: Path, now: datetime, older_than: timedelta | None) -> Found | None:
    """Return what is to become of a stack; None where it has nothing to do with us."""
    name = stack["StackName"]
    tags = _tags(stack)
    run_id = tags.get(contract.TAG_RUN_ID)
    if run_id is None and not name.startswith(contract.STACK_NAME_PREFIX):
        return None
    if run_id is None:
        return Found(name=name, run_id="", choice="refuse", why=f"it has our name, but no tag {contract.TAG_RUN_ID}")
    if name != contract.STACK_NAME_PREFIX + run_id:
        return Found(name=name, run_id="", choice="refuse", why=f"it has our tag (of run {run_id}), but not its name")
    try:
        expires_at = datetime.fromisoformat(tags[contract.TAG_EXPIRES_AT]).astimezone(UTC)
    except (KeyError, ValueError):
        why = f"its tag {contract.TAG_EXPIRES_AT} is missing or no instant"
        return Found(name=name, run_id="", choice="refuse", why=why)
    choice, why = _choose(stack, run_id, expires_at, repository, now, older_than)
    owner = tags.get(contract.TAG_OWNER, "nobody")
    return Found(name=name, run_id=run_id, choice=choice, why=f"{why} ({stack['StackStatus']}, owner {owner})")


def _tags(described: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in described.get("Tags", ())}


def _choose(
    stack: Mapping[str, Any],
    run_id: str,
    expires_at: datetime,
    repository: Path,
    now: datetime,
    older_than: timedelta | None,
) -> tuple[Choice, str]:
    """Return what is to become of a stack of ours, and why."""
    if stack["StackStatus"] == _GOING:
        return "leave", "it is being deleted"
    if now >= expires_at:
        return "sweep", f"it expired {_ago(now - expires_at)} ago"
    at_work = _runner(repository, run_id)
    if at_work == "at work":
        return "leave", "its runner is still at work"
    if older_than is not None and now - stack["CreationTime"] >= older_than:
        return "sweep", f"it was made {_ago(now - stack['CreationTime'])} ago"
    if at_work == "gone":
        return "sweep", "its runner is gone"
    return "leave", f"it expires in {_ago(expires_at - now)}"


def _runner(repository: Path, run_id: str) -> Literal["at work", "gone", "unknown"]:
    """Say how the runner of a run is, as far as its ledger lies here. A clone that ``up`` left is meant to stand."""
    path = repository / RUNS / run_id / FILE
    if not path.exists():
        return "unknown"
    entries = Ledger(path).entries()
    alive = runner.is_alive(entries)
    if alive:
        return "at work"
    if alive is None or any(entry.event == "clone-up" for entry in entries):
        return "unknown"
    return "gone"


def _tagged(connection: Connection) -> dict[str, list[str]]:
    """Return run id -> what the tag index lists for it."""
    runs: dict[str, list[str]] = {}
    with translated("Reading the tag index"):
        pages = connection.client("resourcegroupstaggingapi").get_paginator("get_resources")
        for page in pages.paginate(TagFilters=[{"Key": contract.TAG_RUN_ID}]):
            for mapping in page["ResourceTagMappingList"]:
                runs.setdefault(_tags(mapping)[contract.TAG_RUN_ID], []).append(mapping["ResourceARN"])
    return runs


def _orphan(connection: Connection, repository: Path, run_id: str, name: str, count: int) -> Found:
    """Return what is to become of what carries a run's tag and has no stack any more.

    The tag index lags behind, and lists what waits for its deletion: each thing is asked for before it counts.
    """
    if _runner(repository, run_id) == "at work":
        return Found(name=name, run_id=run_id, choice="leave", why="its runner is still at work")
    with TemporaryDirectory() as folder:
        ledger = _ledger(connection, repository, run_id, Path(folder))
        seen = leftovers.look(connection.client, ledger)
        if any(each.kind == "stack" and each.standing == "there" for each in seen.resources):
            why = f"something carries our tag (of run {run_id}), but the stack of that name was not judged as ours"
            return Found(name=name, run_id="", choice="refuse", why=why)
        left = leftovers.remaining(
            leftovers.judge(seen, leftovers.Settings(retained=aftermath.retained_by_plan(ledger)))
        )
    if left:
        why = f"its stack is gone, but there may still be {', '.join(left[:3])}{' and more' if len(left) > 3 else ''}"
        return Found(name=name, run_id=run_id, choice="sweep", why=why)
    why = f"its stack is gone; the tag index still lists {count} things, of which none is left"
    return Found(name=name, run_id=run_id, choice="leave", why=why)


def _ledger(connection: Connection, repository: Path, run_id: str, folder: Path | None = None) -> Ledger:
    """Return the ledger of a run, completed by what can be known of the run from here.

    It may lie on another machine, or have lost lines; what it does not announce would neither be removed nor asked for.

    Args:
        connection: The account that the run stands in.
        repository: Where ledgers lie.
        run_id: The run.
        folder: Where to complete a copy; default: where ``readiness teardown`` looks for it.
    """
    name = contract.STACK_NAME_PREFIX + run_id
    families = _families(connection, name)  # before the first line: what is half announced would be half removed
    own = repository / RUNS / run_id / FILE
    ledger = Ledger((folder or own.parent) / FILE)
    if folder is not None and own.exists():
        shutil.copyfile(own, ledger.path)
    entries = ledger.entries() if ledger.path.exists() else ()
    events = {entry.event for entry in entries}
    if "run-started" not in events:
        ledger.note("run-started", name=run_id, target="aws", region=connection.region, found_by="sweep")
    if "connected" not in events:
        note_connection(connection, ledger)
    announced = {(entry.kind, entry.details.get("started_by", entry.name)) for entry in ledger.created()}
    if ("stack", name) not in announced:
        ledger.about_to_create("stack", name, region=connection.region, account=connection.account)
    if ("ecs-task", run_id) not in announced:
        ledger.about_to_create("ecs-task", f"tasks of {name}", started_by=run_id)
    for family in families:
        if ("task-definition", family) not in announced:
            ledger.about_to_create("task-definition", family)
    return ledger


def _families(connection: Connection, prefix: str) -> list[str]:
    with translated("Listing task definitions"):
        pages = connection.client("ecs").get_paginator("list_task_definition_families")
        return [each for page in pages.paginate(familyPrefix=prefix, status="ACTIVE") for each in page["families"]]


def sweep(
    connection: Connection, repository: Path, found: list[Found], narrate: Callable[[str], None]
) -> Iterator[tuple[Found, list[str], ReadinessError | None]]:
    """Tear down each run that is to be swept, several side by side.

    Yields:
        The run, what was proven of it, and what went wrong; in the order of *found*.
    """
    for service in _SERVICES:
        connection.client(service)  # clients may be shared between threads, but not made by them
    chosen = [each for each in found if each.choice == "sweep"]

    def tear_down(each: Found) -> tuple[Found, list[str], ReadinessError | None]:
        try:
            aftermath.end_programs(each.run_id)
            ledger = _ledger(connection, repository, each.run_id)
            proven = aftermath.remove(connection.client, each.run_id, ledger, narrate)
        except ReadinessError as error:
            return each, [], error
        except Exception as error:  # noqa: BLE001 - a bug that one run meets must not end the teardown of the others
            return each, [], ReadinessError(f"The harness failed: {error!r}")
        aftermath.note_down(each.run_id, ledger)
        return each, proven, None

    pool = ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="sweep")
    try:
        yield from pool.map(tear_down, chosen)
    finally:
        pool.shutdown(cancel_futures=True)


def leftovers_of(results: list[tuple[Found, list[str], ReadinessError | None]]) -> list[str]:
    """Return the names of what may still exist after a sweep."""
    left: list[str] = []
    for each, _, error in results:
        if error is not None:
            left += error.leftovers if isinstance(error, TeardownError) else [each.name]
    return left


def _ago(span: timedelta) -> str:
    """Return a span as a person says it."""
    minutes = int(span.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"
