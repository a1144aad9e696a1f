"""What an hour at 1,000 requests a second leaves in a bundle, and how long it takes to write, read and judge it.

Usage: ``python -m benchmarks.bundle_size [--seconds 3600] [--rate 1000]``. No network.
The rows are those of the language-model proxy: five scenarios, log-normal latencies, half of the answers cached, the
others split into upstream and proxy. The artifact is made, read back and recomputed as by the gate and by ``verify``.
The peer is the same hour as lines of JSON, one for each request, gzipped: k6's ``--out json``, without its tags.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from readiness import load_result
from readiness.loadgen import rows
from readiness.loadgen.rows import Row, Tallies, tally_of
from readiness.model import OpenArrivals, Scenario, Workload

_SCENARIOS = 5
_GOAL_MB = 50.0


def second_of_the_drive(second: int, requests: int, choose: random.Random) -> Tallies:
    """Return what all workers together count in one second."""
    made: Tallies = {}
    for number in range(requests):
        tally = tally_of(made, second, f"scenario-{number % _SCENARIOS}")
        hit = choose.random() < 0.5
        latency = int(choose.lognormvariate(7.6 if hit else 10.2, 0.5))
        for name in (rows.OFFERED, rows.ANSWERED, f"{rows.STATUS_COUNT}200"):
            tally.count(name)
        tally.time(rows.OUTCOME_SERIES + rows.OK, latency)
        tally.time(f"{rows.CACHE_SERIES}{'hit' if hit else 'miss'}", latency)
        if not hit:
            proxy = int(choose.lognormvariate(7.3, 0.4))
            tally.time(rows.UPSTREAM, max(0, latency - proxy))
            tally.time(rows.PROXY, min(proxy, latency))
        tally_of(made, second, rows.EVERY).time(rows.LAG, int(choose.lognormvariate(4, 0.6)))
    return made


def result(all_rows: tuple[Row, ...], seconds: int, rate: int) -> load_result.LoadResult:
    """Return a whole result around rows."""
    requests = seconds * rate
    return load_result.LoadResult(
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        ended_at=None,
        workload=Workload(
            arrivals=OpenArrivals(kind="open", rate_per_s=rate),
            ramp=timedelta(0),
            hold=timedelta(seconds=seconds),
            scenarios=tuple(Scenario(name=f"scenario-{number}", path="/") for number in range(_SCENARIOS)),
        ),
        rows=all_rows,
        validity=load_result.Validity(
            finished=True,
            stopped=False,
            ran_out=False,
            workers_expected=2,
            workers_seen=2,
            workers_lost=(),
            workers_failed=(),
            offered=requests,
            sent=requests,
            recorded=requests,
            dropped=0,
            unreported=0,
            missing_reports=0,
            missing_lines=0,
            reconnects=0,
            in_flight_max=0,
            generator_cpu_ratio=0.3,
            clock_skew_ms=0.1,
            dispatcher_lag_p99_ms=0.2,
        ),
        problems=(),
        samples={},
    )


def lines_of(seconds: int, rate: int, choose: random.Random) -> Iterator[bytes]:
    """Yield the peer's lines."""
    for number in range(seconds * rate):
        point = {"time": number / rate, "value": round(choose.lognormvariate(2, 0.8), 6)}
        yield json.dumps({"type": "Point", "metric": "http_req_duration", "data": point}).encode() + b"\n"


def main() -> None:
    """Make the hour, and print what it takes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--rate", type=int, default=1000)
    arguments = parser.parse_args()
    choose = random.Random(1)
    found: list[Row] = []
    for second in range(arguments.seconds):
        found += rows.to_rows(second_of_the_drive(second, arguments.rate, choose))
    measured = result(tuple(found), arguments.seconds, arguments.rate)
    begun = time.perf_counter()
    artifact = load_result.artifact(measured)
    written = time.perf_counter()
    again = load_result.read_artifact(artifact)
    read = time.perf_counter()
    whole = rows.by_scenario(again.rows, load_result.hold_seconds(again.workload))
    judged = time.perf_counter()
    requests = sum(tally.requests for tally in whole.values())
    if again != measured or requests != arguments.seconds * arguments.rate:
        sys.exit(f"{requests} requests came back")
    size_mb = len(artifact) / 1e6
    share = max(1, arguments.seconds // 60)
    peer_mb = len(gzip.compress(b"".join(lines_of(share, arguments.rate, choose)))) / 1e6 * arguments.seconds / share
    sys.stdout.write(
        f"{arguments.seconds} s at {arguments.rate}/s, {len(found):,} rows: {size_mb:.1f} MB; goal below "
        f"{_GOAL_MB:g} MB: {'met' if size_mb < _GOAL_MB else 'NOT met'}\n"
        f"a gzipped line of JSON for each request: {peer_mb:.0f} MB, {peer_mb / size_mb:.1f} x ours\n"
        f"written in {written - begun:.1f} s, read in {read - written:.1f} s, every histogram decoded and merged in "
        f"{judged - read:.1f} s; peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB\n"
    )


if __name__ == "__main__":
    main()
