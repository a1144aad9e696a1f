"""Each service that must not pass gets its right verdict: a real drive of real processes, judged by the gate.

ECS and CloudWatch Logs are stood in for by the processes themselves; the load balancer agrees with the clients, so that
the verdict is the load's alone.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from readiness import decide, load, server_side
from readiness.contract import Output
from readiness.gates.load import GATE, Observation, Settings, observation_of, rebuilt, why_hopeless
from readiness.ledger import Ledger
from readiness.model import (
    Clone,
    ErrorObjective,
    Fleet,
    Judgement,
    LatencyObjective,
    LoadObjective,
    OpenArrivals,
    Outcome,
    Scenario,
    Severity,
    ThroughputObjective,
    Workload,
)
from readiness.plan import load_plan

HOST = "127.77.0.3"
REPOSITORY = Path(__file__).parents[2]
LATENCY = LatencyObjective(
    kind="latency", id="p95", percentile=95, threshold=timedelta(milliseconds=100), min_samples=100
)
ERRORS = ErrorObjective(kind="errors", id="errors", max_ratio=0.01)
THROUGHPUT = ThroughputObjective(kind="throughput", id="rate", min_per_s=90)
OBJECTIVES: tuple[LoadObjective, ...] = (LATENCY, ERRORS, THROUGHPUT)


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """No embedded AWS is started here; every process is ended by the test that starts it."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class LocalEcs:
    """ECS and CloudWatch Logs in one: a task is a process, its log is what it prints."""

    def __init__(self) -> None:
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self.printed: dict[str, list[str]] = {}

    def run_task(self, **request: Any) -> dict[str, Any]:
        (container,) = request["overrides"]["containerOverrides"]
        variables = {each["name"]: each["value"] for each in container["environment"]}
        return {"tasks": [self._start(variables) for _ in range(request["count"])], "failures": []}

    def _start(self, variables: dict[str, str]) -> dict[str, Any]:
        arn = f"arn:aws:ecs:task/c/{len(self.processes)}"
        process = subprocess.Popen(
            [sys.executable, "-m", "readiness.loadgen", "--host", HOST],
            env={**os.environ, **variables, "PYTHONUNBUFFERED": "1"},
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        printed = self.printed.setdefault(arn.rpartition("/")[2], [])
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        threading.Thread(target=lambda: printed.extend(lines), daemon=True).start()
        self.processes[arn] = process
        return self._describe(arn)

    def _describe(self, arn: str) -> dict[str, Any]:
        code = self.processes[arn].poll()
        return {
            "taskArn": arn,
            "lastStatus": "RUNNING" if code is None else "STOPPED",
            "attachments": [{"details": [{"name": "privateIPv4Address", "value": HOST}]}],
            "containers": [] if code is None else [{"exitCode": code}],
        }

    def describe_tasks(self, cluster: str, tasks: list[str]) -> dict[str, Any]:
        return {"tasks": [self._describe(arn) for arn in tasks], "failures": []}

    def stop_task(self, cluster: str, task: str, reason: str) -> None:
        self.processes[task].send_signal(signal.SIGTERM)

    def get_log_events(self, **where: Any) -> dict[str, Any]:
        printed = self.printed[where["logStreamName"].rpartition("/")[2]]
        first = int(where.get("nextToken", "0"))
        page = printed[first:]
        return {"events": [{"message": text} for text in page], "nextForwardToken": str(first + len(page))}


@pytest.fixture
def ecs() -> Iterator[LocalEcs]:
    made = LocalEcs()
    yield made
    for process in made.processes.values():
        process.kill()
        process.wait()


@pytest.fixture
def odd() -> Iterator[Callable[..., str]]:
    started: list[subprocess.Popen[str]] = []

    def starter(*how: str) -> str:
        port = free_port()
        argv = [sys.executable, "-m", "tests.embedded.odd_server", HOST, str(port), *how]
        process = subprocess.Popen(argv, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "listening\n"
        return f"http://{HOST}:{port}"

    yield starter
    for process in started:
        process.kill()
        process.wait()


class Story:
    """One drive, and what the gate makes of it."""

    def __init__(self, ecs: LocalEcs, folder: Path) -> None:
        self.ecs = ecs
        self.folder = folder
        self.aborted = ""

    def drive(
        self,
        url: str,
        *,
        path: str = "/",
        rate: float = 100,
        hold_s: float = 5,
        meanwhile: Callable[[load.Progress], None] = lambda _: None,
        held: tuple[LoadObjective, ...] = OBJECTIVES,
    ) -> Observation:
        workload = Workload(
            arrivals=OpenArrivals(kind="open", rate_per_s=rate, distribution="constant"),
            ramp=timedelta(seconds=1),
            hold=timedelta(seconds=hold_s),
            timeout=timedelta(seconds=2),
            scenarios=(Scenario(name="home", path=path, expect_body_contains="right"),),
        )
        plan = replace(load_plan(REPOSITORY / "readiness.toml"), workload=workload, fleet=Fleet())
        outputs = dict.fromkeys((value for name, value in vars(Output).items() if name.isupper()), "x")
        outputs[Output.SERVICE_URL] = url
        clone = Clone(run_id="r1", stack_name="s", stack_id="s", expires_at=datetime.now(UTC), outputs=outputs)
        clients = {"ecs": self.ecs, "logs": self.ecs}.__getitem__
        fleet = load.Fleet(clients, clone, plan, Ledger(self.folder / "ledger.jsonl"), repository=REPOSITORY)

        with fleet.drive() as drive:

            def watch(progress: load.Progress) -> bool:
                meanwhile(progress)
                self.aborted = self.aborted or why_hopeless(held, drive, progress.second)
                return bool(self.aborted)

            result = drive.finish(watch)
        client = server_side.client_side(result)
        made = observation_of(held, result, "rows", client, agreeing(client), self.aborted)
        assert rebuilt(made, lambda _: load.artifact(result)) == made
        return made


def agreeing(client: server_side.ClientSide) -> server_side.ServerSide:
    """A load balancer that saw what the clients saw."""
    now = datetime.now(UTC)
    return server_side.ServerSide(
        start=now,
        end=now,
        requests=max(1, client.answered),
        target_5xx=client.status_5xx,
        response_time_ms={name: (value,) for name, value in client.latency_ms.items()},
    )


@pytest.fixture
def story(ecs: LocalEcs, tmp_path: Path) -> Story:
    return Story(ecs, tmp_path)


def verdict(seen: Observation) -> tuple[Outcome, Judgement]:
    judgement = GATE.judge(seen, Settings())
    disposed = decide.dispose(judgement.findings, (), datetime.now(UTC).date())
    return decide.outcome(judgement, disposed, (Severity.CRITICAL, Severity.HIGH)), judgement


def missed(judgement: Judgement) -> set[str]:
    return {found.subject for found in judgement.findings}


def test_a_good_service_passes(story: Story, odd: Callable[..., str]) -> None:
    outcome, judgement = verdict(story.drive(odd()))
    assert (outcome, judgement.findings, judgement.gaps) == (Outcome.PASSED, (), ())
    assert judgement.examined == len(OBJECTIVES)


def test_no_traffic_proves_nothing(story: Story, odd: Callable[..., str]) -> None:
    outcome, judgement = verdict(story.drive(odd(), rate=0.01, hold_s=2))
    assert outcome is Outcome.INCONCLUSIVE
    assert judgement.examined == 0


def test_a_port_on_which_nobody_listens_fails_by_its_errors(story: Story) -> None:
    outcome, judgement = verdict(story.drive(f"http://{HOST}:{free_port()}", hold_s=3))
    assert outcome is Outcome.FAILED
    assert missed(judgement) == {"errors", "rate"}
    assert any(each.name == "errors/connect" for each in judgement.measurements)
    assert any("refused" in found.message for found in judgement.findings)


@pytest.mark.parametrize(("path", "outcome"), [("/reset", "reset"), ("/cut", "reset"), ("/wrong", "assertion")])
def test_a_service_that_breaks_off_or_answers_something_else_fails_by_its_errors(
    story: Story, odd: Callable[..., str], path: str, outcome: str
) -> None:
    reached, judgement = verdict(story.drive(odd(), path=path, hold_s=3))
    assert reached is Outcome.FAILED
    assert missed(judgement) == {"errors", "rate"}
    assert any(each.name == f"errors/{outcome}" for each in judgement.measurements)


def test_a_service_that_never_answers_fails_by_its_timeouts(story: Story, odd: Callable[..., str]) -> None:
    reached, judgement = verdict(story.drive(odd(), path="/silent", hold_s=3))
    assert reached is Outcome.FAILED
    assert missed(judgement) == {"p95", "errors", "rate"}


def test_stalls_fail_by_what_clients_wait_although_most_answers_are_quick(
    story: Story, odd: Callable[..., str]
) -> None:
    reached, judgement = verdict(story.drive(odd("stall"), rate=200, hold_s=5, held=(LATENCY, ERRORS)))
    assert reached is Outcome.FAILED
    assert missed(judgement) == {"p95"}
    p50 = next(each.value for each in judgement.measurements if each.name == "p50")
    assert p50 < 20


def test_a_killed_worker_is_said_and_never_passes(story: Story, odd: Callable[..., str], ecs: LocalEcs) -> None:
    killed = []

    def kill(progress: load.Progress) -> None:
        if progress.second == 2 and not killed:
            victim = ecs.processes["arn:aws:ecs:task/c/1"]
            victim.kill()
            killed.append(victim)

    reached, judgement = verdict(story.drive(odd(), hold_s=8, meanwhile=kill))
    assert killed
    assert reached is Outcome.INCONCLUSIVE
    assert any("it was lost" in gap.why for gap in judgement.gaps)
    assert missed(judgement) == set()


def test_a_hopeless_load_is_stopped_early_and_fails(story: Story, odd: Callable[..., str]) -> None:
    hopeless = replace(ERRORS, abort_on_breach=True)
    begun = time.monotonic()
    seen = story.drive(odd(), path="/wrong", hold_s=60, held=(LATENCY, hopeless, THROUGHPUT))
    assert time.monotonic() - begun < 40
    reached, judgement = verdict(seen)
    assert reached is Outcome.FAILED
    assert "errors" in missed(judgement)
    assert any("stopped early: objective errors cannot be met any more" in gap.why for gap in judgement.gaps)
