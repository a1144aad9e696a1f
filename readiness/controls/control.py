"""What a negative control is: one fault, planted in evidence that passed, that the gate must not let through."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

ObservationT = TypeVar("ObservationT")


@dataclass(frozen=True, kw_only=True)
class Control(Generic[ObservationT]):
    """One fault, planted in an observation.

    Attributes:
        id: ``gate/what-is-planted``.
        plants: What is planted, in words.
        plant: Returns the observation with the fault in it. It may raise ``NothingToSpoilError``.
    """

    id: str
    plants: str
    plant: Callable[[ObservationT], ObservationT]

    @property
    def gate(self) -> str:
        """Id of the gate that must notice."""
        return self.id.partition("/")[0]


class NothingToSpoilError(Exception):
    """The evidence holds nothing that this fault could be planted in; says what it would take."""


AnyControl = Control[Any]
