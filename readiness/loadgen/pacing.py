"""Doing something at given instants more exactly, and with less effort, than the event loop's own timers do."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import time
from collections.abc import Callable

import gevent
import gevent.hub

Step = Callable[[], float | None]

_CLOCK_MONOTONIC = 1
_EARLIEST_S = 1e-6
_ABSOLUTE = 1
_NONBLOCK_CLOEXEC = os.O_NONBLOCK | getattr(os, "O_CLOEXEC", 0)


def pace(step: Step) -> None:
    """Call *step* again and again, each time at the instant that it asked for, until it asks for none.

    On Linux a kernel timer wakes the event loop, to some ten microseconds, and the loop calls *step* itself; libev's
    own timers, which are used elsewhere, are good to about a millisecond.

    Args:
        step: Must not wait for anything. Returns an instant of ``time.monotonic``, past ones mean at once (but answers
            are read before), or None = never again. What it raises ends the calls and is raised here.
    """
    descriptor = _make_timer()
    if descriptor is None:
        while (instant := step()) is not None:
            gevent.sleep(max(0.0, instant - time.monotonic()))
        return
    try:
        _Timer(descriptor, step).run()
    finally:
        os.close(descriptor)


class _TimerSpec(ctypes.Structure):
    """``struct itimerspec``: interval and value, each seconds and nanoseconds."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class _Timer:
    """A kernel timer whose end the event loop reports, as it reports what came over a connection."""

    def __init__(self, descriptor: int, step: Step) -> None:
        self._step = step
        self._spec = _TimerSpec()
        self._set = ctypes.CDLL(None, use_errno=True).timerfd_settime
        self._set.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._arguments = (descriptor, _ABSOLUTE, ctypes.addressof(self._spec), None)
        self._watcher = gevent.hub.get_hub().loop.io(descriptor, 1)
        self._waiting: gevent.Greenlet | None = None
        self._error: BaseException | None = None

    def run(self) -> None:
        """Call the step until it asks for no more."""
        self._waiting = gevent.getcurrent()
        self._watcher.start(self._on_time)
        try:
            self._wake_at(time.monotonic())
            gevent.get_hub().switch()
        finally:
            self._watcher.stop()
            self._watcher.close()
        if self._error is not None:
            raise self._error

    def _on_time(self) -> None:
        """Take the step that is due. The event loop calls, and would swallow an exception."""
        try:
            instant = self._step()
            if instant is not None:
                self._wake_at(instant)
                return
        except BaseException as error:  # noqa: BLE001 - raised where the caller waits
            self._error = error
        self._watcher.stop()
        assert self._waiting is not None
        gevent.get_hub().loop.run_callback(self._waiting.switch)

    def _wake_at(self, instant: float) -> None:
        """Set the timer; that also takes its last end back, so that nobody has to read it."""
        instant = max(instant, _EARLIEST_S)  # to the kernel, zero is no instant that has passed but "never"
        whole = int(instant)
        self._spec.value_s, self._spec.value_ns = whole, int((instant - whole) * 1e9)
        if self._set(*self._arguments) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime failed")


def _make_timer() -> int | None:
    """Return the descriptor of a kernel timer, or None where there are none."""
    if not sys.platform.startswith("linux"):
        return None
    with contextlib.suppress(AttributeError):
        descriptor: int = ctypes.CDLL(None, use_errno=True).timerfd_create(_CLOCK_MONOTONIC, _NONBLOCK_CLOEXEC)
        return descriptor if descriptor >= 0 else None
    return None
