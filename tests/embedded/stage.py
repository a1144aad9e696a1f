"""A whole embedded AWS in this process with a network, a cluster and a load balancer, for stories about tasks."""

from __future__ import annotations

import contextlib
import http.client
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from readiness.embedded import moto_adapter
from readiness.embedded.clients import Clients
from readiness.embedded.control_plane import EmbeddedAws
from readiness.embedded.guard import strays
from readiness.embedded.settings import EmbeddedSettings

SERVER = textwrap.dedent(
    """
    import http.server, os, signal, sys, threading, time
    signal.signal(signal.SIGTERM, lambda *_: (print("bye", flush=True), os._exit(0)))
    kind, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "crash":
        print("crashing", flush=True); sys.exit(3)
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        def do_GET(self):
            if self.path == "/die":
                os._exit(9)
            if self.path.startswith("/slow"):
                time.sleep(float(self.path.partition("=")[2] or 1))
            status = {"ill": 503}.get(kind, 200) if self.path == "/health" else {"bad": 500}.get(kind, 200)
            body = (kind + " " + host + " " + "|".join(f"{k}: {v}" for k, v in self.headers.items())).encode()
            self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers()
            self.wfile.write(body)
        def log_message(self, *args): pass
    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256
    print("serving", kind, os.environ.get("GREETING"), os.environ.get("PASSWORD"), sys.argv[4:], flush=True)
    Server((host, port), Handler).serve_forever()
    """
)
KINDS = ("good", "better", "bad", "ill", "crash")
IMAGES: Mapping[str, tuple[str, ...]] = {
    kind: (sys.executable, "-S", "-c", SERVER, kind, "{host}", "{port}") for kind in KINDS
} | {
    "chatty": (sys.executable, "-S", "-c", "import sys; [print('line', n) for n in range(3000)]; sys.exit(4)"),
    "deaf": (
        sys.executable,
        "-S",
        "-c",
        "import signal,time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(600)",
    ),
    "braces": (sys.executable, "-S", "-c", "import sys; print({}, sys.argv[1:])", "{x}", "{host}"),
    "sleeper": (sys.executable, "-S", "-c", "import time; time.sleep(600)"),
}


def eventually(check: Callable[[], Any], deadline_s: float = 30.0, what: str = "") -> Any:
    """Return the first truthy value of the check; fail if none comes in time."""
    until = time.monotonic() + deadline_s
    while True:
        if value := check():
            return value
        assert time.monotonic() < until, f"nothing after {deadline_s} s of asking {what}"
        time.sleep(0.05)


@dataclass
class Stage:
    """What stories act on."""

    aws: EmbeddedAws
    clients: Callable[[str], Any]
    subnets: list[str]
    vpc: str
    groups: list[str] = field(default_factory=list)
    rule: str = ""
    listener: str = ""
    balancer: str = ""
    address: str = ""

    @property
    def ecs(self) -> Any:
        return self.clients("ecs")

    @property
    def network(self) -> dict[str, Any]:
        return {"awsvpcConfiguration": {"subnets": self.subnets}}

    @contextlib.contextmanager
    def scene(self) -> Iterator[Stage]:
        """Provide a cluster and a log group, and clear everything away that a story has put on the stage."""
        self.ecs.create_cluster(clusterName="c")
        self.clients("logs").create_log_group(logGroupName="/web")
        try:
            yield self
        finally:
            self._clear()

    def _clear(self) -> None:
        if self.ecs.describe_clusters(clusters=["c"])["clusters"][0]["status"] == "ACTIVE":
            for arn in self.ecs.list_services(cluster="c")["serviceArns"]:
                if self.service()["status"] == "ACTIVE":
                    self.ecs.delete_service(cluster="c", service=arn, force=True)
            for arn in self.ecs.list_tasks(cluster="c")["taskArns"]:
                self.ecs.stop_task(cluster="c", task=arn)
            eventually(lambda: not self.ecs.list_services(cluster="c")["serviceArns"])
            eventually(lambda: not self.ecs.describe_clusters(clusters=["c"])["clusters"][0]["runningTasksCount"])
        elbv2 = self.clients("elbv2")
        for balancer in elbv2.describe_load_balancers()["LoadBalancers"]:
            elbv2.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
        for group in self.groups:
            elbv2.delete_target_group(TargetGroupArn=group)
        self.groups.clear()
        with contextlib.suppress(self.clients("logs").exceptions.ResourceNotFoundException):
            self.clients("logs").delete_log_group(logGroupName="/web")
        self.clients("cloudwatch").delete_alarms(AlarmNames=["errors"])

    def define(self, image: str, family: str = "web", **container: Any) -> str:
        definition = self.ecs.register_task_definition(
            family=family,
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {
                    "name": "web",
                    "image": image,
                    "portMappings": [{"containerPort": 8080}],
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": "/web",
                            "awslogs-region": "eu-west-1",
                            "awslogs-stream-prefix": "p",
                        },
                    },
                    **container,
                }
            ],
        )
        return definition["taskDefinition"]["taskDefinitionArn"]

    def run(self, definition: str, **more: Any) -> str:
        answer = self.ecs.run_task(
            cluster="c", taskDefinition=definition, launchType="FARGATE", networkConfiguration=self.network, **more
        )
        return answer["tasks"][0]["taskArn"]

    def task(self, arn: str) -> dict[str, Any]:
        return self.ecs.describe_tasks(cluster="c", tasks=[arn], include=["TAGS"])["tasks"][0]

    def until(self, arn: str, status: str) -> dict[str, Any]:
        return eventually(lambda: (task := self.task(arn))["lastStatus"] == status and task, what=f"{arn} {status}")

    def lines(self, arn: str) -> list[str]:
        events, token = [], None
        while True:
            more = {"nextToken": token} if token else {}
            page = self.clients("logs").get_log_events(
                logGroupName="/web", logStreamName=f"p/web/{arn.rsplit('/', 1)[1]}", startFromHead=True, **more
            )
            events += page["events"]
            if not page["events"] or page["nextForwardToken"] == token:
                return [event["message"] for event in events]
            token = page["nextForwardToken"]

    def balance(self) -> None:
        """Make a load balancer with two target groups behind the rule of one listener."""
        elbv2 = self.clients("elbv2")
        made = elbv2.create_load_balancer(Name="alb", Subnets=self.subnets, Scheme="internal")["LoadBalancers"][0]
        self.balancer, self.address = made["LoadBalancerArn"], made["DNSName"]
        for name in ("blue", "green"):
            group = elbv2.create_target_group(
                Name=name,
                Protocol="HTTP",
                Port=80,
                VpcId=self.vpc,
                TargetType="ip",
                HealthCheckPath="/health",
                HealthCheckIntervalSeconds=5,
                HealthCheckTimeoutSeconds=2,
                HealthyThresholdCount=2,
                UnhealthyThresholdCount=2,
            )["TargetGroups"][0]["TargetGroupArn"]
            elbv2.modify_target_group_attributes(
                TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "20"}]
            )
            self.groups.append(group)
        self.listener = elbv2.create_listener(
            LoadBalancerArn=self.balancer,
            Protocol="HTTP",
            Port=8080,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
        )["Listeners"][0]["ListenerArn"]
        self.rule = elbv2.create_rule(
            ListenerArn=self.listener,
            Priority=10,
            Conditions=[{"Field": "path-pattern", "Values": ["/*"]}],
            Actions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": self.weighted(1, 0)}}],
        )["Rules"][0]["RuleArn"]

    def weighted(self, blue: int, green: int) -> list[dict[str, Any]]:
        return [
            {"TargetGroupArn": group, "Weight": weight}
            for group, weight in zip(self.groups, (blue, green), strict=True)
        ]

    def weights(self) -> tuple[int, ...]:
        actions = self.clients("elbv2").describe_rules(RuleArns=[self.rule])["Rules"][0]["Actions"]
        weights = {group["TargetGroupArn"]: group["Weight"] for group in actions[0]["ForwardConfig"]["TargetGroups"]}
        return tuple(weights[group] for group in self.groups)

    def serve(self, definition: str, count: int = 2, *, canary: bool = False, **more: Any) -> str:
        balancer: dict[str, Any] = {"targetGroupArn": self.groups[0], "containerName": "web", "containerPort": 8080}
        if canary:
            balancer["advancedConfiguration"] = {
                "alternateTargetGroupArn": self.groups[1],
                "productionListenerRule": self.rule,
                "roleArn": "arn:aws:iam::123456789012:role/ecs",
            }
        settings = {"healthCheckGracePeriodSeconds": 60, **more}
        answer = self.ecs.create_service(
            cluster="c",
            serviceName="s",
            taskDefinition=definition,
            desiredCount=count,
            launchType="FARGATE",
            networkConfiguration=self.network,
            loadBalancers=[balancer],
            **settings,
        )
        return answer["service"]["serviceArn"]

    def deployment(self) -> dict[str, Any]:
        """Return the newest service deployment."""
        arn = self.ecs.list_service_deployments(cluster="c", service="s")["serviceDeployments"][0]
        described = self.ecs.describe_service_deployments(serviceDeploymentArns=[arn["serviceDeploymentArn"]])
        return described["serviceDeployments"][0]

    def until_deployed(self, status: str = "SUCCESSFUL", deadline_s: float = 60.0) -> dict[str, Any]:
        def there() -> Any:
            deployment = self.deployment()
            return deployment["status"] == status and deployment

        return eventually(there, deadline_s, what=f"{status}: {self.deployment()}, {self.service()['events'][:8]}")

    def service(self) -> dict[str, Any]:
        return self.ecs.describe_services(cluster="c", services=["s"])["services"][0]

    def get(self, path: str = "/", headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.address, 8080, timeout=20)
        try:
            connection.request("GET", path, headers=dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def kinds(self, requests: int = 50) -> set[str]:
        return {self.get()[1].split(" ")[0] for _ in range(requests)}


@contextlib.contextmanager
def load(stage: Stage, connections: int = 4, pause_s: float = 0.005) -> Iterator[Counter[Any]]:
    """Send requests over kept-alive connections until the block ends; count outcomes and errors."""
    outcomes: Counter[Any] = Counter()
    ended = threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection(stage.address, 8080, timeout=20)
        while not ended.is_set():
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                outcomes[answer.status, answer.read().decode().split(" ")[0][:20]] += 1
            except (OSError, http.client.HTTPException) as error:
                outcomes[type(error).__name__] += 1
                connection.close()
            time.sleep(pause_s)
        connection.close()

    threads = [threading.Thread(target=client, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def _assert_nothing_left(embedded_id: str) -> None:
    assert strays(embedded_id) == []


@contextlib.contextmanager
def staged(folder: Path, time_scale: float = 20.0, images: Mapping[str, Sequence[str]] = IMAGES) -> Iterator[Stage]:
    """Start an embedded AWS with two subnets; all of it is gone afterwards."""
    settings = EmbeddedSettings(
        state_dir=folder, time_scale=time_scale, images={name: tuple(argv) for name, argv in images.items()}
    )
    moto_adapter.reset_state()
    with contextlib.ExitStack() as stack:
        aws = EmbeddedAws(settings)
        stack.callback(lambda: _assert_nothing_left(aws.id))
        stack.enter_context(aws)
        clients = Clients(aws.endpoint, settings.region)
        ec2 = clients("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnets = [
            ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"eu-west-1{zone}")["Subnet"][
                "SubnetId"
            ]
            for n, zone in enumerate("ab")
        ]
        yield Stage(aws, clients, subnets, vpc)
