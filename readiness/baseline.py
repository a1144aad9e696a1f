"""The earlier run that a relative objective compares with: found, and checked before it is believed."""

from __future__ import annotations

from pathlib import Path

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.model import Environment, Outcome, Record, Verdict

_HINT = "Name a bundle with --baseline, or leave objectives of kind latency-change out until there is one."


def latest(runs: Path, environment: Environment) -> Path | None:
    """Return the newest bundle below *runs* that may be a baseline; None = there is none.

    Args:
        runs: Folder that holds one folder per run, named so that they sort by age.
        environment: Where the run that compares takes place.
    """
    for folder in sorted(runs.iterdir(), reverse=True) if runs.is_dir() else ():
        bundle = folder / "bundle"
        try:
            checked(bundle, environment)
        except EvidenceError:
            continue
        return bundle
    return None


def checked(bundle: Path, environment: Environment) -> Record:
    """Return the record of a bundle that may be a baseline.

    On AWS that is a GO; on the embedded AWS, where there is none, a rehearsal that passed.

    Raises:
        EvidenceError: it was altered, was made elsewhere, or proved nothing.
    """
    record = evidence.read_record(bundle)
    if record.environment is not environment:
        raise EvidenceError(
            f"{bundle} was made on {record.environment}, this run is on {environment}: nothing can be compared.",
            hint=_HINT,
        )
    evidence.check_manifest(bundle)
    decision = evidence.read_decision(bundle)
    verdict = Verdict.NO_GO if decision is None else decision.verdict
    if record.outcome is not Outcome.PASSED or (environment is Environment.AWS and verdict is not Verdict.GO):
        raise EvidenceError(f"{bundle} is no baseline: it came to {record.outcome}, {verdict}.", hint=_HINT)
    return record


def missing(environment: Environment) -> EvidenceError:
    """Return the error that there is no baseline."""
    what = "ended with GO" if environment is Environment.AWS else "passed as a rehearsal"
    return EvidenceError(f"No earlier run that {what} was found.", hint=_HINT)
