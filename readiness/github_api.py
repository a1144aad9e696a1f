"""GitHub's REST API, as far as comments of an issue need it: pages, limits, and a sentence for each refusal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from readiness.errors import ReadinessError, UsageError

PUBLIC = "https://api.github.com"
ATTEMPTS = 4
LONGEST_WAIT_S = 60.0
_TIMEOUT_S = 30
_PER_PAGE = 100
_MOST_PAGES = 100
_VERSION = "2022-11-28"
_TARGET = re.compile(
    r"(?P<owner>[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)/(?P<name>[A-Za-z0-9._-]+)#(?P<number>[1-9]\d*)"
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class GitHubError(ReadinessError):
    """GitHub refused, or could not be reached."""


class UnsettledError(GitHubError):
    """It is not known whether GitHub did what it was asked."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """An issue or a pull request."""

    owner: str
    name: str
    number: int

    @classmethod
    def parse(cls, text: str) -> Target:
        """Read ``OWNER/REPO#N``.

        Raises:
            UsageError: it is spelt otherwise.
        """
        match = _TARGET.fullmatch(text)
        if match is None or match["name"] in (".", ".."):
            raise UsageError(f"--github: {text!r} is no issue or pull request.", hint="Write OWNER/REPO#NUMBER.")
        return cls(owner=match["owner"], name=match["name"], number=int(match["number"]))

    def __str__(self) -> str:
        return f"{self.owner}/{self.name}#{self.number}"


@dataclass(frozen=True)
class Comment:
    """A comment of an issue.

    Attributes:
        trusted: Whether it is of a program, or of somebody who may write to the repository: nobody else can edit it.
    """

    id: int
    body: str
    url: str
    trusted: bool


class _NoRedirects(HTTPRedirectHandler):
    """A redirection would carry the token to wherever it points."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class GitHub:
    """The API of one GitHub.

    Attributes:
        url: Where it is, without a slash at the end.
        token: Never printed, never part of an address.
        sleep: Waits between attempts, in seconds.
    """

    url: str
    token: str = field(repr=False)
    sleep: Callable[[float], None] = time.sleep
    opener: OpenerDirector = field(default_factory=lambda: build_opener(_NoRedirects), repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise UsageError(f"--api-url: {self.url} is not https: the token would be readable on its way.")

    def comments(self, target: Target) -> Iterator[Comment]:
        """Yield every comment, oldest first."""
        for page in range(1, _MOST_PAGES + 1):
            found = self._ask("GET", f"{_issue(target)}/comments?per_page={_PER_PAGE}&page={page}", target)
            yield from (_comment(each) for each in found)
            if len(found) < _PER_PAGE:
                return

    def write(self, target: Target, body: str) -> Comment:
        """Write a new comment.

        Raises:
            UnsettledError: GitHub failed while it was asked; it may be there all the same.
        """
        return _comment(self._ask("POST", f"{_issue(target)}/comments", target, {"body": body}, again=False))

    def change(self, target: Target, comment: Comment, body: str) -> Comment:
        """Replace a comment's text."""
        path = f"/repos/{quote(target.owner)}/{quote(target.name)}/issues/comments/{comment.id}"
        return _comment(self._ask("PATCH", path, target, {"body": body}))

    def _ask(
        self, method: str, path: str, target: Target, sent: Mapping[str, str] | None = None, *, again: bool = True
    ) -> Any:
        """Return GitHub's answer; what passes by itself is waited for, a few times."""
        data = None if sent is None else json.dumps(sent).encode()
        for attempt in range(1, ATTEMPTS + 1):
            request = Request(self.url.rstrip("/") + path, data=data, method=method, headers=self._headers())
            last = attempt == ATTEMPTS
            try:
                with self.opener.open(request, timeout=_TIMEOUT_S) as answer:
                    return json.loads(answer.read())
            except HTTPError as error:
                with error:
                    wait_s = _wait(error, attempt)
                    if wait_s is None or last or wait_s > LONGEST_WAIT_S:
                        raise _refusal(error, target) from None
                    if error.code >= 500 and not again:
                        raise UnsettledError(f"GitHub failed with HTTP {error.code}.") from None
            except (URLError, OSError, HTTPException, ValueError) as error:
                if not again or last:
                    kind = GitHubError if last else UnsettledError
                    raise kind(
                        f"GitHub at {self.url} gives no answer: {getattr(error, 'reason', error)}.",
                        hint="Look at the network, or at --api-url.",
                    ) from None
                wait_s = float(2**attempt)
            self.sleep(wait_s)
        raise AssertionError("the last attempt returns or raises")

    def _headers(self) -> dict[str, str]:
        return {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {self.token}",
            "Content-Type": "application/json",
            "User-Agent": "readiness",
            "X-GitHub-Api-Version": _VERSION,
        }


def _issue(target: Target) -> str:
    return f"/repos/{quote(target.owner)}/{quote(target.name)}/issues/{target.number}"


def _comment(raw: Any) -> Comment:
    try:
        trusted = raw["user"]["type"] == "Bot" or raw["author_association"] in ("OWNER", "MEMBER", "COLLABORATOR")
        return Comment(int(raw["id"]), str(raw["body"] or ""), str(raw["html_url"]), trusted)
    except (KeyError, TypeError, ValueError):
        raise GitHubError("GitHub's answer is no comment.", hint="Is --api-url the address of GitHub's API?") from None


def _wait(error: HTTPError, attempt: int) -> float | None:
    """Return how long to wait before the next attempt; None = it would be refused again."""
    if error.code >= 500:
        return float(2**attempt)
    limited = error.code == 429 or (
        error.code == 403 and (error.headers.get("Retry-After") or error.headers.get("X-RateLimit-Remaining") == "0")
    )
    if not limited:
        return None
    told = error.headers.get("Retry-After") or ""
    if told.isdigit():
        return float(told)
    reset = error.headers.get("X-RateLimit-Reset") or ""
    return max(1.0, float(reset) - time.time()) if reset.isdigit() else float(2**attempt)


def _refusal(error: HTTPError, target: Target) -> GitHubError:
    if _wait(error, 1) is not None and error.code < 500:
        return GitHubError("GitHub's rate limit is used up.", hint="Try again later, or with another token.")
    said, hint = {
        401: ("GitHub does not accept the token.", "Is GITHUB_TOKEN set, whole, and not expired?"),
        403: (
            f"The token may not comment on {target}.",
            "It needs issues: write (and pull-requests: write for a pull request).",
        ),
        404: (
            f"GitHub has no {target}, or the token may not see it.",
            "Look at OWNER/REPO#NUMBER, and at what the token is allowed to read.",
        ),
        410: (f"Issues are switched off for {target.owner}/{target.name}.", ""),
    }.get(error.code, (f"GitHub refused with HTTP {error.code}: {_said(error)}", ""))
    if 300 <= error.code < 400:
        said, hint = f"{target.owner}/{target.name} has another name now.", "Name the repository as it is called today."
    return GitHubError(said, hint=hint)


def _said(error: HTTPError) -> str:
    try:
        return " ".join(str(json.loads(error.read())["message"]).split())[:200]
    except (ValueError, KeyError, TypeError, OSError):
        return "without a reason."
