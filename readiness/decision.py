"""Pure: the decision on a bundle, of what the run showed, what people made of it since, and the time that passed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date

from readiness import approval, decide
from readiness.coverage import Facts, coverage, shortfalls
from readiness.model import (
    Decision,
    FiledSignature,
    FiledTick,
    GateResult,
    GateStanding,
    Outcome,
    Plan,
    Record,
    Waiver,
)
from readiness.report.thresholds import thresholds


@dataclass(frozen=True, kw_only=True)
class SignOff:
    """What people wrote down about a sealed bundle.

    Attributes:
        bundle: The bundle's digest; None = it is not sealed yet.
        ticks: In the order in which they were given.
        signatures: In the order in which they were given.
    """

    bundle: str | None = None
    ticks: tuple[FiledTick, ...] = ()
    signatures: tuple[FiledSignature, ...] = ()


NOTHING_SIGNED = SignOff()


def decided(
    record: Record,
    plan: Plan,
    files: Collection[str],
    sign_off: SignOff = NOTHING_SIGNED,
    go_live: GateResult | None = None,
    go_live_path: str = "",
) -> Decision:
    """Return the decision; what the record itself says of outcome, verdict and reasons is not looked at.

    Args:
        record: Of the run.
        plan: That the run froze.
        files: Paths of the bundle's files.
        sign_off: What people wrote down since.
        go_live: What was seen in production since. It shows in the coverage matrix, and never in the verdict.
        go_live_path: Where that lies in the bundle.
    """
    results = [result for result in record.results if result.gate != decide.REGISTER]
    items = approval.checklist(plan.checklist, results, record.environment, sign_off.ticks)
    standings = approval.signatures(plan.owners, sign_off.signatures, sign_off.ticks)
    facts = Facts(
        results=results,
        required=record.required,
        environment=record.environment,
        items=items,
        roles=tuple(plan.owners),
        signatures=standings,
        files=files,
        go_live=go_live,
        go_live_path=go_live_path,
    )
    acts = [filed.tick.at for filed in sign_off.ticks] + [filed.signature.at for filed in sign_off.signatures]
    decided_at = max((record.decided_at, *acts))
    accepted, waivers = approval.risks(standings), _waivers(record)
    reached, verdict, reasons = decide.verdict(
        results,
        required=record.required,
        environment=record.environment,
        interrupted=record.interrupted,
        troubles=record.troubles,
        registration=record.registration,
        missing=(
            *shortfalls(plan.criteria, facts),
            *approval.missing(plan.owners, items, standings),
            *approval.lapsed(accepted, waivers, decided_at.date()),
            *decide.standing_in_the_way(record),
        ),
    )
    return Decision(
        run_id=record.run_id,
        service=plan.service.name,
        bundle=sign_off.bundle,
        plan=record.plan_digest,
        candidate=record.candidate,
        environment=record.environment,
        decided_at=decided_at,
        outcome=reached,
        verdict=verdict,
        reasons=reasons,
        leftovers=record.leftovers,
        gates=tuple(GateStanding(gate=gate, outcome=_outcome(record, gate)) for gate in record.required),
        thresholds=thresholds(results, plan),
        checklist=items,
        criteria=coverage(plan.criteria, facts),
        waivers=waivers,
        risks=accepted,
        owners=plan.owners,
        signatures=standings,
    )


def lapsed_since(decision: Decision, on: date) -> tuple[str, ...]:
    """Return a reason for each thing that the decision rests on and that has ended between it and a day."""
    told = approval.lapsed(decision.risks, decision.waivers, on)
    return tuple(reason for reason in told if reason not in decision.reasons)


def _outcome(record: Record, gate: str) -> Outcome | None:
    return next((result.outcome for result in record.results if result.gate == gate), None)


def _waivers(record: Record) -> tuple[Waiver, ...]:
    """Return the waivers that dispose of a finding of a required gate, the soonest to end first."""
    required = [result for result in record.results if result.gate in record.required]
    used = {each.waiver for result in required for each in result.findings if each.waiver is not None}
    return tuple(sorted(used, key=lambda each: (each.expires, each.rule, each.subject)))
