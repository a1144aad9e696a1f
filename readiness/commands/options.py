"""Options that several commands share, and how what they yield is written."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from readiness import decide, evidence, report
from readiness.commands.output import say
from readiness.decide import ExitCode
from readiness.errors import ReadinessError
from readiness.model import Decision
from readiness.plan import DEFAULT_FILE


def add_plan_option(parser: argparse.ArgumentParser) -> None:
    """Let the user name another plan."""
    parser.add_argument("--plan", type=Path, default=Path(DEFAULT_FILE), metavar="FILE", help="default: %(default)s")


def add_waivers_option(parser: argparse.ArgumentParser) -> None:
    """Let the user name another waiver register."""
    parser.add_argument(
        "--waivers", type=Path, default=Path("waivers.toml"), metavar="FILE", help="default: %(default)s"
    )


def add_target_option(parser: argparse.ArgumentParser) -> None:
    """Let the user say in which account the clone stands."""
    parser.add_argument(
        "--target",
        choices=("embedded", "aws"),
        default="embedded",
        help="embedded (default): an AWS emulated on this machine; aws: the account of your credentials",
    )


def add_yes_option(parser: argparse.ArgumentParser) -> None:
    """Let the user agree beforehand to what costs money."""
    parser.add_argument(
        "--yes", action="store_true", help="on AWS: agree to what it costs without being asked, as in a pipeline"
    )


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder, which is made if it is not there.

    Raises:
        ReadinessError: the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
    except OSError as error:
        raise ReadinessError(f"{folder}: nothing can be written there: {error.strerror}.") from error


def print_decision(now: Decision, bundle: Path) -> ExitCode:
    """Print what the decision on a bundle is, and return the exit code that says so."""
    say(report.said(now))
    for reason in now.reasons:
        say(f"  - {reason}")
    for name in now.leftovers:
        say(f"  - may still exist: {name}; `readiness teardown {now.run_id}` goes on")
    say(f"record:   {bundle / evidence.SIGN_OFF / evidence.GO_NO_GO}")
    say(f"report:   {bundle / evidence.SIGN_OFF / evidence.PAGE}")
    return decide.decision_exit_code(now)
