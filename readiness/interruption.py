"""What ends a run early: Ctrl-C, SIGTERM, a lost terminal (SIGHUP), and the end of the time that the plan gives it.

The first signal ends the run in an orderly way; once the teardown is under way it takes two to give up.

The teardown is under way inside of ``tearing_down``, and from the first signal on: whoever presses Ctrl-C twice must
not leave a clone behind. A terminal that is lost insists on nothing: it never cuts a teardown off, however often both
the kernel and a shell say so.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Somebody asked the run to stop. Not an ``Exception``: no gate may take it for its own trouble."""


class OutOfTime(Interrupted):
    """The run has taken all the time that the plan gives it."""


class OutOfMoney(OutOfTime):
    """The run has cost all that the plan gives it, as estimated."""


class Signals:
    """What the process does with SIGINT, SIGTERM and SIGHUP while a run is under way.

    Attributes:
        interrupted: Whether a signal has ended the run.
        gave_up: Whether one has cut the teardown off.
    """

    def __init__(self) -> None:
        self.interrupted = False
        self.gave_up = False
        self._depth = 0
        self._warned = False
        self._timed = False
        self._out: type[OutOfTime] = OutOfTime
        self._warn: Callable[[str], None] = lambda _: None

    @contextmanager
    def caught(self, warn: Callable[[str], None], within_s: float = 0) -> Iterator[None]:
        """Raise ``Interrupted`` in the block at the first signal, and ``OutOfTime`` when its time is over.

        Only the main thread can catch signals.

        Args:
            warn: Says one sentence to the person who watches.
            within_s: How long the block may take until the teardown begins; 0 = for ever.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._warn = warn
        nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        heard = [number for number in _STOPPING if not (nohup and number == signal.SIGHUP)]
        previous = {number: signal.signal(number, self._on_signal) for number in heard}
        previous[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._on_alarm)
        try:
            signal.setitimer(signal.ITIMER_REAL, within_s)
            self._timed = True
            yield
        finally:
            self._timed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def tearing_down(self) -> Iterator[None]:
        """Let the block finish: in it the first signal only says that another one gives up."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def end_within(self, seconds: float, out: type[OutOfTime]) -> None:
        """Bring the end of the time forward, never back; *out* is then what ends the block.

        Without effect where signals are not caught.
        """
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        if self._timed and (not left or seconds < left):
            self._out = out
            signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))  # 0 would mean: never

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        under_way = self._depth > 0 or self.interrupted
        if under_way and number == signal.SIGHUP:
            return
        if under_way and not self._warned:
            self._warned = True
            self._warn("The teardown is under way. Interrupt once more to give up and leave things behind.")
            return
        self.interrupted = True
        self.gave_up = under_way
        raise Interrupted(signal.Signals(number).name)

    def _on_alarm(self, number: int, frame: FrameType | None) -> None:
        if not self._depth and not self.interrupted:
            raise self._out
