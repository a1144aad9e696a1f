"""Findings as SARIF 2.1.0, which code hosts and security dashboards read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

One run for all gates. A waived finding is a result with an accepted suppression; a gap is a notification at level
error, and the invocation says that it did not succeed: an empty list of results is then no clean bill.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from datetime import UTC
from typing import Any
from urllib.parse import quote

import readiness
from readiness.model import Disposed, Finding, Fixed, GateResult, Severity, Waiver
from readiness.report.findings import FIXED, in_order

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
_SCORES = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "3.0",
    Severity.INFO: "0.0",
}
"""``security-severity``: a number in the band of CVSS that bears the severity's name."""


def as_sarif(results: Sequence[GateResult], fixed: Sequence[Fixed] = (), known: Collection[str] | None = None) -> bytes:
    """Return all findings and gaps of some gates as one SARIF log.

    Args:
        results: What the gates came to.
        fixed: Findings of an earlier run that are gone: results that are absent.
        known: Marks of findings that the earlier run had too; None = there was nothing to compare with.
    """
    found = in_order(results)
    rules: dict[str, dict[str, Any]] = {}
    for _, each in found:
        rules.setdefault(each.finding.rule, _rule(each.finding))
    for gone in fixed:
        rules.setdefault(gone.finding.rule, _rule(gone.finding))
    index = {rule: number for number, rule in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": "readiness",
                "version": readiness.__version__,
                "rules": list(rules.values()),
            }
        },
        "columnKind": "unicodeCodePoints",
        "invocations": [_invocation(results)],
        "results": [
            *(_result(gate, each, index[each.finding.rule], known) for gate, each in found),
            *(_told(each.gate, each.finding, index[each.finding.rule], "absent", FIXED) for each in fixed),
        ],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return (json.dumps(log, indent=1, ensure_ascii=False) + "\n").encode("utf-8", "replace")


def _rule(finding: Finding) -> dict[str, Any]:
    """Return a rule as its first, hence worst, finding tells it."""
    described = {
        "id": finding.rule,
        "shortDescription": {"text": finding.message.partition(": ")[0]},
        "defaultConfiguration": {"level": _LEVELS[finding.severity]},
        "properties": {
            "security-severity": _SCORES[finding.severity],
            "tags": ["security", *([str(finding.family)] if finding.family else [])],
        },
    }
    if finding.why:
        described["fullDescription"] = {"text": finding.why}
    if finding.help:
        described["help"] = {"text": finding.help}
    return described


def _result(gate: str, each: Disposed, index: int, known: Collection[str] | None) -> dict[str, Any]:
    state = None if known is None else "unchanged" if each.finding.mark in known else "new"
    told = _told(gate, each.finding, index, state, str(each.disposition))
    return told | {"suppressions": [] if each.waiver is None else [_suppression(each.waiver)]}


def _told(gate: str, finding: Finding, index: int, state: str | None, disposition: str) -> dict[str, Any]:
    compared = {} if state is None else {"baselineState": state}
    return compared | {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.message},
        "locations": [_location(finding)],
        "partialFingerprints": {"readiness/v1": finding.mark},
        "properties": {
            "gate": gate,
            "severity": finding.severity,
            "security-severity": _SCORES[finding.severity],
            "disposition": disposition,
            "sources": list(finding.sources or (finding.rule,)),
        },
    }


def _location(finding: Finding) -> dict[str, Any]:
    """Return what has the fault and, where a template says so, the file and line on which it begins."""
    called = {"name": finding.logical_id} if finding.logical_id else {}
    told: dict[str, Any] = {"logicalLocations": [{**called, "fullyQualifiedName": finding.subject, "kind": "resource"}]}
    if finding.template:
        place: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.template)}}
        if finding.line is not None:
            place["region"] = {"startLine": finding.line}
        told["physicalLocation"] = place
    return told


def _suppression(waiver: Waiver) -> dict[str, Any]:
    ticket = f", {waiver.ticket}" if waiver.ticket else ""
    return {
        "kind": "external",
        "status": "accepted",
        "justification": f"{_why(waiver)} (owner {waiver.owner}, approved by {waiver.approver}, until "
        f"{waiver.expires}{ticket})",
    }


def _why(waiver: Waiver) -> str:
    return f"False positive: {waiver.reason} Proof: {waiver.evidence}" if waiver.evidence else waiver.reason


def _invocation(results: Sequence[GateResult]) -> dict[str, Any]:
    gaps = [(result.gate, gap) for result in results for gap in result.judgement.gaps]
    told: dict[str, Any] = {
        "executionSuccessful": bool(results) and not gaps,
        "toolExecutionNotifications": [
            {"level": "error", "message": {"text": f"{gate}: {gap.what}: {gap.why}"}} for gate, gap in gaps
        ],
    }
    if results:
        told["startTimeUtc"] = _time(min(result.started_at for result in results))
        told["endTimeUtc"] = _time(max(result.ended_at for result in results))
    return told


def _time(instant: Any) -> str:
    return str(instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
