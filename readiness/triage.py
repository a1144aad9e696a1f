"""What became of findings since an earlier run: new, fixed, unchanged, or no longer looked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.model import Finding, Fixed, GateResult


@dataclass(frozen=True, kw_only=True)
class Diff:
    """How the findings of two runs differ; worst first.

    Attributes:
        new: Were not there before.
        unchanged: Were there, and are.
        fixed: Were there, and are gone although their gate saw everything that it looks for.
        unseen: Were there, and are not found now; but their gate has gaps, so that this proves nothing.
    """

    new: tuple[Finding, ...]
    unchanged: tuple[Finding, ...]
    fixed: tuple[Fixed, ...]
    unseen: tuple[Finding, ...]


def since(bundle: Path, now: Sequence[GateResult]) -> Diff:
    """Compare the findings of gates with those of the same gates in an evidence bundle.

    Raises:
        EvidenceError: the bundle is none, or was altered.
    """
    evidence.check_manifest(bundle)
    record = evidence.read_record(bundle)
    asked = {result.gate for result in now}
    return compared([result for result in record.results if result.gate in asked], now)


def since_baseline(bundle: Path | None, now: Sequence[GateResult]) -> tuple[str | None, Diff | None]:
    """Return the id of an earlier run and how the findings differ; nothing of a bundle that is none, or was altered."""
    if bundle is None:
        return None, None
    try:
        return evidence.read_record(bundle).run_id, since(bundle, now)
    except EvidenceError:
        return None, None


def compared(before: Iterable[GateResult], now: Sequence[GateResult]) -> Diff:
    """Compare findings by fingerprint."""
    old = {each.finding.mark: (result.gate, each.finding) for result in before for each in result.findings}
    present = {each.finding.mark: each.finding for result in now for each in result.findings}
    saw_all = {result.gate for result in now if not result.judgement.gaps and result.judgement.examined > 0}
    gone = [(gate, finding) for mark, (gate, finding) in old.items() if mark not in present]
    return Diff(
        new=_sorted(finding for mark, finding in present.items() if mark not in old),
        unchanged=_sorted(finding for mark, finding in present.items() if mark in old),
        fixed=tuple(
            Fixed(gate=gate, finding=finding)
            for gate, finding in sorted(gone, key=lambda pair: _order(pair[1]))
            if gate in saw_all
        ),
        unseen=_sorted(finding for gate, finding in gone if gate not in saw_all),
    )


def _sorted(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    return tuple(sorted(findings, key=_order))


def _order(finding: Finding) -> tuple[int, str, str]:
    return finding.severity.rank, finding.rule, finding.subject
