"""The other side of a load: what the load balancer counted of it, held against what the clients counted.

Both sides see the same requests, each with its own eyes. Where they disagree, one of them is wrong, and neither is
evidence. The window is the whole drive, widened to the whole minutes of the balancer's metrics; nothing else sends
requests through the balancer meanwhile, for drills come later and health checks are not counted. A synthetic probe, if
the plan has one, stays within ``count_slack``.

Metrics: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from readiness import stats
from readiness.contract import Output
from readiness.histogram import Histogram
from readiness.load_result import LoadResult, total
from readiness.loadgen import rows
from readiness.model import Clone, Duration, Gap, Instant, Measurement, Ratio, record

WITHIN = timedelta(minutes=4)
"""How long the figures are waited for: AWS publishes a minute's metrics within some three minutes."""

_NAMESPACE = "AWS/ApplicationELB"
_PERIOD_S = 60
_POLL_S = (0.5, 1.0, 2.0, 5.0, 10.0)
_PERCENTILES = (50, 95, 99)
_RECONCILED_PERCENTILES = (50, 95)
_NEARLY_ALL = 0.99
_COUNTS = {
    "requests": "RequestCount",
    "target_5xx": "HTTPCode_Target_5XX_Count",
    "balancer_5xx": "HTTPCode_ELB_5XX_Count",
}
_SIDE = "the load balancer's figures"


@record
class Tolerances:
    """How far both sides may be apart.

    Attributes:
        count_ratio: Of the requests sent.
        count_slack: Requests that are always allowed: a probe's, or those of the last moment.
        latency_ratio: Of the clients' percentile.
        latency_slack: Always allowed between two percentiles: the balancer's own time and the network's.
    """

    count_ratio: Ratio = 0.01
    count_slack: int = 20
    latency_ratio: Ratio = 0.5
    latency_slack: Duration = timedelta(milliseconds=100)


@record
class ClientSide:
    """What the clients counted over the whole drive.

    Attributes:
        sent: Requests that were sent, and may or may not have reached the balancer.
        answered: Those that got an answer, whatever it was.
        status_5xx: Answers with such a status.
        status_unknown: Answers of which no status was recorded.
        repeated: Requests that were sent once more because a kept connection had gone away.
        latency_ms: Percentile -> what clients waited; empty if nothing was answered.
    """

    sent: int
    answered: int
    status_5xx: int
    status_unknown: int
    repeated: int
    latency_ms: dict[str, float]


@record
class ServerSide:
    """What the load balancer counted in the same minutes.

    Attributes:
        requests: For which a target was chosen.
        target_5xx: Answers of targets.
        balancer_5xx: Answers of the balancer's own.
        response_time_ms: Percentile -> one figure of each minute; a percentile over all lies between them.
        problem: Why there are no figures; empty = there are.
    """

    start: Instant
    end: Instant
    requests: int = 0
    target_5xx: int = 0
    balancer_5xx: int = 0
    response_time_ms: dict[str, tuple[float, ...]]
    problem: str = ""


# --- the clients ------------------------------------------------------------------------------------------------------


def client_side(result: LoadResult) -> ClientSide:
    """Return what the clients counted of a drive, warm-up included."""
    whole = total(result.rows)
    outcomes = whole.outcomes()
    answered = sum(outcomes.get(outcome, 0) for outcome in (rows.OK, rows.STATUS, rows.ASSERTION))
    statuses = {
        name.removeprefix(rows.STATUS_COUNT): count
        for name, count in whole.counts.items()
        if name.startswith(rows.STATUS_COUNT)
    }
    waited = whole.latencies((rows.OK, rows.STATUS, rows.ASSERTION, rows.TIMEOUT))
    return ClientSide(
        sent=whole.counts.get(rows.OFFERED, 0) - whole.counts.get(rows.DROPPED, 0),
        answered=answered,
        status_5xx=sum(count for status, count in statuses.items() if status.startswith("5")),
        status_unknown=max(0, answered - sum(statuses.values())),
        repeated=result.validity.reconnects,
        latency_ms=_percentiles(waited),
    )


def _percentiles(histogram: Histogram) -> dict[str, float]:
    if not histogram.total:
        return {}
    return {f"p{percent}": stats.percentile_ms(histogram, percent) for percent in _PERCENTILES}


# --- the balancer -----------------------------------------------------------------------------------------------------


def observe(
    clients: Callable[[str], Any],
    clone: Clone,
    started_at: datetime,
    ended_at: datetime | None,
    client: ClientSide,
    *,
    within: timedelta = WITHIN,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ServerSide:
    """Return the balancer's figures of a drive, as soon as they hold what the clients got and stand still.

    Args:
        clients: Service name -> boto3 client.
        clone: Whose balancer to ask for.
        started_at: Second 0 of the drive.
        ended_at: When its last answer came; None = nobody told, so everything up to now is taken.
        client: What the clients counted: until that much is there, more may come.
        within: How long to wait for it.
        clock: Monotonic seconds.
        sleep: Waits for so many seconds.
    """
    start = _floor(started_at)
    end = _floor(ended_at or datetime.now(UTC)) + timedelta(seconds=_PERIOD_S)
    arn = clone.outputs.get(Output.LOAD_BALANCER_ARN, "")
    _, found, balancer = arn.partition(":loadbalancer/")
    if not found:
        problem = f"stack {clone.stack_name} has no output {Output.LOAD_BALANCER_ARN} that names a load balancer"
        return ServerSide(start=start, end=end, response_time_ms={}, problem=problem)
    deadline = clock() + within.total_seconds()
    before: ServerSide | None = None
    for attempt in range(1_000_000):
        try:
            seen = _read(clients("cloudwatch"), balancer, start, end)
        except (ClientError, BotoCoreError) as error:
            return ServerSide(start=start, end=end, response_time_ms={}, problem=f"CloudWatch refused them: {error}")
        complete = seen.requests + seen.balancer_5xx >= _NEARLY_ALL * client.answered
        if (complete and seen == before) or clock() >= deadline:
            break
        before = seen
        sleep(_POLL_S[min(attempt, len(_POLL_S) - 1)])
    return seen


def _floor(instant: datetime) -> datetime:
    """Return the beginning of the minute."""
    return instant.astimezone(UTC).replace(second=0, microsecond=0)


def _read(cloudwatch: Any, balancer: str, start: datetime, end: datetime) -> ServerSide:
    """Read all figures once; a metric without data is reported as nothing, as AWS does with counts of zero."""
    values = _values(cloudwatch, list(_queries(balancer)), start, end)
    response_times = {
        f"p{percent}": tuple(round(value * 1000, 3) for value in values[f"p{percent}"]) for percent in _PERCENTILES
    }
    return ServerSide(
        start=start,
        end=end,
        requests=round(sum(values["requests"])),
        target_5xx=round(sum(values["target_5xx"])),
        balancer_5xx=round(sum(values["balancer_5xx"])),
        response_time_ms={name: each for name, each in response_times.items() if each},
    )


def _queries(balancer: str) -> Iterator[Mapping[str, Any]]:
    named = {name: (metric, "Sum") for name, metric in _COUNTS.items()}
    named |= {f"p{percent}": ("TargetResponseTime", f"p{percent}") for percent in _PERCENTILES}
    for name, (metric, statistic) in named.items():
        yield {
            "Id": name,
            "MetricStat": {
                "Metric": {
                    "Namespace": _NAMESPACE,
                    "MetricName": metric,
                    "Dimensions": [{"Name": "LoadBalancer", "Value": balancer}],
                },
                "Period": _PERIOD_S,
                "Stat": statistic,
            },
        }


def _values(
    cloudwatch: Any, queries: Sequence[Mapping[str, Any]], start: datetime, end: datetime
) -> dict[str, list[float]]:
    """Return each query's values, oldest first."""
    values: dict[str, list[float]] = {query["Id"]: [] for query in queries}
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            values[result["Id"]] += result["Values"]
    return values


# --- both sides -------------------------------------------------------------------------------------------------------


def reconcile(
    client: ClientSide, server: ServerSide, tolerances: Tolerances
) -> tuple[tuple[Gap, ...], tuple[Measurement, ...]]:
    """Return where both sides disagree, and what the balancer measured."""
    if server.problem:
        return (Gap(what=_SIDE, why=server.problem),), ()
    if not server.requests and not server.balancer_5xx:
        return (Gap(what=_SIDE, why=f"it counted no request; clients sent {client.sent}"),), ()
    return tuple(_differences(client, server, tolerances)), tuple(_measurements(server))


def _differences(client: ClientSide, server: ServerSide, tolerances: Tolerances) -> Iterator[Gap]:
    slack = max(tolerances.count_slack, tolerances.count_ratio * client.sent)
    counted = server.requests + server.balancer_5xx
    if counted < client.answered - slack or server.requests > client.sent + client.repeated + slack:
        why = (
            f"it counted {server.requests} requests, and answered {server.balancer_5xx} with 5xx itself; "
            f"clients sent {client.sent} and got {client.answered} answers"
        )
        yield Gap(what=_SIDE, why=why)
    failed = server.target_5xx + server.balancer_5xx
    unseen = client.sent - client.answered + client.status_unknown + client.repeated
    if not client.status_5xx - slack <= failed <= client.status_5xx + unseen + slack:
        why = f"it counted {failed} answers with 5xx, clients {client.status_5xx}"
        yield Gap(what=_SIDE, why=why)
    yield from _latency_differences(client, server, tolerances)


def _latency_differences(client: ClientSide, server: ServerSide, tolerances: Tolerances) -> Iterator[Gap]:
    """Yield where the percentile that clients saw lies outside of what all minutes of the balancer allow."""
    slack_ms = tolerances.latency_slack.total_seconds() * 1000
    for name in (f"p{percent}" for percent in _RECONCILED_PERCENTILES):
        waited, minutes = client.latency_ms.get(name), server.response_time_ms.get(name)
        if waited is None:
            continue
        if not minutes:
            yield Gap(what=_SIDE, why=f"it tells no response time at {name}; clients waited {waited:.1f} ms")
            continue
        allowed = slack_ms + tolerances.latency_ratio * waited
        if not min(minutes) - allowed <= waited <= max(minutes) + allowed:
            why = (
                f"targets answered within {min(minutes):.1f} to {max(minutes):.1f} ms at {name} of a minute; "
                f"clients waited {waited:.1f} ms at {name} of the whole drive, {allowed:.0f} ms apart are allowed"
            )
            yield Gap(what=_SIDE, why=why)


def _measurements(server: ServerSide) -> Iterator[Measurement]:
    for name, value in (
        ("requests", server.requests),
        ("5xx-targets", server.target_5xx),
        ("5xx-balancer", server.balancer_5xx),
    ):
        yield Measurement(name=f"server/{name}", value=value, unit="requests", samples=server.requests)
    for name, minutes in server.response_time_ms.items():
        yield Measurement(
            name=f"server/target-response-time-{name} (worst minute)",
            value=max(minutes),
            unit="ms",
            samples=server.requests,
        )
