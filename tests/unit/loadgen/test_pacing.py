"""Steps are called when they asked for it, and an instant that has passed, whichever, means at once."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from readiness.loadgen.pacing import pace


@pytest.fixture(autouse=True)
def not_for_ever() -> Iterator[None]:
    """A step that is never called would hang the test."""
    with gevent.Timeout(10):
        yield


@pytest.mark.parametrize("past", [0.0, -1.0, 1e-12, 0.5])
def test_an_instant_that_has_passed_means_at_once_and_never_not_at_all(past: float) -> None:
    asked: list[float | None] = [past, past, None]
    pace(lambda: asked.pop(0))
    assert asked == []


def test_a_step_is_called_at_the_instant_that_it_asked_for_and_not_before() -> None:
    begun = time.monotonic()
    asked: list[float | None] = [begun + 0.01, begun + 0.02, None]
    called: list[float] = []

    def step() -> float | None:
        called.append(time.monotonic())
        return asked.pop(0)

    pace(step)
    assert called[1] >= begun + 0.01
    assert called[2] >= begun + 0.02
    assert called[2] < begun + 5


def test_others_go_on_between_steps_that_are_late() -> None:
    steps = iter([0.0] * 50 + [None])
    turns = []

    def other() -> None:
        for _ in range(5):
            turns.append(1)
            gevent.sleep(0)

    beside = gevent.spawn(other)
    pace(lambda: next(steps))
    assert len(turns) == 5
    beside.join()


def test_what_a_step_raises_is_raised_where_it_was_asked_for() -> None:
    def broken() -> float | None:
        raise ZeroDivisionError("in a step")

    with pytest.raises(ZeroDivisionError, match="in a step"):
        pace(broken)
