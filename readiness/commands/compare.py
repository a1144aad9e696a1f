"""`readiness compare`: what moved between two runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from readiness.commands.output import say
from readiness.decide import ExitCode


def add(commands: Any) -> None:
    """Add `readiness compare`."""
    parser = commands.add_parser(
        "compare",
        help="say what moved between two runs",
        description="Hold the figures, outcomes and findings of two bundles against each other. A figure is called "
        "worse or better only where both runs' 95 % confidence intervals lie apart.",
    )
    parser.add_argument("old", type=Path, metavar="OLD", help="the bundle of the earlier run")
    parser.add_argument("new", type=Path, metavar="NEW", help="the bundle of the later run")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON on stdout")
    parser.set_defaults(act=_compare)


def _compare(arguments: argparse.Namespace) -> int:
    from readiness.compare import Comparison, compare_bundles, told

    comparison = compare_bundles(arguments.old, arguments.new)
    if arguments.json:
        print(TypeAdapter(Comparison).dump_json(comparison, indent=1, exclude={"old", "new"}).decode())
    else:
        say("\n".join(told(comparison)))
    return ExitCode.GO
