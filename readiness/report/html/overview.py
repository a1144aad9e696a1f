"""The first page of the report: verdict, what is missing, gates, thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from readiness.decide import rehearsal_complete
from readiness.model import Decision, Disposition, Environment, GateResult, Outcome, Record, Severity, Verdict
from readiness.report.html import blocks
from readiness.report.html.blocks import Note, Section, Table, Text, Tone, Unobserved
from readiness.report.html.content import Content
from readiness.report.markdown import headline
from readiness.report.thresholds import Standing, Threshold, margin, thresholds

_GAPS = {
    (True, True): "should have been seen and were not",
    (True, False): "all that was asked was seen",
    (False, False): "nothing was asked",
}
"""Whether gates were asked, and whether they had gaps -> what is said of it."""


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One thing that a meeting asks first, and its answer."""

    question: str
    answer: str
    beside: str
    tone: Tone
    link: str


@dataclass(frozen=True, kw_only=True)
class Head:
    """The verdict and what it rests on, in a few lines."""

    service: str
    verdict: str
    tone: Tone
    said: str
    emulated: str
    tiles: Sequence[Tile]


def head(content: Content) -> Head:
    """Return the verdict. A rehearsal says that it is one before it says how it went."""
    record = content.record
    return Head(
        service=content.plan.service.name,
        verdict=str(record.verdict),
        tone="good" if record.verdict is Verdict.GO else "bad",
        said=_said(record, content.decision),
        emulated=_emulated(record),
        tiles=(_gate_tile(record), _threshold_tile(content), *_finding_tiles(content), _sign_tile(content)),
    )


def _said(record: Record, decision: Decision) -> str:
    if rehearsal_complete(decision):
        return "The rehearsal is complete, sign-off included: what was seen here cannot show more than that."
    if decision.verdict is Verdict.GO:
        return "Every required gate passed, the checklist is done, and everybody signed go."
    if record.environment is Environment.EMULATED:
        return f"{headline(record).partition(' (')[0]}: what was seen here cannot show more than that."
    words = {
        Outcome.PASSED: "Every required gate passed.",
        Outcome.FAILED: "A required gate failed.",
        Outcome.INCONCLUSIVE: "There is no reliable verdict: something that should have been seen was not.",
    }
    return words[record.outcome]


def _emulated(record: Record) -> str:
    if record.environment is not Environment.EMULATED:
        return ""
    scale = f", with waiting times shortened {record.time_scale:g}-fold" if record.time_scale != 1 else ""
    return (
        f"This run was made on the embedded AWS{scale}. It rehearses the procedure; it is no evidence about AWS or "
        "about production."
    )


def _gate_tile(record: Record) -> Tile:
    by_id = {result.gate: result for result in record.results}
    outcomes = [by_id[gate].outcome if gate in by_id else Outcome.INCONCLUSIVE for gate in record.required]
    passed = outcomes.count(Outcome.PASSED)
    others = [
        f"{outcomes.count(outcome)} {outcome}"
        for outcome in (Outcome.FAILED, Outcome.INCONCLUSIVE)
        if outcome in outcomes
    ]
    return Tile(
        question="Required gates",
        answer=f"{passed} of {len(outcomes)}",
        beside=", ".join(others) or "passed",
        tone="bad" if Outcome.FAILED in outcomes else "good" if outcomes and passed == len(outcomes) else "unknown",
        link="gates",
    )


def _threshold_tile(content: Content) -> Tile:
    found = thresholds(content.record.results, content.plan)
    counts = {standing: sum(each.standing is standing for each in found) for standing in Standing}
    others = [f"{counts[standing]} {standing}" for standing in Standing if standing is not Standing.MET]
    met = counts[Standing.MET]
    unasked = _unasked(content.record)
    whole = bool(found) and met == len(found) and not unasked
    return Tile(
        question="Thresholds",
        answer=f"{met} of {len(found)}",
        beside=", ".join([each for each in others if not each.startswith("0 ")] or ["met"]) + unasked,
        tone="bad" if counts[Standing.MISSED] else "good" if whole else "unknown",
        link="thresholds",
    )


def _unasked(record: Record) -> str:
    """Return that required gates were not asked, so that what they would have seen is missing from every count."""
    number = len(set(record.required) - {result.gate for result in record.results})
    if not number:
        return ""
    return f"; {blocks.count(number, 'required gate')} not asked"


def _finding_tiles(content: Content) -> tuple[Tile, Tile]:
    record, blocking = content.record, content.plan.blocking_severities
    found = [each for result in record.results for each in result.findings]
    opened = [each.finding.severity for each in found if each.disposition is Disposition.OPEN]
    disposed = len(found) - len(opened)
    worst = sum(severity in blocking for severity in opened)
    gaps = sum(len(result.judgement.gaps) for result in record.results)
    unasked = _unasked(record)
    names = " or ".join(str(severity).capitalize() for severity in Severity if severity in blocking)
    findings = Tile(
        question=f"Open {names or 'blocking'} findings",
        answer=str(worst),
        beside=f"{len(opened) - worst} open below that, {disposed} disposed of{unasked}",
        tone="bad" if worst else "unknown" if unasked or not record.results else "good",
        link="findings",
    )
    unseen = Tile(
        question="Gaps",
        answer=str(gaps),
        beside=_GAPS[bool(record.results), bool(gaps)] + unasked,
        tone="unknown" if gaps or unasked or not record.results else "good",
        link="missing",
    )
    return findings, unseen


def _sign_tile(content: Content) -> Tile:
    owners = content.decision.owners
    given = [each.filed.signature for each in content.decision.signatures if each.in_force]
    count = sum(each.decision == "go" for each in given)
    against = len(given) - count
    return Tile(
        question="Signatures",
        answer=f"{count} of {len(owners)}",
        beside="signed go" + (f", {against} no-go" if against else ""),
        tone="bad" if against else "good" if owners and count == len(owners) else "unknown",
        link="sign-off",
    )


# --- what is missing -------------------------------------------------------------------------------------------------


def missing(content: Content) -> Section:
    """Return why the verdict is not GO, what may still exist, and what was not seen."""
    record = content.record
    found: list[object] = []
    if record.leftovers:
        found.append(Note(tone="bad", words=Markup("Something of this run may still exist, and may still cost money.")))
        found.append(
            Table(
                caption="What may still exist",
                head=("what", "how to go on"),
                rows=[
                    (blocks.code(name), blocks.code(f"readiness teardown {_id(record)}")) for name in record.leftovers
                ],
            )
        )
    if record.reasons:
        found.append(blocks.Items(items=record.reasons))
    elif record.verdict is Verdict.GO:
        found.append(Text(words="Nothing stands between this candidate and production."))
    else:
        found.append(Unobserved(why="The record names no reason for its verdict."))
    gaps = [(result.gate, gap) for result in record.results for gap in result.judgement.gaps]
    if gaps:
        found.append(
            Table(
                caption="Gaps: what should have been seen and was not",
                head=("gate", "what", "why"),
                rows=[(blocks.code(gate), gap.what, gap.why) for gate, gap in gaps],
            )
        )
    title = "What is missing" if record.reasons else "What was missing"
    return Section(id="missing", title=title, blocks=found)


def _id(record: Record) -> str:
    return record.run_id if record.run_id != "unknown" else "RUN_ID"


# --- gates -----------------------------------------------------------------------------------------------------------


def gates(content: Content) -> Section:
    """Return every gate that was asked, and every required one that was not."""
    record = content.record
    asked = {result.gate for result in record.results}
    rows: list[Sequence[str | Markup]] = [_gate_row(result) for result in record.results]
    rows += [
        (
            blocks.code(gate),
            blocks.nothing(),
            blocks.badge("unknown", "not asked"),
            "yes",
            "0",
            blocks.nothing(),
            blocks.nothing(),
        )
        for gate in record.required
        if gate not in asked
    ]
    table = Table(
        caption="Gates of this run",
        head=("gate", "question", "outcome", "required", "examined", "took", "evidence"),
        rows=rows,
        numeric=frozenset({4, 5}),
        look="gates",
    )
    elsewhere = [result for result in record.results if result.gate != "load"]  # its section tells its notes
    notes = [f"{result.gate}: {note}" for result in elsewhere for note in result.judgement.notes]
    found: list[object] = [table] if rows else [Unobserved(why="No gate was asked.")]
    if notes:
        found.append(blocks.Items(items=notes))
    return Section(id="gates", title="Gates", blocks=found)


def _gate_row(result: GateResult) -> Sequence[str | Markup]:
    seconds = (result.ended_at - result.started_at).total_seconds()
    return (
        blocks.code(result.gate),
        result.question,
        blocks.of_outcome(result.outcome),
        "yes" if result.required else "no",
        f"{result.judgement.examined:,}",
        f"{seconds:.1f} s" if seconds else blocks.nothing(),
        blocks.code(result.observation) if result.observation else "none",
    )


# --- thresholds ------------------------------------------------------------------------------------------------------


def threshold_section(content: Content) -> Section:
    """Return every threshold with its figure."""
    found = thresholds(content.record.results, content.plan)
    order = list(Standing)
    shown = sorted(found, key=lambda each: order.index(each.standing))
    table = Table(
        caption="Thresholds, fixed before the run; those that were not met first",
        head=("what", "measured", "limit", "met?", "margin", "samples", "95 % confidence", "gate"),
        rows=[_threshold_row(each) for each in shown],
        numeric=frozenset({1, 2, 4, 5, 6}),
        look="thresholds",
    )
    explained = Text(
        words="The margin is how far the figure is on the right side of its limit, as a share of the limit. A figure "
        "whose gate held it to prove nothing counts as not proven, whatever its value."
    )
    return Section(
        id="thresholds",
        title="Thresholds",
        blocks=[table, explained] if found else [Unobserved(why="No figure was held against a threshold.")],
    )


def _threshold_row(each: Threshold) -> Sequence[str | Markup]:
    measured = each.measured
    said = blocks.of_standing(each.standing)
    if each.why:
        said = blocks.lines(said, blocks.small(each.why))
    if measured is None or measured.threshold is None or measured.comparison is None:
        none = blocks.nothing()
        return each.name, none, each.limit or none, said, none, none, none, blocks.code(each.gate)
    left = margin(measured)
    return (
        each.name,
        blocks.measured(measured),
        blocks.data(measured.threshold, each.limit),
        said,
        blocks.nothing() if left is None else blocks.data(left, f"{left:+.0%}"),
        blocks.data(measured.samples, f"{measured.samples:,}"),
        blocks.between(measured),
        blocks.code(each.gate),
    )
