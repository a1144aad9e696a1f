"""Findings for other programs: JSON of a stated version, and CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from readiness.model import Disposed, Finding, Fixed, GateResult

SCHEMA = "readiness/findings/1"
"""Changes whenever a key is renamed, removed or means something else; keys may be added."""

FIXED = "fixed"
"""Disposition of a finding that an earlier run had and this one has not."""

_COLUMNS = (
    "severity",
    "disposition",
    "gate",
    "family",
    "rule",
    "subject",
    "logical_id",
    "template",
    "line",
    "message",
    "why",
    "help",
    "fingerprint",
    "sources",
    "evidence",
    "waiver_owner",
    "waiver_approver",
    "waiver_ticket",
    "waiver_expires",
    "waiver_reason",
)
_FORMULA_BEGINS = ("=", "+", "-", "@", "\t", "\r")


def in_order(results: Iterable[GateResult]) -> list[tuple[str, Disposed]]:
    """Return every finding with its gate: open ones first, worst first, then by rule and subject."""
    found = [(result.gate, each) for result in results for each in result.findings]
    return sorted(
        found,
        key=lambda pair: (
            pair[1].disposition != "open",
            pair[1].finding.severity.rank,
            pair[1].finding.rule,
            pair[1].finding.subject,
        ),
    )


def as_json(results: Sequence[GateResult], fixed: Sequence[Fixed] = ()) -> bytes:
    """Return findings, gaps, what each gate examined, and what is fixed since an earlier run."""
    told = {
        "schema": SCHEMA,
        "gates": [
            {"id": each.gate, "outcome": each.outcome, "examined": each.judgement.examined, "required": each.required}
            for each in results
        ],
        "findings": [_entry(gate, each) for gate, each in in_order(results)],
        "fixed": [_fixed(each) for each in fixed],
        "gaps": [
            {"gate": result.gate, "what": gap.what, "why": gap.why}
            for result in results
            for gap in result.judgement.gaps
        ],
    }
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _told(gate: str, finding: Finding) -> dict[str, Any]:
    return {
        "gate": gate,
        "rule": finding.rule,
        "subject": finding.subject,
        "logical_id": finding.logical_id or None,
        "template": finding.template or None,
        "line": finding.line,
        "severity": finding.severity,
        "family": finding.family,
        "message": finding.message,
        "why": finding.why,
        "help": finding.help,
        "fingerprint": finding.fingerprint,
        "sources": list(finding.sources or (finding.rule,)),
    }


def _fixed(each: Fixed) -> dict[str, Any]:
    return _told(each.gate, each.finding) | {"disposition": FIXED, "waiver": None}


def _entry(gate: str, each: Disposed) -> dict[str, Any]:
    waiver = each.waiver
    return _told(gate, each.finding) | {
        "disposition": each.disposition,
        "waiver": None
        if waiver is None
        else {
            "owner": waiver.owner,
            "approver": waiver.approver,
            "reason": waiver.reason,
            "evidence": waiver.evidence,
            "ticket": waiver.ticket,
            "created": waiver.created.isoformat(),
            "expires": waiver.expires.isoformat(),
        },
    }


def as_csv(results: Sequence[GateResult], fixed: Sequence[Fixed] = ()) -> bytes:
    """Return a row for each finding, those that are fixed last.

    What a spreadsheet would compute is made plain text by an apostrophe before it.
    """
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(_COLUMNS)
    for entry in (*(_entry(gate, each) for gate, each in in_order(results)), *map(_fixed, fixed)):
        waiver = entry["waiver"] or {}
        entry["evidence"] = waiver.get("evidence")
        entry["sources"] = " ".join(entry["sources"])
        entry |= {f"waiver_{name}": value for name, value in waiver.items()}
        rows.writerow([_harmless(str(entry.get(column) or "")) for column in _COLUMNS])
    return text.getvalue().encode("utf-8", "replace")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_BEGINS) else cell
