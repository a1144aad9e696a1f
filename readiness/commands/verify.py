"""`readiness verify`: recompute a verdict from its evidence, offline."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from readiness import decide, report
from readiness.commands.output import say
from readiness.decide import ExitCode


def add(commands: Any) -> None:
    """Add `readiness verify`."""
    parser = commands.add_parser(
        "verify",
        help="recompute a verdict from its evidence, offline",
        description="Re-hash every file of a bundle, judge every observation again, check every tick and signature, "
        "decide again, and compare.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a run's evidence")
    parser.add_argument(
        "--require-go",
        action="store_true",
        help="exit with what the decision is today (0 = GO, or a rehearsal that is complete), not with 0 for confirmed",
    )
    parser.set_defaults(act=_verify)


def _verify(arguments: argparse.Namespace) -> int:
    from readiness.decision import lapsed_since
    from readiness.verify import verify

    done = verify(arguments.bundle)
    now, signed = done.decision, done.sign_off
    say(f"{report.headline(done.record) if signed.bundle is None else report.said(now)}: confirmed.")
    say(f"  {done.files} files re-hashed, {done.judged} observations judged again, verdict decided again")
    if done.taken:
        say(f"  {done.taken} gates had seen nothing: taken as gaps")
    if signed.bundle is not None:
        say(f"  {len(signed.ticks)} ticks and {len(signed.signatures)} signatures checked, decided again")
    if done.live is not None:
        say(f"  production as seen on {done.live.ended_at:%Y-%m-%d %H:%M} UTC judged again: {done.live.outcome}")
    for reason in now.reasons if signed.bundle is not None or arguments.require_go else ():
        say(f"  - {reason}")
    lapsed = lapsed_since(now, datetime.now(UTC).date())
    for reason in lapsed:
        say(f"  - since then: {reason}")
    if not arguments.require_go:
        return ExitCode.GO
    code = decide.decision_exit_code(now)
    return ExitCode.NO_RELIABLE_VERDICT if lapsed and code is ExitCode.GO else code
