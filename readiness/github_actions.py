"""GitHub Actions is told what a run came to: the job's summary page, and outputs for the steps that follow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from readiness import evidence
from readiness.model import Record
from readiness.report.cut import cut

SUMMARY_LIMIT = 1024 * 1024
"""GitHub takes 1 MiB of a step.
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#adding-a-job-summary
"""


def tell(environment: Mapping[str, str], record: Record, bundle: Path) -> Iterator[str]:
    """Append to the files that GitHub Actions names, if it does; yield a sentence for each that cannot be written.

    Args:
        environment: Of this process: ``GITHUB_STEP_SUMMARY`` and ``GITHUB_OUTPUT``.
        record: What the run came to.
        bundle: Its sealed evidence.
    """
    for variable, text in (("GITHUB_STEP_SUMMARY", _summary), ("GITHUB_OUTPUT", _outputs)):
        if path := environment.get(variable, ""):
            try:
                with Path(path).open("ab") as file:
                    file.write(text(record, bundle, SUMMARY_LIMIT - file.tell()).encode())
            except OSError as error:
                yield f"{variable}: {path} cannot be written: {error.strerror}."


def _summary(record: Record, bundle: Path, room: int) -> str:
    report = (bundle / evidence.REPORT).read_text(encoding="utf-8")
    note = f"The whole report is {evidence.REPORT} in the evidence of run {record.run_id}."
    return cut(report, room - 1, note) + "\n"


def _outputs(record: Record, bundle: Path, room: int) -> str:
    values = {
        "verdict": str(record.verdict),
        "outcome": str(record.outcome),
        "run-id": record.run_id,
        "bundle": str(bundle.resolve()),
        "bundle-digest": evidence.bundle_digest(bundle),
    }
    return "".join(f"{name}={' '.join(value.splitlines())}\n" for name, value in values.items())
