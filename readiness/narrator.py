"""Says on stderr how a run goes: live on a terminal, one plain line per event elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from readiness.model import Disposed, Disposition, GateResult, Outcome
from readiness.secrecy import conceal

_FIGURES_EVERY_S = 5.0
_UNHEARD = (OSError, ValueError, RuntimeError)
_MARKS = {
    Outcome.PASSED: ("[green]✓[/green]", "passed"),
    Outcome.FAILED: ("[red]✗[/red]", "failed"),
    Outcome.INCONCLUSIVE: ("[yellow]?[/yellow]", "inconclusive"),
}


def _weight(each: Disposed) -> tuple[bool, int]:
    """Return what sorts the findings that made a gate fail to the front."""
    return each.disposition is not Disposition.OPEN, each.finding.severity.rank


class _Voice:
    """A stream, as long as somebody listens: a terminal that is gone must not end a run, least of all its teardown.

    A signal that is told while a line is being written finds the stream busy; what it has to say is then lost too.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(*_UNHEARD):
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(*_UNHEARD):
            self._stream.flush()


class Narrator:
    """The voice of a run. Rich honours ``NO_COLOR``, ``FORCE_COLOR`` and a stderr that is no terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(file=_Voice(sys.stderr), highlight=False, emoji=False)  # type: ignore[arg-type]
        self._status: Status | None = None
        self._stage = ""
        self._begun = 0.0
        self._figures_at = 0.0

    def say(self, text: str) -> None:
        """Say one sentence."""
        self.console.print(f"  [dim]{escape(conceal(text))}[/dim]", soft_wrap=True)

    def show(self, text: str) -> None:
        """Show a line that somebody is asked about."""
        self.console.print(escape(conceal(text)), soft_wrap=True)

    def warn(self, text: str) -> None:
        """Say one sentence that must not be overlooked."""
        self.console.print(f"[yellow]![/yellow] {escape(conceal(text))}", soft_wrap=True)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Show that a part of the run is under way, and how long it took."""
        self._stage, self._begun, self._figures_at = name, time.monotonic(), time.monotonic()
        if self.console.is_terminal:
            try:
                with self.console.status(escape(name)) as self._status:
                    yield
            finally:
                self._status = None
        else:
            self.console.print(f"... {escape(name)}", soft_wrap=True)
            yield
        self.console.print(f"[dim]{time.monotonic() - self._begun:6.1f} s[/dim]  {escape(name)}", soft_wrap=True)

    def figures(self, values: dict[str, str]) -> None:
        """Show live figures: in place on a terminal, every few seconds elsewhere."""
        line = "  ".join(f"{name} {value}" for name, value in values.items())
        if self._status is not None:
            self._status.update(f"{escape(self._stage)}  [bold]{escape(line)}[/bold]")
        elif time.monotonic() - self._figures_at >= _FIGURES_EVERY_S:
            self._figures_at = time.monotonic()
            self.console.print(f"      {escape(line)}", soft_wrap=True)

    def result(self, result: GateResult) -> None:
        """Show what a gate came to, and its first causes."""
        mark, word = _MARKS[result.outcome]
        optional = "" if result.required else " (not required)"
        self.console.print(f"{mark} [bold]{result.gate}[/bold] {word}{optional}", soft_wrap=True)
        if result.outcome is Outcome.FAILED:
            for each in sorted(result.findings, key=_weight)[:5]:
                finding = each.finding
                text = f"{finding.severity} {finding.subject}: {finding.message} ({each.disposition})"
                self.console.print(f"    {escape(conceal(text))}", soft_wrap=True)
        for gap in result.judgement.gaps[:5]:
            self.console.print(f"    gap: {escape(conceal(f'{gap.what}: {gap.why}'))}", soft_wrap=True)
