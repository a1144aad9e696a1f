"""CloudWatch of the embedded AWS: the API actions over the metric store and the alarms.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/Welcome.html

It replaces moto's CloudWatch wholly: what isn't here is refused by name. Left out: anomaly detectors, insight rules,
metric streams, mute rules, log and PromQL alarms, Metrics Insights, metric widget images, other accounts' metrics,
dynamic labels. GetMetricData answers in one page (of at most 100,800 values) and, like GetMetricStatistics, in real
time: only the periods of alarms are shortened by the time scale.

Thresholds on sums are compared with what a *scaled* period holds: "more than 60 errors in 60 s" is "in 3 s" at a time
scale of 20. Ratios, averages, percentiles and anything divided by PERIOD() keep their meaning.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from readiness.embedded import composite_rule, metric_queries
from readiness.embedded.alarm_actions import AlarmActions, Refusal
from readiness.embedded.alarms import (
    Alarm,
    AlarmBook,
    AlarmEvaluator,
    HistoryItem,
    Transition,
    pages,
    timestamp_text,
)
from readiness.embedded.cloudwatch_inputs import (
    ACTION_KEYS,
    ALARM_INPUTS_NOT_DONE,
    Validated,
    check_actions,
    check_alarm,
    configuration_of,
    datum_of,
    has_dimensions,
    only_needed,
    refuse,
    time_range,
    watched_queries,
)
from readiness.embedded.metric_math import Value
from readiness.embedded.metric_queries import Query, dimensions_of
from readiness.embedded.metrics import (
    Datum,
    MetricKey,
    MetricStore,
    StatisticSet,
    check_statistic,
)
from readiness.embedded.moto_adapter import Action, AwsError
from readiness.embedded.service_permissions import alarm_refusal
from readiness.embedded.settings import ACCOUNT_ID, EmbeddedSettings

__all__ = ["CloudWatch", "Datum", "StatisticSet"]

_MAX_DATAPOINTS = 100_800
_MAX_STATISTICS_DATAPOINTS = 1_440
_DASHBOARD_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,255}")
_HISTORY_NAMES: Final = {"AlarmName": "alarmName", "OKActions": "okactions"}


@dataclass(frozen=True, slots=True)
class _Dashboard:
    name: str
    body: str
    modified_at: float

    @property
    def arn(self) -> str:
        return f"arn:aws:cloudwatch::{ACCOUNT_ID}:dashboard/{self.name}"


class CloudWatch:
    """Metrics, alarms and dashboards.

    Args:
        settings: Region and time scale.
        clients: Gives the boto3 client of a service, for alarm actions.
        clock: Returns epoch seconds; tests inject one.
        refusal: Tells why CloudWatch may not run an alarm's action.
    """

    def __init__(
        self,
        settings: EmbeddedSettings,
        clients: Callable[[str], Any],
        clock: Callable[[], float] = time.time,
        refusal: Refusal = alarm_refusal,
    ) -> None:
        self._region = settings.region
        self._clock = clock
        self.store = MetricStore(settings.time_scale, clock)
        self._alarm_actions = AlarmActions(clients, settings.region, refusal)
        self.book = AlarmBook(act=self._enqueue_actions, clock=clock)
        self.evaluator = AlarmEvaluator(self.book, self.store)
        self._tags: dict[str, dict[str, str]] = {}
        self._dashboards: dict[str, _Dashboard] = {}
        self.actions: Mapping[str, Mapping[str, Action]] = {"cloudwatch": self._api()}

    def start(self) -> None:
        """Start evaluating alarms and running their actions."""
        self._alarm_actions.start()
        self.evaluator.start()

    def stop(self) -> None:
        """Stop both threads."""
        self.evaluator.stop()
        self._alarm_actions.stop()

    def put(self, data: Iterable[Datum]) -> None:
        """Store data of an AWS service (the balancer's, ECS's); customers' data come through PutMetricData."""
        self.store.put(data)

    def alarm_state(self, name: str) -> str:
        """Return an alarm's state.

        Raises:
            AwsError: ResourceNotFound; there is no alarm of that name.
        """
        with self.book.lock:
            return self._alarm(composite_rule.name_of(name)).state

    def tags(self) -> dict[str, dict[str, str]]:
        """Return the tags of every tagged resource by its ARN."""
        with self.book.lock:
            return {arn: dict(tags) for arn, tags in self._tags.items()}

    def run_waiting_actions(self) -> None:
        """Run alarm actions that wait, in the caller's thread (for tests without threads)."""
        self._alarm_actions.run_waiting()

    def _enqueue_actions(self, transition: Transition) -> None:
        self._alarm_actions.enqueue(self.book, transition)

    def _api(self) -> dict[str, Action]:
        return {
            "PutMetricData": self._put_metric_data,
            "GetMetricData": self._get_metric_data,
            "GetMetricStatistics": self._get_metric_statistics,
            "ListMetrics": self._list_metrics,
            "PutMetricAlarm": self._put_metric_alarm,
            "PutCompositeAlarm": self._put_composite_alarm,
            "DescribeAlarms": self._describe_alarms,
            "DescribeAlarmsForMetric": self._describe_alarms_for_metric,
            "DescribeAlarmHistory": self._describe_alarm_history,
            "DeleteAlarms": self._delete_alarms,
            # No rule can be made here (PutAlarmMuteRule is refused), so there is none to list.
            "ListAlarmMuteRules": lambda params: {"AlarmMuteRuleSummaries": []},
            "SetAlarmState": self._set_alarm_state,
            "EnableAlarmActions": lambda params: self._enable_actions(params, enabled=True),
            "DisableAlarmActions": lambda params: self._enable_actions(params, enabled=False),
            "PutDashboard": self._put_dashboard,
            "GetDashboard": self._get_dashboard,
            "ListDashboards": self._list_dashboards,
            "DeleteDashboards": self._delete_dashboards,
            "TagResource": self._tag_resource,
            "UntagResource": self._untag_resource,
            "ListTagsForResource": self._list_tags,
        }

    # Metrics

    def _put_metric_data(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html."""
        namespace = params["Namespace"]
        if namespace.startswith("AWS/"):
            raise AwsError("InvalidParameterValue", f"The value {namespace} for parameter Namespace is invalid.")
        refuse(params, ("EntityMetricData",))
        self.store.put([datum_of(namespace, raw, self._clock()) for raw in params.get("MetricData", ())])
        return {}

    def _get_metric_data(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html."""
        start, end = time_range(params)
        with Validated():
            queries = metric_queries.parse_queries(params["MetricDataQueries"])
            metric_queries.check_computable(queries)
            results: list[dict[str, Any]] = []
            for query in queries:
                if query.returns_data:
                    results += self._results(query, queries, start, end)
        if sum(len(result["Values"]) for result in results) > _MAX_DATAPOINTS:
            raise AwsError(
                "ValidationError", f"more than {_MAX_DATAPOINTS} values; ask for a shorter time or longer period"
            )
        if params.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            for result in results:
                result["Timestamps"].reverse()
                result["Values"].reverse()
        order = [raw["Id"] for raw in params["MetricDataQueries"]]
        return {"MetricDataResults": sorted(results, key=lambda one: order.index(one["Id"])), "Messages": []}

    def _results(self, query: Query, queries: Sequence[Query], start: float, end: float) -> list[dict[str, Any]]:
        """Compute one query with those that it needs, over real time."""
        behind = metric_queries.metric_ids_behind(query, queries)
        needed = [one for one in queries if one.id in behind or one.expression is not None]
        period_s = metric_queries.common_period([one for one in needed if one.stat is not None])
        first, last, period = self._grid(start, end, period_s)
        answers = metric_queries.compute(
            self.store,
            only_needed(query, needed),
            start=first,
            end=last,
            period=period,
            period_s=period_s,
        )
        value = answers.values[query.id]
        many = value if isinstance(value, list) else [value]
        return [self._result(query, one) for one in many]

    def _result(self, query: Query, value: Value) -> dict[str, Any]:
        points = sorted(value.items()) if isinstance(value, dict) else []
        return {
            "Id": query.id,
            "Label": query.label,
            "Timestamps": [_instant(self.store.instant_of(tick)) for tick, _ in points],
            "Values": [number for _, number in points],
            "StatusCode": "Complete",
        }

    def _grid(self, start: float, end: float, period_s: int) -> tuple[int, int, int]:
        """Return first tick, end tick and ticks per period: periods are aligned to multiples of their length."""
        period = max(1, round(period_s * self.store.time_scale))
        first = self.store.tick_of(start) // period * period
        return first, max(first, math.ceil(end * self.store.time_scale - 1e-6)), period

    def _get_metric_statistics(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html."""
        simple, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
        if not simple and not extended:
            raise AwsError("MissingParameter", "Either Statistics or ExtendedStatistics has to be given")
        start, end = time_range(params)
        with Validated():
            for statistic in (*simple, *extended):
                check_statistic(statistic)
            metric_queries.check_period(int(params["Period"]))
        if (end - start) / int(params["Period"]) > _MAX_STATISTICS_DATAPOINTS:
            raise AwsError(
                "InvalidParameterCombination",
                f"more than {_MAX_STATISTICS_DATAPOINTS} datapoints; take a longer period or a shorter time",
            )
        key = MetricKey(params["Namespace"], params["MetricName"], dimensions_of(params.get("Dimensions")))
        first, last, period = self._grid(start, end, int(params["Period"]))
        datapoints: list[dict[str, Any]] = []
        for tick, aggregate in sorted(self.store.aggregates(key, first, last, period, params.get("Unit")).items()):
            point: dict[str, Any] = {"Timestamp": _instant(self.store.instant_of(tick)), "Unit": aggregate.unit}
            point |= {name: aggregate.statistic(name) for name in simple}
            percentiles = {name: value for name in extended if (value := aggregate.statistic(name)) is not None}
            datapoints.append(point | ({"ExtendedStatistics": percentiles} if percentiles else {}))
        return {"Label": params["MetricName"], "Datapoints": datapoints}

    def _list_metrics(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html."""
        if params.get("IncludeLinkedAccounts") or params.get("OwningAccount") not in (None, ACCOUNT_ID):
            raise AwsError("NotImplemented", "metrics of other accounts are not done by the embedded AWS: ListMetrics")
        found = [
            {
                "Namespace": key.namespace,
                "MetricName": key.name,
                "Dimensions": [{"Name": name, "Value": value} for name, value in key.dimensions],
            }
            for key in self.store.metrics()
            if params.get("Namespace") in (None, key.namespace)
            and params.get("MetricName") in (None, key.name)
            and has_dimensions(key, params.get("Dimensions") or ())
        ]
        return _page("Metrics", found, 500, params.get("NextToken"))

    # Alarms

    def _put_metric_alarm(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html."""
        refuse(params, ALARM_INPUTS_NOT_DONE)
        check_actions(params)
        with Validated():
            queries, watched = watched_queries(params)
            check_alarm(params, queries, self.store.time_scale)
        self._put_alarm(
            Alarm(
                name=params["AlarmName"],
                arn=self._alarm_arn(params["AlarmName"]),
                kind="MetricAlarm",
                configuration=configuration_of(params),
                configured_at=self._clock(),
                queries=tuple(queries),
                watched=watched,
                updated_at=self._clock(),
            ),
            params.get("Tags"),
        )
        return {}

    def _put_composite_alarm(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html."""
        refuse(params, ALARM_INPUTS_NOT_DONE)
        check_actions(params)
        with Validated():
            rule = composite_rule.parse(params["AlarmRule"])
        with self.book.lock:
            unknown = [
                child for child in rule.children if child not in self.book.alarms and child != params["AlarmName"]
            ]
            if unknown:
                raise AwsError(
                    "ValidationError",
                    f"Could not save the composite alarm: alarms [{', '.join(unknown)}] in the alarm rule do not exist",
                )
            alarm = Alarm(
                name=params["AlarmName"],
                arn=self._alarm_arn(params["AlarmName"]),
                kind="CompositeAlarm",
                configuration=configuration_of(params),
                configured_at=self._clock(),
                rule=rule,
                updated_at=self._clock(),
            )
            self._put_alarm(alarm, params.get("Tags"))
            self.book.evaluate_composite(alarm)
        return {}

    def _put_alarm(self, alarm: Alarm, tags: Sequence[Mapping[str, str]] | None) -> None:
        """Create an alarm, or overwrite the configuration of the one that has its name and leave its state."""
        with self.book.lock:
            before = self.book.alarms.get(alarm.name)
            if before is not None and before.kind != alarm.kind:
                raise AwsError("ValidationError", f"{alarm.name} is a {before.kind}; it can't become a {alarm.kind}")
            self.book.alarms[alarm.name] = alarm
            if before is None:
                if tags:
                    self._tags[alarm.arn] = {one["Key"]: one["Value"] for one in tags}
                data: dict[str, Any] = {"type": "Create", "createdAlarm": _history_configuration(alarm)}
                self.book.record(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" created', data)
                return
            alarm.state, alarm.reason = before.state, before.reason
            alarm.reason_data, alarm.updated_at = before.reason_data, before.updated_at
            old, new = _history_configuration(before), _history_configuration(alarm)
            changed = {name: value for name, value in old.items() if new.get(name) != value}
            data = {"type": "Update", "updatedAlarm": new, "originalUpdatedFields": changed}
            self.book.record(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" updated', data)

    def _delete_alarms(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DeleteAlarms.html.

        At most one composite alarm in one call; names that don't exist are passed over; an alarm on which a composite
        alarm depends can't be deleted.
        """
        with self.book.lock:
            doomed = [alarm for name in params["AlarmNames"] if (alarm := self.book.alarms.get(name)) is not None]
            if len(doomed) > 100 or sum(alarm.kind == "CompositeAlarm" for alarm in doomed) > 1:
                raise AwsError("ValidationError", "At most 100 alarms can be deleted at once, and one composite alarm")
            for alarm in doomed:
                if parents := [name for name in self.book.parents_of(alarm.name) if name not in params["AlarmNames"]]:
                    told = f"there are composite alarm(s) depending on it: {', '.join(parents)}"
                    raise AwsError("ValidationError", f"Cannot delete {alarm.name} as {told}")
            for alarm in doomed:
                del self.book.alarms[alarm.name]
                self._tags.pop(alarm.arn, None)
                data = {"type": "Delete", "deletedAlarm": _history_configuration(alarm)}
                self.book.record(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" deleted', data)
        return {}

    def _describe_alarms(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarms.html.

        Without AlarmTypes "only metric alarms are returned, even if composite alarms exist in the account".
        """
        kinds = params.get("AlarmTypes") or ["MetricAlarm"]
        with self.book.lock:
            found = sorted((one for one in self.book.alarms.values() if self._is_wanted(one, params)), key=_by_name)
            if not params.get("ChildrenOfAlarmName") and not params.get("ParentsOfAlarmName"):
                found = [alarm for alarm in found if alarm.kind in kinds]
            page = _page("Alarms", found, int(params.get("MaxRecords") or 50), params.get("NextToken"))
            response: dict[str, Any] = {
                "MetricAlarms": [_described(one) for one in page["Alarms"] if one.kind == "MetricAlarm"],
                "CompositeAlarms": [_described(one) for one in page["Alarms"] if one.kind == "CompositeAlarm"],
            }
        return response | ({"NextToken": page["NextToken"]} if "NextToken" in page else {})

    def _is_wanted(self, alarm: Alarm, params: Mapping[str, Any]) -> bool:
        if parent := params.get("ChildrenOfAlarmName"):
            rule = self._alarm(parent).rule
            return rule is not None and alarm.name in rule.children
        if child := params.get("ParentsOfAlarmName"):
            return alarm.rule is not None and child in alarm.rule.children
        every_action = [arn for key in ACTION_KEYS for arn in alarm.configuration.get(key, ())]
        prefix = params.get("ActionPrefix")
        return (
            (not params.get("AlarmNames") or alarm.name in params["AlarmNames"])
            and alarm.name.startswith(params.get("AlarmNamePrefix") or "")
            and params.get("StateValue") in (None, alarm.state)
            and (not prefix or any(arn.startswith(prefix) for arn in every_action))
        )

    def _describe_alarms_for_metric(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmsForMetric.html."""
        key = MetricKey(params["Namespace"], params["MetricName"], dimensions_of(params.get("Dimensions")))
        statistic = params.get("ExtendedStatistic") or params.get("Statistic")
        with self.book.lock:
            return {
                "MetricAlarms": [
                    _described(alarm)
                    for alarm in sorted(self.book.alarms.values(), key=_by_name)
                    if alarm.kind == "MetricAlarm"
                    and "Metrics" not in alarm.configuration
                    and alarm.queries[0].stat is not None
                    and alarm.queries[0].stat.key == key
                    and statistic in (None, alarm.statistic)
                    and params.get("Period") in (None, alarm.period_s)
                    and params.get("Unit") in (None, alarm.configuration.get("Unit"))
                ]
            }

    def _describe_alarm_history(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DescribeAlarmHistory.html.

        Kept after an alarm's deletion. Without AlarmTypes only of metric alarms, newest first.
        """
        kinds = params.get("AlarmTypes") or ["MetricAlarm"]
        start, end = params.get("StartDate"), params.get("EndDate")
        with self.book.lock:
            found = [
                item
                for item in self.book.history
                if params.get("AlarmName") in (None, item.alarm)
                and item.kind in kinds
                and params.get("HistoryItemType") in (None, item.type)
                and (start is None or item.at >= start.timestamp())
                and (end is None or item.at <= end.timestamp())
            ]
        if params.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            found.reverse()
        described = [_described_history(item) for item in found]
        return _page("AlarmHistoryItems", described, int(params.get("MaxRecords") or 50), params.get("NextToken"))

    def _set_alarm_state(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_SetAlarmState.html.

        The state's actions run if it differs from the one before; a metric alarm returns to its actual state at its
        next evaluation, a composite alarm once a child changes.
        """
        data = params.get("StateReasonData", "")
        with self.book.lock:
            alarm = self._alarm(params["AlarmName"])
            self.book.set_state(alarm, params["StateValue"], params["StateReason"], data)
        return {}

    def _enable_actions(self, params: dict[str, Any], *, enabled: bool) -> Mapping[str, Any]:
        with self.book.lock:
            for name in params["AlarmNames"]:
                if name in self.book.alarms:
                    self.book.alarms[name].configuration["ActionsEnabled"] = enabled
        return {}

    def _alarm(self, name: str) -> Alarm:
        alarm = self.book.alarms.get(name)
        if alarm is None:
            raise AwsError("ResourceNotFound", f"Unknown alarm {name}: no alarm of this name exists", 404)
        return alarm

    def _alarm_arn(self, name: str) -> str:
        return f"arn:aws:cloudwatch:{self._region}:{ACCOUNT_ID}:alarm:{name}"

    # Dashboards

    def _put_dashboard(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutDashboard.html."""
        name, body = params["DashboardName"], params["DashboardBody"]
        if not _DASHBOARD_NAME.fullmatch(name):
            raise AwsError("InvalidParameterInput", f"dashboard name {name!r}: letters, digits, - and _ are allowed")
        try:
            document = json.loads(body)
        except json.JSONDecodeError as error:
            raise AwsError("InvalidParameterInput", f"the body of dashboard {name} is not JSON: {error}") from error
        if not isinstance(document, dict) or not isinstance(document.get("widgets"), list):
            raise AwsError("InvalidParameterInput", f"the body of dashboard {name} has no list of widgets")
        with self.book.lock:
            self._dashboards[name] = _Dashboard(name, body, self._clock())
        return {"DashboardValidationMessages": []}

    def _get_dashboard(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self.book.lock:
            dashboard = self._dashboards.get(params["DashboardName"])
        if dashboard is None:
            raise AwsError("ResourceNotFound", f"Dashboard {params['DashboardName']} does not exist", 404)
        return {"DashboardArn": dashboard.arn, "DashboardBody": dashboard.body, "DashboardName": dashboard.name}

    def _list_dashboards(self, params: dict[str, Any]) -> Mapping[str, Any]:
        prefix = params.get("DashboardNamePrefix") or ""
        with self.book.lock:
            entries = [
                {
                    "DashboardName": one.name,
                    "DashboardArn": one.arn,
                    "LastModified": _instant(one.modified_at),
                    "Size": len(one.body),
                }
                for one in sorted(self._dashboards.values(), key=lambda one: one.name)
                if one.name.startswith(prefix)
            ]
        return _page("DashboardEntries", entries, 1000, params.get("NextToken"))

    def _delete_dashboards(self, params: dict[str, Any]) -> Mapping[str, Any]:
        """https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_DeleteDashboards.html (all or none)."""
        with self.book.lock:
            if unknown := [name for name in params["DashboardNames"] if name not in self._dashboards]:
                raise AwsError(
                    "ResourceNotFound", f"Dashboard {', '.join(unknown)} does not exist; none was deleted", 404
                )
            for name in params["DashboardNames"]:
                del self._dashboards[name]
        return {}

    # Tags

    def _tag_resource(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self.book.lock:
            self._tagged(params["ResourceARN"]).update({one["Key"]: one["Value"] for one in params["Tags"]})
        return {}

    def _untag_resource(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self.book.lock:
            tags = self._tagged(params["ResourceARN"])
            for key in params["TagKeys"]:
                tags.pop(key, None)
        return {}

    def _list_tags(self, params: dict[str, Any]) -> Mapping[str, Any]:
        with self.book.lock:
            tags = self._tagged(params["ResourceARN"])
            return {"Tags": [{"Key": key, "Value": value} for key, value in sorted(tags.items())]}

    def _tagged(self, arn: str) -> dict[str, str]:
        if not any(alarm.arn == arn for alarm in self.book.alarms.values()):
            raise AwsError("ResourceNotFoundException", f"Unknown resource {arn}: no alarm has this ARN", 404)
        return self._tags.setdefault(arn, {})


def _instant(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)


def _by_name(alarm: Alarm) -> str:
    return alarm.name


def _page(key: str, items: Sequence[Any], size: int, token: str | None) -> dict[str, Any]:
    try:
        page, following = pages(items, size, token)
    except ValueError as error:
        raise AwsError("InvalidNextToken", str(error)) from error
    return {key: page} | ({"NextToken": following} if following else {})


def _described(alarm: Alarm) -> dict[str, Any]:
    described = dict(alarm.configuration)
    if alarm.kind == "MetricAlarm" and "Metrics" not in described:
        described.setdefault("Dimensions", [])
    described |= {
        "AlarmName": alarm.name,
        "AlarmArn": alarm.arn,
        "AlarmConfigurationUpdatedTimestamp": _instant(alarm.configured_at),
        "StateValue": alarm.state,
        "StateReason": alarm.reason,
        "StateUpdatedTimestamp": _instant(alarm.updated_at),
        "StateTransitionedTimestamp": _instant(alarm.updated_at),
    }
    return described | ({"StateReasonData": alarm.reason_data} if alarm.reason_data else {})


def _history_configuration(alarm: Alarm) -> dict[str, Any]:
    """Return the configuration as the history has it: names that start lower-case, time stamps as text."""
    described = {key: value for key, value in _described(alarm).items() if key != "StateTransitionedTimestamp"}
    described["AlarmConfigurationUpdatedTimestamp"] = timestamp_text(alarm.configured_at)
    described["StateUpdatedTimestamp"] = timestamp_text(alarm.updated_at)
    return {_HISTORY_NAMES.get(key, key[:1].lower() + key[1:]): value for key, value in described.items()}


def _described_history(item: HistoryItem) -> dict[str, Any]:
    return {
        "AlarmName": item.alarm,
        "AlarmType": item.kind,
        "Timestamp": _instant(item.at),
        "HistoryItemType": item.type,
        "HistorySummary": item.summary,
        "HistoryData": item.data,
    }
