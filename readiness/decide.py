"""Pure: findings and waivers to dispositions, judgements to outcomes, outcomes to a verdict. Worst-of; no scores."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import date, datetime
from enum import IntEnum
from fnmatch import fnmatchcase

from readiness.model import (
    Decision,
    Disposed,
    Disposition,
    Environment,
    Finding,
    Gap,
    GateResult,
    Judgement,
    Measurement,
    OpenLimit,
    Outcome,
    Record,
    Registration,
    Severity,
    Stage,
    Verdict,
    Waiver,
)


class ExitCode(IntEnum):
    """What the shell is told."""

    GO = 0
    """GO, or a rehearsal in which every required gate passed."""
    NO_RELIABLE_VERDICT = 1
    """A gate was inconclusive, a signature is missing, or the harness failed."""
    NO_GO = 2
    """A gate failed."""
    INVALID_PLAN = 3
    """The plan or the waivers are invalid, or the account is production; no clone was deployed."""
    LEFTOVERS = 4
    """Something of the run may still exist. Outranks 0, 1, 2 and 130."""
    USAGE = 5
    """The command line is wrong, or nobody agreed to what it costs; nothing was made."""
    INTERRUPTED = 130
    """Interrupted, and torn down."""


def covers(waiver: Waiver, finding: Finding) -> bool:
    """Say whether *waiver* names *finding*: rule and subject, each exact or as a glob."""
    return _names(waiver.rule, finding.rule) and _names(waiver.subject, finding.subject)


def _names(pattern: str, text: str) -> bool:
    """Say whether *pattern* is *text* to the letter (which may hold brackets), or matches it as a glob."""
    return pattern == text or fnmatchcase(text, pattern)


def dispose(findings: Iterable[Finding], waivers: Iterable[Waiver], on: date) -> tuple[Disposed, ...]:
    """Return each finding with its standing on a day. A waiver is in force from its first day to its last."""
    in_force = [waiver for waiver in waivers if waiver.created <= on <= waiver.expires]
    disposed = []
    for finding in findings:
        waiver = next((waiver for waiver in in_force if covers(waiver, finding)), None)
        standing = Disposition.OPEN if waiver is None else Disposition(waiver.disposition)
        disposed.append(Disposed(finding=finding, disposition=standing, waiver=waiver))
    return tuple(disposed)


def outcome(judgement: Judgement, findings: Iterable[Disposed], blocking: Collection[Severity]) -> Outcome:
    """Return what a gate came to: the one place where that is decided.

    Failed if any blocking finding is open, or more than the gate's limits allow; else inconclusive if there is a gap
    or nothing was examined; else passed.
    """
    findings = tuple(findings)
    if any(each.disposition is Disposition.OPEN and each.finding.severity in blocking for each in findings):
        return Outcome.FAILED
    if exceeded(judgement.limits, findings):
        return Outcome.FAILED
    if judgement.gaps or judgement.examined <= 0:
        return Outcome.INCONCLUSIVE
    return Outcome.PASSED


def exceeded(limits: Iterable[OpenLimit], findings: Sequence[Disposed]) -> tuple[str, ...]:
    """Return a sentence for each limit that more open findings exceed."""
    said = []
    for limit in limits:
        count = sum(
            each.disposition is Disposition.OPEN
            and each.finding.severity is limit.severity
            and limit.family in (None, each.finding.family)
            for each in findings
        )
        if count > limit.most:
            of = f" of {limit.family}" if limit.family else ""
            said.append(f"{count} {limit.severity} findings{of} are open, at most {limit.most} may be")
    return tuple(said)


def met(measured: Measurement) -> bool:
    """Say whether a figure is on the right side of its threshold; one without a threshold is on no side.

    Raises:
        ValueError: there is no threshold.
    """
    distance = _distance(measured)
    return distance > 0 or (distance == 0 and measured.comparison != "<")


def margin(measured: Measurement) -> float | None:
    """Return how far a figure is on the right side of its threshold, as a ratio of it; None = the threshold is 0.

    Raises:
        ValueError: there is no threshold.
    """
    distance = _distance(measured)
    return distance / measured.threshold if measured.threshold else None


def _distance(measured: Measurement) -> float:
    if measured.threshold is None or measured.comparison is None:
        raise ValueError(f"{measured.name} has no threshold.")
    sign = -1 if measured.comparison == ">=" else 1
    return sign * (measured.threshold - measured.value)


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome; of none at all: inconclusive."""
    ranks = list(Outcome)
    return min(outcomes, key=ranks.index, default=Outcome.INCONCLUSIVE)


def required_outcome(results: Sequence[GateResult], required: Iterable[str]) -> tuple[Outcome, tuple[str, ...]]:
    """Return the worst outcome of the required gates and a reason for each that did not pass.

    A required gate without a result is inconclusive.
    """
    by_id = {result.gate: result for result in results}
    outcomes, reasons = [], []
    for gate in required:
        result = by_id.get(gate)
        if result is None:
            outcomes.append(Outcome.INCONCLUSIVE)
            reasons.append(f"{gate}: was not asked")
            continue
        outcomes.append(result.outcome)
        if result.outcome is not Outcome.PASSED:
            reasons.append(f"{gate}: {result.outcome}: {_why(result)}")
    if not outcomes:
        reasons.append("no gate is required, so nothing was proven")
    return worst(outcomes), tuple(reasons)


def _why(result: GateResult) -> str:
    """Return the first cause of an outcome, and how many more there are."""
    said = causes(result.judgement, result.findings, result.outcome) or ("what was recorded of it does not say why",)
    return said[0] + (f" (and {len(said) - 1} more)" if len(said) > 1 else "")


def causes(judgement: Judgement, findings: Sequence[Disposed], reached: Outcome) -> tuple[str, ...]:
    """Return why a gate came to what it came to, the worst first; of one that passed, nothing that is open."""
    if reached is Outcome.INCONCLUSIVE:
        return tuple(f"{gap.what}: {gap.why}" for gap in judgement.gaps) or ("nothing was examined",)
    open_ones = sorted(
        (each.finding for each in findings if each.disposition is Disposition.OPEN), key=lambda each: each.severity.rank
    )
    return (*exceeded(judgement.limits, findings), *(f"{each.subject}: {each.message}" for each in open_ones))


def unused(waivers: Iterable[Waiver], results: Sequence[GateResult]) -> tuple[Waiver, ...]:
    """Return the entries of the register that disposed of nothing: expired, or for a fault that is gone."""
    used = [each.waiver for result in results for each in result.findings if each.waiver is not None]
    return tuple(waiver for waiver in waivers if waiver not in used)


REGISTER = "waivers"
"""Id of the result that tells of the register itself."""


def register_result(
    waivers: Sequence[Waiver], results: Sequence[GateResult], required: Iterable[str], on: date, at: datetime
) -> GateResult | None:
    """Return what the other gates' results say of the register's entries; None if it has none.

    An entry that disposed of nothing is a finding: it would hide the fault if it came back. Where a gate was not asked,
    or was blind, nobody can tell, and that is a gap. Neither keeps anybody from going live.

    Args:
        waivers: The register.
        results: What all gates came to.
        required: The gates that the plan requires.
        on: The day on which entries are, or are not, in force.
        at: When this is said.
    """
    if not waivers:
        return None
    saw_all = {result.gate for result in results} >= set(required) and not any(
        result.judgement.gaps or result.judgement.examined <= 0 for result in results
    )
    idle = unused(waivers, results)
    gaps = (
        [] if saw_all else [Gap(what=f"{each.rule} on {each.subject}", why=_UNTOLD) for each in idle if _due(each, on)]
    )
    findings = tuple(_idle(each, on) for each in idle if saw_all or not _due(each, on))
    judgement = Judgement(examined=len(waivers), findings=findings, gaps=tuple(gaps))
    disposed = dispose(findings, (), on)
    return GateResult(
        gate=REGISTER,
        question="Does each entry of the waiver register still dispose of a finding?",
        stage=Stage.BEFORE_DEPLOY,
        required=False,
        outcome=outcome(judgement, disposed, ()),
        judgement=judgement,
        findings=disposed,
        observation=None,
        started_at=at,
        ended_at=at,
    )


_UNTOLD = "disposed of nothing, but not every gate was asked and saw all that it looks for"


def _due(waiver: Waiver, on: date) -> bool:
    return waiver.created <= on <= waiver.expires


def _idle(waiver: Waiver, on: date) -> Finding:
    if on > waiver.expires:
        why = f"expired on {waiver.expires} and is void"
    elif on < waiver.created:
        why = f"begins on {waiver.created} only"
    else:
        why = "disposes of no finding: the fault is gone, or the rule or the subject is misspelt"
    return Finding(
        rule="readiness/unused-waiver",
        subject=f"{waiver.rule} on {waiver.subject}",
        severity=Severity.LOW,
        message=f"The register's entry {why}",
        help=f"Mend it or delete it; {waiver.owner} owns it.",
        fingerprint=f"unused-waiver:{waiver.rule}:{waiver.subject}",
    )


REHEARSAL = "rehearsal: what was seen on the embedded AWS is no evidence of production"
"""The reason that no rehearsal is ever without."""


def not_registered(registration: Registration) -> tuple[str, ...]:
    """Return a reason for each file that was not fixed in a commit before the run."""
    if not registration.files:
        return ("pre-registration: nothing shows that the plan was fixed before the run",)
    at = f"commit {registration.commit[:12]}"
    return tuple(
        f"pre-registration: {each.path} {f'is not in {at}' if each.committed is None else f'differs from {at}'}"
        for each in registration.files
        if each.committed != each.digest
    )


def changed_meanwhile(registration: Registration) -> tuple[str, ...]:
    """Return a reason for each file that was another at the end of the run than before it."""
    return tuple(
        f"pre-registration: {each.path} was changed during the run" for each in registration.files if each.changed
    )


def standing_in_the_way(record: Record) -> tuple[str, ...]:
    """Return a reason for each fact of a run that no gate tells of, and with which nobody may go live."""
    reasons = []
    if record.leftovers:
        reasons.append(f"leftovers: {len(record.leftovers)} may still exist: {', '.join(record.leftovers)}")
    if record.environment is Environment.AWS and record.candidate.dirty:
        reasons.append("candidate: the work tree had uncommitted changes, so no commit names what was tested")
    if record.environment is Environment.AWS and record.registration.allow_dirty:
        reasons.append("pre-registration: the run was begun with --allow-dirty, as a rehearsal")
    return tuple(reasons)


def verdict(
    results: Sequence[GateResult],
    *,
    required: Iterable[str],
    environment: Environment,
    interrupted: bool = False,
    troubles: Sequence[str] = (),
    missing: Sequence[str] = (),
    registration: Registration | None = None,
) -> tuple[Outcome, Verdict, tuple[str, ...]]:
    """Return the outcome of the run, the verdict, and each reason why it is not GO.

    The outcome is the worst of the required gates'; a run that was interrupted, or whose harness stumbled
    (*troubles*), is at best inconclusive. What people have not done yet (*missing*) does not change the outcome. One
    whose plan was not committed before it is at best inconclusive too, unless the user said that it is a rehearsal:
    then that alone keeps it from GO. A registration of None is not looked at.
    """
    reached, reasons = required_outcome(results, required)
    unfixed = () if registration is None else not_registered(registration)
    changed = () if registration is None else changed_meanwhile(registration)
    if changed or (unfixed and registration is not None and not registration.allow_dirty):
        reached = worst((reached, Outcome.INCONCLUSIVE))
    reasons = (*reasons, *unfixed, *changed)
    if interrupted:
        reached = worst((reached, Outcome.INCONCLUSIVE))
        reasons += ("the run was interrupted",)
    if troubles:
        reached = worst((reached, Outcome.INCONCLUSIVE))
        reasons = (*troubles, *reasons)
    blocked = [*reasons, *missing]
    if environment is Environment.EMULATED:
        blocked.append(REHEARSAL)
    return reached, Verdict.NO_GO if blocked else Verdict.GO, tuple(blocked)


def exit_code(record: Record) -> ExitCode:
    """Return what the shell is told of a run, which nobody can have signed yet."""
    if record.leftovers:
        return ExitCode.LEFTOVERS
    if record.outcome is Outcome.FAILED:
        return ExitCode.NO_GO
    if record.outcome is Outcome.INCONCLUSIVE:
        return ExitCode.NO_RELIABLE_VERDICT
    rehearsed = record.environment is Environment.EMULATED
    return ExitCode.GO if rehearsed or record.verdict is Verdict.GO else ExitCode.NO_RELIABLE_VERDICT


def rehearsal_complete(decision: Decision) -> bool:
    """Say whether a rehearsal went all the way: nothing is missing but that it was no rehearsal."""
    return decision.environment is Environment.EMULATED and decision.reasons == (REHEARSAL,)


def decision_exit_code(decision: Decision) -> ExitCode:
    """Return what the shell is told of a bundle that people decide on."""
    if decision.leftovers:
        return ExitCode.LEFTOVERS
    refused = any(each.in_force and each.filed.signature.decision == "no-go" for each in decision.signatures)
    if decision.outcome is Outcome.FAILED or refused:
        return ExitCode.NO_GO
    if decision.verdict is Verdict.GO or rehearsal_complete(decision):
        return ExitCode.GO
    return ExitCode.NO_RELIABLE_VERDICT
