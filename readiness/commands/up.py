"""`readiness up`: deploy a clone and leave it up, for drills by hand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from readiness.commands.options import add_plan_option, add_target_option, add_yes_option
from readiness.decide import ExitCode
from readiness.narrator import Narrator


def add(commands: Any) -> None:
    """Add `readiness up`."""
    parser = commands.add_parser(
        "up",
        help="deploy a clone and leave it up, for drills by hand",
        description="Deploy a clone. On AWS this returns and the clone expires by itself; an embedded AWS lives as "
        "long as this command: until `readiness down`, Ctrl-C or the expiry.",
    )
    add_plan_option(parser)
    add_target_option(parser)
    add_yes_option(parser)
    parser.set_defaults(act=_up)


def _up(arguments: argparse.Namespace) -> int:
    from readiness.run import Request
    from readiness.standing import up

    request = Request(
        repository=Path.cwd(),
        plan_file=arguments.plan,
        waivers_file=Path("waivers.toml"),
        target=arguments.target,
        yes=arguments.yes,
    )
    print(up(request, Narrator()))
    return ExitCode.GO
