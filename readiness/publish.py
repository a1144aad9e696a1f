"""`readiness publish`: one comment on an issue or a pull request, which is updated and never repeated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from readiness import evidence, rendering, report
from readiness.errors import ReadinessError
from readiness.github_api import ATTEMPTS, Comment, GitHub, GitHubError, Target, UnsettledError
from readiness.report.cut import cut
from readiness.report.text import prose
from readiness.verify import verify

LIMIT = 65_536
"""GitHub takes so many characters of a comment; bytes are counted here, of which there are never fewer."""
_LINK = re.compile(r"\[([^\]]*)\]\((?!https?://|#)[^)]*\)")


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is published of a bundle.

    Attributes:
        marker: First line of the comment: an HTML comment, by which the next one finds it.
    """

    marker: str
    body: str


def message(bundle: Path, *, evidence_url: str = "", unverified: bool = False) -> Message:
    """Return what is published of a bundle.

    Args:
        bundle: A sealed bundle.
        evidence_url: Where a reader gets the evidence: GitHub's API attaches no files to comments.
        unverified: Whether to publish one that does not verify, too, and say so.

    Raises:
        ReadinessError: it does not verify.
    """
    notices = _check(bundle, unverified)
    content = rendering.content_of(bundle, altered=unverified)
    plan_file = next((each.path for each in content.record.registration.files if each.kept == evidence.PLAN), "")
    marker = f"<!-- readiness {_plain(content.plan.service.name)} {_plain(plan_file)} -->"
    told = _without_mentions(
        _LINK.sub(
            r"`\1`", report.markdown(content.record, content.plan, content.decision, content.root, content.gone_live)
        )
    )
    warning = "".join(
        f"> **Take care.** {_without_mentions(prose(notice))}\n\n" for notice in (*notices, *content.notices)
    )
    lines = [f"Evidence: bundle `{_digest(bundle)}`"]
    if evidence_url:
        lines.append(f"kept at <{evidence_url}>")
    lines.append("`readiness verify BUNDLE` recomputes the verdict from it.")
    head = f"{marker}\n{warning}"
    foot = "\n\n---\n\n" + ", ".join(lines[:-1]) + ". " + lines[-1] + "\n"
    room = LIMIT - len((head + foot).encode())
    where = f"at {evidence_url}" if evidence_url else "in the evidence bundle"
    body = cut(told.rstrip(), room, f"The whole report is {evidence.REPORT} {where}.")
    return Message(marker=marker, body=head + body.rstrip() + foot)


def _check(bundle: Path, unverified: bool) -> Sequence[str]:
    try:
        verify(bundle)
    except ReadinessError as error:
        if not unverified:
            raise ReadinessError(
                f"{bundle} does not verify, so it is not published: {error.message}",
                hint="--unverified publishes it all the same, and says so.",
            ) from error
        return (f"This bundle does not verify: {' '.join(error.message.split())}",)
    return ()


def _digest(bundle: Path) -> str:
    return evidence.bundle_digest(bundle) if (bundle / evidence.MANIFEST).exists() else "never sealed"


def _plain(text: str) -> str:
    """Return text that cannot end an HTML comment."""
    return "".join(letter if letter.isalnum() or letter in "._/" else "-" for letter in text).replace("--", "-")


def _without_mentions(text: str) -> str:
    """Return text that calls nobody: a name of the evidence after an @ is no person."""
    return re.sub(r"@(?=[A-Za-z0-9])", "@\u200b", text)


def put(github: GitHub, target: Target, made: Message) -> tuple[Comment, bool]:
    """Publish a message; return its comment, and whether it is a new one.

    Where GitHub failed while a comment was written, it is looked for before it is written again.
    """
    for attempt in range(1, ATTEMPTS + 1):
        found = next(
            (each for each in github.comments(target) if each.trusted and each.body.startswith(made.marker)), None
        )
        if found is not None:
            return github.change(target, found, made.body), False
        try:
            return github.write(target, made.body), True
        except UnsettledError as error:
            if attempt == ATTEMPTS:
                raise GitHubError(f"{error.message} {ATTEMPTS} attempts were made.", hint="Try again later.") from None
            github.sleep(float(2**attempt))
    raise AssertionError("the last attempt returns or raises")
