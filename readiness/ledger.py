"""The ledger: a line written before each act, so that a killed run can still be cleaned up.

One JSON object a line, forced to the disk before the act it announces.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from readiness.errors import EvidenceError

FILE = "ledger.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger."""

    at: datetime
    event: str
    kind: str
    name: str
    details: dict[str, str]


class Ledger:
    """An append-only file of what is about to be made, and of what the run has come to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)

    def note(self, event: str, *, kind: str = "", name: str = "", **details: str) -> None:
        """Append a line and force it to the disk.

        Raises:
            EvidenceError: it could not be written; then the act must not be done.
        """
        at = datetime.now(UTC).isoformat()
        line = json.dumps({"at": at, "event": event, "kind": kind, "name": name, "details": details})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EvidenceError(
                f"The ledger {self.path} cannot be written: {error.strerror}.",
                hint="Nothing is made that could not be found again. Free the disk and run again.",
            ) from error

    def about_to_create(self, kind: str, name: str, **details: str) -> None:
        """Say what is about to be made, before it is made."""
        self.note("about-to-create", kind=kind, name=name, **details)

    def entries(self) -> tuple[Entry, ...]:
        """Return every whole line; a line that a crash cut short is the last, and names an act that never began."""
        entries = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                raw = json.loads(line)
                entries.append(Entry(**(raw | {"at": datetime.fromisoformat(raw["at"])})))
            except (ValueError, TypeError, KeyError):
                continue
        return tuple(entries)

    def created(self) -> tuple[Entry, ...]:
        """Return what was announced as about to be made."""
        return tuple(entry for entry in self.entries() if entry.event == "about-to-create")
