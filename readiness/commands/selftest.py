"""`readiness selftest`: plant faults in evidence that passed, and see that no gate lets one through."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from readiness.commands.output import say
from readiness.decide import ExitCode
from readiness.model import ControlShown
from readiness.narrator import Narrator


def add(commands: Any) -> None:
    """Add `readiness selftest`."""
    parser = commands.add_parser(
        "selftest",
        help="plant faults in evidence that passed, and see that no gate lets one through",
        description="Negative controls: one fault at a time is planted in the evidence of a run that passed, in its "
        "bundle, and in a template. Each must end as failed, inconclusive or refused. Exit code 0: every one did; "
        "2: one got through; 1: there was no evidence to plant one in.",
    )
    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="default: the newest bundle here whose run passed"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON on stdout")
    parser.set_defaults(act=_selftest)


def _selftest(arguments: argparse.Namespace) -> int:
    from readiness.selftest import latest_passed, selftest  # the scanners: seconds that `--help` need not wait

    bundle = arguments.bundle or latest_passed(Path.cwd())
    narrator = Narrator()
    narrator.say(f"Planting faults in copies of {bundle}")
    rows = selftest(bundle, Path.cwd())
    if arguments.json:
        print(TypeAdapter(tuple[ControlShown, ...]).dump_json(rows, indent=1).decode())
    else:
        _print_table(rows)
    if any(row.came_to == "passed" for row in rows):
        return ExitCode.NO_GO
    return ExitCode.GO if all(row.noticed for row in rows) else ExitCode.NO_RELIABLE_VERDICT


def _print_table(rows: tuple[ControlShown, ...]) -> None:
    for row in rows:
        mark = "✓" if row.noticed else "✗" if row.came_to == "passed" else "?"
        came_to = "LET THROUGH" if row.came_to == "passed" else row.came_to
        say(f"{mark} {row.id:36} {came_to:13} {row.plants}")
        if row.said:
            say(f"    {row.said[:160]}")
    noticed = sum(row.noticed for row in rows)
    say(f"{noticed} of {len(rows)} planted faults were kept from passing")
