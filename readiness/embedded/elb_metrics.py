"""CloudWatch metrics of load balancers, from HAProxy's request log.

Names, criteria and dimensions: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html

What a target answered counts as HTTPCode_Target_*, with a TargetResponseTime; what the load balancer answered by itself
(502, 503, 504, 460, and 502 or 413 for a function that failed) as HTTPCode_ELB_*, without. A function's failures are
LambdaUserError too, throttling included: AWS doesn't say which of its errors are LambdaInternalError, so that there is
none here.

Dimension sets: ``LoadBalancer``, and ``TargetGroup`` with ``LoadBalancer``. Those with ``AvailabilityZone`` are left
out: addresses on loopback have no zone. What AWS reports only when it isn't zero is not reported when it is zero.

The log is one line per request with few distinct texts, so lines are counted before any is parsed: 2,000 requests per
second cost next to nothing. The resolution of response times is the log's, one millisecond.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from readiness.embedded.haproxy_config import BROKEN_OFF, FUNCTION_FAILED
from readiness.embedded.metrics import Datum

NAMESPACE = "AWS/ApplicationELB"

_CONNECTION_FAILED = {"SC", "sC"}
_CONNECTION_TIMED_OUT = "sC"


@dataclass(slots=True)
class _Counts:
    """What happened in one grain of time for one set of dimensions."""

    sums: Counter[str] = field(default_factory=Counter)
    response_times_ms: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One parsed line of the log.

    Attributes:
        backend: Identifier of the target group, or the listener's when none was chosen.
        server: Name of the target, or ``broken_off`` for one that closed the connection without an answer.
        status: Status that HAProxy logged.
        response_time_ms: Until the target's headers were there; -1 if there were none.
        ended: HAProxy's two characters for who ended the request and when.
        act: ``fixed``, ``redirect``, ``none`` (no group), ``empty`` (no targets), ``function`` (it failed) or ``-``.
    """

    backend: str
    server: str
    status: int
    response_time_ms: int
    ended: str
    act: str

    @classmethod
    def parse(cls, text: str) -> LogLine | None:
        """Return the parsed line, or None if it is no request."""
        parts = text.split(" ")
        if len(parts) != 6:
            return None
        try:
            return cls(parts[0], parts[1], int(parts[2]), int(parts[3]), parts[4], parts[5])
        except ValueError:
            return None


class ElbMetrics:
    """Counts one load balancer's requests per grain of time and turns them into data.

    Args:
        load_balancer: Value of the ``LoadBalancer`` dimension, such as ``app/name/0123456789abcdef``.
        period_s: A (scaled) minute. Each grain lies within one period.
    """

    def __init__(self, load_balancer: str, period_s: float) -> None:
        self._load_balancer = load_balancer
        self.grain_s = period_s / math.ceil(period_s)
        self._grains: dict[int, dict[str, _Counts]] = {}
        self.unparsed = 0

    def grain(self, now: float) -> int:
        """Return the number of the grain that an instant lies in."""
        return math.floor(now / self.grain_s)

    def add(self, lines: Iterable[str], now: float) -> None:
        """Count lines that were read at this instant."""
        counts = self._grains.setdefault(self.grain(now), defaultdict(_Counts))
        for text, times in Counter(lines).items():
            line = LogLine.parse(text)
            if line is None:
                self.unparsed += times
                continue
            _count(line, times, counts)

    def collect(
        self,
        now: float,
        target_groups: Mapping[str, str],
        hosts: Mapping[str, tuple[int, int]],
    ) -> list[Datum]:
        """Return the data of all grains that are over, and forget them.

        Args:
            now: Epoch seconds.
            target_groups: Identifier of a target group -> value of its ``TargetGroup`` dimension.
            hosts: Identifier of a target group with registered targets -> healthy and unhealthy targets, now.
        """
        data: list[Datum] = []
        for grain in sorted(number for number in self._grains if number < self.grain(now)):
            data += self._requests(grain * self.grain_s, self._grains.pop(grain), target_groups, hosts)
        return data

    def host_counts(
        self, now: float, target_groups: Mapping[str, str], hosts: Mapping[str, tuple[int, int]]
    ) -> list[Datum]:
        """Return HealthyHostCount and UnHealthyHostCount; reported if there are registered targets."""
        data = []
        for identifier, (healthy, unhealthy) in hosts.items():
            dimensions = self._dimensions(target_groups[identifier])
            for name, value in (("HealthyHostCount", healthy), ("UnHealthyHostCount", unhealthy)):
                data.append(Datum(NAMESPACE, name, dimensions, now, "Count", (float(value),), (1.0,)))
        return data

    def _requests(
        self,
        timestamp: float,
        by_backend: Mapping[str, _Counts],
        target_groups: Mapping[str, str],
        hosts: Mapping[str, tuple[int, int]],
    ) -> list[Datum]:
        total = _Counts()
        data: list[Datum] = []
        for identifier, counts in by_backend.items():
            total.sums += Counter({name: n for name, n in counts.sums.items() if name not in _TARGET_GROUP_ONLY})
            total.response_times_ms += counts.response_times_ms
            if identifier in target_groups:
                dimensions = self._dimensions(target_groups[identifier])
                of_group = Counter(
                    {name: number for name, number in counts.sums.items() if name not in _LOAD_BALANCER_ONLY}
                )
                data += _data(timestamp, dimensions, of_group, counts.response_times_ms)
                alone = (("TargetGroup", target_groups[identifier]),)
                functions = Counter({name: n for name, n in counts.sums.items() if name in _TARGET_GROUP_ONLY})
                data += _data(timestamp, alone, functions, Counter())
                if (healthy := hosts.get(identifier, (0, 0))[0]) and counts.sums["RequestCount"]:
                    per_target = counts.sums["RequestCount"] / healthy
                    data.append(
                        Datum(NAMESPACE, "RequestCountPerTarget", dimensions, timestamp, "Count", (per_target,), (1.0,))
                    )
                    data.append(
                        Datum(NAMESPACE, "RequestCountPerTarget", alone, timestamp, "Count", (per_target,), (1.0,))
                    )
        data += _data(timestamp, self._dimensions(None), total.sums, total.response_times_ms)
        return data

    def _dimensions(self, target_group: str | None) -> tuple[tuple[str, str], ...]:
        load_balancer = ("LoadBalancer", self._load_balancer)
        return (load_balancer,) if target_group is None else (load_balancer, ("TargetGroup", target_group))


_TARGET_GROUP_ONLY = {"LambdaUserError"}
_LOAD_BALANCER_ONLY = {
    "HTTPCode_ELB_3XX_Count",
    "HTTPCode_ELB_4XX_Count",
    "HTTPCode_ELB_5XX_Count",
    "HTTPCode_ELB_502_Count",
    "HTTPCode_ELB_503_Count",
    "HTTPCode_ELB_504_Count",
    "HTTP_Fixed_Response_Count",
    "HTTP_Redirect_Count",
}


def _count(line: LogLine, times: int, by_backend: dict[str, _Counts]) -> None:
    counts = by_backend[line.backend]
    if line.act == "fixed":
        counts.sums["HTTP_Fixed_Response_Count"] += times
        return
    if line.act == "redirect":
        counts.sums["HTTP_Redirect_Count"] += times
        counts.sums["HTTPCode_ELB_3XX_Count"] += times
        return
    if line.act == FUNCTION_FAILED:
        counts.sums["LambdaUserError"] += times
    if line.act in ("-", FUNCTION_FAILED) and line.status not in (400, 408):
        # Counted "only for requests where the load balancer node was able to choose a target".
        counts.sums["RequestCount"] += times
    if line.response_time_ms >= 0 and line.server != BROKEN_OFF and line.act != FUNCTION_FAILED:
        counts.sums[f"HTTPCode_Target_{line.status // 100}XX_Count"] += times
        counts.response_times_ms[line.response_time_ms] += times
        return
    if line.ended in _CONNECTION_FAILED:
        counts.sums["TargetConnectionErrorCount"] += times
    status = _status_sent(line)
    if 400 <= status <= 599:
        counts.sums[f"HTTPCode_ELB_{status // 100}XX_Count"] += times
    if status in (502, 503, 504):
        counts.sums[f"HTTPCode_ELB_{status}_Count"] += times


def _status_sent(line: LogLine) -> int:
    """Return what the load balancer answered: HAProxy logs its own idea of a failed connection and of a client gone."""
    if line.ended.startswith("C"):
        return 460
    if line.ended == _CONNECTION_TIMED_OUT:
        return 504
    return 502 if line.act == "-" and line.status == 503 else line.status


def _data(
    timestamp: float, dimensions: tuple[tuple[str, str], ...], sums: Counter[str], response_times_ms: Counter[int]
) -> list[Datum]:
    data = [
        Datum(NAMESPACE, name, dimensions, timestamp, "Count", (float(number),), (1.0,))
        for name, number in sorted(sums.items())
        if number
    ]
    if response_times_ms:
        values, counts = zip(*sorted(response_times_ms.items()), strict=True)
        data.append(
            Datum(
                NAMESPACE,
                "TargetResponseTime",
                dimensions,
                timestamp,
                "Seconds",
                tuple(value / 1000 for value in values),
                tuple(float(count) for count in counts),
            )
        )
    return data
