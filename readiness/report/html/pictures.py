"""Pictures of a drive: its latency, throughput and errors over time, and the distribution of its latencies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from readiness import stats
from readiness.histogram import Histogram
from readiness.loadgen import rows
from readiness.loadgen.rows import Tally
from readiness.report import axes, over_time, plots
from readiness.report.figure import figure
from readiness.report.html.blocks import Picture, Table
from readiness.report.over_time import Reading, Stretch
from readiness.report.plots import Limit, Mark, Plot, Point, Series, Span

_SHOWN_PERCENTILES = (50.0, 75.0, 90.0, 95.0, 99.0, 99.9, 99.99)
_CURVE_POINTS = 72
_NAME_ROOM = 8
_OUTCOME_WORDS = {
    rows.STATUS: "other status",
    rows.TIMEOUT: "timeout",
    rows.CONNECT: "no connection",
    rows.RESET: "cut off",
    rows.ASSERTION: "wrong body",
}


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A drive, and what is drawn over it.

    Attributes:
        id: Prefix of the pictures' ids.
        found: Its stretches.
        origin_s: Which second of the drive the axis calls 0.
        x_label: What the axis counts from.
        spans: Parts that are named, in seconds of the axis.
        marks: Instants, in seconds of the axis.
        name: What it is of, before the title of each picture; empty where that is plain.
    """

    id: str
    found: Sequence[Stretch]
    x_label: str
    origin_s: float = 0.0
    spans: Sequence[Span] = ()
    marks: Sequence[Mark] = ()
    name: str = ""

    @property
    def step_s(self) -> int:
        """How many seconds a place of the plot stands for."""
        return len(self.found[0].seconds) if self.found else 1

    @property
    def at(self) -> list[float]:
        """Where the places lie: in the middle of their seconds."""
        return [stretch.start + len(stretch.seconds) / 2 - self.origin_s for stretch in self.found]

    @property
    def axis(self) -> axes.Axis:
        """The axis of time."""
        last = self.found[-1]
        return axes.time(self.found[0].start - self.origin_s, last.start + len(last.seconds) - self.origin_s)

    def explained(self) -> str:
        """Return what a place of the plot stands for."""
        if self.step_s == 1:
            return "Each point is one second, by when its requests were due."
        return (
            f"Each point is {self.step_s} s, by when their requests were due; the figure is of all of them. The band "
            "reaches up to the worst single second."
        )


def latency(timeline: Timeline, percents: Sequence[float], limits: Sequence[Limit] = ()) -> Picture | None:
    """Return latency percentiles over time; None if nothing was answered."""
    lines = {f"p{percent:g}": over_time.latency(timeline.found, percent) for percent in percents}
    values = _values(lines.values())
    if not values:
        return None
    top = f"{max(lines, key=lambda name: float(name[1:]))} was at most {figure(max(values), 'ms')}"
    return _over_time(
        timeline,
        id_=f"{timeline.id}-latency",
        title="Latency over time",
        told=f"{', '.join(lines)} of each point in time. {top}.",
        y=axes.logarithmic([*values, *(limit.value for limit in limits)]),
        y_label="latency, ms (logarithmic)",
        unit="ms",
        lines=lines,
        limits=limits,
    )


def throughput(timeline: Timeline, limits: Sequence[Limit] = ()) -> Picture | None:
    """Return requests due and answered over time; None if none were due."""
    lines = {
        "due": over_time.rate(timeline.found, over_time.offered),
        "answered": over_time.rate(timeline.found, over_time.answered),
    }
    if any(over_time.dropped(stretch.whole) for stretch in timeline.found):
        lines["not sent"] = over_time.rate(timeline.found, over_time.dropped)
    values = _values(lines.values())
    if not any(values):
        return None
    return _over_time(
        timeline,
        id_=f"{timeline.id}-throughput",
        title="Throughput over time",
        told="Requests that were due and expected answers that came, in each second.",
        y=axes.linear([*values, *(limit.value for limit in limits)]),
        y_label="requests a second",
        unit="per s",
        lines=lines,
        limits=limits,
    )


def errors(timeline: Timeline) -> Picture | None:
    """Return failed requests over time, by how they failed; None if none failed."""
    kinds = {
        words: over_time.rate(timeline.found, over_time.ended_as(outcome))
        for outcome, words in _OUTCOME_WORDS.items()
        if any(over_time.ended_as(outcome)(stretch.whole) for stretch in timeline.found)
    }
    if not kinds:
        return None
    all_of_them = over_time.rate(timeline.found, over_time.failed)
    return _over_time(
        timeline,
        id_=f"{timeline.id}-errors",
        title="Failed requests over time",
        told=f"Requests that failed in each second: {', '.join(kinds)}.",
        y=axes.linear(_values([all_of_them])),
        y_label="failed requests a second",
        unit="per s",
        lines={"failed": all_of_them, **(kinds if len(kinds) > 1 else {})},
        bars=("failed",),
    )


def _values(lines: Iterable[Sequence[Reading]]) -> list[float]:
    """Return all that is drawn of some lines."""
    found: list[float] = []
    for line in lines:
        for reading in line:
            found += [value for value in (reading.value, reading.worst) if value is not None]
    return found


def _over_time(
    timeline: Timeline,
    *,
    id_: str,
    title: str,
    told: str,
    y: axes.Axis,
    y_label: str,
    unit: str,
    lines: Mapping[str, Sequence[Reading]],
    limits: Sequence[Limit] = (),
    bars: Sequence[str] = (),
) -> Picture:
    several = timeline.step_s > 1
    title = f"{timeline.name}: {title[0].lower()}{title[1:]}" if timeline.name else title
    series = [
        Series(
            name=name,
            look=look,
            values=[reading.value for reading in line],
            highs=[reading.worst for reading in line] if several else (),
            bars=name in bars,
        )
        for look, (name, line) in enumerate(lines.items(), 4 if bars else 1)
        if name in bars or not bars
    ]
    plot = Plot(
        id=id_,
        title=title,
        told=told,
        x=timeline.axis,
        y=y,
        x_label=timeline.x_label,
        y_label=y_label,
        at=timeline.at,
        series=series,
        limits=limits,
        marks=timeline.marks,
        spans=timeline.spans,
        step=timeline.step_s,
        room=_NAME_ROOM,
    )
    return Picture(
        id=id_,
        title=title,
        told=f"{told} {timeline.explained()}",
        svg=plots.svg(plot),
        data=_data_table(title, timeline, lines, unit),
        at=timeline.at,
    )


def _data_table(title: str, timeline: Timeline, lines: Mapping[str, Sequence[Reading]], unit: str) -> Table:
    several = timeline.step_s > 1
    head = ["from second" if several else "second"]
    for name in lines:
        head += [f"{name}, {unit}", *([f"{name}, worst second"] if several else [])]
    rows = []
    for index, stretch in enumerate(timeline.found):
        row = [_spell(stretch.start - timeline.origin_s)]
        for line in lines.values():
            row.append(_plain(line[index].value))
            if several:
                row.append(_plain(line[index].worst))
        rows.append(row)
    return Table(caption=f"{title}: the numbers", head=head, rows=rows, numeric=frozenset(range(len(head))))


def _spell(second: float) -> str:
    return f"{second:.1f}".removesuffix(".0")


def _plain(value: float | None) -> str:
    """Return a number of a data table: three digits behind the point at most, a dash for none."""
    return "–" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


# --- distributions ---------------------------------------------------------------------------------------------------


def distribution(
    id_: str, title: str, histograms: Mapping[str, Histogram], points: Sequence[tuple[float, float, str]] = ()
) -> Picture | None:
    """Return latencies by percentile, a curve for each histogram; None if all are empty.

    Args:
        id_: Unique in the page.
        title: What is shown.
        histograms: Name -> its latencies.
        points: Percentile, limit in ms, and label of each objective.
    """
    held = {name: histogram for name, histogram in histograms.items() if histogram.total}
    if not held:
        return None
    highest = max(_highest(histogram) for histogram in held.values())
    at_percent = list(_curve(highest))
    curves = {name: [_value(histogram, percent) for percent in at_percent] for name, histogram in held.items()}
    drawn = [value for curve in curves.values() for value in curve if value is not None]
    plot = Plot(
        id=id_,
        title=title,
        told=_told(held),
        x=axes.percentiles(highest),
        y=axes.logarithmic([*drawn, *(limit for _, limit, _ in points)]),
        x_label="share of requests that took at most so long",
        y_label="latency, ms (logarithmic)",
        at=[axes.nines(percent) for percent in at_percent],
        series=[
            Series(
                name=name,
                look=look,
                values=curves[name],
                doubtful_from=_doubtful_from(held[name], at_percent),
            )
            for look, name in enumerate(held, 1)
        ],
        points=[Point(at=axes.nines(percent), value=limit, label=label) for percent, limit, label in points],
    )
    shown = [percent for percent in _SHOWN_PERCENTILES if percent <= highest]
    table = Table(
        caption=f"{title}: the numbers",
        head=["percentile", *(f"{name}, ms" for name in held)],
        rows=[
            [f"p{percent:g}", *(_plain(_value(histogram, percent)) for histogram in held.values())] for percent in shown
        ]
        + [["samples", *(f"{histogram.total:,}" for histogram in held.values())]],
        numeric=frozenset(range(1, len(held) + 1)),
    )
    explained = "The line is dotted where too few samples bound the percentile with 95 % confidence."
    return Picture(
        id=id_,
        title=title,
        told=f"{plot.told} {explained}",
        svg=plots.svg(plot),
        data=table,
        at=[axes.nines(percent) for percent in shown],
    )


def _told(held: Mapping[str, Histogram]) -> str:
    said = [
        f"{name}: half within {figure(stats.percentile_ms(histogram, 50), 'ms')}, 99 % within "
        f"{figure(stats.percentile_ms(histogram, 99), 'ms')} ({histogram.total:,} samples)"
        for name, histogram in held.items()
    ]
    return "; ".join(said) + "."


def _highest(histogram: Histogram) -> float:
    """Return the highest percentile that a histogram has a sample of its own for."""
    return 100 * (1 - 1 / max(histogram.total, 2))


def _curve(highest: float) -> Iterator[float]:
    """Yield percentiles at equal distances on their axis, and those that the table shows."""
    end = axes.nines(highest)
    found = {100 * (1 - 10 ** -(end * n / _CURVE_POINTS)) for n in range(1, _CURVE_POINTS + 1)}
    yield from sorted({round(percent, 6) for percent in found} | {p for p in _SHOWN_PERCENTILES if p <= highest})


def _value(histogram: Histogram, percent: float) -> float | None:
    """Return a percentile; None beyond a histogram's last sample."""
    return stats.percentile_ms(histogram, percent) if percent <= _highest(histogram) + 1e-6 else None


def _doubtful_from(histogram: Histogram, at_percent: Sequence[float]) -> int | None:
    """Return from which percentile on the samples are too few to bound it; None = they never are."""
    bounded: Callable[[float], bool] = lambda percent: stats.interval_ranks(percent, histogram.total) is not None  # noqa: E731
    middle = next((index for index, percent in enumerate(at_percent) if percent >= 50), 0)
    return next((index for index in range(middle, len(at_percent)) if not bounded(at_percent[index])), None)


def cache_counts(tally: Tally) -> Mapping[str, int]:
    """Return cache outcome -> answers, most first."""
    return dict(sorted(tally.cache_outcomes().items(), key=lambda pair: -pair[1]))
