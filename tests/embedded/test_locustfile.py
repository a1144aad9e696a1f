"""A user's own locustfile, run as it is by real masters and workers: what it sends is recorded as ours is."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any

import pytest

from readiness import stats
from readiness.contract import FLEET_ORDER_VARIABLE
from readiness.loadgen import lines, rows, workload_files
from readiness.loadgen.order import Order, encode
from readiness.loadgen.rows import Tally
from readiness.model import LocustfileArrivals, Scenario, Workload

HOST = "127.77.0.2"
REPOSITORY = Path(__file__).parents[2]
EXAMPLES = REPOSITORY / "tests" / "data" / "locustfiles"
SECRET = "t0ken-that-nothing-may-print"
USERS = "from locust import HttpUser, events\nclass A(HttpUser):\n    tasks = [print]\n"


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """No embedded AWS is started here; every process is ended by the test that starts it."""


class Handler(BaseHTTPRequestHandler):
    """Answers by its path, and counts."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer()

    def answer(self) -> None:
        with self.server.lock:  # type: ignore[attr-defined]
            self.server.seen[self.path] += 1  # type: ignore[attr-defined]
        if self.path == "/reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.close_connection = True
            return
        if self.path in ("/silent", "/hung"):
            self.server.over.wait(1 if self.path == "/silent" else 30)  # type: ignore[attr-defined]
        away = self.path.startswith("/away/")
        self.send_response(500 if self.path == "/broken" else 302 if away else 200)
        if away:
            self.send_header("Location", f"http://localhost:{self.path.removeprefix('/away/')}/")
        body = b"17" if self.path == "/prices" else b"right"
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Proxy-Cache", "Hit")
        if start := self.headers["X-Request-Start"]:
            self.send_header("X-Upstream-Request-Start", start)
            self.send_header("X-Upstream-Request-Stop", str(int(start) + 1_000))
        self.end_headers()
        with contextlib.suppress(OSError):
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Any]:
    server = ThreadingHTTPServer((HOST, 0), Handler)
    server.daemon_threads = True
    server.seen, server.lock, server.over = Counter(), Lock(), Event()  # type: ignore[attr-defined]
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.over.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


@dataclass
class Ended:
    """What a drive said."""

    code: int
    told: list[dict[str, Any]]
    out: str
    workers: list[int]

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
    def driver(
        text: str = "",
        *,
        users: int = 4,
        user_classes: tuple[str, ...] = (),
        workers: int = 2,
        hold_s: float = 2,
        end_with: int | None = None,
    ) -> Ended:
        folder = tmp_path / workload_files.FOLDER
        shutil.copytree(EXAMPLES, folder)
        if text:
            (folder / "locustfile.py").write_text(textwrap.dedent(text))
        workload = Workload(
            arrivals=LocustfileArrivals(
                kind="locustfile", file="locustfile.py", users=users, user_classes=user_classes
            ),
            ramp=timedelta(seconds=1),
            hold=timedelta(seconds=hold_s),
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
            until_stopped=end_with is not None,
            silence=timedelta(seconds=2.5),
        )
        return run(tmp_path, order, end_with)

    return driver


def run(folder: Path, order: Order, end_with: int | None) -> Ended:
    """Run a whole fleet to its end, or until the master gets a signal in the midst of it."""
    argv = [sys.executable, "-m", "readiness.loadgen", "--host", HOST]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "SHOP_TOKEN": SECRET, "PYTHONUNBUFFERED": "1"}

    def start(role: Any) -> subprocess.Popen[str]:
        told = {**environment, FLEET_ORDER_VARIABLE: encode(replace(order, role=role))}
        return subprocess.Popen(argv, cwd=folder, env=told, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    children = [start("master"), *(start("worker") for _ in range(order.workers))]
    try:
        before = ""
        if end_with is not None and (said := children[0].stdout) is not None:
            while '"progress"' not in before and (line := said.readline()):
                before += line
            children[0].send_signal(end_with)
        outs = [child.communicate(timeout=40)[0] for child in children]
        outs[0] = before + outs[0]
    finally:
        for child in children:
            child.kill()
            child.wait()
    told = [json.loads(line) for line in outs[0].splitlines() if line.startswith("{")]
    return Ended(children[0].returncode, told, "\n".join(outs), [child.returncode for child in children[1:]])


def test_the_file_runs_as_it_is_and_what_is_recorded_is_what_the_service_counted(drive: Drive, service: Any) -> None:
    ended = drive(users=8)
    assert ended.code == 0, ended.out
    end, scenarios = ended.last("finished"), ended.scenarios()
    names = {"/login", "/logout", "/browse", "/item/[id]", "/cart", "/", "/prices"}
    assert set(scenarios) - {rows.EVERY} == names
    assert end["outcomes"] == {"ok": end["sent"]}
    assert end["offered"] == end["sent"] == end["recorded"] > 100
    for name in names:
        path, tally = name.replace("[id]", "17"), scenarios[name]
        assert tally.requests == tally.counts[rows.OFFERED] == tally.counts[rows.ANSWERED] == service.seen[path], name
        assert tally.cache_outcomes() == {"hit": tally.requests}
        assert tally.counts["status/200"] == tally.requests
        assert rows.ELSEWHERE not in tally.counts
    assert scenarios["/login"].requests == scenarios["/logout"].requests == 6  # weight 3 of 4, over both workers
    assert rows.EVERY not in scenarios
    for said in ("init: worker 0 of 2", "init: worker 1 of 2", f"test_start: http://{HOST}:", "in EUR"):
        assert said in ended.out
    assert ended.out.count("test_stop: 0 failures") == ended.out.count("quitting") == 2


def test_a_request_that_hangs_is_a_timeout_though_locust_says_nothing_of_it(drive: Drive, service: Any) -> None:
    ended = drive(
        """
        from locust import FastHttpUser, HttpUser, constant, task

        class Slow(HttpUser):
            @task
            def hang(self):
                self.client.get("/hung", name="h-hung")

        class Quick(FastHttpUser):
            @task
            def hang(self):
                self.client.get("/hung", name="f-hung")

            def on_stop(self):
                self.client.get("/hung", name="on-stop")
        """
    )
    assert ended.code == 0, ended.out
    found = {name: tally.outcomes() for name, tally in ended.scenarios().items()}
    assert found["h-hung"] == found["f-hung"] == {"timeout": 2}
    assert sum(found["on-stop"].values()) == 2
    assert "ok" not in found["on-stop"]
    assert service.seen == {"/hung": 6}
    assert "no answer within" in ended.samples()["h-hung/timeout"]


def test_a_block_that_raises_or_is_never_entered_loses_no_request(drive: Drive, service: Any) -> None:
    ended = drive(
        """
        import gevent
        from locust import FastHttpUser, HttpUser, User, constant, task

        class Both(User):
            abstract = True
            wait_time = constant(0.05)

            @task
            def check(self):
                with self.client.get("/", name=self.kind + "-raises", catch_response=True) as response:
                    assert_it = response.json()["no such key"]

            @task
            def forget(self):
                self.client.get("/", name=self.kind + "-forgotten", catch_response=True)
                self.client.get("/broken", name=self.kind + "-broken", catch_response=True)

            @task
            def give_up(self):
                with gevent.Timeout(0.1, False):
                    self.client.get("/silent", name=self.kind + "-given-up")

        class Slow(Both, HttpUser):
            kind = "h"

        class Quick(Both, FastHttpUser):
            kind = "f"
        """
    )
    assert ended.code == 0, ended.out
    scenarios = ended.scenarios()
    raised = scenarios.pop(rows.EVERY).counts[rows.USER_ERRORS]
    expected = {"raises": rows.ASSERTION, "forgotten": rows.OK, "broken": rows.STATUS, "up": rows.TIMEOUT}
    assert len(scenarios) == 8
    for name, tally in scenarios.items():
        assert list(tally.outcomes()) == [expected[name.rpartition("-")[2]]], (name, ended.samples())
    assert sum(tally.requests for tally in scenarios.values()) == sum(service.seen.values())
    assert raised == scenarios["h-raises"].requests + scenarios["f-raises"].requests


def test_what_leaves_the_target_is_counted_also_when_it_was_redirected(drive: Drive, service: Any) -> None:
    there = service.server_port
    ended = drive(
        f"""
        from locust import FastHttpUser, HttpUser, User, constant, task

        class Both(User):
            abstract = True
            wait_time = constant(0.05)

            @task
            def go(self):
                self.client.get("/", name="here")
                self.client.get("http://{HOST.upper()}:{there}/?q=http://localhost:9/", name="here in full")
                self.client.get("http://localhost:9/", name="absolute")
                self.client.get("/away/9", name="redirected")

        class Slow(Both, HttpUser): ...
        class Quick(Both, FastHttpUser): ...
        """
    )
    assert ended.code == 0, ended.out
    scenarios = ended.scenarios()
    elsewhere = {name: tally.counts.get(rows.ELSEWHERE, 0) / tally.requests for name, tally in scenarios.items()}
    assert elsewhere == {"here": 0, "here in full": 0, "absolute": 1, "redirected": 1}


def test_a_stop_ends_the_users_and_loses_nothing(drive: Drive, service: Any) -> None:
    ended = drive(hold_s=600, end_with=signal.SIGTERM)
    assert (ended.code, ended.workers) == (0, [0, 0]), ended.out
    end = ended.last("finished")
    assert (end["stopped"], end["ran_out"], end["unreported"], end["in_flight_max"]) == (True, False, 0, 0)
    assert end["sent"] == end["recorded"] == sum(service.seen.values()) > 10
    assert ended.out.count("test_stop") == ended.out.count("quitting") == 2


def test_users_that_never_wait_are_stopped_between_two_requests(drive: Drive, service: Any) -> None:
    ended = drive(
        """
        from locust import FastHttpUser, task

        class Tireless(FastHttpUser):
            @task
            def go(self):
                self.client.get("/")
        """,
        users=20,
    )
    end = ended.last("finished")
    assert end["outcomes"] == {"ok": service.seen["/"]}
    assert ended.code == 0, ended.out


def test_workers_do_not_outlive_their_master(drive: Drive, service: Any) -> None:
    ended = drive(hold_s=600, end_with=signal.SIGKILL)
    assert ended.workers == [3, 3], ended.out
    assert ended.out.count("master has said nothing") == 2


def test_a_start_that_the_file_sends_splits_the_latency(drive: Drive) -> None:
    ended = drive(
        """
        import time
        from locust import FastHttpUser, HttpUser, User, constant, task

        class Both(User):
            abstract = True
            wait_time = constant(0.05)

            @task
            def go(self):
                self.client.get("/", name=type(self).__name__, headers={"X-Request-Start": str(time.time_ns())})

        class Slow(Both, HttpUser): ...
        class Quick(Both, FastHttpUser): ...
        """
    )
    assert ended.code == 0, ended.out
    for tally in ended.scenarios().values():
        assert tally.histograms[rows.UPSTREAM].total == tally.histograms[rows.PROXY].total == tally.requests
        assert stats.percentile_ms(tally.histograms[rows.UPSTREAM], 50) < 0.01


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
        ("import no_such_module", (), "No module named 'no_such_module' (locustfile.py line 1)"),
        ("x = 1\ndef broken(:", (), "SyntaxError: invalid syntax (locustfile.py, line 2)"),
        ("import catalogue\ncatalogue.no_such_name", (), "(locustfile.py line 2)"),
        ("raise SystemExit('not today')", (), "not today"),
        ("print('no users')", (), "has no user class: no subclass of User"),
        (
            f"{USERS}Helper = dict",
            ("Helper",),
            "has no user class Helper (Helper: no User, or an abstract one); there is A",
        ),
        (f"{USERS}A.weight = 0", (), "make up 0 users"),
        (f"{USERS}A.fixed_count = 3", (), "make up 3 users, by their fixed_count and weight; the plan asks for 4"),
        (
            f"{USERS}@events.init.add_listener\ndef f(**_): 1 / 0",
            (),
            "a listener of init raised event handler: ZeroDiv",
        ),
        (
            f"{USERS}@events.init_command_line_parser.add_listener\ndef f(parser): parser.add_argument('x')",
            (),
            "options",
        ),
        (
            f"{USERS}A.__init__ = lambda self, _: 1 / 0",
            (),
            "ZeroDivisionError: division by zero (locustfile.py line 4)",
        ),
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


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("raise StopUser", "of this worker's 2 users ended by themselves before the end of the hold"),
        ("self.environment.runner.quit()", "locustfile.py stopped the test itself"),
        ("sys.exit('enough')", "locustfile.py ended the process: enough"),
        ("time.sleep(0.5); self.stop(True) if self.first else None", "1 of this worker's 2 users ended by themselves"),
    ],
)
def test_users_that_end_too_early_never_pass_for_the_load_that_was_asked_for(
    drive: Drive, act: str, reason: str
) -> None:
    ended = drive(
        f"""
        import itertools, sys, time
        from locust import HttpUser, constant, task
        from locust.exception import StopUser

        numbers = itertools.count()

        class User(HttpUser):
            wait_time = constant(0.1)

            def on_start(self):
                self.first = next(numbers) == 0

            @task
            def once(self):
                self.client.get("/")
                {act}
        """
    )
    assert ended.code == 1, ended.out
    assert reason in ended.last("worker-failed")["reason"]
    end = ended.last("finished")
    assert end["sent"] == end["recorded"] > 0
    assert end["unreported"] == end["in_flight_max"] == 0


def test_exceptions_of_listeners_and_of_dying_users_are_counted_and_nothing_secret_is_printed(drive: Drive) -> None:
    ended = drive(
        """
        import os, sys
        from locust import HttpUser, constant, events, task

        TOKEN = os.environ["SHOP_TOKEN"]

        @events.test_start.add_listener
        def at_start(**_):
            print("out", TOKEN)
            print("err", TOKEN, file=sys.stderr)
            sys.stderr.write("in two " + TOKEN[:5])
            sys.stderr.write(TOKEN[5:] + " pieces\\n")
            raise ValueError("at start: " + TOKEN)

        @events.request.add_listener
        def odd(name, **_):
            if "odd" in name:
                raise KeyError(TOKEN)

        class User(HttpUser):
            wait_time = constant(0.2)

            def on_stop(self):
                raise RuntimeError("at the end: " + TOKEN)

            @task
            def ask(self):
                self.client.get("/?token=" + TOKEN)
                self.client.get("/odd")
                self.client.get("/", headers={"Authorization": "Bearer a-literal-of-the-file"}, no_such_argument=1)
        """,
        users=2,
    )
    assert ended.code == 0, ended.out
    scenarios = ended.scenarios()
    odd = scenarios["/odd"].requests
    assert set(scenarios) == {"/?token=***", "/odd", rows.EVERY}
    # By each worker: at the start and at the end; by each task: in the listener, and of the argument.
    assert scenarios[rows.EVERY].counts[rows.USER_ERRORS] == 2 + 2 + 2 * odd
    assert "at start: ***" in ended.out
    assert "in two *** pieces" in ended.out
    assert "at the end: ***" in ended.out
    assert SECRET not in ended.out
    assert "a-literal-of-the-file" not in ended.out


def test_a_request_without_a_response_time_is_no_fast_one(drive: Drive) -> None:
    ended = drive(
        """
        from locust import User, constant, task

        class Odd(User):
            wait_time = constant(0.1)

            @task
            def report(self):
                fire = self.environment.events.request.fire
                fire(request_type="queue", name="unknown", response_time=None, response_length=0, exception=None)
                fire(request_type="queue", name="known", response_time=12.3456, response_length=0, exception=None)
                fire(request_type="queue", name="wrong", response_time=1, response_length=0, exception="it is wrong")
        """
    )
    assert ended.code == 0, ended.out
    scenarios = ended.scenarios()
    assert set(scenarios) == {"known", "wrong", rows.EVERY}
    assert scenarios[rows.EVERY].counts[rows.USER_ERRORS] == scenarios["known"].requests
    assert stats.percentile_ms(scenarios["known"].histograms["outcome/ok"], 50) == pytest.approx(12.3456, rel=0.001)
    assert scenarios["wrong"].outcomes() == {"assertion": scenarios["wrong"].requests}


def test_a_fixed_number_of_users_is_that_of_the_fleet_not_of_each_worker(drive: Drive, service: Any) -> None:
    ended = drive(
        """
        from locust import HttpUser, constant, task

        class Each(HttpUser):
            wait_time = constant(30)

            @task
            def ask(self):
                self.client.get("/" + type(self).__name__.lower())

        class One(Each):
            fixed_count = 1

        class Rest(Each): ...

        Each.abstract = True
        """,
        users=5,
    )
    assert ended.code == 0, ended.out
    assert service.seen == {"/one": 1, "/rest": 4}
