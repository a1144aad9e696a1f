"""What workers report merges exactly: two workers' figures equal one count of all samples, to the digit."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readiness import stats
from readiness.histogram import HIGHEST_US
from readiness.loadgen import merging, rows
from readiness.loadgen.merging import Merged, Merger, Running, pack
from readiness.loadgen.rows import Tallies, merge_into, tally_of, to_rows

FIRST, SPAN, NAMES, ENDED, TOTAL, ROWS, BUCKETS, COUNTS = range(8)


def tallies(seed: int, requests: int = 400) -> Tallies:
    choose = random.Random(seed)
    made: Tallies = {}
    for _ in range(requests):
        second, scenario = choose.randrange(4), choose.choice(["a", "b", "näme\x1fwith 'odd' \"letters\"", rows.EVERY])
        tally = tally_of(made, second, scenario)
        tally.count(rows.OFFERED)
        latency = min(int(choose.lognormvariate(9, choose.choice([0.1, 3]))), HIGHEST_US)
        if scenario == rows.EVERY:
            tally.time(rows.LAG, latency)
            continue
        tally.time(rows.OUTCOME_SERIES + choose.choice(rows.OUTCOMES), latency)
        tally.time(rows.CACHE_SERIES + choose.choice(["hit", "miss"]), latency)
        tally.count(rows.STATUS_COUNT + choose.choice(["200", "503"]))
    return made


def merged(parts: Iterable[tuple[str, Tallies]]) -> Merged:
    merger = Merger()
    for worker, part in parts:
        merger.add(worker, pack(part))
    return merger.merge()


def whole_of(parts: Iterable[Tallies]) -> Tallies:
    whole: Tallies = {}
    for part in parts:
        merge_into(whole, part)
    return whole


def ended(part: Tallies) -> int:
    return sum(tally.requests for tally in part.values())


def of_latencies(latencies: Iterable[int]) -> Tallies:
    made: Tallies = {}
    for latency in latencies:
        tally_of(made, 0, "a").time(rows.OUTCOME_SERIES + rows.OK, latency)
    return made


# --- exact -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("seed", range(5))
def test_merged_reports_equal_one_count_of_all(workers: int, seed: int) -> None:
    parts = [(f"w{number % workers}", tallies(100 * seed + number)) for number in range(2 * workers)]
    found = merged(parts)
    assert to_rows(found.tallies) == to_rows(whole_of(part for _, part in parts))
    assert found.unreadable == {}
    assert found.ended == {
        f"w{worker}": sum(ended(part) for name, part in parts if name == f"w{worker}") for worker in range(workers)
    }


@given(st.lists(st.lists(st.integers(min_value=0, max_value=HIGHEST_US), max_size=30), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_every_percentile_of_any_workers_is_that_of_all_samples(samples: list[list[int]]) -> None:
    found = merged((f"w{number}", of_latencies(each)) for number, each in enumerate(samples)).tallies
    flat = sorted(latency for each in samples for latency in each)
    assert ended(found) == len(flat)
    if flat:
        of_all = of_latencies(flat)[0, "a"].latencies()
        for tenths in range(1, 1001, 7):
            assert stats.percentile_ms(found[0, "a"].latencies(), tenths / 10) == stats.percentile_ms(
                of_all, tenths / 10
            )


def test_every_percentile_of_two_workers_is_that_of_all_samples_to_the_digit() -> None:
    choose = random.Random(3)
    samples = [int(choose.lognormvariate(9, 1)) for _ in range(20_000)]
    parts = [("one", of_latencies(samples[::3])), ("two", of_latencies(samples[1::3] + samples[2::3]))]
    found = merged(parts).tallies[0, "a"].latencies()
    expected = of_latencies(samples)[0, "a"].latencies()
    for tenths in range(1, 1000):
        assert stats.percentile_ms(found, tenths / 10) == stats.percentile_ms(expected, tenths / 10)


@pytest.mark.parametrize(("fold_at", "table"), [(1, 1 << 21), (1, 1), (1 << 30, 1), (3000, 200_000)])
def test_it_does_not_matter_when_and_where_cells_are_added_up(
    fold_at: int, table: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_FOLD_AT_BYTES", fold_at)
    monkeypatch.setattr(merging, "_MOST_IN_TABLE", table)
    # Wider and wider, so that a table has to grow and then to be given up.
    parts = [of_latencies([10**power, 10**power, 7]) for power in range(1, 10)] + [tallies(seed) for seed in range(9)]
    found = merged((f"w{number}", part) for number, part in enumerate(parts))
    assert to_rows(found.tallies) == to_rows(whole_of(parts))
    assert sum(found.ended.values()) == sum(map(ended, parts))


def test_workers_that_report_other_seconds_and_names_are_merged_too() -> None:
    parts: list[Tallies] = []
    for number in range(5):
        made: Tallies = {}
        tally_of(made, 1000 + number, "a").time(rows.OUTCOME_SERIES + rows.OUTCOMES[number], 5000)
        tally_of(made, 1002, f"scenario-{number}").count(rows.OFFERED, number)
        parts.append(made)
    found = merged((f"w{number}", part) for number, part in enumerate(parts)).tallies
    expected = whole_of(parts)
    del expected[1002, "scenario-0"]  # counted nothing
    assert to_rows(found) == to_rows(expected)


def test_counts_that_one_cell_cannot_hold_and_the_longest_latency_are_kept() -> None:
    made: Tallies = {}
    tally = tally_of(made, 86_400, "a")
    tally.histogram(rows.OUTCOME_SERIES + rows.OK).record(HIGHEST_US, 10_000_000_001)
    tally.histogram(rows.OUTCOME_SERIES + rows.OK).record(0, 1)
    tally.count(rows.OFFERED, 9_000_000_007)
    whole = merged([("w", made), ("v", made), ("u", made)]).tallies[86_400, "a"]
    assert whole.requests == 30_000_000_006
    assert whole.counts == {rows.OFFERED: 27_000_000_021}
    assert whole.latencies().value_at_rank(3) == 0
    assert whole.latencies().value_at_rank(4) >= HIGHEST_US


# --- nothing ---------------------------------------------------------------------------------------------------------


def test_nothing_reported_is_nothing_counted() -> None:
    assert merged([]) == Merged()
    assert merged([("w", {})]).tallies == {}
    assert merged([("w", {}), ("v", tallies(1))]).ended == {"w": 0, "v": ended(tallies(1))}


def test_a_histogram_without_values_is_no_fault() -> None:
    made = tallies(1)
    tally_of(made, 2, "empty").histogram(rows.OUTCOME_SERIES + rows.OK)
    found = merged([("w", made)])
    assert found.unreadable == {}
    assert to_rows(found.tallies) == to_rows(tallies(1))


def test_a_merger_forgets_what_it_has_merged() -> None:
    merger = Merger()
    merger.add("w", pack(tallies(1)))
    assert merger.merge().tallies
    assert merger.merge() == Merged()


# --- damaged ---------------------------------------------------------------------------------------------------------


def broken(**columns: Any) -> list[Any]:
    report = pack(tallies(1))
    for column, value in columns.items():
        report[globals()[column]] = value
    return report


def cells(column: int) -> bytes:
    found = pack(tallies(1))[column]
    assert isinstance(found, bytes)
    return found


def cut(size: int) -> dict[str, bytes]:
    """Take cells away from the end of all columns."""
    return {
        "ROWS": cells(ROWS)[: -4 * size],
        "BUCKETS": cells(BUCKETS)[: -2 * size],
        "COUNTS": cells(COUNTS)[: -4 * size],
    }


def more(row: int, bucket: int, count: int) -> dict[str, bytes]:
    """Put a cell at the end of all columns."""
    return {
        "ROWS": cells(ROWS) + array("I", [row]).tobytes(),
        "BUCKETS": cells(BUCKETS) + array("H", [bucket]).tobytes(),
        "COUNTS": cells(COUNTS) + array("I", [count]).tobytes(),
    }


NAMES_OF_IT = json.loads(str(pack(tallies(1))[NAMES]))
DAMAGE: dict[str, Any] = {
    "nothing": None,
    "no columns": [],
    "the form of another version": {"names": [], "runs": b""},
    "a column too many": [*pack(tallies(1)), b""],
    "a column too few": pack(tallies(1))[:-1],
    "a column cut off": broken(ROWS=cells(ROWS)[:-1]),
    "a column without its last cell": broken(COUNTS=cells(COUNTS)[:-4]),
    "junk behind a column": broken(BUCKETS=cells(BUCKETS) + b"xy"),
    "no cells": broken(ROWS=b"", BUCKETS=b"", COUNTS=b""),
    "the last cell cut off": broken(**cut(1)),
    "half of the cells cut off": broken(**cut(300)),
    "a cell too much": broken(**more(0, 0, 1)),
    "a row that there is not": broken(**more(10_000, 0, 0)),
    "a bucket that there is not": broken(**more(0, 65_535, 0)),
    "one count changed": broken(COUNTS=array("I", [77]).tobytes() + cells(COUNTS)[4:]),
    "other outcomes than it says": broken(ENDED=1),
    "another sum than it says": broken(TOTAL=1),
    "a sum that is no number": broken(TOTAL="1"),
    "outcomes of no number": broken(ENDED=None),
    "bytes that are none": broken(COUNTS="x"),
    "no names": broken(NAMES="[]"),
    "names that are no text": broken(NAMES=NAMES_OF_IT),
    "names that are no JSON": broken(NAMES="["),
    "names without a kind": broken(NAMES='["a"]'),
    "names of another kind": broken(NAMES=json.dumps([[a, "other", c] for a, _, c in NAMES_OF_IT])),
    "names that are numbers": broken(NAMES=json.dumps([[1, b, c] for _, b, c in NAMES_OF_IT])),
    "names without end": broken(NAMES="[" * 100_000),
    "fewer seconds than it has": broken(SPAN=1),
    "more seconds than there can be": broken(SPAN=10**9),
    "less than no seconds": broken(SPAN=-1),
    "seconds before the start": broken(FIRST=-5),
    "a start that is no number": broken(FIRST=0.5),
    "a start that is a list": broken(FIRST=[]),
}


@pytest.mark.parametrize("report", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_report_is_told_with_its_worker_and_spoils_no_other(report: Any) -> None:
    merger = Merger()
    merger.add("good", pack(tallies(1)))
    merger.add("bad", report)
    merger.add("fine", pack(tallies(2)))
    found = merger.merge()
    assert set(found.unreadable) == {"bad"}
    assert found.unreadable["bad"]
    assert found.ended == {"good": ended(tallies(1)), "fine": ended(tallies(2))}
    assert to_rows(found.tallies) == to_rows(whole_of([tallies(1), tallies(2)]))


@given(st.integers(min_value=0, max_value=2), st.data())
@settings(max_examples=80, deadline=None)
def test_no_cut_of_the_columns_is_taken_for_a_report(column: int, data: st.DataObject) -> None:
    report = pack(tallies(1))
    whole = report[ROWS + column]
    assert isinstance(whole, bytes)
    report[ROWS + column] = whole[: data.draw(st.integers(min_value=0, max_value=len(whole) - 1))]
    merger = Merger()
    merger.add("bad", report)
    found = merger.merge()
    assert set(found.unreadable) == {"bad"}
    assert found.tallies == {}
    assert found.ended == {}


# --- figures of a drive under way ------------------------------------------------------------------------------------


def test_what_a_master_tells_meanwhile_is_what_it_has_merged() -> None:
    parts = [tallies(seed) for seed in range(4)]
    running = Running(warm_up_s=2)
    for part in parts:
        running.add(part)
    whole = whole_of(parts)
    over_all = rows.over_all({f"{second}/{scenario}": tally for (second, scenario), tally in whole.items()})
    judged = rows.over_all({f"{s}/{name}": tally for (s, name), tally in whole.items() if name and s >= 2})
    assert running.outcomes == over_all.outcomes()
    assert (running.requests, running.failed) == (over_all.requests, over_all.failed)
    assert running.judged == judged.latencies()
    assert running.judged.total == judged.latencies().total
    assert running.lag == over_all.histograms[rows.LAG]
    assert running.dropped == 0


def test_nothing_merged_is_told_as_nothing() -> None:
    running = Running(warm_up_s=0)
    running.add({})
    assert (running.requests, running.failed, running.outcomes, running.judged.total) == (0, 0, {}, 0)


# --- workers ---------------------------------------------------------------------------------------------------------


def modules_after(*imports: str) -> Sequence[str]:
    code = f"import sys, {', '.join(imports)}; print(*sys.modules)"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_a_worker_packs_without_numpy() -> None:
    found = modules_after("readiness.loadgen.merging", "readiness.loadgen.recorder", "readiness.loadgen.worker")
    assert "readiness.loadgen.merging" in found
    assert "numpy" not in found
