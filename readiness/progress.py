"""How far a run has come: each gate that was begun, and the result of each that was finished, for `readiness resume`.

The results lie beside the bundle, and the ledger holds their digests: what was changed meanwhile is not gone on from.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.ledger import Ledger
from readiness.model import GateResult
from readiness.secrecy import conceal_bytes

FOLDER = "progress"
BEGUN = "gate-begun"
FINISHED = "gate-finished"


def note_begun(ledger: Ledger, gate: str) -> None:
    """Say that a gate is about to be asked.

    Raises:
        EvidenceError: it could not be written; then nobody could tell what state the gate left the clone in.
    """
    ledger.note(BEGUN, kind="gate", name=gate)


def keep(folder: Path, ledger: Ledger, bundle: Path, result: GateResult) -> None:
    """Write down what a gate came to. That it cannot be costs a later `readiness resume`, and not this run."""
    data = conceal_bytes(evidence.to_json(GateResult, result))
    with suppress(EvidenceError, OSError):
        seen = evidence.sha256(evidence.read_bytes(bundle, result.observation)) if result.observation else ""
        file = folder / FOLDER / f"{result.gate}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        ledger.note(FINISHED, kind="gate", name=result.gate, result=evidence.sha256(data), observation=seen)


def begun(ledger: Ledger) -> tuple[str, ...]:
    """Return the gates that were begun and not finished."""
    done = {entry.name for entry in ledger.entries() if entry.event == FINISHED}
    return tuple(entry.name for entry in ledger.entries() if entry.event == BEGUN and entry.name not in done)


def finished(folder: Path, ledger: Ledger, bundle: Path) -> list[GateResult]:
    """Return what each finished gate came to, in order.

    Raises:
        EvidenceError: a result or an observation is missing, or is not the one that was written down.
    """
    results = {}
    for entry in ledger.entries():
        if entry.event != FINISHED:
            continue
        data = evidence.read_bytes(folder, f"{FOLDER}/{entry.name}.json")
        result = evidence.from_json(GateResult, data, f"the result of {entry.name}")
        seen = evidence.sha256(evidence.read_bytes(bundle, result.observation)) if result.observation else ""
        if evidence.sha256(data) != entry.details["result"] or seen != entry.details["observation"]:
            raise EvidenceError(f"What {entry.name} saw, or came to, is not what the ledger says: it was changed.")
        results[entry.name] = result
    return list(results.values())
