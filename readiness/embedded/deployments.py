"""How a service deployment goes on: pure, from what is seen of a service to what its scheduler is to do next.

* rolling update, minimumHealthyPercent and maximumPercent
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
* a task that the load balancer finds unhealthy is replaced first and stopped afterwards, within maximumPercent
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_services.html
* canary deployment and its life-cycle stages
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/canary-deployment.html
* circuit breaker: 50 % of the desired count, at least 3 and at most 200 failures; a task that becomes healthy resets
  the count unless ``resetOnHealthyTask`` is false
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
* alarms: watched from the first running task of the new revision to the end of the bake time; an alarm that is in ALARM
  when the deployment starts is not watched in it, and neither are the others
  https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html
* statuses: https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ServiceDeployment.html

Where AWS's pages say that the circuit breaker is for rolling updates (API reference) and for blue/green too (developer
guide), it is applied to canary deployments as well, or one whose tasks never start would wait for ever.
A first deployment has nothing to shift traffic from: it rolls, whatever the strategy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

BREAKER_MINIMUM = 3
BREAKER_MAXIMUM = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """A service's deployment configuration; times are scaled seconds."""

    strategy: str = "ROLLING"
    minimum_healthy_percent: int = 100
    maximum_percent: int = 200
    bake_s: float = 0.0
    canary_percent: float = 5.0
    canary_bake_s: float = 600.0
    breaker: bool = False
    breaker_rollback: bool = False
    breaker_type: str = "BOUNDED_PERCENT"
    breaker_value: int = 50
    breaker_resets: bool = True
    alarm_names: tuple[str, ...] = ()
    alarm_rollback: bool = False

    @classmethod
    def parse(cls, configuration: Mapping[str, Any], time_scale: float, computed_bake_s: float = 0.0) -> Rules:
        """Return the rules of a ``deploymentConfiguration``.

        Args:
            configuration: As the API takes it, already checked.
            time_scale: What minutes are divided by.
            computed_bake_s: Bake time (not yet scaled) of a rolling update with alarms, which AWS computes itself.
        """
        canary = configuration.get("canaryConfiguration") or {}
        breaker = configuration.get("deploymentCircuitBreaker") or {}
        threshold = breaker.get("thresholdConfiguration") or {}
        alarms = configuration.get("alarms") or {}
        minutes = configuration.get("bakeTimeInMinutes")
        watched = tuple(alarms.get("alarmNames", ())) if alarms.get("enable") else ()
        return cls(
            strategy=configuration.get("strategy", "ROLLING"),
            minimum_healthy_percent=int(configuration.get("minimumHealthyPercent", 100)),
            maximum_percent=int(configuration.get("maximumPercent", 200)),
            bake_s=(float(minutes) * 60 if minutes is not None else computed_bake_s if watched else 0.0) / time_scale,
            canary_percent=float(canary.get("canaryPercent", 5.0)),
            canary_bake_s=float(canary.get("canaryBakeTimeInMinutes", 10)) * 60 / time_scale,
            breaker=bool(breaker.get("enable")),
            breaker_rollback=bool(breaker.get("rollback")),
            breaker_type=threshold.get("type", "BOUNDED_PERCENT"),
            breaker_value=int(threshold.get("value", 50)),
            breaker_resets=bool(breaker.get("resetOnHealthyTask", True)),
            alarm_names=watched,
            alarm_rollback=bool(alarms.get("rollback")),
        )

    def breaker_threshold(self, desired: int) -> int:
        """Return after how many failed tasks the circuit breaker trips."""
        if self.breaker_type == "COUNT":
            return self.breaker_value
        share = math.ceil(self.breaker_value * desired / 100)
        return max(1, share) if self.breaker_type == "UNBOUNDED_PERCENT" else _clamp(share)


def _clamp(value: int) -> int:
    return max(BREAKER_MINIMUM, min(BREAKER_MAXIMUM, value))


@dataclass(frozen=True, slots=True)
class TaskView:
    """One task that is starting or running and is not to stop.

    Attributes:
        id: Its identifier.
        revision: Its service revision.
        running: Whether it runs.
        healthy: Whether it runs and the load balancer finds it healthy.
        unhealthy: Whether the load balancer finds it unhealthy, so that it is to be replaced; a task that is neither is
            still waited for.
    """

    id: str
    revision: str
    running: bool
    healthy: bool
    unhealthy: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What is seen of a service at one instant.

    Attributes:
        now: Seconds on any clock.
        desired: The service's desired count.
        tasks: Tasks that are not to stop, oldest first.
        leaving: Revision -> tasks that are to stop and have not yet.
        in_alarm: Those of the deployment's alarms that are in ALARM.
    """

    now: float
    desired: int
    tasks: Sequence[TaskView]
    leaving: Mapping[str, int] = field(default_factory=dict)
    in_alarm: frozenset[str] = frozenset()

    def of(self, *revisions: str) -> list[TaskView]:
        """Return the tasks of these revisions."""
        return [task for task in self.tasks if task.revision in revisions]

    def healthy(self, revision: str) -> int:
        """Return how many tasks of a revision are healthy."""
        return sum(task.healthy for task in self.of(revision))

    def gone(self, revision: str) -> bool:
        """Return whether a revision has no task left, not even one that is stopping."""
        return not self.of(revision) and not self.leaving.get(revision)


@dataclass(frozen=True, slots=True)
class Start:
    """Start so many tasks of a revision."""

    revision: str
    count: int


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain and stop these tasks."""

    task_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Traffic:
    """Send so many percent of the production traffic to the deployment's target revision."""

    percent: float


Command = Start | Stop | Traffic


def roll(view: View, revision: str, rules: Rules, *, may_start: bool = True) -> list[Command]:
    """Bring a service one step nearer to having only healthy tasks of one revision, as many as desired.

    Never more than ``maximumPercent`` tasks start or run, and healthy tasks are stopped only while at least
    ``minimumHealthyPercent`` stay healthy. Old tasks that aren't healthy are stopped first; unhealthy ones of the
    revision itself once they are replaced.
    """
    lower = math.ceil(view.desired * rules.minimum_healthy_percent / 100)
    upper = math.floor(view.desired * rules.maximum_percent / 100)
    new = view.of(revision)
    old = [task for task in view.tasks if task.revision != revision]
    room = upper - len(view.tasks) if old else max(upper, view.desired) - len(new)
    commands: list[Command] = []
    if may_start and (count := min(_missing(view, new), room)) > 0:
        commands.append(Start(revision, count))
    surplus = _surplus(view, new, no_room=may_start and room <= 0)
    spare = sum(task.healthy for task in view.tasks if task not in surplus) - lower
    ill = [task for task in old if not task.healthy]
    well = [task for task in old if task.healthy][: max(0, spare)]
    if leaving := [*surplus, *ill, *well]:
        commands.append(Stop(tuple(task.id for task in leaving)))
    return commands


def hold(view: View, revision: str, rules: Rules) -> list[Command]:
    """Keep as many tasks of a revision as desired, whatever else runs."""
    tasks = view.of(revision)
    room = max(view.desired, math.floor(view.desired * rules.maximum_percent / 100)) - len(tasks)
    if (count := min(_missing(view, tasks), room)) > 0:
        return [Start(revision, count)]
    surplus = _surplus(view, tasks, no_room=room <= 0)
    return [Stop(tuple(task.id for task in surplus))] if surplus else []


def _missing(view: View, tasks: Sequence[TaskView]) -> int:
    """Return how many tasks of a revision are to be started; an unhealthy one is replaced while it still runs."""
    return view.desired - sum(not task.unhealthy for task in tasks)


def _surplus(view: View, tasks: Sequence[TaskView], *, no_room: bool) -> list[TaskView]:
    """Return the tasks of a revision that are to be stopped.

    An unhealthy one goes once its replacement is healthy, or unhealthy too; a replacement whose health is not known yet
    keeps it. Without room for a replacement they go one at a time to make some.
    """
    unhealthy = [task for task in tasks if task.unhealthy]
    waited_for = sum(not task.healthy and not task.unhealthy for task in tasks)
    excess = len(tasks) - view.desired
    if unhealthy:
        if excess > 0:
            return unhealthy[: max(0, excess - waited_for)]
        return unhealthy[:1] if no_room and not waited_for else []
    return sorted(tasks, key=lambda task: (task.healthy, task.running))[: max(0, excess)]


IN_PROGRESS = "IN_PROGRESS"
SUCCESSFUL = "SUCCESSFUL"
STOPPED = "STOPPED"
STOP_REQUESTED = "STOP_REQUESTED"
ROLLBACK_REQUESTED = "ROLLBACK_REQUESTED"
ROLLBACK_IN_PROGRESS = "ROLLBACK_IN_PROGRESS"
ROLLBACK_SUCCESSFUL = "ROLLBACK_SUCCESSFUL"
ROLLBACK_FAILED = "ROLLBACK_FAILED"

_OVER = frozenset({SUCCESSFUL, STOPPED, ROLLBACK_SUCCESSFUL, ROLLBACK_FAILED})


@dataclass(slots=True, kw_only=True)
class Deployment:
    """One service deployment: where it is and why.

    Attributes:
        source: The revision to go back to, or None on a service's first deployment.
        target: The revision to bring out.
        rules: Its configuration.
        shifts_traffic: Whether production traffic is shifted (canary with a source).
        watches_alarms: False if an alarm was in ALARM when it started.
    """

    source: str | None
    target: str
    rules: Rules
    started: float
    watches_alarms: bool = True
    status: str = IN_PROGRESS
    status_reason: str = ""
    stage: str = "RECONCILE_SERVICE"
    stage_since: float = 0.0
    traffic: float = 0.0
    failures: int = 0
    rollback_failures: int = 0
    triggered_alarms: tuple[str, ...] = ()
    breaker_tripped: bool = False
    rollback_reason: str = ""
    rollback_started: float | None = None
    launches: bool = True

    @property
    def shifts_traffic(self) -> bool:
        """Whether production traffic is shifted: not on a service's first deployment."""
        return self.rules.strategy == "CANARY" and self.source is not None

    @property
    def over(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in _OVER

    @property
    def rolling_back(self) -> bool:
        """Whether it is on its way back to the source revision."""
        return self.status in (ROLLBACK_REQUESTED, ROLLBACK_IN_PROGRESS)

    def task_failed(self, revision: str, desired: int) -> None:
        """Count a task of a revision that failed to start, ended by itself or failed its health checks."""
        wanted = self.source if self.rolling_back else self.target
        if self.over or revision != wanted or self.stage in ("BAKE_TIME", "CLEAN_UP"):
            return
        if self.rolling_back:
            self.rollback_failures += 1
        else:
            self.failures += 1
        counted = self.rollback_failures if self.rolling_back else self.failures
        if not self.rules.breaker or counted < self.rules.breaker_threshold(desired):
            return
        if self.rolling_back:
            self._end(ROLLBACK_FAILED, "Service deployment rollback failed: tasks of the source revision fail too.")
            return
        self.breaker_tripped = True
        self.fail("Service deployment rolled back because the circuit breaker threshold was exceeded.", "breaker")

    def task_became_healthy(self, revision: str) -> None:
        """Note that a task of a revision has become healthy."""
        if revision == self.target and self.rules.breaker_resets and not self.breaker_tripped:
            self.failures = 0

    def fail(self, reason: str, cause: str) -> None:
        """End the way forward: roll back if that is configured for the cause and there is where to go back to."""
        wants_rollback = {
            "breaker": self.rules.breaker_rollback,
            "alarm": self.rules.alarm_rollback,
            "request": True,
        }[cause]
        if wants_rollback and self.source is not None:
            self.status, self.status_reason = ROLLBACK_REQUESTED, reason
            self.rollback_reason = reason
            return
        self._end(STOPPED, reason.replace("rolled back", "failed"))

    @property
    def failure(self) -> str:
        """Why it failed, in the words of ECS's deployment events; empty if it has not."""
        if self.breaker_tripped:
            return "tasks failed to start."
        return "alarm detected." if self.triggered_alarms else ""

    def abort(self, reason: str) -> None:
        """Stop where it is: no task is started any more, none is stopped."""
        self._end(STOPPED, reason)

    def step(self, view: View) -> list[Command]:
        """Return what is to be done next; call it again and again until ``over``."""
        if self.over:
            return []
        if self.status == IN_PROGRESS:
            self._watch_alarms(view)
        if self.over:
            return []
        if self.rolling_back:
            return self._roll_back(view)
        return self._shift(view) if self.shifts_traffic else self._roll(view)

    def _end(self, status: str, reason: str = "") -> None:
        self.status = status
        self.status_reason = reason or self.status_reason
        self.launches = False

    def _enter(self, stage: str, now: float) -> None:
        self.stage, self.stage_since = stage, now

    def _watch_alarms(self, view: View) -> None:
        started = any(task.running for task in view.of(self.target))
        if not self.watches_alarms or not started or self.stage == "CLEAN_UP":
            return
        if found := tuple(name for name in self.rules.alarm_names if name in view.in_alarm):
            self.triggered_alarms = found
            self.fail(
                f"Service deployment rolled back because of the following alarm(s) in ALARM: {', '.join(found)}.",
                "alarm",
            )

    def _roll(self, view: View) -> list[Command]:
        if self.stage in ("RECONCILE_SERVICE", "PRE_SCALE_UP"):
            self._enter("SCALE_UP", view.now)
        commands = roll(view, self.target, self.rules)
        settled = not commands and view.healthy(self.target) >= view.desired and len(view.tasks) == view.desired
        if self.stage == "SCALE_UP":
            if not settled or any(view.leaving.values()):
                return commands
            self.traffic = 100.0
            self._enter("BAKE_TIME", view.now)
        if self.stage == "BAKE_TIME" and view.now - self.stage_since >= self.rules.bake_s:
            self._succeed(view.now)
        return commands

    def _succeed(self, now: float) -> None:
        self._enter("CLEAN_UP", now)
        self._end(SUCCESSFUL)

    def _shift(self, view: View) -> list[Command]:
        """Go on with a canary deployment: green beside blue, a share of the traffic, all of it, blue away."""
        assert self.source is not None
        strays = [task.id for task in view.tasks if task.revision not in (self.source, self.target)]
        both = hold(view, self.source, self.rules) + hold(view, self.target, self.rules)
        if self.stage == "RECONCILE_SERVICE":
            return self._reconcile(view, strays)
        if self.stage == "SCALE_UP":
            if view.healthy(self.target) >= view.desired:
                self._enter("PRODUCTION_TRAFFIC_SHIFT", view.now)
                self.traffic = self.rules.canary_percent
                return [*both, Traffic(self.traffic)]
            return both
        waited = view.now - self.stage_since
        if self.stage == "PRODUCTION_TRAFFIC_SHIFT" and waited >= self.rules.canary_bake_s:
            self._enter("BAKE_TIME", view.now)
            self.traffic = 100.0
            return [*both, Traffic(100.0)]
        if self.stage == "BAKE_TIME" and waited >= self.rules.bake_s:
            self._enter("CLEAN_UP", view.now)
        if self.stage == "CLEAN_UP":
            if view.gone(self.source):
                self._end(SUCCESSFUL)
            blue = tuple(task.id for task in view.of(self.source))
            return [*hold(view, self.target, self.rules), *([Stop(blue)] if blue else [])]
        return both

    def _reconcile(self, view: View, strays: list[str]) -> list[Command]:
        """Bring a service that a stopped deployment left half-way back to its source before starting anew."""
        assert self.source is not None
        others = sum(count for revision, count in view.leaving.items() if revision != self.source)
        commands: list[Command] = [Traffic(0.0), *hold(view, self.source, self.rules)]
        if strays:
            return [*commands, Stop(tuple(strays))]
        if others:
            return hold(view, self.source, self.rules)
        self._enter("SCALE_UP", view.now)
        return [*commands, Start(self.target, view.desired)] if view.desired else commands

    def _roll_back(self, view: View) -> list[Command]:
        assert self.source is not None
        commands: list[Command] = []
        if self.status == ROLLBACK_REQUESTED:
            self.status, self.rollback_started = ROLLBACK_IN_PROGRESS, view.now
            if self.shifts_traffic:
                # Users first: whatever happens to the tasks, traffic is back on the old revision.
                commands.append(Traffic(0.0))
            self.traffic = 0.0
        commands += self._restore(view) if self.shifts_traffic else roll(view, self.source, self.rules)
        if not commands and view.gone(self.target) and view.healthy(self.source) >= view.desired:
            self._end(ROLLBACK_SUCCESSFUL)
        return commands

    def _restore(self, view: View) -> list[Command]:
        """Keep blue; stop green once blue can carry everything."""
        assert self.source is not None
        commands = hold(view, self.source, self.rules)
        green = tuple(task.id for task in view.of(self.target))
        if green and view.healthy(self.source) >= view.desired:
            commands.append(Stop(green))
        return commands
