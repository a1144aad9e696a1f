"""`readiness drill`: one drill on a clone that is up."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readiness.decide import ExitCode
from readiness.narrator import Narrator


def add(commands: Any) -> None:
    """Add `readiness drill`."""
    parser = commands.add_parser(
        "drill",
        help="do one drill on a clone that is up",
        description="Drill the alarms, the rollback or the loss of a task on a clone that `readiness up` made.",
    )
    parser.add_argument(
        "name",
        choices=("alarms", "rollback", "task-loss"),
        metavar="alarms|rollback|task-loss",
        help="what is drilled: the gate of that name",
    )
    parser.add_argument("run_id", nargs="?", metavar="RUN_ID", help="default: the only clone that is up")
    parser.set_defaults(act=_drill)


def _drill(arguments: argparse.Namespace) -> int:
    from readiness.standing import drill

    result, folder = drill(Path.cwd(), arguments.name, arguments.run_id, Narrator())
    print(f"{result.gate}: {result.outcome}")
    print(f"evidence: {folder}")
    return {"passed": ExitCode.GO, "failed": ExitCode.NO_GO}.get(result.outcome, ExitCode.NO_RELIABLE_VERDICT)
