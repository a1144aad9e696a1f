"""What a report is made of: the record, the plan, and whatever else the bundle holds; what it lacks is told by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from readiness import evidence, gates
from readiness.errors import EvidenceError
from readiness.gate import Gate
from readiness.load_result import LoadResult, read_artifact
from readiness.model import ControlShown, Decision, GateResult, Measurement, Plan, Record

O = TypeVar("O")  # noqa: E741 - an observation


@dataclass(frozen=True, kw_only=True)
class Unseen:
    """Something that the bundle does not hold, or holds unreadably."""

    why: str


@dataclass(frozen=True, kw_only=True)
class Content:
    """One bundle, as a report reads it.

    Attributes:
        decision: What the run, and people since, made of it.
        root: The bundle's folder.
        notices: What a reader has to know before anything else, such as that the bundle was altered.
        gone_live: What was found in production after the cutover; None = nobody has looked.
    """

    record: Record
    plan: Plan
    decision: Decision
    root: Path
    notices: tuple[str, ...] = ()
    gone_live: GateResult | None = None

    def result(self, gate: str) -> GateResult | None:
        """Return what a gate came to; None = it was not asked."""
        return next((result for result in self.record.results if result.gate == gate), None)

    def observation(self, gate: Gate[Any, O]) -> O | Unseen:
        """Return what a gate saw."""
        result = self.result(gate.id)
        if result is None:
            return Unseen(why=f"The gate {gate.id} was not asked in this run.")
        if result.observation is None:
            gaps = "; ".join(f"{gap.what}: {gap.why}" for gap in result.judgement.gaps)
            return Unseen(why=f"The gate {gate.id} saw nothing: {gaps or 'and does not say why'}.")
        try:
            return evidence.read_json(self.root, result.observation, gate.observation)
        except EvidenceError as error:
            return Unseen(why=f"What the gate {gate.id} saw cannot be read: {self._said(error)}")

    def observations(self) -> dict[str, Any]:
        """Return gate -> what it saw, for each gate whose observation can be read."""
        seen = {gate.id: self.observation(gate) for gate in gates.all_gates()}
        return {gate: each for gate, each in seen.items() if not isinstance(each, Unseen)}

    def controls(self) -> tuple[ControlShown, ...] | Unseen:
        """Return what became of the faults that were planted in the evidence."""
        try:
            return evidence.read_json(self.root, evidence.CONTROLS, tuple[ControlShown, ...])
        except EvidenceError as error:
            return Unseen(why=f"What became of planted faults cannot be read: {self._said(error)}")

    def drive(self, path: str) -> LoadResult | Unseen:
        """Return every second of a drive, from an artifact."""
        try:
            return read_artifact(evidence.read_bytes(self.root, path))
        except EvidenceError as error:
            return Unseen(why=f"The seconds of the drive cannot be read: {self._said(error)}")

    def _said(self, error: EvidenceError) -> str:
        """Return what an error says, with paths as the bundle knows them: it may lie elsewhere tomorrow."""
        return error.message.replace(f"{self.root}/", "")

    def measurements(self, gate: str) -> dict[str, Measurement]:
        """Return name -> figure of those that a gate measured; the one with a threshold, where there are two."""
        result = self.result(gate)
        found = sorted(result.judgement.measurements, key=lambda each: each.threshold is not None) if result else []
        return {each.name: each for each in found}
