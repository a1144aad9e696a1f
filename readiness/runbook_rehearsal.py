"""Whether a run rehearsed a runbook: its evidence shows that the steps were followed, in which wording, and worked."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.gates import rollback
from readiness.gates.rollback import Rehearsal
from readiness.runbook import Rehearsed, Runbook


def rehearsed_by(runbook: Runbook, bundle: Path) -> Rehearsed:
    """Return the rehearsal of a runbook that a bundle proves.

    The evidence is re-hashed, and what the gate ``rollback`` saw is looked at again; what the record says of it is not
    taken.

    Raises:
        EvidenceError: the bundle was altered, or does not prove that the runbook was followed as it is now, step by
            step, and that it worked.
    """
    if not bundle.is_dir():
        raise EvidenceError(f"{bundle} is no evidence bundle: there is no such folder.")
    evidence.check_manifest(bundle)
    run = evidence.read_record(bundle)
    path = evidence.observation_path(rollback.GATE.id)
    if not any(result.gate == rollback.GATE.id and result.observation == path for result in run.results):
        raise EvidenceError(
            f"{bundle}: run {run.run_id} rehearsed no runbook: its gate `rollback` saw nothing.",
            hint="Name the bundle of a whole run, or of one with --only rollback.",
        )
    seen = evidence.read_json(bundle, path, rollback.Observation)
    by_runbook = [each for each in seen.rehearsals if each.way == "runbook"]
    followed = [each for each in by_runbook if PurePosixPath(each.runbook).stem == runbook.about.id]
    if not followed:
        others = ", ".join(each.runbook for each in by_runbook) or "none"
        raise EvidenceError(
            f"{bundle}: run {run.run_id} did not follow {runbook.path}; it followed {others}.",
            hint="The plan names the runbook that the drill follows: drills.rollback.runbook.id.",
        )
    rehearsal = followed[-1]
    faults = _faults(rehearsal, runbook)
    if faults:
        raise EvidenceError(
            f"{bundle}: run {run.run_id} is no rehearsal of {runbook.path}: {'; '.join(faults)}.",
            hint="Rehearse it again, as it is now: `readiness run`.",
        )
    return Rehearsed(
        run=run.run_id,
        date=rehearsal.ended_at.date(),
        environment=run.environment,
        content_hash=rehearsal.runbook_hash,
        bundle=evidence.bundle_digest(bundle),
    )


def _faults(rehearsal: Rehearsal, runbook: Runbook) -> list[str]:
    """Return why a rehearsal does not show that the runbook works."""
    faults = []
    if not rehearsal.runbook_hash:
        faults.append("it does not say which wording was followed")
    elif rehearsal.runbook_hash != runbook.content_hash:
        faults.append("another wording was followed")
    if rehearsal.runbook_fault:
        faults.append(f"it could not be followed: {rehearsal.runbook_fault}")
    if not rehearsal.planned_steps:
        faults.append("it had no step")
    if tuple(step.id for step in rehearsal.steps) != rehearsal.planned_steps:
        faults.append(f"{len(rehearsal.steps)} of its {len(rehearsal.planned_steps)} steps were followed")
    faults += [f"step {step.id} failed: {step.fault}" for step in rehearsal.steps if step.fault]
    if rehearsal.effective_at is None:
        faults.append("there was no bad release to take back")
    if rehearsal.put_back or rehearsal.after.task_definition != rehearsal.before.task_definition:
        faults.append("its steps did not bring the previous revision back")
    return faults
