"""`readiness selftest`: all controls together, on a bundle that passed."""

from __future__ import annotations

from pathlib import Path

from readiness import baseline, evidence, plan, waivers
from readiness.controls import on_evidence
from readiness.errors import EvidenceError
from readiness.model import ControlShown, Environment, Outcome
from readiness.run import RUNS, settings_of
from readiness.selftest import forgeries, scanners
from readiness.verify import verify


def latest_passed(repository: Path) -> Path:
    """Return the newest bundle of this repository whose run passed.

    Raises:
        EvidenceError: there is none.
    """
    found = [baseline.latest(repository / RUNS, environment) for environment in Environment]
    newest = max((each for each in found if each is not None), key=lambda each: each.parent.name, default=None)
    if newest is None:
        raise EvidenceError(
            "No run has passed here yet, so there is no evidence to plant faults in.",
            hint="`readiness run` makes some; or name a bundle.",
        )
    return newest


def selftest(bundle: Path, repository: Path) -> tuple[ControlShown, ...]:
    """Plant every fault, one at a time, and return what became of each.

    Args:
        bundle: The bundle of a run that passed. It is left as it is.
        repository: Root folder of the repository.

    Raises:
        EvidenceError: it does not verify, or its run did not pass: then a fault would prove nothing.
    """
    record = verify(bundle).record
    if record.outcome is not Outcome.PASSED:
        raise EvidenceError(
            f"{bundle} came to {record.outcome}: a fault planted in it would prove nothing.",
            hint="Name the bundle of a run that passed.",
        )
    frozen = plan.load_plan(bundle / evidence.PLAN)
    register = waivers.load_waivers(bundle / evidence.WAIVERS, max_age=frozen.max_waiver_age)
    return (
        *on_evidence(bundle, record, frozen, register, lambda gate: settings_of(gate, frozen, evidence.PLAN)),
        *forgeries.controls(bundle),
        *scanners.controls(repository, bundle / evidence.PLAN),
    )
