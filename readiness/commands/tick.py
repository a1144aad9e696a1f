"""`readiness tick`: say with a name that an item of the go-live checklist is done."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from readiness.commands.options import print_decision
from readiness.commands.output import say


def add(commands: Any) -> None:
    """Add `readiness tick`."""
    parser = commands.add_parser(
        "tick",
        help="say with your name that an item of the go-live checklist is done",
        description="Write a person's word about a manual item of the checklist beside the sealed evidence. It names "
        "this bundle: no other can use it. The exit code says what the decision on the bundle is then.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a run's evidence")
    parser.add_argument("item", metavar="ITEM", help="id in [[checklist]] of the plan")
    parser.add_argument("--by", required=True, metavar="NAME", help="who says so")
    parser.add_argument(
        "--evidence", required=True, metavar="TEXT|FILE", help="what shows it: a sentence, an address, a file to keep"
    )
    parser.add_argument("--note", default="", metavar="TEXT", help="anything else that has to be known")
    parser.add_argument("--reopen", action="store_true", help="take the tick back: the item is open again")
    parser.set_defaults(act=_tick)


def _tick(arguments: argparse.Namespace) -> int:
    from readiness.signing import tick

    now = tick(
        arguments.bundle,
        arguments.item,
        by=arguments.by,
        shown_by=arguments.evidence,
        note=arguments.note,
        done=not arguments.reopen,
        at=datetime.now(UTC),
    )
    say(f"{arguments.item}: {'reopened' if arguments.reopen else 'ticked'} by {arguments.by}.")
    return print_decision(now, arguments.bundle)
