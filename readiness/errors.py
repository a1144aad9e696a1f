"""The errors of the harness: each says what happened and what to do next.

An exception means "we could not find out". A candidate that is bad is a ``Finding``, never an exception.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


class ReadinessError(Exception):
    """Anything the harness could not do, in a sentence for its user.

    Attributes:
        message: What happened, and to what.
        hint: The next thing to do.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


@dataclass(frozen=True)
class Fault:
    """One mistake in a file that the user wrote.

    Attributes:
        key: Where it is, as TOML spells it: ``objectives[2].threshold``; empty = the whole file.
        message: What was found there, and what is allowed.
        hint: The next thing to do.
        line: Counted from 1; None = not known.
    """

    key: str
    message: str
    hint: str = field(default="", kw_only=True)
    line: int | None = field(default=None, kw_only=True)


class PlanError(ReadinessError):
    """The user's plan or waivers are wrong; carries the file and every mistake in it.

    Attributes:
        file: Which file.
        faults: All mistakes that were found, in the order of the file where their lines are known.
    """

    def __init__(
        self, file: str, key: str, message: str, *, hint: str = "", line: int | None = None, more: Sequence[Fault] = ()
    ) -> None:
        faults = (Fault(key, message, hint=hint, line=line), *more)
        hints = list(dict.fromkeys(fault.hint for fault in faults if fault.hint))
        super().__init__("\n".join(_spelled(file, fault) for fault in faults), hint="\n  ".join(hints))
        self.file = file
        self.faults = faults

    @property
    def key(self) -> str:
        """Where the first mistake is."""
        return self.faults[0].key

    @classmethod
    def of(cls, file: str, faults: Sequence[Fault]) -> PlanError:
        """Return the error that names all of some mistakes; those of known lines first, in their order."""
        first, *more = sorted(faults, key=lambda fault: (fault.line is None, fault.line or 0))
        return cls(file, first.key, first.message, hint=first.hint, line=first.line, more=more)


def _spelled(file: str, fault: Fault) -> str:
    place = file if fault.line is None else f"{file}:{fault.line}"
    return f"{place}: {fault.key}: {fault.message}" if fault.key else f"{place}: {fault.message}"


class UsageError(ReadinessError):
    """The command line asks for something that there is not."""


class ToolError(ReadinessError):
    """A program that we ran failed, or said something unreadable."""

    def __init__(self, argv: Sequence[str], exit_code: int | None, stderr: str, *, hint: str = "") -> None:
        ended = (
            "did not end in time"
            if exit_code is None
            else f"was killed by signal {-exit_code}"
            if exit_code < 0
            else f"ended with exit code {exit_code}"
        )
        tail = "\n".join(f"    {line}" for line in stderr.strip().splitlines()[-20:])
        super().__init__(f"`{' '.join(argv)}` {ended}" + (f":\n{tail}" if tail else "."), hint=hint)
        self.exit_code = exit_code
        self.stderr = stderr


class DeadlineError(ReadinessError):
    """A wait ran out; carries the last thing that was seen."""

    def __init__(self, what: str, waited_s: float, last_seen: str, *, hint: str = "") -> None:
        super().__init__(f"Waited {waited_s:.0f} s for {what}; last seen: {last_seen}.", hint=hint)


class CloudError(ReadinessError):
    """AWS, or the embedded AWS, refused or failed an operation."""


class DeployError(CloudError):
    """The stack could not be deployed; names the first resource that failed, not the last event."""

    def __init__(self, stack: str, resource: str, reason: str, *, hint: str = "") -> None:
        super().__init__(f"Stack {stack} could not be deployed: {resource}: {reason}", hint=hint)
        self.resource = resource
        self.reason = reason


class TeardownError(CloudError):
    """Something of the run may still exist."""

    def __init__(self, leftovers: Sequence[str], *, hint: str = "") -> None:
        super().__init__("May still exist: " + ", ".join(leftovers), hint=hint)
        self.leftovers = tuple(leftovers)


class EvidenceError(ReadinessError):
    """Evidence is missing, altered or could not be written."""
