"""What people answer for before the run: runbooks and waivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from readiness import evidence, runbook_index
from readiness.gates import runbooks as runbook_gate
from readiness.model import Disposition, GateResult, Waiver
from readiness.report.html import blocks
from readiness.report.html.blocks import Fold, Heading, Note, Section, Table, Text, Tone, Unobserved
from readiness.report.html.content import Content, Unseen
from readiness.runbook_index import Entry

# --- runbooks --------------------------------------------------------------------------------------------------------


def runbooks(content: Content) -> Section:
    """Return the index of the runbooks."""
    seen = content.observation(runbook_gate.GATE)
    result = content.result(runbook_gate.GATE.id)
    title, id_ = "Runbooks", "runbooks"
    if isinstance(seen, Unseen) or result is None:
        why = seen.why if isinstance(seen, Unseen) else "The gate runbooks was not asked."
        return Section(id=id_, title=title, blocks=[Unobserved(why=why)])
    listed = runbook_gate.index(seen, runbook_gate.settings_in(content.plan, evidence.PLAN))
    rows = [_runbook_row(entry, result) for entry in listed]
    nothing = blocks.nothing()
    rows += [
        (
            blocks.code(path),
            *[nothing] * 5,
            blocks.lines(blocks.badge("bad", "unreadable"), blocks.small(why)),
        )
        for path, why in seen.unreadable.items()
    ]
    table = Table(
        caption=f"Runbooks in {seen.folder}/, as they were on {seen.on}",
        head=runbook_index.HEAD,
        rows=rows,
        look="runbooks",
    )
    found: list[Any] = [table] if rows else [Unobserved(why=f"There is no runbook in {seen.folder}/.")]
    if any(entry.status == runbook_index.SAMPLE for entry in listed):
        words = "A sample review has no person behind it. It counts in a rehearsal; on AWS it counts as no review."
        found.append(Note(tone="warn", words=words))
    return Section(id=id_, title=title, badge=blocks.of_outcome(result.outcome), blocks=found)


def _runbook_row(entry: Entry, result: GateResult) -> Sequence[str | Markup]:
    tones: dict[str, Tone] = {runbook_index.REVIEWED: "good", runbook_index.SAMPLE: "warn"}
    when = blocks.lines(str(entry.rehearsed_on), blocks.small(blocks.code(entry.rehearsed_in)))
    status = blocks.badge(tones.get(entry.status, "bad"), entry.status)
    return (
        blocks.lines(entry.title, blocks.small(blocks.code(entry.path))),
        ", ".join(entry.alarms) or blocks.nothing(),
        entry.owner,
        entry.reviewer or "nobody",
        str(entry.reviewed_on) if entry.reviewed_on else blocks.nothing(),
        blocks.lines(when, blocks.small(entry.rehearsed)) if entry.rehearsed_on else "never",
        blocks.lines(status, _faults(entry.path, result)),
    )


def _faults(path: str, result: GateResult) -> Markup | str:
    """Return what the gate found about a runbook; that its review is a sample, its status says already."""
    found = [each for each in result.findings if each.finding.subject == path]
    told = [each for each in found if each.finding.rule != runbook_gate.SAMPLE_REVIEW]
    if not told:
        return "" if found else blocks.badge("good", "no finding")
    words = [
        f"{each.finding.message}{'' if each.disposition is Disposition.OPEN else f' ({each.disposition})'}"
        for each in told
    ]
    opened = any(each.disposition is Disposition.OPEN for each in told)
    said = blocks.badge("bad" if opened else "plain", blocks.count(len(told), "finding"))
    return blocks.lines(said, *(blocks.small(each) for each in words))


# --- waivers ---------------------------------------------------------------------------------------------------------


def waivers(content: Content) -> Section:
    """Return the waivers that disposed of something, and those that did not."""
    record = content.record
    used = {each.waiver: None for result in record.results for each in result.findings if each.waiver is not None}
    found: list[Any] = []
    if used:
        found.append(_waiver_table("In force: what the register disposes of, the soonest to end first", list(used)))
    else:
        found.append(Text(words="No waiver disposed of a finding in this run."))
    if record.unused_waivers:
        table = _waiver_table("Waivers that waive nothing", record.unused_waivers)
        words = "Expired, not yet in force, or for a fault that is gone: delete them, or mend their rule and subject."
        found += [Heading(title="Waivers that waive nothing"), Text(words=words), table]
    return Section(id="waivers", title="Waivers", blocks=found)


def _waiver_table(caption: str, listed: Sequence[Waiver]) -> Any:
    table = Table(
        caption=caption,
        head=("subject", "until", "owner", "approved by", "reason"),
        rows=[
            (
                blocks.lines(blocks.code(each.subject), blocks.small(blocks.code(each.rule))),
                blocks.lines(
                    str(each.expires),
                    blocks.small(each.disposition),
                    blocks.small(each.ticket) if each.ticket else "",
                ),
                each.owner,
                each.approver,
                blocks.lines(each.reason, blocks.small(f"proof: {each.evidence}") if each.evidence else ""),
            )
            for each in sorted(listed, key=lambda each: (each.expires, each.rule, each.subject))
        ],
        look="waivers",
    )
    return table if len(listed) <= 12 else Fold(summary=f"{caption} ({len(listed)})", blocks=[table])
