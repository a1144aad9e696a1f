"""Requests per second that one core of a load generator makes, with full recording, beside k6 and Locust as shipped.

Usage: ``python -m benchmarks.speed [--seconds 8] [--rounds 3] [--users 50] [--rate 20000]``. Loopback only; stops by
itself. The service is a HAProxy on a core of its own that answers by itself; each generator has the other core, and
*users* that ask without waiting. Ours runs as a fleet does, a master beside one worker; the master shares the service's
core. Our open workload, which is the default, is measured at one rate, for it sends neither more nor less.

A core that is shared with others makes fewer requests a second, but not fewer with the time that it gets. So the figure
that is compared is requests per second of the processor's time, which is taken from the middle of each run; what was
done per second of the clock is printed beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil

from benchmarks.balancer import target
from benchmarks.local_fleet import GENERATOR_CORE, SERVER_CORE, drive
from benchmarks.peers import programs
from readiness.loadgen import rows
from readiness.model import Arrivals, ClosedArrivals, OpenArrivals, Scenario, Workload

_CLOSED, _OPEN = "ours, closed", "ours, open"
_K6, _LOCUST = "k6", "Locust FastHttpUser"
_GOALS = {_K6: 1.0, _LOCUST: 1.8}
_LOOK_EVERY_S = 0.1
_EDGE_S = 1.0


@dataclass(frozen=True)
class Speed:
    """What one run of one generator came to.

    Attributes:
        per_s: Answers per second of the clock.
        busy: Seconds of the processor per second of the clock.
    """

    per_s: float
    busy: float

    @property
    def per_core(self) -> float:
        """Answers per second of the processor."""
        return self.per_s / self.busy


class ProcessorTime:
    """Looks at what the generator's process takes of its core, until that process is gone.

    It is the one child, or child's child, of this process that may run on the generator's core only.
    """

    def __init__(self) -> None:
        self._seen: list[tuple[float, float]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> ProcessorTime:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def busy(self, seconds: float) -> float:
        """Return the share of its core that the process took in the middle of the last *seconds* of its life.

        Raises:
            RuntimeError: it was not there for so long.
        """
        end = self._seen[-1][0] if self._seen else 0.0
        middle = [(at, used) for at, used in self._seen if end - seconds + _EDGE_S <= at <= end - _EDGE_S]
        if len(middle) < 2 or middle[-1][0] - middle[0][0] < seconds / 2 - _EDGE_S:
            raise RuntimeError("the generator's process was not seen for long enough; measure for more seconds")
        (begin, before), (finish, after) = middle[0], middle[-1]
        return (after - before) / (finish - begin)

    def _look(self) -> None:
        found: psutil.Process | None = None
        while not self._done.wait(_LOOK_EVERY_S):
            try:
                found = found or self._generator()
                if found is not None:
                    used = found.cpu_times()
                    self._seen.append((time.monotonic(), used.user + used.system))
            except psutil.Error:  # it has just ended
                found = None

    @staticmethod
    def _generator() -> psutil.Process | None:
        for child in psutil.Process().children(recursive=True):
            if child.cpu_affinity() == [GENERATOR_CORE]:
                return child
        return None


def workload(arrivals: Arrivals, seconds: int) -> Workload:
    """Return a workload of one small request."""
    return Workload(
        arrivals=arrivals,
        ramp=timedelta(seconds=1),
        hold=timedelta(seconds=seconds),
        scenarios=(Scenario(name="root", path="/"),),
    )


def ours(url: str, seconds: int, arrivals: Arrivals) -> float:
    """Return the answers per second of our fleet of one worker.

    Raises:
        RuntimeError: not every answer was the expected one.
    """
    driven = drive(url, workload(arrivals, seconds))
    if driven.hold.failed:
        raise RuntimeError(f"ours saw {driven.hold.outcomes()}")
    return driven.hold.counts[rows.ANSWERED] / driven.seconds


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
    parser.add_argument("--rate", type=float, default=20_000, help="of our open workload, a second")
    arguments = parser.parse_args()
    if os.cpu_count() == 1:
        sys.exit("the service and the generator need a core each")
    seconds, users = arguments.seconds, arguments.users
    closed = ClosedArrivals(kind="closed", users=users)
    arriving = OpenArrivals(kind="open", rate_per_s=arguments.rate, distribution="constant")
    measured: dict[str, Callable[[str], float]] = {
        _CLOSED: lambda url: ours(url, seconds, closed),
        _OPEN: lambda url: ours(url, seconds, arriving),
        _LOCUST: lambda url: fast_http_user(url, seconds, users),
    }
    if programs.k6_program():
        measured[_K6] = lambda url: k6(url, seconds, users)
    else:
        sys.stdout.write("k6 is not installed (`make bench` does it): nothing is said about it\n")
    found: dict[str, list[Speed]] = {name: [] for name in measured}
    os.sched_setaffinity(0, {SERVER_CORE})
    with tempfile.TemporaryDirectory() as folder, target(Path(folder)) as (host, port):
        for _ in range(arguments.rounds):
            for name, measure in measured.items():
                with ProcessorTime() as processor:
                    per_s = measure(f"http://{host}:{port}")
                found[name].append(Speed(per_s, processor.busy(seconds)))
    report(found)


def report(found: dict[str, list[Speed]]) -> None:
    """Print the medians and what they say about the goals."""
    sys.stdout.write(
        "| generator | requests per second of the processor, median | rounds | requests per second of the clock |\n"
        "|---|---|---|---|\n"
    )
    medians = {name: statistics.median(speed.per_core for speed in speeds) for name, speeds in found.items()}
    for name, speeds in found.items():
        cores = " · ".join(f"{speed.per_core:,.0f}" for speed in speeds)
        clock = " · ".join(f"{speed.per_s:,.0f}" for speed in speeds)
        sys.stdout.write(f"| {name} | {medians[name]:,.0f} | {cores} | {clock} |\n")
    for peer, goal in _GOALS.items():
        if peer in medians:
            for name in (_CLOSED, _OPEN):
                ratio = medians[name] / medians[peer]
                met = "met" if ratio >= goal else "NOT met"
                sys.stdout.write(f"{name}: {ratio:.2f} x {peer}; goal {goal:g}: {met}\n")


if __name__ == "__main__":
    main()
