"""What the clients saw during a drill, second by second, and what it says of the objectives. Pure.

The objectives are those that have an alarm: what called somebody has to be over before the service has recovered.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from math import ceil, floor
from typing import Literal

from readiness import stats
from readiness.load_result import LoadResult
from readiness.loadgen import rows
from readiness.model import ErrorObjective, Instant, LatencyObjective, Plan, Ratio, record


@record
class Watched:
    """An objective as one number: at most this share of the requests may fail, or take longer than its threshold."""

    id: str
    kind: Literal["errors", "latency"]
    max_ratio: Ratio
    threshold_ms: float | None = None


@record
class SecondSeen:
    """What became of the requests that were due in one second.

    Attributes:
        slow: Latency objective -> requests that took longer than its threshold.
    """

    second: int
    requests: int
    failed: int
    slow: dict[str, int]
    p95_ms: float | None


@record
class ClientsSeen:
    """What the clients saw during a whole drive.

    Attributes:
        started_at: Second 0.
        problems: Why the fleet saw less than everything.
    """

    started_at: Instant
    watched: tuple[Watched, ...]
    seconds: tuple[SecondSeen, ...]
    problems: tuple[str, ...]


@record
class Window:
    """What the clients saw between two instants."""

    requests: int
    failed: int
    slow: dict[str, int]


def watched_objectives(plan: Plan) -> tuple[Watched, ...]:
    """Return the objectives over all requests that have an alarm."""
    found = []
    for each in plan.objectives:
        if isinstance(each, ErrorObjective) and each.alarm is not None:
            found.append(Watched(id=each.id, kind="errors", max_ratio=each.max_ratio))
        elif isinstance(each, LatencyObjective) and each.alarm is not None:
            ratio, threshold_ms = 1 - each.percentile / 100, each.threshold.total_seconds() * 1e3
            found.append(Watched(id=each.id, kind="latency", max_ratio=ratio, threshold_ms=threshold_ms))
    return tuple(found)


def clients_seen(result: LoadResult, watched: tuple[Watched, ...]) -> ClientsSeen:
    """Return what a drive measured, by the second; a second without any request is there, with zeros."""
    tallies: dict[int, rows.Tally] = {}
    for (second, name), tally in rows.from_rows(result.rows).items():
        if name != rows.EVERY:
            tallies.setdefault(second, rows.Tally()).merge(tally)
    seconds = (_second(each, tallies.get(each, rows.Tally()), watched) for each in range(max(tallies, default=-1) + 1))
    return ClientsSeen(started_at=result.started_at, watched=watched, seconds=tuple(seconds), problems=result.problems)


def _second(second: int, tally: rows.Tally, watched: tuple[Watched, ...]) -> SecondSeen:
    latencies = tally.latencies(rows.OUTCOMES)
    try:
        p95_ms = round(stats.percentile_ms(latencies, 95), 3)
    except stats.NoSamplesError:
        p95_ms = None
    slow = {
        each.id: latencies.count_above(round(each.threshold_ms * 1e3))
        for each in watched
        if each.threshold_ms is not None
    }
    return SecondSeen(second=second, requests=tally.requests, failed=tally.failed, slow=slow, p95_ms=p95_ms)


def between(seen: ClientsSeen, start: datetime, end: datetime) -> Window:
    """Return what the requests came to that were due in the seconds which an interval touches."""
    first = floor((start - seen.started_at).total_seconds())
    last = ceil((end - seen.started_at).total_seconds())
    return _window([each for each in seen.seconds if first <= each.second < last])


def within(seen: ClientsSeen, start: datetime, end: datetime) -> Window:
    """Return what the requests came to that were due in the seconds that lie wholly inside of an interval.

    For steady states: the second in which a fault is put in may hold its first failures.
    """
    first = ceil((start - seen.started_at).total_seconds())
    last = floor((end - seen.started_at).total_seconds())
    return _window([each for each in seen.seconds if first <= each.second < last])


def _window(seconds: list[SecondSeen]) -> Window:
    slow: dict[str, int] = {}
    for each in seconds:
        for name, count in each.slow.items():
            slow[name] = slow.get(name, 0) + count
    return Window(
        requests=sum(each.requests for each in seconds), failed=sum(each.failed for each in seconds), slow=slow
    )


def missed(window: Window, watched: tuple[Watched, ...]) -> tuple[str, ...]:
    """Return the objectives that a window misses, with its figures. Without a request every one is missed."""
    if not window.requests:
        return tuple(f"{each.id}: no request" for each in watched)
    said = []
    for each in watched:
        count = window.failed if each.kind == "errors" else window.slow.get(each.id, 0)
        # Half a request of grace against 1 - 0.95 being a little less than 0.05
        if count > each.max_ratio * window.requests + 1e-6:
            what = "failed" if each.kind == "errors" else f"took longer than {each.threshold_ms:g} ms"
            said.append(f"{each.id}: {count} of {window.requests} requests {what}")
    return tuple(said)


def recovered_at(seen: ClientsSeen, since: datetime, lasting: timedelta) -> datetime | None:
    """Return the first second at or after an instant from which the objectives are met for so long; None = never."""
    length = ceil(lasting.total_seconds())
    first = max(0, ceil((since - seen.started_at).total_seconds()))
    for begin in range(first, len(seen.seconds) - length + 1):
        held = list(seen.seconds[begin : begin + length])
        if all(each.requests for each in held) and not missed(_window(held), seen.watched):
            return seen.started_at + timedelta(seconds=begin)
    return None
