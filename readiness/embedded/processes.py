"""Child processes of the embedded AWS: started so that none outlives it, on loopback addresses of their own."""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO

from readiness.embedded import guard

EMBEDDED_ID_VARIABLE = guard.EMBEDDED_ID_VARIABLE
"""Environment variable that every child carries, so that strays of one embedded AWS can be found."""

_INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TMPDIR", "TZ", "USER", "SHELL")
_PR_SET_PDEATHSIG = 1
_STOP_GRACE_S = 5.0
_KILL_GRACE_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class SpawnError(Exception):
    """A program could not be started; the message names it and says why."""


def base_environment() -> dict[str, str]:
    """Return what a child may know of this process's environment: where programs and home are, and the locale.

    Everything else (credentials, endpoints, Python paths) stays here: a container would not see it either.
    """
    return {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ}


class Spawner:
    """Starts every child of the embedded AWS from one long-lived thread.

    The kernel ties a child's parent-death signal to the *thread* that forked it, so a child started from a
    short-lived thread would be killed when that thread ends. Each child leads a session and process group of its own.

    The signal reaches direct children only. What those have started themselves is found by the guard, a small
    process that waits for this one to end, however it ends, and then kills whatever still carries the identifier.

    Args:
        embedded_id: Identifier of this embedded AWS; every child gets it in ``READINESS_EMBEDDED_ID``.
    """

    def __init__(self, embedded_id: str) -> None:
        self.embedded_id = embedded_id
        self._requests: queue.SimpleQueue[
            tuple[Callable[[], subprocess.Popen[bytes]], Future[subprocess.Popen[bytes]]] | None
        ]
        self._requests = queue.SimpleQueue()
        self._children: dict[int, subprocess.Popen[bytes]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the forking thread and the guard."""
        if self._thread is not None:
            return
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__],
            env=base_environment() | {EMBEDDED_ID_VARIABLE: self.embedded_id},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._thread = threading.Thread(target=self._fork_on_request, name="spawner", daemon=True)
        self._thread.start()

    def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        stdout: int | IO[bytes] = subprocess.DEVNULL,
        stderr: int | IO[bytes] = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start one program in a session of its own; callable from any thread.

        Args:
            argv: Program and arguments.
            env: The child's whole environment (see ``base_environment``), to which the identifier is added.
            cwd: Working directory, or this process's.
            stdin: As for ``subprocess.Popen``.
            stdout: As for ``subprocess.Popen``.
            stderr: As for ``subprocess.Popen``.
            pass_fds: Descriptors that the child keeps.

        Raises:
            SpawnError: The spawner isn't running, or the program can't be started.
        """
        if self._thread is None:
            raise SpawnError(f"{argv[0]} was not started: the spawner is not running; call start() first")

        def fork() -> subprocess.Popen[bytes]:
            return subprocess.Popen(
                list(argv),
                env=dict(env) | {EMBEDDED_ID_VARIABLE: self.embedded_id},
                cwd=cwd,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
                preexec_fn=_die_with_parent(os.getpid()),
            )

        started: Future[subprocess.Popen[bytes]] = Future()
        self._requests.put((fork, started))
        try:
            process = started.result()
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            raise SpawnError(f"{argv[0]} was not started: {error}") from error
        with self._lock:
            self._children = {pid: child for pid, child in self._children.items() if child.returncode is None}
            self._children[process.pid] = process
        return process

    def stop(self) -> None:
        """Stop every child that is still there: SIGTERM, then SIGKILL of its process group, then any strays."""
        if self._thread is None:
            return
        self._requests.put(None)
        self._thread.join()
        self._thread = None
        with self._lock:
            children = list(self._children.values())
            self._children.clear()
        for child in children:
            signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_GRACE_S
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(0.0, deadline - time.monotonic()))
        for child in children:
            signal_group(child, signal.SIGKILL)
        for child in children:
            child.wait(_KILL_GRACE_S)
        self._stop_guard()

    def _stop_guard(self) -> None:
        """Let the guard sweep: closing its standard input is what it waits for."""
        if self._guard is None or self._guard.stdin is None:
            return
        self._guard.stdin.close()
        try:
            self._guard.wait(_KILL_GRACE_S)
        except subprocess.TimeoutExpired:
            self._guard.kill()
            self._guard.wait()
        self._guard = None

    def _fork_on_request(self) -> None:
        while (request := self._requests.get()) is not None:
            fork, started = request
            try:
                started.set_result(fork())
            except Exception as error:  # noqa: BLE001 - handed to the caller, who waits for it
                started.set_exception(error)


def _die_with_parent(parent: int) -> Callable[[], None] | None:
    """Return what the forked child does before it becomes the program; only Linux has such a signal."""
    libc = _libc
    if libc is None:
        return None

    def in_child() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died between fork and prctl: no signal would come any more
            os._exit(1)

    return in_child


def signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the child's whole process group, whether or not its leader still lives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if process.returncode is None:
            os.killpg(process.pid, number)


def await_exit(process: subprocess.Popen[bytes]) -> int:
    """Wait until the child ends, kill what it left in its group, and return its exit code (128 + n for signal n).

    Ending the first process of a container ends all the others in it.
    The group is killed *before* the leader is reaped: until then its number can't belong to anybody else.
    """
    if process.returncode is None:
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        signal_group(process, signal.SIGKILL)
    code = process.wait()
    return code if code >= 0 else 128 - code


_handed_out: set[str] = set()
_handed_out_lock = threading.Lock()


def own_loopback_address() -> str:
    """Return a loopback address that this process has not handed out before; never 127.0.0.1.

    Raises:
        SpawnError: The system doesn't route the whole of 127.0.0.0/8 to itself (only Linux does by default).
    """
    with _handed_out_lock:
        while True:
            address = f"127.{random.randint(1, 254)}.{random.randint(0, 255)}.{random.randint(1, 254)}"
            if address not in _handed_out:
                break
        _handed_out.add(address)
    try:
        free_port(address)
    except OSError as error:
        raise SpawnError(
            f"the loopback address {address} can't be bound ({error}): the embedded AWS gives each task and load "
            "balancer an address of its own in 127.0.0.0/8, which needs Linux"
        ) from error
    return address


def free_port(host: str) -> int:
    """Return a TCP port that nobody listens on at this address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
