"""Finish the teardown of a run that was killed, from its ledger."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from readiness import contract, staging
from readiness.cloud import await_end, connect_aws, servers, strays, translated
from readiness.errors import CloudError, ReadinessError, TeardownError
from readiness.gates import leftovers
from readiness.ledger import FILE, Entry, Ledger
from readiness.removal import remove_stack
from readiness.run import RUNS

_STOP_DEADLINE_S = 30.0
Step = Callable[[], None]
_RUN_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{4}")


def teardown(repository: Path, run_id: str, narrate: Callable[[str], None]) -> list[str]:
    """Remove what a run made and prove that it is gone.

    Args:
        repository: Where the run's ledger lies, under ``.readiness/runs``.
        run_id: The run.
        narrate: Says one sentence.

    Returns:
        What was done and proven, a line each.

    Raises:
        ReadinessError: there is no such run.
        TeardownError: something of it may still exist.
    """
    ledger = Ledger(find_ledger(repository, run_id))
    entries = ledger.entries()
    begun = next((entry for entry in entries if entry.event == "run-started"), None)
    if begun is None and entries:
        raise ReadinessError(
            f"The ledger of {run_id} does not say where the run stood: its first line is unreadable.",
            hint=f"Read {ledger.path}, remove what it names, and look for the tag {contract.TAG_RUN_ID}={run_id}.",
        )
    if begun is None:
        return [f"{run_id}: its ledger announces nothing; nothing was made"]
    if begun.details["target"] == "embedded":
        return teardown_embedded(run_id, entries)
    return teardown_aws(run_id, begun, ledger, narrate)


def find_ledger(repository: Path, run_id: str) -> Path:
    """Return the path of a run's ledger, refusing names that are no run's."""
    runs = repository / RUNS
    path = runs / run_id / FILE
    if not _RUN_ID.fullmatch(run_id) or not path.exists():
        known = sorted(folder.name for folder in runs.iterdir()) if runs.is_dir() else []
        raise ReadinessError(
            f"There is no run {run_id!r} under {runs}.",
            hint=f"Known: {', '.join(known[-5:]) or 'none'}. Call this in the folder where the run was started.",
        )
    return path


def teardown_embedded(run_id: str, entries: tuple[Entry, ...]) -> list[str]:
    """Prove that no process of the run's embedded AWS is left, and end those that are.

    Its resources were state of those processes, so there is nothing else to remove.
    """
    if any(entry.event == "run-decided" for entry in entries):
        lines = [f"{run_id}: the run ended by itself and tore down what it had made"]
    else:
        lines = [f"{run_id}: the run was cut off"]
    folders = [entry.name for entry in entries if entry.event == "about-to-create" and entry.kind == "embedded-aws"]
    ids = [entry.name for entry in entries if entry.event == "embedded-aws-ready"]

    def left() -> list[psutil.Process]:
        return [each for folder in folders for each in servers(folder)] + [each for id in ids for each in strays(id)]

    if folders:
        found = len(left())
        await_end(left, deadline_s=_STOP_DEADLINE_S)
        lines.append(f"{run_id}: no process of its embedded AWS is left ({found} were still there when asked)")
    return lines


def teardown_aws(run_id: str, begun: Entry, ledger: Ledger, narrate: Callable[[str], None]) -> list[str]:
    """Stop the run's tasks, deregister its task definitions, delete its stack, and ask for each thing by name."""
    connection = connect_aws(begun.details["region"], ())
    made = ledger.created()
    accounts = {entry.details["account"] for entry in made if entry.kind == "stack"}
    if accounts - {connection.account}:
        raise ReadinessError(
            f"Run {run_id} is in account {', '.join(accounts)}, but your credentials are for {connection.account}.",
            hint="Use the credentials of that account.",
        )
    narrate(f"Tearing down {run_id} in account {connection.account}")
    return remove(connection.client, run_id, made, ledger)


def remove(clients: Callable[[str], Any], run_id: str, made: tuple[Entry, ...], ledger: Ledger) -> list[str]:
    """Take away what a run made, whatever fails on the way, and prove that it is gone; return what was proven.

    Raises:
        TeardownError: something of it may still exist.
        CloudError: something went wrong, though nothing was found to be left.
    """
    failed = [*_failures(steps(clients, run_id, made, ledger))]
    try:
        proven = prove(run_id, clients, ledger)
    except TeardownError as error:
        raise TeardownError(error.leftovers, hint="\n  ".join([*failed, error.hint])) from error
    if failed:
        told = "\n  ".join(failed)
        raise CloudError(told, hint=f"Nothing was found to be left. To be sure: readiness teardown {run_id}")
    return proven


def steps(clients: Callable[[str], Any], run_id: str, made: tuple[Entry, ...], ledger: Ledger) -> Iterator[Step]:
    """Yield what takes away what a run made, in order: what runs first, what it ran in last."""
    yield lambda: stop_tasks(clients("ecs"), made)
    for family in sorted({entry.name for entry in made if entry.kind == "task-definition"}):
        yield partial(deregister_family, clients("ecs"), family)
    if any(entry.kind == "stack" for entry in made):
        yield lambda: remove_stack(clients, staging.stack_name(run_id), ledger)


def _failures(todo: Iterable[Step]) -> Iterator[str]:
    """Take every step, and yield what went wrong: that one thing cannot be stopped must not leave the rest standing."""
    for step in todo:
        try:
            step()
        except ReadinessError as error:
            yield error.message


def stop_tasks(ecs: Any, made: tuple[Entry, ...]) -> None:
    """Stop every task that the run started by itself."""
    started_by = {entry.details["started_by"] for entry in made if entry.kind == "ecs-task"}
    with translated("Stopping the run's tasks"):
        for page in ecs.get_paginator("list_clusters").paginate():
            for cluster in page["clusterArns"]:
                for name in started_by:
                    for task in ecs.list_tasks(cluster=cluster, startedBy=name)["taskArns"]:
                        ecs.stop_task(cluster=cluster, task=task, reason="readiness teardown")


def deregister_family(ecs: Any, family: str) -> None:
    """Take every active revision of a family out of use."""
    with translated(f"Deregistering {family}"):
        for arn in ecs.list_task_definitions(familyPrefix=family, status="ACTIVE")["taskDefinitionArns"]:
            if arn.rpartition("/")[2].rpartition(":")[0] == family:
                ecs.deregister_task_definition(taskDefinition=arn)


def prove(run_id: str, clients: Callable[[str], Any], ledger: Ledger) -> list[str]:
    """Ask the gate ``leftovers`` outside of a run."""
    seen = leftovers.look(clients, ledger)
    judged = leftovers.judge(seen, leftovers.Settings())
    left = [finding.subject for finding in judged.findings] + [gap.what for gap in judged.gaps]
    if left:
        raise TeardownError(left, hint=f"Once its cause is mended: readiness teardown {run_id}")
    return [f"{run_id}: {judged.examined} things were asked for; none is left"]
