"""The errors of the harness: each says what happened and what to do next.

An exception means "we could not find out". A candidate that is bad is a ``Finding``, never an exception.
"""

from __future__ import annotations

from collections.abc import Sequence


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


class PlanError(ReadinessError):
    """The user's plan or waivers are wrong; carries the file and the key."""

    def __init__(self, file: str, key: str, message: str, *, hint: str = "") -> None:
        super().__init__(f"{file}: {key}: {message}" if key else f"{file}: {message}", hint=hint)
        self.file = file
        self.key = key


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
