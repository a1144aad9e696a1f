"""Pure: which items of the checklist are done, which signatures count, which risks are accepted; what is missing."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from readiness import decide
from readiness.model import (
    ChecklistItem,
    Environment,
    FiledSignature,
    FiledTick,
    GateResult,
    ItemStanding,
    ItemState,
    Outcome,
    Owner,
    ResidualRisk,
    SignatureStanding,
    Waiver,
)

ANYBODY = "*"
PEOPLE = 2
"""So many different people have to sign: nobody decides alone."""


def same_person(one: str, other: str) -> bool:
    """Say whether two names are one: case, spaces and ways to write a letter make no other person."""
    return person(one) == person(other)


def person(name: str) -> str:
    """Return a name as it is compared: without case, spacing, what nobody sees, or another way to write a letter."""
    seen = "".join(letter for letter in unicodedata.normalize("NFKC", name) if unicodedata.category(letter) != "Cf")
    return " ".join(seen.casefold().split())


def may_answer(owner: Owner, name: str) -> bool:
    """Say whether a person may sign, and tick, for a role."""
    return any(each == ANYBODY or same_person(each, name) for each in (owner.name, *owner.deputies))


# --- the checklist ---------------------------------------------------------------------------------------------------


def in_force(ticks: Sequence[FiledTick]) -> dict[str, FiledTick]:
    """Return item -> the last tick that was given it, unless that one took an earlier one back."""
    last = {filed.tick.item: filed for filed in ticks}
    return {item: filed for item, filed in last.items() if filed.tick.done}


def checklist(
    items: Iterable[ChecklistItem],
    results: Sequence[GateResult],
    environment: Environment,
    ticks: Sequence[FiledTick],
) -> tuple[ItemStanding, ...]:
    """Return what became of each item. In a rehearsal none is more than rehearsed."""
    by_id = {result.gate: result for result in results}
    ticked = in_force(ticks)
    done = ItemState.REHEARSED if environment is Environment.EMULATED else ItemState.DONE
    return tuple(
        _ticked(item, ticked.get(item.id), done) if item.gate is None else _automatic(item, by_id.get(item.gate), done)
        for item in items
    )


def _ticked(item: ChecklistItem, filed: FiledTick | None, done: ItemState) -> ItemStanding:
    if filed is None:
        return ItemStanding(item=item, state=ItemState.OPEN, why="nobody has ticked it")
    tick = filed.tick
    why = f"ticked by {tick.name} on {tick.at:%Y-%m-%d}: {tick.evidence}"
    return ItemStanding(item=item, state=done, why=why, evidence=tick.artifact or filed.path, tick=tick)


def _automatic(item: ChecklistItem, result: GateResult | None, done: ItemState) -> ItemStanding:
    if result is None:
        return ItemStanding(item=item, state=ItemState.OPEN, why=f"the gate {item.gate} was not asked")
    why = _not_passed(result) if item.measurement is None else _not_kept(item.measurement, result)
    said = f"the gate {item.gate} passed" if item.measurement is None else f"{item.measurement} kept its threshold"
    state = ItemState.OPEN if why else done
    return ItemStanding(item=item, state=state, why=why or said, evidence=result.observation or "")


def _not_passed(result: GateResult) -> str:
    return "" if result.outcome is Outcome.PASSED else f"the gate {result.gate} came to {result.outcome}"


def _not_kept(measurement: str, result: GateResult) -> str:
    """Return why a measurement of a gate does not show that its threshold was kept; empty = it does."""
    if result.judgement.gaps:
        return f"the gate {result.gate} has gaps, so that what it measured proves nothing"
    held = [each for each in result.judgement.measurements if each.name == measurement and each.threshold is not None]
    if not held or any(each.samples <= 0 for each in held):
        return f"the gate {result.gate} held no {measurement} against a threshold"
    return "" if all(decide.met(each) for each in held) else f"{measurement} missed its threshold"


# --- signatures and the risks that come with them --------------------------------------------------------------------


def signatures(
    owners: Mapping[str, Owner], filed: Sequence[FiledSignature], ticks: Sequence[FiledTick]
) -> tuple[SignatureStanding, ...]:
    """Return every signature, in order, with why it does not count, if it does not.

    The last one of a role counts. A go counts only for what its signer saw: not if a tick that it rested on was
    changed or taken back, nor if a risk was accepted that they did not know. A no-go needs none of that.
    """
    last = {each.signature.role: each for each in filed}
    ticked = {item: each.digest for item, each in in_force(ticks).items()}
    known = _risks(each for role, each in last.items() if role in owners)
    return tuple(
        SignatureStanding(filed=each, why=_void(each, owners, last[each.signature.role], ticked, known))
        for each in filed
    )


def _void(
    filed: FiledSignature,
    owners: Mapping[str, Owner],
    last: FiledSignature,
    ticked: Mapping[str, str],
    risks: Sequence[ResidualRisk],
) -> str:
    """Return why a signature does not count; empty = it does."""
    signature = filed.signature
    if signature.role not in owners:
        return f"the plan has no role {signature.role}"
    if not may_answer(owners[signature.role], signature.name):
        return f"{signature.name} may not sign for it"
    if filed is not last:
        return "superseded by a later one"
    if signature.decision == "no-go":
        return ""
    moved = [item for item, digest in signature.seen_ticks.items() if ticked.get(item) != digest]
    if moved:
        return f"the tick of {', '.join(moved)} was changed after it: sign again"
    unseen = [risk.id for risk in risks if risk not in (*signature.seen_risks, *signature.risks)]
    if unseen:
        return f"the residual risk {', '.join(unseen)} was accepted after it: sign again"
    return ""


def risks(standings: Iterable[SignatureStanding]) -> tuple[ResidualRisk, ...]:
    """Return what was accepted with the last signature of each role, each risk once."""
    last = {each.filed.signature.role: each.filed for each in standings}
    return _risks(last.values())


def _risks(filed: Iterable[FiledSignature]) -> tuple[ResidualRisk, ...]:
    return tuple(dict.fromkeys(risk for each in filed for risk in each.signature.risks))


# --- what is missing -------------------------------------------------------------------------------------------------


def missing(
    owners: Mapping[str, Owner],
    items: Iterable[ItemStanding],
    standings: Sequence[SignatureStanding],
) -> tuple[str, ...]:
    """Return a reason for each thing that people have not done yet, or done to the contrary."""
    return (
        *(f"checklist: {each.item.id} is open: {each.why}" for each in items if each.state is ItemState.OPEN),
        *_unsigned(owners, standings),
        *_alone(owners, standings),
    )


def lapsed(accepted: Iterable[ResidualRisk], waivers: Iterable[Waiver], on: date) -> tuple[str, ...]:
    """Return a reason for each risk, and each waived finding, that nobody accepts any more on a day."""
    return (
        *(
            f"residual risk: {risk.id} was accepted until {risk.accepted_until}, which is over"
            for risk in accepted
            if on > risk.accepted_until
        ),
        *(
            f"waiver: {each.rule} on {each.subject} was {each.disposition} until {each.expires}, which is over"
            for each in waivers
            if on > each.expires
        ),
    )


def _unsigned(owners: Mapping[str, Owner], standings: Sequence[SignatureStanding]) -> list[str]:
    last = {each.filed.signature.role: each for each in standings}
    reasons = []
    for role in owners:
        standing = last.get(role)
        if standing is None:
            reasons.append(f"sign-off: {role} has not signed")
        elif not standing.in_force:
            reasons.append(f"sign-off: the signature of {role} is void: {standing.why}")
        elif standing.filed.signature.decision == "no-go":
            note = standing.filed.signature.note
            reasons.append(f"sign-off: {role} signed no-go" + (f": {note}" if note else ""))
    return reasons


def _alone(owners: Mapping[str, Owner], standings: Sequence[SignatureStanding]) -> list[str]:
    """Return a reason if one person decides alone; as long as somebody can still come, that is no reason."""
    if len(owners) < PEOPLE:
        return [f"sign-off: the plan names {len(owners)} owner; {PEOPLE} different people have to sign"]
    signed = [each.filed for each in standings if each.in_force and each.filed.signature.decision == "go"]
    if len({each.signature.role for each in signed}) < len(owners):
        return []
    people = {person(each.signature.name) for each in signed}
    keys = {each.key for each in signed if each.key}
    if len(people) < PEOPLE:
        return [f"sign-off: {signed[0].signature.name} signed for every role; {PEOPLE} different people have to sign"]
    if len(keys) < PEOPLE and all(each.key for each in signed):
        return [f"sign-off: one key signed for every role; {PEOPLE} different people have to sign"]
    return []
