"""The commands: one file each, which adds its arguments to the parser and says what it does."""

from __future__ import annotations

from readiness.commands import (
    aws,
    compare,
    doctor,
    down,
    drill,
    gates,
    go_live,
    keygen,
    plan,
    report,
    resume,
    run,
    runbooks,
    scan,
    selftest,
    sign,
    sweep,
    teardown,
    tick,
    up,
    verify,
    waive,
)

COMMANDS = (
    doctor,
    plan,
    run,
    scan,
    waive,
    runbooks,
    verify,
    report,
    compare,
    tick,
    sign,
    keygen,
    go_live,
    selftest,
    gates,
    up,
    drill,
    down,
    teardown,
    resume,
    sweep,
    aws,
)
"""In the order of the help."""
