"""Controls of `leftovers`: something that stayed, something that nobody can ask for, nothing that was asked."""

from __future__ import annotations

from dataclasses import replace

from readiness.controls.control import Control
from readiness.gates.leftovers import Observation
from readiness.inventory import Resource, Standing


def _with(standing: Standing, why: str) -> Resource:
    return Resource(kind="AWS::EC2::NatGateway", name="nat-0planted", source="stack", standing=standing, why=why)


CONTROLS: tuple[Control[Observation], ...] = (
    Control(
        id="leftovers/planted-leftover",
        plants="a NAT gateway stayed",
        plant=lambda seen: replace(seen, resources=(*seen.resources, _with("there", "it was planted"))),
    ),
    Control(
        id="leftovers/unknown-type",
        plants="nobody knows how to ask for a resource",
        plant=lambda seen: replace(seen, resources=(*seen.resources, _with("unknown", "nobody can ask for it"))),
    ),
    Control(
        id="leftovers/nothing-asked",
        plants="nothing was asked about",
        plant=lambda seen: replace(seen, resources=()),
    ),
)
