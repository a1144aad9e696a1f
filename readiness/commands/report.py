"""`readiness report`: make the reports of a bundle again from its evidence."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from readiness.commands.options import write_files
from readiness.decide import ExitCode
from readiness.errors import UsageError


def add(commands: Any) -> None:
    """Add `readiness report`."""
    parser = commands.add_parser(
        "report",
        help="make the reports again from the evidence of any bundle",
        description="Make the reports of a bundle again from its evidence, whatever the run came to. A bundle that its "
        "run never sealed is reported as such; one that was altered is refused.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a run's evidence")
    parser.add_argument("--output", type=Path, metavar="DIR", help="default: a folder `report` beside the bundle")
    parser.add_argument(
        "--format",
        default="html,md",
        metavar="FORM[,FORM]",
        help="html, md, json, csv, sarif, junit, summary; default: %(default)s",
    )
    parser.add_argument(
        "--altered", action="store_true", help="report a bundle that was altered all the same, and say so in the report"
    )
    parser.set_defaults(act=_report)


def _report(arguments: argparse.Namespace) -> int:
    from readiness.rendering import render

    rendered = render(arguments.bundle, tuple(arguments.format.split(",")), altered=arguments.altered)
    folder = arguments.output or arguments.bundle.resolve().parent / "report"
    if folder.resolve().is_relative_to(arguments.bundle.resolve()):
        raise UsageError(f"{folder} lies in the bundle, which a report would alter.", hint="Name another --output.")
    write_files(folder, rendered.files)
    for notice in rendered.notices:
        print(f"readiness: {notice}", file=sys.stderr)
    for name in rendered.files:
        print(folder / name)
    return ExitCode.GO
