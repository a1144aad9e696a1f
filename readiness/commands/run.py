"""`readiness run`: deploy the clone, ask every gate, tear down, decide."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from readiness import decide, evidence, github_actions, report
from readiness.commands.options import add_plan_option, add_target_option, add_waivers_option, add_yes_option
from readiness.commands.output import tell
from readiness.decide import ExitCode
from readiness.model import Record
from readiness.narrator import Narrator
from readiness.secrecy import conceal


def add(commands: Any) -> None:
    """Add `readiness run`."""
    parser = commands.add_parser(
        "run",
        help="deploy the clone, ask every gate, tear down, decide",
        description="Scan the templates, deploy the clone, load it, drill it, tear it down, prove that nothing is "
        "left, and write the go/no-go record with its evidence.",
    )
    add_plan_option(parser)
    add_waivers_option(parser)
    add_target_option(parser)
    add_yes_option(parser)
    parser.add_argument(
        "--only", action="append", default=[], metavar="GATE", help="ask this gate only (repeatable); never a GO"
    )
    parser.add_argument("--evidence", type=Path, metavar="DIR", help="where the evidence bundle goes")
    parser.add_argument(
        "--baseline", type=Path, metavar="BUNDLE", help="compare with this run; default: the newest that passed here"
    )
    parser.add_argument(
        "--allow-dirty",
        action="store_true",
        help="a rehearsal only, never a GO: plan, waivers and workload files need not be committed",
    )
    parser.add_argument("--json", action="store_true", help="print the record as JSON on stdout")
    parser.set_defaults(act=_run)


def _run(arguments: argparse.Namespace) -> int:
    from readiness.run import Request, run  # the gates import the scanners: seconds that `--help` need not wait

    request = Request(
        repository=Path.cwd(),
        plan_file=arguments.plan,
        waivers_file=arguments.waivers,
        target=arguments.target,
        only=tuple(arguments.only),
        evidence=arguments.evidence,
        baseline=arguments.baseline,
        yes=arguments.yes,
        allow_dirty=arguments.allow_dirty,
    )
    record, bundle = run(request, Narrator())
    return told(record, bundle, as_json=arguments.json)


def told(record: Record, bundle: Path, *, as_json: bool) -> ExitCode:
    """Print what a run came to, and return its exit code."""
    tell(conceal(evidence.to_json(Record, record).decode().rstrip() if as_json else _verdict(record, bundle)))
    for trouble in github_actions.tell(os.environ, record, bundle):
        with suppress(OSError):
            print(f"readiness: {trouble}", file=sys.stderr)
    code = decide.exit_code(record)
    if record.interrupted and code is not ExitCode.LEFTOVERS:
        return ExitCode.INTERRUPTED
    return code


def _verdict(record: Record, bundle: Path) -> str:
    page = bundle / evidence.PAGE
    lines = [
        report.headline(record),
        *(f"  - {reason}" for reason in record.reasons),
        *(f"  - may still exist: {name}; `readiness teardown {record.run_id}` goes on" for name in record.leftovers),
        f"report:   {page if page.exists() else bundle / evidence.REPORT}",
        f"evidence: {bundle}",
    ]
    return "\n".join(lines)
