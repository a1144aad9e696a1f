"""Metric math: the expressions that alarms and GetMetricData compute from metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html

Done: numbers, ids, ``+ - * / ^``, unary minus, parentheses, arrays ``[m1, m2]``, ``== != < <= > >=``,
``AND && OR ||``, IF, FILL (number, time series or REPEAT), METRICS, METRIC_COUNT, SUM, AVG, MIN, MAX,
DATAPOINT_COUNT, ABS, CEIL, FLOOR, LOG, LOG10, DIFF, DIFF_TIME, RATE, RUNNING_SUM, PERIOD, TIME_SERIES.

Left out, and refused by name before an alarm is created: SEARCH, SORT, SLICE, FIRST, LAST, REMOVE_EMPTY, STDDEV,
ANOMALY_DETECTION_BAND, INSIGHT_RULE_METRIC, SERVICE_QUOTA, LAMBDA, the calendar functions (MINUTE, HOUR, ...),
FILL(..., LINEAR) and Metrics Insights queries (SELECT ...).

Where the documentation says nothing: ``^`` binds closer than unary minus and groups to the right; MIN and MAX of
several series look at existing values only (missing values are documented as 0 for arithmetic, SUM and AVG).
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

Series = dict[int, float]
"""Values by the first tick of their period; a period without a value is absent."""

Value = float | Series | list[Series]


class MetricMathError(ValueError):
    """An expression that can't be computed here; the message names what and where."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What an expression is computed from.

    Attributes:
        series: Result of every other query by its id.
        metrics: Ids of those that are metrics (METRICS() returns these, in order).
        timeline: First tick of every period of the range, oldest first.
        period_s: Length of a period in real seconds.
        seconds_per_tick: Real seconds between two ticks.
    """

    series: Mapping[str, Value]
    metrics: Sequence[str]
    timeline: Sequence[int]
    period_s: float
    seconds_per_tick: float = 1.0


Node = Callable[[Environment], Value]


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        text: As it was written.
        ids: The queries that it refers to.
        uses_all_metrics: Whether it calls METRICS().
    """

    text: str
    ids: frozenset[str]
    uses_all_metrics: bool
    node: Node

    def compute(self, environment: Environment) -> Value:
        """Return the value; a time series, several, or a number."""
        return self.node(environment)


def parse(text: str) -> Expression:
    """Parse an expression.

    Raises:
        MetricMathError: It is malformed, or uses what is not done here (named in the message).
    """
    parser = _Parser(text)
    node = parser.whole()
    return Expression(text=text, ids=frozenset(parser.ids), uses_all_metrics=parser.uses_all_metrics, node=node)


_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<word>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<string>\"[^\"]*\"|'[^']*')|(?P<symbol>==|!=|<=|>=|&&|\|\||[-+*/^<>()\[\],]))"
)

_COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Parser:
    """Recursive descent: or > and > comparison > sum > product > unary minus > power > atom."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.ids: set[str] = set()
        self.uses_all_metrics = False
        self._tokens = self._tokenize(text)
        self._next = 0

    def whole(self) -> Node:
        node = self._disjunction()
        if self._next != len(self._tokens):
            raise self._error(f"{self._tokens[self._next]!r} is not expected there")
        return node

    def _tokenize(self, text: str) -> list[str]:
        tokens: list[str] = []
        position = 0
        while text[position:].strip():
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._error(f"{text[position:].strip()[0]!r} is not part of metric math")
            tokens.append(match.group().strip())
            position = match.end()
        if not tokens:
            raise self._error("it is empty")
        if tokens[0].upper() == "SELECT":
            raise self._error("Metrics Insights queries (SELECT) are not done by the embedded AWS")
        return tokens

    def _error(self, what: str) -> MetricMathError:
        return MetricMathError(f"metric math expression {self.text!r}: {what}")

    def _peek(self) -> str:
        return self._tokens[self._next] if self._next < len(self._tokens) else ""

    def _take(self, *wanted: str) -> str:
        if self._peek() and self._peek() in wanted:
            self._next += 1
            return self._tokens[self._next - 1]
        return ""

    def _expect(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._error(f"{wanted!r} is expected before {self._peek() or 'its end'!r}")

    def _disjunction(self) -> Node:
        left = self._conjunction()
        while self._take("OR", "||"):
            left = _binary(lambda a, b: float(bool(a) or bool(b)), left, self._conjunction())
        return left

    def _conjunction(self) -> Node:
        left = self._comparison()
        while self._take("AND", "&&"):
            left = _binary(lambda a, b: float(bool(a) and bool(b)), left, self._comparison())
        return left

    def _comparison(self) -> Node:
        left = self._sum()
        while symbol := self._take(*_COMPARISONS):
            left = _binary(_compare(_COMPARISONS[symbol]), left, self._sum())
        return left

    def _sum(self) -> Node:
        left = self._product()
        while symbol := self._take("+", "-"):
            left = _binary(operator.add if symbol == "+" else operator.sub, left, self._product())
        return left

    def _product(self) -> Node:
        left = self._negation()
        while symbol := self._take("*", "/"):
            left = _binary(operator.mul if symbol == "*" else _divide, left, self._negation())
        return left

    def _negation(self) -> Node:
        if self._take("-"):
            return _unary(operator.neg, self._negation())
        return self._power()

    def _power(self) -> Node:
        left = self._atom()
        return _binary(_raise_to, left, self._negation()) if self._take("^") else left

    def _atom(self) -> Node:
        token = self._peek()
        if not token:
            raise self._error("it ends where a value is expected")
        self._next += 1
        if token == "(":
            node = self._disjunction()
            self._expect(")")
            return node
        if token == "[":
            return self._array()
        if token[0].isdigit() or token[0] == ".":
            number = float(token)
            return lambda _: number
        if token[0].isupper():
            return self._function(token)
        if token[0].islower():
            self.ids.add(token)
            return lambda environment: environment.series[token]
        raise self._error(f"{token!r} is not expected there")

    def _array(self) -> Node:
        nodes = [self._disjunction()]
        while self._take(","):
            nodes.append(self._disjunction())
        self._expect("]")
        return lambda environment: [one for node in nodes for one in _as_many(node(environment))]

    def _function(self, name: str) -> Node:
        if name not in _FUNCTIONS and name not in ("METRICS", "IF", "FILL"):
            known = ", ".join(sorted([*_FUNCTIONS, "FILL", "IF", "METRICS"]))
            raise self._error(f"{name} is not done by the embedded AWS; it has {known}")
        self._expect("(")
        if name == "METRICS":
            return self._metrics()
        if name == "FILL":
            return self._fill()
        nodes = [self._disjunction()]
        while self._take(","):
            nodes.append(self._disjunction())
        self._expect(")")
        if name == "IF":
            if len(nodes) not in (2, 3):
                raise self._error(f"IF takes two or three arguments, not {len(nodes)}")
            return lambda environment: _if([node(environment) for node in nodes], environment)
        if len(nodes) != 1:
            raise self._error(f"{name} takes one argument, not {len(nodes)}")
        return lambda environment: _FUNCTIONS[name](nodes[0](environment), environment)

    def _metrics(self) -> Node:
        self.uses_all_metrics = True
        wanted = ""
        if self._peek()[:1] in ('"', "'") and self._peek():
            wanted = self._peek()[1:-1]
            self._next += 1
        self._expect(")")

        def metrics(environment: Environment) -> Value:
            found = (environment.series[one] for one in environment.metrics if wanted in one)
            return [series for series in found if isinstance(series, dict)]

        return metrics

    def _fill(self) -> Node:
        filled = self._disjunction()
        self._expect(",")
        if self._take("LINEAR"):
            raise self._error("FILL(..., LINEAR) is not done by the embedded AWS; it has a number, a series and REPEAT")
        if self._take("REPEAT"):
            self._expect(")")
            return lambda environment: _each(filled(environment), lambda one: _repeat(one, environment))
        filler = self._disjunction()
        self._expect(")")

        def fill(environment: Environment) -> Value:
            value = filler(environment)
            if isinstance(value, list):
                raise MetricMathError("FILL takes a number, one time series or REPEAT as filler, not several series")
            return _each(filled(environment), lambda one: _filled(one, value, environment))

        return fill


def _as_many(value: Value) -> list[Series]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return [value]
    raise MetricMathError("a number stands where time series are expected")


def _each(value: Value, function: Callable[[Series], Series]) -> Value:
    if isinstance(value, list):
        return [function(one) for one in value]
    if isinstance(value, dict):
        return function(value)
    raise MetricMathError("a number stands where a time series is expected")


def _compare(compare: Callable[[float, float], bool]) -> Callable[[float, float], float]:
    return lambda a, b: float(compare(a, b))


def _divide(a: float, b: float) -> float:
    return a / b if b else math.nan


def _raise_to(a: float, b: float) -> float:
    try:
        result = a**b
    except (ZeroDivisionError, OverflowError):
        return math.nan
    return result if isinstance(result, float) else math.nan


def _kept(series: Series) -> Series:
    """Return the series without the points that have no value.

    AWS: "If the value of a data point causes a function to attempt to divide by zero, the data point is dropped."
    """
    return {tick: value for tick, value in series.items() if math.isfinite(value)}


def _binary(function: Callable[[float, float], float], left: Node, right: Node) -> Node:
    return lambda environment: _combined(function, left(environment), right(environment))


def _combined(function: Callable[[float, float], float], a: Value, b: Value) -> Value:
    """Combine two values point by point.

    AWS: "Missing values in a time series are treated as 0", and of two series of which "only one has a value for a
    particular time stamp, the function treats the missing value in the other time series as 0".
    """
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            raise MetricMathError(f"arrays of {len(a)} and {len(b)} time series can't be combined")
        return [_series_of(_combined(function, one, other)) for one, other in zip(a, b, strict=True)]
    if isinstance(a, list):
        return [_series_of(_combined(function, one, b)) for one in a]
    if isinstance(b, list):
        return [_series_of(_combined(function, a, one)) for one in b]
    if isinstance(a, dict) and isinstance(b, dict):
        return _kept({tick: function(a.get(tick, 0.0), b.get(tick, 0.0)) for tick in sorted(a.keys() | b.keys())})
    if isinstance(a, dict) and not isinstance(b, dict):
        return _kept({tick: function(value, b) for tick, value in a.items()})
    if isinstance(b, dict) and not isinstance(a, dict):
        return _kept({tick: function(a, value) for tick, value in b.items()})
    assert isinstance(a, float | int)
    assert isinstance(b, float | int)
    return float(function(a, b))


def _series_of(value: Value) -> Series:
    assert isinstance(value, dict)
    return value


def _unary(function: Callable[[float], float], node: Node) -> Node:
    def compute(environment: Environment) -> Value:
        value = node(environment)
        if isinstance(value, float):
            return function(value)
        return _each(value, lambda one: _mapped(function, one))

    return compute


def _mapped(function: Callable[[float], float], series: Series) -> Series:
    result: Series = {}
    for tick, value in series.items():
        try:
            result[tick] = float(function(value))
        except (ValueError, OverflowError):
            continue  # the logarithm of a value that has none: dropped, like a division by zero
    return _kept(result)


def _pointwise(function: Callable[[float], float]) -> Callable[[Value, Environment], Value]:
    return lambda value, _: _each(value, lambda one: _mapped(function, one))


def _reduced(
    numbers: Callable[[Sequence[float]], float], zero_for_missing: bool
) -> Callable[[Value, Environment], Value]:
    """SUM, AVG, MIN, MAX: of one time series a number, of several one time series."""

    def reduce(value: Value, _: Environment) -> Value:
        if isinstance(value, dict):
            return float(numbers(list(value.values()))) if value else math.nan
        many = _as_many(value)
        ticks = sorted({tick for series in many for tick in series})
        if zero_for_missing:
            return {tick: float(numbers([series.get(tick, 0.0) for series in many])) for tick in ticks}
        return {tick: float(numbers([series[tick] for series in many if tick in series])) for tick in ticks}

    return reduce


def _datapoint_count(value: Value, _: Environment) -> Value:
    if isinstance(value, dict):
        return float(len(value))
    many = _as_many(value)
    ticks = sorted({tick for series in many for tick in series})
    return {tick: float(sum(tick in series for series in many)) for tick in ticks}


def _metric_count(value: Value, _: Environment) -> Value:
    return float(len(_as_many(value)))


def _neighbours(function: Callable[[float, float], float]) -> Callable[[Value, Environment], Value]:
    """DIFF, DIFF_TIME, RATE: of each value and the one before it; the function gets (change, seconds)."""

    def compute(value: Value, environment: Environment) -> Value:
        def of_one(series: Series) -> Series:
            ticks = sorted(series)
            return {
                tick: function(series[tick] - series[before], (tick - before) * environment.seconds_per_tick)
                for before, tick in pairwise(ticks)
            }

        return _each(value, of_one)

    return compute


def _running_sum(value: Value, _: Environment) -> Value:
    def of_one(series: Series) -> Series:
        total = 0.0
        return {tick: (total := total + series[tick]) for tick in sorted(series)}

    return _each(value, of_one)


def _period(_: Value, environment: Environment) -> Value:
    return environment.period_s


def _time_series(value: Value, environment: Environment) -> Value:
    if not isinstance(value, float):
        raise MetricMathError("TIME_SERIES takes a number")
    return dict.fromkeys(environment.timeline, value)


def _repeat(series: Series, environment: Environment) -> Series:
    """FILL(m, REPEAT): each gap gets the value before it; a gap before the first value stays one."""
    result: Series = {}
    last: float | None = None
    for tick in environment.timeline:
        last = series.get(tick, last)
        if last is not None:
            result[tick] = last
    return result


def _filled(series: Series, filler: float | Series, environment: Environment) -> Series:
    result: Series = {}
    for tick in environment.timeline:
        value = series.get(tick)
        if value is None:
            value = filler.get(tick) if isinstance(filler, dict) else filler
        if value is not None:
            result[tick] = value
    return result


def _if(arguments: Sequence[Value], environment: Environment) -> Value:
    """IF(condition, trueValue, falseValue), by the tables of the documentation.

    A point is dropped where the condition has none, or where it is false and the third argument is missing or has no
    point there; where it is true and the second has no point, the value is 0.
    """
    condition, if_true, if_false = arguments[0], arguments[1], arguments[2] if len(arguments) == 3 else {}
    if any(isinstance(argument, list) for argument in arguments):
        raise MetricMathError("IF takes numbers and single time series, not arrays")
    if isinstance(condition, float):
        chosen = if_true if condition else if_false
        if isinstance(chosen, float):
            raise MetricMathError("IF of numbers only gives a number; at least one argument has to be a time series")
        return chosen
    result: Series = {}
    for tick, held in _series_of(condition).items():
        chosen = if_true if held else if_false
        value = chosen.get(tick) if isinstance(chosen, dict) else chosen
        if value is None and held:
            value = 0.0
        if isinstance(value, float):
            result[tick] = value
    return result


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


_FUNCTIONS: Final[Mapping[str, Callable[[Value, Environment], Value]]] = {
    "ABS": _pointwise(abs),
    "AVG": _reduced(_mean, zero_for_missing=True),
    "CEIL": _pointwise(math.ceil),
    "DATAPOINT_COUNT": _datapoint_count,
    "DIFF": _neighbours(lambda change, _: change),
    "DIFF_TIME": _neighbours(lambda _, seconds: seconds),
    "FLOOR": _pointwise(math.floor),
    "LOG": _pointwise(math.log),
    "LOG10": _pointwise(math.log10),
    "MAX": _reduced(max, zero_for_missing=False),
    "METRIC_COUNT": _metric_count,
    "MIN": _reduced(min, zero_for_missing=False),
    "PERIOD": _period,
    "RATE": _neighbours(lambda change, seconds: change / seconds),
    "RUNNING_SUM": _running_sum,
    "SUM": _reduced(sum, zero_for_missing=True),
    "TIME_SERIES": _time_series,
}
