"""Runs the peers on one core and reads what they say."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.local_fleet import GENERATOR_CORE, pinned

FOLDER = Path(__file__).parent


def k6_program() -> str | None:
    """Return k6, if it is installed: ``make bench`` does."""
    beside = Path(sys.executable).parent / "k6"
    return str(beside) if beside.exists() else shutil.which("k6")


def k6(target: str, seconds: float, *, users: int, rate_per_s: float | None = None) -> dict[str, Any]:
    """Run k6 on one core and return the metrics of its summary."""
    program = k6_program()
    assert program is not None
    settings = {"TARGET": target, "DURATION": f"{seconds:g}s", "VUS": str(users)}
    if rate_per_s is not None:
        settings["RATE"] = f"{rate_per_s:g}"
    with tempfile.TemporaryDirectory() as folder:
        summary = Path(folder) / "summary.json"
        argv = [program, "run", "--quiet", "--no-usage-report", "--summary-export", str(summary)]
        argv += [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        run([*argv, str(FOLDER / "k6.js")], seconds)
        metrics: dict[str, Any] = json.loads(summary.read_text())["metrics"]
    if metrics["http_req_failed"]["value"]:
        raise RuntimeError(f"k6 saw failures: a share of {metrics['http_req_failed']['value']:g}")
    return metrics


def fast_http_user(target: str, seconds: float, *, users: int, paced: bool = False) -> dict[str, Any]:
    """Run Locust as shipped on one core and return its statistics of the one request that the users make."""
    argv = [sys.executable, "-m", "locust", "--locustfile", str(FOLDER / "fast_http_user.py"), "--headless"]
    argv += ["--host", target, "--users", str(users), "--spawn-rate", str(users), "--reset-stats", "--json"]
    argv += ["--run-time", f"{seconds:g}s", "--loglevel", "ERROR", "PacedVisitor" if paced else "Visitor"]
    (stats,) = json.loads(run(argv, seconds))
    if stats["num_failures"]:
        raise RuntimeError(f"Locust saw {stats['num_failures']} failures")
    return dict(stats)


def run(argv: list[str], seconds: float) -> str:
    """Run a peer on the generator's core and return what it printed.

    Raises:
        RuntimeError: it failed.
    """
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 60,
        preexec_fn=pinned(GENERATOR_CORE),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
    return done.stdout
