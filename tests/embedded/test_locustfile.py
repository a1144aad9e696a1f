"""A user's own locustfile, run as it is by real masters and workers: what it sends is recorded as ours is."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from readiness.contract import FLEET_ORDER_VARIABLE
from readiness.loadgen import lines, rows, workload_files
from readiness.loadgen.order import Order, encode
from readiness.loadgen.rows import Tally
from readiness.model import LocustfileArrivals, Scenario, Workload

HOST = "127.77.0.2"
REPOSITORY = Path(__file__).parents[2]
SECRET = "t0ken-that-nothing-may-print"


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """No embedded AWS is started here; every process is ended by the test that starts it."""


class Handler(BaseHTTPRequestHandler):
    """Answers by its path, and counts."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.server.seen[self.path] += 1  # type: ignore[attr-defined]
        if self.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            return
        if self.path == "/silent":
            time.sleep(4)
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "5")
        self.send_header("X-Proxy-Cache", "Hit")
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(b"right")

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Any]:
    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    server.seen = Counter()  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@dataclass
class Ended:
    """What a drive said."""

    code: int
    told: list[dict[str, Any]]
    out: str

    def last(self, kind: str) -> dict[str, Any]:
        return [line for line in self.told if line["type"] == kind][-1]

    def scenarios(self) -> dict[str, Tally]:
        pieces = [piece for line in self.told if line["type"] == "rows" for piece in line["rows"]]
        return rows.by_scenario(map(lines.row_of, pieces), range(1000))

    def samples(self) -> dict[str, str]:
        return {line["key"]: line["message"] for line in self.told if line["type"] == "sample"}


Drive = Callable[..., Ended]


@pytest.fixture
def drive(tmp_path: Path, service: Any) -> Drive:
    def driver(text: str, *, users: int = 4, user_classes: tuple[str, ...] = (), workers: int = 2) -> Ended:
        folder = tmp_path / workload_files.FOLDER
        folder.mkdir()
        (folder / "locustfile.py").write_text(textwrap.dedent(text))
        (folder / "shop.py").write_text("PATH = '/from-a-module'\n")
        workload = Workload(
            arrivals=LocustfileArrivals(
                kind="locustfile", file="locustfile.py", users=users, user_classes=user_classes
            ),
            ramp=timedelta(seconds=1),
            hold=timedelta(seconds=2),
            timeout=timedelta(seconds=2),
            scenarios=(Scenario(name="drill", path="/"),),
        )
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port = probe.getsockname()[1]
        order = Order(
            role="master",
            run_id="r1",
            master_host=HOST,
            master_port=port,
            workers=workers,
            target=f"http://{HOST}:{service.server_port}",
            workload=workload,
            files=workload_files.digests(workload_files.contents(tmp_path, workload)),
            secret_variables=("SHOP_TOKEN",),
        )
        return run(tmp_path, order)

    return driver


def run(folder: Path, order: Order) -> Ended:
    argv = [sys.executable, "-m", "readiness.loadgen", "--host", HOST]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SHOP_TOKEN": SECRET, "PYTHONUNBUFFERED": "1"}

    def start(role: Any) -> subprocess.Popen[str]:
        told = {**environment, FLEET_ORDER_VARIABLE: encode(replace(order, role=role))}
        return subprocess.Popen(argv, cwd=folder, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    children = [start("master"), *(start("worker") for _ in range(order.workers))]
    try:
        outs = [child.communicate(timeout=40)[0] for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    told = [json.loads(line) for line in outs[0].splitlines() if line.startswith("{")]
    return Ended(children[0].returncode, told, "\n".join(outs))


def test_the_file_runs_as_it_is_and_every_request_is_recorded(drive: Drive, service: Any) -> None:
    ended = drive(
        """
        from locust import FastHttpUser, HttpUser, between, constant, events, task
        from shop import PATH

        @events.test_start.add_listener
        def begun(environment, **_):
            print("test_start was heard")

        class Buyer(HttpUser):
            host = "http://somewhere.else.invalid"
            wait_time = constant(0.02)

            @task(3)
            def module(self):
                self.client.get(PATH)

            @task
            def named(self):
                self.client.get("/item/17", name="/item/[id]")

        class Robot(FastHttpUser):
            wait_time = between(0.01, 0.03)

            @task
            def root(self):
                with self.client.get("/", catch_response=True) as response:
                    if response.text != "right":
                        response.failure("wrong body")
        """
    )
    assert ended.code == 0, ended.out
    end, scenarios = ended.last("finished"), ended.scenarios()
    assert set(scenarios) - {rows.EVERY} == {"/from-a-module", "/item/[id]", "/"}
    assert end["outcomes"] == {"ok": end["sent"]}
    assert end["offered"] == end["sent"] == end["recorded"] > 60
    # Users whose last request is under way are stopped: the service may have seen what no client reports.
    for path, name in (("/from-a-module", "/from-a-module"), ("/item/17", "/item/[id]"), ("/", "/")):
        assert 0 <= service.seen[path] - scenarios[name].requests <= 4
    assert scenarios["/"].cache_outcomes() == {"hit": scenarios["/"].requests}
    assert scenarios["/item/[id]"].cache_outcomes() == {"hit": scenarios["/item/[id]"].requests}
    assert scenarios["/"].counts["status/200"] == scenarios["/"].requests
    assert not any(tally.counts.get(rows.ELSEWHERE) for tally in scenarios.values())
    assert "test_start was heard" in ended.out


def test_each_failure_is_recorded_as_what_it_was(drive: Drive) -> None:
    ended = drive(
        """
        import os
        from locust import FastHttpUser, HttpUser, constant, task

        class Slow(HttpUser):
            wait_time = constant(0.05)

            @task
            def failures(self):
                self.client.get("/broken", name="h-status")
                self.client.get("/reset", name="h-reset")
                self.client.get("/silent", name="h-timeout", timeout=0.2)
                self.client.get("http://127.0.0.1:9/", name="h-connect")
                with self.client.get("/", name="h-assertion", catch_response=True) as response:
                    response.failure("it is not what I wanted: " + os.environ["SHOP_TOKEN"])
                raise ValueError("a bug with " + os.environ["SHOP_TOKEN"])

        class Quick(FastHttpUser):
            wait_time = constant(0.05)
            network_timeout = 0.2
            connection_timeout = 0.2

            @task
            def failures(self):
                self.client.get("/broken", name="f-status")
                self.client.get("/silent", name="f-timeout")
                self.client.get("http://127.0.0.1:9/", name="f-connect")
                self.client.get("/reset", name="f-reset")
        """
    )
    assert ended.code == 0, ended.out
    scenarios = ended.scenarios()
    for name, tally in scenarios.items():
        if name != rows.EVERY:
            outcome = name.split("-")[1]
            assert set(tally.outcomes()) == {outcome}, (name, tally.outcomes(), ended.samples())
            assert f"{name}/{outcome}" in ended.samples()
    assert len(scenarios) == 10
    assert scenarios["h-connect"].counts[rows.ELSEWHERE] == scenarios["h-connect"].requests
    assert scenarios["h-status"].counts["status/500"] == scenarios["h-status"].requests
    assert scenarios[rows.EVERY].counts[rows.USER_ERRORS] >= 2
    assert "a bug with ***" in ended.samples()[f"(user)/{rows.USER_ERRORS}"]
    assert SECRET not in ended.out


def test_only_the_users_that_are_named_run_and_all_of_them(drive: Drive, service: Any) -> None:
    ended = drive(
        """
        from locust import HttpUser, constant, task

        class One(HttpUser):
            wait_time = constant(30)

            @task
            def one(self):
                self.client.get("/one")

        class Two(HttpUser):
            wait_time = constant(30)

            @task
            def two(self):
                self.client.get("/two")
        """,
        users=7,
        user_classes=("Two",),
    )
    assert ended.code == 0, ended.out
    assert service.seen == {"/two": 7}
    assert ended.last("finished")["recorded"] == 7


@pytest.mark.parametrize(
    ("text", "classes", "reason"),
    [
        ("import no_such_module", (), "No module named 'no_such_module' (line 1)"),
        ("def broken(:", (), "SyntaxError"),
        ("raise SystemExit('not today')", (), "not today"),
        ("print('no users')", (), "has no user class at all; there is none"),
        ("from locust import HttpUser\nclass A(HttpUser):\n    tasks = []", ("B",), "has no user class B; there is A"),
        ("from locust import LoadTestShape\nclass S(LoadTestShape):\n    def tick(self): ...", (), "LoadTestShape"),
    ],
)
def test_a_file_that_cannot_run_fails_the_drive_and_says_why(
    drive: Drive, text: str, classes: tuple[str, ...], reason: str
) -> None:
    ended = drive(text, user_classes=classes, workers=1)
    assert ended.code == 1, ended.out
    assert reason in ended.last("worker-failed")["reason"]
    assert ended.last("finished")["workers_failed"]
    assert ended.last("finished")["recorded"] == 0
