"""`readiness sign`: decide go or no-go on a bundle, with a name and the risks that are accepted."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from readiness import decide
from readiness.commands.options import print_decision
from readiness.commands.output import say
from readiness.errors import PlanError, UsageError
from readiness.model import ResidualRisk
from readiness.plan import parse

_PARTS = ("id", "text", "owner", "mitigation", "accepted_until")


def add(commands: Any) -> None:
    """Add `readiness sign`."""
    parser = commands.add_parser(
        "sign",
        help="decide go or no-go on a bundle, with your name",
        description="Write a person's decision on a sealed bundle beside its evidence, as a DSSE envelope. It names "
        "the bundle, the plan, the ticks and the risks that the signer saw: it covers nothing else. Verifies the "
        "bundle first. The exit code says what the decision on the bundle is then.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a run's evidence")
    parser.add_argument("--as", required=True, dest="role", metavar="ROLE", help="one of [owners] of the plan")
    parser.add_argument("--name", required=True, help="who signs")
    parser.add_argument("--decision", required=True, choices=("go", "no-go"), help="what they decide")
    parser.add_argument("--note", default="", metavar="TEXT", help="anything else that has to be known")
    parser.add_argument(
        "--residual-risk",
        action="append",
        default=[],
        metavar="ID|TEXT|OWNER|MITIGATION|YYYY-MM-DD",
        help="a risk that is accepted until a day, the last one included (repeatable)",
    )
    parser.add_argument("--risks", type=Path, metavar="FILE", help="risks as TOML: [[risks]] with these keys")
    parser.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="Ed25519 private key that signs; its passphrase, if it has one, is in "
        "READINESS_KEY_PASSPHRASE. Without a key a signature is a name",
    )
    parser.set_defaults(act=_sign)


def _sign(arguments: argparse.Namespace) -> int:
    from readiness.signing import SignatureRefusedError, read_risks, sign

    risks = tuple(_risk(text) for text in arguments.residual_risk)
    if arguments.risks is not None:
        risks += read_risks(arguments.risks)
    try:
        now = sign(
            arguments.bundle,
            arguments.role,
            name=arguments.name,
            decision=arguments.decision,
            note=arguments.note,
            risks=risks,
            key=arguments.key,
            passphrase=os.environ.get("READINESS_KEY_PASSPHRASE"),
            at=datetime.now(UTC),
        )
    except SignatureRefusedError as error:
        print(f"readiness: {error}", file=sys.stderr)
        for reason in error.decision.reasons:
            print(f"  - {reason}", file=sys.stderr)
        return decide.decision_exit_code(error.decision)
    say(f"{arguments.name} signed {arguments.decision} as {arguments.role}.")
    return print_decision(now, arguments.bundle)


def _risk(text: str) -> ResidualRisk:
    parts = [part.strip() for part in text.split("|")]
    if len(parts) != len(_PARTS):
        raise UsageError(
            f"--residual-risk {text!r} has {len(parts)} parts.",
            hint="It has five: ID|TEXT|OWNER|MITIGATION|YYYY-MM-DD. A file of risks (--risks) is easier to read.",
        )
    try:
        return parse(ResidualRisk, dict(zip(_PARTS, parts, strict=True)), "--residual-risk")
    except PlanError as error:
        raise UsageError(error.message) from error
