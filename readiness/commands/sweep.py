"""`readiness sweep`: find and tear down every run that outlived its time or its runner."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from readiness.commands.options import add_plan_option
from readiness.commands.output import tell
from readiness.decide import ExitCode
from readiness.errors import TeardownError, UsageError
from readiness.interruption import Interrupted, Signals
from readiness.model import parse_duration
from readiness.narrator import Narrator
from readiness.plan import load_plan


def add(commands: Any) -> None:
    """Add `readiness sweep`."""
    parser = commands.add_parser(
        "sweep",
        help="find and tear down every run that outlived its time or its runner",
        description="Look through one account and region for runs that have expired, whose runner is gone, or of "
        "which only resources are left, by name and by tag. Deletes nothing without --yes. What carries only our name, "
        "or only our tags, is refused. Exit code 4 while anything that is to be swept is there.",
    )
    add_plan_option(parser)
    parser.add_argument("--region", metavar="REGION", help="default: aws.region of the plan")
    parser.add_argument("--account", metavar="ID", help="refuse to work in any other account than this")
    parser.add_argument(
        "--older-than", metavar="DURATION", type=_duration, help="sweep what was made so long ago too, such as 6h"
    )
    parser.add_argument("--yes", action="store_true", help="tear down what was found")
    parser.set_defaults(act=_sweep)


def _duration(text: str) -> timedelta:
    try:
        parsed = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not isinstance(parsed, timedelta):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write it as '6h', '30m', '2d'")
    return parsed


def _sweep(arguments: argparse.Namespace) -> int:
    from readiness.cloud import connect_aws
    from readiness.sweep import leftovers_of, survey, sweep

    narrator, plan, repository = Narrator(), load_plan(arguments.plan), Path.cwd()
    connection = connect_aws(arguments.region or plan.aws.region, plan.aws.production_accounts)
    if arguments.account and arguments.account != connection.account:
        raise UsageError(
            f"--account is {arguments.account}, but your credentials are for {connection.account}.",
            hint="Use the credentials of that account.",
        )
    found = survey(connection, repository, now=datetime.now(UTC), older_than=arguments.older_than)
    for each in found:
        tell(each.told())
    chosen = [each for each in found if each.choice == "sweep"]
    place = f"account {connection.account}, {connection.region}"
    narrator.say(f"{len(found)} of ours or like ours in {place}; {len(chosen)} to be swept")
    if not chosen:
        return ExitCode.GO
    if not arguments.yes:
        narrator.warn("Nothing was deleted. `readiness sweep --yes`, with the same options, tears them down.")
        return ExitCode.LEFTOVERS
    results = []
    signals = Signals()
    try:
        with signals.caught(narrator.warn), signals.tearing_down():
            for result in sweep(connection, repository, found, narrator.say):
                results.append(result)
                each, proven, error = result
                tell(f"failed  {each.name}  {error}" if error else f"swept   {each.name}  {proven[-1]}")
    except Interrupted:
        swept = {each.name for each, _, error in results if error is None}
        left = [f"{each.name} (the sweep was given up)" for each in chosen if each.name not in swept]
        raise TeardownError(left, hint="To finish it: readiness sweep --yes") from None
    if left := leftovers_of(results):
        raise TeardownError(left, hint="Once the cause is mended: readiness sweep --yes")
    return ExitCode.GO
