"""The commands: one file each, which adds its arguments to the parser and says what it does."""

from __future__ import annotations

from readiness.commands import (
    aws,
    compare,
    down,
    drill,
    gates,
    go_live,
    keygen,
    plan,
    report,
    run,
    scan,
    sign,
    teardown,
    tick,
    up,
    verify,
    waive,
)

COMMANDS = (
    run,
    scan,
    waive,
    tick,
    sign,
    keygen,
    verify,
    go_live,
    report,
    compare,
    gates,
    plan,
    up,
    drill,
    down,
    teardown,
    aws,
)
"""In the order of the help."""
