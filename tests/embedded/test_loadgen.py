"""The load generator for real: master, workers and services as processes on loopback."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from readiness import stats
from readiness.contract import FLEET_ORDER_VARIABLE
from readiness.loadgen import lines, rows
from readiness.loadgen.order import Order, encode
from readiness.loadgen.rows import Tally
from readiness.model import ClosedArrivals, OpenArrivals, Scenario, Workload

HOST = "127.77.0.1"
TOKEN = "t0ken-that-nothing-may-print"
PLAIN = Scenario(name="plain", path="/")
CHAT = Scenario(
    name="chat",
    weight=3,
    method="POST",
    path="/v1/chat/completions",
    headers={"Authorization": "Bearer {{env:MANAGEMENT_TOKEN}}"},
    body='{"model": "m", "messages": [{"role": "user", "content": "{{question}}"}]}',
    variables={"question": ("a", "b", "c")},
)
FRESH = replace(CHAT, name="fresh", weight=1, body=(CHAT.body or "").replace("question", "unique"))
STRANGER = Scenario(name="stranger", path="/v1/models", headers={"Authorization": "Bearer no"}, expect_status=(401,))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """No embedded AWS is started here, so none is looked for: ``start`` sees to the end of every process."""


@dataclass
class Child:
    """A process whose output is read as it comes."""

    process: subprocess.Popen[str]
    out: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    def ended(self, deadline_s: float = 30) -> int:
        code = self.process.wait(deadline_s)
        assert self.reader is not None
        self.reader.join(5)
        return code

    def told(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in list(self.out) if line.startswith("{")]

    def wait_for(self, test: Callable[[dict[str, Any]], bool], deadline_s: float = 20) -> dict[str, Any]:
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            for line in self.told():
                if test(line):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"not said within {deadline_s} s: {self.out[-5:]}")


@dataclass
class Fleet:
    master: Child
    workers: list[Child]
    workload: Workload

    def finished(self) -> dict[str, Any]:
        (line,) = [each for each in self.master.told() if each["type"] == "finished"]
        return line

    def kinds(self) -> list[str]:
        return [line["type"] for line in self.master.told()]

    def scenarios(self) -> dict[str, Tally]:
        """What was measured in the hold, read from the lines as the harness reads them."""
        ramp_s = int(self.workload.ramp.total_seconds())
        seconds = range(ramp_s, ramp_s + int(self.workload.hold.total_seconds()))
        pieces = [piece for line in self.master.told() if line["type"] == "rows" for piece in line["rows"]]
        found = rows.by_scenario(map(lines.row_of, pieces), seconds)
        return {name: tally for name, tally in found.items() if name != rows.EVERY}


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    """Start programs that are gone after the test."""
    children: list[Child] = []

    def starter(*argv: str, **environment: str) -> Child:
        process = subprocess.Popen(
            [sys.executable, "-m", *argv],
            env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        child = Child(process)
        assert process.stdout is not None
        child.reader = threading.Thread(target=lambda: child.out.extend(iter(process.stdout.readline, "")), daemon=True)
        child.reader.start()
        children.append(child)
        return child

    yield starter
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            child.process.kill()
        child.process.wait(10)


def until_it_listens(child: Child) -> None:
    until = time.monotonic() + 20
    while not any("listening" in line for line in child.out):
        assert time.monotonic() < until, child.out
        assert child.process.poll() is None, child.out
        time.sleep(0.02)


@pytest.fixture
def proxy(start: Callable[..., Child]) -> str:
    port = free_port()
    arguments = ("--host", HOST, "--port", str(port))
    child = start("examples.llm_proxy", *arguments, MANAGEMENT_TOKEN=TOKEN, PROXY_UPSTREAM_MEDIAN_MS="20")
    until_it_listens(child)
    return f"http://{HOST}:{port}"


@pytest.fixture
def odd(start: Callable[..., Child]) -> Callable[..., str]:
    def starter(*how: str) -> str:
        port = free_port()
        until_it_listens(start("tests.embedded.odd_server", HOST, str(port), *how))
        return f"http://{HOST}:{port}"

    return starter


@pytest.fixture
def drive(start: Callable[..., Child]) -> Callable[..., Fleet]:
    def starter(
        target: str,
        *scenarios: Scenario,
        rate: float = 100,
        ramp_s: float = 1,
        hold_s: float = 3,
        timeout_s: float = 2,
        started_workers: int = 2,
        arrivals: OpenArrivals | ClosedArrivals | None = None,
        **order: Any,
    ) -> Fleet:
        workload = Workload(
            arrivals=arrivals or OpenArrivals(kind="open", rate_per_s=rate, distribution="constant"),
            ramp=timedelta(seconds=ramp_s),
            hold=timedelta(seconds=hold_s),
            timeout=timedelta(seconds=timeout_s),
            scenarios=scenarios or (PLAIN,),
        )
        master = Order(
            role="master",
            run_id="r1",
            master_host=HOST,
            master_port=free_port(),
            workers=2,
            target=target,
            workload=workload,
            **{"silence": timedelta(seconds=2.5), **order},
        )
        first = start("readiness.loadgen", "--host", HOST, **{FLEET_ORDER_VARIABLE: encode(master)})
        told = {FLEET_ORDER_VARIABLE: encode(replace(master, role="worker")), "MANAGEMENT_TOKEN": TOKEN}
        return Fleet(first, [start("readiness.loadgen", **told) for _ in range(started_workers)], workload)

    return starter


Drive = Callable[..., Fleet]


def test_two_workers_offer_the_rate_and_report_every_request(proxy: str, drive: Drive) -> None:
    fleet = drive(proxy, CHAT, FRESH, STRANGER, rate=200, hold_s=5)
    assert fleet.master.ended() == 0
    assert [worker.ended(10) for worker in fleet.workers] == [0, 0]
    end = fleet.finished()
    assert end["offered"] == end["sent"] == end["recorded"] == sum(end["outcomes"].values()) == 1100
    assert end["outcomes"] == {"ok": 1100}
    assert (end["unreported"], end["dropped"], end["workers_lost"], end["stopped"]) == (0, 0, [], False)
    assert 0 < end["generator_cpu_ratio"] < 1
    scenarios = fleet.scenarios()
    whole = rows.over_all(scenarios)
    assert whole.counts[rows.OFFERED] == 1000
    # Answers count in the second in which they came: a few of the ramp's came in the hold, a few of its own after it.
    assert 980 <= whole.counts[rows.ANSWERED] <= 1020
    assert set(scenarios["fresh"].cache_outcomes()) == {"miss"}
    hits = scenarios["chat"].cache_outcomes()
    assert hits["hit"] > 0.95 * sum(hits.values())
    assert 15 < stats.percentile_ms(scenarios["fresh"].histograms[rows.UPSTREAM], 50) < 26
    assert stats.percentile_ms(scenarios["fresh"].histograms[rows.PROXY], 50) < 15
    assert scenarios["stranger"].counts["status/401"] == scenarios["stranger"].counts[rows.OFFERED]
    progress = [line for line in fleet.master.told() if line["type"] == "progress"]
    assert len(progress) >= 5
    assert 190 <= progress[3]["rate"] <= 210
    assert [line["n"] for line in fleet.master.told()] == list(range(len(fleet.master.out)))
    assert max(len(line) for line in fleet.master.out) < 15_000
    assert not any(TOKEN in line for child in (fleet.master, *fleet.workers) for line in child.out)


def test_a_stall_is_felt_by_all_who_arrive_during_it(odd: Callable[..., str], drive: Drive) -> None:
    fleet = drive(odd("stall"), rate=200, hold_s=5, ramp_s=0)
    assert fleet.master.ended() == 0
    latencies = rows.over_all(fleet.scenarios()).latencies()
    p50, p95, p99 = (stats.percentile_ms(latencies, percentile) for percentile in (50, 95, 99))
    # Any 5 s have a stall of 0.5 s: a tenth of the clients wait evenly between 0 and 500 ms.
    assert p50 < 20
    assert 220 < p95 < 330
    assert 420 < p99 < 560


def test_a_killed_worker_is_said_and_the_exit_code_is_no_success(proxy: str, drive: Drive) -> None:
    fleet = drive(proxy, CHAT, hold_s=4, rate=200)
    fleet.master.wait_for(lambda line: line["type"] == "progress")
    fleet.workers[0].process.kill()
    assert fleet.master.ended() == 1
    assert fleet.workers[1].ended() == 0
    end = fleet.finished()
    assert len(end["workers_lost"]) == 1
    assert "worker-lost" in fleet.kinds()
    assert end["offered"] < 900 * 0.9


def test_a_worker_that_is_stopped_by_somebody_else_is_lost_too(proxy: str, drive: Drive) -> None:
    fleet = drive(proxy, CHAT, hold_s=2)
    fleet.master.wait_for(lambda line: line["type"] == "progress")
    fleet.workers[0].process.send_signal(signal.SIGTERM)
    assert fleet.master.ended() == 1
    assert len(fleet.finished()["workers_lost"]) == 1
    assert fleet.finished()["unreported"] == 0


def test_sigterm_is_an_orderly_stop_that_loses_nothing(proxy: str, drive: Drive) -> None:
    fleet = drive(proxy, FRESH, hold_s=600, until_stopped=True)
    fleet.master.wait_for(lambda line: line["type"] == "progress" and line["second"] >= 1)
    fleet.master.process.send_signal(signal.SIGTERM)
    assert fleet.master.ended(10) == 0
    assert [worker.ended(10) for worker in fleet.workers] == [0, 0]
    end = fleet.finished()
    assert (end["stopped"], end["ran_out"], end["unreported"]) == (True, False, 0)
    assert end["sent"] == end["recorded"] == sum(end["outcomes"].values()) > 100


def test_workers_end_soon_after_their_master(proxy: str, drive: Drive) -> None:
    fleet = drive(proxy, CHAT, hold_s=600)
    fleet.master.wait_for(lambda line: line["type"] == "progress")
    fleet.master.process.kill()
    assert [worker.ended(12) for worker in fleet.workers] == [3, 3]
    assert any("master has said nothing" in line for line in fleet.workers[0].out)


def test_nothing_is_sent_before_all_workers_are_ready(proxy: str, drive: Drive) -> None:
    fleet = drive(proxy, CHAT, started_workers=1, ready_deadline=timedelta(seconds=3))
    assert fleet.master.ended() == 2
    assert fleet.kinds() == ["waiting", "failed"]
    assert "only 1 of 2 workers" in fleet.master.told()[-1]["reason"]
    assert fleet.workers[0].ended(15) == 3


def test_a_service_that_misbehaves_is_recorded_as_what_it_does(odd: Callable[..., str], drive: Drive) -> None:
    token = {"Authorization": "Bearer {{env:MANAGEMENT_TOKEN}}"}
    expected = {"reset": rows.RESET, "cut": rows.RESET, "silent": rows.TIMEOUT, "wrong": rows.ASSERTION} | {
        "echo": rows.STATUS,
        "fine": rows.OK,
    }
    scenarios = [Scenario(name=each, path=f"/{each}", headers=token, expect_body_contains="right") for each in expected]
    fleet = drive(odd(), *scenarios, rate=200, ramp_s=0, hold_s=1, timeout_s=0.5)
    assert fleet.master.ended() == 0
    found = {name: tally.outcomes() for name, tally in fleet.scenarios().items()}
    assert {name: list(outcomes) for name, outcomes in found.items()} == {name: [end] for name, end in expected.items()}
    assert sum(sum(outcomes.values()) for outcomes in found.values()) == 200
    samples = {line["key"]: line["message"] for line in fleet.master.told() if line["type"] == "sample"}
    assert set(samples) == {f"{name}/{end}" for name, end in expected.items() if end != rows.OK}
    assert "no answer within 0.5 s" in samples["silent/timeout"]
    assert "something else" in samples["wrong/assertion"]
    assert "status 500 instead of 200" in samples["echo/status"]
    assert "Bearer" not in samples["echo/status"] or "***" in samples["echo/status"]
    assert not any(TOKEN in line for line in fleet.master.out)


def test_a_port_where_nobody_listens_is_a_failed_connection(drive: Drive) -> None:
    fleet = drive(f"http://{HOST}:{free_port()}", rate=50, ramp_s=0, hold_s=1)
    assert fleet.master.ended() == 0
    assert fleet.finished()["outcomes"] == {"connect": 50}


def test_arrivals_beyond_the_cap_are_counted_as_dropped(odd: Callable[..., str], drive: Drive) -> None:
    capped = OpenArrivals(kind="open", rate_per_s=50, distribution="constant", max_in_flight=10)
    fleet = drive(odd(), Scenario(name="silent", path="/silent"), ramp_s=0, hold_s=1, timeout_s=1.5, arrivals=capped)
    assert fleet.master.ended() == 0
    end = fleet.finished()
    assert (end["offered"], end["sent"], end["dropped"]) == (50, 10, 40)
    assert end["outcomes"] == {"timeout": 10}


def test_closed_users_wait_for_their_answers(proxy: str, drive: Drive) -> None:
    users = ClosedArrivals(kind="closed", users=5, think_time=timedelta(milliseconds=80))
    fleet = drive(proxy, FRESH, ramp_s=0, hold_s=2, arrivals=users)
    assert fleet.master.ended() == 0
    assert 5 * 2 / 0.2 < fleet.finished()["outcomes"]["ok"] < 5 * 2 / 0.08


def test_a_secret_that_is_not_there_ends_the_drive_and_is_named(start: Callable[..., Child], drive: Drive) -> None:
    scenario = replace(PLAIN, headers={"Authorization": "{{env:NO_SUCH_VARIABLE}}"})
    fleet = drive(f"http://{HOST}:1", scenario)
    assert fleet.master.ended() == 1
    (failed, *_) = [line for line in fleet.master.told() if line["type"] == "worker-failed"]
    assert "NO_SUCH_VARIABLE" in failed["reason"]


@pytest.mark.parametrize("order", [{}, {FLEET_ORDER_VARIABLE: "nonsense"}])
def test_without_an_order_nothing_is_done(order: dict[str, str], start: Callable[..., Child]) -> None:
    child = start("readiness.loadgen", **order)
    assert child.ended() == 4
    assert "order" in child.out[0]
