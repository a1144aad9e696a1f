"""`readiness init`: write a first plan, by asking or from flags."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

from readiness import plan_checks
from readiness.decide import ExitCode
from readiness.errors import PlanError, ReadinessError, UsageError
from readiness.first_plan import RUNBOOKS, STAND_IN, STAND_IN_SPOILT, Answers, first_plan
from readiness.model import Plan, parse_duration
from readiness.plan import DEFAULT_FILE, parse

_SCHEMA = Path("readiness/data/plan.schema.json")
_WAIVERS = Path("waivers.toml")
_REGISTER = """\
# The waiver register: faults that somebody accepted until a day. Empty = nothing is waived.
# `readiness waive` writes an entry; docs/reference.md says what each key means.
"""


def add(commands: Any) -> None:
    """Add `readiness init`."""
    parser = commands.add_parser(
        "init",
        help="write a first plan, by asking or from flags",
        description="Write a commented plan that is valid and complete enough to rehearse. On a terminal what no flag "
        "says is asked for; --yes takes the defaults. A file that is there is never overwritten.",
    )
    parser.add_argument("--name", help="of the service; a-z, 0-9 and hyphens")
    parser.add_argument("--image", help="container image of the service")
    parser.add_argument("--port", help="port that it listens on; default: 8080")
    parser.add_argument("--rate", help="requests a second that production is expected to bring; default: 20")
    parser.add_argument("--p95", help="within which 95 %% of the requests have their answer; default: 250ms")
    parser.add_argument("--health-path", help="path of the health check; default: /health")
    parser.add_argument("--path", help="path of the request that the load consists of; default: /")
    parser.add_argument("--region", help="on AWS; default: eu-west-1")
    parser.add_argument("--email", help="address that an alarm wakes; default: operations@example.com")
    parser.add_argument(
        "--stand-in",
        metavar="COMMAND",
        help="local command that stands in for the image: './shop -listen {host}:{port}'",
    )
    parser.add_argument(
        "--spoilt", metavar="VARIABLE=VALUE", help="what makes the service misbehave, for the rehearsed bad release"
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing; take the defaults")
    parser.add_argument("--output", type=Path, default=Path(DEFAULT_FILE), metavar="FILE", help="default: %(default)s")
    parser.set_defaults(act=_init)


_QUESTIONS = {
    "name": ("Name of the service (a-z, 0-9, hyphens)", ""),
    "image": ("Its container image", ""),
    "port": ("Port that it listens on", "8080"),
    "health_path": ("Path of its health check", "/health"),
    "path": ("Path of a request that users send", "/"),
    "rate": ("Requests a second that production is expected to bring", "20"),
    "p95": ("Within which 95 % of them have their answer", "250ms"),
    "region": ("Region on AWS", "eu-west-1"),
    "email": ("Address that an alarm wakes", "operations@example.com"),
}


def _init(arguments: argparse.Namespace) -> int:
    output = arguments.output
    if output.exists():
        raise UsageError(f"{output} is there already, and is not overwritten.", hint="Name another file with --output.")
    text = first_plan(_answers(arguments), str(_SCHEMA) if _SCHEMA.exists() and output.parent == Path() else "")
    _check(text, output)
    _write(output, text)
    written = [str(output)]
    if not _WAIVERS.exists():
        _write(_WAIVERS, _REGISTER)
        written.append(str(_WAIVERS))
    print(f"Written: {', '.join(written)}")
    for step in _next_steps(arguments, output, written):
        print(step)
    return ExitCode.GO


def _next_steps(arguments: argparse.Namespace, output: Path, written: list[str]) -> list[str]:
    plan = "" if output == Path(DEFAULT_FILE) else f" --plan {shlex.quote(str(output))}"
    own = (
        []
        if arguments.stand_in
        else [f"the command in [embedded.images] of {output} (an example stands in until then)"]
    )
    own += [] if arguments.spoilt else ["a bad release in [drills.rollback]"]
    missing = [f"runbooks/{each}.md" for each in RUNBOOKS if not Path("runbooks", f"{each}.md").exists()]
    if missing:
        own.append(f"{', '.join(missing)}, reviewed by somebody else than the author (runbooks/README.md has the form)")
    return [
        "Next:",
        f"  1. Look at it (readiness plan{plan}){' and give it what is yours:' if own else '.'}",
        *(f"     - {each}" for each in own),
        f"  2. Commit it: git add {shlex.join(written)} && git commit -m 'The plan'",
        f"  3. Rehearse it, with no AWS account: readiness run{plan}",
    ]


def _answers(arguments: argparse.Namespace) -> Answers:
    asking = not arguments.yes and sys.stdin.isatty()
    said = {
        key: getattr(arguments, key) or (_ask(*question) if asking else question[1])
        for key, question in _QUESTIONS.items()
    }
    missing = [f"--{key}" for key in ("name", "image") if not said[key]]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given: nobody can be asked here.", hint="Or use a terminal.")
    return Answers(
        name=said["name"],
        image=said["image"],
        port=int(_number("--port", said["port"])),
        rate_per_s=_number("--rate", said["rate"]),
        p95=_duration(said["p95"]),
        health_path=said["health_path"],
        path=said["path"],
        region=said["region"],
        email=said["email"],
        stand_in=_command(arguments.stand_in) if arguments.stand_in else STAND_IN,
        spoilt=_variable(arguments.spoilt) if arguments.spoilt else STAND_IN_SPOILT,
    )


def _ask(question: str, default: str) -> str:
    """Ask until there is an answer; an empty one takes the default."""
    while True:
        print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise UsageError("The answers ended before the questions.", hint="Give flags instead, with --yes.")
        if answer := line.strip() or default:
            return answer


def _number(flag: str, text: str) -> float:
    if not re.fullmatch(r"\d+" if flag == "--port" else r"\d+(\.\d+)?", text):
        raise UsageError(f"{flag}: {text!r} is no number.")
    return float(text)


def _duration(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--p95: {error}.") from None
    if not isinstance(found, timedelta) or not found:
        raise UsageError(f"--p95: {text!r} is no duration; write it as 250ms.")
    return found


def _command(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"--stand-in: {text!r} is no command: {error}.") from None


def _variable(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--spoilt: {text!r} is no VARIABLE=VALUE.")
    return name, value


def _check(text: str, output: Path) -> None:
    """Refuse answers that make no valid plan, before anything is written."""
    try:
        plan_checks.check(parse(Plan, tomllib.loads(text), str(output)), str(output))
    except PlanError as error:
        said = "; ".join(f"{fault.key} {fault.message}" for fault in error.faults)
        raise UsageError(f"That makes no valid plan: {said}.") from None


def _write(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        raise ReadinessError(f"{file} cannot be written: {error.strerror}.") from error
