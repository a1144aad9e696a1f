"""The timeline of a drill: what happened when, told while it happens."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

_SHOWN = 3


class Timeline:
    """Marks instants of one drill and shows them, in seconds since the first.

    Args:
        drill: What is drilled.
        narrate: Says one sentence.
        progress: Shows live figures.
        clock: The present instant.
    """

    def __init__(
        self,
        drill: str,
        narrate: Callable[[str], None],
        progress: Callable[[dict[str, str]], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._drill = drill
        self._narrate = narrate
        self._progress = progress
        self._clock = clock
        self.marks: dict[str, datetime] = {}

    def mark(self, what: str, at: datetime | None = None) -> datetime:
        """Note and say that something happened, now or at an instant that somebody else tells; only once each."""
        if what not in self.marks:
            self.marks[what] = at or self._clock()
            self._narrate(f"{self._drill}: {self._seconds(self.marks[what]):+6.1f} s  {what}")
        return self.marks[what]

    def show(self, doing: str) -> None:
        """Show the latest marks, and what is under way."""
        latest = list(self.marks.items())[-_SHOWN:]
        told = {what.partition(":")[0]: f"{self._seconds(at):.0f} s" for what, at in latest}
        self._progress({**told, doing: f"{self._seconds(self._clock()):.0f} s"})

    def _seconds(self, at: datetime) -> float:
        first = next(iter(self.marks.values()), at)
        return (at - first).total_seconds()
