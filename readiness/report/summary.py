"""A record as a small JSON document for other programs: verdict, gates, thresholds, counts, digests."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import TypeAdapter

from readiness.model import (
    Disposition,
    Environment,
    GateResult,
    Instant,
    Outcome,
    Record,
    Severity,
    Verdict,
    record,
)
from readiness.report.thresholds import met


@record
class GateSummary:
    """What one gate came to.

    Attributes:
        outcome: ``not-asked`` for a required gate that the run never came to.
        examined: How many things it looked at.
        open_findings: How many findings are open.
        gaps: How many blindnesses it had.
    """

    id: str
    required: bool
    outcome: Literal["passed", "failed", "inconclusive", "not-asked"]
    examined: int = 0
    open_findings: int = 0
    gaps: int = 0


@record
class ThresholdSummary:
    """A figure that was held against a threshold.

    Attributes:
        samples: How many samples the figure rests on.
    """

    gate: str
    name: str
    value: float
    comparison: str
    threshold: float
    unit: str
    met: bool
    samples: int


@record
class FindingCounts:
    """How many findings there are.

    Attributes:
        open: Open ones, by severity; every severity is there.
        waived: Accepted by the register.
        false_positive: Proven to be none.
        fixed: Of an earlier run, and gone.
    """

    open: dict[Severity, int]
    waived: int
    false_positive: int
    fixed: int


@record
class Digests:
    """What was judged, and by which rules.

    Attributes:
        plan: Of the plan.
        waivers: Of the register.
        templates: File name -> digest of each template.
    """

    plan: str
    waivers: str
    templates: dict[str, str]


@record
class Summary:
    """What a run came to. ``readiness/data/summary.schema.json`` is its published schema.

    Attributes:
        outcome: Of the required gates.
        reasons: Why it is not GO.
        leftovers: What may still exist.
    """

    schema: Literal["readiness.summary/v1"]
    run_id: str
    service: str
    verdict: Verdict
    outcome: Outcome
    environment: Environment
    time_scale: float
    interrupted: bool
    harness_version: str
    commit: str
    dirty: bool
    image: str
    started_at: Instant
    decided_at: Instant
    gates: tuple[GateSummary, ...]
    thresholds: tuple[ThresholdSummary, ...]
    findings: FindingCounts
    gaps: int
    reasons: tuple[str, ...]
    leftovers: tuple[str, ...]
    digests: Digests


def summary(record: Record, service: str) -> Summary:
    """Return the summary of a record.

    Args:
        record: The decision document.
        service: Name of what was judged.
    """
    asked = {result.gate for result in record.results}
    missing = (gate for gate in record.required if gate not in asked)
    findings = [each for result in record.results for each in result.findings]
    standing = Counter(each.disposition for each in findings)
    is_open = Counter(each.finding.severity for each in findings if each.disposition is Disposition.OPEN)
    return Summary(
        schema="readiness.summary/v1",
        run_id=record.run_id,
        service=service,
        verdict=record.verdict,
        outcome=record.outcome,
        environment=record.environment,
        time_scale=record.time_scale,
        interrupted=record.interrupted,
        harness_version=record.harness_version,
        commit=record.candidate.commit,
        dirty=record.candidate.dirty,
        image=record.candidate.image,
        started_at=record.started_at,
        decided_at=record.decided_at,
        gates=(
            *map(_gate, record.results),
            *(GateSummary(id=gate, required=True, outcome="not-asked") for gate in missing),
        ),
        thresholds=tuple(each for result in record.results for each in _thresholds(result)),
        findings=FindingCounts(
            open={severity: is_open[severity] for severity in Severity},
            waived=standing[Disposition.WAIVED],
            false_positive=standing[Disposition.FALSE_POSITIVE],
            fixed=len(record.fixed),
        ),
        gaps=sum(len(result.judgement.gaps) for result in record.results),
        reasons=record.reasons,
        leftovers=record.leftovers,
        digests=Digests(
            plan=record.plan_digest,
            waivers=record.waivers_digest,
            templates=record.candidate.template_digests,
        ),
    )


def as_summary(record: Record, service: str) -> bytes:
    """Return the summary of a record as JSON."""
    return TypeAdapter(Summary).dump_json(summary(record, service), indent=1) + b"\n"


def _gate(result: GateResult) -> GateSummary:
    return GateSummary(
        id=result.gate,
        required=result.required,
        outcome=result.outcome.value,
        examined=result.judgement.examined,
        open_findings=sum(each.disposition is Disposition.OPEN for each in result.findings),
        gaps=len(result.judgement.gaps),
    )


def _thresholds(result: GateResult) -> list[ThresholdSummary]:
    return [
        ThresholdSummary(
            gate=result.gate,
            name=each.name,
            value=each.value,
            comparison=each.comparison or "",
            threshold=each.threshold,
            unit=each.unit,
            met=met(each),
            samples=each.samples,
        )
        for each in result.judgement.measurements
        if each.threshold is not None
    ]
