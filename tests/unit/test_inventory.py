"""What still exists: a service's own word counts, and not knowing is never "gone"."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
import yaml
from botocore.exceptions import EndpointConnectionError

from readiness.inventory import PARTS, PROBES, look_up
from tests.unit.samples import FakeClient, client_error

ARN = "arn:aws:ecs:eu-west-1:123456789012:service/cluster/shop"
NAMES = {
    "AWS::ECS::Service": ARN,
    "AWS::ApplicationAutoScaling::ScalableTarget": "service/cluster/shop|ecs:service:DesiredCount|ecs",
    "AWS::EC2::EIP": "192.0.2.1|eipalloc-1",
    "AWS::Scheduler::Schedule": "default|reaper",
}
"""Physical ids that are more than a name."""


def clients(**services):
    return services.__getitem__


def standing_of(kind, name, answer, **also):
    """Return how a resource stands when its probe's operation answers with *answer*."""
    probe = PROBES[kind]
    client = FakeClient(**{probe.operation: answer})
    return look_up(lambda service: client, kind, name, **also)


def test_a_type_that_nobody_knows_is_unknown_never_gone():
    found = look_up(clients(), "AWS::Nobody::Knows", "thing")

    assert found.standing == "unknown"
    assert "readiness/inventory.py" in found.why


def test_a_part_of_something_else_is_not_asked_for():
    assert look_up(clients(), "AWS::IAM::Policy", "policy").why == "goes with its role"


def test_a_resource_without_a_physical_id_was_never_made():
    found = look_up(clients(), "AWS::SQS::Queue", "")

    assert (found.standing, found.name, found.why) == ("gone", "AWS::SQS::Queue", "it was never made")


@pytest.mark.parametrize("kind", PROBES)
def test_an_error_that_does_not_say_gone_is_unknown(kind):
    found = standing_of(kind, NAMES.get(kind, "thing"), client_error("AccessDeniedException", "not yours"))

    assert found.standing == "unknown"
    assert "not yours" in found.why


@pytest.mark.parametrize("kind", PROBES)
def test_an_endpoint_that_does_not_answer_is_unknown(kind):
    error = EndpointConnectionError(endpoint_url="http://localhost:1")

    assert standing_of(kind, NAMES.get(kind, "thing"), error).standing == "unknown"


@pytest.mark.parametrize("kind", PROBES)
@pytest.mark.parametrize("code", ["ResourceNotFoundException", "NoSuchEntity", "InvalidVpcID.NotFound"])
def test_a_service_that_does_not_know_it_says_gone(kind, code):
    assert standing_of(kind, NAMES.get(kind, "thing"), client_error(code)).standing == "gone"


@pytest.mark.parametrize(
    "code",
    [
        "AWS.SimpleQueueService.NonExistentQueue",
        "DBClusterNotFoundFault",
        "LoadBalancerNotFound",
        "NoSuchBucket",
        "QueueDoesNotExist",
        "RepositoryNotFoundException",
    ],
)
def test_each_service_has_its_own_word_for_gone(code):
    assert standing_of("AWS::SQS::Queue", "thing", client_error(code)).standing == "gone"


def test_an_id_that_cannot_be_taken_apart_is_unknown():
    assert standing_of("AWS::ECS::Service", "shop", {"services": []}).standing == "unknown"
    assert standing_of("AWS::ApplicationAutoScaling::ScalableTarget", "shop", {}).standing == "unknown"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("AWS::CloudWatch::Alarm", {"MetricAlarms": []}),
        ("AWS::ECS::Cluster", {"clusters": [], "failures": [{"reason": "MISSING"}]}),
        ("AWS::ECS::Service", {"services": [], "failures": [{"reason": "MISSING"}]}),
        ("AWS::Logs::LogGroup", {"logGroups": []}),
        ("AWS::ApplicationAutoScaling::ScalableTarget", {"ScalableTargets": []}),
    ],
)
def test_an_empty_list_says_gone(kind, answer):
    assert standing_of(kind, NAMES.get(kind, "thing"), answer).standing == "gone"


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("AWS::CloudWatch::Alarm", {"MetricAlarms": [{}]}),
        ("AWS::ECS::Cluster", {"clusters": [{"status": "ACTIVE"}]}),
        ("AWS::ECS::Service", {"services": [{"status": "DRAINING"}]}),
        ("AWS::ECS::TaskDefinition", {"taskDefinition": {"status": "ACTIVE"}}),
        ("AWS::EC2::NatGateway", {"NatGateways": [{"State": "deleting"}]}),
        ("AWS::KMS::Key", {"KeyMetadata": {"KeyState": "Enabled"}}),
        ("AWS::SecretsManager::Secret", {"Name": "secret"}),
        ("AWS::IAM::Role", {"Role": {}}),
        ("AWS::S3::Bucket", {"LocationConstraint": None}),
        ("AWS::Scheduler::Schedule", {"Name": "reaper"}),
        ("AWS::RDS::DBCluster", {"DBClusters": [{"Status": "deleting"}]}),
    ],
)
def test_what_a_service_describes_is_there(kind, answer):
    assert standing_of(kind, NAMES.get(kind, "thing"), answer).standing == "there"


@pytest.mark.parametrize(
    ("kind", "answer", "rule"),
    [
        ("AWS::ECS::Cluster", {"clusters": [{"status": "INACTIVE"}]}, "INACTIVE"),
        ("AWS::ECS::Service", {"services": [{"status": "INACTIVE"}]}, "INACTIVE"),
        ("AWS::ECS::TaskDefinition", {"taskDefinition": {"status": "INACTIVE"}}, "INACTIVE"),
        ("AWS::EC2::NatGateway", {"NatGateways": [{"State": "deleted"}]}, "for about an hour"),
        ("AWS::EC2::VPCEndpoint", {"VpcEndpoints": [{"State": "deleted"}]}, "for a while"),
        ("AWS::KMS::Key", {"KeyMetadata": {"KeyState": "PendingDeletion"}}, "waiting period"),
        ("AWS::SecretsManager::Secret", {"Name": "secret", "DeletedDate": "2026"}, "recovery window"),
    ],
)
def test_what_is_listed_although_it_was_deleted_is_a_phantom_with_its_rule(kind, answer, rule):
    found = standing_of(kind, NAMES.get(kind, "thing"), answer)

    assert found.standing == "phantom"
    assert rule in found.why


def test_one_live_thing_beside_a_phantom_is_there():
    answer = {"NatGateways": [{"State": "deleted"}, {"State": "available"}]}

    assert standing_of("AWS::EC2::NatGateway", "nat-1", answer).standing == "there"


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        ("AWS::ECS::Service", {"cluster": "cluster", "services": ["shop"]}),
        ("AWS::EC2::EIP", {"PublicIps": ["192.0.2.1"]}),
        ("AWS::Scheduler::Schedule", {"GroupName": "default", "Name": "reaper"}),
        (
            "AWS::ApplicationAutoScaling::ScalableTarget",
            {
                "ResourceIds": ["service/cluster/shop"],
                "ScalableDimension": "ecs:service:DesiredCount",
                "ServiceNamespace": "ecs",
            },
        ),
    ],
)
def test_a_physical_id_is_taken_apart_as_its_service_wants_it(kind, asked):
    assert PROBES[kind].ask(NAMES[kind]) == asked


def test_a_schedule_of_the_default_group_needs_no_group():
    assert PROBES["AWS::Scheduler::Schedule"].ask("reaper") == {"Name": "reaper"}


@pytest.mark.parametrize("kind", PROBES)
def test_every_probe_asks_for_an_operation_that_boto3_has_with_parameters_that_it_takes(kind):
    probe = PROBES[kind]
    client = boto3.client(probe.service, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    operation = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[probe.operation])

    assert set(probe.ask(NAMES.get(kind, "thing"))) <= set(operation.input_shape.members)


def test_every_type_that_the_stacks_make_can_be_asked_for_or_goes_with_another():
    """The snapshot of the template names each type; one without a probe would make every run inconclusive."""
    snapshots = (Path(__file__).parents[1] / "templates" / "snapshots").iterdir()
    templates = [yaml.safe_load(file.read_text()) for file in snapshots]
    kinds = {resource["Type"] for template in templates for resource in template["Resources"].values()}

    assert kinds
    assert kinds - set(PROBES) - set(PARTS) == set()
