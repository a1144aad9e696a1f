"""Controls of the gate `runbooks`: reviews that are void, alarms that lead nowhere, commands that are none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from readiness.controls.control import Control
from readiness.controls.planted import spoiled
from readiness.gates.runbooks import Observation
from readiness.runbook import Runbook


def _runbook(
    spoil: Callable[[Runbook], Runbook], where: Callable[[Runbook], bool] = lambda _: True
) -> Callable[[Observation], Observation]:
    """Return what spoils the first runbook that fits."""
    return lambda seen: replace(seen, runbooks=spoiled(seen.runbooks, spoil, where, what="such runbook"))


def _reviewed_by_its_author(each: Runbook) -> Runbook:
    reviewers = tuple(replace(review, name=each.about.author) for review in each.about.reviewers)
    return replace(each, about=replace(each.about, reviewers=reviewers))


CONTROLS: tuple[Control[Observation], ...] = (
    Control(
        id="runbooks/edited-after-review",
        plants="a runbook was edited after its review",
        plant=_runbook(lambda each: replace(each, content_hash="sha256:" + 64 * "0")),
    ),
    Control(
        id="runbooks/reviewed-by-author",
        plants="an author reviewed their own runbook",
        plant=_runbook(_reviewed_by_its_author, lambda each: bool(each.about.reviewers)),
    ),
    Control(
        id="runbooks/not-reviewed",
        plants="nobody reviewed a runbook",
        plant=_runbook(lambda each: replace(each, about=replace(each.about, reviewers=()))),
    ),
    Control(
        id="runbooks/section-missing",
        plants="a runbook does not say how to verify",
        plant=_runbook(lambda each: replace(each, sections=tuple(each.sections)[:-1])),
    ),
    Control(
        id="runbooks/broken-command",
        plants="a command of a runbook cannot be parsed",
        plant=_runbook(
            lambda each: replace(
                each,
                blocks=spoiled(each.blocks, lambda block: replace(block, fault="is no valid bash"), what="block"),
            ),
            lambda each: bool(each.blocks),
        ),
    ),
    Control(
        id="runbooks/alarm-without-runbook",
        plants="an alarm names no runbook",
        plant=lambda seen: replace(
            seen, alarms=spoiled(seen.alarms, lambda each: replace(each, description="It rings."), what="alarm")
        ),
    ),
    Control(
        id="runbooks/no-runbooks",
        plants="there is no runbook",
        plant=lambda seen: replace(seen, runbooks=(), unreadable={}),
    ),
    Control(
        id="runbooks/no-alarms",
        plants="there is no alarm to have a runbook for",
        plant=lambda seen: replace(seen, alarms=()),
    ),
)
