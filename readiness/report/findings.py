"""Findings for other programs: JSON of a stated version, and CSV for a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any

from readiness.model import Disposed, GateResult

SCHEMA = "readiness/findings/1"
"""Changes whenever a key is renamed, removed or means something else; keys may be added."""

_COLUMNS = (
    "severity",
    "disposition",
    "gate",
    "family",
    "rule",
    "subject",
    "message",
    "help",
    "fingerprint",
    "sources",
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


def as_json(results: Sequence[GateResult]) -> bytes:
    """Return findings, gaps and what each gate examined."""
    told = {
        "schema": SCHEMA,
        "gates": [
            {"id": each.gate, "outcome": each.outcome, "examined": each.judgement.examined, "required": each.required}
            for each in results
        ],
        "findings": [_entry(gate, each) for gate, each in in_order(results)],
        "gaps": [
            {"gate": result.gate, "what": gap.what, "why": gap.why}
            for result in results
            for gap in result.judgement.gaps
        ],
    }
    return (json.dumps(told, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _entry(gate: str, each: Disposed) -> dict[str, Any]:
    finding, waiver = each.finding, each.waiver
    return {
        "gate": gate,
        "rule": finding.rule,
        "subject": finding.subject,
        "severity": finding.severity,
        "family": finding.family,
        "message": finding.message,
        "help": finding.help,
        "fingerprint": finding.fingerprint,
        "sources": list(finding.sources or (finding.rule,)),
        "disposition": each.disposition,
        "waiver": None
        if waiver is None
        else {
            "owner": waiver.owner,
            "approver": waiver.approver,
            "reason": waiver.reason,
            "ticket": waiver.ticket,
            "created": waiver.created.isoformat(),
            "expires": waiver.expires.isoformat(),
        },
    }


def as_csv(results: Sequence[GateResult]) -> bytes:
    """Return a row for each finding. What a spreadsheet would compute is made plain text by an apostrophe before it."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(_COLUMNS)
    for gate, each in in_order(results):
        entry = _entry(gate, each)
        waiver = entry["waiver"] or {}
        entry["sources"] = " ".join(entry["sources"])
        entry |= {f"waiver_{name}": value for name, value in waiver.items()}
        rows.writerow([_harmless(str(entry.get(column) or "")) for column in _COLUMNS])
    return text.getvalue().encode("utf-8", "replace")


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_BEGINS) else cell
