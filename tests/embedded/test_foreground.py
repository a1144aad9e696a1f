"""Story: ``readiness aws`` in one terminal, the CDK CLI in another."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import boto3
import pytest

from tests.embedded import harness


@pytest.fixture
def aws():
    """Start the embedded AWS as ``make aws`` does; yield the exports that it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "readiness", "aws"], cwd=harness.ROOT, stdout=subprocess.PIPE, text=True
    )
    exports: dict[str, str] = {}
    assert process.stdout is not None
    for line in process.stdout:
        found = re.match(r"export (\w+)=(\S+)", line)
        if found:
            exports[found.group(1)] = found.group(2).replace(':"$PATH"', "")
        if "Ctrl-C" in line:
            break
    try:
        yield exports
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0


def test_cdk_deploy_and_destroy_work_from_another_terminal(aws, tmp_path):
    env = {**os.environ, **aws, "PATH": f"{aws['PATH']}:{os.environ['PATH']}", "CDK_HOME": str(tmp_path)}

    def cdk(*arguments):
        done = subprocess.run(
            ["cdk", *arguments], cwd=harness.ROOT, env=env, capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stderr
        return done

    assembly = str(tmp_path / "cdk.out")
    cdk("deploy", "ReadinessStack", "--require-approval", "never", "--no-notices", "--output", assembly)
    client = boto3.client(
        "cloudformation",
        endpoint_url=aws["AWS_ENDPOINT_URL"],
        region_name=aws["AWS_REGION"],
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",
    )
    ours = [stack for stack in client.describe_stacks()["Stacks"] if stack["StackName"].startswith("readiness-")]
    assert [stack["StackStatus"] for stack in ours] == ["CREATE_COMPLETE"]

    cdk("destroy", "ReadinessStack", "--force", "--no-notices", "--app", assembly)
    left = [stack for stack in client.describe_stacks()["Stacks"] if stack["StackName"].startswith("readiness-")]
    assert left == []
