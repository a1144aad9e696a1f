"""Negative controls: faults that are planted in evidence that passed, one at a time, and that no gate may let through.

A gate that has never said no has not been shown to be one. Every control takes the observation of a gate that passed,
puts one fault into it, and asks the same gate again, with the same settings and waivers. It must come to failed
or inconclusive. The evidence without the fault is the positive control: it passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

from readiness import decide, evidence, gates
from readiness.controls import alarms, cost, decision, drills, fidelity, leftovers, load, runbooks, scans
from readiness.controls.control import AnyControl, NothingToSpoilError
from readiness.errors import ReadinessError
from readiness.gate import Gate
from readiness.model import ControlShown, Judgement, Outcome, Plan, Record, Waiver

CONTROLS: tuple[AnyControl, ...] = (
    *cost.CONTROLS,
    *scans.CONTROLS,
    *runbooks.CONTROLS,
    *fidelity.CONTROLS,
    *load.CONTROLS,
    *alarms.CONTROLS,
    *drills.CONTROLS,
    *leftovers.CONTROLS,
)

Settings = Callable[[Gate[Any, Any]], Any]
"""A gate -> its settings by the plan."""


def on_evidence(
    root: Path, record: Record, plan: Plan, register: tuple[Waiver, ...], settings: Settings
) -> tuple[ControlShown, ...]:
    """Return what becomes of each planted fault, in the evidence of a bundle.

    Args:
        root: The bundle.
        record: Its record.
        plan: Its plan.
        register: Its waivers: one that covers too much would let a planted fault through, which this then shows.
        settings: Tells a gate's settings.
    """
    known = {gate.id: gate for gate in gates.all_gates()}
    by_gate = {result.gate: result for result in record.results}
    on = record.started_at.date()
    rows = []
    for control in CONTROLS:
        result = by_gate.get(control.gate)
        if result is None or result.outcome is not Outcome.PASSED or result.observation is None:
            why = "was not asked" if result is None else "did not pass, so that it had nothing to lose"
            rows.append(_row(control, "not shown", f"the gate {control.gate} {why}"))
        else:
            gate = known[control.gate]
            seen = evidence.read_json(root, result.observation, gate.observation)
            rows.append(_judged(control, gate, seen, settings(gate), plan, register, on))
    rows += decision.controls(record, plan, evidence.files(root))
    return tuple(rows)


def _judged(
    control: AnyControl,
    gate: Gate[Any, Any],
    seen: Any,
    settings: Any,
    plan: Plan,
    register: tuple[Waiver, ...],
    on: date,
) -> ControlShown:
    """Return what the gate makes of an observation with the fault in it."""
    try:
        judgement: Judgement = gate.judge(control.plant(seen), settings)
    except NothingToSpoilError as nothing:
        return _row(control, "not shown", str(nothing))
    except ReadinessError as error:  # what cannot be judged becomes a gap in a run
        return _row(control, "inconclusive", error.message)
    disposed = decide.dispose(judgement.findings, register, on)
    reached = decide.outcome(judgement, disposed, plan.blocking_severities)
    said = next(iter(decide.causes(judgement, disposed, reached)), "")
    return _row(control, reached.value, said)


def _row(control: AnyControl, came_to: str, said: str) -> ControlShown:
    return ControlShown(id=control.id, plants=control.plants, came_to=came_to, said=said)  # type: ignore[arg-type]


def let_through(rows: tuple[ControlShown, ...]) -> Iterator[ControlShown]:
    """Yield each planted fault that nobody noticed."""
    return (row for row in rows if row.came_to == "passed")
