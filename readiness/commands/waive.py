"""`readiness waive`: accept a finding until a day, with somebody's name to it."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from readiness import decide, evidence
from readiness.commands.options import add_plan_option, add_waivers_option
from readiness.commands.output import say
from readiness.decide import ExitCode
from readiness.errors import UsageError
from readiness.interruption import Signals
from readiness.model import GateResult, Waiver
from readiness.plan import load_plan, parse


def add(commands: Any) -> None:
    """Add `readiness waive`."""
    parser = commands.add_parser(
        "waive",
        help="accept a finding until a day, with somebody's name to it",
        description="Write an entry of the waiver register, after it was found to be a valid one. Nothing is waived "
        "without an owner, another person's approval, a reason and an end.",
    )
    add_plan_option(parser)
    add_waivers_option(parser)
    parser.add_argument("rule", metavar="RULE", help="as the finding spells it, e.g. checkov/CKV_AWS_2")
    parser.add_argument("subject", metavar="SUBJECT", help="as the finding spells it, or a pattern with * and ?")
    parser.add_argument("--owner", required=True, help="who answers for the fault")
    parser.add_argument("--approver", required=True, help="who accepts it; another person")
    parser.add_argument("--reason", required=True, help="why it may stay; at least ten characters")
    parser.add_argument("--ticket", default="", help="where it is followed up")
    parser.add_argument("--expires", required=True, type=_day, metavar="YYYY-MM-DD", help="the last day it holds")
    parser.add_argument(
        "--false-positive", metavar="EVIDENCE", help="there is no fault: say what proves it; instead of accepting one"
    )
    seen = parser.add_mutually_exclusive_group()
    seen.add_argument("--bundle", type=Path, metavar="BUNDLE", help="the run that found it; default: scan now")
    seen.add_argument(
        "--template", action="append", type=Path, default=[], metavar="PATH", help="scan this instead (repeatable)"
    )
    seen.add_argument("--unseen", action="store_true", help="write it even though nobody looked for the finding")
    parser.set_defaults(act=_waive)


def _day(text: str) -> date:
    return date.fromisoformat(text)


def _waive(arguments: argparse.Namespace) -> int:
    from readiness.waivers import add_waiver, check

    plan = load_plan(arguments.plan)
    names = ("rule", "subject", "owner", "approver", "reason", "ticket", "expires")
    given = {name: getattr(arguments, name) for name in names}
    if arguments.false_positive is not None:
        given |= {"disposition": "false-positive", "evidence": arguments.false_positive}
    today = datetime.now(UTC).date()
    waiver = parse(Waiver, {**given, "created": today}, str(arguments.waivers), "waivers[new]")
    check(waiver, str(arguments.waivers), "waivers[new]", plan.max_waiver_age)
    results = () if arguments.unseen else _seen_by(arguments)
    found = [(result.gate, each) for result in results for each in result.findings]
    covered = [(gate, each) for gate, each in found if decide.covers(waiver, each.finding)]
    if not covered and not arguments.unseen:
        raise UsageError(
            f"No finding is {waiver.rule} on {waiver.subject}: the entry would dispose of nothing.",
            hint="Spell both as the finding does. For a finding of a run name its bundle: --bundle BUNDLE.",
        )
    add_waiver(arguments.waivers, waiver, plan.max_waiver_age)
    held = f"until {waiver.expires}, for {(waiver.expires - today).days} days"
    say(f"{arguments.waivers}: {waiver.rule} on {waiver.subject} is {waiver.disposition} {held}.")
    for gate, each in covered:
        say(f"  {gate}: {each.finding.severity} {each.finding.subject} was {each.disposition}")
    for gate in dict.fromkeys(gate for gate, _ in covered):
        opened = [each for other, each in found if other == gate and each.disposition == "open"]
        left = sum(not decide.covers(waiver, each.finding) for each in opened)
        say(f"  {gate}: {len(opened)} findings were open, {left} are")
    return ExitCode.GO


def _seen_by(arguments: argparse.Namespace) -> Sequence[GateResult]:
    """Return where the finding that is waived is looked for: in a bundle, or in a scan that is made now."""
    if arguments.bundle is not None:
        evidence.check_manifest(arguments.bundle)
        return evidence.read_record(arguments.bundle).results
    from readiness.review import review

    with Signals().caught(lambda _: None):
        return review(Path.cwd(), arguments.plan, arguments.waivers, tuple(arguments.template)).results
