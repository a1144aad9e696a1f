"""A number with its unit, as a person reads it."""

from __future__ import annotations


def figure(value: float, unit: str) -> str:
    """Return a number with its unit, as a person reads it."""
    if unit == "ratio":
        return f"{value:.2%}"
    digits = 0 if abs(value) >= 1000 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit}".strip()
