"""Axes: every value lies on its axis, and ticks are round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readiness.report import axes

POSITIVE = st.floats(min_value=1e-3, max_value=1e7)


@given(st.lists(POSITIVE, min_size=1))
def test_no_value_lies_outside_a_linear_axis(values):
    axis = axes.linear(values)

    assert axis.low == 0
    assert axis.high > max(values)
    assert axis.ticks[-1].value == pytest.approx(axis.high)


@given(st.lists(POSITIVE, min_size=1))
def test_no_value_lies_outside_a_logarithmic_axis(values):
    axis = axes.logarithmic(values)

    assert axis.low <= min(values) * (1 + 1e-5)
    assert axis.high >= max(values) * (1 - 1e-5)
    assert 2 <= len(axis.ticks) <= 12


@given(POSITIVE, POSITIVE)
def test_a_greater_value_lies_further_along(one, other):
    axis = axes.logarithmic([one, other])

    assert axis.place(min(one, other)) <= axis.place(max(one, other))


def test_an_axis_of_nothing_or_of_zeros_is_still_one():
    for values in ([], [0.0]):
        assert [tick.label for tick in axes.linear(values).ticks] == ["0", "1"]
        assert axes.logarithmic(values).place(0.0) == 0


def test_what_lies_outside_is_put_onto_the_edge():
    assert axes.linear([10.0]).place(99) == 1
    assert axes.logarithmic([1.0, 10.0]).place(0) == 0


@pytest.mark.parametrize(("end", "labels"), [(35, ["0", "5", "10"]), (600, ["0", "2:00", "4:00"]), (1, ["0", "1"])])
def test_times_are_ticked_at_round_times(end, labels):
    assert [tick.label for tick in axes.time(0, end).ticks][: len(labels)] == labels


@pytest.mark.parametrize(("seconds", "said"), [(-5, "-5"), (59, "59"), (90, "1:30"), (3661, "1:01:01"), (-0.2, "0")])
def test_times_are_spelled_as_a_clock_does(seconds, said):
    assert axes.clock(seconds) == said


def test_each_further_nine_takes_as_much_room():
    assert [axes.nines(percent) for percent in (0, 90, 99, 99.9)] == pytest.approx([0, 1, 2, 3])
    assert [tick.label for tick in axes.percentiles(99.95).ticks] == ["0 %", "50 %", "90 %", "95 %", "99 %", "99.9 %"]


@pytest.mark.parametrize(("value", "said"), [(0.5, "0.5"), (250.0, "250"), (20000.0, "20,000")])
def test_numbers_are_short(value, said):
    assert axes.number(value) == said
