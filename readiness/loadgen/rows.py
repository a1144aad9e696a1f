"""What was measured in one second of one scenario, as it is recorded, merged, shipped and kept as evidence.

A row belongs to the second in which its requests were *due*, counted from the start of the drive: a stall shows up in
the seconds whose clients it kept waiting. Only ``ANSWERED`` belongs to the second in which the answer came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from readiness.histogram import Histogram, merged_wire_forms
from readiness.model import record

OK: Final = "ok"
STATUS: Final = "status"
TIMEOUT: Final = "timeout"
CONNECT: Final = "connect"
RESET: Final = "reset"
ASSERTION: Final = "assertion"
OUTCOMES: Final = (OK, STATUS, TIMEOUT, CONNECT, RESET, ASSERTION)
"""How a request ended: as expected; with another status; not in time; without a connection; cut off or unreadable;
with the wrong body."""

OUTCOME_SERIES: Final = "outcome/"
CACHE_SERIES: Final = "cache/"
UPSTREAM: Final = "part/upstream"
PROXY: Final = "part/proxy"
LAG: Final = "lag"
"""How late the dispatcher sent what was due; in the rows of no scenario (``EVERY``)."""

EVERY: Final = ""
OFFERED: Final = "offered"
DROPPED: Final = "dropped"
"""Due, but not sent, because as many requests as allowed were under way."""
ANSWERED: Final = "answered"
BAD_TIMING: Final = "bad-timing"
"""Answers whose upstream timing headers are no numbers, or say more time than the request took."""
ELSEWHERE: Final = "elsewhere"
"""Requests of a locustfile to another host than the target."""
USER_ERRORS: Final = "user-errors"
"""Exceptions of a locustfile's users outside of a request; in the rows of no scenario (``EVERY``)."""
STATUS_COUNT: Final = "status/"

JUDGED_LATENCIES: Final = (OK, TIMEOUT)
"""Outcomes whose latencies count. A quick failure is no quick answer: it would flatter the percentile. A request that
timed out has waited at least that long."""


@record
class Row:
    """One second of one scenario; histograms in their wire form."""

    second: int
    scenario: str
    histograms: dict[str, str]
    counts: dict[str, int]


class Tally:
    """One second of one scenario, while it is being counted or merged."""

    __slots__ = ("counts", "histograms")

    def __init__(self) -> None:
        self.histograms: dict[str, Histogram] = {}
        self.counts: dict[str, int] = {}

    def time(self, series: str, value_us: int) -> None:
        """Record a latency in a series."""
        histogram = self.histograms.get(series)
        if histogram is None:
            histogram = self.histograms[series] = Histogram()
        histogram.record(value_us)

    def count(self, name: str, number: int = 1) -> None:
        """Count something."""
        self.counts[name] = self.counts.get(name, 0) + number

    def merge(self, other: Tally) -> None:
        """Add all that *other* has."""
        for series, histogram in other.histograms.items():
            self.histogram(series).merge(histogram)
        for name, number in other.counts.items():
            self.count(name, number)

    def add(self, row: Row) -> None:
        """Add all that a row has.

        Raises:
            EvidenceError: a histogram cannot be read.
        """
        for series, text in row.histograms.items():
            self.histogram(series).merge(Histogram.decode(text))
        for name, number in row.counts.items():
            self.count(name, number)

    def histogram(self, series: str) -> Histogram:
        """Return the histogram of a series, made on first use."""
        return self.histograms.setdefault(series, Histogram())

    def outcomes(self) -> dict[str, int]:
        """Return how many requests ended how."""
        return {
            outcome: histogram.total
            for outcome in OUTCOMES
            if (histogram := self.histograms.get(OUTCOME_SERIES + outcome)) is not None
        }

    @property
    def requests(self) -> int:
        """How many requests ended, somehow."""
        return sum(self.outcomes().values())

    @property
    def failed(self) -> int:
        """How many requests ended otherwise than expected."""
        return self.requests - self.outcomes().get(OK, 0)

    def latencies(self, outcomes: Iterable[str] = JUDGED_LATENCIES) -> Histogram:
        """Return the latencies of requests that ended in one of *outcomes*."""
        whole = Histogram()
        for outcome in outcomes:
            histogram = self.histograms.get(OUTCOME_SERIES + outcome)
            if histogram is not None:
                whole.merge(histogram)
        return whole

    def cache_outcomes(self) -> dict[str, int]:
        """Return how many answers named which cache outcome."""
        return {
            series.removeprefix(CACHE_SERIES): histogram.total
            for series, histogram in self.histograms.items()
            if series.startswith(CACHE_SERIES)
        }


Tallies = dict[tuple[int, str], Tally]


def tally_of(tallies: Tallies, second: int, scenario: str) -> Tally:
    """Return the tally of one second of one scenario, made on first use."""
    key = (second, scenario)
    tally = tallies.get(key)
    if tally is None:
        tally = tallies[key] = Tally()
    return tally


def merge_into(whole: Tallies, part: Tallies) -> None:
    """Add all of *part* to *whole*."""
    for (second, scenario), tally in part.items():
        tally_of(whole, second, scenario).merge(tally)


def to_rows(tallies: Tallies) -> tuple[Row, ...]:
    """Return tallies as rows, in order."""
    return tuple(
        Row(
            second=second,
            scenario=scenario,
            histograms={series: histogram.encode() for series, histogram in sorted(tally.histograms.items())},
            counts=dict(sorted(tally.counts.items())),
        )
        for (second, scenario), tally in sorted(tallies.items())
    )


def from_rows(rows: Iterable[Row]) -> Tallies:
    """Return rows as tallies; rows of the same second and scenario are merged.

    Raises:
        EvidenceError: a histogram cannot be read.
    """
    tallies: Tallies = {}
    for row in rows:
        tally_of(tallies, row.second, row.scenario).add(row)
    return tallies


def joined(pieces: Iterable[Row]) -> tuple[Row, ...]:
    """Return one row for each second and scenario, in order; a row that comes in one piece stays as it is.

    Raises:
        EvidenceError: a histogram cannot be read.
    """
    found: dict[tuple[int, str], list[Row]] = {}
    for piece in pieces:
        found.setdefault((piece.second, piece.scenario), []).append(piece)
    return tuple(same[0] if len(same) == 1 else to_rows(from_rows(same))[0] for _, same in sorted(found.items()))


def by_scenario(rows: Iterable[Row], seconds: range | None = None) -> dict[str, Tally]:
    """Return one tally per scenario over the given seconds, or over all.

    Raises:
        EvidenceError: a histogram cannot be read.
    """
    whole: dict[str, Tally] = {}
    texts: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if seconds is None or row.second in seconds:
            tally = whole.setdefault(row.scenario, Tally())
            for name, number in row.counts.items():
                tally.count(name, number)
            for series, text in row.histograms.items():
                texts.setdefault((row.scenario, series), []).append(text)
    for (scenario, series), same in texts.items():
        whole[scenario].histograms[series] = merged_wire_forms(same)
    return whole


def over_all(scenarios: Mapping[str, Tally]) -> Tally:
    """Return one tally over all scenarios."""
    whole = Tally()
    for tally in scenarios.values():
        whole.merge(tally)
    return whole
