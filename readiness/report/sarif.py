"""Findings as SARIF 2.1.0, which code hosts and security dashboards read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html

One run for all gates. A waived finding is a result with an accepted suppression; a gap is a notification at level
error, and the invocation says that it did not succeed: an empty list of results is then no clean bill.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from typing import Any

import readiness
from readiness.model import Disposed, Finding, GateResult, Severity, Waiver
from readiness.report.findings import in_order

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


def as_sarif(results: Sequence[GateResult]) -> bytes:
    """Return all findings and gaps of some gates as one SARIF log."""
    found = in_order(results)
    rules: dict[str, dict[str, Any]] = {}
    for _, each in found:
        rules.setdefault(each.finding.rule, _rule(each.finding))
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
        "results": [_result(gate, each, index[each.finding.rule]) for gate, each in found],
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
    if finding.help:
        described["help"] = {"text": finding.help}
    return described


def _result(gate: str, each: Disposed, index: int) -> dict[str, Any]:
    finding = each.finding
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        "message": {"text": finding.message},
        "locations": [{"logicalLocations": [{"fullyQualifiedName": finding.subject, "kind": "resource"}]}],
        "partialFingerprints": {"readiness/v1": finding.fingerprint or f"{finding.rule}:{finding.subject}"},
        "suppressions": [] if each.waiver is None else [_suppression(each.waiver)],
        "properties": {
            "gate": gate,
            "severity": finding.severity,
            "security-severity": _SCORES[finding.severity],
            "disposition": each.disposition,
            "sources": list(finding.sources or (finding.rule,)),
        },
    }


def _suppression(waiver: Waiver) -> dict[str, Any]:
    ticket = f", {waiver.ticket}" if waiver.ticket else ""
    return {
        "kind": "external",
        "status": "accepted",
        "justification": f"{waiver.reason} (owner {waiver.owner}, approved by {waiver.approver}, until "
        f"{waiver.expires}{ticket})",
    }


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
