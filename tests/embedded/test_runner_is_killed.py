"""Story: two runs at once in one account that outlives them, on a busy AWS; both runners are killed with SIGKILL.

One run is gone on with, on the clone that it left standing. Of the other nobody takes care but the reaper.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys

import boto3
import pytest
from botocore.config import Config

from readiness import contract
from tests.embedded import harness


@pytest.fixture
def account(tmp_path):
    """Start an embedded AWS that refuses one call in five; yield the environment that reaches it."""
    plan = harness.write_plan(tmp_path, lambda plan: plan["embedded"].update({"refused_ratio": 0.2}))
    process = subprocess.Popen(
        [sys.executable, "-m", "readiness", "aws", "--plan", str(plan)],
        cwd=harness.ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    environment: dict[str, str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        found = re.match(r"export (\w+)=(\S+)", line)
        if found and found.group(1) != "PATH":
            environment[found.group(1)] = found.group(2)
        if "Ctrl-C" in line:
            break
    try:
        yield environment | harness.committed(tmp_path / "git")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def a_run(folder, name, environment, gate, **budget):
    """Start a run against the account; return the process and its id."""
    (folder / name).mkdir()
    plan = harness.write_plan(folder / name, lambda plan: plan["budget"].update(budget))
    process = harness.start(plan, "--target", "aws", "--yes", "--only", gate, env=environment)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:  # warnings come first
        if found := re.search(r"Run (\S+):", line):
            return process, found.group(1)
        said += line
    raise AssertionError(said)


def kill_at(process, run_id, event, kind=""):
    """Kill a run as soon as its ledger has a line."""

    def written():
        assert process.poll() is None, process.stderr.read()
        lines = harness.ledger_events(run_id)
        return any(line["event"] == event and kind in ("", line["kind"]) for line in lines)

    harness.wait_until(written, f"{event} {kind} of {run_id}", within_s=240)
    process.kill()
    process.communicate()


def test_one_killed_run_is_resumed_and_the_other_is_reaped(account, tmp_path):
    abandoned, lost = a_run(tmp_path, "abandoned", account, "live-security", wall_clock="2m", clone_lifetime="150s")
    working, kept = a_run(tmp_path, "working", account, "load")
    cloudformation = boto3.client(
        "cloudformation",
        endpoint_url=account["AWS_ENDPOINT_URL"],
        region_name=account["AWS_REGION"],
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",
        config=Config(retries={"mode": "standard", "max_attempts": 8}),
    )

    def stacks():
        found = cloudformation.describe_stacks()["Stacks"]
        return {each["StackName"] for each in found if each["StackName"].startswith(contract.STACK_NAME_PREFIX)}

    try:
        kill_at(abandoned, lost, "stack-deployed")
        kill_at(working, kept, "about-to-create", "ecs-task")
        seen = harness.cli("sweep", env=account)
        resumed = harness.cli("resume", kept, "--json", env=account)
        still = stacks()
        harness.wait_until(lambda: f"readiness-{lost}" not in stacks(), "the reaper", within_s=240)
        proven = harness.cli("teardown", lost, env=account)
        swept = harness.cli("sweep", env=account)
    finally:
        for process in (abandoned, working):
            process.kill()

    assert seen.returncode == 4, seen.stderr
    for run_id in (lost, kept):
        assert re.search(rf"sweep +readiness-{run_id} +it(s runner is gone| expired)", seen.stdout), seen.stdout
    assert resumed.returncode == 1, resumed.stderr  # gates that were not asked
    record = json.loads(resumed.stdout)
    assert (record["run_id"], record["environment"], record["time_scale"]) == (kept, "emulated", 20)
    assert record["leftovers"] == []
    assert record["troubles"] == []
    assert {each["gate"]: each["outcome"] for each in record["results"]}["load"] == "passed", resumed.stderr
    assert still <= {f"readiness-{lost}"}, "the resumed run touched its own stack, and nothing else"
    assert proven.returncode == 0, proven.stderr
    assert "none is left" in proven.stdout
    assert swept.returncode == 0, swept.stdout
