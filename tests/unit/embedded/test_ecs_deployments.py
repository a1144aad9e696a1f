"""The state machine of deployments, with a clock and tasks that only exist on paper."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from readiness.embedded.deployments import Command, Deployment, Rules, Start, Stop, TaskView, Traffic, View, roll

OLD, NEW = "old", "new"
CANARY = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 10.0, "canaryBakeTimeInMinutes": 2},
    "bakeTimeInMinutes": 3,
}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}
ALARMS = {"alarms": {"alarmNames": ["a", "b"], "enable": True, "rollback": True}}


@dataclass
class Paper:
    """A service on paper: tasks become healthy after one step, and stop in one step."""

    deployment: Deployment
    desired: int = 2
    now: float = 0.0
    tasks: list[TaskView] = field(default_factory=list)
    in_alarm: frozenset[str] = frozenset()
    unhealthy: frozenset[str] = frozenset()
    weights: list[float] = field(default_factory=list)
    most: int = 0
    fewest_healthy: int = 99
    numbers: Any = field(default_factory=itertools.count)

    def have(self, revision: str, count: int, *, healthy: bool = True) -> None:
        self.tasks += [TaskView(f"{revision}{next(self.numbers)}", revision, True, healthy) for _ in range(count)]

    def view(self) -> View:
        return View(now=self.now, desired=self.desired, tasks=self.tasks, in_alarm=self.in_alarm)

    def step(self, seconds: float = 1.0) -> list[Command]:
        self.now += seconds
        commands = self.deployment.step(self.view())
        self.tasks = [
            TaskView(task.id, task.revision, True, task.revision not in self.unhealthy) for task in self.tasks
        ]
        for command in commands:
            if isinstance(command, Start):
                self.have(command.revision, command.count, healthy=False)
            elif isinstance(command, Stop):
                self.tasks = [task for task in self.tasks if task.id not in command.task_ids]
            else:
                self.weights.append(command.percent)
        self.most = max(self.most, len(self.tasks))
        self.fewest_healthy = min(self.fewest_healthy, sum(task.healthy for task in self.tasks))
        return commands

    def run(self, steps: int = 1000) -> None:
        for _ in range(steps):
            if self.deployment.over:
                return
            self.step()
        raise AssertionError(f"not over: {self.deployment}")

    def until(self, stage: str) -> None:
        for _ in range(1000):
            if self.deployment.stage == stage:
                return
            self.step()
        raise AssertionError(f"never came to {stage}: {self.deployment}")


def paper(configuration: dict[str, Any], *, source: str | None = OLD, desired: int = 2, scale: float = 1.0) -> Paper:
    it = Paper(Deployment(source=source, target=NEW, rules=Rules.parse(configuration, scale), started=0.0), desired)
    if source:
        it.have(OLD, desired)
    return it


def test_a_rolling_update_keeps_to_its_percentages() -> None:
    it = paper({"minimumHealthyPercent": 100, "maximumPercent": 150}, desired=4)
    it.run()
    assert it.deployment.status == "SUCCESSFUL"
    assert it.most == 6
    assert it.fewest_healthy == 4
    assert [task.revision for task in it.tasks] == [NEW] * 4


def test_with_half_healthy_and_no_surplus_old_tasks_make_room() -> None:
    it = paper({"minimumHealthyPercent": 50, "maximumPercent": 100}, desired=4)
    it.run()
    assert it.most == 4
    assert it.fewest_healthy == 2
    assert {task.revision for task in it.tasks} == {NEW}


def test_old_tasks_that_are_ill_go_first() -> None:
    tasks = [TaskView("a", OLD, True, False), TaskView("b", OLD, True, True)]
    view = View(now=0, desired=2, tasks=[*tasks, TaskView("c", NEW, True, True)])
    stops = [command for command in roll(view, NEW, Rules()) if isinstance(command, Stop)]
    assert stops == [Stop(("a",))]


def unwell(desired: int, maximum: int, *tasks: tuple[str, str]) -> list[Command]:
    """Return what is done about tasks of one revision: (id, healthy, unhealthy or starting)."""
    views = [TaskView(name, NEW, True, state == "healthy", state == "unhealthy") for name, state in tasks]
    return roll(View(now=0, desired=desired, tasks=views), NEW, Rules(maximum_percent=maximum))


def test_an_unhealthy_task_is_replaced_before_it_is_stopped() -> None:
    assert unwell(2, 200, ("a", "healthy"), ("b", "unhealthy")) == [Start(NEW, 1)]
    assert unwell(2, 200, ("a", "healthy"), ("b", "unhealthy"), ("c", "starting")) == []
    assert unwell(2, 200, ("a", "healthy"), ("b", "unhealthy"), ("c", "healthy")) == [Stop(("b",))]


def test_a_replacement_that_is_unhealthy_too_makes_one_of_both_go() -> None:
    assert Stop(("a",)) in unwell(1, 200, ("a", "unhealthy"), ("b", "unhealthy"))
    assert unwell(1, 200, ("b", "unhealthy")) == [Start(NEW, 1)]


def test_without_room_unhealthy_tasks_are_stopped_one_at_a_time_to_make_some() -> None:
    assert unwell(2, 100, ("a", "unhealthy"), ("b", "unhealthy")) == [Stop(("a",))]
    assert unwell(2, 100, ("b", "unhealthy")) == [Start(NEW, 1)]
    assert unwell(2, 100, ("b", "unhealthy"), ("c", "starting")) == []
    assert unwell(3, 150, ("a", "unhealthy"), ("b", "unhealthy"), ("c", "unhealthy")) == [Start(NEW, 1)]


def test_a_task_that_recovered_leaves_one_too_many_which_is_stopped() -> None:
    (stop,) = unwell(1, 200, ("a", "healthy"), ("b", "healthy"))
    assert isinstance(stop, Stop)
    assert len(stop.task_ids) == 1


def test_green_is_replaced_first_too_and_blue_is_let_alone() -> None:
    it = paper(CANARY)
    it.until("BAKE_TIME")
    blue = [task for task in it.tasks if task.revision == OLD]
    green = [task for task in it.tasks if task.revision == NEW]
    it.tasks = [*blue, green[0], TaskView(green[1].id, NEW, True, False, True)]
    assert it.step() == [Start(NEW, 1)]


def test_a_first_deployment_shifts_no_traffic_whatever_the_strategy() -> None:
    it = paper(CANARY, source=None)
    it.run()
    assert it.deployment.status == "SUCCESSFUL"
    assert it.weights == []


def test_a_canary_waits_for_health_shifts_a_share_bakes_shifts_all_bakes_and_cleans_up() -> None:
    it = paper(CANARY)
    it.unhealthy = frozenset({NEW})
    for _ in range(50):
        it.step()
    assert it.deployment.stage == "SCALE_UP"
    assert set(it.weights) == {0.0}
    it.unhealthy = frozenset()
    it.until("PRODUCTION_TRAFFIC_SHIFT")
    assert it.weights[-1] == 10.0
    shifted = it.now
    it.until("BAKE_TIME")
    assert it.weights[-1] == 100.0
    assert it.now - shifted == 120
    baking = it.now
    assert len(it.tasks) == 4
    it.until("CLEAN_UP")
    assert it.now - baking == 180
    it.run()
    assert it.deployment.status == "SUCCESSFUL"
    assert [task.revision for task in it.tasks] == [NEW, NEW]


def test_bake_times_are_scaled() -> None:
    rules = Rules.parse(CANARY, 20.0)
    assert (rules.canary_bake_s, rules.bake_s) == (6.0, 9.0)


def test_blue_is_kept_at_strength_while_green_bakes() -> None:
    it = paper(CANARY)
    it.until("BAKE_TIME")
    it.tasks = [task for task in it.tasks if task.id != next(task.id for task in it.tasks if task.revision == OLD)]
    assert Start(OLD, 1) in it.step()


@pytest.mark.parametrize("stage", ["PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME"])
def test_an_alarm_gives_traffic_back_before_anything_else(stage: str) -> None:
    it = paper({**CANARY, **ALARMS})
    it.until(stage)
    it.in_alarm = frozenset({"b"})
    assert it.step()[0] == Traffic(0.0)
    it.run()
    machine = it.deployment
    assert (machine.status, machine.triggered_alarms) == ("ROLLBACK_SUCCESSFUL", ("b",))
    assert "b" in machine.rollback_reason
    assert [task.revision for task in it.tasks] == [OLD, OLD]


def test_an_alarm_of_somebody_else_is_nothing() -> None:
    it = paper({**CANARY, **ALARMS})
    it.in_alarm = frozenset({"other"})
    it.run()
    assert it.deployment.status == "SUCCESSFUL"


def test_alarms_are_not_watched_before_a_new_task_runs_nor_after_the_bake_time() -> None:
    it = paper({**CANARY, **ALARMS})
    it.in_alarm = frozenset({"a"})
    it.step()
    assert it.deployment.status == "IN_PROGRESS"
    it = paper({**CANARY, **ALARMS})
    it.until("CLEAN_UP")
    it.in_alarm = frozenset({"a"})
    it.run()
    assert it.deployment.status == "SUCCESSFUL"


def test_alarms_that_rang_at_the_start_are_ignored_to_the_end() -> None:
    it = paper({**CANARY, **ALARMS})
    it.deployment.watches_alarms = False
    it.in_alarm = frozenset({"a"})
    it.run()
    assert it.deployment.status == "SUCCESSFUL"


def test_an_alarm_without_rollback_fails_the_deployment_where_it_is() -> None:
    it = paper({**CANARY, "alarms": {"alarmNames": ["a"], "enable": True, "rollback": False}})
    it.until("BAKE_TIME")
    it.in_alarm = frozenset({"a"})
    it.step()
    assert it.deployment.status == "STOPPED"
    assert it.step() == []


@pytest.mark.parametrize(
    ("desired", "threshold"), [(0, 3), (1, 3), (6, 3), (7, 4), (25, 13), (100, 50), (400, 200), (800, 200)]
)
def test_the_breaker_trips_at_half_the_desired_count_within_its_bounds(desired: int, threshold: int) -> None:
    assert Rules.parse(BREAKER, 1.0).breaker_threshold(desired) == threshold


@pytest.mark.parametrize(
    ("kind", "value", "threshold"), [("COUNT", 1, 1), ("UNBOUNDED_PERCENT", 10, 1), ("BOUNDED_PERCENT", 10, 3)]
)
def test_the_breakers_threshold_can_be_set(kind: str, value: int, threshold: int) -> None:
    breaker = {"enable": True, "rollback": True, "thresholdConfiguration": {"type": kind, "value": value}}
    assert Rules.parse({"deploymentCircuitBreaker": breaker}, 1.0).breaker_threshold(10) == threshold


@pytest.mark.parametrize("configuration", [BREAKER, {**CANARY, **BREAKER}])
def test_three_failed_tasks_trip_the_breaker_and_the_service_goes_back(configuration: dict[str, Any]) -> None:
    it = paper(configuration)
    it.unhealthy = frozenset({NEW})
    it.step()
    for _ in range(2):
        it.deployment.task_failed(NEW, 2)
    assert it.deployment.status == "IN_PROGRESS"
    it.deployment.task_failed(NEW, 2)
    assert it.deployment.status == "ROLLBACK_REQUESTED"
    it.run()
    assert it.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert [task.revision for task in it.tasks] == [OLD, OLD]
    assert it.fewest_healthy >= 2


def test_failures_of_the_old_revision_and_disabled_breakers_do_not_count() -> None:
    it = paper(BREAKER)
    for _ in range(5):
        it.deployment.task_failed(OLD, 2)
    assert it.deployment.failures == 0
    it = paper({})
    for _ in range(50):
        it.deployment.task_failed(NEW, 2)
    assert it.deployment.status == "IN_PROGRESS"


def test_a_healthy_task_resets_the_count_unless_told_otherwise() -> None:
    for resets, failures in ((True, 0), (False, 2)):
        breaker = {"enable": True, "rollback": True, "resetOnHealthyTask": resets}
        it = paper({"deploymentCircuitBreaker": breaker})
        it.deployment.task_failed(NEW, 2)
        it.deployment.task_failed(NEW, 2)
        it.deployment.task_became_healthy(NEW)
        assert it.deployment.failures == failures


def test_a_first_deployment_that_fails_has_nowhere_to_go_back_to() -> None:
    it = paper(BREAKER, source=None)
    for _ in range(3):
        it.deployment.task_failed(NEW, 2)
    assert it.deployment.status == "STOPPED"
    assert it.step() == []


def test_a_rollback_whose_tasks_fail_too_ends_as_failed_never_as_success() -> None:
    it = paper({**BREAKER, "minimumHealthyPercent": 0, "maximumPercent": 100})
    it.step()
    for _ in range(3):
        it.deployment.task_failed(NEW, 2)
    it.step()
    for _ in range(3):
        it.deployment.task_failed(OLD, 2)
    assert it.deployment.status == "ROLLBACK_FAILED"
    assert it.deployment.failures == 3  # those of the release; the rollback's are its own


def test_what_a_stopped_deployment_left_is_cleared_away_first() -> None:
    it = paper(CANARY)
    it.have("stray", 2)
    assert isinstance(it.step()[-1], Stop)
    assert it.deployment.stage == "RECONCILE_SERVICE"
    it.run()
    assert [task.revision for task in it.tasks] == [NEW, NEW]


def test_a_rolling_update_with_alarms_bakes_before_it_is_done() -> None:
    rules = Rules.parse(ALARMS, 2.0, computed_bake_s=120)
    assert rules.bake_s == 60.0
    assert Rules.parse({}, 2.0, computed_bake_s=120).bake_s == 0.0
    it = Paper(Deployment(source=OLD, target=NEW, rules=rules, started=0.0))
    it.have(OLD, 2)
    it.until("BAKE_TIME")
    it.in_alarm = frozenset({"a"})
    it.run()
    assert it.deployment.status == "ROLLBACK_SUCCESSFUL"
    assert [task.revision for task in it.tasks] == [OLD, OLD]
