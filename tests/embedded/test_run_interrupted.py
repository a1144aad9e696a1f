"""Stories: a run that is interrupted or killed in the middle of load leaves nothing."""

from __future__ import annotations

import os
import re
import signal

import psutil
import pytest

from tests.embedded import harness


def _run_until_load(tmp_path):
    """Start a run and return it, its run id and what it has said, once the fleet is loading the service."""
    plan = harness.write_plan(tmp_path, lambda plan: plan["workload"].update({"hold": "120s"}))
    process = harness.start(plan, "--evidence", str(tmp_path / "bundle"), "--only", "load")
    said = []
    assert process.stderr is not None
    for line in process.stderr:  # the pipe is the deadline: it ends with the process
        said.append(line)
        if re.search(r"p95", line):
            break
    run_id = re.search(r"Run (\S+):", "".join(said))
    assert run_id, "".join(said)
    return process, run_id.group(1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_tears_down_and_says_so(tmp_path, number):
    process, run_id = _run_until_load(tmp_path)

    os.kill(process.pid, number)
    ended = harness.finish(process, tmp_path / "bundle")

    assert ended.exit_code == 130, ended.stderr
    assert ended.record["interrupted"] is True
    assert ended.record["leftovers"] == []
    assert harness.cli("teardown", run_id).returncode == 0


def test_after_kill_9_teardown_leaves_nothing(tmp_path):
    process, run_id = _run_until_load(tmp_path)
    ready = next(line for line in harness.ledger_events(run_id) if line["event"] == "embedded-aws-ready")
    aws = psutil.Process(int(ready["details"]["pid"]))
    assert len(harness.processes_of(ready["name"])) > 4  # tasks, the fleet, a load balancer

    process.kill()
    process.communicate()
    done = harness.cli("teardown", run_id)

    assert done.returncode == 0, done.stderr
    assert "cut off" in done.stdout
    assert not harness.processes_of(ready["name"])
    harness.wait_until(lambda: not aws.is_running(), "the end of the embedded AWS", within_s=30)
