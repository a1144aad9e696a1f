"""Controls of the decision itself: what is missing, expired, self-approved or unsigned must not come to a GO.

The positive control: the record's own results, as if they had been seen on AWS, with every item ticked and every role
signed, come to a GO. Only then does it mean anything that the same with one fault does not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta

from readiness import decide, waivers
from readiness.decision import SignOff, decided
from readiness.errors import PlanError
from readiness.model import (
    ControlShown,
    Decision,
    Environment,
    FiledSignature,
    FiledTick,
    Finding,
    Judgement,
    Outcome,
    Plan,
    Record,
    ResidualRisk,
    Severity,
    Signature,
    Tick,
    Verdict,
    Waiver,
)

_DIGEST = "sha256:" + 64 * "0"


@dataclass(frozen=True, kw_only=True)
class Signed:
    """All that a GO rests on."""

    record: Record
    plan: Plan
    files: Collection[str]
    sign_off: SignOff

    def decide(self) -> Decision:
        """Return the decision on it."""
        return decided(self.record, self.plan, self.files, self.sign_off)


def controls(record: Record, plan: Plan, files: Collection[str]) -> Iterator[ControlShown]:
    """Yield what the decision makes of each planted fault.

    Args:
        record: Of a run.
        plan: That it froze.
        files: Paths of the bundle's files.
    """
    good = _as_if_signed(record, plan, files)
    positive = good.decide()
    for name, plants, spoil in _FAULTS:
        if positive.verdict is not Verdict.GO:
            yield _shown(name, plants, "not shown", f"without the fault it is no GO either: {positive.reasons[0]}")
        else:
            yield _decided(name, plants, spoil(good).decide())
    yield from _waived(plan, record.started_at.date())


def _as_if_signed(record: Record, plan: Plan, files: Collection[str]) -> Signed:
    """Return the record's passed gates, as if all was committed, seen on AWS, written down, and signed by everybody."""
    passed = tuple(result for result in record.results if result.outcome is Outcome.PASSED)
    required = tuple(gate for gate in record.required if gate in {result.gate for result in passed})
    return Signed(
        record=replace(
            record,
            environment=Environment.AWS,
            results=passed,
            required=required,
            interrupted=False,
            troubles=(),
            leftovers=(),
            candidate=replace(record.candidate, dirty=False),
            registration=replace(record.registration, allow_dirty=False),
        ),
        plan=plan,
        files={*files, *(path for criterion in plan.criteria for path in criterion.artifacts)},
        sign_off=SignOff(
            bundle=_DIGEST, ticks=tuple(_ticks(record, plan)), signatures=tuple(_signatures(record, plan))
        ),
    )


def _ticks(record: Record, plan: Plan) -> Iterator[FiledTick]:
    for item in plan.checklist:
        if item.gate is None:
            tick = Tick(
                bundle=_DIGEST,
                plan=record.plan_digest,
                item=item.id,
                name="the selftest",
                at=record.decided_at,
                evidence="planted by the selftest",
            )
            yield FiledTick(tick=tick, path=f"sign-off/ticks/{item.id}", digest=_DIGEST)


def _signatures(record: Record, plan: Plan) -> Iterator[FiledSignature]:
    seen = {filed.tick.item: filed.digest for filed in _ticks(record, plan)}
    for role, owner in plan.owners.items():
        signature = Signature(
            role=role, name=owner.name, decision="go", at=record.decided_at, plan=record.plan_digest, seen_ticks=seen
        )
        yield FiledSignature(signature=signature, path=f"sign-off/signatures/{role}")


def _of_record(spoil: Callable[[Record], Record]) -> Callable[[Signed], Signed]:
    return lambda good: replace(good, record=spoil(good.record))


def _of_signatures(
    spoil: Callable[[tuple[FiledSignature, ...]], tuple[FiledSignature, ...]],
) -> Callable[[Signed], Signed]:
    return lambda good: replace(good, sign_off=replace(good.sign_off, signatures=spoil(good.sign_off.signatures)))


def _first(signatures: tuple[FiledSignature, ...], **changes: object) -> tuple[FiledSignature, ...]:
    signature = replace(signatures[0].signature, **changes)  # type: ignore[arg-type]
    return (replace(signatures[0], signature=signature), *signatures[1:])


def _expired_risk(good: Signed) -> Signed:
    risk = ResidualRisk(
        id="planted",
        text="a risk that nobody accepts any more",
        owner="the selftest",
        mitigation="none",
        accepted_until=good.record.decided_at.date() - timedelta(days=1),
    )
    return _of_signatures(lambda signed: tuple(_first((each,), risks=(risk,))[0] for each in signed))(good)


_FAULTS: tuple[tuple[str, str, Callable[[Signed], Signed]], ...] = (
    (
        "gate-not-asked",
        "a required gate was not asked",
        _of_record(lambda record: replace(record, results=record.results[1:], required=(record.results[0].gate,))),
    ),
    ("nothing-required", "the plan requires no gate", _of_record(lambda record: replace(record, required=()))),
    ("interrupted", "the run was interrupted", _of_record(lambda record: replace(record, interrupted=True))),
    (
        "harness-stumbled",
        "the harness itself failed",
        _of_record(lambda record: replace(record, troubles=("it failed",))),
    ),
    (
        "leftovers",
        "something of the run may still exist",
        _of_record(lambda record: replace(record, leftovers=("a planted stack",))),
    ),
    (
        "uncommitted",
        "what was tested is in no commit",
        _of_record(lambda record: replace(record, candidate=replace(record.candidate, dirty=True))),
    ),
    (
        "rehearsal",
        "all of it was seen on the embedded AWS only",
        _of_record(lambda record: replace(record, environment=Environment.EMULATED)),
    ),
    ("unsigned", "nobody signed", _of_signatures(lambda signed: ())),
    ("one-signature-missing", "one role has not signed", _of_signatures(lambda signed: signed[1:])),
    ("signed-no-go", "one role signed no-go", _of_signatures(lambda signed: _first(signed, decision="no-go"))),
    (
        "signed-by-a-stranger",
        "a role that the plan does not have signed instead",
        _of_signatures(lambda signed: _first(signed, role="stranger")),
    ),
    (
        "tick-changed-after-signing",
        "an item was ticked anew after somebody had signed",
        _of_signatures(lambda signed: _first(signed, seen_ticks={"planted": _DIGEST})),
    ),
    ("expired-risk", "a residual risk was accepted until yesterday", _expired_risk),
    (
        "nobody-owns-it",
        "the plan names nobody who has to sign",
        lambda good: replace(good, plan=replace(good.plan, owners={})),
    ),
)


def _decided(name: str, plants: str, decision: Decision) -> ControlShown:
    came_to = "passed" if decision.verdict is Verdict.GO else "refused"
    return _shown(name, plants, came_to, decision.reasons[0] if decision.reasons else "")


def _waived(plan: Plan, on: date) -> Iterator[ControlShown]:
    """Yield what becomes of a finding whose waiver is none."""
    finding = Finding(
        rule="selftest/planted", subject="selftest", severity=Severity.HIGH, message="a fault, planted by the selftest"
    )
    waiver = Waiver(
        rule=finding.rule,
        subject=finding.subject,
        reason="planted by the selftest",
        owner="somebody",
        approver="somebody else",
        created=on - timedelta(days=10),
        expires=on - timedelta(days=1),
    )
    disposed = decide.dispose([finding], [waiver], on)
    reached = decide.outcome(Judgement(examined=1, findings=(finding,)), disposed, plan.blocking_severities)
    said = f"{finding.message}; its waiver expired on {waiver.expires}"
    yield _shown("expired-waiver", "a waiver that expired yesterday", reached.value, said)
    own = replace(waiver, approver=" Somebody ", expires=on)
    try:
        waivers.check(own, waivers.DEFAULT_FILE, "waivers[0]", plan.max_waiver_age)
    except PlanError as error:
        yield _shown("self-approved-waiver", "a waiver that its owner approved", "refused", error.message)
    else:
        yield _shown("self-approved-waiver", "a waiver that its owner approved", "passed", "")


def _shown(name: str, plants: str, came_to: str, said: str) -> ControlShown:
    return ControlShown(id=f"decision/{name}", plants=plants, came_to=came_to, said=said)  # type: ignore[arg-type]
