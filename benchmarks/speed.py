"""Requests per second that one core of a load generator makes, with full recording, beside k6 and Locust as shipped.

Usage: ``python -m benchmarks.speed [--seconds 8] [--rounds 3] [--users 50]``. Loopback only; stops by itself.
The service is a HAProxy on a core of its own that answers by itself; each generator has the other core, and *users*
that ask without waiting. Ours runs as a fleet does, a master beside one worker; the master shares the service's core.
For the open workload, which is ours by default, the figure is the highest rate of a ladder that was kept to: all
requests sent, the latest 1 % of them less than 5 ms late.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from benchmarks.balancer import target
from benchmarks.local_fleet import SERVER_CORE, drive
from benchmarks.peers import programs
from readiness.loadgen import rows
from readiness.model import Arrivals, ClosedArrivals, OpenArrivals, Scenario, Workload

_RATES_PER_S = (10_000.0, 15_000.0, 20_000.0, 25_000.0, 30_000.0, 35_000.0, 40_000.0)
_MAX_LAG_MS = 5.0
_GOALS = {"k6": 1.0, "Locust FastHttpUser": 1.8}


def workload(arrivals: Arrivals, seconds: int) -> Workload:
    """Return a workload of one small request."""
    return Workload(
        arrivals=arrivals,
        ramp=timedelta(seconds=1),
        hold=timedelta(seconds=seconds),
        scenarios=(Scenario(name="root", path="/"),),
    )


def ours_closed(url: str, seconds: int, users: int) -> float:
    """Return the answers per second of our closed workload."""
    driven = drive(url, workload(ClosedArrivals(kind="closed", users=users), seconds))
    return driven.hold.counts[rows.ANSWERED] / driven.seconds


def ours_open(url: str, seconds: int, users: int) -> float:
    """Return the highest rate that our open workload kept to."""
    best = 0.0
    for rate_per_s in _RATES_PER_S:
        arrivals = OpenArrivals(kind="open", rate_per_s=rate_per_s, distribution="constant")
        driven = drive(url, workload(arrivals, seconds))
        answered_per_s = driven.hold.counts.get(rows.ANSWERED, 0) / driven.seconds
        on_time = driven.finished["dispatcher_lag_p99_ms"] < _MAX_LAG_MS
        if driven.finished["dropped"] or not on_time or answered_per_s < 0.99 * rate_per_s:
            break
        best = rate_per_s
    return best


def fast_http_user(url: str, seconds: int, users: int) -> float:
    """Return the answers per second of Locust as shipped."""
    stats = programs.fast_http_user(url, seconds, users=users)
    return float(stats["num_requests"] / (stats["last_request_timestamp"] - stats["start_time"]))


def k6(url: str, seconds: int, users: int) -> float:
    """Return the answers per second of k6."""
    return float(programs.k6(url, seconds, users=users)["http_reqs"]["rate"])


def main() -> None:
    """Measure in alternating rounds; print every figure, the medians and whether the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=50)
    arguments = parser.parse_args()
    if os.cpu_count() == 1:
        sys.exit("the service and the generator need a core each")
    measured: dict[str, Callable[[str, int, int], float]] = {
        "ours, closed": ours_closed,
        "ours, open": ours_open,
        "Locust FastHttpUser": fast_http_user,
    }
    if programs.k6_program():
        measured["k6"] = k6
    else:
        sys.stdout.write("k6 is not installed (`make bench` does it): nothing is said about it\n")
    found: dict[str, list[float]] = {name: [] for name in measured}
    os.sched_setaffinity(0, {SERVER_CORE})
    with tempfile.TemporaryDirectory() as folder, target(Path(folder)) as (host, port):
        for _ in range(arguments.rounds):
            for name, measure in measured.items():
                found[name].append(measure(f"http://{host}:{port}", arguments.seconds, arguments.users))
    report(found)


def report(found: dict[str, list[float]]) -> None:
    """Print the medians and what they say about the goals."""
    medians = {name: statistics.median(values) for name, values in found.items()}
    sys.stdout.write("| generator | requests/s and core, median | rounds |\n|---|---|---|\n")
    for name, values in found.items():
        rounds = " · ".join(f"{value:,.0f}" for value in values)
        sys.stdout.write(f"| {name} | {medians[name]:,.0f} | {rounds} |\n")
    for peer, goal in _GOALS.items():
        if peer in medians:
            for ours in ("ours, closed", "ours, open"):
                ratio = medians[ours] / medians[peer]
                met = "met" if ratio >= goal else "NOT met"
                sys.stdout.write(f"{ours}: {ratio:.2f} x {peer}; goal {goal:g}: {met}\n")


if __name__ == "__main__":
    main()
