"""What workers report, as compact columns, and how a master merges what all of them reported in one go.

A worker's report is one message a second. Its histograms and counts are runs of cells, a cell being a bucket and its
count; the columns are plain bytes, quick to make without numpy, which workers do not load. The master only keeps them
until its next tick, joins the columns of all workers, and adds up equal cells: its effort grows with the number of
cells, its memory with the number of rows, neither with the number of requests.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from readiness.histogram import BUCKETS
from readiness.loadgen import rows
from readiness.loadgen.rows import Tallies

if TYPE_CHECKING:
    import numpy as np

_SEPARATOR = "\x1f"
_COUNT, _HISTOGRAM = "count", "histogram"
_KINDS = ([_COUNT], [_HISTOGRAM])
_COLUMNS = ("runs", "buckets", "counts")
_RUN_ITEMS = 3
_MOST_KNOWN = 1000
_ENDED = frozenset(rows.OUTCOME_SERIES + outcome for outcome in rows.OUTCOMES)


def pack(tallies: Tallies) -> dict[str, object]:
    """Return what a worker counted, as columns for its message.

    Returns:
        ``names``: sorted texts of scenario, kind and series; ``runs``: triples of second, index of the name and number
        of cells, 32 bits each; ``buckets``: of the cells, 16 bits each; ``counts``: of the cells, 32 bits each.
    """
    index = {name: number for number, name in enumerate(sorted(set(_names(tallies))))}
    runs, buckets, counts = array("I"), array("H"), array("I")
    for (second, scenario), tally in tallies.items():
        for series, histogram in tally.histograms.items():
            runs.extend((second, index[_name(scenario, _HISTOGRAM, series)], len(histogram.counts)))
            buckets.extend(histogram.counts)
            counts.extend(histogram.counts.values())
        for series, number in tally.counts.items():
            runs.extend((second, index[_name(scenario, _COUNT, series)], 1))
            buckets.append(0)
            counts.append(number)
    return {
        "names": list(index),
        "runs": runs.tobytes(),
        "buckets": buckets.tobytes(),
        "counts": counts.tobytes(),
    }


def _names(tallies: Tallies) -> Iterator[str]:
    for (_, scenario), tally in tallies.items():
        for series in tally.histograms:
            yield _name(scenario, _HISTOGRAM, series)
        for series in tally.counts:
            yield _name(scenario, _COUNT, series)


def _name(scenario: str, kind: str, series: str) -> str:
    return f"{scenario}{_SEPARATOR}{kind}{_SEPARATOR}{series}"


@dataclass(frozen=True)
class Merged:
    """What one tick's reports came to.

    Attributes:
        tallies: All of them, added up.
        ended: Worker -> how many requests its reports say the end of.
        unreadable: Worker -> what is wrong with a report of its; nothing of that report is in *tallies*.
    """

    tallies: Tallies = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)


class Merger:
    """Takes reports in as they come, and merges them when it is asked to."""

    def __init__(self) -> None:
        # Nearly always all workers have the same names, so that their columns can be joined as they are.
        self._waiting: dict[tuple[str, ...], list[tuple[str, Mapping[str, Any]]]] = defaultdict(list)
        self._unreadable: dict[str, str] = {}
        self._known: set[tuple[str, ...]] = set()

    def add(self, worker: str, report: Mapping[str, Any]) -> None:
        """Take in what a worker packed."""
        try:
            names = tuple(report["names"])
            columns = [report[column] for column in _COLUMNS]
        except (KeyError, TypeError):
            self._unreadable[worker] = "a column is missing"
            return
        problem = self._problem(names, columns)
        if problem:
            self._unreadable[worker] = problem
        else:
            self._waiting[names].append((worker, report))

    def _problem(self, names: tuple[str, ...], columns: list[Any]) -> str:
        """Return why a report cannot be one of ours; what its runs say is checked when they are joined."""
        if names not in self._known:
            if not all(isinstance(name, str) and name.rsplit(_SEPARATOR, 2)[1:-1] in _KINDS for name in names):
                return "its names are none"
            self._known = {*self._known, names} if len(self._known) < _MOST_KNOWN else {names}
        runs, buckets, counts = columns
        if not (type(runs) is type(buckets) is type(counts) is bytes):
            return "a column is not of bytes"
        if len(runs) % (4 * _RUN_ITEMS) or len(buckets) % 2 or len(counts) != 2 * len(buckets):
            return "a column was cut off"
        return ""

    def merge(self) -> Merged:
        """Return all that was taken in since the last call, added up."""
        waiting, self._waiting = self._waiting, defaultdict(list)
        merged = Merged(unreadable=self._unreadable)
        self._unreadable = {}
        for names, reports in waiting.items():
            _merge(names, reports, merged)
        return merged


def _merge(names: tuple[str, ...], reports: Sequence[tuple[str, Mapping[str, Any]]], merged: Merged) -> None:
    """Add reports of the same names to what was merged; those whose runs do not fit their cells are left out."""
    import numpy as np  # here, for workers import this module as well

    columns = [b"".join([report[column] for _, report in reports]) for column in _COLUMNS]
    runs = np.frombuffer(columns[0], dtype="<u4").astype(np.int64).reshape(-1, _RUN_ITEMS)
    buckets, counts = np.frombuffer(columns[1], dtype="<u2"), np.frombuffer(columns[2], dtype="<u4")
    report_of_run = np.repeat(
        np.arange(len(reports)), [len(report["runs"]) // (4 * _RUN_ITEMS) for _, report in reports]
    )
    fits = _fitting(reports, names, runs, report_of_run, buckets)
    if not all(fits):
        merged.unreadable.update(
            (worker, "its runs do not fit its cells") for (worker, _), fit in zip(reports, fits, strict=True) if not fit
        )
        _merge(names, [report for report, fit in zip(reports, fits, strict=True) if fit], merged)
    elif len(runs):
        starts = np.cumsum(runs[:, 2]) - runs[:, 2]
        _count_ended(names, reports, runs, report_of_run, np.add.reduceat(counts, starts, dtype=np.int64), merged)
        _add_cells(names, runs, buckets, counts, merged.tallies)
    else:
        merged.ended.update((worker, merged.ended.get(worker, 0)) for worker, _ in reports)


def _fitting(
    reports: Sequence[tuple[str, Mapping[str, Any]]],
    names: tuple[str, ...],
    runs: np.ndarray[Any, Any],
    report_of_run: np.ndarray[Any, Any],
    buckets: np.ndarray[Any, Any],
) -> list[bool]:
    """Return of each report whether its runs have as many cells as it has, of names and buckets that there are."""
    import numpy as np

    cells = np.array([len(report["buckets"]) // 2 for _, report in reports])
    wrong = (runs[:, 1] >= len(names)) | (runs[:, 2] == 0)
    fits = np.bincount(report_of_run, weights=runs[:, 2], minlength=len(reports)) == cells
    fits &= np.bincount(report_of_run, weights=wrong, minlength=len(reports)) == 0
    if len(buckets) and buckets.max() >= BUCKETS:
        report_of_cell = np.repeat(np.arange(len(reports)), cells)
        fits &= np.bincount(report_of_cell, weights=buckets >= BUCKETS, minlength=len(reports)) == 0
    return [bool(fit) for fit in fits]


def _count_ended(
    names: tuple[str, ...],
    reports: Sequence[tuple[str, Any]],
    runs: np.ndarray[Any, Any],
    report_of_run: np.ndarray[Any, Any],
    count_of_run: np.ndarray[Any, Any],
    merged: Merged,
) -> None:
    """Count the requests whose end each worker's reports tell."""
    import numpy as np

    split = [name.rsplit(_SEPARATOR, 2) for name in names]
    tells = np.array([kind == _HISTOGRAM and series in _ENDED for _, kind, series in split], dtype=np.int64)
    ended = np.bincount(report_of_run, weights=count_of_run * tells[runs[:, 1]], minlength=len(reports))
    for (worker, _), number in zip(reports, ended.tolist(), strict=True):
        merged.ended[worker] = merged.ended.get(worker, 0) + int(number)


def _add_cells(
    names: tuple[str, ...],
    runs: np.ndarray[Any, Any],
    buckets: np.ndarray[Any, Any],
    counts: np.ndarray[Any, Any],
    tallies: Tallies,
) -> None:
    """Add up the cells of the same second, name and bucket. Sums are exact: they stay far below 2^53."""
    import numpy as np

    seconds, second_number = np.unique(runs[:, 0], return_inverse=True)
    used = np.flatnonzero(np.bincount(buckets, minlength=BUCKETS))
    number_of_bucket = np.zeros(BUCKETS, dtype=np.int64)
    number_of_bucket[used] = np.arange(len(used))
    row_of_run = second_number * len(names) + runs[:, 1]
    key = np.repeat(row_of_run * len(used), runs[:, 2]) + number_of_bucket[buckets]
    sums = np.bincount(key, weights=counts, minlength=len(seconds) * len(names) * len(used)).astype(np.int64)
    for row, line in enumerate(sums.reshape(-1, len(used))):
        hit = np.flatnonzero(line)
        if not len(hit):
            continue
        second, name = divmod(row, len(names))
        scenario, kind, series = names[name].rsplit(_SEPARATOR, 2)
        tally = rows.tally_of(tallies, int(seconds[second]), scenario)
        if kind == _COUNT:
            tally.count(series, int(line.sum()))
        else:
            tally.histogram(series).add_buckets(zip(used[hit].tolist(), line[hit].tolist(), strict=True))
