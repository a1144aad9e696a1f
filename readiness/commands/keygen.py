"""`readiness keygen`: make an Ed25519 key to sign with."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from readiness.decide import ExitCode
from readiness.errors import ReadinessError, UsageError


def add(commands: Any) -> None:
    """Add `readiness keygen`."""
    parser = commands.add_parser(
        "keygen",
        help="make an Ed25519 key to sign with",
        description="Write a new private key and print the line with its public key for [owners] of the plan. A key "
        "of ssh-keygen -t ed25519 does as well.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="where the private key goes; it must not exist")
    parser.set_defaults(act=_keygen)


def _keygen(arguments: argparse.Namespace) -> int:
    from readiness import keys

    pem, public = keys.new_private()
    try:
        descriptor = os.open(arguments.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{arguments.file} is there already.", hint="Name another file; a key is not written over."
        ) from None
    except OSError as error:
        raise ReadinessError(f"{arguments.file} cannot be written: {error.strerror}.") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
    print(f'public_key = "{public}"')
    return ExitCode.GO
