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
from readiness.folders import make_folder
from readiness.secrecy import conceal

FILE = "ledger.jsonl"
_FREE_TEXT = ("why", "how")
"""Details that quote what others said. The rest says what was made and where: masked, it would not be found again."""


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
        make_folder(path.parent)

    def note(self, event: str, *, kind: str = "", name: str = "", **details: str) -> None:
        """Append a line and force it to the disk.

        Raises:
            EvidenceError: it could not be written; then the act must not be done.
        """
        at = datetime.now(UTC).isoformat()
        said = {key: conceal(value) if key in _FREE_TEXT else value for key, value in details.items()}
        line = json.dumps({"at": at, "event": event, "kind": kind, "name": name, "details": said})
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(self._mend() + line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise EvidenceError(
                f"The ledger {self.path} cannot be written: {error.strerror}.",
                hint="Nothing is made that could not be found again. Free the disk and run again.",
            ) from error

    def _mend(self) -> str:
        """Return what ends a line that a crash cut short, so that the next is not glued to it."""
        whole = self.path.read_bytes()
        return "\n" if whole and not whole.endswith(b"\n") else ""

    def about_to_create(self, kind: str, name: str, **details: str) -> None:
        """Say what is about to be made, before it is made."""
        self.note("about-to-create", kind=kind, name=name, **details)

    def entries(self) -> tuple[Entry, ...]:
        """Return every whole line; one that a crash cut short names an act that never began.

        Raises:
            EvidenceError: the ledger cannot be read.
        """
        try:
            text = self.path.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise EvidenceError(f"The ledger {self.path} cannot be read: {error.strerror}.") from error
        entries = []
        for line in text.splitlines():
            try:
                raw = json.loads(line)
                entries.append(Entry(**(raw | {"at": datetime.fromisoformat(raw["at"])})))
            except (ValueError, TypeError, KeyError):
                continue
        return tuple(entries)

    def created(self) -> tuple[Entry, ...]:
        """Return what was announced as about to be made."""
        return tuple(entry for entry in self.entries() if entry.event == "about-to-create")
