"""`readiness aws`: an embedded AWS in the foreground."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readiness.commands.options import add_plan_option
from readiness.decide import ExitCode
from readiness.plan import load_plan


def add(commands: Any) -> None:
    """Add `readiness aws`."""
    parser = commands.add_parser(
        "aws",
        help="start the embedded AWS in the foreground",
        description="Start an AWS on loopback and print the exports with which cdk and the AWS CLI reach it. "
        "Ctrl-C stops it and all it runs.",
    )
    add_plan_option(parser)
    parser.set_defaults(act=_aws)


def _aws(arguments: argparse.Namespace) -> int:
    from readiness.foreground import serve

    serve(load_plan(arguments.plan), Path.cwd(), say=lambda line: print(line, flush=True))
    return ExitCode.GO
