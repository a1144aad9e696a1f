"""Finish the teardown of a run that was killed, from its ledger."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from readiness import contract, runner
from readiness.cloud import await_end, programs_of, reach_again, servers, strays
from readiness.errors import CloudError, ReadinessError, TeardownError
from readiness.gates import leftovers
from readiness.interruption import Interrupted, Signals
from readiness.ledger import FILE, Entry, Ledger
from readiness.removal import note, remove_run
from readiness.run import RUNS

_STOP_DEADLINE_S = 30.0
_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]*")


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
        raise nowhere(run_id, ledger)
    if begun is None:
        return [f"{run_id}: its ledger announces nothing; nothing was made"]
    refuse_living(run_id, entries)
    with seen_through(run_id, ledger, narrate):
        end_programs(run_id)
        if begun.details["target"] == "embedded":
            lines = teardown_embedded(run_id, entries)
        else:
            lines = teardown_aws(run_id, begun, ledger, narrate)
        note_down(run_id, ledger)
        return lines


def note_down(run_id: str, ledger: Ledger) -> None:
    """Write down that a clone which ``readiness up`` left is gone, so that nobody takes it for one that is up."""
    events = {entry.event for entry in ledger.entries()}
    if "clone-up" in events and "clone-down" not in events:
        note(ledger, "clone-down", name=run_id)


def nowhere(run_id: str, ledger: Ledger) -> ReadinessError:
    """Return the error of a ledger that lost its first line."""
    return ReadinessError(
        f"The ledger of {run_id} does not say where the run stood: its first line is unreadable.",
        hint=f"Read {ledger.path}, remove what it names, and look for the tag {contract.TAG_RUN_ID}={run_id}.",
    )


@contextmanager
def seen_through(run_id: str, ledger: Ledger, warn: Callable[[str], None]) -> Iterator[None]:
    """Let a teardown finish: in the block the first signal only says that another one gives up.

    Raises:
        TeardownError: it was given up; names all that the run announced.
    """
    signals = Signals()
    try:
        with signals.caught(warn), signals.tearing_down():
            yield
    except Interrupted:
        left = [f"{entry.kind} {entry.name} (the teardown was given up)" for entry in ledger.created()]
        if not left:
            raise
        raise TeardownError(left, hint=f"To finish it: readiness teardown {run_id}") from None


def refuse_living(run_id: str, entries: tuple[Entry, ...]) -> None:
    """Refuse to take a clone from under a run that is still at work: its own teardown is the better one.

    Raises:
        ReadinessError: its runner is alive, on this machine.
    """
    if runner.is_alive(entries):
        pid = next(entry.details["pid"] for entry in reversed(entries) if "pid" in entry.details)
        raise ReadinessError(
            f"{run_id} is still at work, in process {pid}.",
            hint=f"Interrupt it once, and it tears down itself: Ctrl-C there, or kill {pid}.",
        )


def end_programs(run_id: str) -> None:
    """End what a killed runner left running, before anything is asked: a deployment goes on without whoever began it.

    Raises:
        TeardownError: a program could not be ended.
    """
    await_end(lambda: programs_of(run_id), deadline_s=0)


def is_run_id(text: str) -> bool:
    """Say whether a text may be a run's id: nothing else becomes a path, or the end of a stack's name."""
    return _RUN_ID.fullmatch(text) is not None


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
    """Take away what the run made in its account, and ask for each thing by name.

    Raises:
        TeardownError: something of it may still exist, be it only because nobody may ask.
    """
    made = ledger.created()
    try:
        connection = reach_again(begun.details["region"], ledger.entries())
    except CloudError as error:
        if not made:
            raise
        left = [f"{entry.kind} {entry.name}" for entry in made]
        raise TeardownError(left, hint=f"{error}\n  Then: readiness teardown {run_id}") from error
    narrate(f"Tearing down {run_id} in account {connection.account}")
    return remove(connection.client, run_id, ledger, narrate)


def remove(clients: Callable[[str], Any], run_id: str, ledger: Ledger, narrate: Callable[[str], None]) -> list[str]:
    """Take away what a run made, whatever fails on the way, and prove that it is gone; return what was proven.

    Raises:
        TeardownError: something of it may still exist.
        CloudError: something went wrong, though nothing was found to be left.
    """
    keep = retained_by_plan(ledger)
    failed: list[str] = []
    try:
        failed += remove_run(clients, run_id, ledger, say=narrate, keep=keep)
    except ReadinessError as error:
        failed.append(error.message)
    try:
        proven = prove(run_id, clients, ledger, keep)
    except TeardownError as error:
        raise TeardownError(error.leftovers, hint="\n  ".join([*failed, error.hint])) from error
    except CloudError as error:
        left = [f"{entry.kind} {entry.name}" for entry in ledger.created()]
        told = "\n  ".join([*failed, str(error), f"Nobody could look for it. Then: readiness teardown {run_id}"])
        raise TeardownError(left, hint=told) from error
    if failed:
        told = "\n  ".join(failed)
        raise CloudError(told, hint=f"Nothing was found to be left. To be sure: readiness teardown {run_id}")
    return proven


def retained_by_plan(ledger: Ledger) -> tuple[str, ...]:
    """Return what the run's plan said is meant to stay, as it was written down before anything was made."""
    begun = next((entry for entry in ledger.entries() if entry.event == "run-started"), None)
    return tuple(json.loads(begun.details.get("retained", "[]"))) if begun else ()


def prove(run_id: str, clients: Callable[[str], Any], ledger: Ledger, keep: tuple[str, ...] = ()) -> list[str]:
    """Ask the gate ``leftovers`` outside of a run.

    Raises:
        TeardownError: something may still exist.
        CloudError: a source does not answer.
    """
    seen = leftovers.look(clients, ledger)
    judged = leftovers.judge(seen, leftovers.Settings(retained=keep))
    if left := leftovers.remaining(judged):
        raise TeardownError(left, hint=f"Once its cause is mended: readiness teardown {run_id}")
    told = [f"{run_id}: {each.subject}: {each.message}" for each in judged.findings]
    none = "nothing else" if told else "none"
    return [*told, f"{run_id}: {judged.examined} things were asked for; {none} is left"]
