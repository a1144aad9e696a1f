"""Controls of `cost`: a run that is too dear, something without a price, no budget, nothing that was priced."""

from __future__ import annotations

from dataclasses import replace

from readiness.controls.control import Control, NothingToSpoilError
from readiness.cost import Unpriced
from readiness.gates.cost import Observation


def _too_dear(seen: Observation) -> Observation:
    if not seen.estimate.lines or not seen.estimate.usd_per_run:
        raise NothingToSpoilError("the evidence has nothing that costs")
    return replace(seen, budget_usd=seen.estimate.usd_per_run / 2)


CONTROLS: tuple[Control[Observation], ...] = (
    Control(id="cost/too-dear", plants="a run costs twice its budget", plant=_too_dear),
    Control(
        id="cost/no-price",
        plants="a resource has no price",
        plant=lambda seen: replace(
            seen,
            estimate=replace(
                seen.estimate, unpriced=(*seen.estimate.unpriced, Unpriced(subject="Planted", why="it was planted"))
            ),
        ),
    ),
    Control(id="cost/no-budget", plants="the plan has no budget", plant=lambda seen: replace(seen, budget_usd=None)),
    Control(
        id="cost/nothing-priced",
        plants="the templates hold no resource",
        plant=lambda seen: replace(seen, estimate=replace(seen.estimate, lines=(), free={})),
    ),
)
