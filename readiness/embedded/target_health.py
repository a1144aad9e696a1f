"""Health of load balancer targets: the rules, and the checks themselves.

Rules (https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html):

* a target that was just registered must pass *one* health check to be healthy, whatever the healthy threshold is;
* afterwards it becomes unhealthy after ``UnhealthyThresholdCount`` consecutive failures, and healthy again after
  ``HealthyThresholdCount`` consecutive successes;
* reasons are ``Target.ResponseCodeMismatch``, ``Target.Timeout`` and ``Target.FailedHealthChecks``.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Key = TypeVar("Key")

MINIMUM_TIMEOUT_S = 1.0
"""A scaled time-out is never shorter: a busy machine must not look like a dead target."""

_MINIMUM_INTERVAL_S = 0.1
_CLOSE_GRACE_S = 0.2


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Health-check settings of one target group; times are scaled already.

    Attributes:
        path: Path and query of the request.
        port: Port, or None for the target's own.
        interval_s: From the start of one check to the start of the next.
        timeout_s: Without an answer for so long, a check failed.
        healthy_threshold: Consecutive successes after which an unhealthy target is healthy again.
        unhealthy_threshold: Consecutive failures after which a target is unhealthy.
        matcher: Accepted status codes as AWS writes them, such as ``200,202`` or ``200-299``.
    """

    path: str = "/"
    port: int | None = None
    interval_s: float = 30.0
    timeout_s: float = 5.0
    healthy_threshold: int = 5
    unhealthy_threshold: int = 2
    matcher: str = "200"

    def accepts(self, status: int) -> bool:
        """Tell whether a response with this status is a success."""
        for part in self.matcher.split(","):
            low, _, high = part.strip().partition("-")
            if low.isdigit() and int(low) <= status <= int(high or low):
                return True
        return False


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Outcome of one check; ``reason`` and ``description`` as DescribeTargetHealth spells them, empty on success."""

    success: bool
    reason: str = ""
    description: str = ""


@dataclass(slots=True)
class TargetHealth:
    """State of one target: ``initial``, ``healthy`` or ``unhealthy``."""

    state: str = "initial"
    reason: str = "Elb.RegistrationInProgress"
    description: str = "Target registration is in progress"
    successes: int = 0
    failures: int = 0

    def record(self, result: CheckResult, check: HealthCheck) -> bool:
        """Take one check into account; return whether the state changed."""
        before = self.state
        if result.success:
            self.successes, self.failures = self.successes + 1, 0
            if self.state == "initial" or self.successes >= check.healthy_threshold:
                self.state, self.reason, self.description = "healthy", "", ""
        else:
            self.successes, self.failures = 0, self.failures + 1
            if self.failures >= check.unhealthy_threshold:
                self.state = "unhealthy"
            if self.state == "unhealthy":
                self.reason, self.description = result.reason, result.description
        if self.state == "initial":
            self.reason, self.description = "Elb.InitialHealthChecking", "Initial health checks in progress"
        return self.state != before


class HealthChecks(Generic[Key]):
    """Runs the checks of all targets in one thread.

    Args:
        on_result: Called with the key and result of every check, in that thread.
    """

    def __init__(self, on_result: Callable[[Key, CheckResult], None]) -> None:
        self._on_result = on_result
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="target-health", daemon=True)
        self._tasks: dict[Key, asyncio.Task[None]] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End all checks and the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def watch(self, key: Key, host: str, port: int, check: HealthCheck) -> None:
        """Check a target from now on; a target that is watched already is checked anew with these settings."""
        self._loop.call_soon_threadsafe(self._watch, key, host, port, check)

    def forget(self, key: Key) -> None:
        """Check a target no longer."""
        self._loop.call_soon_threadsafe(self._forget, key)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in self._tasks.values():
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*self._tasks.values(), return_exceptions=True))
        self._loop.close()

    def _watch(self, key: Key, host: str, port: int, check: HealthCheck) -> None:
        self._forget(key)
        self._tasks[key] = self._loop.create_task(self._check_forever(key, host, port, check))

    def _forget(self, key: Key) -> None:
        if task := self._tasks.pop(key, None):
            task.cancel()

    async def _check_forever(self, key: Key, host: str, port: int, check: HealthCheck) -> None:
        interval_s = max(_MINIMUM_INTERVAL_S, check.interval_s)
        while True:
            started = self._loop.time()
            self._on_result(key, await probe(host, check.port or port, check))
            await asyncio.sleep(max(0.0, started + interval_s - self._loop.time()))


class _Answer(asyncio.Protocol):
    """Reads no more than a status line. Plain callbacks: an answer that is there is seen before a timer that is due."""

    def __init__(self, request: bytes, result: asyncio.Future[CheckResult | int]) -> None:
        self._request = request
        self._result = result
        self._received = b""
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\n" in self._received and not self._result.done():
            found = re.match(rb"HTTP/1\.[01] (\d{3})", self._received)
            self._result.set_result(int(found[1]) if found else _failed())

    def connection_lost(self, error: Exception | None) -> None:
        if not self._result.done():
            self._result.set_result(_failed())
        if not self.closed.done():
            self.closed.set_result(None)


async def probe(host: str, port: int, check: HealthCheck) -> CheckResult:
    """Send one health check as a load balancer does and judge the answer."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[CheckResult | int] = loop.create_future()
    request = (
        f"GET {check.path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        "User-Agent: ELB-HealthChecker/2.0\r\nAccept-Encoding: gzip, compressed\r\n\r\n"
    ).encode()

    def give_up() -> None:
        if not answer.done():
            answer.set_result(_timed_out())

    timer = loop.call_later(check.timeout_s, give_up)
    connection: tuple[asyncio.Transport, _Answer] | None = None
    try:
        connected = loop.create_task(loop.create_connection(lambda: _Answer(request, answer), host, port))
        waited_for: set[asyncio.Future[Any]] = {connected, answer}
        await asyncio.wait(waited_for, return_when=asyncio.FIRST_COMPLETED)
        if not connected.done():
            connected.cancel()
            return _timed_out()
        if connected.exception() is not None:
            return _failed()
        connection = connected.result()
        outcome = await answer
        # Let the target close: a reset in the middle of its answer would look like a fault in its log.
        await asyncio.wait({connection[1].closed}, timeout=_CLOSE_GRACE_S)
    finally:
        timer.cancel()
        if connection is not None:
            connection[0].abort()
    if isinstance(outcome, CheckResult):
        return outcome
    if check.accepts(outcome):
        return CheckResult(success=True)
    return CheckResult(
        success=False,
        reason="Target.ResponseCodeMismatch",
        description=f"Health checks failed with these codes: [{outcome}]",
    )


def _timed_out() -> CheckResult:
    return CheckResult(success=False, reason="Target.Timeout", description="Request timed out")


def _failed() -> CheckResult:
    return CheckResult(success=False, reason="Target.FailedHealthChecks", description="Health checks failed")
