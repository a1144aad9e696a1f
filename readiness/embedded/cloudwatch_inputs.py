"""What callers of CloudWatch hand in: checked, refused by name, or turned into what the other parts work with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from readiness.embedded import alarm_actions, composite_rule, metric_queries
from readiness.embedded.alarms import COMPARISONS, EXTRA_PERIODS
from readiness.embedded.metric_math import MetricMathError
from readiness.embedded.metric_queries import Query, QueryError, dimensions_of
from readiness.embedded.metrics import RETENTION_S, Datum, MetricKey, StatisticSet, UnknownStatisticError
from readiness.embedded.moto_adapter import AwsError

_DAY_S = 86_400
_TREATMENTS: Final = ("breaching", "notBreaching", "ignore", "missing")
ALARM_INPUTS_NOT_DONE: Final = (
    "ThresholdMetricId",
    "EvaluationWindow",
    "WarmUpConfiguration",
    "EvaluationCriteria",
    "EvaluationInterval",
    "ActionConfiguration",
    "ActionsSuppressor",
    "ActionsSuppressorWaitPeriod",
    "ActionsSuppressorExtensionPeriod",
)
ACTION_KEYS: Final = ("OKActions", "AlarmActions", "InsufficientDataActions")


class Validated:
    """Turns what the pure parts refuse into the ValidationError of the API."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        refused = (QueryError, MetricMathError, UnknownStatisticError, composite_rule.AlarmRuleError)
        if isinstance(error, refused):
            raise AwsError("ValidationError", str(error)) from error


def refuse(params: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse parameters that would change behaviour and are not done here, by name."""
    for name in names:
        if params.get(name) is not None:
            raise AwsError("NotImplemented", f"this parameter is not done by the embedded AWS: {name}")


def time_range(params: Mapping[str, Any]) -> tuple[float, float]:
    """Return StartTime and EndTime as epoch seconds."""
    start, end = params["StartTime"].timestamp(), params["EndTime"].timestamp()
    if start >= end:
        raise AwsError("ValidationError", "The parameter StartTime must be less than the parameter EndTime.")
    return start, end


def datum_of(namespace: str, raw: Mapping[str, Any], now: float) -> Datum:
    """Return one MetricDatum of PutMetricData.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
    """
    name = raw["MetricName"]
    at = raw["Timestamp"].timestamp() if raw.get("Timestamp") else now
    if not now - 14 * _DAY_S <= at <= now + 2 * 3600:
        raise AwsError(
            "InvalidParameterValue", f"{name}: the time stamp must be at most two weeks old and two hours in the future"
        )
    values, counts, summary = _values(raw)
    if not all(math.isfinite(number) for number in (*values, *counts)):
        raise AwsError("InvalidParameterValue", f"{name}: NaN and infinity are not allowed as a value")
    return Datum(
        namespace=namespace,
        name=name,
        dimensions=dimensions_of(raw.get("Dimensions")),
        timestamp=at,
        unit=raw.get("Unit") or "None",
        values=values,
        counts=counts,
        statistic_set=summary,
    )


def _values(raw: Mapping[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...], StatisticSet | None]:
    name = raw["MetricName"]
    given = [key for key in ("Value", "Values", "StatisticValues") if raw.get(key) is not None]
    if len(given) != 1:
        raise AwsError(
            "InvalidParameterCombination",
            f"{name}: exactly one of Value, Values and StatisticValues has to be given, not {given or 'none'}",
        )
    if given == ["Value"]:
        return (float(raw["Value"]),), (1.0,), None
    if given == ["Values"]:
        values = tuple(float(value) for value in raw["Values"])
        counts = tuple(float(count) for count in raw.get("Counts") or [1.0] * len(values))
        if not values or len(values) > 150 or len(values) != len(counts):
            raise AwsError("InvalidParameterValue", f"{name}: 1 to 150 Values, and as many Counts, are allowed")
        return values, counts, None
    summary = raw["StatisticValues"]
    return (
        (),
        (),
        StatisticSet(
            sample_count=float(summary["SampleCount"]),
            total=float(summary["Sum"]),
            minimum=float(summary["Minimum"]),
            maximum=float(summary["Maximum"]),
        ),
    )


def has_dimensions(key: MetricKey, filters: Sequence[Mapping[str, str]]) -> bool:
    """Return whether a metric has the dimensions that ListMetrics filters by; a filter without value takes any."""
    dimensions = dict(key.dimensions)
    return all(one["Name"] in dimensions and one.get("Value") in (None, dimensions[one["Name"]]) for one in filters)


def only_needed(query: Query, queries: Sequence[Query]) -> list[Query]:
    """Keep what this query is computed from, so that another one's mistake can't spoil its answer."""
    by_id = {one.id: one for one in queries}
    needed: set[str] = set()

    def need(one: Query) -> None:
        needed.add(one.id)
        if one.expression is not None:
            for other in one.expression.ids:
                need(by_id[other])
            if one.expression.uses_all_metrics:
                needed.update(other.id for other in queries if other.stat is not None)

    need(query)
    return [one for one in queries if one.id in needed]


def watched_queries(params: Mapping[str, Any]) -> tuple[list[Query], str]:
    """Return the queries of an alarm, and the id of the one that is compared with the threshold.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html: "One item in the Metrics
    array is the expression that the alarm watches. You designate this expression by setting ReturnData to true".
    """
    if "Metrics" in params:
        if mixed := [name for name in ("MetricName", "Namespace", "Period", "Statistic") if params.get(name)]:
            raise AwsError("InvalidParameterCombination", f"Metrics can't be combined with {', '.join(mixed)}")
        queries = metric_queries.parse_queries(params["Metrics"])
        watched = [query for query in queries if query.returns_data]
        if len(watched) != 1:
            raise QueryError(f"exactly one of Metrics has to have ReturnData true, not {len(watched)}")
        metric_queries.check_computable(queries)
        return queries, watched[0].id
    missing = [name for name in ("MetricName", "Namespace", "Period") if not params.get(name)]
    statistic = params.get("ExtendedStatistic") or params.get("Statistic")
    if missing or not statistic:
        raise AwsError("MissingParameter", f"an alarm on one metric needs {', '.join([*missing, 'Statistic'])}")
    raw = {
        "Id": "m1",
        "MetricStat": {
            "Metric": {key: params[key] for key in ("Namespace", "MetricName", "Dimensions") if key in params},
            "Period": params["Period"],
            "Stat": statistic,
            **({"Unit": params["Unit"]} if params.get("Unit") else {}),
        },
    }
    return metric_queries.parse_queries([raw]), "m1"


def check_alarm(params: Mapping[str, Any], queries: Sequence[Query], time_scale: float) -> None:
    """Check what doesn't depend on the kind of metric alarm."""
    period_s, periods = metric_queries.common_period(queries), int(params["EvaluationPeriods"])
    if period_s not in (10, 20, 30) and period_s % 60:
        raise QueryError(f"period {period_s} of an alarm has to be 10, 20, 30 or a multiple of 60 seconds")
    longest = 7 * _DAY_S if period_s >= 3600 else _DAY_S
    if period_s * periods > longest:
        raise QueryError(f"EvaluationPeriods * Period is {period_s * periods} s; at most {longest} s are allowed")
    if (periods + EXTRA_PERIODS) * period_s / time_scale > RETENTION_S:
        raise AwsError(
            "NotImplemented",
            f"an alarm over {periods} * {period_s} s is not done by the embedded AWS: data are kept for 3 hours",
        )
    to_alarm = params.get("DatapointsToAlarm")
    if periods < 1 or (to_alarm is not None and not 1 <= int(to_alarm) <= periods):
        raise QueryError(f"DatapointsToAlarm ({to_alarm}) has to be between 1 and EvaluationPeriods ({periods})")
    if params["ComparisonOperator"] not in COMPARISONS:
        raise AwsError(
            "NotImplemented",
            f"this comparison operator is not done by the embedded AWS: {params['ComparisonOperator']}",
        )
    if params.get("Threshold") is None:
        raise AwsError("MissingParameter", "Threshold has to be given")
    if params.get("TreatMissingData") not in (None, *_TREATMENTS):
        raise QueryError(f"TreatMissingData {params['TreatMissingData']!r} has to be one of {', '.join(_TREATMENTS)}")
    if params.get("EvaluateLowSampleCountPercentile") not in (None, "", "evaluate", "ignore"):
        raise QueryError("EvaluateLowSampleCountPercentile has to be evaluate or ignore")


def check_actions(params: Mapping[str, Any]) -> None:
    """Refuse alarm actions that could not be run when the alarm changes state."""
    for key in ACTION_KEYS:
        for arn in params.get(key) or ():
            if not alarm_actions.is_supported(arn):
                raise AwsError("NotImplemented", f"this alarm action is not done by the embedded AWS: {arn} ({key})")


def configuration_of(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an alarm keeps of the parameters that it was put with."""
    defaults = {"ActionsEnabled": True, "OKActions": [], "AlarmActions": [], "InsufficientDataActions": []}
    given = {key: value for key, value in params.items() if key not in ("Tags", "AlarmName") and value is not None}
    return defaults | given
