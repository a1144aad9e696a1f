"""Alarms: the documented rules of evaluation, as pure functions, and the thread that applies them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

Where the documentation leaves a choice:

* *Open periods.* "At the end of minute 5 the alarm evaluates based on data from minutes 1 to 5", so only closed
  minutes count: an alarm's newest period ends at the last full minute (for periods below a minute, at the last full
  ten seconds), and with periods over a minute the window slides by a minute. A datum of the minute that is still open
  is not looked at. Minutes and tens of seconds are divided by the time scale.
* *How often.* AWS evaluates every minute (every 10 s for periods below a minute). Here every scaled 10 s, each time
  over the same closed minutes: data that arrive late in a minute's first evaluation are seen by the next.
* *Evaluation range.* AWS retrieves "a higher number of data points than Evaluation Periods" without saying how many;
  its example has 5 for 3. Here it is Evaluation Periods + 2.
* *A breaching point that is too young* (``- - - - X``, three of three): the current page says only that it is not
  ALARM; its previous edition has INSUFFICIENT_DATA for ``missing`` and the current state for ``ignore``: so it is here.
* *Percentiles with few samples*: the samples of the Evaluation Periods are counted together. No sample at all is
  missing data, not few samples.

Left out: anomaly detection bands, Metrics Insights, PromQL and log alarms, alarm contributors, mute rules, warm-up,
evaluation windows, action suppressors; alarms whose range is longer than the three hours that data are kept (all
refused by name where an alarm asks for them).
"""

from __future__ import annotations

import json
import math
import operator
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from readiness.embedded import metric_queries
from readiness.embedded.composite_rule import AlarmRule
from readiness.embedded.metric_queries import Query
from readiness.embedded.metrics import Aggregate, MetricStore, percentile_of

INITIAL_REASON: Final = "Unchecked: Initial alarm creation"
EXTRA_PERIODS: Final = 2
"""How many periods more than Evaluation Periods the evaluation range has."""

_MAX_HISTORY_ITEMS = 20_000
_EVALUATION_INTERVAL_S = 10.0
_SHORTEST_INTERVAL_S = 0.05

_OPERATORS: Final[Mapping[str, tuple[Callable[[float, float], bool], str]]] = {
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
COMPARISONS: Final = tuple(_OPERATORS)
"""The comparison operators that are done."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What the points of an evaluation range come to.

    Attributes:
        state: The new state, or None to keep the current one.
        evaluated: Positions in the range of the real points that were used, oldest first.
        filled: How many missing points stood in for real ones.
    """

    state: str | None
    evaluated: tuple[int, ...] = ()
    filled: int = 0


def is_breaching(comparison: str, value: float, threshold: float) -> bool:
    """Return whether a value violates the threshold.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html: the statistic is the first
    operand.
    """
    return _OPERATORS[comparison][0](value, threshold)


def decide(points: Sequence[bool | None], periods: int, to_alarm: int, treat_missing: str) -> Decision:
    """Apply "How alarm state is evaluated when data is missing" to one evaluation range.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html

    Args:
        points: The evaluation range, oldest first: breaching, not breaching, or None where data are missing.
        periods: Evaluation Periods (N).
        to_alarm: Datapoints to Alarm (M).
        treat_missing: missing, ignore, breaching or notBreaching.
    """
    real = [position for position, point in enumerate(points) if point is not None]
    evaluated = tuple(real[-periods:])
    breaching = sum(points[position] is True for position in evaluated)
    filled = periods - len(evaluated)
    if filled <= 0:
        return Decision("ALARM" if breaching >= to_alarm else "OK", evaluated)
    if treat_missing == "breaching":
        return Decision("ALARM" if breaching + filled >= to_alarm else "OK", evaluated, filled)
    if treat_missing == "notBreaching" or breaching >= to_alarm:
        return Decision("ALARM" if breaching >= to_alarm else "OK", evaluated, filled)
    if breaching < len(evaluated):
        return Decision("OK", evaluated, filled)
    if treat_missing == "ignore":
        return Decision(None, evaluated, filled)
    return Decision("ALARM" if _is_old_enough(points, to_alarm) else "INSUFFICIENT_DATA", evaluated, filled)


def _is_old_enough(points: Sequence[bool | None], to_alarm: int) -> bool:
    """Return whether the oldest breaching point ends the wait of "Avoiding premature transitions to alarm state".

    "Alarms are designed to always go into ALARM state when the oldest available breaching datapoint [...] is at least
    as old as the value of Datapoints to Alarm, and all other more recent data points are breaching or missing."
    """
    breaching = [position for position, point in enumerate(points) if point is True]
    return bool(breaching) and len(points) - breaching[0] >= to_alarm


def samples_needed(percentile: float) -> float:
    """Return below how many samples a percentile counts as one of few samples.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/percentiles-with-low-samples.html: 10/(1-percentile)
    between 0.5 and 1, 10/percentile below 0.5.
    """
    share = 1 - percentile if percentile >= 0.5 else percentile
    return round(10 / share, 6) if share > 0 else math.inf


@dataclass(slots=True)
class Alarm:
    """One alarm: its configuration as it was put, and its state.

    Attributes:
        name: Name.
        arn: ARN.
        kind: MetricAlarm or CompositeAlarm.
        configuration: The parameters of PutMetricAlarm or PutCompositeAlarm, without tags.
        configured_at: When it was put last, epoch seconds.
        queries: What a metric alarm watches, in order of computation.
        watched: Id of the query that is compared with the threshold.
        rule: What a composite alarm watches.
        state: OK, ALARM or INSUFFICIENT_DATA.
        reason: Why, for people.
        reason_data: Why, as JSON.
        updated_at: When the state was updated last.
    """

    name: str
    arn: str
    kind: str
    configuration: dict[str, Any]
    configured_at: float
    queries: tuple[Query, ...] = ()
    watched: str = ""
    rule: AlarmRule | None = None
    state: str = "INSUFFICIENT_DATA"
    reason: str = INITIAL_REASON
    reason_data: str = ""
    updated_at: float = 0.0

    @property
    def period_s(self) -> int:
        """Length of the metric's period, unscaled."""
        return metric_queries.common_period(self.queries)

    @property
    def evaluation_periods(self) -> int:
        """Evaluation Periods (N)."""
        return int(self.configuration["EvaluationPeriods"])

    @property
    def datapoints_to_alarm(self) -> int:
        """Datapoints to Alarm (M); N if the alarm doesn't say."""
        return int(self.configuration.get("DatapointsToAlarm") or self.evaluation_periods)

    @property
    def statistic(self) -> str:
        """The watched statistic, or an empty string if an expression is watched."""
        watched = next(query for query in self.queries if query.id == self.watched)
        return watched.stat.statistic if watched.stat else ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The outcome of evaluating one metric alarm."""

    state: str | None
    reason: str = ""
    reason_data: str = ""


def timestamp_text(instant: float) -> str:
    """Return an instant as CloudWatch writes it into messages and history: 2013-10-30T03:03:51.479+0000."""
    at = datetime.fromtimestamp(instant, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"


def newest_closed_tick(now_tick: int, period_s: int) -> int:
    """Return the tick at which the newest period of an alarm ends: the last full minute, or ten seconds."""
    granularity = 60 if period_s >= 60 else 10
    return now_tick // granularity * granularity


def evaluate(alarm: Alarm, store: MetricStore, now: float) -> Evaluation:
    """Evaluate one metric alarm against the data.

    A period of P seconds is P ticks of the store, which is how the time scale shortens it.
    """
    period = alarm.period_s
    end = newest_closed_tick(store.tick_of(now), period)
    start = end - (alarm.evaluation_periods + EXTRA_PERIODS) * period
    period_s = period / store.time_scale
    answers = metric_queries.compute(store, alarm.queries, start=start, end=end, period=period, period_s=period_s)
    watched = answers.values[alarm.watched]
    if isinstance(watched, list):
        if len(watched) != 1:
            return Evaluation("INSUFFICIENT_DATA", f"The expression gives {len(watched)} time series instead of one.")
        watched = watched[0]
    if not isinstance(watched, dict):
        return Evaluation("INSUFFICIENT_DATA", "The expression gives a number instead of a time series.")
    aggregates = answers.aggregates.get(alarm.watched, {})
    ticks = list(range(start, end, period))
    if _has_too_few_samples(alarm, aggregates, ticks):
        return Evaluation(None)
    values = [watched.get(tick) for tick in ticks]
    comparison, threshold = alarm.configuration["ComparisonOperator"], float(alarm.configuration["Threshold"])
    points = [None if value is None else is_breaching(comparison, value, threshold) for value in values]
    treatment = treatment_of(alarm)
    decision = decide(points, alarm.evaluation_periods, alarm.datapoints_to_alarm, treatment)
    used = [(ticks[position], watched[ticks[position]]) for position in decision.evaluated]
    reason = _reason(alarm, decision, [(store.instant_of(tick), value) for tick, value in used])
    data = _reason_data(alarm, store, now, start, used, aggregates)
    return Evaluation(decision.state, reason, data)


def treatment_of(alarm: Alarm) -> str:
    """Return how the alarm treats missing data.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html: missing is the default,
    ignore for metrics of AWS/DynamoDB.
    """
    chosen = alarm.configuration.get("TreatMissingData")
    if chosen:
        return str(chosen)
    watches_dynamodb = any(
        query.stat is not None and query.stat.key.namespace == "AWS/DynamoDB" for query in alarm.queries
    )
    return "ignore" if watches_dynamodb else "missing"


def _has_too_few_samples(alarm: Alarm, aggregates: Mapping[int, Aggregate], ticks: Sequence[int]) -> bool:
    percentile = percentile_of(alarm.statistic)
    if percentile is None or alarm.configuration.get("EvaluateLowSampleCountPercentile") != "ignore":
        return False
    recent = ticks[-alarm.evaluation_periods :]
    samples = sum(aggregates[tick].sample_count for tick in recent if tick in aggregates)
    return 0 < samples < samples_needed(percentile)


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _reason(alarm: Alarm, decision: Decision, used: Sequence[tuple[float, float]]) -> str:
    """Word the reason as CloudWatch does."""
    configuration = alarm.configuration
    breaches = decision.state == "ALARM"
    treatment = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(treatment_of(alarm), "")
    missing = f"{_plural(decision.filled, 'missing datapoint')} {'was' if decision.filled == 1 else 'were'}"
    if not used:
        if not treatment:
            return f"Insufficient Data: {_plural(alarm.evaluation_periods, 'datapoint')} were unknown."
        received = f"no datapoints were received for {_plural(alarm.evaluation_periods, 'period')}"
        return f"Threshold Crossed: {received} and {missing} treated as [{treatment}]."
    word, threshold = _OPERATORS[configuration["ComparisonOperator"]][1], float(configuration["Threshold"])
    told = [
        (at, value)
        for at, value in used
        if is_breaching(configuration["ComparisonOperator"], value, threshold) == breaches
    ] or list(used)
    points = ", ".join(f"{value} ({datetime.fromtimestamp(at, UTC):%d/%m/%y %H:%M:%S})" for at, value in reversed(told))
    crossed = f"{'was' if len(told) == 1 else 'were'}{'' if breaches else ' not'} {word} the threshold ({threshold})"
    filled = f" and {missing} treated as [{treatment}]" if decision.filled and treatment else ""
    if not configuration.get("DatapointsToAlarm"):
        return f"Threshold Crossed: {_plural(len(told), 'datapoint')} [{points}] {crossed}{filled}."
    minimum = alarm.datapoints_to_alarm if breaches else alarm.evaluation_periods - alarm.datapoints_to_alarm + 1
    transition = "OK -> ALARM" if breaches else "ALARM -> OK"
    return (
        f"Threshold Crossed: {len(told)} out of the last {alarm.evaluation_periods} datapoints [{points}] "
        f"{crossed}{filled} (minimum {_plural(minimum, 'datapoint')} for {transition} transition)."
    )


def _reason_data(
    alarm: Alarm,
    store: MetricStore,
    now: float,
    start: int,
    used: Sequence[tuple[int, float]],
    aggregates: Mapping[int, Aggregate],
) -> str:
    evaluated: list[dict[str, Any]] = []
    for tick, value in reversed(used):
        point: dict[str, Any] = {"timestamp": timestamp_text(store.instant_of(tick))}
        if tick in aggregates:
            point["sampleCount"] = aggregates[tick].sample_count
        evaluated.append(point | {"value": value})
    data: dict[str, Any] = {"version": "1.0", "queryDate": timestamp_text(now)}
    data["startDate"] = timestamp_text(store.instant_of(used[0][0] if used else start))
    if alarm.statistic:
        data["statistic"] = alarm.statistic
    data |= {
        "period": alarm.period_s,
        "recentDatapoints": [value for _, value in used],
        "threshold": float(alarm.configuration["Threshold"]),
        "evaluatedDatapoints": evaluated,
    }
    return json.dumps(data)


@dataclass(frozen=True, slots=True)
class HistoryItem:
    """One item of DescribeAlarmHistory."""

    alarm: str
    kind: str
    at: float
    type: str
    summary: str
    data: str


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of an alarm's state, with the alarm as it was after it."""

    alarm: Alarm
    old_state: str
    old_reason: str
    old_reason_data: str
    old_updated_at: float
    new_state: str
    new_reason: str
    new_reason_data: str
    at: float
    children: tuple[tuple[str, str, float], ...] = ()


@dataclass(slots=True)
class AlarmBook:
    """All alarms and their history; every change of state goes through it.

    Attributes:
        act: Called with each transition, after it was recorded, while the book is locked: it must only take note.
        clock: Returns epoch seconds.
    """

    act: Callable[[Transition], None]
    clock: Callable[[], float] = time.time
    alarms: dict[str, Alarm] = field(default_factory=dict)
    history: deque[HistoryItem] = field(default_factory=lambda: deque(maxlen=_MAX_HISTORY_ITEMS))
    lock: threading.RLock = field(default_factory=threading.RLock)

    def record(self, alarm: Alarm, item_type: str, summary: str, data: Mapping[str, Any]) -> None:
        """Add an item to the history."""
        with self.lock:
            self.history.append(
                HistoryItem(
                    alarm.name, alarm.kind, self.clock(), item_type, summary, json.dumps({"version": "1.0", **data})
                )
            )

    def set_state(
        self, alarm: Alarm, state: str, reason: str, reason_data: str = "", path: tuple[str, ...] = (), child: str = ""
    ) -> bool:
        """Move an alarm to a state; a move to the state that it has is none.

        Composite alarms that refer to it are evaluated at once. "The evaluation of composite alarms stops if CloudWatch
        detects a cycle in the evaluation path."
        https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html

        Returns:
            Whether the state changed.
        """
        with self.lock:
            if state == alarm.state:
                return False
            now = self.clock()
            triggering = self.alarms.get(child)
            transition = Transition(
                alarm=alarm,
                old_state=alarm.state,
                old_reason=alarm.reason,
                old_reason_data=alarm.reason_data,
                old_updated_at=alarm.updated_at,
                new_state=state,
                new_reason=reason,
                new_reason_data=reason_data,
                at=now,
                children=((triggering.arn, triggering.state, triggering.updated_at),) if triggering else (),
            )
            alarm.state, alarm.reason, alarm.reason_data, alarm.updated_at = state, reason, reason_data, now
            self.record(
                alarm,
                "StateUpdate",
                f"Alarm updated from {transition.old_state} to {state}",
                {
                    "oldState": _state_data(transition.old_state, transition.old_reason, transition.old_reason_data),
                    "newState": _state_data(state, reason, reason_data),
                },
            )
            self.act(transition)
            for parent in list(self.alarms.values()):
                if parent.rule and alarm.name in parent.rule.children and parent.name not in (*path, alarm.name):
                    self.evaluate_composite(parent, (*path, alarm.name), child=alarm.name)
            return True

    def evaluate_composite(self, alarm: Alarm, path: tuple[str, ...] = (), child: str = "") -> None:
        """Evaluate a composite alarm: ALARM if its rule holds, otherwise OK.

        https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-combining.html
        """
        with self.lock:
            assert alarm.rule is not None
            holds = alarm.rule.holds({name: one.state for name, one in self.alarms.items()})
            state = "ALARM" if holds else "OK"
            cause = self.alarms.get(child)
            if cause is not None:
                at = datetime.fromtimestamp(cause.updated_at, UTC)
                reason = f"{cause.arn} transitioned to {cause.state} at {at:%A %d %B, %Y %H:%M:%S} UTC"
            else:
                reason = f"{alarm.arn} was created and its alarm rule evaluates to {state}"
            self.set_state(alarm, state, reason, "", path, child)

    def parents_of(self, name: str) -> list[str]:
        """Return the names of the composite alarms whose rule refers to this alarm."""
        with self.lock:
            return sorted(one.name for one in self.alarms.values() if one.rule and name in one.rule.children)


def _state_data(state: str, reason: str, reason_data: str) -> dict[str, Any]:
    data: dict[str, Any] = {"stateValue": state, "stateReason": reason}
    if reason_data:
        try:
            data["stateReasonData"] = json.loads(reason_data)
        except json.JSONDecodeError:
            data["stateReasonData"] = reason_data  # SetAlarmState takes any text
    return data


class AlarmEvaluator:
    """Evaluates every metric alarm each scaled ten seconds, from a thread.

    Args:
        book: The alarms.
        store: The data.
    """

    def __init__(self, book: AlarmBook, store: MetricStore) -> None:
        self._book = book
        self._store = store
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.interval_s = max(_SHORTEST_INTERVAL_S, _EVALUATION_INTERVAL_S / store.time_scale)

    def start(self) -> None:
        """Start the thread."""
        self._stop.clear()
        self._thread = threading.Thread(target=self._run, name="alarm-evaluator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def evaluate_all(self) -> None:
        """Evaluate every metric alarm once, now."""
        with self._book.lock:
            alarms = [alarm for alarm in self._book.alarms.values() if alarm.kind == "MetricAlarm"]
        for alarm in alarms:
            self._evaluate_one(alarm)

    def _evaluate_one(self, alarm: Alarm) -> None:
        try:
            evaluation = evaluate(alarm, self._store, self._book.clock())
        except Exception as error:  # noqa: BLE001 - one alarm that can't be computed must not stop all the others
            told = f"{type(error).__name__}: {error}"
            print(f"embedded AWS: alarm {alarm.name} could not be evaluated: {told}", file=sys.stderr)  # noqa: T201
            evaluation = Evaluation("INSUFFICIENT_DATA", f"The alarm could not be evaluated: {told}")
        with self._book.lock:
            if evaluation.state is not None and self._book.alarms.get(alarm.name) is alarm:
                self._book.set_state(alarm, evaluation.state, evaluation.reason, evaluation.reason_data)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            self.evaluate_all()
            due = max(due + self.interval_s, time.monotonic())


def pages(items: Iterable[Any], size: int, token: str | None) -> tuple[list[Any], str | None]:
    """Return one page of the items and the token of the next, if there is one.

    Raises:
        ValueError: The token is none that was given out.
    """
    everything = list(items)
    start = int(token) if token else 0
    if start < 0 or (token and start >= len(everything)):
        raise ValueError(f"next token {token!r} is not valid")
    page = everything[start : start + size]
    return page, str(start + size) if start + size < len(everything) else None
