"""`readiness doctor`: is there all that a run needs?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from readiness.commands.options import add_plan_option, add_target_option
from readiness.decide import ExitCode
from readiness.errors import ReadinessError
from readiness.plan import load_plan

_MARKS = {"ok": "ok    ", "fault": "FAULT ", "cannot tell": "?     "}


def add(commands: Any) -> None:
    """Add `readiness doctor`."""
    parser = commands.add_parser(
        "doctor",
        help="say whether there is all that a run needs; makes nothing",
        description="Check this machine and, with --target aws, the account: credentials, region, bootstrap, quotas "
        "and permissions. Exit code 1 if anything is wrong, or could not be looked at.",
    )
    add_plan_option(parser)
    add_target_option(parser)
    parser.add_argument("--json", action="store_true", help="print the checks as JSON on stdout")
    parser.set_defaults(act=_doctor)


def _doctor(arguments: argparse.Namespace) -> int:
    from readiness import doctor
    from readiness.cloud import connect_aws

    plan = load_plan(arguments.plan)
    checks = [doctor.Check(name="plan", standing="ok", said=f"{arguments.plan} is valid"), *doctor.local(Path.cwd())]
    if arguments.target == "embedded":
        checks += doctor.for_embedded(plan)
    else:
        try:
            checks += doctor.for_aws(connect_aws(plan.aws.region, plan.aws.production_accounts), plan)
        except ReadinessError as error:
            checks.append(doctor.Check(name="credentials", standing="fault", said=error.message, then=error.hint))
    if arguments.json:
        print(TypeAdapter(list[doctor.Check]).dump_json(checks, indent=1).decode())
    else:
        for each in checks:
            print(f"{_MARKS[each.standing]}{each.name}: {each.said}")
            if each.then:
                print(f"      {each.then}")
    return ExitCode.GO if all(each.standing == "ok" for each in checks) else ExitCode.NO_RELIABLE_VERDICT
