"""What moved between two runs: outcomes, figures with their significance, findings. Pure, but for reading bundles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from readiness import evidence, stats, triage
from readiness.model import Measurement, Outcome, Record

_LOWER_IS_BETTER = frozenset({"ms", "s"})
_HIGHER_IS_BETTER = frozenset({"1/s"})


class Move(StrEnum):
    """Which way a figure went."""

    BETTER = "better"
    WORSE = "worse"
    NOISE = "within noise"
    """It differs by no more than chance explains."""
    SAME = "same"
    MOVED = "moved"
    """It differs, and nothing says which way is better, or how much of it is chance."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure of both runs.

    Attributes:
        gate: The gate that measured it.
        name: What it is called.
        unit: Of both values.
        old: Before.
        new: Now.
        move: Which way it went.
        tested: Chance was ruled out, or not, by both runs' 95 % intervals; False = there is nothing to test with.
    """

    gate: str
    name: str
    unit: str
    old: float
    new: float
    move: Move
    tested: bool

    @property
    def change(self) -> float | None:
        """Relative change; None = there is no such thing, as the old value was zero."""
        return None if self.old == 0 else self.new / self.old - 1


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two runs side by side.

    Attributes:
        old: The earlier run's record.
        new: The later one's.
        doubts: Why figures of the two may not be comparable.
        outcomes: Gate -> its outcome in both; None = it was not asked.
        figures: What both measured.
        only_old: ``gate name`` of figures that only the earlier run has.
        only_new: ``gate name`` of figures that only the later one has.
        findings: How findings differ.
    """

    old: Record
    new: Record
    doubts: tuple[str, ...]
    outcomes: dict[str, tuple[Outcome | None, Outcome | None]]
    figures: tuple[Figure, ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]
    findings: triage.Diff


def compare_bundles(old: Path, new: Path) -> Comparison:
    """Compare two evidence bundles.

    Raises:
        EvidenceError: one of them is none, or was altered.
    """
    return compare(_as_decided(old), _as_decided(new))


def _as_decided(bundle: Path) -> Record:
    """Return the record of a bundle with the verdict that people came to since, if they did."""
    evidence.check_manifest(bundle)
    record, decision = evidence.read_record(bundle), evidence.read_decision(bundle)
    return record if decision is None else replace(record, verdict=decision.verdict, reasons=decision.reasons)


def compare(old: Record, new: Record) -> Comparison:
    """Compare two records, figure by figure."""
    before, after = _measured(old), _measured(new)
    was, came = ({each.gate: each.outcome for each in record.results} for record in (old, new))
    return Comparison(
        old=old,
        new=new,
        doubts=tuple(_doubts(old, new)),
        outcomes={gate: (was.get(gate), came.get(gate)) for gate in {**was, **came}},
        figures=tuple(
            _figure(gate, before[gate, name], after[gate, name]) for gate, name in before if (gate, name) in after
        ),
        only_old=tuple(f"{gate} {name}" for gate, name in before if (gate, name) not in after),
        only_new=tuple(f"{gate} {name}" for gate, name in after if (gate, name) not in before),
        findings=triage.compared(old.results, new.results),
    )


def _measured(record: Record) -> dict[tuple[str, str], Measurement]:
    return {(result.gate, each.name): each for result in record.results for each in result.judgement.measurements}


def _doubts(old: Record, new: Record) -> Iterator[str]:
    if old.environment is not new.environment:
        yield f"one run was on {old.environment}, the other on {new.environment}"
    if old.time_scale != new.time_scale:
        yield f"waiting times were shortened {old.time_scale:g}-fold in one run, {new.time_scale:g}-fold in the other"
    if old.plan_digest != new.plan_digest:
        yield "the plans differ: thresholds, load or drills may be others"
    if old.harness_version != new.harness_version:
        yield f"one run was made by version {old.harness_version}, the other by {new.harness_version}"


def _figure(gate: str, old: Measurement, new: Measurement) -> Figure:
    tested = _apart(old, new)
    return Figure(
        gate=gate,
        name=old.name,
        unit=new.unit,
        old=old.value,
        new=new.value,
        move=_move(old, new, tested),
        tested=tested is not None,
    )


def _move(old: Measurement, new: Measurement, apart: bool | None) -> Move:
    if old.value == new.value:
        return Move.SAME
    if apart is None or old.unit != new.unit:
        return Move.MOVED
    if not apart:
        return Move.NOISE
    better = _better(old)
    if better is None:
        return Move.MOVED
    return Move.BETTER if (new.value < old.value) == (better == "lower") else Move.WORSE


def _better(measurement: Measurement) -> str | None:
    """Return which way is better, ``lower`` or ``higher``; None = nobody knows."""
    name = measurement.name.rpartition("/")[2]
    if measurement.unit in _LOWER_IS_BETTER or measurement.comparison in ("<=", "<") or "error" in name:
        return "lower"
    if measurement.unit in _HIGHER_IS_BETTER or measurement.comparison == ">=" or "hit" in name:
        return "higher"
    return None


def _apart(old: Measurement, new: Measurement) -> bool | None:
    """Say whether both 95 % intervals lie apart, which chance brings about in less than one of 100 such pairs.

    None = one of the two figures has no interval.
    """
    one, other = _interval(old), _interval(new)
    if one is None or other is None:
        return None
    return one[1] < other[0] or other[1] < one[0]


def _interval(measurement: Measurement) -> tuple[float, float] | None:
    if measurement.interval is not None:
        return measurement.interval
    if measurement.unit == "ratio" and measurement.samples > 0 and 0 <= measurement.value <= 1:
        return stats.share_interval(measurement.value, measurement.samples)
    return None


def told(comparison: Comparison) -> Iterator[str]:
    """Yield the comparison as lines of Markdown: what got worse first, what is chance counted only."""
    old, new = comparison.old, comparison.new
    yield f"# {old.run_id} -> {new.run_id}"
    yield ""
    yield f"{old.outcome} ({old.verdict}) -> {new.outcome} ({new.verdict})"
    if comparison.doubts:
        yield ""
        yield from (f"> **Beware:** {doubt}." for doubt in comparison.doubts)
    changed = {gate: pair for gate, pair in comparison.outcomes.items() if pair[0] is not pair[1]}
    yield from _section(
        "Gates that changed", [f"- `{gate}`: {_name(a)} -> {_name(b)}" for gate, (a, b) in changed.items()]
    )
    for move, title in (
        (Move.WORSE, "Worse, beyond chance"),
        (Move.BETTER, "Better, beyond chance"),
        (Move.MOVED, "Moved; nothing says whether by chance"),
    ):
        yield from _section(title, _table([each for each in comparison.figures if each.move is move]))
    noise = sum(each.move is Move.NOISE for each in comparison.figures)
    same = sum(each.move is Move.SAME for each in comparison.figures)
    yield ""
    yield f"{noise} figures differ by no more than chance explains, {same} are the same."
    for title, names in (("Measured before only", comparison.only_old), ("Measured now only", comparison.only_new)):
        yield from _section(title, [f"- {name}" for name in names])
    findings = comparison.findings
    yield from _section(
        "Findings",
        [
            f"- {said}: {each.severity} `{each.rule}` {each.subject}"
            for said, found in (
                ("new", findings.new),
                ("fixed", tuple(each.finding for each in findings.fixed)),
                ("unknown", findings.unseen),
            )
            for each in found
        ],
    )
    yield ""
    yield (
        f"{len(findings.new)} findings new, {len(findings.fixed)} fixed, {len(findings.unchanged)} unchanged, "
        f"{len(findings.unseen)} not found again by a gate that has gaps"
    )


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from ("", f"## {title}", "", *lines)


def _table(figures: list[Figure]) -> list[str]:
    if not figures:
        return []
    ordered = sorted(figures, key=lambda each: -abs(each.change or 0))
    cells = (
        (each.gate, each.name, _value(each.old), _value(each.new), each.unit, _percent(each.change)) for each in ordered
    )
    rows = [f"| {' | '.join(row)} |" for row in cells]
    return ["| gate | figure | before | now | unit | change |", "|---|---|--:|--:|---|--:|", *rows]


def _name(outcome: Outcome | None) -> str:
    return "not asked" if outcome is None else str(outcome)


def _value(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"


def _percent(change: float | None) -> str:
    return "" if change is None else f"{change:+.1%}"
