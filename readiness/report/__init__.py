"""A record, told to people: each module renders one form of it."""

from collections.abc import Collection, Sequence

from readiness.model import GateResult, Severity
from readiness.report.findings import as_csv, as_json
from readiness.report.junit import as_junit
from readiness.report.markdown import headline, markdown
from readiness.report.sarif import as_sarif

__all__ = ["findings_files", "headline", "markdown"]


def findings_files(results: Sequence[GateResult], blocking: Collection[Severity]) -> dict[str, bytes]:
    """Return the findings of gates in every form that other programs read: file name -> content.

    Args:
        results: What the gates came to.
        blocking: Severities of which an open finding fails its gate.
    """
    return {
        "findings.json": as_json(results),
        "findings.csv": as_csv(results),
        "findings.sarif": as_sarif(results),
        "findings.junit.xml": as_junit(results, blocking),
    }
