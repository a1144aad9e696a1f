"""A busy AWS refuses a share of calls in the protocol of each service, before anything is done for them."""

from __future__ import annotations

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from readiness.cloud import connect_embedded
from readiness.embedded import moto_adapter
from readiness.embedded.busy import Busy
from readiness.embedded.clients import OWN_ACCESS_KEY, Clients
from readiness.embedded.moto_adapter import MotoServer

REGION = "eu-west-1"
CALLS = [
    ("ecs", "list_clusters", {}),
    ("ec2", "describe_vpcs", {}),
    ("sqs", "list_queues", {}),
    ("cloudformation", "describe_stacks", {}),
    ("iam", "list_roles", {}),
    ("sts", "get_caller_identity", {}),
    ("s3", "list_buckets", {}),
    ("lambda", "list_functions", {}),
]


@pytest.fixture
def serve():
    """Return a function that serves with a share of calls refused; it returns the endpoint and who refuses."""
    servers = []

    def start(ratio):
        busy = Busy(ratio)
        servers.append(MotoServer(REGION, refuse=busy.refusal))
        servers[-1].start()
        return servers[-1].endpoint, busy

    moto_adapter.forget_all()
    moto_adapter.reset_state()
    yield start
    for server in servers:
        server.stop()
    moto_adapter.reset_state()


def impatient(endpoint, service):
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    return boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",
        config=config,
    )


@pytest.mark.parametrize(("service", "call", "params"), CALLS)
def test_a_refusal_reads_as_throttled_or_failed_in_every_protocol(serve, service, call, params):
    endpoint, _ = serve(1.0)
    codes = []
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            getattr(impatient(endpoint, service), call)(**params)
        codes.append(
            (caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"])
        )

    assert codes == [("ThrottlingException", 400), ("InternalFailure", 500)]


def test_what_is_refused_was_not_done(serve):
    endpoint, _ = serve(1.0)

    with pytest.raises(ClientError):
        impatient(endpoint, "sqs").create_queue(QueueName="inbox")

    assert Clients(endpoint, REGION)("sqs").list_queues().get("QueueUrls", []) == []


def test_the_embedded_awss_own_parts_are_spared(serve):
    endpoint, busy = serve(1.0)

    Clients(endpoint, REGION)("sqs").list_queues()

    assert busy.refused == 0
    assert busy.refusal(OWN_ACCESS_KEY) is None


def test_of_a_thousand_calls_a_fifth_is_refused():
    busy = Busy(0.2)

    refused = sum(busy.refusal("embedded") is not None for _ in range(1000))

    assert refused == busy.refused
    assert 150 < refused < 250


def test_an_aws_that_is_not_busy_refuses_nothing():
    assert [Busy(0).refusal("embedded") for _ in range(10)] == [None] * 10


def test_the_harness_tries_again_until_a_busy_aws_answers(serve, monkeypatch):
    """Twenty calls are answered although one in three is refused; the pauses in between are not waited here."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda seconds: None)
    endpoint, busy = serve(0.33)
    connection = connect_embedded(endpoint, REGION, 1)

    for _ in range(20):
        connection.client("sqs").list_queues()

    assert busy.refused > 3
