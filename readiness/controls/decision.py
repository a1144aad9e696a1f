"""Controls of the decision itself: what is missing, expired, self-approved or unsigned must not come to a GO."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from readiness import decide, waivers
from readiness.errors import PlanError
from readiness.model import (
    ControlShown,
    Environment,
    Finding,
    GateResult,
    Judgement,
    Outcome,
    Plan,
    Severity,
    Verdict,
    Waiver,
)


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What there is to decide on: results that passed, and the plan that they are held against."""

    results: Sequence[GateResult]
    plan: Plan
    on: date


def controls(given: Decided) -> Iterator[ControlShown]:
    """Yield what the decision makes of each planted fault."""
    passed = [result for result in given.results if result.outcome is Outcome.PASSED]
    required = tuple(result.gate for result in passed)
    yield _outcome("gate-not-asked", "a required gate was not asked", passed[1:], required)
    yield _outcome("nothing-required", "the plan requires no gate", passed, ())
    yield _outcome("interrupted", "the run was interrupted", passed, required, interrupted=True)
    yield _outcome("harness-stumbled", "the harness itself failed", passed, required, troubles=("it failed",))
    yield _unsigned(given, passed, required)
    yield from _waived(given)


def _outcome(
    name: str,
    plants: str,
    results: Sequence[GateResult],
    required: Sequence[str],
    *,
    interrupted: bool = False,
    troubles: Sequence[str] = (),
) -> ControlShown:
    reached, _, reasons = decide.verdict(
        results,
        required=required,
        owners=(),
        signatures=(),
        environment=Environment.AWS,
        interrupted=interrupted,
        troubles=troubles,
    )
    return shown(name, plants, reached.value, reasons[0] if reasons else "")


def _unsigned(given: Decided, results: Sequence[GateResult], required: Sequence[str]) -> ControlShown:
    owners = tuple(given.plan.owners) or ("release",)
    _, verdict, reasons = decide.verdict(
        results, required=required, owners=owners, signatures=(), environment=Environment.AWS
    )
    came_to = "inconclusive" if verdict is Verdict.NO_GO else "passed"
    return shown("unsigned", "every gate passed and nobody signed", came_to, reasons[0] if reasons else "")


def _waived(given: Decided) -> Iterator[ControlShown]:
    finding = Finding(
        rule="selftest/planted", subject="selftest", severity=Severity.HIGH, message="a fault, planted by the selftest"
    )
    waiver = Waiver(
        rule=finding.rule,
        subject=finding.subject,
        reason="planted by the selftest",
        owner="somebody",
        approver="somebody else",
        created=given.on - timedelta(days=10),
        expires=given.on - timedelta(days=1),
    )
    disposed = decide.dispose([finding], [waiver], given.on)
    reached = decide.outcome(Judgement(examined=1, findings=(finding,)), disposed, given.plan.blocking_severities)
    said = f"{finding.message}; its waiver expired on {waiver.expires}"
    yield shown("expired-waiver", "a waiver that expired yesterday", reached.value, said)
    own = Waiver(
        rule=finding.rule,
        subject=finding.subject,
        reason="planted by the selftest",
        owner="Somebody",
        approver=" somebody ",
        created=given.on,
        expires=given.on,
    )
    yield refused(
        "self-approved-waiver",
        "a waiver that its owner approved",
        lambda: waivers.check(own, waivers.DEFAULT_FILE, "waivers[0]", given.plan.max_waiver_age),
    )


def refused(name: str, plants: str, act: Callable[[], object]) -> ControlShown:
    """Return whether an act is refused as a mistake of the plan or the register."""
    try:
        act()
    except PlanError as error:
        return shown(name, plants, "refused", error.message)
    return shown(name, plants, "passed", "")


def shown(name: str, plants: str, came_to: str, said: str) -> ControlShown:
    """Return the row of a control of the decision."""
    return ControlShown(id=f"decision/{name}", plants=plants, came_to=came_to, said=said)  # type: ignore[arg-type]
