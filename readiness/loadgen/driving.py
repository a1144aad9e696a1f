"""Drives one worker's share of a workload: open (requests arrive at a rate) or closed (users that wait)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import gevent
from gevent.event import Event

from readiness.loadgen import arrivals
from readiness.loadgen.answers import Answer
from readiness.loadgen.http_client import Exchange, Target
from readiness.loadgen.order import Order
from readiness.loadgen.pacing import pace
from readiness.loadgen.recorder import Recorder
from readiness.loadgen.requests import Mix, PreparedScenario
from readiness.model import ClosedArrivals, OpenArrivals

_AT_ONCE = 16
_STOP_LOOK_S = 0.25


class Driver:
    """One worker's part of a drive.

    Attributes:
        failure: What went wrong in the generator itself; nothing it measured can be trusted then.
    """

    def __init__(self, order: Order, worker: int, recorder: Recorder) -> None:
        self._order = order
        self._worker = worker
        self._recorder = recorder
        self._choose = random.Random(f"{order.seed}/{worker}")
        self._target = Target(order.target, order.workload.timeout.total_seconds(), fault=self._fail)
        self._mix = Mix(order.workload, self._target.host_header, order.headers, self._choose)
        self._stopping = Event()
        self.failure: str | None = None

    @property
    def reconnects(self) -> int:
        """How many kept connections had gone away and were replaced."""
        return self._target.reconnects

    def stop(self) -> None:
        """Send nothing more."""
        self._stopping.set()

    def drive(self, start: float) -> None:
        """Send what is due from *start* (of ``time.monotonic``) to the end of the hold, then wait for the answers."""
        self._recorder.start_at(start)
        workload = self._order.workload
        end_s = workload.length.total_seconds()
        self._guarded(lambda: self._offer(start, start + end_s))
        give_up = time.monotonic() + workload.timeout.total_seconds() + 2
        while self._recorder.in_flight and time.monotonic() < give_up:
            gevent.sleep(0.02)
        self._target.close()

    def _offer(self, start: float, end: float) -> None:
        kind = self._order.workload.arrivals
        if isinstance(kind, OpenArrivals):
            self._offer_open(kind, start)
        elif isinstance(kind, ClosedArrivals):
            self._offer_closed(kind, start, end)

    def _guarded(self, act: Callable[[], None]) -> None:
        """Do *act*; whatever it raises is a fault of the generator, which ends the drive and is told."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, it must reach the master
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self.failure = self.failure or f"{type(error).__name__}: {error}"
        self._stopping.set()

    # --- open ---------------------------------------------------------------------------------------------------------

    def _offer_open(self, kind: OpenArrivals, start: float) -> None:
        """Send each request when it is due, whatever became of those before it."""
        order, recorder, send, next_scenario = self._order, self._recorder, self._target.send, self._mix.next
        room = max(1, kind.max_in_flight // order.workers)
        offsets = arrivals.due_times(order.workload, worker=self._worker, workers=order.workers, choose=self._choose)
        due_times = (start + offset for offset in offsets)
        due = next(due_times, None)

        def send_what_is_due() -> float | None:
            """Send a few requests at most, so that answers are read between them; return when to go on."""
            nonlocal due
            for _ in range(_AT_ONCE):
                now = time.monotonic()
                if due is None or self._stopping.is_set():
                    return None
                if due > now:
                    return min(due, now + _STOP_LOOK_S)
                scenario = next_scenario()
                sending = recorder.in_flight < room
                recorder.due(scenario.name, due, now, sending=sending)
                if sending:
                    send(_Request(scenario, due, recorder))
                due = next(due_times, None)
            return due

        pace(send_what_is_due)

    # --- closed -------------------------------------------------------------------------------------------------------

    def _offer_closed(self, kind: ClosedArrivals, start: float, end: float) -> None:
        """Run this worker's share of the users; they begin evenly over the ramp."""
        ramp_s = self._order.workload.ramp.total_seconds()
        users = range(self._worker, kind.users, self._order.workers)
        gevent.joinall(
            [
                gevent.spawn(
                    self._guarded, lambda begin=start + ramp_s * user / kind.users: self._user(kind, begin, end)
                )
                for user in users
            ]
        )

    def _user(self, kind: ClosedArrivals, begin: float, end: float) -> None:
        """Send one request after the other, each after the answer to the last one and the think time."""
        think_s = kind.think_time.total_seconds()
        self._stopping.wait(max(0.0, begin - time.monotonic()))
        while not self._stopping.is_set() and (now := time.monotonic()) < end:
            scenario = self._mix.next()
            self._recorder.due(scenario.name, now, now, sending=True)
            request = _Request(scenario, now, self._recorder)
            self._target.send(request)
            request.wait()
            if think_s:
                self._stopping.wait(think_s)


class _Request(Exchange):
    """A request of a scenario; how it ends is recorded."""

    __slots__ = ("_due", "_ended", "_recorder", "_scenario", "_sent", "_waiting")

    def __init__(self, scenario: PreparedScenario, due: float, recorder: Recorder) -> None:
        super().__init__(scenario.method, scenario.raw())
        self._scenario = scenario
        self._due = due
        self._recorder = recorder
        self._sent = time.monotonic()
        self._ended = False
        self._waiting: gevent.Greenlet | None = None

    def answered(self, answer: Answer, received_at: float) -> None:
        self._recorder.answered(self._scenario, self._due, self._sent, received_at, answer)
        self._end()

    def failed(self, outcome: str, message: str) -> None:
        self._recorder.failed(self._scenario.name, self._due, outcome, message)
        self._end()

    def wait(self) -> None:
        """Let others go on until it has ended."""
        if not self._ended:
            self._waiting = gevent.getcurrent()
            gevent.get_hub().switch()

    def _end(self) -> None:
        self._ended = True
        if self._waiting is not None:
            gevent.get_hub().loop.run_callback(self._waiting.switch)
