"""What a service is, without its names: alike however it is spelled, and without a secret in it."""

from __future__ import annotations

import json

from readiness.live.deployed_values import UNKNOWN as UNRESOLVED
from readiness.service_content import (
    ANY,
    UNKNOWN,
    Difference,
    as_api,
    compare,
    of_service,
    of_target_group,
    of_task_definition,
    target_groups,
)

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:token-a1b2c3"
DEFINITION = {
    "taskDefinitionArn": "arn:aws:ecs:eu-west-1:123456789012:task-definition/shop:7",
    "family": "shop",
    "revision": 7,
    "status": "ACTIVE",
    "registeredBy": "arn:aws:iam::123456789012:root",
    "networkMode": "awsvpc",
    "cpu": "512",
    "memory": "1024",
    "executionRoleArn": "arn:aws:iam::123456789012:role/shop",
    "volumes": [],
    "placementConstraints": [],
    "containerDefinitions": [
        {
            "name": "service",
            "image": "shop:1",
            "cpu": 0,
            "essential": True,
            "environment": [{"name": "LEVEL", "value": "hunter2"}, {"name": "OTHER", "value": "hunter2"}],
            "secrets": [{"name": "TOKEN", "valueFrom": ARN}, {"name": "PASSWORD", "valueFrom": f"{ARN}:password::"}],
            "command": ["serve", "--token", "hunter2"],
            "healthCheck": {"command": ["CMD", "curl", "hunter2"], "interval": 30},
            "portMappings": [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {"awslogs-group": "shop-logs", "awslogs-region": "eu-west-1", "splunk-token": "hunter2"},
            },
            "mountPoints": [],
        }
    ],
}
TEMPLATE = {
    "Family": "another-name",
    "NetworkMode": "awsvpc",
    "Cpu": "512",
    "Memory": "1024",
    "ExecutionRoleArn": UNRESOLVED,
    "ContainerDefinitions": [
        {
            "Name": "service",
            "Image": "shop:1",
            "Essential": True,
            "Environment": [{"Name": "OTHER", "Value": "hunter2"}, {"Name": "LEVEL", "Value": UNRESOLVED}],
            "Secrets": [{"Name": "TOKEN", "ValueFrom": ARN}, {"Name": "PASSWORD", "ValueFrom": f"{ARN}:password::"}],
            "Command": ["serve", "--token", "hunter2"],
            "HealthCheck": {"Command": ["CMD", "curl", "hunter2"], "Interval": 30},
            "PortMappings": [{"ContainerPort": 8080, "Protocol": "tcp"}],
            "LogConfiguration": {
                "LogDriver": "awslogs",
                "Options": {"awslogs-group": UNRESOLVED, "awslogs-region": "eu-west-1", "splunk-token": "hunter2"},
            },
        }
    ],
}
SERVICE = {
    "serviceName": "shop-1",
    "launchType": "FARGATE",
    "desiredCount": 2,
    "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1", "subnet-2"], "securityGroups": ["sg-1"]}},
    "deploymentConfiguration": {
        "strategy": "CANARY",
        "canaryConfiguration": {"canaryPercent": 20.0},
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        "alarms": {"alarmNames": ["shop-errors", "shop-latency"], "enable": True, "rollback": True},
    },
    "loadBalancers": [
        {
            "containerName": "service",
            "containerPort": 8080,
            "targetGroupArn": "arn:one",
            "advancedConfiguration": {"alternateTargetGroupArn": "arn:two"},
        }
    ],
}


def test_a_task_definition_and_the_template_that_made_it_are_alike():
    wanted, found = of_task_definition(as_api(TEMPLATE)), of_task_definition(DEFINITION)

    compared = compare(wanted, found)

    assert compared.differences == ()
    assert compared.unknown == ("container.service.environment.LEVEL",)
    assert wanted["container.service.environment.LEVEL"] == UNKNOWN


def test_no_name_of_a_stack_and_no_value_that_may_be_secret_is_in_a_content():
    told = json.dumps(of_task_definition(DEFINITION) | of_service(SERVICE))

    for name in ("hunter2", "123456789012", "shop-logs", "token-a1b2c3", "shop-errors", "subnet-1", "arn:"):
        assert name not in told
    assert "shop:7" not in told


def test_equal_values_of_two_variables_do_not_look_equal():
    found = of_task_definition(DEFINITION)

    assert found["container.service.environment.LEVEL"] != found["container.service.environment.OTHER"]


def test_a_secret_is_told_by_its_store_and_its_key():
    found = of_task_definition(DEFINITION)

    assert found["container.service.secret.TOKEN"] == "secretsmanager"
    assert found["container.service.secret.PASSWORD"] == "secretsmanager password"


def test_a_key_of_a_task_definition_that_nobody_thought_of_is_compared_too():
    later = DEFINITION | {"enableFaultInjection": True}

    compared = compare(of_task_definition(DEFINITION), of_task_definition(later))

    assert [each.path for each in compared.differences] == ["task.enableFaultInjection"]


def test_a_service_is_told_by_how_it_is_placed_and_released_not_by_how_many_it_runs():
    found = of_service(SERVICE)

    assert found == of_service(SERVICE | {"desiredCount": 5, "serviceName": "other"})
    assert found["service.network.subnets"] == "2"
    assert found["service.network.assignPublicIp"] == "DISABLED"
    assert found["service.deployment.alarms"] == "2"
    assert found["service.deployment.canaryConfiguration.canaryPercent"] == "20"
    assert target_groups(SERVICE) == {"primary": "arn:one", "alternate": "arn:two"}


def test_alarms_that_are_switched_off_take_nothing_back_and_so_are_not_there():
    switched_off = SERVICE["deploymentConfiguration"] | {"alarms": {"alarmNames": ["a"], "enable": False}}

    found = of_service(SERVICE | {"deploymentConfiguration": switched_off})

    assert "service.deployment.alarms" not in found


def test_a_target_group_is_told_by_how_it_judges_health_as_template_and_api_spell_it():
    template = as_api({"HealthCheckPath": "/health", "Matcher": {"HttpCode": "200"}, "Port": 80, "Name": "one"})
    api = as_api({"HealthCheckPath": "/health", "Matcher": {"HttpCode": "200"}, "Port": 80, "TargetGroupArn": "arn"})

    assert of_target_group(template, "primary") == of_target_group(api, "primary")
    assert of_target_group(api, "primary")["target.primary.matcher.httpCode"] == "200"


def test_what_is_beyond_what_was_wanted_is_a_difference_only_where_all_of_it_was_said():
    assert compare({"a": "1"}, {"a": "1", "b": "2"}, whole=False).differences == ()
    (added,) = compare({"a": "1"}, {"a": "1", "b": "2"}).differences
    assert added == Difference(path="b", wanted="", found="2")


def test_what_may_differ_is_told_and_is_no_difference():
    compared = compare({"a.x": "1", "b": "2"}, {"a.x": "9", "b": "3"}, may_differ=("a.*",))

    assert [each.path for each in compared.allowed] == ["a.x"]
    assert [each.path for each in compared.differences] == ["b"]


def test_any_value_will_do_but_none_will_not():
    assert compare({"a": ANY}, {"a": "1"}, whole=False).differences == ()
    assert [each.path for each in compare({"a": ANY}, {}, whole=False).differences] == ["a"]


def test_a_value_that_is_not_known_is_compared_with_nothing_yet_has_to_be_there():
    assert compare({"a": UNKNOWN}, {"a": "1"}).compared == 0
    assert [each.path for each in compare({"a": UNKNOWN}, {}).differences] == ["a"]


def test_a_difference_says_whose_value_is_which_and_no_digest():
    def told(wanted: str, found: str) -> str:
        return Difference(path="p", wanted=wanted, found=found).told("approved was")

    assert told("1", "2") == "is '2'; approved was '1'"
    assert told("1", "") == "is not there; approved was '1'"
    assert told("", "2") == "is '2'; approved was nothing"
    assert told("sha256:1", "sha256:2") == "is another value; approved was one with another digest"
    assert told("", "sha256:2") == "is a value; approved was nothing"
    assert told(ANY, "") == "is not there; approved was a value"
