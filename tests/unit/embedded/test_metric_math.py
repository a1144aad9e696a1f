from __future__ import annotations

import pytest

from readiness.embedded import metric_queries
from readiness.embedded.metric_math import Environment, MetricMathError, Series, Value, parse
from readiness.embedded.metric_queries import QueryError
from readiness.embedded.metrics import Datum, MetricStore

_ = None


def series(*values: float | None) -> Series:
    return {tick * 60: float(value) for tick, value in enumerate(values) if value is not None}


def compute(text: str, **ids: Value) -> Value:
    timeline = range(0, 300, 60)
    metrics = [name for name in ids if not name.startswith("e")]
    return parse(text).compute(Environment(ids, metrics, timeline, period_s=60.0))


M1, M2 = series(30, 20, 0, 0), series(20, _, 20, _)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m1 < m2", series(0, 0, 1, 0)),
        ("m1 >= 30", series(1, 0, 0, 0)),
        ("m1 > 15 AND m2 > 15", series(1, 0, 0, 0)),
    ],
)
def test_the_documented_table_of_comparisons(expression: str, expected: Series) -> None:
    assert compute(expression, m1=M1, m2=M2) == expected


IF_1, IF_2, IF_3 = series(1, 1, 0, 0, _), series(30, _, 0, 0, 30), series(0, 0, 20, _, 20)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(m1, m2, m3)", series(30, 0, 20, _, _)),
        ("IF(m1, 5, m3)", series(5, 5, 20, _, _)),
        ("IF(m1, m2, 5)", series(30, 0, 5, 5, _)),
        ("IF(m1, m2)", series(30, 0)),
        ("IF(1, m2, m3)", IF_2),
        ("IF(0, m2, m3)", IF_3),
        ("IF(0, m2)", {}),
    ],
)
def test_the_documented_tables_of_if(expression: str, expected: Series) -> None:
    assert compute(expression, m1=IF_1, m2=IF_2, m3=IF_3) == expected


def test_a_division_by_zero_gives_no_datapoint_rather_than_zero_or_infinity() -> None:
    assert compute("100 * errors / requests", errors=series(1, 0, 2), requests=series(100, 0, _)) == series(1)


def test_a_missing_value_counts_as_zero_where_the_other_series_has_one() -> None:
    assert compute("100 * errors / requests", errors=series(_, 5), requests=series(100, 100)) == series(0, 5)
    assert compute("m1 + m2", m1=series(1, _, _), m2=series(_, 2, _)) == series(1, 2)


def test_no_data_gives_no_datapoints() -> None:
    assert compute("100 * errors / requests", errors={}, requests={}) == {}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m + 2 * 3", series(8)),
        ("(m + 2) * 3", series(12)),
        ("-m^2", series(-4)),
        ("2^3^2 * m", series(1024)),
        ("m - -1", series(3)),
        ("10 / m / 5", series(1)),
        ("1e3 + .5 + m", series(1002.5)),
        ("m > 1 && m < 3", series(1)),
        ("m > 5 || m == 2", series(1)),
        ("(m != 2) + m", series(2)),
    ],
)
def test_operators_bind_as_in_arithmetic(expression: str, expected: Series) -> None:
    assert compute(expression, m=series(2)) == expected


def test_a_power_without_a_real_value_gives_no_datapoint() -> None:
    assert compute("m ^ 0.5", m=series(-4, 4)) == series(_, 2)
    assert compute("m ^ -1", m=series(0, 2)) == series(_, 0.5)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("FILL(m1, 7)", series(1, 7, 3, 7, 7)),
        ("FILL(m1, REPEAT)", series(1, 1, 3, 3, 3)),
        ("FILL(m2, REPEAT)", series(_, 2, 2, 2, 2)),
        ("FILL(m1, m2)", series(1, 2, 3)),
    ],
)
def test_fill_replaces_what_is_missing(expression: str, expected: Series) -> None:
    assert compute(expression, m1=series(1, _, 3), m2=series(_, 2)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("SUM([m1, m2])", series(4, 2)),
        ("SUM(METRICS())", series(4, 2)),
        ('SUM(METRICS("1"))', series(1, 2)),
        ("AVG([m1, m2])", series(2, 1)),
        ("MIN([m1, m2])", series(1, 2)),
        ("MAX([m1, m2])", series(3, 2)),
        ("m1 * SUM(m1)", series(3, 6)),
        ("m1 - AVG(m1)", series(-0.5, 0.5)),
        ("SUM(100 / [m1, m2])", series(100 + 100 / 3, 50)),
        ("DATAPOINT_COUNT(METRICS())", series(2, 1)),
        ("m1 / METRIC_COUNT(METRICS())", series(0.5, 1)),
        ("m1 / PERIOD(m1)", series(1 / 60, 2 / 60)),
        ("DIFF(m1)", series(_, 1)),
        ("RATE(m1)", series(_, 1 / 60)),
        ("DIFF_TIME(m1)", series(_, 60)),
        ("RUNNING_SUM(m1)", series(1, 3)),
        ("ABS(0 - m1)", series(1, 2)),
        ("CEIL(m1 / 2)", series(1, 1)),
        ("FLOOR(m1 / 2)", series(0, 1)),
        ("LOG10(m1 * 10 - 10)", series(_, 1)),
        ("TIME_SERIES(MAX(m1))", series(2, 2, 2, 2, 2)),
    ],
)
def test_functions(expression: str, expected: Series) -> None:
    assert compute(expression, m1=series(1, 2), m2=series(3)) == pytest.approx(expected)


def test_an_array_gives_one_series_each() -> None:
    assert compute("[m1, m2] * 2", m1=series(1), m2=series(2)) == [series(2), series(4)]


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("SEARCH('{AWS/EC2} x', 'Sum', 60)", "SEARCH"),
        ("ANOMALY_DETECTION_BAND(m1)", "ANOMALY_DETECTION_BAND"),
        ("SORT(METRICS(), AVG, DESC)", "SORT"),
        ("STDDEV(m1)", "STDDEV"),
        ("FILL(m1, LINEAR)", "LINEAR"),
        ("SELECT AVG(x) FROM y", "SELECT"),
        ("m1 % 2", "%"),
        ("sum(m1)", r"'\('"),
        ("m1 +", "ends"),
        ("(m1", r"'\)'"),
        ("m1 m2", "m2"),
        ("", "empty"),
        ("IF(m1)", "IF"),
        ("SUM(m1, m2)", "SUM"),
    ],
)
def test_what_is_not_done_or_malformed_is_refused_by_name(expression: str, named: str) -> None:
    with pytest.raises(MetricMathError, match=named):
        parse(expression)


def metric(query_id: str, period: int = 60, name: str = "x") -> dict[str, object]:
    stat = {"Metric": {"Namespace": "App", "MetricName": name}, "Period": period, "Stat": "Sum"}
    return {"Id": query_id, "MetricStat": stat, "ReturnData": False}


def expression(query_id: str, text: str) -> dict[str, object]:
    return {"Id": query_id, "Expression": text}


def test_queries_are_computed_after_those_that_they_refer_to() -> None:
    queries = metric_queries.parse_queries([expression("e1", "e2 * 2"), expression("e2", "m1 + 1"), metric("m1")])
    store = MetricStore(clock=lambda: 120.0)
    store.put([Datum("App", "x", (), 61.0, "None", (4.0,), (1.0,))])
    answers = metric_queries.compute(store, queries, start=0, end=120, period=60, period_s=60.0)
    assert answers.values["e1"] == {60: 10.0}


@pytest.mark.parametrize(
    ("queries", "told"),
    [
        ([expression("e1", "m9")], "m9"),
        ([expression("e1", "e2"), expression("e2", "e1")], "circle"),
        ([metric("m1"), metric("m1")], "unique"),
        ([metric("M1")], "lower-case"),
        ([metric("m1") | {"Expression": "1"}], "not both"),
        ([metric("m1") | {"AccountId": "999999999999"}], "account"),
        ([metric("m1", period=45)], "period 45"),
    ],
)
def test_a_query_that_cannot_be_answered_says_why(queries: list[dict[str, object]], told: str) -> None:
    with pytest.raises(QueryError, match=told):
        metric_queries.parse_queries(queries)


def test_an_expression_that_gives_a_number_is_refused() -> None:
    queries = metric_queries.parse_queries([metric("m1"), expression("e1", "SUM(m1)")])
    with pytest.raises(QueryError, match="a number"):
        metric_queries.check_computable(queries)


def test_metrics_of_different_periods_are_refused_in_one_expression() -> None:
    queries = metric_queries.parse_queries([metric("m1"), metric("m2", 300), expression("e1", "m1 + m2")])
    with pytest.raises(QueryError, match="different periods"):
        metric_queries.common_period(queries)
