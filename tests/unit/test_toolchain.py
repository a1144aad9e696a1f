"""The environment of the CDK CLI: where it is sent to an embedded AWS, nothing of the caller's leads elsewhere."""

from __future__ import annotations

import os

from readiness import toolchain
from readiness.cloud import embedded_variables

EMBEDDED = "http://127.0.0.1:4000"


def test_an_embedded_rehearsal_follows_no_endpoint_profile_or_credentials_of_the_caller(monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_CLOUDFORMATION", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://elsewhere.example.org")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/home/somebody/.aws/config")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy")
    variables = embedded_variables(EMBEDDED, "eu-west-1")

    environment = toolchain.cdk_environment(tmp_path, variables)

    ours = {name: value for name, value in environment.items() if name.startswith("AWS_")}
    nobodys = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    assert ours == {name: value for name, value in variables.items() if name.startswith("AWS_")} | nobodys
    assert environment["HTTP_PROXY"] == "http://proxy"


def test_on_aws_the_callers_own_profile_is_used(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_PROFILE", "staging")

    assert toolchain.cdk_environment(tmp_path, {"AWS_REGION": "eu-west-1"})["AWS_PROFILE"] == "staging"
