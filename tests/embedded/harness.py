"""Run the real CLI on a quick plan, and see that no process of it is left."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import tomlkit

from readiness.cloud import strays
from readiness.ledger import Ledger

ROOT = Path(__file__).parents[2]
DEADLINE_S = 420


@dataclass(frozen=True)
class Ended:
    """What a run came to."""

    exit_code: int
    stdout: str
    stderr: str
    bundle: Path
    run_id: str

    @property
    def record(self) -> dict:
        return json.loads((self.bundle / "record.json").read_text())

    def result(self, gate: str) -> dict:
        return next(each for each in self.record["results"] if each["gate"] == gate)


def write_plan(folder: Path, change: Callable[[dict], None] = lambda plan: None) -> Path:
    """Write the repository's own plan, shortened, changed by *change*."""
    plan = tomlkit.parse((ROOT / "readiness.toml").read_text())
    plan["workload"]["ramp"] = "2s"
    plan["workload"]["hold"] = "12s"
    for objective in (each for each in plan["objectives"] if each["kind"] != "unhealthy-hosts"):
        objective["min_samples"] = 50
        if objective.get("part") == "proxy":
            objective["percentile"] = 95  # so short a hold has too few uncached answers to bound a p99
    del plan["database"], plan["cache"]
    plan["service"]["secrets"] = {"MANAGEMENT_TOKEN": "generate"}
    change(plan)
    path = folder / "plan.toml"
    path.write_text(tomlkit.dumps(plan))
    return path


def committed(git_dir: Path, *ignored: Path) -> dict[str, str]:
    """Commit the checkout as it is, and *ignored* files of it, to a repository of the story's own.

    Returns:
        The environment in which git finds that repository.
    """
    environment = {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(ROOT)}

    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        argv = ["git", *identity, *arguments]
        subprocess.run(argv, cwd=ROOT, env=os.environ | environment, check=True, capture_output=True)

    git("init", "-q")
    git("add", "-A")
    if ignored:
        git("add", "-f", *map(str, ignored))
    git("commit", "-qm", "all")
    return environment


def start(plan: Path, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """Start ``readiness run`` as a user's shell would."""
    return subprocess.Popen(
        [sys.executable, "-m", "readiness", "run", "--allow-dirty", "--plan", str(plan), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[str], bundle: Path) -> Ended:
    """Wait for a run; a run that outlives the deadline is a failure of the test."""
    try:
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        stdout, stderr = process.communicate()
        raise AssertionError(f"the run did not end in {DEADLINE_S} s:\n{stderr[-4000:]}") from None
    found = re.search(r"Run (\d{8}-\d{6}-[0-9a-f]{4})", stderr)
    return Ended(process.returncode, stdout, stderr, bundle, found.group(1) if found else "")


def run(plan: Path, bundle: Path, *arguments: str, env: Mapping[str, str] | None = None) -> Ended:
    """Do a whole run."""
    return finish(start(plan, "--evidence", str(bundle), *arguments, env=env), bundle)


def cli(*arguments: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run another command of the CLI to its end."""
    return subprocess.run(
        [sys.executable, "-m", "readiness", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        env={**os.environ, **(env or {})},
    )


def wait_until(seen: Callable[[], bool], what: str, within_s: float = 180) -> None:
    """Poll until *seen* says yes."""
    until = time.monotonic() + within_s
    while not seen():
        assert time.monotonic() < until, f"did not see {what} in {within_s} s"
        time.sleep(0.1)


def ledger_events(run_id: str) -> list[dict]:
    """Return the lines of a run's ledger so far."""
    path = ROOT / ".readiness" / "runs" / run_id / "ledger.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def embedded_ids() -> set[str]:
    """Return the id of every embedded AWS that a run, or ``readiness aws``, has written into a ledger."""
    ledgers = (ROOT / ".readiness").glob("**/ledger.jsonl")
    entries = [entry for ledger in ledgers for entry in Ledger(ledger).entries()]
    return {entry.name for entry in entries if entry.event == "embedded-aws-ready"}


def processes_of(embedded_id: str) -> list[psutil.Process]:
    """Return the processes that an embedded AWS has started and that are still there."""
    return strays(embedded_id)
