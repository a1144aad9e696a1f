"""Stories: a clone stays up for drills by hand, is taken down, and leaves nothing when its command is killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.embedded import harness


@contextmanager
def up(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start ``readiness up`` as in a terminal of its own; yield it and its run's id once the clone is up."""
    said = (folder / "up.log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-m", "readiness", "up", "--plan", str(harness.write_plan(folder))],
        cwd=harness.ROOT,
        stdout=subprocess.PIPE,
        stderr=said,
        text=True,
        start_new_session=True,
    )

    def told() -> str:
        assert process.poll() is None, (folder / "up.log").read_text()
        return (folder / "up.log").read_text()

    try:
        harness.wait_until(lambda: "is up at" in told(), "the clone up", within_s=240)
        found = re.search(r"(\d{8}-\d{6}-[0-9a-f]{4}) is up", told())
        assert found is not None
        yield process, found.group(1)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        said.close()


def test_a_clone_is_drilled_by_hand_and_taken_down(tmp_path):
    with up(tmp_path) as (process, run_id):
        drilled = harness.cli("drill", "task-loss", run_id)
        assert drilled.returncode == 0, drilled.stderr
        assert "task-loss: passed" in drilled.stdout
        assert "inject" in drilled.stderr
        evidence = Path(re.search(r"evidence: (.+)", drilled.stdout).group(1))
        assert (evidence / "observations" / "task-loss.json").exists()

        down = harness.cli("down", run_id)
        assert down.returncode == 0, down.stderr
        assert "none is left" in down.stdout
        assert process.wait(timeout=60) == 0

    again = harness.cli("drill", "task-loss", run_id)
    assert again.returncode == 1
    assert "No clone of" in again.stderr


def test_a_killed_up_leaves_nothing_that_teardown_cannot_finish(tmp_path):
    with up(tmp_path) as (process, run_id):
        process.kill()
        process.wait()

        drilled = harness.cli("drill", "task-loss", run_id)
        assert drilled.returncode == 1
        done = harness.cli("teardown", run_id)

    assert done.returncode == 0, done.stderr
    assert "no process of its embedded AWS is left" in done.stdout
