"""Load balancers that balance: what ALB documents, through a real HAProxy in front of real servers."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from readiness.embedded import haproxy_config
from readiness.embedded.guard import strays
from readiness.embedded.processes import own_loopback_address
from tests.embedded.stage import Stage, eventually, load, staged


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Any

    def do_GET(self) -> None:
        self.server.connections.add(self.client_address)
        if self.path == "/close":
            self.close_connection = True
            return
        if self.path.startswith("/slow"):
            time.sleep(float(self.path.partition("=")[2]))
        status = self.server.health if self.path == "/health" else 200
        body = f"{self.server.name} {self.path} {dict(self.headers)}".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__((own_loopback_address(), 0), Handler)
        self.name, self.health = name, 200
        self.connections: set[Any] = set()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def target(self) -> dict[str, Any]:
        return {"Id": self.server_address[0], "Port": self.server_address[1]}

    def handle_error(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("aws")) as it:
        yield it


@pytest.fixture
def stage(aws: Stage) -> Iterator[Stage]:
    with aws.scene() as it:
        it.balance()
        yield it


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made = [Server(name) for name in ("one", "two", "three")]
    yield made
    for server in made:
        server.shutdown()
        server.server_close()


def register(stage: Stage, group: int, *servers: Server) -> None:
    elbv2 = stage.clients("elbv2")
    elbv2.register_targets(TargetGroupArn=stage.groups[group], Targets=[server.target for server in servers])
    for server in servers:
        until(stage, group, server, "healthy" if server.health == 200 else "unhealthy")


def state(stage: Stage, group: int, server: Server) -> dict[str, Any]:
    described = stage.clients("elbv2").describe_target_health(
        TargetGroupArn=stage.groups[group], Targets=[server.target]
    )
    return described["TargetHealthDescriptions"][0]["TargetHealth"]


def until(stage: Stage, group: int, server: Server, wanted: str) -> dict[str, Any]:
    return eventually(lambda: (now := state(stage, group, server))["State"] == wanted and now)


def forward(stage: Stage, blue: int, green: int) -> None:
    stage.clients("elbv2").modify_rule(
        RuleArn=stage.rule,
        Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": stage.weighted(blue, green)}}],
    )


def add_rule(stage: Stage, priority: int, field: str, config: dict[str, Any], status: str) -> str:
    keys = {
        "path-pattern": "PathPatternConfig",
        "host-header": "HostHeaderConfig",
        "http-header": "HttpHeaderConfig",
        "http-request-method": "HttpRequestMethodConfig",
        "query-string": "QueryStringConfig",
    }
    return stage.clients("elbv2").create_rule(
        ListenerArn=stage.listener,
        Priority=priority,
        Conditions=[{"Field": field, keys[field]: config}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": status, "MessageBody": field}}],
    )["Rules"][0]["RuleArn"]


def test_requests_are_shared_and_weights_change_without_losing_one(stage: Stage, servers: list[Server]) -> None:
    one, two, three = servers
    register(stage, 0, one, two)
    register(stage, 1, three)
    counted = Counter(stage.get()[1].split(" ")[0] for _ in range(40))
    assert all(19 <= count <= 21 for count in counted.values())
    with load(stage) as outcomes:
        for blue, green in ((90, 10), (50, 50), (0, 100), (100, 0), (0, 1)):
            forward(stage, blue, green)
            time.sleep(0.1)
    assert {outcome[0] for outcome in outcomes} == {200}
    assert stage.kinds(20) == {"three"}
    forward(stage, 90, 10)
    counted = Counter(stage.get()[1].split(" ")[0] for _ in range(500))
    assert 20 <= counted["three"] <= 90
    forward(stage, 0, 0)
    assert stage.get()[0] == 503


def test_rules_of_every_kind_are_evaluated_by_priority(stage: Stage, servers: list[Server]) -> None:
    register(stage, 0, servers[0])
    with load(stage, connections=2) as outcomes:
        add_rule(stage, 1, "path-pattern", {"Values": ["/admin/*"]}, "401")
        add_rule(stage, 2, "host-header", {"Values": ["*.example.com"]}, "402")
        add_rule(stage, 3, "http-header", {"HttpHeaderName": "X-Kind", "Values": ["a*"]}, "403")
        add_rule(stage, 4, "http-request-method", {"Values": ["DELETE"]}, "405")
        query = add_rule(stage, 5, "query-string", {"Values": [{"Key": "v", "Value": "2"}]}, "406")
    assert set(outcomes) == {(200, "one")}
    assert stage.get("/admin/x") == (401, "path-pattern")
    assert stage.get("/admin")[0] == 200
    assert stage.get("/", {"Host": "A.example.com"})[0] == 402
    assert stage.get("/", {"x-kind": "ABC"})[0] == 403
    assert stage.get("/?x=1&v=2")[0] == 406
    assert stage.get("/admin/x?v=2")[0] == 401
    stage.clients("elbv2").set_rule_priorities(RulePriorities=[{"RuleArn": query, "Priority": 11}])
    assert stage.get("/?v=2")[0] == 200
    stage.clients("elbv2").delete_rule(RuleArn=query)
    assert len(stage.clients("elbv2").describe_rules(ListenerArn=stage.listener)["Rules"]) == 6


def test_a_redirect_fills_in_its_placeholders(stage: Stage) -> None:
    stage.clients("elbv2").create_rule(
        ListenerArn=stage.listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/old/*"]}],
        Actions=[
            {
                "Type": "redirect",
                "RedirectConfig": {
                    "Protocol": "HTTPS",
                    "Port": "443",
                    "Path": "/new/#{path}",
                    "StatusCode": "HTTP_302",
                },
            }
        ],
    )
    connection = http.client.HTTPConnection(stage.address, 8080, timeout=5)
    connection.request("GET", "/old/a?b=c", headers={"Host": "h.example:8080"})
    answer = connection.getresponse()
    connection.close()
    assert (answer.status, answer.headers["Location"]) == (302, "https://h.example:443/new/old/a?b=c")


def test_headers_are_added_as_documented(stage: Stage, servers: list[Server]) -> None:
    register(stage, 0, servers[0])
    text = stage.get("/", {"X-Forwarded-For": "10.1.1.1"})[1].lower()
    assert "'x-forwarded-for': '10.1.1.1, 127.0.0.1'" in text
    assert "'x-forwarded-proto': 'http'" in text
    assert "'x-forwarded-port': '8080'" in text
    assert "'x-amzn-trace-id': 'root=1-" in text
    text = stage.get("/", {"X-Amzn-Trace-Id": "Root=1-5e-abc"})[1].lower()
    assert "self=1-" in text
    assert ";root=1-5e-abc'" in text


def test_502_503_and_504_are_told_apart_and_counted(stage: Stage, servers: list[Server]) -> None:
    elbv2 = stage.clients("elbv2")
    elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=stage.balancer, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "1"}]
    )
    assert stage.get()[0] == 503
    register(stage, 0, servers[0])
    connection = http.client.HTTPConnection(stage.address, 8080, timeout=10)
    for path, status in (("/", 200), ("/close", 502), ("/slow=2", 504)):
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
    with socket.socket() as silent:  # bound, so nobody else gets the port; not listening, so it refuses
        silent.bind((own_loopback_address(), 0))
        host, port = silent.getsockname()
        elbv2.register_targets(TargetGroupArn=stage.groups[1], Targets=[{"Id": host, "Port": port}])
        forward(stage, 0, 1)
        assert stage.get()[0] == 502
    wanted = {
        "HTTPCode_ELB_502_Count": 2,
        "HTTPCode_ELB_503_Count": 1,
        "HTTPCode_ELB_504_Count": 1,
        "HTTPCode_ELB_5XX_Count": 4,
        "HTTPCode_Target_2XX_Count": 1,
        "TargetConnectionErrorCount": 1,
        "RequestCount": 4,
    }
    eventually(lambda: total(stage, "RequestCount") == 4, 10, "metrics")
    assert {name: total(stage, name) for name in wanted} == wanted


def test_a_connection_that_nobody_takes_in_time_is_a_504(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(haproxy_config, "_CONNECT_TIMEOUT_S", 1)
    elbv2 = stage.clients("elbv2")
    elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=stage.balancer, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "30"}]
    )
    with contextlib.ExitStack() as open_sockets:
        full = open_sockets.enter_context(socket.socket())
        full.bind((own_loopback_address(), 0))
        full.listen(0)
        host, port = full.getsockname()
        for _ in range(3):  # the queue of a server that accepts nothing
            waiting = open_sockets.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((host, port))
        elbv2.register_targets(TargetGroupArn=stage.groups[0], Targets=[{"Id": host, "Port": port}])
        assert stage.get()[0] == 504
    eventually(lambda: total(stage, "HTTPCode_ELB_504_Count") == 1, 10, "metrics")
    assert total(stage, "TargetConnectionErrorCount") == 1
    assert total(stage, "HTTPCode_ELB_502_Count") == 0


def test_a_function_that_fails_is_the_load_balancers_own_502(stage: Stage) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("index.py", 'def handler(event, context):\n    return {"statusCode": int(event["path"][1:])}\n')
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = stage.clients("iam").create_role(RoleName="f", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    functions, elbv2 = stage.clients("lambda"), stage.clients("elbv2")
    code = {"ZipFile": archive.getvalue()}
    function = functions.create_function(
        FunctionName="f", Runtime="python3.12", Role=role, Handler="index.handler", Code=code
    )["FunctionArn"]
    group = elbv2.create_target_group(Name="f", TargetType="lambda")["TargetGroups"][0]["TargetGroupArn"]
    stage.groups.append(group)
    with pytest.raises(ClientError, match="does not have permission to invoke"):
        elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": function}])
    functions.add_permission(
        FunctionName=function,
        StatementId="balancer",
        Action="lambda:InvokeFunction",
        Principal="elasticloadbalancing.amazonaws.com",
    )
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": function}])
    elbv2.modify_rule(RuleArn=stage.rule, Actions=[{"Type": "forward", "TargetGroupArn": group}])
    assert [stage.get(path)[0] for path in ("/200", "/500", "/0")] == [200, 500, 502]
    eventually(lambda: total(stage, "RequestCount") == 3, 10, "metrics")
    wanted = {
        "HTTPCode_Target_2XX_Count": 1,
        "HTTPCode_Target_5XX_Count": 1,
        "HTTPCode_ELB_5XX_Count": 1,
        "HTTPCode_ELB_502_Count": 1,
    }
    assert {name: total(stage, name) for name in wanted} == wanted
    assert total(stage, "TargetResponseTime", "SampleCount") == 2
    functions.delete_function(FunctionName="f")


def total(stage: Stage, name: str, statistic: str = "Sum") -> float:
    now = time.time()
    points = stage.clients("cloudwatch").get_metric_statistics(
        Namespace="AWS/ApplicationELB",
        MetricName=name,
        Dimensions=[{"Name": "LoadBalancer", "Value": stage.balancer.split(":loadbalancer/")[1]}],
        StartTime=now - 600,
        EndTime=now + 60,
        Period=60,
        Statistics=[statistic],
    )["Datapoints"]
    return sum(point[statistic] for point in points)


def test_every_request_is_counted_and_connections_to_targets_are_reused(stage: Stage, servers: list[Server]) -> None:
    register(stage, 0, servers[0])
    servers[0].connections.clear()
    with load(stage, connections=4, pause_s=0.0) as outcomes:
        time.sleep(2.0)
    sent = sum(outcomes.values())
    assert set(outcomes) == {(200, "one")}
    eventually(lambda: total(stage, "RequestCount") == sent, 10, f"{sent} requests")
    assert total(stage, "TargetResponseTime", "SampleCount") == sent
    # Health checks open one connection each; requests share a few.
    assert len(servers[0].connections) < 60 < sent


def test_health_follows_its_settings_and_says_why(stage: Stage, servers: list[Server]) -> None:
    one = servers[0]
    register(stage, 0, one)
    one.health = 500
    ill = until(stage, 0, one, "unhealthy")
    assert ill["Reason"] == "Target.ResponseCodeMismatch"
    assert ill["Description"] == "Health checks failed with these codes: [500]"
    assert stage.get()[0] == 200  # the only target: requests go to it all the same
    stage.clients("elbv2").modify_target_group(TargetGroupArn=stage.groups[0], Matcher={"HttpCode": "200-599"})
    until(stage, 0, one, "healthy")
    stage.clients("elbv2").modify_target_group(TargetGroupArn=stage.groups[0], HealthCheckPath="/slow=5")
    assert until(stage, 0, one, "unhealthy")["Reason"] == "Target.Timeout"
    assert state(stage, 1, one) == {
        "State": "unused",
        "Reason": "Target.NotRegistered",
        "Description": "Target is not registered to the target group",
    }


def test_an_unhealthy_target_gets_nothing_while_another_is_healthy(stage: Stage, servers: list[Server]) -> None:
    one, two, _ = servers
    register(stage, 0, one, two)
    two.health = 503
    until(stage, 0, two, "unhealthy")
    assert stage.kinds(20) == {"one"}


def test_requests_under_way_end_well_while_a_target_drains(stage: Stage, servers: list[Server]) -> None:
    one, two, _ = servers
    register(stage, 0, one, two)
    answers: list[tuple[int, str]] = []
    threads = [threading.Thread(target=lambda: answers.append(stage.get("/slow=0.8"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.2)
    stage.clients("elbv2").deregister_targets(TargetGroupArn=stage.groups[0], Targets=[one.target])
    assert state(stage, 0, one)["Reason"] == "Target.DeregistrationInProgress"
    assert stage.kinds(10) == {"two"}
    for thread in threads:
        thread.join()
    assert Counter((status, text.split(" ")[0]) for status, text in answers) == {(200, "one"): 2, (200, "two"): 2}
    until(stage, 0, one, "unused")


def test_requests_that_outlast_the_deregistration_delay_are_cut(stage: Stage, servers: list[Server]) -> None:
    register(stage, 0, servers[0])
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(stage.get("/slow=4")[0]))
    thread.start()
    time.sleep(0.2)
    stage.clients("elbv2").deregister_targets(TargetGroupArn=stage.groups[0], Targets=[servers[0].target])
    started = time.monotonic()
    thread.join()
    assert answers == [502]
    assert time.monotonic() - started < 3


def test_what_is_not_done_or_can_not_be_bound_is_refused(stage: Stage) -> None:
    elbv2 = stage.clients("elbv2")
    default = [{"Type": "forward", "TargetGroupArn": stage.groups[0]}]
    with pytest.raises(ClientError, match="HTTPS"):
        elbv2.create_listener(
            LoadBalancerArn=stage.balancer, Protocol="HTTPS", Port=8443, DefaultActions=default, Certificates=[]
        )
    with pytest.raises(ClientError, match="DuplicateListener"):
        elbv2.create_listener(LoadBalancerArn=stage.balancer, Protocol="HTTP", Port=8080, DefaultActions=default)
    with socket.socket() as other:
        other.bind((stage.address, 0))
        other.listen()
        with pytest.raises(ClientError, match=f"port {other.getsockname()[1]} can't be bound"):
            elbv2.create_listener(
                LoadBalancerArn=stage.balancer,
                Protocol="HTTP",
                Port=other.getsockname()[1],
                DefaultActions=default,
            )
    with pytest.raises(ClientError, match="network"):
        elbv2.create_load_balancer(Name="nlb", Type="network", Subnets=stage.subnets)


def test_a_deleted_load_balancer_serves_no_more(stage: Stage) -> None:
    assert stage.get()[0] == 503
    stage.clients("elbv2").delete_load_balancer(LoadBalancerArn=stage.balancer)
    with pytest.raises(OSError, match="refused"):
        stage.get()


def test_a_haproxy_that_dies_is_started_again(stage: Stage, servers: list[Server]) -> None:

    register(stage, 0, servers[0])
    for pid in strays(stage.aws.id):
        if psutil.Process(pid).name() == "haproxy":
            psutil.Process(pid).kill()

    def answered() -> bool:
        try:
            return stage.get()[0] == 200
        except OSError:
            return False

    eventually(answered, 10)
