"""A worker: waits for the master's word, drives its share of the load, and reports every second."""

from __future__ import annotations

import contextlib
import gc
import resource
import signal
import sys
import time
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import WorkerRunner

from readiness.errors import ReadinessError
from readiness.loadgen import merging, messages, redacted_output, template
from readiness.loadgen.driving import Driver
from readiness.loadgen.locust_users import LocustDriver
from readiness.loadgen.order import Order
from readiness.loadgen.recorder import Recorder
from readiness.model import LocustfileArrivals

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_NO_MASTER = 3

_REPORT_EVERY_S = 1.0
_BYE_DEADLINE_S = 10.0


@dataclass(frozen=True)
class _Start:
    """When to start, by the wall clock, and as which of the workers."""

    index: int
    at: float


class Worker:
    """One worker's life."""

    def __init__(self, order: Order) -> None:
        self._order = order
        self._secrets = template.secrets_of(order.workload, order.headers, order.secret_variables)
        self._recorder = Recorder(order.workload, self._secrets)
        self._start: _Start | None = None
        self._told = Event()
        self._bye = Event()
        self._stopping = Event()
        self._driver: Driver | LocustDriver | None = None
        self._locust: LocustDriver | ReadinessError | None = None
        self._runner: WorkerRunner | None = None
        self._busy = BusyTime()
        self._sequence = 0

    def run(self) -> int:
        """Do what the order says and return the exit code."""
        _allow_many_connections()
        redacted_output.hide(self._secrets)
        gevent.signal_handler(signal.SIGTERM, self._stop)
        gevent.signal_handler(signal.SIGINT, self._stop)
        self._load()
        if not self._connect():
            return EXIT_NO_MASTER
        self._prepare()
        if not self._wait_for_start():
            return EXIT_NO_MASTER
        watch = gevent.spawn(self._watch_master, gevent.getcurrent())
        try:
            return self._drive()
        except _MasterGoneError as error:
            _complain(str(error))
            return EXIT_NO_MASTER
        finally:
            watch.kill(block=False)
            self._disconnect()

    def _load(self) -> None:
        """Load the locustfile, if there is one to run; why it cannot be is told once the master listens."""
        if isinstance(self._order.workload.arrivals, LocustfileArrivals):
            try:
                self._locust = LocustDriver(self._order, self._recorder, self._secrets)
            except ReadinessError as error:
                self._locust = error

    def _prepare(self) -> None:
        """Let the locustfile set up what it needs, before this worker is ready."""
        if isinstance(self._locust, LocustDriver):
            assert self._runner is not None
            try:
                self._locust.prepare(self._runner.worker_index)
            except ReadinessError as error:
                self._locust = error

    # --- the master ---------------------------------------------------------------------------------------------------

    def _connect(self) -> bool:
        """Find the master, which may still be starting."""
        wait_s = self._order.ready_deadline.total_seconds()
        with gevent.Timeout(wait_s, exception=False):
            self._runner = Environment(user_classes=[]).create_worker_runner(
                self._order.master_host, self._order.master_port
            )
        if self._runner is None:
            _complain(f"No master at {self._order.master_host}:{self._order.master_port} within {wait_s:.0f} s.")
            return False
        self._runner.register_message(messages.GO, self._on_go)
        self._runner.register_message(messages.STOP, self._on_stop)
        self._runner.register_message(messages.BYE, lambda **_: self._bye.set())
        return True

    def _wait_for_start(self) -> bool:
        """Wait until all workers are ready, for as long as the master is there."""
        while not self._told.is_set():
            self._send(messages.LISTENING, {})
            self._told.wait(0.25)
            if self._stopping.is_set():
                return False
            if self._silent_for() > self._order.silence.total_seconds():
                _complain("The master went away before the start.")
                return False
        return True

    def _silent_for(self) -> float:
        """Return for how many seconds the master has said nothing."""
        assert self._runner is not None
        last = self._runner.last_heartbeat_timestamp
        return 0.0 if last is None else time.time() - float(last)

    def _watch_master(self, main: gevent.Greenlet) -> None:
        """End the worker soon after its master: load that nobody measures is no test, only harm."""
        while True:
            gevent.sleep(0.5)
            silent_s = self._silent_for()
            if silent_s > self._order.silence.total_seconds():
                gevent.kill(main, _MasterGoneError(f"The master has said nothing for {silent_s:.0f} s; stopping."))
                return

    def _on_go(self, msg: Any, **_: Any) -> None:
        self._start = _Start(index=int(msg.data["index"]), at=float(msg.data["start_at"]))
        self._send(messages.ARMED, {"asked_at": msg.data["asked_at"], "clock": time.time()})
        self._told.set()

    def _on_stop(self, **_: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        """Send no more requests; what was measured is still reported."""
        self._stopping.set()
        if self._driver is not None:
            self._driver.stop()

    def _send(self, kind: str, data: dict[str, Any]) -> None:
        assert self._runner is not None
        self._runner.send_message(kind, data)

    def _disconnect(self) -> None:
        assert self._runner is not None
        self._runner.greenlet.kill(block=False)
        with contextlib.suppress(Exception):
            self._runner.client.close(linger=0)  # type: ignore[no-untyped-call]

    # --- the drive ----------------------------------------------------------------------------------------------------

    def _drive(self) -> int:
        """Drive, report, and wait until the master has everything."""
        assert self._start is not None
        failure: str | None = None
        try:
            driver = self._driver = self._make_driver(self._start.index)
            if self._stopping.is_set():
                driver.stop()
            self._busy.take()
            # Nothing made so far is garbage; without it, collecting takes microseconds instead of milliseconds.
            gc.collect()
            gc.freeze()
            reporting = gevent.spawn(self._report_every_second)
            driver.drive(time.monotonic() + self._start.at - time.time())
            reporting.kill()
            failure = driver.failure
        except ReadinessError as error:
            failure = error.message
        self._report()
        if failure is not None:
            failure = template.redact(failure, self._secrets)
            _complain(failure)
        self._send(messages.DONE, {**self._totals(), "failure": failure, "stopped": self._stopping.is_set()})
        if not self._bye.wait(_BYE_DEADLINE_S):
            _complain("The master did not confirm that it has everything.")
            return EXIT_NO_MASTER
        return EXIT_DONE if failure is None else EXIT_FAILED

    def _make_driver(self, index: int) -> Driver | LocustDriver:
        if isinstance(self._locust, ReadinessError):
            raise self._locust
        if self._locust is not None:
            self._locust.take_share(index)
            return self._locust
        return Driver(self._order, index, self._recorder)

    def _report_every_second(self) -> None:
        """Report at the same moments on all workers: shortly after each full second of the drive."""
        assert self._start is not None
        number = 0
        while True:
            gevent.sleep(max(0.0, self._start.at + number * _REPORT_EVERY_S + 0.02 - time.time()))
            self._report()
            number += 1

    def _report(self) -> None:
        tallies, samples = self._recorder.take()
        self._sequence += 1
        self._send(
            messages.ROWS,
            {
                **self._totals(),
                "sequence": self._sequence,
                "rows": merging.pack(tallies),
                "samples": samples,
                "busy": self._busy.take(),
            },
        )

    def _totals(self) -> dict[str, int]:
        recorder = self._recorder
        return {
            "offered": recorder.offered,
            "sent": recorder.sent,
            "recorded": recorder.recorded,
            "dropped": recorder.dropped,
            "in_flight": recorder.in_flight,
            "in_flight_max": recorder.in_flight_max,
            "reconnects": 0 if self._driver is None else self._driver.reconnects,
        }


class BusyTime:
    """How much of a core this process used, from one reading to the next."""

    def __init__(self) -> None:
        self._last = self._now()

    def take(self) -> tuple[float, float]:
        """Return the CPU seconds since the last reading, and the seconds that passed.

        Both, and no ratio: two readings may lie a millisecond apart, and a ratio of so little says nothing.
        """
        before, self._last = self._last, self._now()
        return self._last[0] - before[0], self._last[1] - before[1]

    @staticmethod
    def _now() -> tuple[float, float]:
        return time.process_time(), time.monotonic()


class _MasterGoneError(BaseException):
    """The master stopped talking. Like an interrupt, it must pass whatever catches the faults of a drive."""


def _allow_many_connections() -> None:
    """Let the process open as many sockets as the system allows it to."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _complain(message: str) -> None:
    sys.stderr.write(f"worker: {message}\n")
    sys.stderr.flush()
