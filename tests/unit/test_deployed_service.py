"""What a service runs: the image of every task, and what the registry says that an image's name stands for."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from readiness.deployed_service import Resolved, counts, see, unsteady
from readiness.errors import CloudError
from tests.unit.deployed import GOOD, OTHER, SERVICE, a_deployment, a_service, a_task
from tests.unit.samples import FakeClient, client_error

ECR = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop"
TOLD = {
    "status": "ACTIVE",
    "taskDefinition": "arn:aws:ecs:eu-west-1:123456789012:task-definition/shop:1",
    "desiredCount": 150,
    "runningCount": 150,
    "pendingCount": 0,
    "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED"}],
}


class Ecr(FakeClient):
    meta = SimpleNamespace(region_name="eu-west-1")


def clients_with(image: str, *, ecr: FakeClient | None = None, tasks: int = 2, status: str = "RUNNING"):
    def described(cluster, tasks):
        assert len(tasks) <= 100
        return {
            "tasks": [
                {
                    "taskArn": arn,
                    "taskDefinitionArn": TOLD["taskDefinition"],
                    "lastStatus": status,
                    "availabilityZone": "eu-west-1a",
                    "containers": [{"name": "service", "image": image, "imageDigest": GOOD}],
                }
                for arn in tasks
            ]
        }

    ecs = FakeClient(
        describe_services={"services": [TOLD]},
        describe_task_definition={"taskDefinition": {"containerDefinitions": [{"name": "service", "image": image}]}},
        list_tasks={"taskArns": [f"arn:aws:ecs:eu-west-1:123456789012:task/c/{number}" for number in range(tasks)]},
        describe_tasks=described,
    )
    return {"ecs": ecs, "elbv2": FakeClient(), "ec2": FakeClient(), "ecr": ecr}.__getitem__


def test_every_task_is_asked_for_a_hundred_at_a_time():
    seen = see(clients_with("shop:1", tasks=150), "c", "arn:aws:ecs:eu-west-1:1:service/c/shop")

    assert len(seen.tasks) == 150
    assert seen.service == "shop"
    assert seen.digests == {"service": (GOOD,)}
    assert seen.used_zones == ("eu-west-1a",)


def test_a_task_that_does_not_run_yet_is_no_evidence():
    assert see(clients_with("shop:1", status="PENDING"), "c", "s").tasks == ()


def test_a_container_that_aws_puts_into_a_task_by_itself_is_none_of_the_service_s():
    clients = clients_with("shop:1")
    told = clients("ecs").answers["describe_tasks"]

    def with_agent(**asked):
        answer = told(**asked)
        for task in answer["tasks"]:
            task["containers"].append({"name": "aws-guardduty-agent-1a2b", "image": "agent", "imageDigest": OTHER})
        return answer

    clients("ecs").answers["describe_tasks"] = with_agent

    assert see(clients, "c", "s").digests == {"service": (GOOD,)}


def test_counts_leave_out_what_takes_long():
    ecs = FakeClient(describe_services={"services": [TOLD]})

    assert counts({"ecs": ecs}.__getitem__, "c", "s").running == 150
    assert [name for name, _ in ecs.calls] == ["describe_services"]


def test_a_service_that_is_not_there_is_said_to_be_not_there():
    with pytest.raises(CloudError, match="There is no service s in cluster c"):
        counts({"ecs": FakeClient(describe_services={"services": []})}.__getitem__, "c", "s")


def test_an_image_of_a_registry_that_cannot_be_asked_stands_for_nothing_known():
    assert see(clients_with("docker.io/shop:1"), "c", "s").registry == ()


def test_an_image_that_is_named_by_its_digest_stands_for_that():
    (found,) = see(clients_with(f"docker.io/shop@{GOOD}"), "c", "s").registry

    assert found.digests == (GOOD,)


def test_ecr_says_what_a_tag_stands_for_and_which_images_are_in_an_index():
    manifest = json.dumps({"manifests": [{"digest": OTHER}]})
    ecr = Ecr(batch_get_image={"images": [{"imageId": {"imageDigest": GOOD}, "imageManifest": manifest}]})

    (found,) = see(clients_with(f"{ECR}:1.4", ecr=ecr), "c", "s").registry

    assert found == Resolved(image=f"{ECR}:1.4", digests=(GOOD, OTHER))
    (asked,) = ecr.called("batch_get_image")
    assert asked["registryId"] == "123456789012"
    assert asked["repositoryName"] == "shop"
    assert asked["imageIds"] == [{"imageTag": "1.4"}]


@pytest.mark.parametrize(
    ("image", "answer", "error"),
    [
        (f"{ECR}:1", client_error("AccessDeniedException", "not you"), "not you"),
        (f"{ECR}:1", {"images": [], "failures": [{"failureReason": "Requested image not found"}]}, "not found"),
        (f"{ECR}", {"images": []}, "has no such image"),
        (f"{ECR.replace('eu-west-1', 'us-east-1')}:1", {"images": []}, "it lies in us-east-1"),
    ],
)
def test_what_ecr_does_not_tell_is_an_error_that_is_kept(image, answer, error):
    (found,) = see(clients_with(image, ecr=Ecr(batch_get_image=answer)), "c", "s").registry

    assert found.digests == ()
    assert error in found.error


def test_steady_is_one_completed_deployment_with_all_its_tasks():
    assert unsteady(SERVICE) == ""
    assert unsteady(a_service(running=1)) == "1 of 2 tasks run, 0 are pending"
    assert unsteady(a_service(deployments=(a_deployment(), a_deployment()))) == "it has 2 deployments"
    assert unsteady(a_service(deployments=(a_deployment(rollout=""),))) == "its deployment is in an unknown state"


def test_a_digest_that_is_not_known_is_none_of_the_digests():
    seen = a_service(tasks=(a_task("t1", digests={"service": ""}), a_task("t2", digests={"service": OTHER})))

    assert seen.digests == {"service": (OTHER,)}
