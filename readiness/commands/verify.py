"""`readiness verify`: recompute a verdict from its evidence, offline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readiness import report
from readiness.decide import ExitCode


def add(commands: Any) -> None:
    """Add `readiness verify`."""
    parser = commands.add_parser(
        "verify",
        help="recompute a verdict from its evidence, offline",
        description="Re-hash every file of a bundle, judge every observation again, decide again, and compare.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE")
    parser.set_defaults(act=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    from readiness.verify import verify

    done = verify(arguments.bundle)
    print(f"{report.headline(done.record)}: confirmed.")
    print(f"  {done.files} files re-hashed, {done.judged} observations judged again, verdict decided again")
    if done.taken:
        print(f"  {done.taken} gates had seen nothing: taken as gaps")
    return ExitCode.GO
