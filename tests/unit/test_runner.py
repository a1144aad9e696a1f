"""Whether a runner is still there: told by its process, its start and the machine's boot, never by a number alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from readiness import runner
from readiness.ledger import Ledger


@pytest.fixture
def alive(tmp_path):
    """Return a function that says whether the runner of a ledger with these marks is alive."""

    def ask(*marks):
        ledger = Ledger(tmp_path / "ledger.jsonl")
        for mark in marks:
            ledger.note("run-started", **mark)
        return runner.is_alive(ledger.entries() if marks else ())

    return ask


def test_this_process_is_alive(alive):
    assert alive(runner.mark()) is True


def test_a_process_that_ended_is_not(alive):
    code = "import json; from readiness import runner; print(json.dumps(runner.mark()))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert alive(json.loads(said)) is False


@pytest.mark.parametrize(
    "other", [{"begun": "1.0"}, {"boot": "another"}, {"pid": "0"}, {"pid": str(2**31)}, {"pid": "x"}, {"begun": "x"}]
)
def test_another_process_of_the_same_number_is_not_the_runner(alive, other):
    assert alive(runner.mark() | other) is False


@pytest.mark.parametrize(
    "other", [{"host": "elsewhere"}, {"host": "elsewhere", "boot": "another"}, {"namespace": "pid:[1]"}]
)
def test_a_runner_of_another_machine_or_container_cannot_be_seen_from_here(alive, other):
    """A folder that several machines share must not make one of them sweep what another is at work on."""
    assert alive(runner.mark() | other) is None


def test_the_one_who_resumed_a_run_is_its_runner(alive):
    assert alive(runner.mark() | {"pid": "0"}, runner.mark()) is True


def test_a_ledger_without_a_mark_tells_nothing(alive):
    assert alive() is None
    assert alive({"pid": str(os.getpid())}) is None
    assert alive(runner.mark() | {"boot": ""}) is None
