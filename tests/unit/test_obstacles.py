"""What keeps a resource is put out of its way, by what its service says of it, and nothing else is touched."""

from __future__ import annotations

import pytest

from readiness import obstacles
from tests.unit.samples import FakeClient, FakeClock


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(obstacles, "time", clock)
    return clock


def kept(kind, reason, name="thing"):
    return {"ResourceType": kind, "PhysicalResourceId": name, "ResourceStatusReason": reason}


@pytest.mark.parametrize(
    ("kind", "reason", "found"),
    [
        ("AWS::S3::Bucket", "The bucket you tried to delete is not empty (Service: S3)", "objects in a bucket"),
        (
            "AWS::ECR::Repository",
            "The repository with name 'x' cannot be deleted because it still contains images",
            "images in a repository",
        ),
        (
            "AWS::ECS::Cluster",
            "The Cluster cannot be deleted while Tasks are active. (ClusterContainsTasksException)",
            "tasks in a cluster",
        ),
        ("AWS::EC2::SecurityGroup", "resource sg-1 has a dependent object (Service: Ec2)", "network interfaces"),
        ("AWS::EC2::Subnet", "The subnet 'subnet-1' has dependencies and cannot be deleted.", "network interfaces"),
        ("AWS::EC2::VPC", "The vpc 'vpc-1' has dependencies and cannot be deleted.", "network interfaces"),
        (
            "AWS::RDS::DBCluster",
            "Cannot delete protected Cluster, please disable deletion protection",
            "deletion protection",
        ),
        ("AWS::RDS::DBInstance", "Cannot delete protected DB Instance", "deletion protection"),
        (
            "AWS::ElasticLoadBalancingV2::LoadBalancer",
            "Load balancer cannot be deleted because deletion protection is enabled",
            "deletion protection",
        ),
    ],
)
def test_an_obstacle_is_known_by_its_services_own_words(kind, reason, found):
    assert [each.name for each in obstacles.of(kept(kind, reason))] == [found]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("AWS::S3::Bucket", "Access Denied"),
        ("AWS::SQS::Queue", "the bucket is not empty"),
        ("AWS::RDS::DBCluster", "is not currently in the available state"),
        ("AWS::EC2::VPC", None),
    ],
)
def test_what_is_not_known_is_left_alone(kind, reason):
    assert obstacles.of(kept(kind, reason)) == ()


def clear(kind, reason, client, name="thing"):
    (obstacle,) = obstacles.of(kept(kind, reason, name))
    return obstacle.clear(lambda service: client, kept(kind, reason, name))


def test_the_tasks_of_a_cluster_are_stopped():
    ecs = FakeClient(list_tasks=[{"taskArns": ["a"]}, {"taskArns": ["b"]}], stop_task={})

    assert clear("AWS::ECS::Cluster", "Tasks are active", ecs) == "2 tasks stopped"
    assert [each["task"] for each in ecs.called("stop_task")] == ["a", "b"]
    assert {each["cluster"] for each in ecs.called("stop_task")} == {"thing"}


def interfaces(*polls):
    """Return an EC2 whose answers to each poll are (id, status) pairs."""
    left = list(polls)

    def describe(Filters):
        now = left.pop(0) if len(left) > 1 else left[0]
        return {"NetworkInterfaces": [{"NetworkInterfaceId": name, "Status": status} for name, status in now]}

    return FakeClient(describe_network_interfaces=describe, delete_network_interface={})


def test_a_free_interface_is_deleted_and_one_that_is_held_is_waited_for(clock):
    ec2 = interfaces([("a", "available"), ("b", "in-use")], [("b", "in-use")], [("b", "available")])

    said = clear("AWS::EC2::Subnet", "has dependencies", ec2, "subnet-1")

    assert said == "2 network interfaces deleted, none is held"
    assert [each["NetworkInterfaceId"] for each in ec2.called("delete_network_interface")] == ["a", "b"]
    assert ec2.called("describe_network_interfaces")[0] == {"Filters": [{"Name": "subnet-id", "Values": ["subnet-1"]}]}
    assert clock.now == 20


def test_an_interface_that_is_held_for_ever_is_told_and_never_torn_away(clock):
    ec2 = interfaces([("a", "in-use")])

    assert clear("AWS::EC2::SecurityGroup", "has a dependent object", ec2).startswith("still held by a")
    assert ec2.called("delete_network_interface") == []
    assert 1500 <= clock.now <= 1520


@pytest.mark.parametrize(
    ("kind", "operation", "parameter"),
    [
        ("AWS::RDS::DBCluster", "modify_db_cluster", "DeletionProtection"),
        ("AWS::RDS::DBInstance", "modify_db_instance", "DeletionProtection"),
        ("AWS::ElasticLoadBalancingV2::LoadBalancer", "modify_load_balancer_attributes", "Attributes"),
    ],
)
def test_protection_is_taken_away(kind, operation, parameter):
    client = FakeClient(**{operation: {}})

    assert clear(kind, "it is protected", client) == "deletion protection taken away"
    (asked,) = client.called(operation)
    assert asked[parameter] in (False, [{"Key": "deletion_protection.enabled", "Value": "false"}])


def test_a_repository_goes_with_its_images():
    ecr = FakeClient(delete_repository={})

    clear("AWS::ECR::Repository", "is not empty", ecr)

    assert ecr.called("delete_repository") == [{"repositoryName": "thing", "force": True}]
