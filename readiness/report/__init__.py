"""A record, told to people: each module renders one form of it."""

from collections.abc import Collection, Sequence

from readiness import evidence
from readiness.model import Decision, Fixed, GateResult, Plan, Record, Severity
from readiness.report.decision import go_no_go, said
from readiness.report.findings import as_csv, as_json
from readiness.report.junit import as_junit
from readiness.report.markdown import headline, markdown
from readiness.report.sarif import as_sarif
from readiness.report.statement import statement
from readiness.report.summary import as_summary

__all__ = ["as_summary", "findings_files", "findings_of", "go_no_go", "headline", "markdown", "said", "told_of"]


def told_of(record: Record, plan: Plan, decision: Decision) -> dict[str, bytes]:
    """Return what every bundle holds beside its record and reports, all of it computed: file name -> content."""
    return {
        **findings_of(record, plan.blocking_severities),
        evidence.GO_NO_GO: go_no_go(decision).encode(),
        evidence.STATEMENT: statement(record),
        evidence.SUMMARY: as_summary(record, plan.service.name),
    }


def findings_of(record: Record, blocking: Collection[Severity]) -> dict[str, bytes]:
    """Return the findings of a record in every form that other programs read: file name -> content."""
    known = None if record.compared_with is None else record.known
    return findings_files(record.results, blocking, record.fixed, known)


def findings_files(
    results: Sequence[GateResult],
    blocking: Collection[Severity],
    fixed: Sequence[Fixed] = (),
    known: Collection[str] | None = None,
) -> dict[str, bytes]:
    """Return the findings of gates in every form that other programs read: file name -> content.

    Args:
        results: What the gates came to.
        blocking: Severities of which an open finding fails its gate.
        fixed: Findings of an earlier run that are gone.
        known: Marks of findings that the earlier run had too; None = there was nothing to compare with.
    """
    return {
        "findings.json": as_json(results, fixed),
        "findings.csv": as_csv(results, fixed),
        "findings.sarif": as_sarif(results, fixed, known),
        "findings.junit.xml": as_junit(results, blocking),
    }
