"""Recompute a past verdict from its evidence, offline: re-hash, judge again, decide again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from readiness import decide, evidence, gates, plan, waivers
from readiness.errors import EvidenceError
from readiness.gate import Gate
from readiness.model import GateResult, Judgement, Plan, Record, Waiver
from readiness.run import remaining, result_of, settings_of


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a verification went through."""

    record: Record
    files: int
    judged: int
    """Observations that were judged again."""
    taken: int
    """Results without an observation, taken as gaps: they can only make an outcome worse."""


def verify(bundle: Path) -> Verified:
    """Recompute the verdict of a bundle.

    Raises:
        EvidenceError: a file was altered, or the evidence does not yield what the record says.
    """
    files = evidence.check_manifest(bundle)
    record = evidence.read_record(bundle)
    frozen = plan.load_plan(bundle / evidence.PLAN)
    register = waivers.load_waivers(bundle / evidence.WAIVERS, max_age=frozen.max_waiver_age)
    _same("plan_digest", record.plan_digest, plan.digest(bundle / evidence.PLAN))
    _same("waivers_digest", record.waivers_digest, plan.digest(bundle / evidence.WAIVERS))
    _same("required", record.required, frozen.gates.required)
    known = {gate.id: gate for gate in gates.all_gates()}
    again = [_judge_again(bundle, known, frozen, register, record, result) for result in record.results]
    for before, after in zip(record.results, again, strict=True):
        _same(f"results[{before.gate}]", before, after)
    reached, verdict, reasons = decide.verdict(
        again,
        required=frozen.gates.required,
        owners=frozen.owners,
        signatures=record.signatures,
        environment=record.environment,
        interrupted=record.interrupted,
    )
    _same("outcome", record.outcome, reached)
    _same("verdict", record.verdict, verdict)
    _same("unused_waivers", record.unused_waivers, decide.unused(register, again))
    _contains("reasons", record.reasons, reasons)
    _contains("leftovers", record.leftovers, remaining(again))
    judged = sum(result.observation is not None for result in again)
    return Verified(record=record, files=files, judged=judged, taken=len(again) - judged)


def _judge_again(
    bundle: Path,
    known: dict[str, Gate[Any, Any]],
    frozen: Plan,
    register: tuple[Waiver, ...],
    record: Record,
    result: GateResult,
) -> GateResult:
    """Return the result that the bundle's observation yields now."""
    gate = known.get(result.gate)
    if gate is None:
        raise EvidenceError(
            f"This version has no gate {result.gate!r}.", hint=f"Verify with readiness {record.harness_version}."
        )
    judgement = _rejudge(bundle, gate, frozen, result)
    return result_of(
        frozen, register, gate, judgement, result.observation, result.started_at, result.ended_at, record.started_at
    )


def _rejudge(bundle: Path, gate: Gate[Any, Any], frozen: Plan, result: GateResult) -> Judgement:
    """Return what the gate makes of the observation now; a gate that was blind then stays blind."""
    blind = not result.judgement.examined and bool(result.judgement.gaps)
    if result.observation is None:
        if blind:
            return result.judgement
        raise EvidenceError(f"results[{result.gate}] has no observation, and yet claims to have examined something.")
    observation = evidence.read_json(bundle, result.observation, gate.observation)
    try:
        return gate.judge(observation, settings_of(gate, frozen, evidence.PLAN))
    except Exception as error:
        if blind:
            return result.judgement
        raise EvidenceError(f"results[{result.gate}]: its observation cannot be judged: {error!r}") from error


def _same(what: str, written: object, computed: object) -> None:
    if written != computed:
        raise EvidenceError(
            f"The record says {what} = {_short(written)}, but the evidence yields {_short(computed)}.",
            hint="The record was altered, or another version of the harness judged it.",
        )


def _contains(what: str, written: tuple[str, ...], computed: tuple[str, ...]) -> None:
    """Refuse a record that leaves out a reason; it may name more (what the harness itself stumbled over)."""
    left_out = [text for text in computed if text not in written]
    if left_out:
        raise EvidenceError(f"The record leaves out of its {what}: {_short(left_out)}.")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else text[:300] + "…"
