"""The master: starts the workers together, merges what they report, prints it, and notices who is gone."""

from __future__ import annotations

import signal
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import gevent
from gevent.event import Event
from locust.env import Environment
from locust.runners import MasterRunner

from readiness import stats
from readiness.histogram import Histogram
from readiness.loadgen import messages, rows
from readiness.loadgen.lines import Printer
from readiness.loadgen.merging import Merger, Running
from readiness.loadgen.order import Order

EXIT_DONE = 0
EXIT_BLIND = 1
"""Something was lost or went wrong: what was measured is not all there was."""
EXIT_NOT_STARTED = 2

_TICK_S = 0.05
_START_LEAD_S = 0.5
_PROGRESS_DELAY_S = 0.25
_SATURATION_WINDOW = 5
_MAX_TEXT = 300
_MOST_NAMES = 100


@dataclass
class Member:
    """What the master knows about one worker."""

    id: str
    index: int
    heard_at: float
    armed: bool = False
    done: bool = False
    left_early: bool = False
    lost: bool = False
    failure: str | None = None
    unreadable: bool = False
    clock_skew_s: float = 0.0
    received: int = 0
    reports: int = 0
    missed_reports: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    busy: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=_SATURATION_WINDOW))
    busiest: float = 0.0
    """Of one core, over the busiest stretch."""

    @property
    def unreported(self) -> int:
        """How many requests it sent of which nothing is known; of a lost worker, at least."""
        return max(0, self.totals.get("sent", 0) - self.received)

    def saw_busy(self, cpu_s: float, passed_s: float) -> None:
        """Take a reading of some CPU seconds in some seconds; what counts is the last few readings together."""
        self.busy.append((cpu_s, passed_s))
        if len(self.busy) == _SATURATION_WINDOW:
            cpu, passed = (sum(each) for each in zip(*self.busy, strict=True))
            self.busiest = max(self.busiest, cpu / passed if passed > 0 else 0.0)


class Master:
    """One master's life."""

    def __init__(self, order: Order, bind_host: str) -> None:
        self._order = order
        self._bind_host = bind_host
        self._printer = Printer()
        self._listening: set[str] = set()
        self._members: dict[str, Member] = {}
        self._stopping = Event()
        self._runner: MasterRunner | None = None
        self._start_at = 0.0
        self._merger = Merger()
        self._running = Running(order.workload.warm_up.total_seconds())
        self._samples: dict[str, str] = {}

    def run(self) -> int:
        """Do what the order says and return the exit code."""
        gevent.signal_handler(signal.SIGTERM, self._stopping.set)
        gevent.signal_handler(signal.SIGINT, self._stopping.set)
        try:
            self._runner = Environment(user_classes=[]).create_master_runner(self._bind_host, self._order.master_port)
        except (SystemExit, Exception) as error:  # noqa: BLE001 - Locust ends the process over a busy port
            self._printer.line(
                "failed", reason=f"cannot listen on {self._bind_host}:{self._order.master_port}: {error}"
            )
            return EXIT_NOT_STARTED
        for kind, listener in (
            (messages.LISTENING, self._on_listening),
            (messages.ARMED, self._on_armed),
            (messages.ROWS, self._on_rows),
            (messages.DONE, self._on_done),
        ):
            self._runner.register_message(kind, listener)
        self._printer.line("waiting", workers_expected=self._order.workers)
        reason = self._wait_for_workers() or self._arm()
        if reason is not None:
            self._printer.line("failed", reason=reason)
            self._leave()
            return EXIT_NOT_STARTED
        self._follow()
        code = self._finish()
        self._leave()
        return code

    # --- start --------------------------------------------------------------------------------------------------------

    def _wait_for_workers(self) -> str | None:
        """Wait until all workers are ready; return why they are not, if so."""
        assert self._runner is not None
        deadline = time.monotonic() + self._order.ready_deadline.total_seconds()
        while True:
            ready = sorted(client.id for client in self._runner.clients.ready if client.id in self._listening)
            if len(ready) >= self._order.workers:
                now = time.monotonic()
                chosen = ready[: self._order.workers]
                self._members = {id_: Member(id_, index, now) for index, id_ in enumerate(chosen)}
                return None
            if self._stopping.is_set():
                return f"stopped while {len(ready)} of {self._order.workers} workers were ready"
            if time.monotonic() > deadline:
                waited = self._order.ready_deadline.total_seconds()
                return f"only {len(ready)} of {self._order.workers} workers were ready after {waited:.0f} s"
            gevent.sleep(_TICK_S)

    def _arm(self) -> str | None:
        """Tell all workers the same start instant, and make sure that all have understood."""
        self._start_at = time.time() + _START_LEAD_S
        for member in self._members.values():
            self._send(messages.GO, member, index=member.index, start_at=self._start_at, asked_at=time.time())
        deadline = time.monotonic() + self._order.silence.total_seconds()
        while not all(member.armed for member in self._members.values()):
            if time.monotonic() > deadline:
                deaf = ", ".join(member.id for member in self._members.values() if not member.armed)
                return f"not all workers took the order to start: {deaf}"
            gevent.sleep(_TICK_S / 5)
        self._printer.line(
            "started",
            started_at=self._start_at,
            run_id=self._order.run_id,
            workers=len(self._members),
        )
        return None

    # --- what the workers say -----------------------------------------------------------------------------------------

    def _heard(self, msg: Any) -> Member | None:
        member = self._members.get(msg.node_id)
        if member is not None:
            member.heard_at = time.monotonic()
            if member.lost:
                member.lost = False
                self._printer.line("worker-back", worker=member.id, second=self._second())
        return member

    def _on_listening(self, msg: Any, **_: Any) -> None:
        self._listening.add(msg.node_id)

    def _on_armed(self, msg: Any, **_: Any) -> None:
        member = self._heard(msg)
        if member is not None:
            member.armed = True
            # Half of the way there and back is the best guess of when its clock was read.
            member.clock_skew_s = msg.data["clock"] - (msg.data["asked_at"] + time.time()) / 2

    def _on_rows(self, msg: Any, **_: Any) -> None:
        member = self._heard(msg)
        if member is None:
            return
        data = msg.data
        member.missed_reports += data["sequence"] - member.reports - 1
        member.reports = data["sequence"]
        member.totals = {name: data[name] for name in _TOTALS}
        member.saw_busy(*data["busy"])
        self._samples = {**data["samples"], **self._samples}
        self._merger.add(member.id, data["rows"])

    def _on_done(self, msg: Any, **_: Any) -> None:
        member = self._heard(msg)
        if member is None:
            return
        member.done = True
        member.totals = {name: msg.data[name] for name in _TOTALS}
        member.failure = msg.data["failure"]
        member.left_early = msg.data["stopped"] and not self._stopping.is_set() and member.failure is None
        if member.failure is not None:
            self._printer.line("worker-failed", worker=member.id, reason=member.failure[:_MAX_TEXT])
            self._stopping.set()
        elif member.left_early:
            self._printer.line(
                "worker-lost", worker=member.id, second=self._second(), reason="was stopped by somebody else"
            )
        self._send(messages.BYE, member)

    # --- while it runs ------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Print what happens, once a second, until every worker is done, lost, or overdue."""
        workload = self._order.workload
        drain_s = workload.timeout.total_seconds() + self._order.silence.total_seconds() + 5
        end = self._start_at + workload.length.total_seconds() + drain_s
        told_to_stop = False
        second = 0
        while not all(member.done or member.lost for member in self._members.values()):
            gevent.sleep(_TICK_S)
            self._look_for_lost()
            if self._stopping.is_set() and not told_to_stop:
                told_to_stop = True
                end = min(end, time.time() + drain_s)
                for member in self._members.values():
                    self._send(messages.STOP, member)
            if time.time() >= self._start_at + second + 1 + _PROGRESS_DELAY_S:
                self._progress(second)
                second += 1
            if time.time() > end:
                break

    def _look_for_lost(self) -> None:
        """Notice workers that have fallen silent. Locust would go on without them and say nothing at the end."""
        now = time.monotonic()
        for member in self._members.values():
            silent_s = now - member.heard_at - max(0.0, self._start_at - time.time())
            if not member.done and not member.lost and silent_s > self._order.silence.total_seconds():
                member.lost = True
                self._printer.line(
                    "worker-lost",
                    worker=member.id,
                    second=self._second(),
                    reason=f"has said nothing for {silent_s:.0f} s",
                    unreported_at_least=member.unreported,
                )

    def _progress(self, second: int) -> None:
        self._flush()
        running = self._running
        self._printer.line(
            "progress",
            second=second,
            rate=running.answered.pop(second, 0),
            **{f"p{percentile}_ms": _percentile(running.judged, percentile) for percentile in (50, 95, 99)},
            requests=running.requests,
            errors=running.failed,
            dropped=running.dropped,
            in_flight=sum(member.totals.get("in_flight", 0) for member in self._members.values()),
            workers=sum(not member.lost and not member.left_early for member in self._members.values()),
        )

    def _flush(self) -> None:
        """Merge what has come in, and print it."""
        merged = self._merger.merge()
        for worker, ended in merged.ended.items():
            self._members[worker].received += ended
        for worker, problem in merged.unreadable.items():
            self._printer.line("worker-failed", worker=worker, reason=f"a report of its cannot be read: {problem}")
            self._members[worker].unreadable = True
        self._running.add(merged.tallies)
        self._printer.rows(rows.to_rows(merged.tallies))

    # --- end ----------------------------------------------------------------------------------------------------------

    def _finish(self) -> int:
        """Say what it came to, and return the exit code."""
        self._flush()
        for key, text in sorted(self._samples.items()):
            self._printer.line("sample", key=key, message=text)
        members = self._members.values()
        lost = [member.id for member in members if member.lost or member.left_early or not member.done]
        failed = [member.id for member in members if member.failure is not None or member.unreadable]
        missing = sum(member.missed_reports for member in members)
        unreported = sum(member.unreported for member in members)
        cut_short = self._order.until_stopped and not self._stopping.is_set()
        self._printer.line(
            "finished",
            stopped=self._stopping.is_set(),
            ended_at=time.time(),
            outcomes=self._running.outcomes,
            workers_expected=self._order.workers,
            workers_seen=len(self._members),
            workers_lost=_few(lost),
            workers_failed=_few(failed),
            ran_out=cut_short,
            offered=self._sum("offered"),
            sent=self._sum("sent"),
            recorded=self._running.requests,
            dropped=self._sum("dropped"),
            unreported=unreported,
            missing_reports=missing,
            reconnects=self._sum("reconnects"),
            in_flight_max=max((member.totals.get("in_flight_max", 0) for member in members), default=0),
            generator_cpu_ratio=round(max((member.busiest for member in members), default=0.0), 4),
            clock_skew_ms=round(max((abs(member.clock_skew_s) for member in members), default=0.0) * 1000, 3),
            dispatcher_lag_p99_ms=_percentile(self._running.lag, 99),
        )
        return EXIT_BLIND if lost or failed or missing or unreported else EXIT_DONE

    def _leave(self) -> None:
        """Let go of the workers: each exits by itself when it hears no more of its master."""
        assert self._runner is not None
        gevent.sleep(0.3)  # for the last words to get through
        self._runner.greenlet.kill(block=False)
        self._runner.server.close(linger=200)  # type: ignore[no-untyped-call]

    def _second(self) -> int:
        return int(time.time() - self._start_at)

    def _sum(self, name: str) -> int:
        return sum(member.totals.get(name, 0) for member in self._members.values())

    def _send(self, kind: str, member: Member, **data: Any) -> None:
        assert self._runner is not None
        self._runner.send_message(kind, data, client_id=member.id)


_TOTALS = ("offered", "sent", "recorded", "dropped", "in_flight", "in_flight_max", "reconnects")


def _few(names: list[str]) -> list[str]:
    """Return names so that a line of the log can hold them."""
    more = len(names) - _MOST_NAMES
    return names if more <= 0 else [*names[:_MOST_NAMES], f"and {more} more"]


def _percentile(histogram: Histogram, percentile: float) -> float | None:
    """Return a percentile, or None where there are no samples."""
    return stats.percentile_ms(histogram, percentile) if histogram.total else None
