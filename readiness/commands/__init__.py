"""The commands: one file each, which adds its arguments to the parser and says what it does."""

from __future__ import annotations

from readiness.commands import (
    aws,
    compare,
    doctor,
    down,
    drill,
    gates,
    plan,
    report,
    run,
    scan,
    teardown,
    up,
    verify,
    waive,
)

COMMANDS = (run, scan, waive, verify, report, compare, gates, plan, doctor, up, drill, down, teardown, aws)
"""In the order of the help."""
