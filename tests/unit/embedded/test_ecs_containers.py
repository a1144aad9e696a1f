"""What is decided about a container before it starts, and how its output is cut into batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from readiness.embedded.container import StartError, check_definition, check_overrides, image_digest, plan_container
from readiness.embedded.ecs_metrics import cpu_units, memory_mib
from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.service_settings import check_service
from readiness.embedded.settings import EmbeddedSettings
from readiness.embedded.task_logs import MAXIMUM_EVENT_BYTES, Batches, pieces
from readiness.embedded.traffic_shift import shifted, weights

SETTINGS = EmbeddedSettings(state_dir=Path("/nowhere"), images={"img:1": ("run", "{port}")})
SECRET = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:db-AbCdEf"


class FakeSecrets:
    def __init__(self) -> None:
        self.asked: list[dict[str, str]] = []

    def get_secret_value(self, **asked: str) -> dict[str, str]:
        self.asked.append(asked)
        return {"SecretString": '{"password": "hush"}'}


def plan(container: dict[str, Any], overrides: dict[str, Any] | None = None, secrets: Any = None) -> Any:
    full = {"name": "web", "image": "img:1", **container}
    return plan_container(full, overrides or {}, SETTINGS, lambda service: secrets, "task1")


def test_a_digest_is_stable_and_tells_commands_apart() -> None:
    assert image_digest("a", ["x"]) == image_digest("a", ["x"])
    assert len({image_digest("a", ["x"]), image_digest("a", ["y"]), image_digest("b", ["x"])}) == 3


def test_overrides_win_over_the_definition() -> None:
    container = {"environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "1"}], "command": ["one"]}
    override = {"name": "web", "environment": [{"name": "A", "value": "2"}], "command": ["two"], "cpu": 64}
    planned = plan(container, {"containerOverrides": [override]})
    assert (planned.environment["A"], planned.environment["B"]) == ("2", "1")
    assert (planned.command, planned.cpu) == (("two",), "64")


def test_this_process_environment_is_not_the_containers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    environment = plan({}).environment
    assert "AWS_ACCESS_KEY_ID" not in environment
    assert not [name for name in environment if name.startswith("ECS_")]


def test_a_secret_may_name_key_stage_and_version() -> None:
    secrets = FakeSecrets()
    container = {
        "secrets": [
            {"name": "KEY", "valueFrom": f"{SECRET}:password::"},
            {"name": "ALL", "valueFrom": SECRET},
            {"name": "OLD", "valueFrom": f"{SECRET}:password:AWSPREVIOUS:v1"},
        ]
    }
    environment = plan(container, secrets=secrets).environment
    assert (environment["KEY"], environment["ALL"]) == ("hush", '{"password": "hush"}')
    assert secrets.asked[2] == {"SecretId": SECRET, "VersionStage": "AWSPREVIOUS", "VersionId": "v1"}
    with pytest.raises(StartError, match="did not contain json key nope"):
        plan({"secrets": [{"name": "X", "valueFrom": f"{SECRET}:nope::"}]}, secrets=secrets)


def test_an_unknown_image_can_not_be_pulled() -> None:
    with pytest.raises(StartError, match=r"^CannotPullContainerError: .*other:2"):
        plan({"image": "other:2"})


def test_what_is_not_done_is_refused_by_name() -> None:
    with pytest.raises(AwsError, match="dependsOn of container a"):
        check_definition({"containerDefinitions": [{"name": "a", "dependsOn": [{"containerName": "b"}]}]})
    with pytest.raises(AwsError, match="log driver splunk"):
        check_definition({"containerDefinitions": [{"name": "a", "logConfiguration": {"logDriver": "splunk"}}]})
    with pytest.raises(AwsError, match="named b is not a container"):
        check_overrides({"containerOverrides": [{"name": "b"}]}, {"containerDefinitions": [{"name": "a"}]})


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"schedulingStrategy": "DAEMON"}, "DAEMON"),
        ({"deploymentController": {"type": "CODE_DEPLOY"}}, "CODE_DEPLOY"),
        ({"launchType": "EC2"}, "EC2"),
        ({"deploymentConfiguration": {"strategy": "LINEAR"}}, "LINEAR"),
        ({"deploymentConfiguration": {"lifecycleHooks": [{"hookTargetArn": "x"}]}}, "lifecycleHooks"),
        ({"serviceRegistries": [{"registryArn": "x"}]}, "serviceRegistries"),
        ({"serviceConnectConfiguration": {"enabled": True}}, "serviceConnectConfiguration"),
        ({"loadBalancers": [{"loadBalancerName": "classic"}]}, "loadBalancerName"),
        ({"deploymentConfiguration": {"strategy": "CANARY"}, "loadBalancers": []}, "Application Load Balancer"),
        (
            {"deploymentConfiguration": {"strategy": "CANARY"}, "loadBalancers": [{"targetGroupArn": "t"}]},
            "alternateTargetGroupArn",
        ),
        (
            {
                "deploymentConfiguration": {"strategy": "CANARY"},
                "loadBalancers": [
                    {
                        "targetGroupArn": "t",
                        "advancedConfiguration": {
                            "alternateTargetGroupArn": "u",
                            "productionListenerRule": "r",
                            "roleArn": "role",
                        },
                    }
                ],
            },
            "bakeTimeInMinutes, for which AWS documents 36 hours",
        ),
        ({"deploymentConfiguration": {"canaryConfiguration": {"canaryPercent": 0.0}}}, "canaryPercent"),
        ({"deploymentConfiguration": {"canaryConfiguration": {"canaryPercent": 5.05}}}, "multiple of 0.1"),
        ({"deploymentConfiguration": {"bakeTimeInMinutes": 2000}}, "bakeTimeInMinutes"),
        ({"deploymentConfiguration": {"alarms": {"enable": True, "alarmNames": []}}}, "alarmNames"),
    ],
)
def test_service_settings_that_are_not_done_or_make_no_sense_are_refused(params: dict[str, Any], named: str) -> None:
    with pytest.raises(AwsError, match=named):
        check_service(params)


def test_a_long_line_is_split_within_the_limit_and_never_within_a_character() -> None:
    line = ("é" * MAXIMUM_EVENT_BYTES).encode()
    parts = list(pieces(line))
    assert "".join(parts).encode() == line
    assert max(len(part.encode()) for part in parts) <= MAXIMUM_EVENT_BYTES
    assert list(pieces(b"")) == []


def test_batches_keep_to_the_limits_of_put_log_events() -> None:
    batches = Batches()
    for number in range(25_000):
        batches.add(b"%d" % number, 1.0)
    for _ in range(9):
        batches.add(b"x" * 250_000, 1.0)
    sent = batches.due(1.0, everything=True)
    assert max(len(batch) for batch in sent) <= 10_000
    assert max(sum(len(event["message"]) + 26 for event in batch) for batch in sent) <= 1_048_576
    assert [event["message"] for batch in sent for event in batch][:25_000] == [str(n) for n in range(25_000)]


def test_a_batch_waits_a_fifth_of_a_second_for_company() -> None:
    batches = Batches()
    batches.add(b"a", 10.0)
    assert batches.due(10.1) == []
    assert [event["message"] for event in batches.due(10.25)[0]] == ["a"]
    assert batches.due(99.0) == []


def test_sizes_are_read_as_aws_writes_them() -> None:
    assert [cpu_units(text) for text in ("256", ".5 vCPU", "1 vcpu", "", None)] == [256, 512, 1024, 0, 0]
    assert [memory_mib(text) for text in ("512", "1 GB", "0.5GB", "")] == [512, 1024, 512, 0]


@pytest.mark.parametrize(("percent", "expected"), [(0, (100, 0)), (10.0, (90, 10)), (100, (0, 100)), (0.1, (998, 1))])
def test_a_percentage_becomes_weights(percent: float, expected: tuple[int, int]) -> None:
    assert weights(percent) == expected


def test_a_shift_leaves_other_groups_of_the_rule_alone() -> None:
    groups = [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in (("blue", 1), ("fault", 0), ("green", 0))]
    (action,) = shifted([{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}], "blue", "green", 10)
    assert action["ForwardConfig"]["TargetGroups"] == [
        {"TargetGroupArn": "blue", "Weight": 90},
        {"TargetGroupArn": "green", "Weight": 10},
        {"TargetGroupArn": "fault", "Weight": 0},
    ]
    with pytest.raises(AwsError, match="forward"):
        shifted([{"Type": "fixed-response"}], "blue", "green", 10)
