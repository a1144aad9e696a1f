"""Recompute a past verdict from its evidence, offline: re-hash, judge again, decide again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from readiness import controls, decide, evidence, gates, plan, report, sign_off, waivers
from readiness.decision import SignOff, decided
from readiness.errors import EvidenceError, PlanError
from readiness.gate import Gate
from readiness.golive import verify_go_live
from readiness.loadgen import workload_files
from readiness.model import ControlShown, Decision, GateResult, Judgement, Plan, Record, Waiver
from readiness.run import checked, remaining, result_of, settings_of


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What a verification went through."""

    record: Record
    plan: Plan
    sign_off: SignOff
    decision: Decision
    """What the evidence, and all that was decided on it since, come to."""
    files: int
    judged: int
    """Observations that were judged again."""
    taken: int
    """Results without an observation, taken as gaps: they can never make a pass."""
    live: GateResult | None = None
    """What was found in production after the cutover, judged again; None = nobody has looked."""


def verify(bundle: Path, *, gone_live: bool = True) -> Verified:
    """Recompute the verdict of a bundle.

    Args:
        bundle: Its folder.
        gone_live: Whether to judge again what was seen in production since, too.

    Raises:
        EvidenceError: a file was altered, or the evidence does not yield what the record says.
    """
    files = evidence.check_manifest(bundle)
    record = evidence.read_record(bundle)
    frozen, register = _frozen(bundle, record)
    known = {gate.id: gate for gate in gates.all_gates()}
    asked = [result for result in record.results if result.gate != decide.REGISTER]
    again = [_judge_again(bundle, known, frozen, register, record, result) for result in asked]
    for before, after in zip(asked, again, strict=True):
        _same(f"results[{before.gate}]", before, after)
    told = _told_again(record, again)
    _same("results", len({each.gate for each in record.results}), len(record.results))
    computed = decided(told, frozen, evidence.files(bundle))
    _check_registration(bundle, record)
    _check_register(record, frozen, register, again)
    _contains("leftovers", record.leftovers, remaining(again))
    _same("outcome", record.outcome, computed.outcome)
    _same("verdict", record.verdict, computed.verdict)
    _same("unused_waivers", record.unused_waivers, decide.unused(register, again))
    _same("reasons", record.reasons, computed.reasons)
    _check_controls(bundle, record, frozen, register)
    for name, data in report.told_of(record, frozen, computed).items():
        _same(name, data, evidence.read_bytes(bundle, name))
    signed = sign_off.read(bundle, frozen)
    now = _check_sign_off(bundle, decided(told, frozen, evidence.files(bundle), signed), signed)
    live = verify_go_live(bundle) if gone_live else None
    judged = sum(result.observation is not None for result in again)
    return Verified(
        record=record,
        plan=frozen,
        sign_off=signed,
        decision=now,
        files=files,
        judged=judged,
        taken=len(again) - judged,
        live=live,
    )


def _told_again(record: Record, again: list[GateResult]) -> Record:
    """Return the record with the results that the evidence yields, and the register's as it stands."""
    register = [result for result in record.results if result.gate == decide.REGISTER]
    return replace(record, results=(*again, *register))


def _check_sign_off(bundle: Path, now: Decision, signed: SignOff) -> Decision:
    """Compare what is told of the sign-off with what its ticks and signatures yield; return what they yield."""
    if signed.bundle is not None:
        _same(evidence.DECISION, evidence.read_decision(bundle), now)
        written = evidence.read_bytes(bundle, sign_off.GO_NO_GO)
        _same(sign_off.GO_NO_GO, written, report.go_no_go(now).encode())
    return now


def _check_register(record: Record, frozen: Plan, register: tuple[Waiver, ...], again: list[GateResult]) -> None:
    written = next((result for result in record.results if result.gate == decide.REGISTER), None)
    at = record.decided_at if written is None else written.started_at
    told = decide.register_result(register, again, frozen.gates.required, record.started_at.date(), at)
    _same(f"results[{decide.REGISTER}]", written, told)


def _check_controls(bundle: Path, record: Record, frozen: Plan, register: tuple[Waiver, ...]) -> None:
    """Plant every fault again, and refuse a bundle that tells another end of one, or hides one that got through."""
    if not (bundle / evidence.CONTROLS).exists():
        if not record.troubles:
            raise EvidenceError(f"The bundle holds no {evidence.CONTROLS}, and no reason why.")
        return
    written = evidence.read_json(bundle, evidence.CONTROLS, tuple[ControlShown, ...])
    again = controls.on_evidence(
        bundle, record, frozen, register, lambda gate: settings_of(gate, frozen, evidence.PLAN)
    )
    _same(evidence.CONTROLS, {each.id: each.came_to for each in written}, {each.id: each.came_to for each in again})
    told = [f"A planted fault got through: {row.plants} ({row.id})" for row in controls.let_through(again)]
    _contains("troubles", record.troubles, tuple(told))


def _check_registration(bundle: Path, record: Record) -> None:
    """Refuse a registration of other files than those of the bundle: what it says of the commit is said of them."""
    files = {each.kept: each.digest for each in record.registration.files}
    kept = [evidence.PLAN, evidence.WAIVERS]
    kept += [
        file.relative_to(bundle).as_posix() for file in (bundle / workload_files.FOLDER).rglob("*") if file.is_file()
    ]
    _same("registration", files, {path: plan.digest(bundle / path) for path in sorted(kept)})
    _same("registration.commit", record.registration.commit, record.candidate.commit)


def _frozen(bundle: Path, record: Record) -> tuple[Plan, tuple[Waiver, ...]]:
    """Return the plan and the waivers of the bundle, being those that the record names, and check what it says of them.

    Raises:
        EvidenceError: they are missing, invalid or others.
    """
    try:
        _same("plan_digest", record.plan_digest, plan.digest(bundle / evidence.PLAN))
        _same("waivers_digest", record.waivers_digest, plan.digest(bundle / evidence.WAIVERS))
        frozen = plan.load_plan(bundle / evidence.PLAN)
        register = waivers.load_waivers(bundle / evidence.WAIVERS, max_age=frozen.max_waiver_age)
    except OSError as error:
        raise EvidenceError(f"{error.filename} cannot be read: {error.strerror}.") from error
    except PlanError as error:
        raise EvidenceError(f"The bundle's own plan or waivers are invalid: {error.message}") from error
    _same("required", record.required, frozen.gates.required)
    _same("candidate.image", record.candidate.image, frozen.service.image)
    templates = {file.name: evidence.sha256(file.read_bytes()) for file in (bundle / evidence.TEMPLATES).glob("*")}
    _same("candidate.template_digests", record.candidate.template_digests, templates)
    return frozen, register


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
    judgement = _rejudge(bundle, gate, frozen, record, result)
    return result_of(
        frozen, register, gate, judgement, result.observation, result.started_at, result.ended_at, record.started_at
    )


def _rejudge(bundle: Path, gate: Gate[Any, Any], frozen: Plan, record: Record, result: GateResult) -> Judgement:
    """Return what the gate makes of the observation now; a gate that was blind then stays blind."""
    blind = not result.judgement.examined and bool(result.judgement.gaps)
    if result.observation is None:
        left = evidence.observation_path(gate.id)
        if (bundle / left).exists():
            raise EvidenceError(f"results[{result.gate}] claims to have seen nothing, but the bundle holds {left}.")
        if blind:
            return result.judgement
        raise EvidenceError(f"results[{result.gate}] has no observation, and yet claims to have examined something.")
    _same(f"results[{result.gate}].observation", result.observation, evidence.observation_path(gate.id))
    try:
        observation = evidence.read_json(bundle, result.observation, gate.observation)
        _same(f"observation of {gate.id}", observation, _rebuilt(bundle, gate, observation))
        for field, value in (gate.terms(frozen) if gate.terms else {}).items():
            _same(f"{field} of {gate.id}", getattr(observation, field), value)
        _same(f"environment of {gate.id}", record.environment, getattr(observation, "environment", record.environment))
        return checked(gate.judge(observation, settings_of(gate, frozen, evidence.PLAN)))
    except Exception as error:  # what cannot be read or judged now must have failed then
        if blind:
            return result.judgement
        raise EvidenceError(f"results[{result.gate}]: its observation cannot be judged: {error}") from error


def _rebuilt(bundle: Path, gate: Gate[Any, Any], observation: Any) -> Any:
    """Return the observation as the artifacts that it sums up yield it now."""
    if gate.rebuild is None:
        return observation
    again = gate.rebuild(observation, lambda path: evidence.read_bytes(bundle, path))
    return evidence.from_json(gate.observation, evidence.to_json(gate.observation, again), gate.id)


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
