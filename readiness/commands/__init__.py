"""The commands: one file each, which adds its arguments to the parser and says what it does."""

from __future__ import annotations

from readiness.commands import (
    aws,
    compare,
    down,
    drill,
    gates,
    init,
    plan,
    publish,
    report,
    run,
    scan,
    teardown,
    up,
    verify,
    waive,
)

COMMANDS = (init, run, scan, waive, verify, report, publish, compare, gates, plan, up, drill, down, teardown, aws)
"""In the order of the help."""
