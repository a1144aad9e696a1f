"""How the stand-in behaves: read once from its environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(Exception):
    """A variable is missing or wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says.

    Attributes:
        token: Bearer token that clients of ``/v1`` must send.
        upstream_median_ms: Median of the simulated upstream's log-normal latency.
        upstream_sigma: Its spread: standard deviation of the latency's logarithm.
        error_ratio: Share of the requests below ``/v1`` that fail with 500.
        added_latency_ms: What the proxy itself adds to every answer below ``/v1``.
        crash_on_start: Whether the process ends with an error instead of serving.
        unhealthy: Whether ``/health`` says 503.
    """

    token: str
    upstream_median_ms: float = 20.0
    upstream_sigma: float = 0.4
    error_ratio: float = 0.0
    added_latency_ms: float = 0.0
    crash_on_start: bool = False
    unhealthy: bool = False


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Return the settings that *environment* spells.

    Raises:
        SettingsError: names the variable that is missing or wrong.
    """
    token = environment.get("MANAGEMENT_TOKEN", "")
    if not token:
        raise SettingsError("MANAGEMENT_TOKEN is not set: no client could be told from a stranger.")
    return Settings(
        token=token,
        upstream_median_ms=_number(environment, "PROXY_UPSTREAM_MEDIAN_MS", 20.0, above_zero=True),
        upstream_sigma=_number(environment, "PROXY_UPSTREAM_SIGMA", 0.4),
        error_ratio=_number(environment, "PROXY_ERROR_RATIO", 0.0, most=1.0),
        added_latency_ms=_number(environment, "PROXY_ADDED_LATENCY_MS", 0.0),
        crash_on_start=_switch(environment, "PROXY_CRASH_ON_START"),
        unhealthy=_switch(environment, "PROXY_UNHEALTHY"),
    )


def _number(
    environment: Mapping[str, str], name: str, default: float, *, most: float = 600_000.0, above_zero: bool = False
) -> float:
    text = environment.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        raise SettingsError(f"{name} is {text!r}, which is no number.") from None
    if not 0 <= value <= most or (above_zero and value == 0):
        raise SettingsError(f"{name} is {text}; it must lie between 0 and {most:g}.")
    return value


def _switch(environment: Mapping[str, str], name: str) -> bool:
    text = environment.get(name, "").lower()
    if text not in ("", "0", "1", "false", "true", "no", "yes"):
        raise SettingsError(f"{name} is {text!r}; it must be true or false.")
    return text in ("1", "true", "yes")
