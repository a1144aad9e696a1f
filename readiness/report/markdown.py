"""A record as Markdown: verdict first, then what is missing, then each gate with its figures and findings."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from readiness.model import (
    Decision,
    Disposition,
    Environment,
    GateResult,
    Measurement,
    Outcome,
    Plan,
    Record,
)
from readiness.report import decision as decided
from readiness.report import registered
from readiness.report.figure import figure, interval
from readiness.report.findings_section import findings_section
from readiness.report.runbook_section import runbook_section
from readiness.report.text import code, prose, table
from readiness.report.thresholds import SYMBOLS, margin, met

_MARKS = {Outcome.PASSED: "✅ passed", Outcome.FAILED: "❌ failed", Outcome.INCONCLUSIVE: "❔ inconclusive"}


def markdown(
    record: Record, plan: Plan, decision: Decision, root: Path | None = None, gone_live: GateResult | None = None
) -> str:
    """Return the report of a run, of what people made of it since, and of what was found in production.

    Args:
        record: The record.
        plan: The plan of the run.
        decision: What the record and the people's words come to.
        root: Folder of its bundle, for what stands in observations only; None = those parts are left out.
        gone_live: What the look at production came to; None = nobody has looked.
    """
    parts = [
        _head(record, plan),
        _reasons(record),
        "" if gone_live is None else _gone_live(gone_live),
        _gates(record),
        _measurements(record.results),
        findings_section(record),
        _gaps(record),
        runbook_section(record, plan, root),
        decided.checklist(decision),
        decided.criteria(decision),
        _waivers(record),
        decided.risks(decision) if decision.risks else "",
        decided.signatures(decision),
        _provenance(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _gone_live(found: GateResult) -> str:
    title = "## After the cutover\n\n"
    lines = [f"{_MARKS[found.outcome]}: production was looked at on {found.ended_at:%Y-%m-%d %H:%M} UTC", ""]
    lines += [f"- {prose(note)}" for note in found.judgement.notes]
    lines += [
        f"- {each.disposition} {each.finding.severity}: {code(each.finding.subject)}: {prose(each.finding.message)}"
        for each in found.findings
    ]
    lines += [f"- not seen: {prose(gap.what)}: {prose(gap.why)}" for gap in found.judgement.gaps]
    return title + "\n".join(lines).rstrip()


def headline(record: Record) -> str:
    """Return the verdict in a few words."""
    if record.environment is Environment.EMULATED:
        words = {
            Outcome.PASSED: "Rehearsal passed",
            Outcome.FAILED: "Rehearsal failed",
            Outcome.INCONCLUSIVE: "Rehearsal inconclusive",
        }
        return f"{words[record.outcome]} ({record.verdict} for production)"
    return str(record.verdict)


def _head(record: Record, plan: Plan) -> str:
    lines = [f"# {plan.service.name}: {headline(record)}", ""]
    if record.environment is Environment.EMULATED:
        scale = f", with waiting times shortened {record.time_scale:g}-fold" if record.time_scale != 1 else ""
        lines += [
            f"> **Emulated.** This run was made on the embedded AWS{scale}. It rehearses the procedure; it is no "
            "evidence about AWS or about production.",
            "",
        ]
    seconds = (record.decided_at - record.started_at).total_seconds()
    lines.append(
        f"Run `{record.run_id}` · {record.started_at:%Y-%m-%d %H:%M} UTC · {seconds:.0f} s · "
        f"commit `{record.candidate.commit[:12]}`{' with uncommitted changes' if record.candidate.dirty else ''} · "
        f"image `{record.candidate.image}`"
    )
    return "\n".join(lines)


def _reasons(record: Record) -> str:
    if record.leftovers:
        left = "\n".join(f"- {prose(name)}" for name in record.leftovers)
        warning = f"## May still exist\n\n{left}\n\n`readiness teardown {record.run_id}` finishes the teardown.\n\n"
    else:
        warning = ""
    if not record.reasons:
        return warning + "Nothing stands between this candidate and production."
    return warning + "## Why it is not GO\n\n" + "\n".join(f"- {prose(reason)}" for reason in record.reasons)


def _gates(record: Record) -> str:
    rows = []
    for result in record.results:
        seconds = (result.ended_at - result.started_at).total_seconds()
        evidence = f"[{result.observation}]({result.observation})" if result.observation else "none"
        need = "yes" if result.required else "no"
        examined = str(result.judgement.examined)
        rows.append(
            (
                f"`{result.gate}`",
                prose(result.question),
                _MARKS[result.outcome],
                need,
                examined,
                f"{seconds:.1f} s",
                evidence,
            )
        )
    asked = {result.gate for result in record.results}
    rows += [(f"`{gate}`", "", "❔ not asked", "yes", "0", "", "none") for gate in record.required if gate not in asked]
    head = ("gate", "question", "outcome", "required", "examined", "took", "observation")
    notes = "".join(
        f"\n- `{result.gate}`: {prose(note)}" for result in record.results for note in result.judgement.notes
    )
    return "## Gates\n\n" + table(head, rows) + (f"\n{notes}" if notes else "")


def _measurements(results: Sequence[GateResult]) -> str:
    """Return what was held against a threshold, and below it the figures that were not."""
    found = [(result.gate, each) for result in results for each in result.judgement.measurements]
    judged = [
        (f"`{gate}`", each.name, figure(each.value, each.unit), _between(each), *_against(each), f"{each.samples:,}")
        for gate, each in found
        if each.threshold is not None
    ]
    other = [(gate, each) for gate, each in found if each.threshold is None]
    plain = [
        (f"`{gate}`", each.name, figure(each.value, each.unit), f"{each.samples:,}")
        for gate, each in other
        if not _PERCENTILE.fullmatch(each.name) and each.unit != _COVERAGE_UNIT
    ]
    parts = []
    if judged:
        head = ("gate", "what", "measured", "95 % confidence", "threshold", "margin", "samples")
        parts.append("## Thresholds\n\n" + table(head, judged))
    parts.append(_percentiles(other))
    parts.append(_coverage(results, other))
    if plain:
        parts.append("## Other figures\n\n" + table(("gate", "what", "measured", "samples"), plain))
    return "\n\n".join(part for part in parts if part)


_PERCENTILE = re.compile(r"(?P<of>(?:.*/)?(?:.*(?=-))?)-?(?P<percentile>p[0-9.]+)")


def _percentiles(found: Sequence[tuple[str, Measurement]]) -> str:
    """Return the percentiles as one table: a row for each distribution, a column for each percentile."""
    rows: dict[tuple[str, str], dict[str, Measurement]] = {}
    for gate, each in found:
        if match := _PERCENTILE.fullmatch(each.name):
            rows.setdefault((gate, match["of"].strip("/") or "all"), {})[match["percentile"]] = each
    if not rows:
        return ""
    columns = sorted({name for row in rows.values() for name in row}, key=lambda name: float(name[1:]))
    lines = [
        (
            f"`{gate}`",
            of,
            *(_with_bounds(row[name]) if name in row else "" for name in columns),
            f"{next(iter(row.values())).samples:,}",
        )
        for (gate, of), row in rows.items()
    ]
    return (
        "## Percentiles\n\nIn brackets: between which values the true percentile lies with 95 % confidence (order "
        "statistics); none where there are too few samples to tell.\n\n"
        + table(("gate", "of", *columns, "samples"), lines)
    )


_COVERAGE_UNIT = "results"
"""Of the measurements ``<control family>.<examined, passed, failed or skipped>``, whose samples are resources."""


def _coverage(results: Sequence[GateResult], found: Sequence[tuple[str, Measurement]]) -> str:
    """Return how much of each security control was looked at: a row for each gate and control family."""
    rows: dict[tuple[str, str], dict[str, Measurement]] = {}
    for gate, each in found:
        if each.unit == _COVERAGE_UNIT:
            family, _, what = each.name.rpartition(".")
            rows.setdefault((gate, family), {})[what] = each
    if not rows:
        return ""
    waived = Counter(
        (result.gate, str(each.finding.family))
        for result in results
        for each in result.findings
        if each.disposition is Disposition.WAIVED
    )
    columns = ("examined", "passed", "failed", "skipped")
    lines = [
        (
            f"`{gate}`",
            family,
            f"{next(iter(row.values())).samples:,}",
            *(f"{row[column].value:,.0f}" if column in row else "" for column in columns),
            str(waived[gate, family]),
        )
        for (gate, family), row in rows.items()
    ]
    head = ("gate", "control family", "resources", *columns, "findings waived")
    return (
        "## Security controls\n\nHow many answers of rules about resources there were. What failed is below, under "
        "Findings; several rules may see one fault.\n\n" + table(head, lines)
    )


def _with_bounds(each: Measurement) -> str:
    between = _between(each)
    return figure(each.value, each.unit) + (f" ({between})" if between else "")


def _between(each: Measurement) -> str:
    """Return a figure's confidence interval; empty where it is not known."""
    if each.interval is None:
        return ""
    return interval(*each.interval, each.unit)


def _against(each: Measurement) -> tuple[str, str]:
    """Return the threshold and how far the value is on its right side, in per cent of the threshold."""
    if each.threshold is None or each.comparison is None:
        return "", ""
    mark = "✅" if met(each) else "❌"
    left = margin(each)
    margin_text = "" if left is None else f"{left:+.0%}"
    return f"{mark} {SYMBOLS[each.comparison]} {figure(each.threshold, each.unit)}", margin_text


def _gaps(record: Record) -> str:
    rows = [
        (f"`{result.gate}`", prose(gap.what), prose(gap.why))
        for result in record.results
        for gap in result.judgement.gaps
    ]
    return "## Gaps: what should have been seen and was not\n\n" + table(("gate", "what", "why"), rows) if rows else ""


def _waivers(record: Record) -> str:
    """Return the faults that were accepted before the run: each waiver in force, with its owner and its end."""
    used = {each.waiver for result in record.results for each in result.findings if each.waiver is not None}
    parts = []
    if used:
        rows = [
            (code(w.rule), code(w.subject), prose(w.reason), prose(w.owner), prose(w.approver), str(w.expires))
            for w in sorted(used, key=lambda w: (w.expires, w.rule, w.subject))
        ]
        parts.append(
            "## Accepted by waiver\n\n" + table(("rule", "subject", "reason", "owner", "approver", "until"), rows)
        )
    if record.unused_waivers:
        idle = [(code(w.rule), code(w.subject), prose(w.owner), str(w.expires)) for w in record.unused_waivers]
        parts.append(
            "## Waivers that waive nothing\n\nExpired, or for a fault that is gone: delete them.\n\n"
            + table(("rule", "subject", "owner", "expires"), idle)
        )
    return "\n\n".join(parts)


def _registered(record: Record) -> str:
    rows = registered.rows(record.registration)
    if not rows:
        return "\n\nNothing shows that the plan was fixed before the run."
    return "\n\n" + table(("fixed before the run", "how"), [(code(path), prose(how)) for path, how in rows])


def _provenance(record: Record) -> str:
    rows = [
        ("plan", record.plan_digest),
        ("waivers", record.waivers_digest),
        *((name, digest) for name, digest in record.candidate.template_digests.items()),
        ("harness", record.harness_version),
    ]
    spans = [(span.name, f"{span.seconds:.1f} s") for span in record.spans]
    return (
        "## What this rests on\n\n"
        + table(("what", "digest or version"), [(name, f"`{value}`") for name, value in rows])
        + _registered(record)
        + "\n\n`readiness verify` re-hashes every file of this bundle, judges every observation and decides again."
        + "\n\n## Where the time went\n\n"
        + table(("part", "took"), spans)
    )
