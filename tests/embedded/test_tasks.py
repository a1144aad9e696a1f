"""Tasks and services as processes: what ECS documents, on real processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from tests.embedded.stage import Stage, eventually, load, staged

CANARY = {
    "strategy": "CANARY",
    "canaryConfiguration": {"canaryPercent": 25.0, "canaryBakeTimeInMinutes": 1},
    "bakeTimeInMinutes": 1,
}
BREAKER = {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("aws")) as it:
        yield it


@pytest.fixture
def stage(aws: Stage) -> Iterator[Stage]:
    with aws.scene() as it:
        yield it


@pytest.fixture
def balanced(stage: Stage) -> Stage:
    stage.balance()
    return stage


def test_a_task_runs_with_environment_secrets_and_overrides_and_its_output_is_all_there(stage: Stage) -> None:
    secret = stage.clients("secretsmanager").create_secret(Name="db", SecretString='{"password": "hush"}')["ARN"]
    stage.clients("ssm").put_parameter(Name="/a/greeting", Value="hello", Type="String")
    definition = stage.define(
        "good",
        environment=[{"name": "OTHER", "value": "x"}],
        secrets=[
            {"name": "PASSWORD", "valueFrom": f"{secret}:password::"},
            {"name": "GREETING", "valueFrom": "/a/greeting"},
        ],
    )
    overrides = {
        "containerOverrides": [
            {"name": "web", "environment": [{"name": "GREETING", "value": "hi"}], "command": ["--x", "{y}"]}
        ]
    }
    arn = stage.run(definition, overrides=overrides, startedBy="me", tags=[{"key": "a", "value": "b"}])
    task = stage.until(arn, "RUNNING")
    address = {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}["privateIPv4Address"]
    assert address.startswith("127.")
    assert task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] == address
    assert task["tags"] == [{"key": "a", "value": "b"}]
    assert stage.ecs.list_tasks(cluster="c", startedBy="me")["taskArns"] == [arn]
    assert stage.ecs.list_tasks(cluster="c", family="web")["taskArns"] == [arn]
    assert stage.ecs.list_tasks(cluster="c", family="other")["taskArns"] == []
    eventually(lambda: stage.lines(arn))
    stage.ecs.stop_task(cluster="c", task=arn, reason="enough")
    task = stage.until(arn, "STOPPED")
    assert (task["stopCode"], task["stoppedReason"]) == ("UserInitiated", "enough")
    assert task["containers"][0]["exitCode"] == 0
    assert task["createdAt"] <= task["pullStartedAt"] <= task["startedAt"] <= task["stoppingAt"] <= task["stoppedAt"]
    assert stage.lines(arn) == ["serving good hi hush ['--x', '{y}']", "bye"]
    assert stage.ecs.list_tasks(cluster="c", desiredStatus="STOPPED")["taskArns"] == [arn]


def test_all_output_is_delivered_before_a_task_is_stopped(stage: Stage) -> None:
    arn = stage.run(stage.define("chatty"))
    task = stage.until(arn, "STOPPED")
    assert stage.lines(arn) == [f"line {n}" for n in range(3000)]
    assert task["stopCode"] == "EssentialContainerExited"
    assert task["stoppedReason"] == "Essential container in task exited"
    assert task["containers"][0]["exitCode"] == 4


def test_output_appears_within_a_second(stage: Stage) -> None:
    arn = stage.run(stage.define("good"))
    stage.until(arn, "RUNNING")
    eventually(lambda: stage.lines(arn), 2.0)


def test_braces_that_are_not_ours_are_left_alone(stage: Stage) -> None:
    arn = stage.run(stage.define("braces"))
    stage.until(arn, "STOPPED")
    (line,) = stage.lines(arn)
    assert line.startswith("{} ['{x}', '127.")


def test_an_image_without_a_command_can_not_be_pulled(stage: Stage) -> None:
    task = stage.until(stage.run(stage.define("nowhere/unknown:1")), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "nowhere/unknown:1" in task["stoppedReason"]


def test_a_missing_secret_or_log_group_fails_the_start_with_its_name(stage: Stage) -> None:
    task = stage.until(stage.run(stage.define("good", secrets=[{"name": "A", "valueFrom": "/none"}])), "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert "ResourceInitializationError" in task["stoppedReason"]
    assert "/none" in task["stoppedReason"]
    stage.clients("logs").delete_log_group(logGroupName="/web")
    task = stage.until(stage.run(stage.define("good")), "STOPPED")
    assert "failed to create Cloudwatch log stream" in task["stoppedReason"]


def test_a_task_that_ignores_sigterm_is_killed_after_its_stop_timeout(stage: Stage) -> None:
    arn = stage.run(stage.define("deaf", stopTimeout=40))
    stage.until(arn, "RUNNING")
    eventually(lambda: stage.lines(arn))
    started = time.monotonic()
    stage.ecs.stop_task(cluster="c", task=arn)
    task = stage.until(arn, "STOPPED")
    assert 1.8 <= time.monotonic() - started < 8
    assert task["containers"][0]["exitCode"] == 137


def test_the_end_of_a_side_car_is_not_the_end_of_the_task(stage: Stage) -> None:
    definition = stage.ecs.register_task_definition(
        family="two",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        containerDefinitions=[
            {"name": "main", "image": "sleeper"},
            {"name": "side", "image": "chatty", "essential": False},
        ],
    )["taskDefinition"]["taskDefinitionArn"]
    arn = stage.run(definition)
    task = eventually(
        lambda: (
            (task := stage.task(arn))["containers"]
            and task["containers"][-1]["lastStatus"] == "STOPPED"
            and task["lastStatus"] == "RUNNING"
            and task
        )
    )
    assert [container.get("exitCode") for container in task["containers"]] == [None, 4]


def test_what_is_not_done_is_refused_by_name(stage: Stage) -> None:
    definition = stage.define("good", healthCheck={"command": ["CMD-SHELL", "true"]})
    with pytest.raises(ClientError, match="healthCheck of container web"):
        stage.run(definition)
    with pytest.raises(ClientError, match="BLUE_GREEN"):
        stage.ecs.create_service(
            cluster="c",
            serviceName="s",
            taskDefinition=stage.define("good"),
            deploymentConfiguration={"strategy": "BLUE_GREEN"},
        )
    with pytest.raises(ClientError, match="launchType EC2"):
        stage.ecs.run_task(cluster="c", taskDefinition=stage.define("good"), launchType="EC2")


def test_a_service_keeps_its_count_and_replaces_what_dies(stage: Stage) -> None:
    stage.ecs.create_service(
        cluster="c",
        serviceName="s",
        taskDefinition=stage.define("sleeper"),
        desiredCount=2,
        launchType="FARGATE",
        networkConfiguration=stage.network,
        tags=[{"key": "team", "value": "x"}],
        propagateTags="SERVICE",
    )
    stage.until_deployed()
    before = set(stage.ecs.list_tasks(cluster="c", serviceName="s")["taskArns"])
    assert len(before) == 2
    assert stage.task(min(before))["tags"] == [{"key": "team", "value": "x"}]
    stage.ecs.stop_task(cluster="c", task=min(before), reason="test")
    eventually(lambda: stage.service()["runningCount"] == 2 and stage.task(min(before))["lastStatus"] == "STOPPED")
    after = set(stage.ecs.list_tasks(cluster="c", serviceName="s")["taskArns"])
    assert len(after) == 2
    assert len(after & before) == 1
    stage.ecs.update_service(cluster="c", service="s", desiredCount=1)
    eventually(lambda: len(stage.ecs.list_tasks(cluster="c", serviceName="s")["taskArns"]) == 1)
    assert len(stage.ecs.list_service_deployments(cluster="c", service="s")["serviceDeployments"]) == 1
    with pytest.raises(ClientError, match="scaled above 0"):
        stage.ecs.delete_service(cluster="c", service="s")
    with pytest.raises(ClientError, match="ClusterContainsServices"):
        stage.ecs.delete_cluster(cluster="c")
    stage.ecs.delete_service(cluster="c", service="s", force=True)
    eventually(lambda: stage.service()["status"] == "INACTIVE")
    assert stage.ecs.list_tasks(cluster="c")["taskArns"] == []
    stage.ecs.delete_cluster(cluster="c")


def test_a_rolling_update_under_load_loses_no_request(balanced: Stage) -> None:
    balanced.serve(balanced.define("good"))
    balanced.until_deployed()
    with load(balanced) as outcomes:
        better = balanced.define("better")
        balanced.ecs.update_service(cluster="c", service="s", taskDefinition=better)
        deployment = balanced.until_deployed()
    assert set(outcomes) == {(200, "good"), (200, "better")}
    assert balanced.kinds() == {"better"}
    assert deployment["sourceServiceRevisions"][0]["runningTaskCount"] == 0
    service = balanced.service()
    assert [one["rolloutState"] for one in service["deployments"]] == ["COMPLETED"]
    assert service["taskDefinition"] == better
    assert any("has reached a steady state" in event["message"] for event in service["events"])


def test_a_canary_shifts_a_share_then_all_and_swaps_the_target_groups(balanced: Stage) -> None:
    balanced.serve(balanced.define("good"), canary=True, deploymentConfiguration=CANARY)
    first = balanced.until_deployed()
    assert first["sourceServiceRevisions"] == []
    assert balanced.weights() == (100, 0)
    with load(balanced) as outcomes:
        balanced.ecs.update_service(cluster="c", service="s", taskDefinition=balanced.define("better"))
        eventually(lambda: balanced.weights() == (75, 25))
        shifting = balanced.deployment()
        assert shifting["lifecycleStage"] == "PRODUCTION_TRAFFIC_SHIFT"
        assert shifting["targetServiceRevision"]["requestedProductionTrafficWeight"] == 25.0
        outcomes.clear()
        time.sleep(1.5)
        seen = dict(outcomes)
        eventually(lambda: balanced.weights() == (0, 100))
        assert balanced.deployment()["lifecycleStage"] == "BAKE_TIME"
        assert balanced.service()["runningCount"] == 4
        balanced.until_deployed()
    assert 0.1 < seen[200, "better"] / sum(seen.values()) < 0.4
    assert set(outcomes) == {(200, "good"), (200, "better")}
    assert balanced.kinds() == {"better"}
    balanced.ecs.update_service(cluster="c", service="s", taskDefinition=balanced.define("good"))
    balanced.until_deployed()
    assert balanced.weights() == (100, 0)
    assert balanced.kinds() == {"good"}


def test_an_alarm_in_a_canary_gives_traffic_back_and_rolls_back(balanced: Stage) -> None:
    cloudwatch = balanced.clients("cloudwatch")
    load_balancer = balanced.balancer.split(":loadbalancer/")[1]
    cloudwatch.put_metric_alarm(
        AlarmName="errors",
        Namespace="AWS/ApplicationELB",
        MetricName="HTTPCode_Target_5XX_Count",
        Dimensions=[{"Name": "LoadBalancer", "Value": load_balancer}],
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=5,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="notBreaching",
    )
    configuration = {
        **CANARY,
        "canaryConfiguration": {"canaryPercent": 25.0, "canaryBakeTimeInMinutes": 10},
        "alarms": {"alarmNames": ["errors"], "enable": True, "rollback": True},
    }
    balanced.serve(balanced.define("good"), canary=True, deploymentConfiguration=configuration)
    balanced.until_deployed()
    before = balanced.service()["taskDefinition"]
    with load(balanced) as outcomes:
        balanced.ecs.update_service(cluster="c", service="s", taskDefinition=balanced.define("bad"))
        deployment = balanced.until_deployed("ROLLBACK_SUCCESSFUL")
    assert outcomes[500, "bad"] > 0
    assert set(outcomes) == {(200, "good"), (500, "bad")}
    assert deployment["alarms"] == {
        "status": "TRIGGERED",
        "alarmNames": ["errors"],
        "triggeredAlarmNames": ["errors"],
    }
    assert "errors" in deployment["rollback"]["reason"]
    assert deployment["rollback"]["serviceRevisionArn"] == deployment["sourceServiceRevisions"][0]["arn"]
    assert balanced.weights() == (100, 0)
    assert balanced.kinds() == {"good"}
    assert balanced.service()["taskDefinition"] == before


@pytest.mark.parametrize("image", ["crash", "ill"])
@pytest.mark.parametrize("strategy", ["ROLLING", "CANARY"])
def test_the_circuit_breaker_rolls_back_what_never_becomes_healthy(balanced: Stage, image: str, strategy: str) -> None:
    configuration: dict[str, Any] = {**(CANARY if strategy == "CANARY" else {}), **BREAKER}
    settings = {"deploymentConfiguration": configuration, "healthCheckGracePeriodSeconds": 10}
    balanced.serve(balanced.define("good"), canary=strategy == "CANARY", **settings)
    balanced.until_deployed()
    with load(balanced, pause_s=0.02) as outcomes:
        balanced.ecs.update_service(cluster="c", service="s", taskDefinition=balanced.define(image))
        deployment = balanced.until_deployed("ROLLBACK_SUCCESSFUL")
    assert set(outcomes) == {(200, "good")}
    assert deployment["deploymentCircuitBreaker"]["status"] == "TRIGGERED"
    assert deployment["deploymentCircuitBreaker"]["threshold"] == 3
    assert balanced.kinds() == {"good"}
    assert balanced.service()["runningCount"] == 2


def test_a_killed_task_is_replaced_and_its_requests_are_502_never_silence(balanced: Stage) -> None:
    balanced.serve(balanced.define("good"))
    balanced.until_deployed()
    victim = balanced.ecs.list_tasks(cluster="c", serviceName="s")["taskArns"][0]
    address = balanced.task(victim)["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]
    with load(balanced) as outcomes:
        time.sleep(0.3)
        for process in psutil.process_iter(["cmdline"]):
            if address in (process.info["cmdline"] or []):
                process.kill()
        eventually(lambda: balanced.task(victim)["lastStatus"] == "STOPPED")
        eventually(lambda: balanced.service()["runningCount"] == 2)
    assert {outcome[0] for outcome in outcomes if isinstance(outcome, tuple)} <= {200, 502}
    assert not [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert balanced.task(victim)["containers"][0]["exitCode"] == 137


def test_stop_task_ends_a_task_before_its_target_has_drained(balanced: Stage) -> None:
    balanced.serve(balanced.define("good"))
    balanced.until_deployed()
    elbv2 = balanced.clients("elbv2")
    for group in balanced.groups:
        elbv2.modify_target_group_attributes(
            TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "600"}]
        )
    victim = balanced.ecs.list_tasks(cluster="c", serviceName="s")["taskArns"][0]
    balanced.ecs.stop_task(cluster="c", task=victim, reason="drill")
    stopped = balanced.until(victim, "STOPPED")
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "drill")
    address = stopped["containers"][0]["networkInterfaces"][0]["privateIpv4Address"]

    def draining() -> bool:
        found = elbv2.describe_target_health(TargetGroupArn=balanced.groups[0])["TargetHealthDescriptions"]
        return {one["TargetHealth"]["State"] for one in found if one["Target"]["Id"] == address} == {"draining"}

    eventually(draining)
    eventually(lambda: balanced.service()["runningCount"] == 2)
    for group in balanced.groups:
        elbv2.modify_target_group_attributes(
            TargetGroupArn=group, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "0"}]
        )


def test_a_deployment_can_be_stopped_and_goes_back(balanced: Stage) -> None:
    balanced.serve(balanced.define("good"), canary=True, deploymentConfiguration=CANARY)
    balanced.until_deployed()
    balanced.ecs.update_service(cluster="c", service="s", taskDefinition=balanced.define("better"))
    eventually(lambda: balanced.weights() == (75, 25))
    arn = balanced.deployment()["serviceDeploymentArn"]
    balanced.ecs.stop_service_deployment(serviceDeploymentArn=arn, stopType="ROLLBACK")
    balanced.until_deployed("ROLLBACK_SUCCESSFUL")
    assert balanced.weights() == (100, 0)
    assert balanced.kinds() == {"good"}
    with pytest.raises(ClientError, match="ConflictException"):
        balanced.ecs.stop_service_deployment(serviceDeploymentArn=arn)


def test_a_services_utilization_is_measured(stage: Stage) -> None:
    stage.ecs.create_service(
        cluster="c",
        serviceName="s",
        taskDefinition=stage.define("sleeper"),
        launchType="FARGATE",
        networkConfiguration=stage.network,
    )
    stage.until_deployed()
    dimensions = [{"Name": "ClusterName", "Value": "c"}, {"Name": "ServiceName", "Value": "s"}]

    def measured() -> Any:
        now = time.time()
        return stage.clients("cloudwatch").get_metric_statistics(
            Namespace="AWS/ECS",
            MetricName="MemoryUtilization",
            Dimensions=dimensions,
            StartTime=now - 60,
            EndTime=now + 60,
            Period=60,
            Statistics=["Average"],
        )["Datapoints"]

    assert 0 < eventually(measured)[0]["Average"] < 100
