"""`readiness down`: take a clone down."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readiness.commands.output import tell
from readiness.decide import ExitCode
from readiness.narrator import Narrator


def add(commands: Any) -> None:
    """Add `readiness down`."""
    parser = commands.add_parser(
        "down", help="take a clone down", description="Destroy a clone that `readiness up` made, and prove it."
    )
    parser.add_argument("run_id", nargs="?", metavar="RUN_ID", help="default: the only clone that is up")
    parser.set_defaults(act=_down)


def _down(arguments: argparse.Namespace) -> int:
    from readiness.standing import down

    for line in down(Path.cwd(), arguments.run_id, Narrator().say):
        tell(line)
    return ExitCode.GO
