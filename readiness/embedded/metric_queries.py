"""MetricDataQueries: what GetMetricData and alarms on expressions are asked for, and its computation.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html

Left out: AccountId of another account (refused), expressions over metrics of different periods (refused), dynamic
labels (given back as they were written).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from readiness.embedded import metric_math
from readiness.embedded.metric_math import Environment, Expression, MetricMathError, Value
from readiness.embedded.metrics import Aggregate, Dimensions, MetricKey, MetricStore, check_statistic
from readiness.embedded.settings import ACCOUNT_ID

_ID = re.compile(r"[a-z][a-zA-Z0-9_]*")


class QueryError(ValueError):
    """A query that can't be answered; the message names which one and why."""


@dataclass(frozen=True, slots=True)
class MetricStat:
    """A statistic of one metric over one period."""

    key: MetricKey
    statistic: str
    period_s: int
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """One query: a metric's statistic or an expression over other queries."""

    id: str
    label: str
    returns_data: bool
    stat: MetricStat | None = None
    expression: Expression | None = None


@dataclass(slots=True)
class Answers:
    """What was computed.

    Attributes:
        values: Result of each query by its id.
        aggregates: The samples behind each metric query, by id and first tick of the period.
    """

    values: dict[str, Value] = field(default_factory=dict)
    aggregates: dict[str, dict[int, Aggregate]] = field(default_factory=dict)


def dimensions_of(raw: Sequence[Mapping[str, str]] | None) -> Dimensions:
    """Return API dimensions in the one order in which they are compared."""
    return tuple(sorted((one["Name"], one["Value"]) for one in raw or ()))


def parse_queries(raw_queries: Sequence[Mapping[str, Any]]) -> list[Query]:
    """Return the queries in an order in which each comes after those that it refers to.

    Raises:
        QueryError: A query is malformed, refers to an id that doesn't exist, or needs what is not done here.
    """
    queries = [_parse_query(raw) for raw in raw_queries]
    by_id: dict[str, Query] = {}
    for query in queries:
        if query.id in by_id:
            raise QueryError(f"two queries have the id {query.id!r}; every id has to be unique")
        by_id[query.id] = query
    ordered: dict[str, Query] = {}
    for query in queries:
        _visit(query, by_id, ordered, path=())
    return list(ordered.values())


def _parse_query(raw: Mapping[str, Any]) -> Query:
    query_id = raw.get("Id", "")
    if not _ID.fullmatch(query_id):
        raise QueryError(f"id {query_id!r} has to start with a lower-case letter, then letters, digits and _")
    if raw.get("AccountId") not in (None, ACCOUNT_ID):
        raise QueryError(f"query {query_id}: metrics of another account are not done by the embedded AWS")
    if ("MetricStat" in raw) == ("Expression" in raw):
        raise QueryError(f"query {query_id} has to have either MetricStat or Expression, and not both")
    returns_data = bool(raw.get("ReturnData", True))
    try:
        if "Expression" in raw:
            expression = metric_math.parse(raw["Expression"])
            return Query(query_id, raw.get("Label", query_id), returns_data, expression=expression)
        stat = _parse_stat(raw["MetricStat"])
    except ValueError as error:
        raise QueryError(f"query {query_id}: {error}") from error
    return Query(query_id, raw.get("Label", stat.key.name), returns_data, stat=stat)


def _parse_stat(raw: Mapping[str, Any]) -> MetricStat:
    check_statistic(raw["Stat"])
    check_period(raw["Period"])
    metric = raw["Metric"]
    key = MetricKey(metric.get("Namespace", ""), metric.get("MetricName", ""), dimensions_of(metric.get("Dimensions")))
    return MetricStat(key, raw["Stat"], int(raw["Period"]), raw.get("Unit"))


def check_period(period_s: int) -> None:
    """Accept the periods that CloudWatch has.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricStat.html

    Raises:
        QueryError: It is none of 1, 5, 10, 20, 30 and the multiples of 60.
    """
    if period_s not in (1, 5, 10, 20, 30) and (period_s < 60 or period_s % 60):
        raise QueryError(f"period {period_s} is not valid: it has to be 1, 5, 10, 20, 30 or a multiple of 60 seconds")


def _visit(query: Query, by_id: Mapping[str, Query], ordered: dict[str, Query], path: tuple[str, ...]) -> None:
    if query.id in ordered:
        return
    if query.id in path:
        raise QueryError(f"expressions refer to each other in a circle: {' -> '.join((*path, query.id))}")
    if query.expression is not None:
        referred = set(query.expression.ids)
        if query.expression.uses_all_metrics:
            referred |= {one.id for one in by_id.values() if one.stat is not None}
        for other in sorted(referred):
            if other not in by_id:
                raise QueryError(f"expression {query.expression.text!r} of {query.id} refers to {other!r}, not a query")
            _visit(by_id[other], by_id, ordered, (*path, query.id))
    ordered[query.id] = query


def metric_ids_behind(query: Query, queries: Sequence[Query]) -> list[str]:
    """Return the ids of the metrics that a query is computed from, itself included."""
    if query.expression is None:
        return [query.id]
    by_id = {one.id: one for one in queries}
    if query.expression.uses_all_metrics:
        return [one.id for one in queries if one.stat is not None]
    behind = [found for one in sorted(query.expression.ids) for found in metric_ids_behind(by_id[one], queries)]
    return list(dict.fromkeys(behind))


def common_period(queries: Sequence[Query]) -> int:
    """Return the one period of all metrics among the queries.

    Raises:
        QueryError: There is no metric, or there are several periods.
    """
    periods = {query.stat.period_s for query in queries if query.stat is not None}
    if not periods:
        raise QueryError("none of the queries is a metric; an expression of numbers alone has no period")
    if len(periods) > 1:
        raise QueryError(
            f"metrics of different periods {sorted(periods)} in one expression are not done; use one period"
        )
    return periods.pop()


def compute(
    store: MetricStore, queries: Sequence[Query], *, start: int, end: int, period: int, period_s: float
) -> Answers:
    """Compute every query over the periods [start, start + period), ... up to end.

    Args:
        store: Where the data are.
        queries: As ``parse_queries`` returns them.
        start: First tick of the first period.
        end: Tick after the last period.
        period: Length of a period in ticks.
        period_s: Length of a period in real seconds (what PERIOD() and RATE() see).
    """
    answers = Answers()
    metrics = [query.id for query in queries if query.stat is not None]
    for query in queries:
        if query.stat is not None:
            aggregates = store.aggregates(query.stat.key, start, end, period, query.stat.unit)
            answers.aggregates[query.id] = aggregates
            statistics = ((tick, one.statistic(query.stat.statistic)) for tick, one in aggregates.items())
            answers.values[query.id] = {tick: value for tick, value in statistics if value is not None}
        elif query.expression is not None:
            environment = Environment(
                series=answers.values,
                metrics=metrics,
                timeline=range(start, end, period),
                period_s=period_s,
                seconds_per_tick=1 / store.time_scale,
            )
            answers.values[query.id] = query.expression.compute(environment)
    return answers


def check_computable(queries: Sequence[Query]) -> None:
    """Try the expressions on no data: what can't be combined, and a number as a result, show without any.

    Raises:
        QueryError: An expression that returns data gives a number instead of a time series, or can't be computed.
    """
    try:
        answers = compute(MetricStore(), queries, start=0, end=0, period=1, period_s=60.0)
    except MetricMathError as error:
        raise QueryError(str(error)) from error
    for query in queries:
        if query.returns_data and isinstance(answers.values[query.id], float) and query.expression is not None:
            raise QueryError(
                f"expression {query.expression.text!r} of {query.id} gives a number; it has to give a time series"
            )
