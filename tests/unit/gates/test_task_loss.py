"""The gate ``task-loss``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from readiness import decide
from readiness.drill import ServiceState
from readiness.drill_clients import ClientsSeen, SecondSeen, Watched
from readiness.errors import CloudError
from readiness.gates.task_loss import Lost, Observation, Settings, choose, judge
from readiness.model import Outcome, Severity

T0 = datetime(2026, 1, 1, tzinfo=UTC)
BLOCKING = (Severity.CRITICAL, Severity.HIGH)
STATE = ServiceState(task_definition="s:1", desired=2, tasks={"a": "s:1", "b": "s:1"}, digests=("sha256:1",))


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def clients(failed: dict[int, int], requests: int = 50) -> ClientsSeen:
    seconds = tuple(
        SecondSeen(second=each, requests=requests, failed=failed.get(each, 0), slow={}, p95_ms=None)
        for each in range(30)
    )
    watched = (Watched(id="errors", kind="errors", max_ratio=0.01),)
    return ClientsSeen(started_at=T0, watched=watched, seconds=seconds, problems=())


SEEN = Observation(
    lose="task",
    before=STATE,
    after=replace(STATE, tasks={"b": "s:1", "c": "s:1"}),
    alarms_before={"errors": "OK"},
    alarms_after={"errors": "OK"},
    healthy_before=2,
    healthy_after=2,
    lost=(Lost(task="a", zone="eu-west-1a", gone_at=at(11)),),
    begun_at=at(2),
    injected_at=at(10),
    replaced_at=at(16),
    ended_at=at(25),
    clients=clients({11: 3}),
    max_recover=timedelta(seconds=30),
    max_failed_requests=0,
    artifact="artifacts/task-loss/rows.json.gz",
)


def outcome(seen: Observation) -> Outcome:
    judgement = judge(seen, Settings())
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


def rules(seen: Observation) -> set[str]:
    return {finding.rule for finding in judge(seen, Settings()).findings}


def test_a_lost_task_that_is_replaced_while_the_objectives_are_kept_passes():
    assert outcome(SEEN) is Outcome.PASSED, judge(SEEN, Settings())


def test_how_long_it_took_and_what_it_cost_is_measured():
    measured = {each.name: each.value for each in judge(SEEN, Settings()).measurements}

    assert measured["order to lost"] == 1
    assert measured["order to replaced"] == 6
    assert measured["failed during the loss"] == 3


def test_objectives_that_were_missed_fail_unless_so_few_requests_failed_as_the_plan_allows():
    costly = replace(SEEN, clients=clients(dict.fromkeys(range(10, 15), 10)))

    assert rules(costly) == {"task-loss/objectives-missed"}
    assert outcome(costly) is Outcome.FAILED
    assert outcome(replace(costly, max_failed_requests=49)) is Outcome.FAILED
    assert outcome(replace(costly, max_failed_requests=50)) is Outcome.PASSED


def test_a_task_that_is_never_replaced_fails():
    seen = replace(SEEN, replaced_at=None, after=replace(STATE, tasks={"b": "s:1"}), healthy_after=1)

    assert outcome(seen) is Outcome.FAILED
    assert rules(seen) == {"task-loss/not-replaced"}


def test_a_task_that_is_replaced_too_late_fails():
    assert rules(replace(SEEN, max_recover=timedelta(seconds=5))) == {"task-loss/replaced-too-late"}


def test_a_service_that_wants_fewer_tasks_afterwards_fails():
    fewer = replace(STATE, desired=1, tasks={"b": "s:1"})

    assert rules(replace(SEEN, after=fewer)) == {"task-loss/count-not-back"}


def test_an_alarm_that_rings_at_the_end_fails():
    assert rules(replace(SEEN, alarms_after={"errors": "ALARM"})) == {"task-loss/alarm-not-ok"}


@pytest.mark.parametrize("lost", [(), (Lost(task="a", zone=""),)])
def test_without_a_loss_nothing_is_proven(lost):
    seen = replace(SEEN, lost=lost)

    assert outcome(seen) is Outcome.INCONCLUSIVE
    assert judge(seen, Settings()).examined == 0


def test_without_load_nothing_is_proven():
    assert outcome(replace(SEEN, clients=clients({}, requests=0))) is Outcome.INCONCLUSIVE
    assert outcome(replace(SEEN, clients=replace(SEEN.clients, problems=("lost",)))) is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    "change",
    [
        {"alarms_before": {"errors": "ALARM"}},
        {"alarms_before": {}},
        {"healthy_before": 1},
        {"clients": clients(dict.fromkeys(range(2, 10), 20))},
    ],
)
def test_without_a_steady_state_to_begin_with_nothing_is_proven(change):
    assert outcome(replace(SEEN, **change)) is Outcome.INCONCLUSIVE


def test_nothing_at_all_is_inconclusive():
    nothing = ClientsSeen(started_at=T0, watched=(), seconds=(), problems=())
    none = replace(STATE, desired=0, tasks={})

    assert outcome(replace(SEEN, lost=(), before=none, after=none, clients=nothing)) is Outcome.INCONCLUSIVE


def test_one_task_is_lost_or_all_of_the_fullest_zone():
    tasks = {"t3": "b", "t1": "a", "t2": "b"}

    assert choose(tasks, "task") == {"t1": "a"}
    assert choose(tasks, "zone") == {"t2": "b", "t3": "b"}
    assert choose({}, "zone") == {}
    with pytest.raises(CloudError, match="no zone can be lost"):
        choose({"t1": ""}, "zone")
