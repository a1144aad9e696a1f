"""How long a master takes to merge what 1,000 workers report over 600 s of 5 endpoints, and how much memory.

Usage: ``python -m benchmarks.merge [--workers 1000] [--seconds 600] [--requests 50]``. No network.
Every report of every worker is really merged, each second of the drive in one tick as the master does; reports are made
beforehand, outside of the time that is taken, of log-normal latencies. What unpacking Locust's messages costs is told
beside it. A share of the same histograms is merged with HdrHistogram's own Python package too.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import sys
import time
from typing import Any

import msgpack
from hdrh.histogram import HdrHistogram

from readiness.histogram import HIGHEST_US
from readiness.loadgen import rows
from readiness.loadgen.merging import Merger, pack
from readiness.loadgen.rows import Tallies, tally_of

_ENDPOINTS = 5
_GOAL_S = 5.0
_DISTINCT = 40


def second_of_a_worker(second: int, requests: int, choose: random.Random) -> Tallies:
    """Return what one worker counts in one second: half of the answers name the upstream's part."""
    made: Tallies = {}
    for number in range(requests):
        tally = tally_of(made, second, f"endpoint-{number % _ENDPOINTS}")
        latency = int(choose.lognormvariate(10, 0.5))
        for name in (rows.OFFERED, rows.ANSWERED, f"{rows.STATUS_COUNT}200"):
            tally.count(name)
        tally.time(rows.OUTCOME_SERIES + rows.OK, latency)
        if number % 2:
            tally.time(rows.UPSTREAM, latency // 2)
            tally.time(rows.PROXY, latency - latency // 2)
        tally_of(made, second, rows.EVERY).time(rows.LAG, choose.randrange(200))
    return made


def merge_all(reports: list[dict[str, object]], workers: int, seconds: int) -> tuple[float, int, rows.Tally]:
    """Return the seconds that all ticks took, how many histograms were merged, and what they came to."""
    merger, whole = Merger(), rows.Tally()
    taken = 0.0
    for second in range(seconds):
        given = [(f"worker-{worker}", reports[(worker + second) % len(reports)]) for worker in range(workers)]
        begun = time.process_time()
        for worker, report in given:
            merger.add(worker, report)
        merged = merger.merge()
        for tally in merged.tallies.values():
            whole.merge(tally)
        taken += time.process_time() - begun
    return taken, workers * seconds * (_ENDPOINTS * 3 + 1), whole


def unpack_all(reports: list[dict[str, object]], messages: int) -> float:
    """Return the seconds that Locust's protocol takes to unpack so many of our messages."""
    packed = [msgpack.dumps(report) for report in reports]
    begun = time.process_time()
    for number in range(messages):
        msgpack.loads(packed[number % len(packed)])
    return time.process_time() - begun


def merge_with_peer(parts: list[Tallies]) -> tuple[float, int]:
    """Return the seconds that HdrHistogram's package takes to merge some reports in its wire form, and how many."""
    encoded = [[(series, _peer(histogram).encode()) for series, histogram in _histograms(part)] for part in parts]
    begun = time.process_time()
    totals: dict[str, Any] = {}
    for part in encoded:
        for series, text in part:
            totals.setdefault(series, HdrHistogram(1, HIGHEST_US, 3)).decode_and_add(text)
    return time.process_time() - begun, sum(map(len, encoded))


def _histograms(part: Tallies) -> Any:
    for (_, scenario), tally in part.items():
        for series, histogram in tally.histograms.items():
            yield f"{scenario}/{series}", histogram


def _peer(histogram: Any) -> HdrHistogram:
    made = HdrHistogram(1, HIGHEST_US, 3)
    for bucket, count in histogram.counts.items():
        made.record_value(max(1, bucket), count)
    return made


def main() -> None:
    """Measure, check that nothing was lost, and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--requests", type=int, default=50, help="of each worker and second")
    arguments = parser.parse_args()
    choose = random.Random(1)
    parts = [second_of_a_worker(0, arguments.requests, choose) for _ in range(_DISTINCT)]
    reports = [pack(part) for part in parts]
    before_mb = peak_mb()
    unpacking_s = unpack_all(reports, arguments.workers * arguments.seconds)
    taken, histograms, whole = merge_all(reports, arguments.workers, arguments.seconds)
    expected = arguments.workers * arguments.seconds * arguments.requests
    if whole.requests != expected or whole.counts[rows.OFFERED] != expected:
        sys.exit(f"{whole.requests} requests were merged instead of {expected}")
    rates = [count / seconds for seconds, count in (merge_with_peer(parts[:20]) for _ in range(3))]
    peer_s = histograms / statistics.median(rates)
    met = "met" if taken <= _GOAL_S else "NOT met"
    sys.stdout.write(
        f"{arguments.workers:,} workers x {arguments.seconds} s x {_ENDPOINTS} endpoints, {expected:,} requests, "
        f"{histograms:,} histograms\n"
        f"ours: {taken:.1f} s ({taken / histograms * 1e6:.2f} us a histogram); goal {_GOAL_S:g} s: {met}\n"
        f"unpacking as many of Locust's messages: {unpacking_s:.1f} s\n"
        f"peak memory: {peak_mb():.0f} MB, of which {before_mb:.0f} MB before the first merge\n"
        f"hdrhistogram's package at the rate of a share of them: {peer_s:,.0f} s, {peer_s / taken:,.0f} x ours\n"
    )


def peak_mb() -> float:
    """Return the most memory that this process has held up to now, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
