"""Waits for the embedded AWS to end, however it ends, and then kills every process that still carries its identifier.

Runs as a program of its own (standard library only, isolated), with a pipe from the embedded AWS as standard input:
the kernel closes that pipe even when its writer is killed with SIGKILL.
"""

from __future__ import annotations

import os
import signal
import sys
import time

EMBEDDED_ID_VARIABLE = "READINESS_EMBEDDED_ID"
_SWEEP_DEADLINE_S = 4.0
_SWEEP_INTERVAL_S = 0.05


def strays(embedded_id: str) -> list[int]:
    """Return the processes (this one aside) whose environment carries the identifier."""
    needle = f"{EMBEDDED_ID_VARIABLE}={embedded_id}".encode()
    return [pid for pid in _process_ids() if pid != os.getpid() and _carries(pid, needle)]


def kill_strays(embedded_id: str) -> None:
    """Kill until none is left (one may fork while it is looked for) or the deadline has passed."""
    deadline = time.monotonic() + _SWEEP_DEADLINE_S
    while (found := strays(embedded_id)) and time.monotonic() < deadline:
        for pid in found:
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        time.sleep(_SWEEP_INTERVAL_S)


def _process_ids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - pathlib is not needed here
    except FileNotFoundError:
        return []


def _carries(pid: int, needle: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123 - as above
            return needle in file.read().split(b"\0")
    except OSError:
        return False


def main() -> None:
    """Wait for the end of standard input, then sweep."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    embedded_id = os.environ.get(EMBEDDED_ID_VARIABLE, "")
    if not embedded_id:
        sys.exit(f"{EMBEDDED_ID_VARIABLE} is not set: nothing can be told apart, nothing was killed")
    kill_strays(embedded_id)


if __name__ == "__main__":
    main()
