"""Controls of `rollback` and `task-loss`: faults without effect, ways back that led elsewhere, nobody who noticed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from readiness.controls.control import AnyControl, Control
from readiness.controls.planted import spoiled
from readiness.drill_clients import ClientsSeen
from readiness.gates import rollback, task_loss
from readiness.gates.rollback import Rehearsal


def _untroubled(clients: ClientsSeen) -> ClientsSeen:
    """Return clients that noticed nothing."""
    seconds = tuple(replace(each, failed=0, slow=dict.fromkeys(each.slow, 0)) for each in clients.seconds)
    return replace(clients, seconds=seconds)


def _unserved(clients: ClientsSeen) -> ClientsSeen:
    return replace(clients, seconds=())


def _rehearsal(
    spoil: Callable[[Rehearsal], Rehearsal], way: str = "automatic"
) -> Callable[[rollback.Observation], rollback.Observation]:
    """Return what spoils the first rehearsal of a way."""
    return lambda seen: replace(
        seen,
        rehearsals=spoiled(seen.rehearsals, spoil, lambda each: each.way == way, what=f"rehearsal of the way {way}"),
    )


def _ended_well(each: Rehearsal) -> Rehearsal:
    """Return a rehearsal whose bad release went out and stayed, as if it were a good one."""
    return replace(each, release=replace(each.release, status="SUCCESSFUL") if each.release else None)


def _step_failed(each: Rehearsal) -> Rehearsal:
    broken = spoiled(
        each.steps,
        lambda step: replace(
            step, exit_code=127, stderr="bash: asw: command not found", fault="ended with exit code 127"
        ),
        what="step that was followed",
    )
    return replace(each, steps=broken)


def _without_effect(seen: rollback.Observation) -> rollback.Observation:
    return replace(
        seen,
        clients=_untroubled(seen.clients),
        rehearsals=tuple(replace(each, failed_tasks=0, stopped=()) for each in seen.rehearsals),
    )


_ROLLBACK: tuple[Control[rollback.Observation], ...] = (
    Control(id="rollback/fault-without-effect", plants="the bad release did no harm", plant=_without_effect),
    Control(
        id="rollback/not-rolled-back",
        plants="the bad release went out and stayed",
        plant=_rehearsal(_ended_well),
    ),
    Control(
        id="rollback/wrong-revision",
        plants="the way back led to another revision",
        plant=_rehearsal(
            lambda each: replace(each, after=replace(each.after, task_definition=each.bad_task_definition))
        ),
    ),
    Control(
        id="rollback/bad-task-left",
        plants="a task of the bad release went on running",
        plant=_rehearsal(
            lambda each: replace(
                each, after=replace(each.after, tasks={**each.after.tasks, "bad": each.bad_task_definition})
            )
        ),
    ),
    Control(
        id="rollback/other-image",
        plants="another image ran afterwards",
        plant=_rehearsal(lambda each: replace(each, after=replace(each.after, digests=("sha256:" + 64 * "0",)))),
    ),
    Control(
        id="rollback/not-detected",
        plants="no alarm noticed the bad release",
        plant=_rehearsal(lambda each: replace(each, detected_at=None)),
    ),
    Control(
        id="rollback/too-slow",
        plants="the way back took longer than the plan allows",
        plant=_rehearsal(
            lambda each: replace(each, limits=replace(each.limits, max_recover=timedelta(0), max_detect=timedelta(0)))
        ),
    ),
    Control(
        id="rollback/runbook-wrong-command",
        plants="a step of the runbook failed",
        plant=_rehearsal(_step_failed, "runbook"),
    ),
    Control(
        id="rollback/runbook-without-steps",
        plants="the runbook has nothing to follow",
        plant=_rehearsal(lambda each: replace(each, steps=(), planned_steps=()), "runbook"),
    ),
    Control(
        id="rollback/no-requests",
        plants="nobody used the service meanwhile",
        plant=lambda seen: replace(seen, clients=_unserved(seen.clients)),
    ),
    Control(
        id="rollback/not-rehearsed",
        plants="nothing was rehearsed",
        plant=lambda seen: replace(seen, rehearsals=()),
    ),
)

_TASK_LOSS: tuple[Control[task_loss.Observation], ...] = (
    Control(id="task-loss/nothing-lost", plants="no task was lost", plant=lambda seen: replace(seen, lost=())),
    Control(
        id="task-loss/task-went-on",
        plants="the stopped task went on running",
        plant=lambda seen: replace(
            seen, lost=spoiled(seen.lost, lambda each: replace(each, gone_at=None), what="lost task")
        ),
    ),
    Control(
        id="task-loss/not-replaced",
        plants="nothing took the lost task's place",
        plant=lambda seen: replace(seen, replaced_at=None),
    ),
    Control(
        id="task-loss/replaced-too-late",
        plants="the replacement came later than the plan allows",
        plant=lambda seen: replace(seen, max_recover=timedelta(0)),
    ),
    Control(
        id="task-loss/no-requests",
        plants="nobody used the service meanwhile",
        plant=lambda seen: replace(seen, clients=_unserved(seen.clients)),
    ),
    Control(
        id="task-loss/alarm-ringing",
        plants="an alarm still rang at the end",
        plant=lambda seen: replace(seen, alarms_after=dict.fromkeys(seen.alarms_after, "ALARM")),
    ),
)

CONTROLS: tuple[AnyControl, ...] = (*_ROLLBACK, *_TASK_LOSS)
