"""Pure: how far each acceptance criterion and each item of the definition of done is met, and what shows it.

Everything that a criterion names has to show it. Nothing known is Unverified, never Met; one thing that speaks against
it makes it Unmet; and what was seen on the embedded AWS is at most Partial.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from readiness.model import (
    Coverage,
    Criterion,
    CriterionStanding,
    Disposition,
    Environment,
    GateResult,
    ItemStanding,
    ItemState,
    Outcome,
    SignatureStanding,
)

ALL = "*"
_RANKS = list(Coverage)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What criteria are held against.

    Attributes:
        required: Gates whose shortfall the verdict tells already.
        items: Every item of the checklist, with what became of it.
        roles: Those that have to sign.
        files: Paths of the bundle's files.
        go_live: What the look at production after the cutover came to; None = nobody has looked.
    """

    results: Sequence[GateResult]
    required: Collection[str]
    environment: Environment
    items: Sequence[ItemStanding]
    roles: Sequence[str]
    signatures: Sequence[SignatureStanding]
    files: Collection[str]
    go_live: GateResult | None = None
    go_live_path: str = ""

    def result(self, gate: str) -> GateResult | None:
        """Return what a gate came to; None = it was not asked."""
        return next((result for result in self.results if result.gate == gate), None)


@dataclass(frozen=True, kw_only=True)
class Proof:
    """One thing that a criterion rests on.

    Attributes:
        note: What is missing, or has to be known.
        evidence: Path in the bundle; "" = nothing shows it.
        alone: Whether no gate, item or signature tells of the shortfall, so that only the criterion can.
    """

    status: Coverage
    note: str = ""
    evidence: str = ""
    alone: bool = False


def coverage(criteria: Iterable[Criterion], facts: Facts) -> tuple[CriterionStanding, ...]:
    """Return the coverage matrix: a row for each criterion."""
    return tuple(_standing(criterion, facts) for criterion in criteria)


def shortfalls(criteria: Iterable[Criterion], facts: Facts) -> tuple[str, ...]:
    """Return a reason for each thing that keeps a criterion from being met and that nothing else tells of."""
    return tuple(
        f"criterion {criterion.id}: {proof.note}"
        for criterion in criteria
        for proof in _proofs(criterion, facts)
        if proof.alone and proof.status is not Coverage.MET
    )


def together(statuses: Sequence[Coverage]) -> Coverage:
    """Return what several proofs come to: the worst, but that some known and some unknown is partly known."""
    if not statuses:
        return Coverage.UNVERIFIED
    worst = min(statuses, key=_RANKS.index)
    mixed = worst is Coverage.UNVERIFIED and any(each is not Coverage.UNVERIFIED for each in statuses)
    return Coverage.PARTIAL if mixed else worst


def _standing(criterion: Criterion, facts: Facts) -> CriterionStanding:
    proofs = tuple(_proofs(criterion, facts))
    status = together([proof.status for proof in proofs])
    notes = [proof.note for proof in proofs if proof.note]
    if facts.environment is Environment.EMULATED and status is Coverage.MET:
        status = Coverage.PARTIAL
        notes.append("rehearsed on the embedded AWS, which cannot show more")
    return CriterionStanding(
        criterion=criterion,
        status=status,
        evidence=tuple(dict.fromkeys(proof.evidence for proof in proofs if proof.evidence)),
        notes=tuple(dict.fromkeys(notes)),
    )


def _proofs(criterion: Criterion, facts: Facts) -> Iterator[Proof]:
    for gate in criterion.gates:
        yield from _of_gate(gate, criterion, facts)
    for figure in criterion.figures:
        yield _of_figure(figure, facts)
    for path in criterion.artifacts:
        yield _of_artifact(path, facts)
    if criterion.checklist:
        yield from _of_items(criterion.checklist, facts)
    for role in facts.roles if ALL in criterion.signed else criterion.signed:
        yield _of_role(role, facts, either_way=False)
    for role in facts.roles if criterion.decided else ():
        yield _of_role(role, facts, either_way=True)
    if criterion.go_live:
        yield _of_go_live(facts)


_OF_OUTCOME = {
    Outcome.PASSED: Coverage.MET,
    Outcome.FAILED: Coverage.UNMET,
    Outcome.INCONCLUSIVE: Coverage.UNVERIFIED,
}


def _of_gate(gate: str, criterion: Criterion, facts: Facts) -> Iterator[Proof]:
    result = facts.result(gate)
    alone = gate not in facts.required
    if result is None:
        yield Proof(status=Coverage.UNVERIFIED, note=f"the gate {gate} was not asked", alone=alone)
        return
    note = "" if result.outcome is Outcome.PASSED else f"the gate {gate} came to {result.outcome}"
    yield Proof(status=_OF_OUTCOME[result.outcome], note=note, evidence=result.observation or "", alone=alone)
    for severity in criterion.not_waived:
        waived = [
            each
            for each in result.findings
            if each.disposition is Disposition.WAIVED and each.finding.severity is severity
        ]
        if waived:
            said = f"{gate}: {len(waived)} {severity} {'finding is' if len(waived) == 1 else 'findings are'} waived"
            yield Proof(status=Coverage.UNMET, note=said, alone=True)


def _of_figure(figure: str, facts: Facts) -> Proof:
    gate, _, name = figure.partition("/")
    result = facts.result(gate)
    optional = gate not in facts.required
    if result is None:
        return Proof(status=Coverage.UNVERIFIED, note=f"the gate {gate} was not asked", alone=optional)
    if any(each.name == name and each.samples > 0 for each in result.judgement.measurements):
        return Proof(status=Coverage.MET, evidence=result.observation or "")
    note = f"the gate {gate} measured no {name}"
    return Proof(status=Coverage.UNVERIFIED, note=note, alone=optional or result.observation is not None)


def _of_artifact(path: str, facts: Facts) -> Proof:
    if path in facts.files:
        return Proof(status=Coverage.MET, evidence=path)
    return Proof(status=Coverage.UNVERIFIED, note=f"the bundle holds no {path}", alone=True)


def _of_items(named: Sequence[str], facts: Facts) -> Iterator[Proof]:
    for each in facts.items:
        if ALL not in named and each.item.id not in named:
            continue
        status = Coverage.UNVERIFIED if each.state is ItemState.OPEN else Coverage.MET
        note = f"{each.item.id} is open: {each.why}" if each.state is ItemState.OPEN else ""
        yield Proof(status=status, note=note, evidence=each.evidence)


def _of_role(role: str, facts: Facts, *, either_way: bool) -> Proof:
    last = {each.filed.signature.role: each for each in facts.signatures}.get(role)
    if last is None:
        return Proof(status=Coverage.UNVERIFIED, note=f"{role} has not signed")
    if not last.in_force:
        return Proof(status=Coverage.UNVERIFIED, note=f"the signature of {role} is void: {last.why}")
    if last.filed.signature.decision == "no-go" and not either_way:
        return Proof(status=Coverage.UNMET, note=f"{role} signed no-go", evidence=last.filed.path)
    return Proof(status=Coverage.MET, evidence=last.filed.path)


def _of_go_live(facts: Facts) -> Proof:
    result = facts.go_live
    if result is None:
        return Proof(status=Coverage.UNVERIFIED, note="nobody has looked at production yet: readiness go-live BUNDLE")
    note = "" if result.outcome is Outcome.PASSED else f"the gate {result.gate} came to {result.outcome}"
    return Proof(status=_OF_OUTCOME[result.outcome], note=note, evidence=facts.go_live_path)
