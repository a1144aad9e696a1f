"""What was found in production after the cutover, where somebody has asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from readiness.model import Disposition, GateResult
from readiness.report.html import blocks
from readiness.report.html.blocks import Facts, Items, Section, Table
from readiness.report.html.content import Content

_WORDS = {
    "approval.age": "Age of the decision",
    "content.compared": "Compared with what was approved",
    "steady.for": "Steady for",
}


def sections(content: Content) -> tuple[Section, ...]:
    """Return the section; none where nobody has asked."""
    found = content.gone_live
    if found is None:
        return ()
    badge = blocks.of_outcome(found.outcome)
    return (Section(id="go-live", title="After the cutover", badge=badge, blocks=list(_blocks(found))),)


def _blocks(found: GateResult) -> Iterator[Any]:
    measured = [(_WORDS.get(each.name, each.name), blocks.measured(each)) for each in found.judgement.measurements]
    yield Facts(
        rows=[
            ("Asked", found.question),
            ("Looked at", f"{found.started_at:%Y-%m-%d %H:%M:%S} to {found.ended_at:%H:%M:%S} UTC"),
            *measured,
        ]
    )
    if found.judgement.notes:
        yield Items(items=list(found.judgement.notes))
    rows = [
        (
            blocks.lines(blocks.code(each.finding.subject), blocks.small(blocks.code(each.finding.rule))),
            blocks.of_severity(each.finding.severity),
            str(each.disposition) if each.disposition is not Disposition.OPEN else "open",
            blocks.lines(each.finding.message, blocks.small(each.finding.help)),
        )
        for each in found.findings
    ]
    if rows:
        yield Table(
            caption="Where production is not as approved, or not well",
            head=("subject", "severity", "standing", "what is wrong"),
            rows=rows,
        )
    if found.judgement.gaps:
        yield Table(
            caption="What should have been seen in production and was not",
            head=("what", "why"),
            rows=[(gap.what, gap.why) for gap in found.judgement.gaps],
        )
