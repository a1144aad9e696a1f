"""What the drills share: faults that are taken out again, alarm messages, releases and their story."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from readiness import contract, drill
from readiness.contract import Output
from readiness.errors import CloudError
from readiness.ledger import Ledger
from readiness.model import BadRelease, Clone
from tests.unit.samples import T0, FakeClient, FakeClock, client_error

BROKEN = BadRelease(kind="errors", environment={"BROKEN": "yes"})
PRIMARY, ALTERNATE, FAULT = "arn:primary", "arn:alternate", "arn:fault"
CLONE = Clone(
    run_id="20260301-120000-abcd",
    stack_name="s",
    stack_id="s",
    outputs={
        Output.CLUSTER: "cluster",
        Output.SERVICE: "shop",
        Output.PRODUCTION_RULE_ARN: "arn:production",
        Output.FAULT_RULE_ARN: "arn:fault-rule",
        Output.FAULT_TARGET_GROUP_ARN: FAULT,
    },
    expires_at=T0,
)


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


# --- waiting ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(drill, "time", clock)
    return clock


def test_what_is_seen_at_once_is_not_waited_for(clock):
    assert drill.wait_for(lambda: True, timedelta(seconds=60))
    assert clock.now == 0


def test_what_is_seen_later_is_waited_for(clock):
    assert drill.wait_for(lambda: clock.now >= 7, timedelta(seconds=60))
    assert 7 <= clock.now < 8


def test_what_is_never_seen_is_given_up(clock):
    assert not drill.wait_for(lambda: False, timedelta(seconds=60))
    assert 60 <= clock.now < 61


def test_even_without_any_time_it_is_looked_at_once(clock):
    assert drill.wait_for(lambda: True, timedelta(0))
    assert not drill.wait_for(lambda: False, timedelta(0))


# --- the inbox -------------------------------------------------------------------------------------------------------


ARN = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:topic"


def body(alarm="errors", state="ALARM", at="2026-03-01T12:00:05.123+0000", **changes):
    message = {
        "AlarmName": alarm,
        "AlarmArn": ARN + alarm,
        "AWSAccountId": "123456789012",
        "NewStateValue": state,
        "StateChangeTime": at,
    } | changes
    envelope = {
        "Type": "Notification",
        "MessageId": "m-1",
        "TopicArn": TOPIC,
        "Timestamp": "2026-03-01T12:00:05.500Z",
        "Message": json.dumps(message),
    }
    return json.dumps(envelope)


def test_an_alarm_message_says_which_alarm_of_whom_changed_into_what_and_when():
    found = drill.parse_notification(body(), T0)

    assert found == drill.Notification(
        alarm="errors",
        arn=ARN + "errors",
        account="123456789012",
        topic=TOPIC,
        message_id="m-1",
        state="ALARM",
        changed_at=datetime(2026, 3, 1, 12, 0, 5, 123000, tzinfo=UTC),
        published_at=datetime(2026, 3, 1, 12, 0, 5, 500000, tzinfo=UTC),
        received_at=T0,
        body=json.loads(body())["Message"],
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"Message": "hello"}',
        '{"Message": null}',
        '{"Message": "[]"}',
        '{"Message": "\\"text\\""}',
        json.dumps({"Message": json.dumps({"AlarmName": "errors"})}),
        json.dumps({**json.loads(body()), "Timestamp": "noon"}),
        json.dumps({key: value for key, value in json.loads(body()).items() if key != "TopicArn"}),
        body(at="yesterday"),
        body(at=None),
    ],
)
def test_what_is_no_alarm_message_is_left_out_never_guessed_at(text):
    assert drill.parse_notification(text, T0) is None


def test_the_inbox_keeps_the_alarm_messages_and_deletes_all():
    messages = [{"Body": body(), "ReceiptHandle": "1"}, {"Body": "hello", "ReceiptHandle": "2"}]
    sqs = FakeClient(receive_message={"Messages": messages}, delete_message={})
    inbox = drill.Inbox(sqs=sqs, url="https://inbox")

    inbox.poll()

    assert [each.alarm for each in inbox.received] == ["errors"]
    assert [each["ReceiptHandle"] for each in sqs.called("delete_message")] == ["1", "2"]


def test_an_empty_inbox_is_no_error():
    inbox = drill.Inbox(sqs=FakeClient(receive_message={}), url="https://inbox")

    inbox.poll()

    assert inbox.received == []


def test_an_inbox_that_cannot_be_read_is_an_error_never_empty():
    inbox = drill.Inbox(sqs=FakeClient(receive_message=client_error("AccessDenied")), url="https://inbox")

    with pytest.raises(CloudError, match="Reading the alarm inbox failed"):
        inbox.poll()


def test_a_message_from_before_the_fault_or_of_another_clone_does_not_count():
    def message(second, alarm="errors", state="ALARM", arn=ARN):
        at = T0 + timedelta(seconds=second)
        text = body(alarm, state, at.strftime("%Y-%m-%dT%H:%M:%S.%f%z"), AlarmArn=arn + alarm)
        return drill.parse_notification(text, at)

    elsewhere = message(1, arn="arn:aws:cloudwatch:eu-west-1:999999999999:alarm:")
    early = [message(-1), message(1, "latency"), message(2, state="OK"), elsewhere]
    inbox = drill.Inbox(sqs=None, url="", received=early)
    assert inbox.first(ARN + "errors", "ALARM", T0) is None

    inbox.received += [message(3), message(4)]
    assert inbox.first(ARN + "errors", "ALARM", T0) == message(3)
    assert inbox.first(ARN + "errors", "ALARM", T0 + timedelta(seconds=3)) == message(3)


# --- alarms ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["MetricAlarms", "CompositeAlarms"])
def test_the_state_of_an_alarm_is_what_cloudwatch_says(key):
    assert drill.alarm_state(FakeClient(describe_alarms={key: [{"StateValue": "OK"}]}), "errors") == "OK"


def test_an_alarm_that_is_not_there_is_an_error():
    with pytest.raises(CloudError, match="There is no alarm errors"):
        drill.alarm_state(FakeClient(describe_alarms={"MetricAlarms": []}), "errors")


def test_the_history_of_an_alarm_is_told_oldest_first_and_since_an_instant_only():
    def item(second, state):
        return {
            "Timestamp": T0 + timedelta(seconds=second),
            "HistoryData": json.dumps({"newState": {"stateValue": state}}),
        }

    cloudwatch = FakeClient(
        describe_alarm_history={"AlarmHistoryItems": [item(9, "OK"), item(5, "ALARM"), item(-1, "OK")]}
    )

    changes = drill.state_changes(cloudwatch, "errors", T0)

    assert changes == [(T0 + timedelta(seconds=5), "ALARM"), (T0 + timedelta(seconds=9), "OK")]


# --- the fault target ------------------------------------------------------------------------------------------------


def balancer(**changes):
    groups = [{"TargetGroupArn": PRIMARY, "Weight": 0}, {"TargetGroupArn": ALTERNATE, "Weight": 100}]
    rules = {"Rules": [{"Actions": [{"ForwardConfig": {"TargetGroups": groups}}]}]}
    return FakeClient(**{"describe_rules": rules, "modify_rule": {}} | changes)


def weights(elbv2):
    return [
        {group["TargetGroupArn"]: group["Weight"] for group in call["Actions"][0]["ForwardConfig"]["TargetGroups"]}
        for call in elbv2.called("modify_rule")
    ]


def test_the_live_target_group_is_the_one_with_most_of_the_weight():
    assert drill.live_target_group(balancer(), CLONE) == ALTERNATE


def test_a_group_without_a_weight_is_not_live():
    groups = [{"TargetGroupArn": PRIMARY}, {"TargetGroupArn": ALTERNATE, "Weight": 1}]
    rules = {"Rules": [{"Actions": [{"ForwardConfig": {"TargetGroups": groups}}]}]}

    assert drill.live_target_group(balancer(describe_rules=rules), CLONE) == ALTERNATE


def test_the_fault_takes_its_share_beside_the_live_group_and_is_taken_out_again(ledger):
    elbv2 = balancer()

    with drill.fault_target(elbv2, CLONE, 30, ledger):
        assert weights(elbv2) == [{ALTERNATE: 70, FAULT: 30}]

    assert weights(elbv2)[1:] == [{ALTERNATE: 100, FAULT: 0}]
    assert {call["RuleArn"] for call in elbv2.called("modify_rule")} == {"arn:fault-rule"}


def test_the_fault_is_announced_before_it_is_injected(ledger):
    def modify_rule(**parameters):
        assert [entry.event for entry in ledger.entries()] == ["about-to-inject"]
        return {}

    with drill.fault_target(balancer(modify_rule=modify_rule), CLONE, 100, ledger):
        pass


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_the_fault_is_taken_out_whatever_happens(ledger, error):
    elbv2 = balancer()

    with pytest.raises(error), drill.fault_target(elbv2, CLONE, 100, ledger):
        raise error

    assert weights(elbv2)[-1][FAULT] == 0


def test_the_fault_is_taken_out_even_when_injecting_it_seemed_to_fail(ledger):
    answers = [client_error("Timeout"), {}]
    elbv2 = balancer(modify_rule=lambda **parameters: answers.pop(0))

    with pytest.raises(CloudError, match="Setting the weights"), drill.fault_target(elbv2, CLONE, 100, ledger):
        pytest.fail("it was not injected")

    assert [each[FAULT] for each in weights(elbv2)] == [100, 0]


# --- releases --------------------------------------------------------------------------------------------------------


def cluster_of(*tasks, **changes):
    by_arn = {f"task-{index}": task | {"taskArn": f"task-{index}"} for index, task in enumerate(tasks)}
    return FakeClient(
        **{
            "describe_services": {"services": [{"taskDefinition": "arn:good", "desiredCount": 2}]},
            "list_tasks": [{"taskArns": list(by_arn)}],
            "describe_tasks": lambda cluster, tasks: {"tasks": [by_arn[arn] for arn in tasks]},
        }
        | changes
    )


def a_task(status="RUNNING", digest="sha256:1"):
    containers = [{"imageDigest": digest}] if digest else [{}]
    return {"lastStatus": status, "taskDefinitionArn": "arn:good", "containers": containers}


def test_a_service_is_what_its_running_tasks_are():
    state = drill.service_state(cluster_of(a_task(), a_task("PENDING", "sha256:2"), a_task(digest=None)), CLONE)

    assert state == drill.ServiceState(
        task_definition="arn:good",
        desired=2,
        tasks={"task-0": "arn:good", "task-2": "arn:good"},
        digests=("sha256:1",),
    )


def test_a_service_without_tasks_runs_nothing():
    state = drill.service_state(cluster_of(), CLONE)

    assert (state.tasks, state.digests) == ({}, ())


def test_more_than_a_hundred_tasks_are_described_in_parts():
    ecs = cluster_of(*[a_task()] * 230)

    assert len(drill.service_state(ecs, CLONE).tasks) == 230
    assert [len(call["tasks"]) for call in ecs.called("describe_tasks")] == [100, 100, 30]


def test_a_service_that_is_not_there_is_an_error():
    with pytest.raises(CloudError, match="There is no service shop in cluster cluster"):
        drill.service_state(cluster_of(describe_services={"services": []}), CLONE)


GOOD = {
    "taskDefinitionArn": "arn:good:1",
    "family": "shop",
    "revision": 1,
    "status": "ACTIVE",
    "requiresAttributes": [],
    "compatibilities": ["FARGATE"],
    "registeredAt": T0,
    "registeredBy": "me",
    "cpu": "512",
    "containerDefinitions": [
        {
            "name": contract.SERVICE_CONTAINER,
            "image": "shop:1",
            "environment": [{"name": "KEEP", "value": "1"}, {"name": "BROKEN", "value": "no"}],
        },
        {"name": "sidecar", "image": "sidecar:1"},
    ],
}


def registry(definition=None):
    return FakeClient(
        describe_task_definition={"taskDefinition": definition or json.loads(json.dumps(GOOD, default=str))},
        register_task_definition={"taskDefinition": {"taskDefinitionArn": "arn:bad:1"}},
        deregister_task_definition={},
    )


def test_a_bad_release_is_the_good_one_spoilt_in_the_plans_way_alone(ledger):
    ecs = registry()

    arn = drill.register_bad_release(ecs, "arn:good:1", BROKEN, ledger, CLONE.run_id)

    (asked,) = ecs.called("register_task_definition")
    assert arn == "arn:bad:1"
    assert asked["family"] == "shop-bad-release"
    assert asked["containerDefinitions"] == [
        {
            "name": "service",
            "image": "shop:1",
            "environment": [{"name": "KEEP", "value": "1"}, {"name": "BROKEN", "value": "yes"}],
        },
        {"name": "sidecar", "image": "sidecar:1"},
    ]
    assert asked["tags"] == [{"key": contract.TAG_RUN_ID, "value": CLONE.run_id}]
    assert set(asked) == {"family", "cpu", "containerDefinitions", "tags"}


def test_a_bad_release_may_be_another_image(ledger):
    ecs = registry()

    drill.register_bad_release(
        ecs, "arn:good:1", BadRelease(kind="unpullable", image="shop:broken"), ledger, CLONE.run_id
    )

    images = [each["image"] for each in ecs.called("register_task_definition")[0]["containerDefinitions"]]
    assert images == ["shop:broken", "sidecar:1"]


def test_a_bad_release_is_announced_before_it_is_registered(ledger):
    ecs = registry()
    ecs.answers["register_task_definition"] = client_error("ThrottlingException")

    with pytest.raises(CloudError):
        drill.register_bad_release(ecs, "arn:good:1", BROKEN, ledger, CLONE.run_id)

    assert [(entry.kind, entry.name) for entry in ledger.created()] == [("task-definition", "shop-bad-release")]


def test_a_task_definition_without_our_container_cannot_be_spoilt(ledger):
    """A release that is as good as the last would be accepted, and the drill would blame the rollback."""
    definition = {"family": "shop", "containerDefinitions": [{"name": "web", "image": "shop:1"}]}
    ecs = registry(definition)

    with pytest.raises(CloudError, match="has no container 'service'"):
        drill.register_bad_release(ecs, "arn:good:1", BROKEN, ledger, CLONE.run_id)
    assert not ecs.called("register_task_definition")


def test_a_bad_release_is_taken_out_of_use():
    ecs = registry()

    drill.deregister(ecs, "arn:bad:1")

    assert ecs.called("deregister_task_definition") == [{"taskDefinition": "arn:bad:1"}]


def at(second):
    return T0 + timedelta(seconds=second)


def deployments(listed, told=None):
    return FakeClient(
        list_service_deployments={"serviceDeployments": listed},
        describe_service_deployments={"serviceDeployments": [told]},
    )


def test_as_long_as_there_is_no_newer_deployment_there_is_no_release():
    ecs = deployments([{"serviceDeploymentArn": "old", "createdAt": at(-1)}])

    assert drill.latest_release(ecs, CLONE, T0) is None


def test_the_newest_deployment_since_an_instant_is_the_release():
    listed = [
        {"serviceDeploymentArn": name, "createdAt": at(second)} for name, second in (("b", 2), ("c", 3), ("a", 1))
    ]
    ecs = deployments(listed, {"status": "IN_PROGRESS", "createdAt": at(3)})

    release = drill.latest_release(ecs, CLONE, T0)

    assert ecs.called("describe_service_deployments") == [{"serviceDeploymentArns": ["c"]}]
    assert release == drill.Release(
        status="IN_PROGRESS",
        reason="",
        started_at=at(3),
        rollback_reason="",
        rollback_started_at=None,
        finished_at=None,
        alarms=(),
        failed_tasks=0,
    )


def test_a_rollback_is_told_with_its_reason_and_the_alarms_that_asked_for_it():
    told = {
        "status": "ROLLBACK_SUCCESSFUL",
        "statusReason": "alarm",
        "createdAt": at(1),
        "startedAt": at(2),
        "finishedAt": at(9),
        "rollback": {"reason": "Service deployment rolled back.", "startedAt": at(5)},
        "alarms": {"triggeredAlarmNames": ["errors"]},
        "deploymentCircuitBreaker": {"failureCount": 3},
    }

    release = drill.latest_release(deployments([{"serviceDeploymentArn": "a", "createdAt": at(1)}], told), CLONE, T0)

    assert release.status in drill.ENDED
    assert (release.started_at, release.rollback_started_at, release.finished_at) == (at(2), at(5), at(9))
    assert (release.rollback_reason, release.alarms, release.failed_tasks) == (
        "Service deployment rolled back.",
        ("errors",),
        3,
    )


@pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED"])
def test_a_deployment_under_way_has_not_ended(status):
    assert status not in drill.ENDED
