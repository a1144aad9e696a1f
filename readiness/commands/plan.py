"""`readiness plan`: check the plan and print it resolved."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from readiness import evidence
from readiness.commands.options import add_plan_option
from readiness.decide import ExitCode
from readiness.model import Plan
from readiness.plan import digest, load_plan


def add(commands: Any) -> None:
    """Add `readiness plan`."""
    parser = commands.add_parser("plan", help="check the plan and print it resolved; touches nothing")
    add_plan_option(parser)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of the plan instead")
    parser.add_argument("--cost", action="store_true", help="synthesize, and say what a clone costs instead")
    parser.set_defaults(act=_plan)


def _plan(arguments: argparse.Namespace) -> int:
    if arguments.schema:
        print(json.dumps(TypeAdapter(Plan).json_schema(), indent=1))
        return ExitCode.GO
    if arguments.cost:
        from readiness.priced import priced_plan

        print("\n".join(priced_plan(Path.cwd(), arguments.plan)))
        return ExitCode.GO
    plan = load_plan(arguments.plan)
    print(evidence.to_json(Plan, plan).decode(), end="")
    print(f"{arguments.plan}: valid, {digest(arguments.plan)}", file=sys.stderr)
    return ExitCode.GO
