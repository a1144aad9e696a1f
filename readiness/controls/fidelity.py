"""Controls of `fidelity`: another image, another content, tasks that are not alike, nothing that was seen."""

from __future__ import annotations

from dataclasses import replace

from readiness import contract
from readiness.controls.control import Control, NothingToSpoilError
from readiness.controls.planted import spoiled
from readiness.deployed_service import TaskSeen
from readiness.gates.fidelity import Observation

_OTHER = "sha256:" + "0" * 64


def _with_tasks(seen: Observation, tasks: tuple[TaskSeen, ...]) -> Observation:
    return replace(seen, service=replace(seen.service, tasks=tasks))


def _one_task(seen: Observation, **changes: object) -> Observation:
    return _with_tasks(seen, spoiled(seen.service.tasks, lambda each: replace(each, **changes), what="task"))  # type: ignore[arg-type]


def _other_image(seen: Observation) -> Observation:
    def spoil(task: TaskSeen) -> TaskSeen:
        return replace(task, digests={**task.digests, contract.SERVICE_CONTAINER: _OTHER})

    if len(seen.service.tasks) < 2 and not any(each.digests for each in seen.service.registry):
        raise NothingToSpoilError("the evidence has one task, and nothing that its image is held against")
    return _with_tasks(seen, spoiled(seen.service.tasks, spoil, what="task"))


def _unknown_image(seen: Observation) -> Observation:
    def spoil(task: TaskSeen) -> TaskSeen:
        return replace(task, digests=dict.fromkeys(task.digests, ""))

    return _with_tasks(seen, spoiled(seen.service.tasks, spoil, what="task"))


def _other_content(seen: Observation) -> Observation:
    path = f"container.{contract.SERVICE_CONTAINER}.image"
    content = {**seen.service.content, path: "somebody-elses:latest"}
    return replace(seen, service=replace(seen.service, content=content))


CONTROLS: tuple[Control[Observation], ...] = (
    Control(id="fidelity/other-image", plants="a task runs another image", plant=_other_image),
    Control(id="fidelity/unknown-image", plants="ECS does not tell what image a task runs", plant=_unknown_image),
    Control(id="fidelity/other-content", plants="the service has another image than the plan", plant=_other_content),
    Control(
        id="fidelity/other-revision",
        plants="a task runs another revision",
        plant=lambda seen: _one_task(seen, task_definition="planted:1"),
    ),
    Control(id="fidelity/no-task", plants="no task was seen", plant=lambda seen: _with_tasks(seen, ())),
    Control(
        id="fidelity/too-few",
        plants="the service wants fewer tasks than the plan",
        plant=lambda seen: replace(seen, service=replace(seen.service, desired=0, running=0)),
    ),
    Control(
        id="fidelity/no-template",
        plants="no template tells of the service",
        plant=lambda seen: replace(seen, template={}),
    ),
)
