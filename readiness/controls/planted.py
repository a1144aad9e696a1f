"""Replace one thing in a record that holds tuples of records: what every control does to an observation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from readiness.controls.control import NothingToSpoilError

T = TypeVar("T")


def spoiled(
    items: Sequence[T], spoil: Callable[[T], T], where: Callable[[T], bool] = lambda _: True, *, what: str
) -> tuple[T, ...]:
    """Return *items* with the first one that fits spoiled.

    Raises:
        NothingToSpoilError: none fits; *what* says of what there would have to be one.
    """
    for index, item in enumerate(items):
        if where(item):
            return (*items[:index], spoil(item), *items[index + 1 :])
    raise NothingToSpoilError(f"the evidence has no {what}")
