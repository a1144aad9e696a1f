"""`readiness go-live`: after the cutover, hold production against what a bundle approved."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

from readiness.commands.output import say
from readiness.decide import ExitCode
from readiness.errors import UsageError
from readiness.model import Disposition, Environment, GateResult, Outcome
from readiness.narrator import Narrator

_COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")
_CODES = {
    Outcome.PASSED: ExitCode.GO,
    Outcome.FAILED: ExitCode.NO_GO,
    Outcome.INCONCLUSIVE: ExitCode.NO_RELIABLE_VERDICT,
}


def add(commands: Any) -> None:
    """Add `readiness go-live`."""
    parser = commands.add_parser(
        "go-live",
        help="after the cutover: does production run what was approved, and is it healthy?",
        description="Verify a bundle, look at production's stack, hold it against what the bundle approved, and write "
        "observation and result into the bundle's folder go-live. Reads only: nothing in the account is changed.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="the evidence that approved what is live")
    parser.add_argument("--stack", required=True, metavar="NAME", help="production's CloudFormation stack")
    parser.add_argument("--service", metavar="CLUSTER/SERVICE", help="which service, where the stack has several")
    parser.add_argument(
        "--target",
        choices=("aws", "embedded-endpoint"),
        default="aws",
        help="aws (default): the account of your credentials; embedded-endpoint: a rehearsal of the cutover on the "
        "embedded AWS that AWS_ENDPOINT_URL names",
    )
    parser.add_argument("--region", help="default: the one of the bundle's plan")
    parser.add_argument("--commit", metavar="SHA", help="what is live; default: the commit of this checkout")
    parser.set_defaults(act=_go_live)


def _go_live(arguments: argparse.Namespace) -> int:
    from readiness import golive
    from readiness.registration import git_state
    from readiness.verify import verify

    if arguments.commit is not None and not _COMMIT.fullmatch(arguments.commit):
        raise UsageError(f"--commit: {arguments.commit!r} is no commit.", hint="Give at least 7 digits of its SHA.")
    verify(arguments.bundle, gone_live=False)
    asked = golive.Asked(
        bundle=arguments.bundle,
        stack=arguments.stack,
        target=arguments.target,
        commit=arguments.commit or git_state(Path.cwd())[0],
        repository=Path.cwd(),
        service=arguments.service,
        region=arguments.region,
    )
    narrator = Narrator()
    result, environment = golive.ask(asked, narrator)
    narrator.result(result)
    _tell(result, environment, arguments)
    return _CODES[result.outcome]


def _tell(result: GateResult, environment: Environment, arguments: argparse.Namespace) -> None:
    where = " (rehearsal: emulated)" if environment is Environment.EMULATED else ""
    say(f"go-live: {result.outcome}{where}")
    for each in result.findings:
        if each.disposition is Disposition.OPEN:
            say(f"  {each.finding.severity} {each.finding.subject}: {each.finding.message}")
    for gap in result.judgement.gaps:
        say(f"  not seen: {gap.what}: {gap.why}")
    say(f"evidence: {arguments.bundle / 'go-live'}")
