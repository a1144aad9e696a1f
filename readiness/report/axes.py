"""Axes of a plot: how a value becomes a place, and where the ticks are. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_TIME_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)
_MOST_TICKS = 10
_HEADROOM = 1.04
_PERCENTILES = (0.0, 50.0, 90.0, 95.0, 99.0, 99.9, 99.99, 99.999)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A place on an axis, in the axis's own unit, and what stands there."""

    value: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Axis:
    """One side of a plot.

    Attributes:
        low: The value at its beginning.
        high: The value at its end; above *low*.
        logarithmic: Whether equal distances are equal ratios; *low* is then above 0.
    """

    low: float
    high: float
    ticks: tuple[Tick, ...]
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Return where a value lies: 0 = the beginning, 1 = the end. What lies outside is put onto the edge."""
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return min(1.0, max(0.0, (value - low) / (high - low)))


def linear(values: Sequence[float], count: int = 5) -> Axis:
    """Return an axis from 0 to a round number that no value exceeds."""
    top = max(values, default=0.0)
    if top <= 0:
        return Axis(low=0, high=1, ticks=(Tick(value=0, label="0"), Tick(value=1, label="1")))
    step = _round_up(top * _HEADROOM / count)
    steps = math.ceil(top * _HEADROOM / step)
    return Axis(
        low=0,
        high=step * steps,
        ticks=tuple(Tick(value=step * n, label=number(step * n)) for n in range(steps + 1)),
    )


def logarithmic(values: Sequence[float]) -> Axis:
    """Return an axis of decades between which all positive values lie, cut at 1, 2 and 5."""
    positive = [value for value in values if value > 0]
    if not positive:
        return linear(values)
    low, high = _cut_below(min(positive)), _cut_above(max(positive) * 1.2)
    if low == high:
        high = _cut_above(high * 1.5)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    every = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    ticks = [value for value in every if low * 0.999 <= value <= high * 1.001]
    if len(ticks) > _MOST_TICKS:
        ticks = [value for value in ticks if math.isclose(10.0 ** round(math.log10(value)), value)]
    return Axis(
        low=low,
        high=high,
        logarithmic=True,
        ticks=tuple(Tick(value=value, label=number(value)) for value in ticks),
    )


def time(low_s: float, high_s: float, count: int = 8) -> Axis:
    """Return an axis of seconds with about *count* ticks at round times."""
    high_s = max(high_s, low_s + 1)
    step = next((step for step in _TIME_STEPS_S if (high_s - low_s) / step <= count), _TIME_STEPS_S[-1])
    first = math.ceil(low_s / step)
    ticks = [n * step for n in range(first, math.floor(high_s / step) + 1)]
    return Axis(low=low_s, high=high_s, ticks=tuple(Tick(value=tick, label=clock(tick)) for tick in ticks))


def percentiles(highest: float) -> Axis:
    """Return an axis on which each further nine takes as much room: the tail is what a percentile plot is for."""
    ticks = [percent for percent in _PERCENTILES if percent <= highest]
    return Axis(
        low=0,
        high=max(nines(highest), 1.0),
        ticks=tuple(Tick(value=nines(percent), label=f"{percent:g} %") for percent in ticks),
    )


def nines(percent: float) -> float:
    """Return the place of a percentile on its axis: 0 % at 0, 90 % at 1, 99 % at 2."""
    return -math.log10(1 - percent / 100)


def number(value: float) -> str:
    """Return a round number as an axis shows it."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def clock(seconds: float) -> str:
    """Return seconds as an axis shows them: ``45``, ``1:30``, ``1:00:00``."""
    whole = round(abs(seconds))
    sign = "-" if seconds < 0 and whole else ""
    if whole < 60:
        return f"{sign}{whole}"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{sign}{minutes}:{rest:02}"
    return f"{sign}{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _round_up(value: float) -> float:
    """Return the smallest of 1, 2, 2.5, 5, 10 times a power of ten that is not below *value*."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= value * 0.999999)


def _cut_below(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value) + 1e-9)
    return max(factor * power for factor in (1, 2, 5) if factor * power <= value * 1.000001)


def _cut_above(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value) - 1e-9)
    return min(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999999)
