"""Whether the gates gate: faults that were planted in the evidence of this run, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence

from readiness.model import ControlShown
from readiness.report.html import blocks
from readiness.report.html.blocks import Fold, Note, Section, Table, Text, Unobserved
from readiness.report.html.content import Content, Unseen

_TITLE = "Negative controls"


def section(content: Content) -> Section:
    """Return how many planted faults were noticed, those that were not first, and all of them on demand."""
    rows = content.controls()
    if isinstance(rows, Unseen):
        return Section(id="negative-controls", title=_TITLE, blocks=[Unobserved(why=rows.why)])
    missed = [row for row in rows if row.came_to == "passed"]
    shown = [row for row in rows if row.came_to != "not shown"]
    return Section(
        id="negative-controls",
        title=_TITLE,
        blocks=[
            Text(
                words="A gate that never says no is none. One fault at a time was planted in the evidence of this run, "
                "and the same gates judged it again, with the same plan, settings and waivers."
            ),
            _result(rows, shown, missed),
            *([_table("Planted faults that nobody noticed", missed)] if missed else []),
            Fold(summary=f"All {len(rows)} planted faults", blocks=[_table("Planted faults", rows)]),
        ],
    )


def _result(rows: Sequence[ControlShown], shown: Sequence[ControlShown], missed: Sequence[ControlShown]) -> Note:
    if missed:
        return Note(tone="bad", words=f"{len(missed)} of {len(shown)} planted faults got through.")
    if not shown:
        return Note(tone="unknown", words="No gate passed, so that there was nothing to plant a fault in.")
    rest = len(rows) - len(shown)
    words = f"{len(shown)} of {len(shown)} planted faults were noticed."
    if rest:
        words += f" {rest} more could not be planted: their gates had not passed, or saw nothing of the kind."
    return Note(tone="good", words=words)


def _table(caption: str, rows: Sequence[ControlShown]) -> Table:
    return Table(
        caption=caption,
        head=("planted", "control", "came to", "what was said"),
        rows=[(row.plants, blocks.code(row.id), row.came_to, row.said) for row in rows],
        look="controls",
    )
