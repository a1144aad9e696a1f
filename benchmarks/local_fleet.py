"""Our own load generator as the fleet runs it: a master and workers, as processes on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from readiness.contract import FLEET_ORDER_VARIABLE
from readiness.embedded.processes import free_port, own_loopback_address
from readiness.load_result import hold_seconds
from readiness.loadgen import lines, rows
from readiness.loadgen.order import Order, encode
from readiness.model import Workload

SERVER_CORE, GENERATOR_CORE = 0, max(os.sched_getaffinity(0))
_GRACE_S = 60.0


@dataclass(frozen=True)
class Driven:
    """What a drive measured.

    Attributes:
        hold: One tally over all scenarios of the hold.
        seconds: Length of the hold.
        finished: The master's last line.
    """

    hold: rows.Tally
    seconds: int
    finished: Mapping[str, Any]


def pinned(core: int) -> Any:
    """Return what a child process does before it begins: stay on one core."""
    return lambda: os.sched_setaffinity(0, {core})


@contextlib.contextmanager
def process(argv: Sequence[str], core: int, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program on a core; it is gone afterwards."""
    child = subprocess.Popen(argv, text=True, preexec_fn=pinned(core), **options)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def drive(target: str, workload: Workload, workers: int = 1) -> Driven:
    """Drive a workload at a service and return what was measured.

    Raises:
        RuntimeError: the drive did not end well; nothing it measured counts.
    """
    host = own_loopback_address()
    order = Order(
        role="master",
        run_id="benchmark",
        master_host=host,
        master_port=free_port(host),
        workers=workers,
        target=target,
        workload=workload,
    )
    argv = [sys.executable, "-m", "readiness.loadgen", "--host", host]

    def told(role: Any) -> dict[str, str]:
        return {**os.environ, FLEET_ORDER_VARIABLE: encode(replace(order, role=role))}

    with contextlib.ExitStack() as stack:
        master = stack.enter_context(
            process(argv, SERVER_CORE, env=told("master"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        )
        for _ in range(workers):
            stack.enter_context(process(argv, GENERATOR_CORE, env=told("worker")))
        out, _ = master.communicate(timeout=workload.length.total_seconds() + _GRACE_S)
    told_lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    finished = next((line for line in told_lines if line["type"] == "finished"), None)
    if finished is None or master.returncode != 0:
        raise RuntimeError(f"our load generator ended with exit code {master.returncode}:\n{out[-2000:]}")
    pieces = (lines.row_of(piece) for line in told_lines if line["type"] == "rows" for piece in line["rows"])
    seconds = hold_seconds(workload)
    scenarios = rows.by_scenario(pieces, seconds)
    scenarios.pop(rows.EVERY, None)
    return Driven(rows.over_all(scenarios), len(seconds), finished)
