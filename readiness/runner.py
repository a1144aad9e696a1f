"""The process that does a run: whether it is still there shows from the ledger's first line, even on the next day."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from contextlib import suppress

import psutil

from readiness.ledger import Entry

_TOLERANCE_S = 2.0
"""Process start times are told in the kernel's ticks, and by two clocks."""


def mark() -> dict[str, str]:
    """Return what tells this process from every other one, now and later: a process id is given out again."""
    begun = f"{psutil.Process().create_time():.2f}"
    return {
        "pid": str(os.getpid()),
        "begun": begun,
        "boot": _boot(),
        "host": socket.gethostname(),
        "namespace": _space(),
    }


def is_alive(entries: Sequence[Entry]) -> bool | None:
    """Say whether the process that wrote a ledger's last mark still runs; None where that cannot be told from here."""
    marks = [entry.details for entry in entries if "pid" in entry.details and "begun" in entry.details]
    if not marks or not marks[-1].get("boot"):
        return None
    last = marks[-1]
    if last.get("host") != socket.gethostname():
        return None  # a folder that several machines share
    if last["boot"] != _boot():
        return False
    if last.get("namespace") != _space():
        return None  # another container of this machine has numbers of its own
    with suppress(psutil.Error, ValueError):
        process = psutil.Process(int(last["pid"]))
        same = abs(process.create_time() - float(last["begun"])) <= _TOLERANCE_S
        return same and process.status() != psutil.STATUS_ZOMBIE
    return False


def _space() -> str:
    """Return what names the space in which process ids are unique; empty where the system does not say."""
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - no file of ours
    except OSError:
        return ""


def _boot() -> str:
    """Return what names this boot of this machine; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123 - no file of ours
            return file.read().strip()
    except OSError:
        return ""
