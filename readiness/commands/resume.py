"""`readiness resume`: go on with a run whose runner was killed, where that is sound."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readiness.commands.run import told
from readiness.narrator import Narrator


def add(commands: Any) -> None:
    """Add `readiness resume`."""
    parser = commands.add_parser(
        "resume",
        help="go on with a run that was killed, where that is sound",
        description="Go on with a run on AWS from its last finished stage: its clone must still stand as the run left "
        "it, and candidate, plan and harness must be the same. Otherwise it says why not, and changes nothing.",
    )
    parser.add_argument("run_id", metavar="RUN_ID", help="the run, as its folder under .readiness/runs is called")
    parser.add_argument("--json", action="store_true", help="print the record as JSON on stdout")
    parser.set_defaults(act=_resume)


def _resume(arguments: argparse.Namespace) -> int:
    from readiness.resume import resume

    record, bundle = resume(Path.cwd(), arguments.run_id, Narrator())
    return told(record, bundle, as_json=arguments.json)
