"""Plots: what is measured is drawn where it belongs, what is not leaves a hole, and everything is named."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from readiness.report import axes, plots
from readiness.report.plots import Lane, Limit, Mark, Plot, Point, Series, Span

SVG = "{http://www.w3.org/2000/svg}"


def a_plot(*series, **changes):
    return Plot(
        **{
            "id": "p",
            "title": "Latency",
            "told": "It was low.",
            "x": axes.time(0, 10),
            "y": axes.Axis(low=0, high=10, ticks=(axes.Tick(value=10, label="10"),)),
            "x_label": "seconds",
            "y_label": "ms",
            "at": [float(n) + 0.5 for n in range(10)],
            "series": series,
        }
        | changes
    )


def drawn(markup):
    """Return the wide and the narrow shape."""
    whole = ElementTree.fromstring(f'<a xmlns="http://www.w3.org/2000/svg">{markup}</a>')
    return whole.findall(f"{SVG}svg")


def points(path):
    return [(float(x), float(y)) for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", path.get("d"))]


def texts(svg):
    return [each.text for each in svg.iter(f"{SVG}text")]


def test_there_is_a_wide_and_a_narrow_shape_each_with_title_and_description():
    wide, narrow = drawn(plots.svg(a_plot(Series(name="p50", look=1, values=[1.0] * 10))))

    assert ("wide" in wide.get("class"), "narrow" in narrow.get("class")) == (True, True)
    ids = [each.get("id") for svg in (wide, narrow) for each in svg if each.get("id")]
    assert len(ids) == len(set(ids)) == 4
    for svg in (wide, narrow):
        assert svg.get("aria-labelledby").split() == [svg[0].get("id"), svg[1].get("id")]
        assert (svg[0].text, svg[1].text) == ("Latency", "It was low.")
        assert {"seconds", "ms", "p50"} <= set(texts(svg))


def test_a_value_is_drawn_at_its_place():
    wide, _ = drawn(plots.svg(a_plot(Series(name="a", look=1, values=[0.0, 10.0, *[None] * 8]))))
    (path,) = wide.findall(f"{SVG}path")
    left, inner = float(wide.get("data-left")), float(wide.get("data-inner"))
    bottom, top = float(wide.get("data-bottom")), float(wide.get("data-top"))

    assert points(path) == [
        (pytest.approx(left + inner * 0.05, abs=0.06), pytest.approx(bottom)),
        (pytest.approx(left + inner * 0.15, abs=0.06), pytest.approx(top)),
    ]


def test_what_was_not_measured_leaves_a_hole_and_is_not_drawn_as_zero():
    wide, _ = drawn(plots.svg(a_plot(Series(name="a", look=1, values=[5.0, 5.0, None, 5.0, 5.0, *[None] * 5]))))
    (path,) = wide.findall(f"{SVG}path")

    assert path.get("d").count("M") == 2
    assert len({y for _, y in points(path)}) == 1


def test_a_value_alone_is_still_to_be_seen():
    wide, _ = drawn(plots.svg(a_plot(Series(name="a", look=1, values=[None, 5.0, *[None] * 8]))))
    (path,) = wide.findall(f"{SVG}path")

    (first, _), (last, _) = points(path)
    assert last - first == 3


def test_what_too_few_samples_bound_is_dotted():
    wide, _ = drawn(plots.svg(a_plot(Series(name="a", look=1, values=[5.0] * 10, doubtful_from=6))))
    sure, doubtful = wide.findall(f"{SVG}path")

    assert "doubtful" in doubtful.get("class")
    assert points(sure)[-1] == points(doubtful)[0]


def test_the_worst_seconds_are_a_band_above_the_line():
    wide, _ = drawn(plots.svg(a_plot(Series(name="a", look=1, values=[2.0] * 10, highs=[8.0] * 10))))
    (band,) = wide.findall(f"{SVG}polygon")

    assert len({y.split(",")[1] for y in band.get("points").split()}) == 2


def test_limits_points_marks_and_spans_are_drawn_and_named():
    plot = a_plot(
        Series(name="a", look=1, values=[2.0] * 10),
        limits=[Limit(value=8, label="at most 8 (over the hold)")],
        points=[Point(at=5, value=4, label="≤ 4 ms")],
        marks=[Mark(at=3.0, number="1"), Mark(at=3.1, number="2")],
        spans=[Span(start=2, end=9, label="hold")],
    )
    wide, narrow = drawn(plots.svg(plot))

    assert {"at most 8 (over the hold)", "≤ 4 ms", "1", "2", "hold"} <= set(texts(wide))
    assert "at most 8" in texts(narrow)
    one, two = (each for each in wide.findall(f"{SVG}circle"))
    assert float(two.get("cy")) - float(one.get("cy")) >= 16, "numbers that lie close together do not cover each other"


def test_bars_stand_on_the_axis_and_zero_has_none():
    wide, _ = drawn(plots.svg(a_plot(Series(name="failed", look=4, values=[0.0, 4.0, *[0.0] * 8], bars=True))))
    (bar,) = wide.findall(f"{SVG}rect")

    assert float(bar.get("y")) + float(bar.get("height")) == pytest.approx(float(wide.get("data-bottom")))


def test_names_of_lines_that_end_together_are_moved_apart_and_stay_in_the_picture():
    series = [Series(name=f"line {n}", look=n, values=[0.0] * 10) for n in range(1, 6)]
    for svg in drawn(plots.svg(a_plot(*series))):
        names = [each for each in svg.iter(f"{SVG}text") if each.get("class").startswith("name")]
        heights = sorted(float(each.get("y")) for each in names)
        width, height = (float(side) for side in svg.get("viewBox").split()[2:])

        assert len(names) == 5
        assert min(b - a for a, b in pairwise(heights)) >= 12
        assert heights[-1] <= height
        assert all(float(each.get("x")) + 7.4 * len(each.text) <= width + 8 for each in names)


def test_text_from_elsewhere_stays_text():
    plot = a_plot(Series(name='<b onclick="x">', look=1, values=[1.0] * 10), title="</title><script>")

    assert "<script" not in plots.svg(plot)
    assert '<b onclick="x">' in texts(drawn(plots.svg(plot))[0])


def test_a_lane_shows_each_instant_once_and_none_covers_another():
    lane = Lane(name="alarm", stretches=[(0, 4, 1)], marks=[Mark(at=n / 100, number=str(n)) for n in range(1, 7)])
    for svg in drawn(plots.lanes("l", "Alarms", "told", axes.time(0, 5), "seconds", [lane])):
        places = [float(each.get("cx")) for each in svg.findall(f"{SVG}circle")]

        assert len(places) == 6
        assert min(b - a for a, b in pairwise(places)) >= 16
        assert "alarm" in texts(svg)
