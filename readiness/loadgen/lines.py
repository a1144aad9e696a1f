"""What the master prints: one JSON object a line, numbered, each short enough for a log driver to keep whole.

Container log drivers split a line at 16 kB and may drop lines under pressure. So a line stays below 15 kB, and the
numbers tell the reader when one is missing.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from readiness.histogram import Histogram
from readiness.loadgen.rows import Row

MAX_BYTES = 15_000
_ROOM_FOR_ROWS = MAX_BYTES - 1_000
_MAX_HISTOGRAM = 10_000


class Printer:
    """Writes numbered lines to stdout."""

    def __init__(self) -> None:
        self._number = 0

    def line(self, kind: str, **fields: Any) -> None:
        """Write one line, at once."""
        text = json.dumps({"n": self._number, "type": kind, **fields}, separators=(",", ":"), allow_nan=False)
        if len(text) > MAX_BYTES:
            raise ValueError(f"A {kind!r} line of {len(text)} characters would be cut in two by a log driver.")
        self._number += 1
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    def rows(self, rows: Iterable[Row]) -> None:
        """Write rows, over as many lines as they need."""
        for chunk in chunks(rows):
            self.line("rows", rows=chunk)


def chunks(rows: Iterable[Row]) -> Iterator[list[list[object]]]:
    """Yield lists of compact rows that each fit in a line."""
    chunk: list[list[object]] = []
    size = 0
    for row in rows:
        for piece in _pieces(row):
            length = len(json.dumps(piece, separators=(",", ":"))) + 1
            if chunk and size + length > _ROOM_FOR_ROWS:
                yield chunk
                chunk, size = [], 0
            chunk.append(piece)
            size += length
    if chunk:
        yield chunk


def row_of(piece: list[Any]) -> Row:
    """Return the row (or the part of one) that a compact piece spells."""
    second, scenario, histograms, counts = piece
    return Row(second=int(second), scenario=str(scenario), histograms=dict(histograms), counts=dict(counts))


def _pieces(row: Row) -> Iterator[list[object]]:
    """Yield a row whole if it is short, else one piece per series, and a very long series in halves."""
    whole: list[object] = [row.second, row.scenario, row.histograms, row.counts]
    if len(json.dumps(whole)) <= _MAX_HISTOGRAM:
        yield whole
        return
    yield [row.second, row.scenario, {}, row.counts]
    for series, text in row.histograms.items():
        for part in _parts(text):
            yield [row.second, row.scenario, {series: part}, {}]


def _parts(text: str) -> Iterator[str]:
    if len(text) <= _MAX_HISTOGRAM:
        yield text
        return
    for half in Histogram.decode(text).split():
        yield from _parts(half.encode())
