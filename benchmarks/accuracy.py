"""How far percentiles are from the truth: ours, Locust's as shipped, a wrk2-style generator's and k6's.

Usage: ``python -m benchmarks.accuracy [--seconds 20] [--rates 200 1000 2000] [--rounds 1]``. Loopback only; stops by
itself after some ten minutes. The services know exactly how long each request took: one answers in a log-normal time,
the other in 5 ms, but stands still for 500 ms every 5 s. The truth is what clients wait that arrive evenly at the rate
(``benchmarks/latency_server.py`` says how it is computed). It begins where the service has read a request; what the
loopback device and the generator add, some 0.1 ms, is part of each generator's error. Service and generator have a core
each. The goal holds where an error is small in per cent of the truth or in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

from locust.stats import calculate_response_time_percentile

from benchmarks.latency_server import FOLDER, KINDS, Served, at_percentile, compiled, serving
from benchmarks.local_fleet import GENERATOR_CORE, SERVER_CORE, drive, pinned
from benchmarks.peers import programs
from readiness import stats
from readiness.model import OpenArrivals, Scenario, Workload

_PERCENTILES = (50.0, 95.0, 99.0, 99.9)
_GOAL_RATIO, _GOAL_MS = 0.02, 0.5
_OURS = "ours"
Measure = Callable[[Served, float, float], Mapping[float, float]]


def ours(served: Served, rate_per_s: float, seconds: float) -> dict[float, float]:
    """Drive with our fleet: a master and a worker."""
    workload = Workload(
        arrivals=OpenArrivals(kind="open", rate_per_s=rate_per_s, distribution="constant"),
        ramp=timedelta(0),
        hold=timedelta(seconds=seconds),
        scenarios=(Scenario(name="root", path="/"),),
    )
    latencies = drive(served.url, workload).hold.latencies()
    return {percent: stats.percentile_ms(latencies, percent) for percent in _PERCENTILES}


def locust(served: Served, rate_per_s: float, seconds: float) -> dict[float, float]:
    """Drive with Locust as shipped: a tenth of the rate as users that ask ten times a second."""
    found = programs.fast_http_user(served.url, seconds, users=int(rate_per_s / 10), paced=True)
    times = {int(float(ms)): count for ms, count in found["response_times"].items()}
    return {
        percent: float(calculate_response_time_percentile(times, found["num_requests"], percent / 100))
        for percent in _PERCENTILES
    }


def k6(served: Served, rate_per_s: float, seconds: float) -> dict[float, float]:
    """Drive with k6 at a constant arrival rate, with users enough for a stall."""
    found = programs.k6(served.url, seconds, users=int(100 + rate_per_s), rate_per_s=rate_per_s)
    return {percent: float(found["http_req_duration"][f"p({percent:g})"]) for percent in _PERCENTILES}


def wrk2_style(program: Path) -> Measure:
    """Return how to drive with the independent generator in C."""

    def measure(served: Served, rate_per_s: float, seconds: float) -> dict[float, float]:
        argv = [str(program), served.host, str(served.port), str(rate_per_s), str(seconds)]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, preexec_fn=pinned(GENERATOR_CORE))
        latencies = sorted(int(line) / 1e6 for line in done.stdout.splitlines())
        return {percent: at_percentile(latencies, percent) for percent in _PERCENTILES}

    return measure


def main() -> None:
    """Measure every generator at every rate against every service, in turn; print the errors and judge ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rates", type=float, nargs="+", default=[200, 1000, 2000])
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    if os.cpu_count() == 1:
        sys.exit("the service and the generator need a core each")
    os.sched_setaffinity(0, {SERVER_CORE})
    missed: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            server = compiled(FOLDER / "latency_server.c", Path(folder))
            measures: dict[str, Measure] = {_OURS: ours, "Locust FastHttpUser": locust}
            measures["wrk2-style"] = wrk2_style(compiled(FOLDER / "peers" / "open_loop.c", Path(folder)))
        except RuntimeError as error:
            sys.exit(str(error))
        if programs.k6_program():
            measures["k6"] = k6
        head = " | ".join(f"p{percent:g}" for percent in _PERCENTILES)
        sys.stdout.write(f"| service | rate | generator | {head} |\n|---|---|---|{'---|' * len(_PERCENTILES)}\n")
        for number in range(arguments.rounds):
            for kind in KINDS:
                for rate in arguments.rates:
                    for name, measure in measures.items():
                        with serving(server, kind, seed=number + 1) as served:
                            found = measure(served, rate, arguments.seconds)
                        missed += report(served, rate, arguments.seconds, name, found)
    if missed:
        sys.stdout.write(f"goal (at most 2 % or 0.5 ms) NOT met by ours: {'; '.join(missed)}\n")
    else:
        sys.stdout.write("goal (at most 2 % or 0.5 ms): met by every percentile of ours\n")


def report(served: Served, rate: float, seconds: float, name: str, found: Mapping[float, float]) -> list[str]:
    """Print one row; return which percentiles of ours miss the goal."""
    truth = served.truth_ms(rate, seconds)
    cells, missed = [], []
    for percent, measured in found.items():
        true = at_percentile(truth, percent)
        cells.append(f"{measured:.2f} of {true:.2f} ms ({measured / true - 1:+.1%})")
        if name == _OURS and abs(measured - true) > max(_GOAL_MS, _GOAL_RATIO * true):
            missed.append(f"{served.kind.name} at {rate:g}/s p{percent:g}")
    sys.stdout.write(f"| {served.kind.name} | {rate:g}/s | {name} | {' | '.join(cells)} |\n")
    sys.stdout.flush()
    return missed


if __name__ == "__main__":
    main()
