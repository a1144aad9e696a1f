"""The commands: one file each, which adds its arguments to the parser and says what it does."""

from __future__ import annotations

from readiness.commands import (
    aws,
    compare,
    down,
    drill,
    gates,
    plan,
    report,
    resume,
    run,
    scan,
    sweep,
    teardown,
    up,
    verify,
    waive,
)

COMMANDS = (run, resume, scan, waive, verify, report, compare, gates, plan, up, drill, down, teardown, sweep, aws)
"""In the order of the help."""
