"""Run one program with a deadline: its output as bytes, or a ``ToolError``. Nothing of it outlives the call."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from readiness.errors import ToolError

_DRAIN_S = 5.0
"""How long the pipes of a killed program may take to close: a grandchild in another session can hold them open."""

_running: set[subprocess.Popen[bytes]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedRun:
    """What a program that ended with exit code 0 said, and how long it took."""

    stdout: bytes
    stderr: bytes
    seconds: float


def run(
    argv: Sequence[str],
    *,
    deadline_s: float,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
) -> CompletedRun:
    """Run a program to its end.

    It gets a process group of its own, which is killed as a whole at the deadline and when this call is interrupted.

    Args:
        argv: The program and its arguments; no shell reads them.
        deadline_s: Seconds after which it is killed.
        cwd: Folder to run in; default: this process's.
        env: Its whole environment; default: this process's.
        stdin: What it reads; default: nothing.

    Raises:
        ToolError: there is no such program, it ended with another exit code than 0, or it did not end in time.
    """
    started = time.monotonic()
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise ToolError(argv, 127, f"{error.strerror}: {error.filename or argv[0]}", hint="Is it installed?") from error
    _running.add(process)
    try:
        stdout, stderr = process.communicate(stdin, timeout=deadline_s)
    except subprocess.TimeoutExpired:
        said = _kill(process)
        hint = f"It was killed with all its children after {deadline_s:g} s."
        raise ToolError(argv, None, said.decode(errors="replace"), hint=hint) from None
    except BaseException:
        _kill(process)
        raise
    finally:
        _running.discard(process)
    if process.returncode != 0:
        raise ToolError(argv, process.returncode, stderr.decode(errors="replace"))
    return CompletedRun(stdout=stdout, stderr=stderr, seconds=time.monotonic() - started)


def kill_running() -> None:
    """Kill every program that ``run`` has running in any thread, with all their children.

    For whoever is interrupted while other threads wait for programs: an interruption reaches the main thread alone.
    """
    for process in list(_running):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _kill(process: subprocess.Popen[bytes]) -> bytes:
    """Kill the process group and return what it had written to stderr."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    try:
        return process.communicate(timeout=_DRAIN_S)[1]
    except subprocess.TimeoutExpired:
        return b""
    finally:
        process.wait(timeout=_DRAIN_S)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
