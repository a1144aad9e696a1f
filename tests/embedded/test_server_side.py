"""Both sides of a load for real: requests through a real balancer, and what the embedded CloudWatch tells of them."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from readiness.contract import Output
from readiness.embedded.clients import Clients
from readiness.embedded.processes import own_loopback_address
from readiness.load_result import LoadResult, Validity
from readiness.loadgen import rows
from readiness.model import Clone, Gap, Measurement, OpenArrivals, Scenario, Workload
from readiness.server_side import ClientSide, ServerSide, Tolerances, client_side, observe, reconcile
from tests.embedded.stage import Stage, eventually, staged

TIGHT = Tolerances(count_ratio=0, count_slack=0, error_ratio=0, error_slack=0)
"""On loopback every request is accounted for: nothing is allowed, so nothing can hide."""


class Handler(BaseHTTPRequestHandler):
    """Answers ``/status=500``, ``/slow=0.1`` (headers late), ``/stream=0.1`` (body late), or hangs up (``/close``)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def do_GET(self) -> None:
        what, _, value = self.path.removeprefix("/").partition("=")
        self.server.health_checks += what == "health"
        if what == "close":
            self.close_connection = True
            return
        time.sleep(float(value) if what == "slow" else 0)
        self.send_response(int(value) if what == "status" else 200)
        self.send_header("Content-Length", "5")
        self.end_headers()
        self.wfile.flush()
        time.sleep(float(value) if what == "stream" else 0)
        self.wfile.write(b"hello")

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((own_loopback_address(), 0), Handler)
        self.health_checks = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("aws")) as it:
        yield it


@pytest.fixture
def empty(aws: Stage) -> Iterator[Stage]:
    """A balancer of its own, without a target."""
    with aws.scene() as it:
        it.balance()
        yield it


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.shutdown()
    made.server_close()


@pytest.fixture
def stage(empty: Stage, server: Server) -> Stage:
    """A balancer in front of one healthy target."""
    elbv2, group = empty.clients("elbv2"), empty.groups[0]
    host, port = server.server_address[:2]
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": host, "Port": port}])

    def healthy() -> bool:
        described = elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return [each["TargetHealth"]["State"] for each in described] == ["healthy"]

    eventually(healthy, what="a healthy target")
    return empty


class Drive:
    """Sends requests one after the other, and records them as the fleet's workers do."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._tallies: rows.Tallies = {}
        self.started_at = datetime.now(UTC)

    def send(self, paths: Iterable[str]) -> None:
        connection = http.client.HTTPConnection(self._stage.address, 8080, timeout=10)
        for path in paths:
            tally = rows.tally_of(self._tallies, int((datetime.now(UTC) - self.started_at).total_seconds()), "all")
            tally.count(rows.OFFERED)
            started = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            outcome = rows.OK if answer.status == 200 else rows.STATUS
            tally.time(rows.OUTCOME_SERIES + outcome, round((time.perf_counter() - started) * 1_000_000))
            tally.count(f"{rows.STATUS_COUNT}{answer.status}")
        connection.close()

    @property
    def clients(self) -> ClientSide:
        return client_side(
            LoadResult(
                started_at=self.started_at,
                ended_at=None,
                workload=Workload(
                    arrivals=OpenArrivals(kind="open", rate_per_s=1),
                    ramp=timedelta(0),
                    hold=timedelta(seconds=1),
                    scenarios=(Scenario(name="all", path="/"),),
                ),
                rows=rows.to_rows(self._tallies),
                validity=_VALID,
                problems=(),
                samples={},
            )
        )

    def observed(self, client: ClientSide | None = None, within_s: float = 20, **clone: Any) -> ServerSide:
        asked = replace(self._clone, **clone)
        return observe(
            self._stage.clients,
            asked,
            self.started_at,
            datetime.now(UTC),
            client or self.clients,
            within=timedelta(seconds=within_s),
        )

    def reconciled(
        self, client: ClientSide | None = None, within_s: float = 20
    ) -> tuple[tuple[Gap, ...], tuple[Measurement, ...]]:
        held = client or self.clients
        return reconcile(held, self.observed(held, within_s), TIGHT)

    @property
    def _clone(self) -> Clone:
        return Clone(
            run_id="r1",
            stack_name="readiness-r1",
            stack_id="arn:stack",
            expires_at=self.started_at + timedelta(hours=1),
            outputs={Output.LOAD_BALANCER_ARN: self._stage.balancer},
        )


_VALID = Validity(
    finished=True,
    stopped=False,
    ran_out=False,
    workers_expected=1,
    workers_seen=1,
    workers_lost=(),
    workers_failed=(),
    offered=0,
    sent=0,
    recorded=0,
    dropped=0,
    unreported=0,
    missing_reports=0,
    missing_lines=0,
    reconnects=0,
    in_flight_max=0,
    generator_cpu_ratio=0,
    clock_skew_ms=0,
    dispatcher_lag_p99_ms=None,
)


def whys(gaps: Iterable[Gap]) -> list[str]:
    return [gap.why for gap in gaps]


def test_every_request_is_on_both_sides_and_health_checks_are_on_neither(stage: Stage, server: Server) -> None:
    drive, checks = Drive(stage), server.health_checks
    drive.send(["/", "/", "/slow=0.05", "/slow=0.05", "/status=500"] * 20)
    eventually(lambda: server.health_checks > checks, what="a health check during the drive")
    assert (drive.clients.sent, drive.clients.answered, drive.clients.status_5xx) == (100, 100, 20)
    gaps, measurements = drive.reconciled()
    assert gaps == ()
    told = {each.name: each.value for each in measurements}
    assert (told["server/requests"], told["server/5xx-target"], told["server/5xx-balancer"]) == (100, 20, 0)
    assert 50 <= told["server/target-response-time-p95"] < drive.clients.latency_ms["p95"] + 20


def test_errors_of_the_balancer_itself_are_told_apart_and_each_request_is_counted_once(stage: Stage) -> None:
    drive = Drive(stage)
    drive.send(["/"] * 10 + ["/close"] * 5)
    stage.clients("elbv2").modify_rule(
        RuleArn=stage.rule,
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": stage.weighted(0, 1)}}],
    )
    drive.send(["/"] * 7)
    assert drive.clients.status_5xx == 12
    seen = drive.observed()
    assert (seen.requests, seen.unrouted, seen.counted, seen.balancer_5xx, seen.target_5xx) == (15, 7, 22, 12, 0)
    assert reconcile(drive.clients, seen, TIGHT)[0] == ()


def test_requests_that_somebody_else_sent_are_a_gap(stage: Stage) -> None:
    drive, other = Drive(stage), Drive(stage)
    other.send(["/"] * 30)
    drive.send(["/"] * 40)
    (why,) = whys(drive.reconciled()[0])
    assert "it counted 70 requests" in why
    assert "clients sent 40" in why


def test_clients_that_claim_more_than_arrived_are_a_gap(stage: Stage) -> None:
    drive = Drive(stage)
    drive.send(["/"] * 40)
    (why,) = whys(drive.reconciled(replace(drive.clients, sent=80, answered=80), within_s=3)[0])
    assert "it counted 40 requests" in why
    assert "got 80 answers" in why


def test_failures_that_clients_do_not_tell_are_a_gap(stage: Stage) -> None:
    drive = Drive(stage)
    drive.send(["/", "/status=503"] * 15)
    (why,) = whys(drive.reconciled(replace(drive.clients, status_5xx=0))[0])
    assert "it counted 15 answers with 5xx" in why


def test_a_body_that_takes_its_time_is_no_gap(stage: Stage) -> None:
    drive = Drive(stage)
    drive.send(["/stream=0.6"] * 10)
    assert drive.clients.latency_ms["p50"] >= 600
    seen = drive.observed()
    assert max(seen.response_time_ms["p50"]) < 500
    assert reconcile(drive.clients, seen, TIGHT)[0] == ()


def test_clients_that_omit_what_they_waited_are_a_gap(stage: Stage) -> None:
    drive = Drive(stage)
    drive.send(["/slow=0.2"] * 40)
    claimed = replace(drive.clients, latency_ms={"p50": 5.0, "p95": 7.0})
    assert len(drive.reconciled(claimed)[0]) == 2


def test_a_balancer_that_nobody_asked_is_no_evidence(stage: Stage) -> None:
    silent = Drive(stage)
    gaps, measurements = silent.reconciled()
    assert (whys(gaps), measurements) == (["it counted no request; clients sent 0"], ())


def test_the_balancer_of_another_clone_is_no_evidence(stage: Stage) -> None:
    drive = Drive(stage)
    drive.send(["/"] * 10)
    other = stage.balancer[:-4] + "ffff"
    seen = drive.observed(within_s=2, outputs={Output.LOAD_BALANCER_ARN: other})
    assert whys(reconcile(drive.clients, seen, Tolerances())[0]) == ["it counted no request; clients sent 10"]


@contextmanager
def nobody_answers(stage: Stage) -> Iterator[Stage]:
    """Point the clients at a port where nobody listens."""
    gone = Clients(f"http://{own_loopback_address()}:1", "eu-west-1")
    yield replace(stage, clients=gone)


def test_a_cloudwatch_that_cannot_be_reached_is_a_gap(stage: Stage) -> None:
    with nobody_answers(stage) as unreachable:
        drive = Drive(unreachable)
        drive.send(["/"] * 10)
        (why,) = whys(drive.reconciled(within_s=2)[0])
    assert "Could not connect" in why
