"""Throughput through the embedded load balancer as a ratio to the target itself, under wrk, in one run.

Usage: ``python -m benchmarks.balancer [--seconds 5] [--rounds 3] [--connections 50]``. Loopback only; stops by itself.
The target is a HAProxy that answers by itself, so that the target is never the bottleneck.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from readiness.embedded.clients import Clients
from readiness.embedded.control_plane import EmbeddedAws
from readiness.embedded.haproxy import haproxy_binary
from readiness.embedded.processes import free_port, own_loopback_address
from readiness.embedded.settings import EmbeddedSettings

_PORT = 8080
_DEADLINE_S = 30.0


@contextlib.contextmanager
def target(folder: Path) -> Iterator[tuple[str, int]]:
    """Run an HTTP server that answers 200 with 100 bytes; yield its address."""
    host = own_loopback_address()
    port = free_port(host)
    configuration = folder / "target.cfg"
    configuration.write_text(
        "defaults\n  mode http\n  timeout client 30s\n  timeout server 30s\n  timeout connect 5s\n"
        f"frontend target\n  bind {host}:{port}\n"
        f'  http-request return status 200 content-type text/plain string "{"x" * 100}"\n'
    )
    process = subprocess.Popen([haproxy_binary(), "-db", "-f", str(configuration)])
    try:
        yield host, port
    finally:
        process.kill()
        process.wait()


def balance(clients: Clients, host: str, port: int) -> str:
    """Make a load balancer in front of the target; return its URL once the target is healthy."""
    ec2, elbv2 = clients("ec2"), clients("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zones = [zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"][:2]]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for index, zone in enumerate(zones)
    ]
    made = elbv2.create_load_balancer(Name="benchmark", Subnets=subnets, Scheme="internal")["LoadBalancers"][0]
    group = elbv2.create_target_group(
        Name="benchmark", Protocol="HTTP", Port=port, VpcId=vpc, TargetType="ip", HealthCheckPath="/"
    )["TargetGroups"][0]["TargetGroupArn"]
    elbv2.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Protocol="HTTP",
        Port=_PORT,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": host, "Port": port}])
    _await_health(elbv2, group)
    return f"http://{made['DNSName']}:{_PORT}/"


def _await_health(elbv2: Any, group: str) -> None:
    until = time.monotonic() + _DEADLINE_S
    while True:
        states = [
            each["TargetHealth"]["State"]
            for each in elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        ]
        if states == ["healthy"]:
            return
        if time.monotonic() > until:
            sys.exit(f"the target did not become healthy in {_DEADLINE_S:g} s: {states}")
        time.sleep(0.1)


def requests_per_s(url: str, seconds: int, connections: int) -> float:
    """Return what wrk measures; a response that is no 200 ends the benchmark."""
    done = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", url], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in done or "Socket errors" in done:
        sys.exit(f"wrk saw errors at {url}:\n{done}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", done)
    if not found:
        sys.exit(f"wrk said something else:\n{done}")
    return float(found.group(1))


def main() -> None:
    """Measure in alternating rounds and print each, and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=50)
    arguments = parser.parse_args()
    if not shutil.which("wrk"):
        sys.exit("wrk is not on the PATH; install it (Debian: apt-get install wrk)")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        settings = EmbeddedSettings(state_dir=Path(folder) / "aws", time_scale=20)
        with EmbeddedAws(settings) as aws, target(Path(folder)) as (host, port):
            url = balance(Clients(aws.endpoint, settings.region), host, port)
            for _ in range(arguments.rounds):
                direct = requests_per_s(f"http://{host}:{port}/", arguments.seconds, arguments.connections)
                through = requests_per_s(url, arguments.seconds, arguments.connections)
                ratios.append(through / direct)
                sys.stdout.write(f"direct {direct:,.0f}/s   through {through:,.0f}/s   ratio {through / direct:.2f}\n")
    sys.stdout.write(f"median ratio {statistics.median(ratios):.2f}\n")


if __name__ == "__main__":
    main()
