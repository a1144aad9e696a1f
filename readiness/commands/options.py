"""Options that several commands share, and how what they yield is written."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from readiness.errors import ReadinessError
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
