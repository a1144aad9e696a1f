"""What workers report merges exactly: two workers' figures equal one count of all samples, to the digit."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable
from typing import Any

import pytest

from readiness import stats
from readiness.histogram import HIGHEST_US
from readiness.loadgen import rows
from readiness.loadgen.merging import Merged, Merger, pack
from readiness.loadgen.rows import Tallies, merge_into, tally_of, to_rows


def tallies(seed: int, requests: int = 400) -> Tallies:
    choose = random.Random(seed)
    made: Tallies = {}
    for _ in range(requests):
        second, scenario = choose.randrange(4), choose.choice(["a", "b", "näme with spaces", rows.EVERY])
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


def ended(part: Tallies) -> int:
    return sum(tally.requests for tally in part.values())


@pytest.mark.parametrize("workers", [1, 2, 7])
@pytest.mark.parametrize("seed", range(5))
def test_merged_reports_equal_one_count_of_all(workers: int, seed: int) -> None:
    parts = [(f"w{number % workers}", tallies(100 * seed + number)) for number in range(2 * workers)]
    whole: Tallies = {}
    for _, part in parts:
        merge_into(whole, part)
    found = merged(parts)
    assert to_rows(found.tallies) == to_rows(whole)
    assert found.unreadable == {}
    assert found.ended == {
        f"w{worker}": sum(ended(part) for name, part in parts if name == f"w{worker}") for worker in range(workers)
    }


def test_every_percentile_of_two_workers_is_that_of_all_samples() -> None:
    choose = random.Random(3)
    samples = [int(choose.lognormvariate(9, 1)) for _ in range(20_000)]
    one, two, both = {}, {}, {}
    for number, sample in enumerate(samples):
        for into in (both, two if number % 3 else one):
            tally_of(into, 0, "a").time(rows.OUTCOME_SERIES + rows.OK, sample)
    found = merged([("one", one), ("two", two)]).tallies[0, "a"].latencies()
    expected = both[0, "a"].latencies()
    for tenths in range(1, 1000):
        assert stats.percentile_ms(found, tenths / 10) == stats.percentile_ms(expected, tenths / 10)


def test_nothing_reported_is_nothing_counted() -> None:
    assert merged([]) == Merged()
    assert merged([("w", {})]).tallies == {}
    assert merged([("w", {}), ("v", tallies(1))]).ended == {"w": 0, "v": ended(tallies(1))}


def test_a_merger_forgets_what_it_has_merged() -> None:
    merger = Merger()
    merger.add("w", pack(tallies(1)))
    assert merger.merge().tallies
    assert merger.merge() == Merged()


def test_large_counts_and_the_longest_latency_are_kept() -> None:
    made: Tallies = {}
    tally = tally_of(made, 86_400, "a")
    tally.histogram(rows.OUTCOME_SERIES + rows.OK).record(HIGHEST_US, 4_000_000_000)
    tally.count(rows.OFFERED, 4_000_000_000)
    whole = merged([("w", made), ("v", made), ("u", made)]).tallies[86_400, "a"]
    assert whole.requests == whole.counts[rows.OFFERED] == 12_000_000_000
    assert whole.latencies().value_at_rank(1) >= HIGHEST_US


def broken(**columns: Any) -> dict[str, object]:
    return {**pack(tallies(1)), **columns}


@pytest.mark.parametrize(
    "report",
    [
        {},
        broken(runs=b"123"),
        broken(runs=b""),
        broken(buckets=b""),
        broken(counts=b"1234"),
        broken(names=[]),
        broken(names=["no kind"]),
        broken(names=[name.replace("\x1fcount", "\x1fother") for name in pack(tallies(1))["names"]]),  # type: ignore[attr-defined]
        broken(names=None),
        broken(buckets=None),
        broken(buckets=array("H", [65_535] * (len(pack(tallies(1))["buckets"]) // 2)).tobytes()),  # type: ignore[arg-type]
    ],
)
def test_a_damaged_report_is_told_with_its_worker_and_spoils_no_other(report: dict[str, object]) -> None:
    merger = Merger()
    merger.add("good", pack(tallies(1)))
    merger.add("bad", report)
    merger.add("fine", pack(tallies(2)))
    found = merger.merge()
    assert set(found.unreadable) == {"bad"}
    assert set(found.ended) == {"good", "fine"}
    whole = tallies(1)
    merge_into(whole, tallies(2))
    assert to_rows(found.tallies) == to_rows(whole)
