"""What people decide on the evidence: the checklist, the coverage matrix, residual risks, signatures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from readiness.model import (
    ChecklistItem,
    Coverage,
    CriterionStanding,
    ItemStanding,
    ItemState,
    SignatureStanding,
)
from readiness.report.html import blocks
from readiness.report.html.blocks import Section, Table, Text, Tone, Unobserved
from readiness.report.html.content import Content

_STATES: dict[ItemState, tuple[Tone, str]] = {
    ItemState.DONE: ("good", "done"),
    ItemState.REHEARSED: ("warn", "rehearsed only"),
    ItemState.OPEN: ("unknown", "open"),
}
_STATUSES: dict[Coverage, Tone] = {
    Coverage.MET: "good",
    Coverage.PARTIAL: "warn",
    Coverage.UNVERIFIED: "unknown",
    Coverage.UNMET: "bad",
}
_ROOM = 5
"""So many paths a cell has room for; a criterion of the whole checklist rests on more, which stand there."""
_TYPES = {"acceptance": "acceptance", "definition-of-done": "definition of done"}


def checklist(content: Content) -> Section:
    """Return the go-live checklist, with what became of each item."""
    items = content.decision.checklist
    table = Table(
        caption="Go-live checklist of the plan",
        head=("item", "what", "answered by", "state", "evidence"),
        rows=[_item_row(each) for each in items],
        look="checklist",
    )
    found = [table] if items else [Unobserved(why="The plan has no checklist.")]
    return Section(id="checklist", title="Go-live checklist", badge=_done(items), blocks=found)


def _done(items: Sequence[ItemStanding]) -> Markup:
    if not items:
        return Markup()
    left = sum(each.state is ItemState.OPEN for each in items)
    rehearsed = any(each.state is ItemState.REHEARSED for each in items)
    tone: Tone = "unknown" if left else "warn" if rehearsed else "good"
    return blocks.badge(tone, f"{left} open" if left else "all rehearsed" if rehearsed else "all done")


def _item_row(each: ItemStanding) -> Sequence[str | Markup]:
    tone, words = _STATES[each.state]
    note = each.tick.note if each.tick is not None else ""
    said = blocks.lines(blocks.badge(tone, words), blocks.small(each.why), blocks.small(note) if note else "")
    return blocks.code(each.item.id), each.item.text, _answered_by(each.item), said, _evidence((each.evidence,))


def _answered_by(item: ChecklistItem) -> str | Markup:
    if item.gate is None:
        return blocks.lines("a person", blocks.small(f"of {item.owner}") if item.owner else "")
    return blocks.lines("gate", blocks.code(item.gate), blocks.small(item.measurement) if item.measurement else "")


def _evidence(paths: Sequence[str]) -> Markup:
    """Return where in the bundle something is shown."""
    there = [path for path in paths if path]
    if not there:
        return blocks.nothing()
    shown = there if len(there) <= _ROOM else there[: _ROOM - 1]
    more = blocks.small(f"and {len(there) - len(shown)} more") if len(there) > len(shown) else ""
    return blocks.lines(*(blocks.code(path) for path in shown), more)


def criteria(content: Content) -> Section:
    """Return the coverage matrix: each acceptance criterion and each item of the definition of done."""
    found = content.decision.criteria
    met = sum(each.status is Coverage.MET for each in found)
    worst = min((each.status for each in found), key=list(Coverage).index, default=Coverage.UNVERIFIED)
    table = Table(
        caption="Acceptance criteria and definition of done",
        head=("type", "item", "status", "evidence", "notes"),
        rows=[_criterion_row(each) for each in found],
        look="criteria",
    )
    explained = Text(
        words="All that a criterion names has to show it. Unverified: nothing is known. Partial: some of it is shown, "
        "or it was rehearsed. Unmet: something speaks against it."
    )
    return Section(
        id="criteria",
        title="Coverage matrix",
        badge=blocks.badge(_STATUSES[worst], f"{met} of {len(found)} met") if found else Markup(),
        blocks=[table, explained] if found else [Unobserved(why="The plan names no criteria.")],
    )


def _criterion_row(each: CriterionStanding) -> Sequence[str | Markup]:
    return (
        _TYPES[each.criterion.type],
        blocks.lines(each.criterion.text, blocks.small(blocks.code(each.criterion.id))),
        blocks.badge(_STATUSES[each.status], str(each.status)),
        _evidence(each.evidence),
        blocks.lines(*each.notes) if each.notes else blocks.nothing(),
    )


def risks(content: Content) -> Section:
    """Return the risks that were accepted with a signature."""
    accepted = content.decision.risks
    on = content.decision.decided_at.date()
    rows = [
        (
            blocks.code(each.id),
            each.text,
            each.owner,
            each.mitigation,
            blocks.lines(
                str(each.accepted_until),
                blocks.badge("bad", "over") if on > each.accepted_until else "",
            ),
        )
        for each in accepted
    ]
    head = ("risk", "what", "owner", "mitigation", "accepted until")
    table = Table(caption="Risks that were accepted with a signature", head=head, rows=rows, look="risks")
    found = [table] if rows else [Text(words="No signature accepts a risk. What was accepted before the run is below.")]
    return Section(id="risks", title="Residual risks", blocks=found)


def sign_off(content: Content) -> Section:
    """Return who has to sign, who did, and whether it counts."""
    return Section(id="sign-off", title="Sign-off", blocks=list(_sign_off(content)))


def _sign_off(content: Content) -> Iterator[Any]:
    decision = content.decision
    if not decision.owners:
        yield Unobserved(why="The plan names no owner, so nobody answers for this release.")
        return
    rows: list[Sequence[str | Markup]] = []
    for role, owner in decision.owners.items():
        given = [each for each in decision.signatures if each.filed.signature.role == role]
        rows += [_signature_row(each) for each in given] or [_unsigned_row(role, owner.name)]
    yield Table(
        caption="Who has to sign, and who did",
        head=("role", "who", "decision", "when", "key", "note"),
        rows=rows,
        look="signatures",
    )
    if decision.bundle is not None:
        words = Markup("They are about the bundle {}, and void on any other.").format(blocks.code(decision.bundle))
        yield Text(words=words)


def _unsigned_row(role: str, owner: str) -> Sequence[str | Markup]:
    none = blocks.nothing()
    return role, owner, blocks.badge("unknown", "missing"), none, none, none


def _signature_row(each: SignatureStanding) -> Sequence[str | Markup]:
    signature = each.filed.signature
    if each.in_force:
        decision = blocks.badge("good" if signature.decision == "go" else "bad", signature.decision)
    else:
        decision = blocks.lines(blocks.badge("plain", f"{signature.decision}, void"), blocks.small(each.why))
    return (
        signature.role,
        signature.name,
        decision,
        f"{signature.at:%Y-%m-%d %H:%M} UTC",
        blocks.code(each.filed.key) if each.filed.key else "a name only",
        signature.note or blocks.nothing(),
    )
