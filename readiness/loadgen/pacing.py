"""Waiting for an instant more exactly than the event loop's own timers do."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gevent
import gevent.hub

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


class _TimerSpec(ctypes.Structure):
    """``struct itimerspec``: interval and value, each seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


@contextmanager
def pacer() -> Iterator[Callable[[float], None]]:
    """Give a function that waits until an instant of ``time.monotonic``.

    On Linux a kernel timer wakes the event loop, to some ten microseconds; libev's own timers, which are used
    elsewhere, are good to about a millisecond.
    """
    descriptor = _make_timer()
    if descriptor is None:
        yield _sleep_until
        return
    watcher = gevent.hub.get_hub().loop.io(descriptor, 1)
    libc = ctypes.CDLL(None, use_errno=True)
    spec = _TimerSpec()

    def wait_until(instant: float) -> None:
        whole = int(instant)
        spec.value_s, spec.value_ns = whole, int((instant - whole) * 1e9)
        if libc.timerfd_settime(descriptor, _ABSOLUTE, ctypes.byref(spec), None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")
        gevent.hub.get_hub().wait(watcher)
        os.read(descriptor, 8)

    try:
        yield wait_until
    finally:
        watcher.stop()
        watcher.close()
        os.close(descriptor)


def _make_timer() -> int | None:
    """Return the descriptor of a kernel timer, or None where there are none."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
    return descriptor if descriptor >= 0 else None


def _sleep_until(instant: float) -> None:
    gevent.sleep(max(0.0, instant - time.monotonic()))
