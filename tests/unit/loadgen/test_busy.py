"""Whether a load generator was out of breath: CPU seconds of the seconds that passed, however the readings lie."""

from __future__ import annotations

import pytest

from readiness.loadgen.master import Member
from readiness.loadgen.worker import BusyTime


def busiest(*readings: tuple[float, float]) -> float:
    member = Member(id="worker", index=0, heard_at=0.0)
    for cpu_s, passed_s in readings:
        member.saw_busy(cpu_s, passed_s)
    return member.busiest


def test_the_busiest_five_readings_count():
    idle, busy = [(0.1, 1.0)] * 5, [(0.95, 1.0)] * 5

    assert busiest(*idle, *busy, *idle) == pytest.approx(0.95)


def test_a_reading_of_a_moment_weighs_no_more_than_the_moment():
    readings = [(0.2, 1.0)] * 4 + [(0.01, 0.0006)]

    assert busiest(*readings) == pytest.approx(0.81 / 4.0006)


def test_readings_in_which_no_time_passed_say_nothing():
    assert busiest(*[(0.0, 0.0)] * 5) == 0


def test_a_process_that_computes_is_busy():
    busy = BusyTime()
    for _ in range(200_000):
        pass
    cpu_s, passed_s = busy.take()

    assert cpu_s > 0
    assert passed_s > 0
