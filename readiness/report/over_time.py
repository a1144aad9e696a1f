"""A drive over time: its seconds, or stretches of them where there are more than a plot has room for. Pure.

A figure of a stretch is computed from all requests of the stretch, never from the figures of its seconds; the worst
second of the stretch is told beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from readiness import stats
from readiness.load_figures import latencies_of
from readiness.load_result import LoadResult
from readiness.loadgen import rows
from readiness.loadgen.rows import Tally
from readiness.model import LatencyPart

MOST_PLACES = 240


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Some seconds of a drive in a row.

    Attributes:
        start: The first of them, from the start of the drive.
        seconds: What was due in each, in order; empty where nothing was.
        whole: All of them in one.
    """

    start: int
    seconds: tuple[Tally, ...]
    whole: Tally


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A figure of a stretch, and that of its worst second; None = nothing was measured."""

    value: float | None
    worst: float | None


def stretches(result: LoadResult, *, end: int | None = None, most: int = MOST_PLACES) -> tuple[Stretch, ...]:
    """Return a drive from its first to its last second, in at most *most* stretches of the same length.

    Args:
        result: The drive.
        end: The second before which it ends; what comes then are answers to what was due before.
        most: How many stretches a plot has room for.

    Raises:
        EvidenceError: a histogram cannot be read.
    """
    seconds: dict[int, Tally] = {}
    for (second, scenario), tally in rows.from_rows(result.rows).items():
        if scenario != rows.EVERY and (end is None or second < end):
            seconds.setdefault(second, Tally()).merge(tally)
    last = max(seconds, default=-1)
    length = max(1, -(-(last + 1) // most))
    return tuple(
        _stretch(start, [seconds.get(second, Tally()) for second in range(start, min(start + length, last + 1))])
        for start in range(0, last + 1, length)
    )


def _stretch(start: int, seconds: Sequence[Tally]) -> Stretch:
    if len(seconds) == 1:
        return Stretch(start=start, seconds=tuple(seconds), whole=seconds[0])
    whole = Tally()
    for second in seconds:
        whole.merge(second)
    return Stretch(start=start, seconds=tuple(seconds), whole=whole)


def latency(found: Sequence[Stretch], percent: float, part: LatencyPart = "whole") -> tuple[Reading, ...]:
    """Return a latency percentile of each stretch, and of its worst second, in milliseconds."""

    def of(tally: Tally) -> float | None:
        histogram = latencies_of(tally, part)
        return stats.percentile_ms(histogram, percent) if histogram.total else None

    return _readings(found, lambda stretch: of(stretch.whole), of)


def rate(found: Sequence[Stretch], counted: Callable[[Tally], int]) -> tuple[Reading, ...]:
    """Return how many there were in a second: on average, and at most."""
    return _readings(
        found, lambda stretch: sum(map(counted, stretch.seconds)) / len(stretch.seconds), lambda tally: counted(tally)
    )


def _readings(
    found: Sequence[Stretch], of_whole: Callable[[Stretch], float | None], of_second: Callable[[Tally], float | None]
) -> tuple[Reading, ...]:
    readings = []
    for stretch in found:
        values = [value for value in map(of_second, stretch.seconds) if value is not None]
        readings.append(Reading(value=of_whole(stretch), worst=max(values, default=None)))
    return tuple(readings)


def offered(tally: Tally) -> int:
    """Return how many requests were due."""
    return tally.counts.get(rows.OFFERED, 0)


def answered(tally: Tally) -> int:
    """Return how many expected answers came."""
    return tally.counts.get(rows.ANSWERED, 0)


def dropped(tally: Tally) -> int:
    """Return how many requests were due and not sent."""
    return tally.counts.get(rows.DROPPED, 0)


def failed(tally: Tally) -> int:
    """Return how many requests ended otherwise than expected."""
    return tally.failed


def ended_as(outcome: str) -> Callable[[Tally], int]:
    """Return what counts the requests that ended in one way."""
    return lambda tally: tally.outcomes().get(outcome, 0)


def cached_as(outcome: str) -> Callable[[Tally], int]:
    """Return what counts the answers that named a cache outcome."""
    return lambda tally: tally.cache_outcomes().get(outcome, 0)
