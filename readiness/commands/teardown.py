"""`readiness teardown`: finish the teardown of a run that was killed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readiness.commands.output import tell
from readiness.decide import ExitCode
from readiness.narrator import Narrator


def add(commands: Any) -> None:
    """Add `readiness teardown`."""
    parser = commands.add_parser(
        "teardown",
        help="finish the teardown of a run that was killed",
        description="Remove what a run made and prove that it is gone, from its ledger.",
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="the run, as its folder under .readiness/runs is called")
    parser.set_defaults(act=_teardown)


def _teardown(arguments: argparse.Namespace) -> int:
    from readiness.aftermath import teardown

    narrator = Narrator()
    for line in teardown(Path.cwd(), arguments.run_id, narrator.say):
        tell(line)
    return ExitCode.GO
