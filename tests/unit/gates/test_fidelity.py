"""The gate ``fidelity``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from readiness import decide
from readiness.deployed_service import Resolved
from readiness.gates.fidelity import Observation, Settings, judge, observe, of_plan
from readiness.model import Clone, Outcome, Severity
from readiness.service_content import ANY, UNKNOWN
from tests.unit.deployed import CONTENT, GOOD, NOTHING, OTHER, a_deployment, a_service, a_task, content
from tests.unit.samples import BLOCKING, T0, FakeClient, a_context, a_plan

DEFAULTS = Settings()
PLANNED = {"task.cpu": "512", "container.service.image": "shop:1", "container.service.secret.TOKEN": ANY}
SEEN = Observation(service=a_service(), planned=PLANNED, template=CONTENT, planned_count=2)
EMPTY = Observation(service=NOTHING, planned={}, template={}, planned_count=0)


def outcome(seen: Observation, settings: Settings = DEFAULTS) -> Outcome:
    judgement = judge(seen, settings)
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


def rules(seen: Observation, settings: Settings = DEFAULTS) -> set[str]:
    return {each.rule.partition("/")[2] for each in judge(seen, settings).findings}


def gaps(seen: Observation) -> set[str]:
    return {each.what for each in judge(seen, Settings()).gaps}


def with_service(**changes) -> Observation:
    return replace(SEEN, service=a_service(**changes))


def test_a_clone_that_is_what_plan_and_template_say_passes():
    judgement = judge(SEEN, Settings())

    assert outcome(SEEN) is Outcome.PASSED
    assert judgement.findings == ()
    assert judgement.gaps == ()
    assert judgement.examined == len(PLANNED) + len(CONTENT)


def test_nothing_at_all_is_inconclusive_not_clean():
    assert outcome(EMPTY) is Outcome.INCONCLUSIVE
    assert judge(EMPTY, Settings()).examined == 0


def test_a_service_without_a_running_task_proves_nothing():
    seen = with_service(tasks=(), desired=0, running=0)
    assert "tasks" in gaps(seen)
    assert outcome(seen) is Outcome.FAILED
    assert "too-few-wanted" in rules(seen)


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"task__cpu": "256"}, {"not-the-plan", "drift"}),
        ({"container__service__image": "shop:2"}, {"not-the-plan", "drift"}),
        ({"container__service__secret__TOKEN": ""}, {"not-the-plan", "drift"}),
        ({"container__service__environment__LEVEL": "sha256:2"}, {"drift"}),
        ({"container__service__environment__BACKDOOR": "sha256:2"}, {"drift"}),
        ({"container__sidecar__image": "miner:1"}, {"drift"}),
        ({"target__primary__healthCheckPath": "/"}, {"drift"}),
        ({"service__deployment__strategy": "ROLLING"}, {"drift"}),
    ],
)
def test_drift_fails(changed, found):
    seen = with_service(content=content(**changed))

    assert rules(seen) == found
    assert outcome(seen) is Outcome.FAILED


def test_what_aws_adds_to_a_service_by_itself_is_told_and_no_drift():
    seen = with_service(content=content(service__platformFamily="Linux"))

    assert outcome(seen) is Outcome.PASSED
    assert "not in the template, so not compared: service.platformFamily" in judge(seen, Settings()).notes


def test_what_may_differ_does_not_fail_and_is_told():
    seen = with_service(content=content(task__cpu="256"))

    assert outcome(seen, Settings(may_differ=("task.cpu",))) is Outcome.PASSED
    assert "may differ, and does: task.cpu" in judge(seen, Settings(may_differ=("task.*",))).notes


def test_a_value_that_only_cloudformation_knows_is_told_and_not_counted():
    seen = replace(SEEN, template=CONTENT | {"task.cpu": UNKNOWN})

    assert judge(seen, Settings()).examined == len(PLANNED) + len(CONTENT) - 1
    assert "not known from the template: task.cpu" in judge(seen, Settings()).notes


def test_two_images_in_one_service_fail():
    seen = with_service(tasks=(a_task("t1"), a_task("t2", "eu-west-1b", digests={"service": OTHER})))

    assert rules(seen) == {"several-digests"}
    assert outcome(seen) is Outcome.FAILED


@pytest.mark.parametrize("digests", [{"service": ""}, {}])
def test_an_image_that_ecs_does_not_tell_is_a_gap(digests):
    seen = with_service(tasks=(a_task("t1"), a_task("t2", "eu-west-1b", digests=digests)))

    assert outcome(seen) is Outcome.INCONCLUSIVE


def test_an_image_that_the_registry_knows_otherwise_fails():
    seen = with_service(registry=(Resolved(image="shop:1", digests=(OTHER,)),))

    assert rules(seen) == {"other-digest"}
    assert outcome(with_service(registry=(Resolved(image="shop:1", digests=(OTHER, GOOD)),))) is Outcome.PASSED


def test_a_registry_that_answers_with_an_error_is_a_gap():
    assert gaps(with_service(registry=(Resolved(image="shop:1", error="AccessDenied"),))) == {"what shop:1 stands for"}


def test_tasks_in_one_zone_fail_unless_the_plan_allows_one():
    seen = with_service(tasks=(a_task("t1"), a_task("t2")))

    assert rules(seen) == {"too-few-zones"}
    assert outcome(seen, Settings(min_zones=1)) is Outcome.PASSED


def test_subnets_in_one_zone_fail():
    assert rules(with_service(zones=("eu-west-1a",))) == {"too-few-zones"}


def test_a_task_that_does_not_tell_its_zone_is_a_gap():
    assert gaps(with_service(tasks=(a_task("t1"), a_task("t2", zone="")))) == {"zone of t2"}


@pytest.mark.parametrize(
    "changes",
    [
        {"running": 1},
        {"pending": 1},
        {"status": "DRAINING"},
        {"deployments": ()},
        {"deployments": (a_deployment(), a_deployment(status="ACTIVE"))},
        {"deployments": (a_deployment(rollout="IN_PROGRESS"),)},
    ],
)
def test_a_service_that_is_not_steady_fails(changes):
    assert rules(with_service(**changes)) == {"not-steady"}


def test_a_task_of_another_revision_fails():
    assert "other-revision" in rules(with_service(tasks=(a_task("t1"), a_task("t2", "b", task_definition="shop:2"))))


def test_a_service_that_no_template_describes_is_a_gap():
    assert gaps(replace(SEEN, template={})) == {"the template"}


def test_the_plan_says_what_the_service_has_to_be_and_never_the_value_of_a_secret():
    told = of_plan(a_plan())

    assert told["container.service.image"] == "shop:1"
    assert told["container.service.secret.TOKEN"] == ANY
    assert told["service.deployment.strategy"] == "CANARY"
    assert {each.severity for each in judge(replace(SEEN, planned=told), Settings()).findings} == {Severity.HIGH}


def test_it_reads_the_service_back_and_resolves_the_template_that_made_it(tmp_path):
    cluster, service = "arn:aws:ecs:eu-west-1:1:cluster/c", "arn:aws:ecs:eu-west-1:1:service/c/s"
    definition, group = "arn:aws:ecs:eu-west-1:1:task-definition/shop:1", "arn:aws:elasticloadbalancing:::group"
    template = {
        "Service": {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": {"Ref": "Definition"},
                "LaunchType": "FARGATE",
                "LoadBalancers": [
                    {"ContainerName": "service", "ContainerPort": 8080, "TargetGroupArn": {"Ref": "Group"}}
                ],
            },
        },
        "Definition": {
            "Type": "AWS::ECS::TaskDefinition",
            "Properties": {"Cpu": "512", "ContainerDefinitions": [{"Name": "service", "Image": "shop:1"}]},
        },
        "Group": {"Type": "AWS::ElasticLoadBalancingV2::TargetGroup", "Properties": {"HealthCheckPath": "/health"}},
    }
    (tmp_path / "shop.template.json").write_text(json.dumps({"Resources": template}))
    kinds = {name: body["Type"] for name, body in template.items()}
    physical = {"Service": service, "Definition": definition, "Group": group}
    balancer = {"containerName": "service", "containerPort": 8080, "targetGroupArn": group}
    clients = {
        "cloudformation": FakeClient(
            list_stack_resources={
                "StackResourceSummaries": [
                    {"LogicalResourceId": name, "ResourceType": kinds[name], "PhysicalResourceId": arn}
                    for name, arn in physical.items()
                ]
            }
        ),
        "ecs": FakeClient(
            describe_services={
                "services": [
                    {
                        "status": "ACTIVE",
                        "taskDefinition": definition,
                        "launchType": "FARGATE",
                        "desiredCount": 1,
                        "runningCount": 1,
                        "pendingCount": 0,
                        "deployments": [{"status": "PRIMARY", "rolloutState": "COMPLETED", "updatedAt": T0}],
                        "loadBalancers": [balancer],
                        "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
                    }
                ]
            },
            describe_task_definition={
                "taskDefinition": {
                    "cpu": "512",
                    "containerDefinitions": [{"name": "service", "image": "shop:1", "essential": True}],
                }
            },
            list_tasks={"taskArns": ["arn:aws:ecs:eu-west-1:1:task/c/t1"]},
            describe_tasks={
                "tasks": [
                    {
                        "taskArn": "arn:aws:ecs:eu-west-1:1:task/c/t1",
                        "taskDefinitionArn": definition,
                        "lastStatus": "RUNNING",
                        "availabilityZone": "eu-west-1a",
                        "containers": [{"name": "service", "image": "shop:1", "imageDigest": GOOD}],
                    }
                ]
            },
        ),
        "elbv2": FakeClient(
            describe_target_groups={"TargetGroups": [{"HealthCheckPath": "/health", "TargetGroupArn": group}]},
            describe_target_health={"TargetHealthDescriptions": [{"TargetHealth": {"State": "healthy"}}]},
        ),
        "ec2": FakeClient(describe_subnets={"Subnets": [{"AvailabilityZone": "eu-west-1a"}]}),
    }
    clone = Clone(
        run_id="r",
        stack_name="s",
        stack_id="arn:aws:cloudformation:eu-west-1:123456789012:stack/s/1",
        outputs={"Cluster": cluster, "Service": "s"},
        expires_at=T0,
    )
    context = a_context(
        tmp_path, clients=clients.__getitem__, templates=(tmp_path / "shop.template.json",), deployed=clone
    )

    seen = observe(context, Settings())

    assert seen.service.digests == {"service": (GOOD,)}
    assert seen.service.targets == {"primary": {"healthy": 1}}
    assert seen.template["container.service.image"] == "shop:1"
    assert seen.template["target.primary.healthCheckPath"] == "/health"
    drift = {each.subject for each in judge(replace(seen, planned={}, planned_count=1), Settings()).findings}
    assert drift == {"subnets"}  # one zone alone
