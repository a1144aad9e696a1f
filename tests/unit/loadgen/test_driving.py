"""Arrivals wait for nobody: a driver against a service of this test's making, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import gevent
import pytest

from readiness.loadgen import driving, rows
from readiness.loadgen.answers import Answer
from readiness.loadgen.driving import Driver
from readiness.loadgen.http_client import Exchange
from readiness.loadgen.order import Order
from readiness.loadgen.recorder import Recorder
from readiness.model import Arrivals, ClosedArrivals, OpenArrivals, Scenario, Workload

ANSWER = Answer(200, b"", b"")


class Clock:
    """Stands still until somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Service:
    """Stands in for the target: remembers when which request was sent; answers *after_s*, or never."""

    host_header = "h"
    reconnects = 0

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.after_s: float | None = 0.0
        self.sent_at: list[float] = []
        self.closed = False

    def send(self, exchange: Exchange) -> None:
        self.sent_at.append(self.clock.now)
        if self.after_s is not None:
            gevent.get_hub().loop.run_callback(self._answer, exchange)

    def _answer(self, exchange: Exchange) -> None:
        assert self.after_s is not None
        self.clock.now += self.after_s
        exchange.answered(ANSWER, self.clock.now)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def not_for_ever() -> Iterator[None]:
    with gevent.Timeout(10):
        yield


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    let_others_go_on = gevent.sleep

    def pace(step: Callable[[], float | None]) -> None:
        while (instant := step()) is not None:
            let_others_go_on(0)
            clock.now = max(clock.now, instant)

    monkeypatch.setattr(driving, "time", clock)
    monkeypatch.setattr(driving, "pace", pace)
    return clock


@pytest.fixture
def service(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service(clock)
    monkeypatch.setattr(driving, "Target", lambda *_, **__: service)
    return service


def driver(arrivals: Arrivals, hold_s: float = 2, worker: int = 0, workers: int = 1, **scenario: Any) -> Any:
    workload = Workload(
        arrivals=arrivals,
        ramp=timedelta(0),
        hold=timedelta(seconds=hold_s),
        timeout=timedelta(seconds=3),
        scenarios=(Scenario(**{"name": "root", "path": "/", **scenario}),),
    )
    order = Order(
        role="worker", run_id="r", master_port=1, workers=workers, target="http://127.0.0.1:1", workload=workload
    )
    recorder = Recorder(workload, ())
    return Driver(order, worker, recorder), recorder


def constant(rate_per_s: float, **settings: Any) -> OpenArrivals:
    return OpenArrivals(kind="open", rate_per_s=rate_per_s, distribution="constant", **settings)


def without_waiting(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the wait for the last answers pass on the test's clock."""
    real = gevent.sleep

    def sleep(seconds: float = 0) -> None:
        clock.sleep(seconds)
        real(0)

    monkeypatch.setattr(driving.gevent, "sleep", sleep)


@pytest.mark.parametrize("requests", [1, 15, 16, 17, 32, 160])
def test_all_that_is_due_is_sent_when_it_is_due_and_the_drive_ends(
    requests: int, clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waiting(clock, monkeypatch)
    made, recorder = driver(constant(requests / 2))
    start = clock.now
    made.drive(start)
    gap = 2 / requests
    assert service.sent_at == pytest.approx([start + gap * (number + 0.5) for number in range(requests)])
    assert recorder.offered == recorder.sent == recorder.recorded == requests
    assert (made.failure, service.closed) == (None, True)


def test_a_service_that_never_answers_holds_nobody_up_and_what_exceeds_the_cap_is_dropped(
    clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waiting(clock, monkeypatch)
    service.after_s = None
    made, recorder = driver(constant(50, max_in_flight=30))
    start = clock.now
    made.drive(start)
    assert (recorder.offered, recorder.sent, recorder.dropped, recorder.in_flight_max) == (100, 30, 70, 30)
    assert max(service.sent_at) < start + 0.61
    assert recorder.recorded == 0
    assert clock.now >= start + 2 + 3


def test_a_dispatcher_that_was_held_up_sends_all_it_owes_and_the_lag_says_so(
    clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waiting(clock, monkeypatch)
    made, recorder = driver(constant(100), hold_s=1)
    start = clock.now
    clock.now += 0.5  # nobody could send for half a second
    made.drive(start)
    assert recorder.sent == 100
    assert sum(at == start + 0.5 for at in service.sent_at) == 50
    tallies, _ = recorder.take()
    lag = tallies[0, rows.EVERY].histograms[rows.LAG]
    assert lag.value_at_rank(lag.total) == pytest.approx(495_000, rel=0.002)
    latencies = tallies[0, "root"].latencies()
    assert latencies.value_at_rank(latencies.total) == pytest.approx(495_000, rel=0.002)


def test_workers_share_the_cap_and_the_arrivals(
    clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waiting(clock, monkeypatch)
    service.after_s = None
    sent = []
    for worker in range(2):
        made, recorder = driver(constant(10, max_in_flight=8), worker=worker, workers=2)
        made.drive(clock.now)
        sent.append((recorder.offered, recorder.sent))
    assert sent == [(10, 4), (10, 4)]


def test_nothing_is_sent_after_a_stop(clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting(clock, monkeypatch)
    made, recorder = driver(constant(100))
    begin, sent = service.send, []

    def stop_after_ten(exchange: Exchange) -> None:
        begin(exchange)
        sent.append(exchange)
        if len(sent) == 10:
            made.stop()

    service.send = stop_after_ten  # type: ignore[method-assign]
    made.drive(clock.now)
    assert recorder.offered == recorder.sent == recorder.recorded == 10
    assert made.failure is None


def test_a_fault_of_the_generator_ends_the_drive_and_is_told(
    clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waiting(clock, monkeypatch)

    def broken(_: Exchange) -> None:
        raise KeyError("something of ours")

    service.send = broken  # type: ignore[method-assign]
    for arrivals in (constant(100), ClosedArrivals(kind="closed", users=3)):
        made, recorder = driver(arrivals)
        made.drive(clock.now)
        assert made.failure == "KeyError: 'something of ours'"
        assert recorder.recorded == 0
        assert recorder.sent < 5


def test_users_ask_again_only_when_they_have_their_answer(
    clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_waiting(clock, monkeypatch)
    service.after_s = 0.125
    made, recorder = driver(ClosedArrivals(kind="closed", users=1))
    start = clock.now
    made.drive(start)
    assert service.sent_at == pytest.approx([start + number / 8 for number in range(16)])
    assert recorder.recorded == 16
    assert recorder.in_flight_max == 1


def test_users_are_dealt_out_to_the_workers(clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting(clock, monkeypatch)
    service.after_s = 1
    in_flight = []
    for worker in range(2):
        made, recorder = driver(ClosedArrivals(kind="closed", users=5), worker=worker, workers=2)
        made.drive(clock.now)
        in_flight.append(recorder.in_flight_max)
    assert in_flight == [3, 2]


def test_a_user_goes_on_after_a_failure(clock: Clock, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting(clock, monkeypatch)

    def fail(exchange: Exchange) -> None:
        clock.now += 0.5
        exchange.failed(rows.CONNECT, "refused")

    service.send = fail  # type: ignore[method-assign]
    made, recorder = driver(ClosedArrivals(kind="closed", users=1))
    made.drive(clock.now)
    assert recorder.recorded == 4
    assert recorder.take()[1] == {"root/connect": "refused"}
