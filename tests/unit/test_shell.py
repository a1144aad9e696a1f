"""One program with a deadline: bytes or an error, and nothing left of it."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from readiness import shell
from readiness.errors import ToolError


def test_what_a_program_says_comes_back_as_bytes():
    done = shell.run([sys.executable, "-c", "import sys; print(sys.stdin.read()[::-1])"], deadline_s=20, stdin=b"abc")

    assert done.stdout == b"cba\n"
    assert done.seconds > 0


def test_another_exit_code_than_0_is_an_error_with_what_it_said():
    with pytest.raises(ToolError, match="exit code 3") as caught:
        shell.run([sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"], deadline_s=20)

    assert caught.value.exit_code == 3
    assert "why" in str(caught.value)


def test_a_missing_program_is_an_error_that_names_it():
    with pytest.raises(ToolError, match="no-such-program"):
        shell.run(["no-such-program"], deadline_s=5)


def test_at_the_deadline_the_program_dies_with_its_children(tmp_path: Path):
    told = tmp_path / "pid"
    code = (
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(told)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    begun = time.monotonic()

    with pytest.raises(ToolError, match="did not end in time"):
        shell.run([sys.executable, "-c", code], deadline_s=2)

    assert time.monotonic() - begun < 15
    child = int(told.read_text())
    if psutil.pid_exists(child):  # killed, but init may not have reaped it yet
        psutil.wait_procs([psutil.Process(child)], timeout=10)
    assert not psutil.pid_exists(child)


def test_the_environment_is_the_given_one():
    done = shell.run(
        [sys.executable, "-c", "import os; print(os.environ.get('A'))"], deadline_s=20, env=os.environ | {"A": "1"}
    )

    assert done.stdout == b"1\n"


def test_an_interruption_ends_programs_that_other_threads_wait_for():
    started = threading.Event()
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            started.set()
            shell.run([sys.executable, "-c", "import signal; signal.pause()"], deadline_s=60)
        except ToolError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert started.wait(10)
    while thread.is_alive():  # until the program is there to be killed; its own deadline ends the loop
        shell.kill_running()
        thread.join(timeout=0.02)

    assert "killed by signal 9" in str(ended[0])
