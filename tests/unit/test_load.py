"""The harness's side of a drive, against ten-line stand-ins of ECS and CloudWatch Logs and a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from readiness import contract, load
from readiness.contract import Output
from readiness.errors import CloudError, DeadlineError, EvidenceError, ReadinessError, TeardownError
from readiness.histogram import Histogram
from readiness.ledger import Ledger
from readiness.loadgen import rows
from readiness.loadgen.order import decode
from readiness.model import Clone, Fleet, OpenArrivals, Plan, Scenario
from readiness.plan import load_plan

PLAN = load_plan(Path(__file__).parents[2] / "readiness.toml")
START = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
CLONE = Clone(
    run_id="r1",
    stack_name="readiness-r1",
    stack_id="arn:stack",
    expires_at=START,
    outputs={
        Output.CLUSTER: "cluster",
        Output.SERVICE_URL: "http://10.0.0.9:8080",
        Output.FLEET_MASTER_TASK_DEFINITION: "master:1",
        Output.FLEET_WORKER_TASK_DEFINITION: "worker:1",
        Output.FLEET_SUBNETS: "subnet-a,subnet-b",
        Output.FLEET_SECURITY_GROUP: "sg-1",
        Output.FLEET_LOG_GROUP: "group",
    },
)
STARTED = {"type": "started", "started_at": START.timestamp(), "run_id": "r1", "workers": ["a", "b"]}
FINISHED: dict[str, Any] = {
    "type": "finished",
    "ended_at": START.timestamp() + 35,
    "stopped": False,
    "ran_out": False,
    "workers_expected": 2,
    "workers_seen": 2,
    "workers_lost": [],
    "workers_failed": [],
    "offered": 3,
    "sent": 3,
    "recorded": 3,
    "dropped": 0,
    "unreported": 0,
    "missing_reports": 0,
    "reconnects": 0,
    "in_flight_max": 2,
    "generator_cpu_ratio": 0.1,
    "clock_skew_ms": 0.2,
    "dispatcher_lag_p99_ms": 0.5,
}


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Ecs:
    """Tasks that run at once and stop when told to."""

    def __init__(self) -> None:
        self.tasks: dict[str, dict[str, Any]] = {}
        self.requests: list[dict[str, Any]] = []
        self.refuses: Callable[[dict[str, Any]], list[dict[str, str]]] = lambda _: []
        self.stops = True
        self.address: str | None = "10.0.1.5"

    def run_task(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        if failures := self.refuses(request):
            return {"tasks": [], "failures": failures}
        details = [{"name": "privateIPv4Address", "value": self.address}] if self.address else []
        made = [
            {
                "taskArn": f"arn:aws:ecs:task/cluster/{len(self.tasks) + number}",
                "lastStatus": "PENDING",
                "attachments": [{"details": details}],
            }
            for number in range(request["count"])
        ]
        self.tasks.update((task["taskArn"], task) for task in made)
        return {"tasks": [dict(task) for task in made], "failures": []}

    def describe_tasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        return {"tasks": [dict(self.tasks[arn]) for arn in tasks], "failures": []}

    def stop_task(self, cluster: str, task: str, reason: str) -> None:
        if self.stops:
            self.end(task, exit_code=0, reason=reason)

    def end(self, arn: str, exit_code: int | None, reason: str) -> None:
        self.tasks[arn] |= {"lastStatus": "STOPPED", "stoppedReason": reason, "containers": [{"exitCode": exit_code}]}

    def running(self) -> list[str]:
        return [arn for arn, task in self.tasks.items() if task["lastStatus"] != "STOPPED"]


class Logs:
    """One stream; the token is how many lines were read."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.streams: list[str] = []

    def say(self, *told: dict[str, Any]) -> None:
        for line in told:
            self.texts.append(json.dumps({"n": len(self.texts), **line}))

    def get_log_events(self, **where: Any) -> dict[str, Any]:
        self.streams.append(where["logStreamName"])
        if not self.texts:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetLogEvents")
        first = int(where.get("nextToken", "0"))
        page = self.texts[first : first + 2]
        return {"events": [{"message": text} for text in page], "nextForwardToken": str(first + len(page))}


class World:
    def __init__(self, tmp_path: Path, plan: Plan = PLAN) -> None:
        self.ecs, self.logs, self.clock = Ecs(), Logs(), Clock()
        self.ledger = Ledger(tmp_path / "ledger.jsonl")
        self.said: list[str] = []
        self.fleet = load.Fleet(
            {"ecs": self.ecs, "logs": self.logs}.__getitem__,
            CLONE,
            plan,
            self.ledger,
            self.said.append,
            repository=Path(__file__).parents[2],
            clock=self.clock,
            sleep=self.clock.sleep,
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def piece(second: int, *latencies: int, outcome: str = rows.OK, offered: int | None = None) -> list[Any]:
    histogram = Histogram()
    for latency in latencies:
        histogram.record(latency)
    counts = {rows.OFFERED: len(latencies) if offered is None else offered, rows.ANSWERED: len(latencies)}
    return [second, "chat", {rows.OUTCOME_SERIES + outcome: histogram.encode()}, counts]


def test_a_drive_is_told_whole_and_every_task_is_stopped(world: World) -> None:
    world.logs.say({"type": "waiting"}, STARTED, {"type": "rows", "rows": [piece(5, 1000, 2000)]})
    with world.fleet.drive() as drive:
        world.logs.say({"type": "rows", "rows": [piece(5, 3000)]}, FINISHED)
        result = drive.finish()
        assert len(world.ecs.running()) == 3
    assert world.ecs.running() == []
    assert result.problems == ()
    assert result.started_at == START
    assert result.validity.finished
    assert load.percentile_ms(result.rows, 100) == pytest.approx(3, rel=0.001)
    assert load.read_artifact(load.artifact(result)) == result


def test_the_tasks_are_asked_for_as_ecs_wants_it_and_announced_before(world: World) -> None:
    world.logs.say(STARTED, FINISHED)
    with world.fleet.drive(rate_per_s=20, headers={"X-D": "1"}, until_stopped=True, duration=timedelta(minutes=9)):
        pass
    master, workers = world.ecs.requests
    assert (master["count"], workers["count"]) == (1, 2)
    assert master["startedBy"] == "r1"
    assert master["networkConfiguration"]["awsvpcConfiguration"] == {
        "subnets": ["subnet-a", "subnet-b"],
        "securityGroups": ["sg-1"],
        "assignPublicIp": "DISABLED",
    }
    assert {tag["key"] for tag in master["tags"]} >= {contract.TAG_RUN_ID}
    (container,) = workers["overrides"]["containerOverrides"]
    order = decode(container["environment"][0]["value"])
    assert (order.role, order.master_host, order.until_stopped, order.headers) == (
        "worker",
        "10.0.1.5",
        True,
        {"X-D": "1"},
    )
    assert isinstance(order.workload.arrivals, OpenArrivals)
    assert order.workload.arrivals.rate_per_s == 20
    assert order.workload.hold == timedelta(minutes=9)
    assert [entry.kind for entry in world.ledger.created()] == ["ecs-task", "ecs-task"]
    assert set(world.logs.streams) == {"fleet/fleet/0"}


def test_more_than_ten_workers_take_more_than_one_call(tmp_path: Path) -> None:
    world = World(tmp_path, replace(PLAN, fleet=replace(PLAN.fleet, workers=23)))
    world.logs.say(STARTED, FINISHED)
    with world.fleet.drive():
        pass
    assert [request["count"] for request in world.ecs.requests] == [1, 10, 10, 3]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_every_task_is_stopped_whatever_happens_in_the_block(world: World, error: type[BaseException]) -> None:
    world.logs.say(STARTED)
    with pytest.raises(error), world.fleet.drive():
        raise error
    assert world.ecs.tasks
    assert world.ecs.running() == []


def test_a_fleet_that_does_not_start_in_time_says_how_it_was_last(world: World) -> None:
    with pytest.raises(DeadlineError, match=r"the fleet to start.*worker task 1 is PENDING"), world.fleet.drive():
        pytest.fail("it has not started")
    assert world.clock.now >= PLAN.fleet.start_deadline.total_seconds()
    assert world.ecs.running() == []


def test_a_master_without_an_address_is_waited_for_and_then_given_up(world: World) -> None:
    world.ecs.address = None
    with pytest.raises(DeadlineError, match="get an address"), world.fleet.drive():
        pytest.fail("it has not started")
    assert world.ecs.running() == []


def test_a_task_that_dies_before_the_start_is_named_with_its_reason(world: World) -> None:
    real = world.clock.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        world.ecs.end("arn:aws:ecs:task/cluster/1", None, "CannotPullContainerError: no such image")

    world.fleet._sleep = sleep  # what happens while it waits
    with (
        pytest.raises(CloudError, match=r"worker task 1 is STOPPED without an exit code.*CannotPull"),
        world.fleet.drive(),
    ):
        pytest.fail("it has not started")
    assert world.ecs.running() == []


def test_tasks_that_ecs_has_no_room_for_are_an_error_and_the_master_is_stopped(world: World) -> None:
    world.ecs.refuses = lambda request: [{"reason": "Capacity is unavailable"}] if request["count"] == 2 else []
    with (
        pytest.raises(CloudError, match="0 of 2 tasks of the fleet's worker: Capacity is unavailable"),
        world.fleet.drive(),
    ):
        pytest.fail("it has not started")
    assert len(world.ecs.tasks) == 1
    assert world.ecs.running() == []


def test_a_master_that_gives_up_is_believed(world: World) -> None:
    world.logs.say({"type": "failed", "reason": "only 1 of 2 workers were ready after 180 s"})
    with pytest.raises(CloudError, match="only 1 of 2 workers"), world.fleet.drive():
        pytest.fail("it has not started")


def test_a_stopped_worker_task_is_a_problem_of_the_result(world: World) -> None:
    world.logs.say(STARTED)
    with world.fleet.drive() as drive:
        world.ecs.end("arn:aws:ecs:task/cluster/2", 137, "OutOfMemoryError")
        drive.look()
        world.logs.say({"type": "worker-lost", "worker": "b", "second": 7, "reason": "has said nothing"}, FINISHED)
        result = drive.finish()
    assert any("worker b was lost in second 7" in problem for problem in result.problems)
    assert any("exit code 137 (OutOfMemoryError)" in problem for problem in result.problems)


def test_a_master_that_stops_without_a_last_word_is_a_problem_after_late_lines_were_waited_for(world: World) -> None:
    world.logs.say(STARTED, {"type": "rows", "rows": [piece(0, 1000, offered=3)]})
    world.logs.texts.append("Traceback (most recent call last): boom")
    with world.fleet.drive() as drive:
        world.ecs.end("arn:aws:ecs:task/cluster/0", 1, "Essential container exited")
        result = drive.finish()
    assert not result.validity.finished
    assert result.ended_at is None
    assert result.validity.unreported == 2
    assert any("never told the end" in problem and "boom" in problem for problem in result.problems)


def test_lines_that_arrive_after_the_task_has_stopped_count(world: World) -> None:
    world.logs.say(STARTED)
    real = world.clock.sleep

    def sleep(seconds: float) -> None:
        real(seconds)
        if world.clock.now > 10 and len(world.logs.texts) == 1:
            world.logs.say(FINISHED)

    with world.fleet.drive() as drive:
        drive._sleep = sleep
        world.ecs.end("arn:aws:ecs:task/cluster/0", 0, "done")
        result = drive.finish()
    assert result.validity.finished
    assert result.problems == ()


def test_a_lost_line_is_counted_and_a_line_told_twice_is_not(world: World) -> None:
    world.logs.say(STARTED, {"type": "rows", "rows": [piece(1, 1000)]})
    world.logs.texts.append(world.logs.texts[-1])
    world.logs.texts.append(json.dumps({"n": 5, **FINISHED}))
    with world.fleet.drive() as drive:
        result = drive.finish()
    assert result.validity.missing_lines == 3
    assert load.total(result.rows).requests == 1
    assert any("3 lines of the master's log never arrived" in problem for problem in result.problems)


def test_stopping_stops_the_master_first_and_returns_what_was_measured(world: World) -> None:
    world.logs.say(STARTED)
    with world.fleet.drive(until_stopped=True) as drive:
        plain_stop = world.ecs.stop_task

        def stop_task(cluster: str, task: str, reason: str) -> None:
            assert task.endswith("/0")
            plain_stop(cluster, task, reason)
            world.logs.say({"type": "rows", "rows": [piece(3, 9000)]}, {**FINISHED, "stopped": True})

        world.ecs.stop_task = stop_task  # type: ignore[method-assign]
        result = drive.stop()
        world.ecs.stop_task = plain_stop  # type: ignore[method-assign]
    assert result.validity.stopped
    assert load.total(result.rows).requests == 1
    assert result.problems == ()


def test_tasks_that_do_not_stop_are_named_as_leftovers(world: World) -> None:
    world.logs.say(STARTED, FINISHED)
    world.ecs.stops = False
    with pytest.raises(TeardownError, match=r"ECS task arn.*/0"), world.fleet.drive():
        pass


def test_waiting_for_something_has_a_deadline_and_ends_with_the_drive(world: World) -> None:
    world.logs.say(STARTED)
    with world.fleet.drive() as drive:
        with pytest.raises(DeadlineError, match="a miracle"):
            drive.wait_until(lambda _: False, timedelta(seconds=5), "a miracle")
        world.logs.say(
            {"type": "progress", "second": 4, "rate": 9, "p50_ms": 1.0, "p95_ms": None, "p99_ms": None}
            | {"requests": 5, "errors": 1, "dropped": 0, "in_flight": 0, "workers": 2}
        )
        drive.wait_until(lambda it: getattr(it.progress(), "second", None) == 4, timedelta(seconds=5), "second 4")
        world.logs.say(FINISHED)
        with pytest.raises(CloudError, match="load ended while waiting for a miracle"):
            drive.wait_until(lambda _: False, timedelta(seconds=5), "a miracle")


def test_an_order_that_ecs_would_refuse_is_refused_here(tmp_path: Path) -> None:
    body = "".join(f"{number:x}" for number in range(200, 9000, 3))
    long = tuple(Scenario(name=f"s{n}", path="/", method="POST", body=body[n:] + body[:n][::-1]) for n in range(4))
    world = World(tmp_path, replace(PLAN, workload=replace(PLAN.workload, scenarios=long)))
    with pytest.raises(ReadinessError, match="ECS allows 8192"), world.fleet.drive():
        pytest.fail("it has not started")
    assert world.ecs.tasks == {}


def test_a_scenario_whose_secret_the_fleet_lacks_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    world = World(tmp_path, replace(PLAN, fleet=Fleet()))
    with pytest.raises(ReadinessError, match="no variable MANAGEMENT_TOKEN"), world.fleet.drive():
        pytest.fail("it has not started")
    assert world.ecs.requests == []
    assert world.ledger.path.exists() is False


def test_seconds_line_up_with_the_wall_clock(world: World) -> None:
    told = [piece(0, 1000), piece(2, 1000, 1000, outcome=rows.STATUS), piece(3, 1000)]
    world.logs.say(STARTED, {"type": "rows", "rows": told}, FINISHED)
    with world.fleet.drive() as drive:
        result = drive.finish()
    at = [START + timedelta(seconds=second) for second in range(6)]
    assert load.requests_between(result, at[2], at[3]) == (2, 2)
    assert load.requests_between(result, at[0], at[1]) == (1, 0)
    assert load.requests_between(result, at[1] + timedelta(milliseconds=1), at[5]) == (3, 2)
    assert [(each.second, each.requests, each.failed) for each in load.per_second(result)] == [
        (0, 1, 0),
        (1, 0, 0),
        (2, 2, 2),
        (3, 1, 0),
    ]


def test_the_hold_is_its_whole_seconds() -> None:
    workload = replace(PLAN.workload, ramp=timedelta(seconds=2.5), hold=timedelta(seconds=10))
    assert load.hold_seconds(workload) == range(3, 12)


def test_a_damaged_artifact_is_refused() -> None:
    with pytest.raises(EvidenceError, match="cannot be read"):
        load.read_artifact(b"\x1f\x8b nonsense")
