"""A number with its unit, as a person reads it."""

from __future__ import annotations


def figure(value: float, unit: str) -> str:
    """Return a number with its unit."""
    if unit == "1/s":
        return f"{_number(value)}/s"
    return _with_ratio(value, unit) if unit == "ratio" else f"{_number(value)} {unit}".strip()


def interval(low: float, high: float, unit: str) -> str:
    """Return two bounds, whose unit stands elsewhere."""
    return f"{_with_ratio(low, unit)} to {_with_ratio(high, unit)}"


def _with_ratio(value: float, unit: str) -> str:
    return f"{value:.2%}" if unit == "ratio" else _number(value)


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 1000 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"
