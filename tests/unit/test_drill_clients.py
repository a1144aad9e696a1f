"""What clients saw during a drill, and when it says that the service has recovered; and the timeline."""

from __future__ import annotations

from datetime import timedelta

from readiness.drill_clients import (
    ClientsSeen,
    SecondSeen,
    Watched,
    between,
    missed,
    recovered_at,
    watched_objectives,
    within,
)
from readiness.drill_timeline import Timeline
from tests.unit.samples import T0, a_plan

ERRORS = Watched(id="errors", kind="errors", max_ratio=0.01)
FAST = Watched(id="fast", kind="latency", max_ratio=0.05, threshold_ms=250)


def seen(*failed: int, slow: int = 0, requests: int = 100) -> ClientsSeen:
    seconds = tuple(
        SecondSeen(second=index, requests=requests, failed=count, slow={"fast": slow}, p95_ms=None)
        for index, count in enumerate(failed)
    )
    return ClientsSeen(started_at=T0, watched=(ERRORS, FAST), seconds=seconds, problems=())


def at(second: float):
    return T0 + timedelta(seconds=second)


LASTING = timedelta(seconds=3)


def test_the_objectives_with_alarms_over_all_requests_are_watched():
    assert [(each.id, each.kind, each.threshold_ms) for each in watched_objectives(a_plan())] == [
        ("latency", "latency", 250.0)
    ]


def test_a_window_counts_every_second_that_it_touches():
    window = between(seen(1, 2, 4, 8), at(1.2), at(2.1))

    assert (window.requests, window.failed) == (200, 6)


def test_a_steady_state_is_of_whole_seconds_alone():
    """The second in which a fault is put in may hold its first failures."""
    window = within(seen(1, 2, 4, 8), at(0.5), at(3.1))

    assert (window.requests, window.failed) == (200, 6)
    assert within(seen(1, 2), at(0.2), at(0.9)).requests == 0


def test_recovery_begins_where_the_objectives_are_met_for_so_long():
    assert recovered_at(seen(0, 9, 9, 0, 0, 0), at(1), LASTING) == at(3)


def test_a_pause_between_failures_is_no_recovery():
    assert recovered_at(seen(0, 9, 0, 0, 9, 0, 0, 0), at(1), LASTING) == at(5)


def test_without_a_whole_window_there_is_no_recovery():
    assert recovered_at(seen(0, 9, 0, 0), at(1), LASTING) is None
    assert recovered_at(seen(), at(0), LASTING) is None


def test_silence_is_no_recovery():
    assert recovered_at(seen(0, 0, 0, 0, 0, requests=0), at(0), LASTING) is None


def test_slow_answers_are_no_recovery():
    assert recovered_at(seen(0, 0, 0, 0, slow=6), at(0), LASTING) is None
    assert recovered_at(seen(0, 0, 0, 0, slow=5), at(0), LASTING) == at(0)


def test_a_window_without_requests_misses_every_objective():
    assert missed(between(seen(), at(0), at(9)), (ERRORS, FAST)) == ("errors: no request", "fast: no request")


def test_the_timeline_tells_seconds_since_its_first_mark_and_each_mark_once():
    said, shown, now = [], [], [T0]
    timeline = Timeline("rollback", said.append, shown.append, clock=lambda: now[0])

    timeline.mark("inject")
    now[0] = at(4.5)
    timeline.mark("alarm")
    timeline.mark("alarm", at(9))
    timeline.show("rolling back")

    assert said == ["rollback:   +0.0 s  inject", "rollback:   +4.5 s  alarm"]
    assert shown == [{"inject": "0 s", "alarm": "4 s", "rolling back": "4 s"}]
    assert timeline.marks == {"inject": T0, "alarm": at(4.5)}
