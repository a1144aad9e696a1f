"""The go/no-go record as Markdown: the one page that is signed, from the verdict to what is missing."""

from __future__ import annotations

from collections.abc import Sequence

from readiness.decide import rehearsal_complete
from readiness.model import Coverage, Decision, Environment, ItemState, Outcome, Standing, Threshold, Verdict
from readiness.report.figure import figure
from readiness.report.text import code, prose, table

_OUTCOMES = {Outcome.PASSED: "✅ passed", Outcome.FAILED: "❌ failed", Outcome.INCONCLUSIVE: "❔ inconclusive"}
_ITEMS = {ItemState.DONE: "✅ done", ItemState.REHEARSED: "☑️ rehearsed", ItemState.OPEN: "❔ open"}
_STANDINGS = {
    Standing.MET: "✅ met",
    Standing.MISSED: "❌ missed",
    Standing.UNPROVEN: "❔ not proven",
    Standing.UNOBSERVED: "❔ not observed",
}
_COVERAGE = {
    Coverage.MET: "✅ Met",
    Coverage.PARTIAL: "☑️ Partial",
    Coverage.UNVERIFIED: "❔ Unverified",
    Coverage.UNMET: "❌ Unmet",
}


def go_no_go(decision: Decision) -> str:
    """Return the record for people."""
    parts = (
        _head(decision),
        _missing(decision),
        _gates(decision),
        _thresholds(decision.thresholds),
        checklist(decision),
        criteria(decision),
        _waivers(decision),
        risks(decision),
        signatures(decision),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def said(decision: Decision) -> str:
    """Return the verdict in a few words, with what a rehearsal of the whole procedure came to."""
    if rehearsal_complete(decision):
        return "NO-GO for production; the rehearsal is complete"
    if decision.environment is Environment.EMULATED:
        return f"{decision.verdict} for production (a rehearsal)"
    return str(decision.verdict)


def _head(decision: Decision) -> str:
    candidate = decision.candidate
    changed = " with uncommitted changes" if candidate.dirty else ""
    rows = [
        ("run", code(decision.run_id)),
        ("bundle", code(decision.bundle) if decision.bundle else "not sealed when this was written"),
        ("plan", code(decision.plan)),
        ("image", code(candidate.image)),
        ("commit", code(candidate.commit) + changed),
        ("environment", "AWS" if decision.environment is Environment.AWS else "embedded AWS (emulated)"),
        ("decided", f"{decision.decided_at:%Y-%m-%d %H:%M:%S} UTC"),
    ]
    return f"# Go/no-go: {prose(decision.service)}: {said(decision)}\n\n" + table(("what", "is"), rows)


def _missing(decision: Decision) -> str:
    left = "".join(f"\n- may still exist: {prose(name)}" for name in decision.leftovers)
    if decision.verdict is Verdict.GO:
        return "Nothing stands between this candidate and production." + (f"\n{left}" if left else "")
    return "## What is missing\n\n" + "\n".join(f"- {prose(reason)}" for reason in decision.reasons) + left


def _gates(decision: Decision) -> str:
    rows = [(code(each.gate), _OUTCOMES[each.outcome] if each.outcome else "❔ not asked") for each in decision.gates]
    return "## Required gates\n\n" + table(("gate", "outcome"), rows)


def _thresholds(found: Sequence[Threshold]) -> str:
    if not found:
        return "## Thresholds\n\nNo figure was held against a threshold."
    head = ("gate", "what", "measured", "limit", "margin", "samples", "standing")
    return "## Thresholds\n\n" + table(head, [_threshold_row(each) for each in found])


def _threshold_row(each: Threshold) -> Sequence[str]:
    measured = each.measured
    margin = "" if each.margin_ratio is None else f"{each.margin_ratio:+.0%}"
    standing = _STANDINGS[each.standing] + (f": {prose(each.why)}" if each.why else "")
    if measured is None:
        return code(each.gate), prose(each.name), "", each.limit, "", "0", standing
    value = figure(measured.value, measured.unit)
    return code(each.gate), prose(each.name), value, each.limit, margin, f"{measured.samples:,}", standing


def checklist(decision: Decision) -> str:
    """Return the go-live checklist with what became of each item."""
    rows = [
        (code(each.item.id), prose(each.item.text), _ITEMS[each.state], prose(each.why), _path(each.evidence))
        for each in decision.checklist
    ]
    head = ("item", "what", "state", "why", "evidence")
    return "## Checklist\n\n" + (table(head, rows) if rows else "The plan has no checklist.")


def criteria(decision: Decision) -> str:
    """Return the coverage matrix."""
    rows = [
        (
            each.criterion.type,
            prose(each.criterion.text),
            _COVERAGE[each.status],
            " ".join(_path(path) for path in each.evidence),
            prose("; ".join(each.notes)),
        )
        for each in decision.criteria
    ]
    head = ("type", "item", "status", "evidence", "notes")
    return "## Coverage matrix\n\n" + (table(head, rows) if rows else "The plan names no criteria.")


def _path(path: str) -> str:
    return code(path) if path else ""


def _waivers(decision: Decision) -> str:
    if not decision.waivers:
        return "## Waivers in force\n\nNo waiver disposes of a finding."
    rows = [
        (code(each.rule), code(each.subject), prose(each.owner), prose(each.approver), str(each.expires))
        for each in decision.waivers
    ]
    return "## Waivers in force\n\n" + table(("rule", "subject", "owner", "approver", "until"), rows)


def risks(decision: Decision) -> str:
    """Return the risks that were accepted with a signature."""
    if not decision.risks:
        return "## Residual risks\n\nNo signature accepts one."
    rows = [
        (code(each.id), prose(each.text), prose(each.owner), prose(each.mitigation), str(each.accepted_until))
        for each in decision.risks
    ]
    return "## Residual risks\n\n" + table(("risk", "what", "owner", "mitigation", "accepted until"), rows)


def signatures(decision: Decision) -> str:
    """Return who has to sign, who signed what and when, and whether it counts."""
    rows = []
    for role, owner in decision.owners.items():
        given = [each for each in decision.signatures if each.filed.signature.role == role]
        if not given:
            rows.append((prose(role), prose(owner.name), "missing", "", "", "", ""))
        for each in given:
            signature = each.filed.signature
            rows.append(
                (
                    prose(role),
                    prose(signature.name),
                    signature.decision,
                    f"{signature.at:%Y-%m-%d %H:%M} UTC",
                    "yes" if each.in_force else f"no: {prose(each.why)}",
                    code(each.filed.key) if each.filed.key else "none: a name only",
                    prose(signature.note),
                )
            )
    return "## Sign-off\n\n" + table(("role", "who", "decision", "when", "counts", "key", "note"), rows)
