"""What a drive measured, and pure figures of it."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from dataclasses import field
from datetime import datetime, timedelta
from math import ceil, floor

from pydantic import TypeAdapter, ValidationError

from readiness import stats
from readiness.errors import EvidenceError
from readiness.loadgen import rows
from readiness.loadgen.rows import Row, Tally
from readiness.model import Instant, OpenArrivals, Workload, record


@record
class Progress:
    """How a drive stands; percentiles are None as long as nothing was answered."""

    second: int
    rate_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    requests: int
    errors: int
    dropped: int
    in_flight: int
    workers: int


@record
class Validity:
    """Whether the generator did what it was told; the whole drive, ramp included.

    Attributes:
        finished: Whether the master told the end of the story. Without it every other number here is a lower bound.
        stopped: Whether the drive ended because it was told to.
        ran_out: Whether a drive that was to run until stopped reached its bound first.
        unreported: Requests that were sent and of which nothing is known.
        missing_lines: Lines of the master that never arrived.
        generator_cpu_ratio: Of one core, the busiest five seconds of the busiest worker.
        clock_skew_ms: By how much a worker's clock differed from the master's, at most.
    """

    finished: bool
    stopped: bool
    ran_out: bool
    workers_expected: int
    workers_seen: int
    workers_lost: tuple[str, ...]
    workers_failed: tuple[str, ...]
    offered: int
    sent: int
    recorded: int
    dropped: int
    unreported: int
    missing_reports: int
    missing_lines: int
    reconnects: int
    in_flight_max: int
    generator_cpu_ratio: float
    clock_skew_ms: float
    dispatcher_lag_p99_ms: float | None


@record
class LoadResult:
    """What a drive measured.

    Attributes:
        started_at: Second 0 of the rows.
        workload: What was offered, with overrides applied.
        files: File of the user's that the workload names -> digest.
        problems: Why less than everything was seen; each is a gap.
        samples: ``scenario/outcome`` -> one message of that class of failure.
    """

    started_at: Instant
    ended_at: Instant | None
    workload: Workload
    rows: tuple[Row, ...]
    validity: Validity
    problems: tuple[str, ...]
    samples: dict[str, str]
    files: dict[str, str] = field(default_factory=dict)


@record
class Second:
    """What became of the requests that were due in one second."""

    second: int
    offered: int
    requests: int
    failed: int
    dropped: int
    answered: int
    """Expected answers that came in this second, whenever they were due."""


def window(result_rows: Sequence[Row], seconds: range) -> tuple[Row, ...]:
    """Return the rows of the given seconds."""
    return tuple(row for row in result_rows if row.second in seconds)


def hold_seconds(workload: Workload) -> range:
    """Return the whole seconds of the hold: what a load is judged by."""
    return _whole_seconds(workload.warm_up, workload.length)


def step_seconds(workload: Workload) -> tuple[range, ...]:
    """Return the whole seconds of the hold of each step before the rate that is judged."""
    found, at = [], timedelta(0)
    for step in workload.arrivals.steps if isinstance(workload.arrivals, OpenArrivals) else ():
        found.append(_whole_seconds(at + step.ramp, at + step.ramp + step.hold))
        at += step.ramp + step.hold
    return tuple(found)


def _whole_seconds(start: timedelta, end: timedelta) -> range:
    return range(ceil(start.total_seconds()), floor(end.total_seconds()))


def seconds_between(result: LoadResult, start: datetime, end: datetime) -> range:
    """Return the seconds of a drive that an interval of wall-clock time touches."""
    first = floor((start - result.started_at).total_seconds())
    return range(max(0, first), max(0, ceil((end - result.started_at).total_seconds())))


def total(result_rows: Sequence[Row], scenario: str | None = None) -> Tally:
    """Return one tally of all rows, or of one scenario's."""
    chosen = (row for row in result_rows if row.scenario != rows.EVERY and scenario in (None, row.scenario))
    return rows.over_all(rows.by_scenario(chosen))


def percentile_ms(result_rows: Sequence[Row], percentile: float, scenario: str | None = None) -> float:
    """Return a latency percentile over rows.

    Raises:
        NoSamplesError: nothing was answered.
    """
    return stats.percentile_ms(total(result_rows, scenario).latencies(), percentile)


def cache_hit_ratio(tally: Tally, hit_values: Sequence[str]) -> float:
    """Return which share of the answers that name a cache outcome were hits.

    Raises:
        NoSamplesError: none names one.
    """
    outcomes = tally.cache_outcomes()
    hits = sum(outcomes.get(value.lower(), 0) for value in hit_values)
    return stats.ratio(hits, sum(outcomes.values()), "cache-hit ratio")


def per_second(result: LoadResult) -> tuple[Second, ...]:
    """Return what became of the requests due in each second, in order; a second without any is there, with zeros."""
    seconds: dict[int, Tally] = {}
    for (second, name), tally in rows.from_rows(result.rows).items():
        if name != rows.EVERY:
            seconds.setdefault(second, Tally()).merge(tally)
    return tuple(_second(second, seconds.get(second, Tally())) for second in range(max(seconds, default=-1) + 1))


def _second(second: int, tally: Tally) -> Second:
    return Second(
        second=second,
        offered=tally.counts.get(rows.OFFERED, 0),
        requests=tally.requests,
        failed=tally.failed,
        dropped=tally.counts.get(rows.DROPPED, 0),
        answered=tally.counts.get(rows.ANSWERED, 0),
    )


def requests_between(result: LoadResult, start: datetime, end: datetime) -> tuple[int, int]:
    """Return how many requests that were due between two instants ended, and how many of them failed."""
    whole = total(window(result.rows, seconds_between(result, start, end)))
    return whole.requests, whole.failed


def artifact(result: LoadResult) -> bytes:
    """Return the whole result as gzipped JSON: every row, so that any percentile of any window can be recomputed."""
    return gzip.compress(TypeAdapter(LoadResult).dump_json(result), mtime=0)


def read_artifact(data: bytes) -> LoadResult:
    """Return the result that ``artifact`` wrote.

    Raises:
        EvidenceError: it is damaged.
    """
    try:
        return TypeAdapter(LoadResult).validate_json(gzip.decompress(data))
    except (OSError, EOFError, zlib.error, ValidationError) as error:
        raise EvidenceError(f"The rows of a load cannot be read: {error}") from error
