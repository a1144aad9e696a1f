"""Plots as SVG: lines over time or over percentiles, bars, lanes; with limits, marks, units and labels at the lines.

A plot is drawn in two shapes, wide and narrow, of which a style sheet shows one: scaled down, its letters could not be
read on a telephone. Colours, dashes and letters are the style sheet's, by class; a line never differs by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

from readiness.report.axes import Axis


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line, or one row of bars.

    Attributes:
        name: What stands beside it.
        look: 1 to 5: its colour and dashes.
        values: One for each place of the plot; None = nothing was measured there, and the line has a hole.
        highs: The worst second in each place, if a place stands for several; drawn as a band above the line.
        doubtful_from: Index from which on too few samples bound the value; drawn dotted.
    """

    name: str
    look: int
    values: Sequence[float | None]
    highs: Sequence[float | None] = ()
    doubtful_from: int | None = None
    bars: bool = False


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A value that is not to be exceeded, or not to be fallen short of."""

    value: float
    label: str
    at_most: bool = True


@dataclass(frozen=True, kw_only=True)
class Point:
    """A single value, as an objective at its percentile is."""

    at: float
    value: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """An instant, shown as a numbered line; what it was stands in a list below the plot."""

    at: float
    number: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """Part of the plot that is shaded and named."""

    start: float
    end: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Plot:
    """What is drawn.

    Attributes:
        id: Unique in its page.
        title: What is shown, for those who do not see it too.
        told: What is to be seen in it, in a sentence.
        at: Where the values lie on the x axis.
        step: How wide a place is, for bars.
    """

    id: str
    title: str
    told: str
    x: Axis
    y: Axis
    x_label: str
    y_label: str
    at: Sequence[float]
    series: Sequence[Series]
    limits: Sequence[Limit] = ()
    points: Sequence[Point] = ()
    marks: Sequence[Mark] = ()
    spans: Sequence[Span] = ()
    step: float = 1.0
    room: int = 0
    """For how many letters of a line's name there is room at least; the same for plots that share their x axis."""


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One row of a lane plot: instants of one story, from left to right.

    Attributes:
        stretches: (start, end, look): what lasted.
        marks: The instants.
    """

    name: str
    stretches: Sequence[tuple[float, float, int]]
    marks: Sequence[Mark]


@dataclass(frozen=True, kw_only=True)
class _Shape:
    name: str
    width: int
    height: int
    left: int
    right: int
    top: int = 30
    bottom: int = 44
    letter: float = 6.6

    @property
    def inner_width(self) -> int:
        return self.width - self.left - self.right

    @property
    def inner_height(self) -> int:
        return self.height - self.top - self.bottom


_WIDE = _Shape(name="wide", width=760, height=300, left=58, right=16)
_NARROW = _Shape(name="narrow", width=340, height=270, left=44, right=16)
_BOLD_LETTER = 7.4
_LANE_HEIGHT = 46
_LABEL_GAP = 14
_MARK_GAP = 18


def svg(plot: Plot) -> Markup:
    """Return a plot in both shapes."""
    letters = max([plot.room, *(len(series.name) for series in plot.series if not series.bars)])
    right = 16 + round(letters * _BOLD_LETTER)
    return Markup("").join(_draw(plot, replace(shape, right=right)) for shape in (_WIDE, _NARROW))


def lanes(id_: str, title: str, told: str, x: Axis, x_label: str, rows: Sequence[Lane]) -> Markup:
    """Return a lane plot in both shapes."""
    return Markup("").join(_draw_lanes(id_, title, told, x, x_label, rows, shape) for shape in (_WIDE, _NARROW))


# --- lines and bars --------------------------------------------------------------------------------------------------


def _draw(plot: Plot, shape: _Shape) -> Markup:
    parts = [
        *_areas(plot, shape),
        *_grid(plot, shape),
        *_axis_labels(plot.x_label, plot.y_label, shape),
        *(part for series in plot.series for part in _one_series(plot, series, shape)),
        *_limits(plot, shape),
        *_points(plot, shape),
        *_marks(plot.marks, plot.x, shape, shape.top, shape.height - shape.bottom),
        *_names(plot, shape),
        *_span_names(plot, shape),
    ]
    return _frame(plot.id, plot.title, plot.told, shape, shape.height, plot.x, parts)


def _frame(
    id_: str, title: str, told: str, shape: _Shape, height: int, x: Axis, parts: Iterable[Markup | str]
) -> Markup:
    """Return the picture around its parts. What it shows is named for those who cannot see it."""
    name = f"{id_}-{shape.name}"
    return Markup(
        '<svg class="plot {shape}" viewBox="0 0 {width} {height}" role="img" aria-labelledby="{name}-title {name}-desc"'
        ' data-left="{left}" data-inner="{inner}" data-low="{low}" data-high="{high}" data-top="{top}"'
        ' data-bottom="{bottom}">\n<title id="{name}-title">{title}</title>\n<desc id="{name}-desc">{told}</desc>\n'
        "{parts}\n</svg>\n"
    ).format(
        shape=shape.name,
        width=shape.width,
        height=height,
        name=name,
        title=title,
        told=told,
        left=shape.left,
        inner=shape.inner_width,
        low=f"{x.low:g}",
        high=f"{x.high:g}",
        top=shape.top,
        bottom=height - shape.bottom,
        parts=Markup("\n").join(parts),
    )


def _at(axis: Axis, value: float, shape: _Shape) -> float:
    return shape.left + axis.place(value) * shape.inner_width


def _up(axis: Axis, value: float, shape: _Shape) -> float:
    return shape.top + (1 - axis.place(value)) * shape.inner_height


def _text(
    x: float, y: float, words: str, look: str = "", anchor: Literal["start", "middle", "end"] = "start"
) -> Markup:
    return Markup('<text class="{}" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        look or "tick", _n(x), _n(y), anchor, words
    )


def _line(x1: float, y1: float, x2: float, y2: float, look: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(look, _n(x1), _n(y1), _n(x2), _n(y2))


def _n(value: float) -> str:
    """Return a coordinate in as few characters as its tenth of a pixel needs."""
    return f"{value:.1f}".removesuffix(".0")


def _grid(plot: Plot, shape: _Shape) -> Iterator[Markup]:
    right, bottom = shape.width - shape.right, shape.height - shape.bottom
    for tick in plot.y.ticks:
        y = _up(plot.y, tick.value, shape)
        yield _line(shape.left, y, right, y, "grid")
        yield _text(shape.left - 6, y + 4, tick.label, anchor="end")
    yield from _x_ticks(plot.x, shape, shape.top, bottom)


def _x_ticks(axis: Axis, shape: _Shape, top: float, bottom: float) -> Iterator[Markup]:
    """Yield the ticks of the x axis, leaving out the letters of those that would run into each other."""
    free_from = float("-inf")
    for tick in axis.ticks:
        x = _at(axis, tick.value, shape)
        yield _line(x, top, x, bottom, "grid faint")
        half = len(tick.label) * shape.letter / 2
        if x - half >= free_from:
            yield _text(x, bottom + 16, tick.label, anchor="middle")
            free_from = x + half + 4


def _axis_labels(x_label: str, y_label: str, shape: _Shape) -> Iterator[Markup]:
    yield _text(shape.left + shape.inner_width / 2, shape.height - 8, x_label, "axis", "middle")
    yield _text(4, 13, y_label, "axis")


def _areas(plot: Plot, shape: _Shape) -> Iterator[Markup]:
    for span in plot.spans:
        left, right = _at(plot.x, span.start, shape), _at(plot.x, span.end, shape)
        yield Markup('<rect class="span" x="{}" y="{}" width="{}" height="{}"/>').format(
            _n(left), shape.top, _n(right - left), shape.inner_height
        )


def _span_names(plot: Plot, shape: _Shape) -> Iterator[Markup]:
    for span in plot.spans:
        left, right = _at(plot.x, span.start, shape), _at(plot.x, span.end, shape)
        if right - left > len(span.label) * shape.letter:
            yield _text(right, shape.top - 6, span.label, "span-name", "end")


def _one_series(plot: Plot, series: Series, shape: _Shape) -> Iterator[Markup]:
    if series.bars:
        yield from _bars(plot, series, shape)
        return
    if any(high is not None for high in series.highs):
        yield from _bands(plot, series, shape)
    doubtful = len(series.values) if series.doubtful_from is None else series.doubtful_from
    sure = [value if index <= doubtful else None for index, value in enumerate(series.values)]
    rest = [value if index >= doubtful else None for index, value in enumerate(series.values)]
    for values, look in ((sure, ""), (rest, " doubtful")):
        path = _path(plot, values, shape)
        if path:
            yield Markup('<path class="line s{}{}" d="{}"/>').format(series.look, look, path)


def _path(plot: Plot, values: Sequence[float | None], shape: _Shape) -> str:
    """Return a line with a hole wherever nothing was measured; a value alone between holes is a short stroke."""
    found: list[str] = []
    for run in _runs(values):
        points = [(_at(plot.x, plot.at[index], shape), _up(plot.y, value, shape)) for index, value in run]
        if len(points) == 1:
            (x, y) = points[0]
            points = [(x - 1.5, y), (x + 1.5, y)]
        found.append("M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points))
    return "".join(found)


def _runs(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """Yield each stretch of values that follow each other without a hole."""
    run: list[tuple[int, float]] = []
    for index, value in enumerate(values):
        if value is not None:
            run.append((index, value))
        elif run:
            yield run
            run = []
    if run:
        yield run


def _bands(plot: Plot, series: Series, shape: _Shape) -> Iterator[Markup]:
    """Yield the area between a line and its worst seconds."""
    for run in _runs(series.values):
        over = [(index, series.highs[index]) for index, _ in run]
        edge = [(index, value) for index, value in run] + [
            (index, high) for index, high in reversed(over) if high is not None
        ]
        points = " ".join(
            f"{_n(_at(plot.x, plot.at[index], shape))},{_n(_up(plot.y, value, shape))}" for index, value in edge
        )
        yield Markup('<polygon class="band s{}" points="{}"/>').format(series.look, points)


def _bars(plot: Plot, series: Series, shape: _Shape) -> Iterator[Markup]:
    floor = _up(plot.y, plot.y.low, shape)
    each = shape.inner_width * plot.step / (plot.x.high - plot.x.low)
    for at, value in zip(plot.at, series.values, strict=True):
        if value:
            top = _up(plot.y, value, shape)
            yield Markup('<rect class="bar s{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                series.look,
                _n(_at(plot.x, at, shape) - each * 0.4),
                _n(top),
                _n(max(1.5, each * 0.8)),
                _n(max(1.0, floor - top)),
            )


def _limits(plot: Plot, shape: _Shape) -> Iterator[Markup]:
    right = shape.width - shape.right
    for limit in plot.limits:
        y = _up(plot.y, limit.value, shape)
        yield _line(shape.left, y, right, y, "limit")
        words = limit.label if shape.name == "wide" else limit.label.partition(" (")[0]
        above = limit.at_most and y - shape.top > _LABEL_GAP
        yield _text(shape.left + 4, y - 4 if above else y + 13, words, "limit-name")


def _points(plot: Plot, shape: _Shape) -> Iterator[Markup]:
    for point in plot.points:
        x, y = _at(plot.x, point.at, shape), _up(plot.y, point.value, shape)
        yield Markup('<path class="limit-point" d="M{} {}h22"/>').format(_n(x - 11), _n(y))
        yield _text(x, y - 6, point.label, "limit-name", "middle" if x < shape.width - shape.right - 40 else "end")


def _marks(marks: Sequence[Mark], axis: Axis, shape: _Shape, top: float, bottom: float) -> Iterator[Markup]:
    """Yield numbered instants; those that lie close together have their numbers one below the other."""
    placed: list[tuple[float, int]] = []
    for mark in sorted(marks, key=lambda mark: mark.at):
        x = _at(axis, mark.at, shape)
        taken = {row for other, row in placed if x - other < _MARK_GAP}
        row = next(row for row in range(len(marks) + 1) if row not in taken)
        placed.append((x, row))
        y = top + 9 + row * _MARK_GAP
        yield _line(x, top, x, bottom, "mark")
        yield Markup('<circle class="mark-dot" cx="{}" cy="{}" r="8"/>').format(_n(x), _n(y))
        yield _text(x, y + 4, mark.number, "mark-number", "middle")


def _names(plot: Plot, shape: _Shape) -> Iterator[Markup]:
    """Yield each line's name at its right end, moved apart where they would cover each other."""
    ends: list[tuple[float, Series]] = []
    for series in plot.series:
        last = next((value for value in reversed(series.values) if value is not None), None)
        if last is not None and not series.bars:
            ends.append((_up(plot.y, last, shape), series))
    ends.sort(key=lambda end: end[0])
    y = float("-inf")
    places: list[tuple[float, Series]] = []
    for wanted, series in ends:
        y = max(wanted, y + _LABEL_GAP)
        places.append((y, series))
    too_low = max(0.0, (places[-1][0] if places else 0.0) - (shape.height - shape.bottom))
    for y, series in places:
        yield _text(shape.width - shape.right + 6, y - too_low + 4, series.name, f"name s{series.look}")


# --- lanes -----------------------------------------------------------------------------------------------------------


def _draw_lanes(
    id_: str, title: str, told: str, x: Axis, x_label: str, rows: Sequence[Lane], wide_or_narrow: _Shape
) -> Markup:
    height = 16 + _LANE_HEIGHT * len(rows) + 44
    shape = _Shape(
        name=wide_or_narrow.name, width=wide_or_narrow.width, height=height, left=16, right=16, top=8, bottom=44
    )
    bottom = height - shape.bottom
    parts: list[Markup] = list(_x_ticks(x, shape, shape.top, bottom))
    parts.append(_text(shape.left + shape.inner_width / 2, height - 8, x_label, "axis", "middle"))
    for index, lane in enumerate(rows):
        top = shape.top + index * _LANE_HEIGHT
        middle = top + 32
        parts.append(_text(shape.left, top + 14, lane.name, "lane-name"))
        for start, end, look in lane.stretches:
            left, right = _at(x, start, shape), _at(x, end, shape)
            parts.append(
                Markup('<rect class="stretch s{}" x="{}" y="{}" width="{}" height="6"/>').format(
                    look, _n(left), _n(middle - 3), _n(max(1.5, right - left))
                )
            )
        parts += _dots(lane.marks, x, shape, middle)
    return _frame(id_, title, told, shape, height, x, parts)


def _dots(marks: Sequence[Mark], x: Axis, shape: _Shape, middle: float) -> Iterator[Markup]:
    """Yield the instants of a lane as strokes; a number that would cover another stands beside it."""
    for mark in marks:
        x_of_it = _at(x, mark.at, shape)
        yield _line(x_of_it, middle - 13, x_of_it, middle + 13, "instant")
    free_from = float("-inf")
    for mark in marks:
        place = max(_at(x, mark.at, shape), free_from)
        free_from = place + _MARK_GAP
        yield Markup('<circle class="mark-dot" cx="{}" cy="{}" r="8"/>').format(_n(place), _n(middle))
        yield _text(place, middle + 4, mark.number, "mark-number", "middle")
