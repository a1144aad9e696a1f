"""Which clone is meant by ``readiness drill`` and ``readiness down``."""

from __future__ import annotations

import pytest

from readiness import standing
from readiness.errors import ReadinessError, UsageError
from readiness.ledger import FILE, Ledger
from readiness.narrator import Narrator
from readiness.run import RUNS

ONE, TWO = "20260301-120000-aaaa", "20260301-120000-bbbb"


def a_run(repository, run_id, *events):
    ledger = Ledger(repository / RUNS / run_id / FILE)
    ledger.note("run-started", name=run_id, target="embedded", region="eu-west-1")
    for event in events:
        ledger.note(event, name=run_id)


def down(repository, run_id=None):
    return standing.down(repository, run_id, lambda text: None)


def test_without_a_clone_there_is_nothing_to_take_down(tmp_path):
    a_run(tmp_path, ONE)

    with pytest.raises(UsageError, match="No clone is up"):
        down(tmp_path)


def test_a_clone_that_was_taken_down_is_not_up(tmp_path):
    a_run(tmp_path, ONE, "clone-up", "clone-down")

    with pytest.raises(UsageError, match="No clone is up"):
        down(tmp_path)
    with pytest.raises(ReadinessError, match=f"No clone of {ONE} is up"):
        down(tmp_path, ONE)


def test_of_two_clones_one_has_to_be_named(tmp_path):
    a_run(tmp_path, ONE, "clone-up")
    a_run(tmp_path, TWO, "clone-up")

    with pytest.raises(UsageError, match=f"Several clones may be up: {ONE}, {TWO}"):
        down(tmp_path)


def test_a_clone_whose_embedded_aws_is_gone_is_said_to_be_gone(tmp_path):
    a_run(tmp_path, ONE, "clone-up")

    with pytest.raises(ReadinessError, match="is not running any more"):
        down(tmp_path)


def test_a_name_that_is_no_runs_is_refused(tmp_path):
    with pytest.raises(ReadinessError, match="There is no run"):
        standing.drill(tmp_path, "rollback", "../../etc", Narrator())


def test_two_drills_at_once_on_one_clone_are_refused(tmp_path):
    refused = pytest.raises(ReadinessError, match="Another drill is under way")
    with standing._alone(tmp_path), refused, standing._alone(tmp_path):
        pytest.fail("it began")
    with standing._alone(tmp_path):
        pass
