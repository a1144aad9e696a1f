"""Which stack, and which service in it, is meant by ``readiness go-live``."""

from __future__ import annotations

import json

import pytest

from readiness.cutover import find
from readiness.errors import CloudError, UsageError
from tests.unit.samples import FakeClient, client_error

ONE, TWO = "arn:aws:ecs:eu-west-1:1:service/c/one", "arn:aws:ecs:eu-west-1:1:service/c/two"


def found(*resources: tuple[str, str], outputs: dict[str, str] | None = None, service: str | None = None):
    cloudformation = FakeClient(
        describe_stacks={
            "Stacks": [
                {
                    "StackName": "shop",
                    "StackStatus": "CREATE_COMPLETE",
                    "Outputs": [{"OutputKey": key, "OutputValue": value} for key, value in (outputs or {}).items()],
                }
            ]
        },
        list_stack_resources=[
            {"StackResourceSummaries": [{"ResourceType": kind, "PhysicalResourceId": name}]} for kind, name in resources
        ],
    )
    return find(
        {"cloudformation": cloudformation}.__getitem__, "shop", service=service, account="1", region="eu-west-1"
    )


def test_the_outputs_of_a_stack_like_ours_name_the_service_and_the_alarms():
    outputs = {"Cluster": "c", "Service": "one", "Alarms": json.dumps({"errors": "shop-errors"})}

    stack, cluster, service = found(("AWS::CloudWatch::Alarm", "more"), ("AWS::ECS::Service", TWO), outputs=outputs)

    assert (cluster, service) == ("c", "one")
    assert stack.alarms == ("more", "shop-errors")


def test_any_stack_with_one_service_will_do():
    stack, cluster, service = found(
        ("AWS::ECS::Service", ONE), ("AWS::CloudWatch::CompositeAlarm", "all"), ("AWS::Synthetics::Canary", "probe")
    )

    assert (cluster, service) == ("c", "one")
    assert (stack.alarms, stack.canaries) == (("all",), ("probe",))


def test_of_several_services_one_has_to_be_named():
    with pytest.raises(UsageError, match="several services: c/one, c/two"):
        found(("AWS::ECS::Service", ONE), ("AWS::ECS::Service", TWO))

    assert found(("AWS::ECS::Service", ONE), ("AWS::ECS::Service", TWO), service="c/two")[1:] == ("c", "two")


@pytest.mark.parametrize("service", ["one", "/", "c/", "c/one/two", ""])
def test_what_is_no_name_of_a_service_is_refused(service):
    with pytest.raises(UsageError, match="is no CLUSTER/SERVICE"):
        found(("AWS::ECS::Service", ONE), service=service)


def test_a_service_of_another_stack_is_refused():
    with pytest.raises(UsageError, match="has no service c/two"):
        found(("AWS::ECS::Service", ONE), service="c/two")


def test_a_stack_without_a_service_is_refused():
    with pytest.raises(UsageError, match="has no ECS service"):
        found(("AWS::SQS::Queue", "queue"))


def test_alarms_that_an_output_does_not_tell_readably_are_none():
    assert found(("AWS::ECS::Service", ONE), outputs={"Alarms": "{"})[0].alarms == ()
    assert found(("AWS::ECS::Service", ONE), outputs={"Alarms": "[1]"})[0].alarms == ()


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (client_error("ValidationError", "Stack with id shop does not exist"), UsageError),
        (client_error("AccessDenied"), CloudError),
    ],
)
def test_a_stack_that_is_not_there_is_a_wrong_command_line_and_one_that_may_not_be_seen_is_not(error, kind):
    cloudformation = FakeClient(describe_stacks=error)

    with pytest.raises(kind, match="shop"):
        find({"cloudformation": cloudformation}.__getitem__, "shop", service=None, account="1", region="eu-west-1")
