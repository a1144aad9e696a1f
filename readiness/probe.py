"""Asks a service's health path as a client would, and what a synthetic canary last saw of it."""

from __future__ import annotations

import http.client
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from readiness.cloud import translated
from readiness.errors import UsageError
from readiness.model import Instant, record

_KEPT = 300


@record
class CanaryRun:
    """The last run of a CloudWatch Synthetics canary."""

    canary: str
    state: str
    reason: str
    ended_at: Instant | None


@record
class ProbeSeen:
    """What came of asking.

    Attributes:
        url: What was asked; "" = nothing tells where the service is.
        answers: Status -> how many answers had it.
        errors: What went wrong instead -> how often.
        canaries: Asked where no answer came: a load balancer inside a VPC is not reached from everywhere.
    """

    url: str
    answers: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)
    canaries: tuple[CanaryRun, ...] = ()


@dataclass(kw_only=True)
class Probe:
    """Asks one URL, again and again, and counts.

    Attributes:
        url: What is asked; nothing if it is "".
        timeout_s: How long an answer may take.
    """

    url: str
    timeout_s: float = 5.0
    answers: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def ask(self) -> None:
        """Ask once. Redirects are answers like any other: they are not followed."""
        if not self.url:
            return
        try:
            self.answers[str(get(self.url, self.timeout_s))] += 1
        except (OSError, http.client.HTTPException) as error:
            self.errors[f"{type(error).__name__}: {error}"[:_KEPT]] += 1

    def seen(self, canaries: tuple[CanaryRun, ...] = ()) -> ProbeSeen:
        """Return what came of it so far."""
        return ProbeSeen(url=self.url, answers=dict(self.answers), errors=dict(self.errors), canaries=canaries)


def joined(base: str, path: str) -> str:
    """Return the URL of a path below a base; "" if there is no base.

    Raises:
        UsageError: the base is no URL of HTTP.
    """
    if not base:
        return ""
    try:
        parts = urlsplit(base)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        right = False
    if not right:
        raise UsageError(f"{base!r} is no URL that can be asked.", hint="Set gates.settings.go-live.url.")
    return base.rstrip("/") + path


def get(url: str, timeout_s: float) -> int:
    """Return the status with which a URL answers GET.

    Raises:
        OSError: it could not be reached, or its certificate is not right.
        HTTPException: what answered does not speak HTTP.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=timeout_s, context=ssl.create_default_context()
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"User-Agent": "readiness-go-live", "Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()


def last_runs(clients: Callable[[str], Any], names: tuple[str, ...]) -> tuple[CanaryRun, ...]:
    """Return the last run of each canary."""
    found = []
    for name in names:
        with translated(f"Reading the runs of canary {name}"):
            runs = clients("synthetics").get_canary_runs(Name=name, MaxResults=1)["CanaryRuns"]
        for each in runs[:1]:
            status = each.get("Status", {})
            found.append(
                CanaryRun(
                    canary=name,
                    state=status.get("State", ""),
                    reason=status.get("StateReason", ""),
                    ended_at=each.get("Timeline", {}).get("Completed"),
                )
            )
    return tuple(found)
