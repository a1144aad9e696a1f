"""A drive over time: each figure is the evidence's own, whether of a second or of a stretch of them."""

from __future__ import annotations

from readiness import load_result, stats
from readiness.loadgen import rows
from readiness.report import over_time
from tests.unit.report.bundles import a_drive

DRIVE = a_drive(12, failed=30, silent=range(4, 6))


def test_every_second_is_there_and_its_percentile_is_that_of_its_rows():
    found = over_time.stretches(DRIVE)
    readings = over_time.latency(found, 95)

    assert [stretch.start for stretch in found] == list(range(12))
    for second, reading in enumerate(readings):
        of_it = load_result.window(DRIVE.rows, range(second, second + 1))
        if second in (4, 5):
            assert (reading.value, reading.worst) == (None, None), "silence is no latency, least of all zero"
        else:
            assert reading.value == reading.worst == load_result.percentile_ms(of_it, 95)


def test_a_stretch_has_the_percentile_of_all_its_requests_and_the_worst_of_its_seconds():
    found = over_time.stretches(DRIVE, most=4)
    readings = over_time.latency(found, 95)
    by_second = over_time.latency(over_time.stretches(DRIVE), 95)

    assert [(stretch.start, len(stretch.seconds)) for stretch in found] == [(0, 3), (3, 3), (6, 3), (9, 3)]
    for stretch, reading in zip(found, readings, strict=True):
        seconds = range(stretch.start, stretch.start + 3)
        assert reading.value == load_result.percentile_ms(load_result.window(DRIVE.rows, seconds), 95)
        assert reading.worst == max(
            each.value for second, each in enumerate(by_second) if second in seconds and each.value is not None
        )


def test_rates_are_means_and_nothing_gets_lost():
    found = over_time.stretches(DRIVE, most=4)
    offered = over_time.rate(found, over_time.offered)
    failed = over_time.rate(found, over_time.failed)
    whole = load_result.total(DRIVE.rows)

    assert sum(each.value * 3 for each in offered) == whole.counts[rows.OFFERED] == 1200
    assert sum(each.value * 3 for each in failed) == whole.failed == 30
    assert [each.worst for each in failed][-1] == 30


def test_parts_outcomes_and_cache_are_told_apart():
    found = over_time.stretches(DRIVE, most=1)
    whole = load_result.total(DRIVE.rows)

    (upstream,) = over_time.latency(found, 99, "upstream")
    assert upstream.value == stats.percentile_ms(whole.histograms[rows.UPSTREAM], 99)
    (broken,) = over_time.rate(found, over_time.ended_as(rows.STATUS))
    assert broken.value == 30 / 12
    (hits,) = over_time.rate(found, over_time.cached_as("hit"))
    assert hits.value == whole.cache_outcomes()["hit"] / 12


def test_what_comes_after_the_end_is_left_out():
    assert len(over_time.stretches(DRIVE, end=10)) == 10


def test_a_drive_of_nothing_has_no_stretches():
    assert over_time.stretches(a_drive(0)) == ()


def test_an_hour_fits_into_a_plot():
    hour = a_drive(3600, per_second=2)

    assert len(over_time.stretches(hour)) == over_time.MOST_PLACES
