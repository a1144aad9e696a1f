from __future__ import annotations

import base64
import random
import struct
import zlib

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from readiness.errors import EvidenceError
from readiness.histogram import (
    BUCKETS,
    HIGHEST_US,
    Histogram,
    bucket_of,
    highest_value_of,
    merged,
    merged_wire_forms,
)

values = st.integers(min_value=0, max_value=HIGHEST_US)


def histogram_of(numbers: list[int]) -> Histogram:
    histogram = Histogram()
    for number in numbers:
        histogram.record(number)
    return histogram


@given(values)
def test_no_value_is_understated_nor_overstated_by_more_than_a_thousandth(value: int) -> None:
    reported = highest_value_of(bucket_of(value))
    assert value <= reported <= value * 1.001


@given(st.lists(values, max_size=50), st.lists(values, max_size=50))
@settings(max_examples=50)
def test_two_merged_equal_one_of_all(first: list[int], second: list[int]) -> None:
    assert merged([histogram_of(first), histogram_of(second)]) == histogram_of(first + second)


@given(st.lists(values, max_size=60))
@settings(max_examples=50)
def test_the_wire_form_loses_nothing(numbers: list[int]) -> None:
    histogram = histogram_of(numbers)
    decoded = Histogram.decode(histogram.encode())
    assert decoded == histogram
    assert decoded.total == len(numbers)


def test_hdrhistogram_itself_reads_the_wire_form_and_agrees() -> None:
    choose = random.Random(7)
    numbers = [int(choose.lognormvariate(9, 1)) for _ in range(5000)]
    oracle = HdrHistogram(1, HIGHEST_US, 3)
    for number in numbers:
        oracle.record_value(number)
    read = HdrHistogram.decode(histogram_of(numbers).encode())
    for percentile in (1, 50, 90, 95, 99, 99.9, 100):
        assert read.get_value_at_percentile(percentile) == oracle.get_value_at_percentile(percentile)
    assert read.get_total_count() == 5000


def test_halves_merge_to_the_whole() -> None:
    histogram = histogram_of(list(range(0, 100_000, 37)))
    assert merged(histogram.split()) == histogram


def test_a_negative_latency_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Histogram().record(-1)


def test_more_than_an_hour_counts_as_an_hour_and_is_not_lost() -> None:
    histogram = histogram_of([HIGHEST_US * 5])
    assert histogram.total == 1
    assert histogram.value_at_rank(1) >= HIGHEST_US


@pytest.mark.parametrize("rank", [0, 3])
def test_a_rank_that_nothing_has_is_refused(rank: int) -> None:
    with pytest.raises(ValueError, match="no value of rank"):
        histogram_of([1, 2]).value_at_rank(rank)


def damaged() -> list[str]:
    good = histogram_of([5, 900, 70_000]).encode()
    raw = base64.b64decode(good)
    flipped = bytearray(raw)
    flipped[-3] ^= 0xFF
    return [
        "",
        "not base64!",
        good[:-8],
        base64.b64encode(bytes(flipped)).decode(),
        base64.b64encode(raw + b"x").decode(),
    ]


@pytest.mark.parametrize("text", damaged())
def test_a_damaged_wire_form_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError, match="cannot be read"):
        Histogram.decode(text)


def test_count_above_counts_only_what_was_greater() -> None:
    histogram = Histogram()
    for value in (100, 5_000, 2_000_000):
        histogram.record(value)

    assert histogram.count_above(100) == 2
    assert histogram.count_above(2_000_000) == 0
    assert Histogram().count_above(0) == 0


def test_merging_into_an_empty_histogram_leaves_the_other_alone() -> None:
    first, second = Histogram(), histogram_of([1, 2])
    first.merge(second)
    first.record(3)
    assert (first.total, second.total, len(second.counts)) == (3, 2, 2)


# --- many wire forms at once -----------------------------------------------------------------------------------------

counts = st.one_of(st.integers(1, 3), st.integers(1, 2**20), st.integers(1, 2**60))


@given(st.lists(st.dictionaries(st.integers(0, BUCKETS - 1), counts, max_size=30), max_size=30))
@settings(max_examples=80, deadline=None)
def test_many_wire_forms_at_once_are_what_they_are_one_by_one(buckets: list[dict[int, int]]) -> None:
    histograms = []
    for each in buckets:
        histograms.append(Histogram())
        histograms[-1].add_buckets(each.items())
    expected = merged(histograms)
    found = merged_wire_forms([histogram.encode() for histogram in histograms])
    assert found == expected
    assert found.total == expected.total


def test_more_wire_forms_than_are_read_at_once_lose_nothing() -> None:
    choose = random.Random(5)
    histograms = [histogram_of([int(choose.lognormvariate(9, 2)) for _ in range(60)]) for _ in range(5000)]
    texts = [histogram.encode() for histogram in histograms]
    assert merged_wire_forms(texts) == merged(histograms)
    assert merged_wire_forms(texts).total == 300_000


def wire_form(payload: bytes) -> str:
    """Return a wire form around any bytes of counts."""
    plain = struct.pack(">iiiiqqd", 0x1C849303 | 0x10, len(payload), 0, 3, 1, HIGHEST_US, 1.0) + payload
    packed = zlib.compress(plain)
    return base64.b64encode(struct.pack(">ii", 0x1C849304 | 0x10, len(packed)) + packed).decode()


ODD = [
    wire_form(b"\x02\x80"),  # the last number is cut off
    wire_form(b"\x80" * 20),
    wire_form(b"\x02" * (BUCKETS + 1)),
    wire_form(b"\xff\xff\x7f\x02"),  # a run of zeros beyond the last bucket
]


@pytest.mark.parametrize("text", [*damaged(), *ODD])
@pytest.mark.parametrize("place", [0, 7, 20])
def test_one_damaged_wire_form_among_many_is_refused(text: str, place: int) -> None:
    texts = [histogram_of([5, 900, 70_000]).encode()] * 20
    texts.insert(place, text)
    with pytest.raises(EvidenceError, match="cannot be read"):
        merged_wire_forms(texts)
    with pytest.raises(EvidenceError, match="cannot be read"):
        Histogram.decode(text)


def test_wire_forms_of_nothing_are_nothing() -> None:
    assert merged_wire_forms([]).total == 0
    assert merged_wire_forms([Histogram().encode()] * 20).total == 0
