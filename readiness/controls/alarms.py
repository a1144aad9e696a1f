"""Controls of the gate `alarms`: alarms that do not fire, messages that do not arrive, faults without effect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from readiness.alarm_wiring import AlarmSeen, Subscriber
from readiness.controls.control import Control
from readiness.controls.planted import spoiled
from readiness.gates.alarms import Drilled, Observation


def _drill(
    spoil: Callable[[Drilled], Drilled], where: Callable[[Drilled], bool] = lambda _: True
) -> Callable[[Observation], Observation]:
    """Return what spoils the first drill that fits."""
    return lambda seen: replace(seen, drills=spoiled(seen.drills, spoil, where, what="drill of an alarm"))


def _alarm(spoil: Callable[[AlarmSeen], AlarmSeen]) -> Callable[[Observation], Observation]:
    """Return what spoils the wiring of the first alarm."""
    return lambda seen: replace(
        seen, wiring=replace(seen.wiring, alarms=spoiled(seen.wiring.alarms, spoil, what="alarm"))
    )


def _persons(spoil: Callable[[Subscriber], Subscriber]) -> Callable[[Observation], Observation]:
    """Return what spoils the subscription of every person."""

    def plant(seen: Observation) -> Observation:
        persons = seen.wiring.persons
        subscribers = tuple(spoil(each) if each in persons else each for each in seen.wiring.subscribers)
        return replace(seen, wiring=replace(seen.wiring, subscribers=subscribers))

    return plant


_ONLY_OK = '{"NewStateValue": ["OK"]}'

CONTROLS: tuple[Control[Observation], ...] = (
    Control(
        id="alarms/without-action",
        plants="an alarm tells nobody when it fires",
        plant=_alarm(lambda each: replace(each, alarm_actions=())),
    ),
    Control(
        id="alarms/actions-disabled",
        plants="the actions of an alarm are switched off",
        plant=_alarm(lambda each: replace(each, actions_enabled=False)),
    ),
    Control(
        id="alarms/names-no-runbook",
        plants="an alarm names no runbook",
        plant=_alarm(lambda each: replace(each, runbook="", runbook_found=False)),
    ),
    Control(
        id="alarms/topic-without-a-person",
        plants="nobody but the harness listens to the topic",
        plant=lambda seen: replace(seen, wiring=replace(seen.wiring, subscribers=())),
    ),
    Control(
        id="alarms/subscription-not-confirmed",
        plants="no person has confirmed the subscription",
        plant=_persons(lambda each: replace(each, confirmed=False)),
    ),
    Control(
        id="alarms/muted-subscription",
        plants="a filter policy drops the messages of ALARM",
        plant=_persons(lambda each: replace(each, filter_policy=_ONLY_OK, filter_scope="MessageBody")),
    ),
    Control(
        id="alarms/never-fires",
        plants="an alarm's threshold never trips",
        plant=_drill(lambda each: replace(each, alarm_at=None, alarm_message=None)),
    ),
    Control(
        id="alarms/no-message",
        plants="an alarm fired and no message of it arrived",
        plant=_drill(lambda each: replace(each, alarm_message=None)),
    ),
    Control(
        id="alarms/never-clears",
        plants="an alarm rang on after its fault was gone",
        plant=_drill(lambda each: replace(each, ok_at=None, ok_message=None)),
    ),
    Control(
        id="alarms/silent-recovery",
        plants="nobody was told that all is well again",
        plant=_drill(lambda each: replace(each, ok_message=None)),
    ),
    Control(
        id="alarms/fault-without-effect",
        plants="the fault had no effect",
        plant=_drill(lambda each: replace(each, effect="", fault_requests=0), lambda each: each.method != "set-state"),
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
        plant=lambda seen: replace(seen, wiring=replace(seen.wiring, alarms=()), drills=()),
    ),
)
