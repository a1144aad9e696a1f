"""Kill -9 a run at every stage boundary and at random instants; one command must clean up all that it leaves.

The account outlives the runner here, as a real one does: an embedded AWS of its own process (``readiness aws``) that
the runner reaches with ``--target aws``. So what a killed runner leaves really stands there, and must really go. After
each kill one command is given, ``readiness teardown RUN_ID`` or, every third time, ``readiness sweep --yes``; then the
account is asked directly, past the harness's own code, for everything that carries the run's name or tag.

    python -m benchmarks.kill_matrix --kills 30 > matrix.md

It refuses to work where AWS calls go to AWS itself.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import psutil
import tomlkit

from readiness import contract

ROOT = Path(__file__).parents[1]
RUNS = ROOT / ".readiness" / "runs"
BOUNDARIES = ("run-started", "connected", "about-to-create", "stack-deployed", "resource", "stack-deleted")
"""Lines of the ledger at which a run is killed as soon as they are written."""
GATES = ("live-security", "runbooks")
_START_DEADLINE_S = 120.0
_RUN_DEADLINE_S = 300.0
_POLL_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One run that was killed, and what became of it."""

    instant: str
    run_id: str
    last_line: str
    left: dict[str, int]
    command: str
    exit_code: int
    seconds: float
    remains: dict[str, int]
    words: str

    @property
    def clean(self) -> bool:
        """Whether the command said that all is gone, and the account agrees."""
        return self.exit_code == 0 and not any(self.remains.values())

    def row(self) -> str:
        """Return it as a row of the matrix."""
        left = ", ".join(f"{count} {name}" for name, count in self.left.items() if count) or "nothing"
        remains = ", ".join(f"{count} {name}" for name, count in self.remains.items() if count) or "nothing"
        cells = (self.instant, self.last_line, left, self.command, self.exit_code, f"{self.seconds:.1f} s", remains)
        return "| " + " | ".join(map(str, cells)) + " |"


def main() -> int:
    """Kill runs, print the matrix as it grows, and say how many were cleaned."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--first", type=int, default=0, help="skip the instants before this one, to go on with a matrix"
    )
    parser.add_argument("--slice", type=int, default=1000, help="stop after so many kills")
    arguments = parser.parse_args()
    instants = list(_instants(arguments.kills, random.Random(arguments.seed)))
    instants = instants[arguments.first :][: arguments.slice]
    _say("| killed | last line of the ledger | then standing | command | exit | took | left after it |")
    _say("|---|---|---|---|---|---|---|")
    kills = []
    with _account() as environment:
        plan = _plan(ROOT / ".readiness" / "kill-matrix.toml")
        for index, (name, seen) in enumerate(instants, start=arguments.first):
            kills.append(_kill(name, seen, plan, environment, with_sweep=index % 3 == 2))
            _say(kills[-1].row())
            if not kills[-1].clean:
                sys.stderr.write(kills[-1].words)
    clean = sum(kill.clean for kill in kills)
    total = sum(sum(kill.remains.values()) for kill in kills)
    _say(f"\n{len(kills)} kills, {clean} cleaned by one command, {total} things left")
    return 0 if clean == len(kills) else 1


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


Seen = Callable[[float, list[dict[str, Any]]], bool]
"""Whether the instant has come: seconds since the start, and the ledger so far."""


def _instants(count: int, chance: random.Random) -> Iterator[tuple[str, Seen]]:
    """Yield each boundary once, and random instants of a whole run for the rest."""
    for event in BOUNDARIES[:count]:
        yield f"at `{event}`", lambda _, lines, event=event: any(line["event"] == event for line in lines)
    for _ in range(count - len(BOUNDARIES)):
        at = chance.uniform(2, 40)
        yield f"after {at:.1f} s", lambda passed, _, at=at: passed >= at


def _kill(name: str, seen: Seen, plan: Path, environment: Mapping[str, str], *, with_sweep: bool) -> Kill:
    """Start a run, kill it at its instant, clean up with one command, and ask the account what is left."""
    known = set(RUNS.iterdir()) if RUNS.is_dir() else set()
    gates = [part for gate in GATES for part in ("--only", gate)]
    argv = [sys.executable, "-m", "readiness", "run", "--target", "aws", "--yes", "--allow-dirty"]
    argv += ["--plan", str(plan), *gates]
    run = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    folder = _await_folder(known, run)
    begun = time.monotonic()
    while run.poll() is None and not seen(time.monotonic() - begun, _ledger(folder)):
        if time.monotonic() - begun > _RUN_DEADLINE_S:
            break
        time.sleep(_POLL_S)
    instant = name if run.poll() is None else f"{name} (it had ended)"
    run.send_signal(signal.SIGKILL)
    run.wait()
    lines = _ledger(folder)
    left = _inventory(environment, folder.name)
    argv = ["sweep", "--yes", "--plan", str(plan)] if with_sweep else ["teardown", folder.name]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "readiness", *argv],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return Kill(
        instant=instant,
        run_id=folder.name,
        last_line=" ".join(filter(None, (f"`{lines[-1]['event']}`", lines[-1]["kind"]))) if lines else "none",
        left=left,
        command=f"`{argv[0]}`",
        exit_code=done.returncode,
        seconds=time.monotonic() - started,
        remains=_inventory(environment, folder.name),
        words=done.stdout + done.stderr,
    )


def _await_folder(known: set[Path], run: subprocess.Popen[bytes]) -> Path:
    """Return the folder of a run that has just been started, once its ledger is there."""
    until = time.monotonic() + _START_DEADLINE_S
    while time.monotonic() < until and run.poll() is None:
        new = [each for each in (RUNS.iterdir() if RUNS.is_dir() else ()) if each not in known and _ledger(each)]
        if new:
            return new[0]
        time.sleep(_POLL_S)
    run.kill()
    raise SystemExit("A run did not begin.")


def _ledger(folder: Path) -> list[dict[str, Any]]:
    try:
        text = (folder / "ledger.jsonl").read_text(encoding="utf-8")
    except OSError:
        return []
    return [json.loads(line) for line in text.splitlines() if line.endswith("}")]


def _inventory(environment: Mapping[str, str], run_id: str) -> dict[str, int]:
    """Count what carries the run's name or tag, with boto3 alone."""
    session = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=environment["AWS_ENDPOINT_URL"])

    name = contract.STACK_NAME_PREFIX + run_id
    stacks = [each for each in client("cloudformation").describe_stacks()["Stacks"] if each["StackName"] == name]
    ecs = client("ecs")
    clusters = [arn for arn in ecs.list_clusters()["clusterArns"] if run_id in arn]
    clusters = [arn for arn in clusters if ecs.describe_clusters(clusters=[arn])["clusters"][0]["status"] == "ACTIVE"]
    tasks = [task for arn in clusters for task in ecs.list_tasks(cluster=arn)["taskArns"]]
    groups = client("logs").describe_log_groups()["logGroups"]
    vpcs = client("ec2").describe_vpcs(Filters=[{"Name": f"tag:{contract.TAG_RUN_ID}", "Values": [run_id]}])["Vpcs"]
    balancers = client("elbv2").describe_load_balancers()["LoadBalancers"]
    own = {each["VpcId"] for each in vpcs}
    roles = [each for each in client("iam").list_roles()["Roles"] if each["RoleName"].startswith(f"{name}-")]
    programs = [each for each in psutil.process_iter() if _carries(each, run_id)]
    return {
        "stacks": len(stacks),
        "clusters": len(
            [arn for arn in clusters if ecs.describe_clusters(clusters=[arn])["clusters"][0]["status"] == "ACTIVE"]
        ),
        "tasks": len(tasks),
        "log groups": len([each for each in groups if name in each["logGroupName"]]),
        "networks": len(vpcs),
        "load balancers": len([each for each in balancers if each["VpcId"] in own]),
        "roles": len(roles),
        "programs": len(programs),
    }


def _carries(process: psutil.Process, run_id: str) -> bool:
    try:
        return bool(process.environ().get(contract.RUN_VARIABLE) == run_id)
    except (psutil.Error, OSError):
        return False


def _plan(path: Path) -> Path:
    """Write the repository's own plan without what takes long to make."""
    plan = tomlkit.parse((ROOT / "readiness.toml").read_text(encoding="utf-8"))
    del plan["database"], plan["cache"]
    plan["service"]["secrets"] = {"MANAGEMENT_TOKEN": "generate"}  # type: ignore[index]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tomlkit.dumps(plan), encoding="utf-8")
    return path


@contextmanager
def _account() -> Iterator[dict[str, str]]:
    """Start an embedded AWS that outlives every runner; yield the environment that reaches it."""
    argv = [sys.executable, "-m", "readiness", "aws"]
    server = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    try:
        assert server.stdout is not None
        for line in server.stdout:
            found = re.match(r"export (\w+)=(\S+)", line)
            if found and found[1] != "PATH":
                environment[found[1]] = found[2]
            if "Ctrl-C" in line:
                break
        if not environment.get("AWS_ENDPOINT_URL", "").startswith("http://localhost:"):
            raise SystemExit("`readiness aws` did not start.")
        yield environment
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()


if __name__ == "__main__":
    sys.exit(main())
