"""`readiness publish`: tell an issue or a pull request on GitHub what a run came to."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from readiness.commands.output import say
from readiness.decide import ExitCode
from readiness.errors import UsageError

_PUBLIC = "https://api.github.com"


def add(commands: Any) -> None:
    """Add `readiness publish`."""
    parser = commands.add_parser(
        "publish",
        help="tell an issue or a pull request on GitHub what a run came to",
        description="Write one comment with the report and the digest of the evidence, or update the one that is "
        "there. The token is taken from GITHUB_TOKEN. GitHub's API attaches no files to comments: name where the "
        "evidence is kept with --evidence-url.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="folder of a run's evidence")
    parser.add_argument("--github", required=True, metavar="OWNER/REPO#N", help="the issue or pull request")
    parser.add_argument("--evidence-url", default="", metavar="URL", help="where a reader gets the evidence")
    parser.add_argument(
        "--api-url",
        default=os.environ.get("GITHUB_API_URL") or _PUBLIC,
        metavar="URL",
        help="of a GitHub Enterprise; default: GITHUB_API_URL, or " + _PUBLIC,
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would be sent, and send nothing")
    parser.add_argument(
        "--unverified", action="store_true", help="publish a bundle that does not verify all the same, and say so"
    )
    parser.set_defaults(act=_publish)


def _publish(arguments: argparse.Namespace) -> int:
    from readiness.github_api import GitHub, Target  # `readiness verify`'s imports take seconds that `--help` need not
    from readiness.publish import message, put

    target = Target.parse(arguments.github)
    if arguments.evidence_url and not arguments.evidence_url.startswith(("https://", "http://")):
        raise UsageError(f"--evidence-url: {arguments.evidence_url!r} is no address of the web.")
    made = message(arguments.bundle, evidence_url=arguments.evidence_url, unverified=arguments.unverified)
    if arguments.dry_run:
        say(made.body.rstrip("\n"))
        return ExitCode.GO
    token = os.environ.get("GITHUB_TOKEN", "").strip()
    if not token:
        raise UsageError("GITHUB_TOKEN is not set.", hint="Give it a token that may comment, or use --dry-run.")
    comment, is_new = put(GitHub(url=arguments.api_url, token=token), target, made)
    say(f"{target}: {'commented' if is_new else 'the comment was updated'}: {comment.url}")
    return ExitCode.GO
