"""Ctrl-C and SIGTERM: the first ends the run, and nobody leaves a clone behind by pressing twice."""

# ruff: noqa: PT012 - what a signal does to the whole block is what is tested

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from readiness.interruption import Interrupted, OutOfMoney, OutOfTime, Signals


def send(number: signal.Signals = signal.SIGINT) -> None:
    """Send a signal to this very process; Python's handler runs before the call returns."""
    os.kill(os.getpid(), number)


@pytest.fixture
def said():
    return []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_the_block(said, number):
    signals = Signals()

    with pytest.raises(Interrupted, match=number.name), signals.caught(said.append):
        send(number)
        pytest.fail("it went on")

    assert signals.interrupted
    assert not signals.gave_up
    assert not said


def test_an_interruption_is_not_taken_for_a_gates_own_trouble():
    assert not issubclass(Interrupted, Exception)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM])
def test_what_was_done_on_a_signal_before_is_done_again_after(said, number):
    before = signal.getsignal(number)

    with Signals().caught(said.append):
        during = signal.getsignal(number)

    assert during != before
    assert signal.getsignal(number) == before


def test_during_the_teardown_the_first_signal_is_only_warned_of(said):
    signals = Signals()

    with signals.caught(said.append), signals.tearing_down():
        send()

    assert len(said) == 1
    assert "Interrupt once more to give up" in said[0]
    assert not signals.interrupted


def test_during_the_teardown_the_second_signal_gives_up(said):
    signals = Signals()

    with pytest.raises(Interrupted), signals.caught(said.append), signals.tearing_down():
        send()
        send()

    assert signals.interrupted
    assert signals.gave_up


def test_a_lost_terminal_never_cuts_a_teardown_off(said):
    """The kernel and the shell may both say that it is gone."""
    signals = Signals()
    steps = []

    with pytest.raises(Interrupted), signals.caught(said.append):
        try:
            send(signal.SIGHUP)
        finally:
            with signals.tearing_down():
                send(signal.SIGHUP)
                send(signal.SIGHUP)
                steps.append("torn down")

    assert steps == ["torn down"]
    assert signals.interrupted
    assert not signals.gave_up
    assert not said


def test_a_run_under_nohup_is_not_ended_by_its_terminal(said):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals().caught(said.append):
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)

    assert not said


def test_a_signal_and_one_in_the_teardown_still_tear_down(said):
    signals = Signals()
    torn_down = False

    with pytest.raises(Interrupted), signals.caught(said.append):
        try:
            send()
        finally:
            with signals.tearing_down():
                send()
                torn_down = True

    assert torn_down
    assert signals.interrupted
    assert not signals.gave_up


def test_pressing_twice_does_not_skip_the_teardown(said):
    """The second signal may arrive while the first is on its way to the teardown, in the clean-up of a gate."""
    signals = Signals()
    steps = []

    with pytest.raises(Interrupted), signals.caught(said.append):
        try:
            try:
                send()
            finally:
                send()
                steps.append("gate cleaned up")
        finally:
            with signals.tearing_down():
                steps.append("torn down")

    assert steps == ["gate cleaned up", "torn down"]
    assert len(said) == 1


def test_the_third_signal_gives_up(said):
    signals = Signals()

    with pytest.raises(Interrupted), signals.caught(said.append):
        try:
            send()
        finally:
            with signals.tearing_down():
                send()
                send()

    assert signals.gave_up


def test_a_teardown_that_ended_is_not_under_way_any_more(said):
    signals = Signals()

    with pytest.raises(Interrupted), signals.caught(said.append):
        with signals.tearing_down():
            pass
        send()

    assert not signals.gave_up


def test_teardowns_may_be_nested(said):
    signals = Signals()

    with signals.caught(said.append), signals.tearing_down():
        with signals.tearing_down():
            pass
        send()

    assert len(said) == 1


def test_the_end_of_the_time_ends_the_block(said):
    signals = Signals()

    with pytest.raises(OutOfTime), signals.caught(said.append, within_s=0.01):
        signal.pause()

    assert not signals.interrupted


def test_the_end_of_the_time_does_not_disturb_a_teardown(said):
    signals = Signals()

    with signals.caught(said.append, within_s=0.01), signals.tearing_down():
        send(signal.SIGALRM)

    assert not said


def test_the_end_of_the_time_adds_nothing_to_an_interruption(said):
    signals = Signals()

    with signals.caught(said.append), suppress(Interrupted):
        with suppress(Interrupted):
            send()
        send(signal.SIGALRM)

    assert signals.interrupted


def test_no_alarm_rings_after_the_block(said):
    with Signals().caught(said.append, within_s=60):
        pass

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_another_thread_is_let_through(said):
    reached = []

    def work():
        with Signals().caught(said.append):
            reached.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert reached == [signal.getsignal(signal.SIGINT)]


# --- money -----------------------------------------------------------------------------------------------------------


def test_money_that_runs_out_before_the_time_ends_the_block(said):
    signals = Signals()

    with pytest.raises(OutOfMoney), signals.caught(said.append, within_s=60):
        signals.end_within(0.001, OutOfMoney)
        signal.pause()

    assert not signals.interrupted


def test_money_that_would_last_longer_than_the_time_changes_nothing(said):
    signals = Signals()

    with pytest.raises(OutOfTime) as raised, signals.caught(said.append, within_s=0.05):
        signals.end_within(60, OutOfMoney)
        signal.pause()

    assert raised.type is OutOfTime


def test_money_that_runs_out_during_the_teardown_does_not_cut_it_off(said):
    signals = Signals()

    with signals.caught(said.append), signals.tearing_down():
        signals.end_within(0.001, OutOfMoney)
        signal.sigtimedwait([], 0.05)


def test_no_alarm_is_set_where_nothing_would_catch_it():
    Signals().end_within(0.001, OutOfMoney)

    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
