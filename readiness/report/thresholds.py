"""Every threshold and what became of it: met, missed, not proven, not observed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from readiness.decide import margin, met
from readiness.model import (
    ErrorObjective,
    GateResult,
    LatencyChangeObjective,
    LatencyObjective,
    LoadObjective,
    Plan,
    Standing,
    Threshold,
    ThroughputObjective,
    UnhealthyHostsObjective,
)
from readiness.report.figure import figure

__all__ = ["SYMBOLS", "Standing", "Threshold", "margin", "met", "thresholds"]

SYMBOLS = {"<=": "≤", ">=": "≥", "<": "<"}
_LASTING = " (longest breach)"


def thresholds(results: Sequence[GateResult], plan: Plan) -> tuple[Threshold, ...]:
    """Return every threshold that a figure was held against, and every objective of a load that has no figure."""
    found = [each for result in results for each in _of_gate(result)]
    named = {each.name.removesuffix(_LASTING) for each in found if each.gate == "load"}
    asked = any(result.gate == "load" for result in results)
    for objective in plan.objectives:
        if not isinstance(objective, UnhealthyHostsObjective) and objective.id not in named:
            why = _doubt(results, objective.id) or ("no samples" if asked else "the gate load was not asked")
            limit = _limit_of(objective)
            found.append(Threshold(gate="load", name=objective.id, standing=Standing.UNOBSERVED, limit=limit, why=why))
    return tuple(found)


def _of_gate(result: GateResult) -> Iterator[Threshold]:
    for measured in result.judgement.measurements:
        if measured.threshold is None or measured.comparison is None:
            continue
        doubt = _doubt([result], measured.name.removesuffix(_LASTING))
        standing = Standing.UNPROVEN if doubt else Standing.MET if met(measured) else Standing.MISSED
        yield Threshold(
            gate=result.gate,
            name=measured.name,
            standing=standing,
            limit=_limit(measured.comparison, measured.threshold, measured.unit),
            measured=measured,
            margin_ratio=margin(measured),
            why=doubt,
        )


def _limit(comparison: str, threshold: float, unit: str) -> str:
    return f"{SYMBOLS[comparison]} {figure(threshold, unit)}"


def _limit_of(objective: LoadObjective) -> str:
    """Return what an objective asks for."""
    if isinstance(objective, LatencyObjective):
        return _limit("<=", objective.threshold / timedelta(milliseconds=1), "ms")
    if isinstance(objective, LatencyChangeObjective):
        return _limit("<=", objective.max_increase_ratio, "ratio")
    if isinstance(objective, ErrorObjective):
        return _limit("<=", objective.max_ratio, "ratio")
    if isinstance(objective, ThroughputObjective):
        return _limit(">=", objective.min_per_s, "1/s")
    return _limit(">=", objective.min_ratio, "ratio")


def _doubt(results: Sequence[GateResult], objective: str) -> str:
    """Return why the gate held an objective's figure to prove nothing; empty if it did not."""
    return next(
        (gap.why for result in results for gap in result.judgement.gaps if gap.what == f"objective {objective}"), ""
    )
