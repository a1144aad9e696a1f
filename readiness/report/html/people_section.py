"""What people answer for before the run: runbooks and waivers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from readiness.gates import runbooks as runbook_gate
from readiness.model import Disposition, GateResult, Waiver
from readiness.report.html import blocks
from readiness.report.html.blocks import Fold, Heading, Section, Table, Text, Unobserved
from readiness.report.html.content import Content, Unseen
from readiness.runbook import Runbook

# --- runbooks --------------------------------------------------------------------------------------------------------


def runbooks(content: Content) -> Section:
    """Return the index of the runbooks."""
    seen = content.observation(runbook_gate.GATE)
    result = content.result(runbook_gate.GATE.id)
    title, id_ = "Runbooks", "runbooks"
    if isinstance(seen, Unseen) or result is None:
        why = seen.why if isinstance(seen, Unseen) else "The gate runbooks was not asked."
        return Section(id=id_, title=title, blocks=[Unobserved(why=why)])
    rows = [_runbook_row(runbook, result) for runbook in seen.runbooks]
    rows += [
        (blocks.code(path), blocks.nothing(), blocks.nothing(), "unreadable", blocks.nothing(), _faults(path, result))
        for path in seen.unreadable
    ]
    table = Table(
        caption=f"Runbooks in {seen.folder}/, as they were on {seen.on}",
        head=("runbook", "for the alarm of", "owner", "reviewed by", "rehearsed in", "status"),
        rows=rows,
        look="runbooks",
    )
    found: list[Any] = [table] if rows else [Unobserved(why=f"There is no runbook in {seen.folder}/.")]
    return Section(id=id_, title=title, badge=blocks.of_outcome(result.outcome), blocks=found)


def _runbook_row(runbook: Runbook, result: GateResult) -> Sequence[str | Markup]:
    about = runbook.about
    reviews = [part for review in about.reviewers for part in (review.name, blocks.small(str(review.date)))]
    return (
        blocks.lines(about.title, blocks.small(blocks.code(runbook.path))),
        ", ".join(about.alarms) or blocks.nothing(),
        about.owner,
        blocks.lines(*reviews) if reviews else "nobody",
        blocks.code(about.rehearsed_in) if about.rehearsed_in else "never",
        _faults(runbook.path, result),
    )


def _faults(path: str, result: GateResult) -> Markup:
    """Return what the gate found about a runbook."""
    found = [each for each in result.findings if each.finding.subject == path]
    if not found:
        return blocks.badge("good", "no finding")
    words = [
        f"{each.finding.message}{'' if each.disposition is Disposition.OPEN else f' ({each.disposition})'}"
        for each in found
    ]
    opened = any(each.disposition is Disposition.OPEN for each in found)
    said = blocks.badge("bad" if opened else "plain", blocks.count(len(found), "finding"))
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
