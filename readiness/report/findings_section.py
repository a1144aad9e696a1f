"""Findings as Markdown, for a reader with five minutes: counts, what is open and how to mend it, then the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta

from readiness import decide
from readiness.model import Disposed, Disposition, Fixed, Record, Severity
from readiness.report.findings import FIXED, in_order
from readiness.report.text import code, prose, table

_MOST = 50
_SOON = timedelta(days=14)
_OTHER = "no control"
"""What findings are counted under that belong to no control family: of load, alarms, correctness."""


def findings_section(record: Record) -> str:
    """Return the section, or nothing if there was, and is, no finding."""
    found = in_order(record.results)
    if not found and not record.fixed:
        return ""
    opened = [(gate, each) for gate, each in found if each.disposition is Disposition.OPEN]
    disposed = [(gate, each) for gate, each in found if each.disposition is not Disposition.OPEN]
    parts = [
        "## Findings",
        _counts(found, record.fixed),
        _by_family(found),
        _limits(record),
        _open(opened),
        _disposed(disposed, record.started_at.date()),
        _fixed(record),
    ]
    return "\n\n".join(part for part in parts if part)


def _counts(found: Sequence[tuple[str, Disposed]], fixed: Sequence[Fixed]) -> str:
    """Return how many findings there are, by severity and disposition; of the worst two also if there is none."""
    tally = Counter((each.finding.severity, str(each.disposition)) for _, each in found)
    tally.update((each.finding.severity, FIXED) for each in fixed)
    standings = [*map(str, Disposition), FIXED]
    rows = [
        (str(severity), *(str(tally[severity, standing]) for standing in standings))
        for severity in Severity
        if severity in (Severity.CRITICAL, Severity.HIGH) or any(tally[severity, each] for each in standings)
    ]
    return table(("severity", *standings), rows)


def _by_family(found: Sequence[tuple[str, Disposed]]) -> str:
    """Return how many findings are open in each control family."""
    tally = Counter(
        (str(each.finding.family or _OTHER), each.finding.severity)
        for _, each in found
        if each.disposition is Disposition.OPEN
    )
    families = dict.fromkeys(str(each.finding.family or _OTHER) for _, each in found)
    rows = [
        (family, *(str(tally[family, severity]) for severity in Severity))
        for family in sorted(families, key=lambda name: (name == _OTHER, name))
    ]
    return "Open, by control family:\n\n" + table(("control family", *map(str, Severity)), rows) if rows else ""


def _limits(record: Record) -> str:
    said = [
        f"- `{result.gate}`: {prose(each)}"
        for result in record.results
        for each in decide.exceeded(result.judgement.limits, result.findings)
    ]
    return "More are open than the plan allows:\n\n" + "\n".join(said) if said else ""


def _open(found: Sequence[tuple[str, Disposed]]) -> str:
    if not found:
        return "### Open\n\nNone."
    rows = [
        (
            str(each.finding.severity),
            f"`{gate}`",
            code(each.finding.rule),
            code(each.finding.subject),
            prose(each.finding.message),
            prose(each.finding.help),
        )
        for gate, each in found[:_MOST]
    ]
    head = ("severity", "gate", "rule", "subject", "what is wrong", "how to mend it")
    return f"### Open\n\n{table(head, rows)}{_more(found)}"


def _disposed(found: Sequence[tuple[str, Disposed]], today: date) -> str:
    rows = [_disposed_row(gate, each, today) for gate, each in found[:_MOST]]
    head = ("severity", "gate", "rule", "subject", "disposition", "why", "until")
    return f"### Disposed of by the register\n\n{table(head, rows)}{_more(found)}" if rows else ""


def _disposed_row(gate: str, each: Disposed, today: date) -> tuple[str, ...]:
    waiver = each.waiver
    why, until = "", ""
    if waiver is not None:
        proof = f" Proof: {waiver.evidence}" if waiver.evidence else ""
        why = f"{waiver.reason}{proof} (owner {waiver.owner}, approved by {waiver.approver})"
        until = f"{waiver.expires}{' ⚠ soon' if waiver.expires - today <= _SOON else ''}"
    finding = each.finding
    return (
        str(finding.severity),
        f"`{gate}`",
        code(finding.rule),
        code(finding.subject),
        str(each.disposition),
        prose(why),
        until,
    )


def _fixed(record: Record) -> str:
    if not record.fixed:
        return ""
    rows = [
        (str(each.finding.severity), f"`{each.gate}`", code(each.finding.rule), code(each.finding.subject))
        for each in record.fixed[:_MOST]
    ]
    head = ("severity", "gate", "rule", "subject")
    return f"### Fixed since `{record.compared_with}`\n\n{table(head, rows)}{_more(record.fixed)}"


def _more(found: Sequence[object]) -> str:
    left = len(found) - _MOST
    return f"\n\n… and {left} more, all in `findings.csv`." if left > 0 else ""
