"""The index of the runbooks as Markdown: the alarm of each, who answers for it, who read it, and its rehearsal."""

from __future__ import annotations

from pathlib import Path

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.gates import runbooks as gate
from readiness.model import Plan, Record
from readiness.report.text import code, prose, table
from readiness.runbook_index import HEAD, SAMPLE, cells


def runbook_section(record: Record, plan: Plan, root: Path | None) -> str:
    """Return the index of the runbooks; "" if the gate was not asked or its evidence is not at hand.

    Args:
        record: The record.
        plan: The plan of the run.
        root: Folder of the bundle; None = only the record is at hand.
    """
    result = next((each for each in record.results if each.gate == gate.GATE.id), None)
    if root is None or result is None or result.observation is None:
        return ""
    try:
        seen = evidence.read_json(root, result.observation, gate.Observation)
    except EvidenceError:
        return "## Runbooks\n\nWhat the gate `runbooks` saw cannot be read."
    listed = gate.index(seen, gate.settings_in(plan, evidence.PLAN))
    rows = [(code(entry.path), *(prose(cell) for cell in cells(entry)[1:])) for entry in listed]
    rows += [(code(path), "", "", "", "", "", "unreadable") for path in seen.unreadable]
    if not rows:
        return f"## Runbooks\n\nThere is none in {code(seen.folder + '/')}."
    samples = any(entry.status == SAMPLE for entry in listed)
    note = "\n\nA sample review has no person behind it; on AWS it counts as no review." if samples else ""
    return f"## Runbooks\n\nAs they were on {seen.on}.\n\n{table(HEAD, rows)}{note}"
