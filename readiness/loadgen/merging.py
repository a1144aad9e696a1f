"""What workers report, as compact columns, and how a master merges what all of them reported in one go.

A worker's report is one message a second. Everything it counted is a cell: a row (a second and a name), a bucket and a
count. The columns are plain bytes, quick to make without numpy, which workers do not load. The master joins the columns
of some reports at a time and adds up equal cells: its effort grows with the number of cells, its memory with the number
of rows, neither with the number of requests, nor its memory with that of the workers. A report also says what its cells
add up to, so that one that was damaged is found, and told with its worker.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from readiness.histogram import BUCKETS, Histogram
from readiness.loadgen import rows
from readiness.loadgen.rows import Tallies

if TYPE_CHECKING:
    import numpy as np

    _Column = np.ndarray[Any, np.dtype[Any]]

_COUNT, _HISTOGRAM = "count", "histogram"
_ENDED = frozenset(rows.OUTCOME_SERIES + outcome for outcome in rows.OUTCOMES)
_MOST_IN_CELL = (1 << 32) - 1
_MOST_ROWS = 1 << 22
_MOST_SECONDS = 1 << 31
_MOST_KNOWN = 1000
_FOLD_AT_BYTES = 1 << 18
"""Of a column; little enough that what is made of it stays in the processor's cache."""
_MOST_IN_TABLE = 1 << 21

Name = tuple[str, str, str]
"""Scenario, kind and series."""
_Report = tuple[str, int, int, bytes, bytes, bytes]
"""Worker, requests that ended, sum of all counts, and the columns of rows, buckets and counts."""


# --- worker ----------------------------------------------------------------------------------------------------------


def pack(tallies: Tallies) -> list[object]:
    """Return what a worker counted, for its message.

    Returns:
        The first second; how many seconds there are from it on; the names, as JSON; how many requests ended; what all
        counts add up to; and of the cells the columns of rows (32 bits each: number of the second times number of
        names, plus index of the name), of buckets (16 bits) and of counts (32 bits).
    """
    first = min((second for second, _ in tallies), default=0)
    span = max((second for second, _ in tallies), default=-1) + 1 - first
    index = {name: number for number, name in enumerate(sorted(set(_names(tallies))))}
    row, buckets, counts = array("I"), array("H"), array("I")
    ended = total = 0
    for (second, scenario), tally in tallies.items():
        base = (second - first) * len(index)
        for series, histogram in tally.histograms.items():
            if histogram.total > _MOST_IN_CELL:
                cells = list(_split(histogram.counts.items()))
                buckets.extend([bucket for bucket, _ in cells])
                counts.extend([count for _, count in cells])
            else:
                buckets.extend(histogram.counts)
                counts.extend(histogram.counts.values())
            row.extend([base + index[scenario, _HISTOGRAM, series]] * (len(buckets) - len(row)))
            total += histogram.total
            if series in _ENDED:
                ended += histogram.total
        for series, number in tally.counts.items():
            for _, part in _split([(0, number)]):
                row.append(base + index[scenario, _COUNT, series])
                buckets.append(0)
                counts.append(part)
            total += number
    names = json.dumps(list(index), separators=(",", ":"))
    return [first, span, names, ended, total, row.tobytes(), buckets.tobytes(), counts.tobytes()]


def _names(tallies: Tallies) -> Iterator[Name]:
    for (_, scenario), tally in tallies.items():
        for series in tally.histograms:
            yield scenario, _HISTOGRAM, series
        for series in tally.counts:
            yield scenario, _COUNT, series


def _split(counts: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield counts that fit in a cell each."""
    for bucket, count in counts:
        left = count
        while left > _MOST_IN_CELL:
            yield bucket, _MOST_IN_CELL
            left -= _MOST_IN_CELL
        yield bucket, left


# --- master ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Merged:
    """What one tick's reports came to.

    Attributes:
        tallies: All of them, added up.
        ended: Worker -> how many requests its reports tell the end of.
        unreadable: Worker -> what is wrong with a report of its; nothing of that report is in *tallies*.
    """

    tallies: Tallies = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


class Merger:
    """Takes reports in as they come, and hands out what they came to when it is asked to."""

    def __init__(self) -> None:
        # Nearly always all workers report the same seconds and names, so that their columns can be joined as they are.
        self._batches: dict[tuple[int, int, str], _Batch] = {}
        self._known: dict[str, tuple[Name, ...]] = {}
        self._merged = Merged()

    def add(self, worker: str, report: Any) -> None:
        """Take in what a worker packed."""
        try:
            first, span, names, *rest = report
            batch = self._batches.get((first, span, names)) or self._begun(first, span, names)
            batch.add(worker, *rest)
        except TypeError:
            self._merged.unreadable[worker] = "it has not the columns of a report"
            return
        except ValueError as error:
            self._merged.unreadable[worker] = str(error)
            return
        if batch.waiting_bytes >= _FOLD_AT_BYTES:
            batch.fold(self._merged)

    def _begun(self, first: int, span: int, text: str) -> _Batch:
        """Return a new batch.

        Raises:
            ValueError: there cannot be such reports.
        """
        if not (type(first) is type(span) is int and type(text) is str):
            raise ValueError("its seconds are no numbers, or its names no text")
        names = self._known.get(text)
        if names is None:
            names = _parsed(text)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[text] = names
        if not (0 <= first < _MOST_SECONDS and 0 <= span * len(names) < _MOST_ROWS):
            raise ValueError(f"it is of {span} seconds from second {first} on")
        batch = self._batches[first, span, text] = _Batch(first, span, names)
        return batch

    def merge(self) -> Merged:
        """Return all that was taken in since the last call, added up."""
        merged, self._merged = self._merged, Merged()
        batches, self._batches = self._batches, {}
        for batch in batches.values():
            batch.fold(merged)
            batch.add_to(merged.tallies)
        return merged


class _Batch:
    """Reports of the same seconds and names."""

    def __init__(self, first: int, span: int, names: tuple[Name, ...]) -> None:
        self._first = first
        self._names = names
        self._rows = span * len(names)
        self._ends = [kind == _HISTOGRAM and series in _ENDED for _, kind, series in names]
        self._waiting: list[_Report] = []
        self._cells = _Cells(self._rows)
        self.waiting_bytes = 0

    def add(self, worker: str, ended: int, total: int, row: bytes, buckets: bytes, counts: bytes) -> None:
        """Keep a report until there are enough of them.

        Raises:
            TypeError: a column is of another type.
            ValueError: a column is of another length.
        """
        if not (type(row) is type(buckets) is type(counts) is bytes and type(ended) is type(total) is int):
            raise TypeError
        if len(row) % 4 or len(row) != len(counts) or len(row) != 2 * len(buckets):
            raise ValueError("a column of it was cut off, or has too much")
        self._waiting.append((worker, ended, total, row, buckets, counts))
        self.waiting_bytes += len(row)

    def fold(self, merged: Merged) -> None:
        """Add up the reports that wait; those that cannot be right are told and left out."""
        waiting, self._waiting, self.waiting_bytes = self._waiting, [], 0
        if not self._folded(waiting, merged):
            for report in waiting:
                if not self._folded([report], merged):
                    merged.unreadable[report[0]] = "its cells are out of bounds, or do not add up to what it says"

    def _folded(self, reports: list[_Report], merged: Merged) -> bool:
        """Add up reports and return True, or return False and leave all of them out."""
        import numpy as np  # here, for workers import this module as well

        if not reports:
            return True
        workers, ended, totals, *columns = zip(*reports, strict=True)
        row, buckets, counts = map(np.frombuffer, map(b"".join, columns), ("<u4", "<u2", "<u4"))
        if int(row.max(initial=0)) >= max(1, self._rows) or int(buckets.max(initial=0)) >= BUCKETS:
            return False
        per_row = np.bincount(row, weights=counts, minlength=self._rows)
        told = per_row.reshape(-1, len(self._names)).sum(axis=0) if self._rows else per_row
        if int(told.sum()) != sum(totals) or int(told[self._ends].sum()) != sum(ended):
            return False
        self._cells.add(row, buckets, counts)
        for worker, number in zip(workers, ended, strict=True):
            merged.ended[worker] = merged.ended.get(worker, 0) + number
        return True

    def add_to(self, tallies: Tallies) -> None:
        """Add what all reports came to."""
        for row, counts in self._cells.by_row():
            second, name = divmod(row, len(self._names))
            scenario, kind, series = self._names[name]
            tally = rows.tally_of(tallies, self._first + second, scenario)
            if kind == _COUNT:
                tally.count(series, sum(counts.values()))
            else:
                tally.histogram(series).add_buckets(counts.items())


class _Cells:
    """Sums of counts by row and bucket: a table, or, where it would be mostly empty and large, a sorted list.

    Sums are exact, for they stay far below 2^53.
    """

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._table: _Column | None = None
        self._keys: list[_Column] = []
        self._sums: list[_Column] = []

    def add(self, row: _Column, buckets: _Column, counts: _Column) -> None:
        """Add cells; the same one may be there more than once."""
        import numpy as np

        width = int(buckets.max(initial=0)) + 1
        if self._rows * width > _MOST_IN_TABLE:
            keys, number = np.unique(np.multiply(row, BUCKETS, dtype=np.int64) + buckets, return_inverse=True)
            self._keys.append(keys)
            self._sums.append(np.bincount(number, weights=counts, minlength=len(keys)))
            return
        if self._table is None or self._table.shape[1] < width:
            wider = np.zeros((self._rows, width + width // 8))
            if self._table is not None:
                wider[:, : self._table.shape[1]] = self._table
            self._table = wider
        keys = np.multiply(row, self._table.shape[1], dtype=np.int64)
        keys += buckets
        np.add.at(self._table.reshape(-1), keys, counts.astype(np.float64))

    def by_row(self) -> Iterator[tuple[int, dict[int, int]]]:
        """Yield each row that has any, with the sums of its buckets."""
        import numpy as np

        row, bucket, sums = self._all()
        if not len(row):
            return
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), len(row)]
        buckets, counts = bucket.tolist(), sums.astype(np.int64).tolist()
        for begin, end in pairwise(edges):
            yield int(row[begin]), dict(zip(buckets[begin:end], counts[begin:end], strict=True))

    def _all(self) -> tuple[_Column, _Column, _Column]:
        """Return rows, buckets and sums, each cell once, in order."""
        import numpy as np

        if self._table is not None:
            row, bucket = np.nonzero(self._table != 0)
            found = row, bucket, self._table[row, bucket]
            if not self._keys:
                return found
            self._keys.append(found[0] * BUCKETS + found[1])
            self._sums.append(found[2])
        if not self._keys:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing, nothing
        keys, number = np.unique(np.concatenate(self._keys), return_inverse=True)
        sums = np.bincount(number, weights=np.concatenate(self._sums))
        there = np.flatnonzero(sums != 0)
        return keys[there] // BUCKETS, keys[there] % BUCKETS, sums[there]


def _parsed(text: str) -> tuple[Name, ...]:
    """Return the names that a report spells.

    Raises:
        ValueError: it spells none.
    """
    try:
        found = tuple((scenario, kind, series) for scenario, kind, series in json.loads(text))
    except (ValueError, TypeError, RecursionError) as error:
        raise ValueError("its names are none") from error
    for name in found:
        if name[1] not in (_COUNT, _HISTOGRAM) or not all(isinstance(part, str) for part in name):
            raise ValueError("its names are none")
    return found


class Running:
    """What a master tells of a drive while it is under way.

    Attributes:
        outcomes: How many requests ended how.
        dropped: How many were due and not sent.
        answered: Second -> how many expected answers came in it.
        judged: Latencies of the requests that were due after the warm-up.
        lag: How late requests were sent.
    """

    def __init__(self, warm_up_s: float) -> None:
        self._warm_up_s = warm_up_s
        self.outcomes: dict[str, int] = {}
        self.dropped = 0
        self.answered: dict[int, int] = {}
        self.judged = Histogram()
        self.lag = Histogram()

    @property
    def requests(self) -> int:
        """How many requests ended, somehow."""
        return sum(self.outcomes.values())

    @property
    def failed(self) -> int:
        """How many requests ended otherwise than expected."""
        return self.requests - self.outcomes.get(rows.OK, 0)

    def add(self, tallies: Tallies) -> None:
        """Take in what was merged."""
        for (second, scenario), tally in tallies.items():
            for outcome, number in tally.outcomes().items():
                self.outcomes[outcome] = self.outcomes.get(outcome, 0) + number
            self.dropped += tally.counts.get(rows.DROPPED, 0)
            self.answered[second] = self.answered.get(second, 0) + tally.counts.get(rows.ANSWERED, 0)
            if scenario == rows.EVERY:
                self.lag.merge(tally.histograms.get(rows.LAG, Histogram()))
            elif second >= self._warm_up_s:
                for outcome in rows.JUDGED_LATENCIES:
                    if (histogram := tally.histograms.get(rows.OUTCOME_SERIES + outcome)) is not None:
                        self.judged.merge(histogram)
