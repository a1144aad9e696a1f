"""Controls of the gate `alarms`: alarms that do not fire, messages that do not arrive, faults without effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from readiness.controls.control import Control
from readiness.controls.planted import spoiled
from readiness.gates.alarms import Drilled, Observation


def _drill(
    spoil: Callable[[Drilled], Drilled], where: Callable[[Drilled], bool] = lambda _: True
) -> Callable[[Observation], Observation]:
    """Return what spoils the first drill that fits."""
    return lambda seen: replace(seen, drills=spoiled(seen.drills, spoil, where, what="drill of an alarm"))


CONTROLS: tuple[Control[Observation], ...] = (
    Control(
        id="alarms/never-fires",
        plants="an alarm's threshold never trips",
        plant=_drill(lambda each: replace(each, alarm_at=None, alarm_received_at=None)),
    ),
    Control(
        id="alarms/muted-subscription",
        plants="an alarm fired and no message of it arrived",
        plant=_drill(lambda each: replace(each, alarm_received_at=None)),
    ),
    Control(
        id="alarms/never-clears",
        plants="an alarm rang on after its fault was gone",
        plant=_drill(lambda each: replace(each, ok_at=None, ok_received_at=None)),
    ),
    Control(
        id="alarms/silent-recovery",
        plants="nobody was told that all is well again",
        plant=_drill(lambda each: replace(each, ok_received_at=None)),
    ),
    Control(
        id="alarms/fault-without-effect",
        plants="no request met the fault",
        plant=_drill(lambda each: replace(each, fault_requests=0), lambda each: each.fault_requests > 0),
    ),
    Control(
        id="alarms/ringing-before",
        plants="an alarm rang before its fault was put in",
        plant=_drill(lambda each: replace(each, state_before="ALARM")),
    ),
    Control(
        id="alarms/not-drilled",
        plants="one alarm was left out",
        plant=lambda seen: replace(seen, drills=seen.drills[1:]),
    ),
    Control(
        id="alarms/nothing-drilled",
        plants="there was no alarm at all",
        plant=lambda seen: replace(seen, alarms={}, drills=()),
    ),
)
