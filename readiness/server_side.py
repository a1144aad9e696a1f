"""The other side of a load: what the load balancer counted of it, held against what the clients counted.

Both sides see the same requests, each with its own eyes. Where they disagree, one of them is wrong, and neither is
evidence. The window is the whole drive, widened to the whole minutes of the balancer's metrics; nothing else sends
requests through the balancer meanwhile, for drills come later and health checks are not counted. A synthetic probe, if
the plan has one, sends one request each time: nothing is subtracted for it, ``count_slack`` has room for twenty.

The balancer's response time ends with the answer's headers and begins when the request leaves the balancer. Clients
wait for a connection before, and for the body after, so targets may well seem faster than clients found them; slower
they can't be.

Metrics: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from typing import Annotated, Any

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import Field

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
_MARGIN = timedelta(seconds=5)
"""Clocks differ, and a request is counted a moment after its answer came: near the edge of a minute, in the next."""
_NEARLY_ALL = 0.99
_SETTLED_S = 60.0
"""Figures that hold nearly every answer, and stood still for so long, are all that will come."""
_COUNTS = {
    "requests": "RequestCount",
    "target_5xx": "HTTPCode_Target_5XX_Count",
    "balancer_5xx": "HTTPCode_ELB_5XX_Count",
    "unrouted": "HTTPCode_ELB_503_Count",
}
_SIDE = "the load balancer's figures"


@record
class Tolerances:
    """How far both sides may be apart.

    Attributes:
        count_ratio: Between both counts of requests, as a share of those sent.
        count_slack: Requests that are always allowed: a probe's, or those of the last moment.
        error_ratio: Between both counts of 5xx, as a share of the requests sent. Small beside what objectives allow:
            an error that only one side saw must not hide in it.
        error_slack: 5xx that are always allowed.
        latency_ratio: Of the clients' percentile, by which targets may seem slower than clients found them.
        latency_slack: The same, always allowed: percentiles of few requests scatter.
    """

    count_ratio: Ratio = 0.01
    count_slack: Annotated[int, Field(ge=0)] = 20
    error_ratio: Ratio = 0.001
    error_slack: Annotated[int, Field(ge=0)] = 20
    latency_ratio: Ratio = 0.2
    latency_slack: Duration = timedelta(milliseconds=20)


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
        balancer_5xx: Answers of the balancer's own, whether a target was chosen (502, 504) or there was none (503).
        unrouted: Those of them for which there was no target, and which ``requests`` leaves out.
        response_time_ms: Percentile -> one figure of each minute; a percentile over all lies between them.
        problem: Why there are no figures; empty = there are.
        read_at: When they were read.
    """

    start: Instant
    end: Instant
    requests: int = 0
    target_5xx: int = 0
    balancer_5xx: int = 0
    unrouted: int = 0
    response_time_ms: dict[str, tuple[float, ...]]
    problem: str = ""
    read_at: Instant | None = None

    @property
    def counted(self) -> int:
        """How many requests the balancer knows of."""
        return self.requests + self.unrouted


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
    start = _floor(started_at - _MARGIN)
    end = _floor((ended_at or datetime.now(UTC)) + _MARGIN) + timedelta(seconds=_PERIOD_S)
    arn = clone.outputs.get(Output.LOAD_BALANCER_ARN, "")
    _, found, balancer = arn.partition(":loadbalancer/")
    if not found:
        problem = f"stack {clone.stack_name} has no output {Output.LOAD_BALANCER_ARN} that names a load balancer"
        return ServerSide(start=start, end=end, response_time_ms={}, problem=problem)
    try:
        seen = _awaited(
            lambda: _read(clients("cloudwatch"), balancer, start, end), client.answered, within, clock, sleep
        )
    except (ClientError, BotoCoreError) as error:
        seen = ServerSide(start=start, end=end, response_time_ms={}, problem=f"CloudWatch refused them: {error}")
    return replace(seen, read_at=datetime.now(UTC))


def _awaited(
    read: Callable[[], ServerSide],
    answered: int,
    within: timedelta,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> ServerSide:
    """Read until the figures hold every answer and stand still, or nearly every one for long, or the time is up."""
    deadline = clock() + within.total_seconds()
    before, since = None, clock()
    for pause_s in chain(_POLL_S, repeat(_POLL_S[-1])):
        seen = read()
        now = clock()
        if seen != before:
            before, since = seen, now
        elif not seen.problem and (
            seen.counted >= answered or (seen.counted >= _NEARLY_ALL * answered and now - since >= _SETTLED_S)
        ):
            break
        if now >= deadline:
            break
        sleep(pause_s)
    return seen


def _floor(instant: datetime) -> datetime:
    """Return the beginning of the minute."""
    return instant.astimezone(UTC).replace(second=0, microsecond=0)


def _read(cloudwatch: Any, balancer: str, start: datetime, end: datetime) -> ServerSide:
    """Read all figures once. AWS publishes no count of zero, so a complete answer without data is one."""
    values, incomplete = _values(cloudwatch, list(_queries(balancer)), start, end)
    if incomplete:
        problem = f"CloudWatch did not answer completely: {', '.join(incomplete)}"
        return ServerSide(start=start, end=end, response_time_ms={}, problem=problem)
    response_times = {
        f"p{percent}": tuple(round(value * 1000, 3) for value in values[f"p{percent}"]) for percent in _PERCENTILES
    }
    return ServerSide(
        start=start,
        end=end,
        requests=round(sum(values["requests"])),
        target_5xx=round(sum(values["target_5xx"])),
        balancer_5xx=round(sum(values["balancer_5xx"])),
        unrouted=round(sum(values["unrouted"])),
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
) -> tuple[dict[str, list[float]], list[str]]:
    """Return each query's values, oldest first, and which queries were not answered to the end, and why.

    A page may hold a part of a query's values, and say so; its last page has to say that they are complete.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataResult.html
    """
    values: dict[str, list[float]] = {query["Id"]: [] for query in queries}
    status = dict.fromkeys(values, "no answer")
    pages = cloudwatch.get_paginator("get_metric_data").paginate(
        MetricDataQueries=queries, StartTime=start, EndTime=end, ScanBy="TimestampAscending"
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            values[result["Id"]] += result["Values"]
            status[result["Id"]] = result.get("StatusCode", "no status")
    return values, [f"{name} ({said})" for name, said in status.items() if said != "Complete"]


# --- both sides -------------------------------------------------------------------------------------------------------


def reconcile(
    client: ClientSide, server: ServerSide, tolerances: Tolerances
) -> tuple[tuple[Gap, ...], tuple[Measurement, ...]]:
    """Return where both sides disagree, and what the balancer measured."""
    if server.problem:
        return (Gap(what=_SIDE, why=server.problem),), ()
    if not server.counted:
        return (Gap(what=_SIDE, why=f"it counted no request; clients sent {client.sent}"),), ()
    return tuple(_differences(client, server, tolerances)), tuple(_measurements(server))


def _differences(client: ClientSide, server: ServerSide, tolerances: Tolerances) -> Iterator[Gap]:
    slack = max(tolerances.count_slack, tolerances.count_ratio * client.sent)
    if not client.answered - slack <= server.counted <= client.sent + client.repeated + slack:
        why = (
            f"it counted {server.counted} requests, {server.unrouted} of them without a target; clients sent "
            f"{client.sent} and got {client.answered} answers. Somebody else sends requests, or not all went through it"
        )
        yield Gap(what=_SIDE, why=why)
    slack = max(tolerances.error_slack, tolerances.error_ratio * client.sent)
    failed = server.target_5xx + server.balancer_5xx
    unseen = client.sent - client.answered + client.status_unknown + client.repeated
    if not client.status_5xx - slack <= failed <= client.status_5xx + unseen + slack:
        why = (
            f"it counted {failed} answers with 5xx, {server.balancer_5xx} of them its own; clients counted "
            f"{client.status_5xx}, and {unseen} requests may have got one that they did not see"
        )
        yield Gap(what=_SIDE, why=why)
    yield from _latency_differences(client, server, tolerances)


def _latency_differences(client: ClientSide, server: ServerSide, tolerances: Tolerances) -> Iterator[Gap]:
    """Yield where targets took longer, in every minute, than clients say that they waited."""
    slack_ms = tolerances.latency_slack.total_seconds() * 1000
    for name in (f"p{percent}" for percent in _RECONCILED_PERCENTILES):
        waited, minutes = client.latency_ms.get(name), server.response_time_ms.get(name)
        if not minutes:
            if server.requests > server.balancer_5xx - server.unrouted:  # else no target has answered
                yield Gap(what=_SIDE, why=f"it tells no response time at {name} of {server.requests} requests")
            continue
        if waited is None:
            continue
        allowed = slack_ms + tolerances.latency_ratio * waited
        if min(minutes) > waited + allowed:
            why = (
                f"targets took {min(minutes):.1f} to {max(minutes):.1f} ms at {name} of a minute; clients say that "
                f"they waited {waited:.1f} ms at {name} of the whole drive, and {allowed:.1f} ms more are allowed"
            )
            yield Gap(what=_SIDE, why=why)


def _measurements(server: ServerSide) -> Iterator[Measurement]:
    """Yield what the balancer measured; percentiles of minutes can't be merged, so the worst minute's is told."""
    for name, value in (
        ("requests", server.requests),
        ("5xx-target", server.target_5xx),
        ("5xx-balancer", server.balancer_5xx),
    ):
        yield Measurement(name=f"server/{name}", value=value, unit="requests", samples=server.counted)
    for name, minutes in server.response_time_ms.items():
        yield Measurement(
            name=f"server/target-response-time-{name}",
            value=max(minutes),
            unit="ms (worst minute)",
            samples=server.requests,
        )
