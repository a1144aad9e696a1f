"""Counts what happened to each request, by second, scenario and outcome; memory flat in the number of requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType

from readiness.loadgen import rows
from readiness.loadgen.answers import Answer
from readiness.loadgen.requests import PreparedScenario
from readiness.loadgen.template import redact
from readiness.model import Workload

_MAX_SAMPLE = 200
_MAX_CACHE_OUTCOMES = 8
_OTHER = "other"


class Recorder:
    """What one worker measured since it was last asked.

    Attributes:
        offered: How many requests were due, since the start.
        sent: How many of them were sent.
        recorded: How many of those have ended.
        dropped: How many were due and not sent.
    """

    def __init__(self, workload: Workload, secrets: Collection[str]) -> None:
        self._workload = workload
        self._cache_header = workload.cache_header
        self._splits = workload.request_start_header is not None
        self._secrets = secrets
        self._tallies: rows.Tallies = {}
        self._samples: dict[str, str] = {}
        self._sampled: set[str] = set()
        self._cache_outcomes: set[str] = set()
        self._start = 0.0
        self.offered = self.sent = self.recorded = self.dropped = 0
        self.in_flight_max = 0

    @property
    def in_flight(self) -> int:
        """How many requests were sent and have not ended."""
        return self.sent - self.recorded

    def start_at(self, start: float) -> None:
        """Set the instant of ``time.monotonic`` from which seconds are counted."""
        self._start = start

    def due(self, scenario: str, due: float, now: float, *, sending: bool) -> None:
        """Count a request that is due, and whether it is sent or dropped."""
        second = int(due - self._start)
        tally = rows.tally_of(self._tallies, second, scenario)
        tally.count(rows.OFFERED)
        self.offered += 1
        late_s = now - due
        rows.tally_of(self._tallies, second, rows.EVERY).time(rows.LAG, int(late_s * 1e6) if late_s > 0 else 0)
        if sending:
            self.sent += 1
            in_flight = self.sent - self.recorded
            if in_flight > self.in_flight_max:
                self.in_flight_max = in_flight
        else:
            self.dropped += 1
            tally.count(rows.DROPPED)

    def failed(self, scenario: str, due: float, outcome: str, message: str) -> None:
        """Record a request that got no answer."""
        self._end(scenario, due, outcome, time.monotonic())
        self._sample(scenario, outcome, message)

    def answered(self, scenario: PreparedScenario, due: float, sent: float, now: float, answer: Answer) -> None:
        """Record a request that got an answer, expected or not: due, sent and received at these instants."""
        status = answer.status
        wrong_status = status not in scenario.expect_status
        complaint = "" if wrong_status else scenario.complaint(answer)
        outcome = rows.STATUS if wrong_status else rows.ASSERTION if complaint else rows.OK
        tally = self._end(scenario.name, due, outcome, now)
        tally.count(rows.STATUS_COUNT + str(status))
        if outcome != rows.OK:
            self._sample(scenario.name, outcome, _describe(scenario, answer, complaint))
            return
        rows.tally_of(self._tallies, int(now - self._start), scenario.name).count(rows.ANSWERED)
        if self._cache_header is not None:
            self._cache(tally, answer.header(self._cache_header), int((now - due) * 1e6))
        if self._splits:
            self._parts(tally, answer.header, int((now - sent) * 1e6))

    def reported(
        self,
        scenario: str,
        begun: float,
        latency_s: float,
        outcome: str,
        *,
        message: str,
        elsewhere: bool,
        status: int | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Record a request of a locustfile, which is known of only now that it has ended.

        Args:
            scenario: The name that Locust gives it.
            begun: By ``time.monotonic``.
            latency_s: As Locust measured it.
            outcome: How it ended.
            message: What was wrong, if anything.
            elsewhere: Whether it went to another host than the target.
            status: Of the answer, if there was one.
            headers: Of the answer.
        """
        tally = rows.tally_of(self._tallies, max(0, int(begun - self._start)), scenario)
        tally.count(rows.OFFERED)
        self.offered += 1
        self.sent += 1
        self.recorded += 1
        tally.time(rows.OUTCOME_SERIES + outcome, int(latency_s * 1e6))
        if status is not None:
            tally.count(f"{rows.STATUS_COUNT}{status}")
        if elsewhere:
            tally.count(rows.ELSEWHERE)
        if outcome != rows.OK:
            self._sample(scenario, outcome, message)
            return
        ended = max(0, int(begun + latency_s - self._start))
        rows.tally_of(self._tallies, ended, scenario).count(rows.ANSWERED)
        if self._cache_header is not None:
            self._cache(tally, headers.get(self._cache_header), int(latency_s * 1e6))
        if self._splits:
            self._parts(tally, headers.get, int(latency_s * 1e6))

    def user_error(self, message: str) -> None:
        """Count an exception of a locustfile's user that belongs to no request."""
        second = max(0, int(time.monotonic() - self._start))
        rows.tally_of(self._tallies, second, rows.EVERY).count(rows.USER_ERRORS)
        self._sample("(user)", rows.USER_ERRORS, message)

    def take(self) -> tuple[rows.Tallies, dict[str, str]]:
        """Return what was recorded since the last call, and the sample messages that are new."""
        taken, self._tallies = self._tallies, {}
        samples, self._samples = self._samples, {}
        return taken, samples

    def _end(self, scenario: str, due: float, outcome: str, now: float) -> rows.Tally:
        self.recorded += 1
        tally = rows.tally_of(self._tallies, int(due - self._start), scenario)
        tally.time(rows.OUTCOME_SERIES + outcome, int((now - due) * 1e6))
        return tally

    def _sample(self, scenario: str, outcome: str, message: str) -> None:
        """Keep one message of each class of failure."""
        key = f"{scenario}/{outcome}"
        if key not in self._sampled:
            self._sampled.add(key)
            self._samples[key] = redact(message, self._secrets)[:_MAX_SAMPLE]

    def _cache(self, tally: rows.Tally, value: str | None, latency_us: int) -> None:
        """Count the latency to the cache outcome that the answer names, if it names one."""
        if value is None:
            return
        value = value.strip().lower()[:32]
        if value not in self._cache_outcomes:
            if len(self._cache_outcomes) >= _MAX_CACHE_OUTCOMES:
                value = _OTHER
            self._cache_outcomes.add(value)
        tally.time(rows.CACHE_SERIES + value, latency_us)

    def _parts(self, tally: rows.Tally, header: Callable[[str], str | None], latency_us: int) -> None:
        """Split the latency into what the upstream took and what is left, if the service says when it called it."""
        started = header(self._workload.upstream_start_header)
        if started is None:
            return
        stopped = header(self._workload.upstream_stop_header)
        if stopped is None:
            return
        try:
            upstream_us = (int(stopped) - int(started)) // 1000
        except ValueError:
            upstream_us = -1
        if not 0 <= upstream_us <= latency_us:
            tally.count(rows.BAD_TIMING)
            return
        tally.time(rows.UPSTREAM, upstream_us)
        tally.time(rows.PROXY, latency_us - upstream_us)


def _describe(scenario: PreparedScenario, answer: Answer, complaint: str) -> str:
    """Return what was wrong with an answer, with the beginning of its body."""
    body = answer.body[:_MAX_SAMPLE].decode("utf-8", "replace")
    if answer.status not in scenario.expect_status:
        expected = " or ".join(map(str, sorted(scenario.expect_status)))
        return f"status {answer.status} instead of {expected}: {body}"
    return f"status {answer.status}, but {complaint}; body: {body}"
