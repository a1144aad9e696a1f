"""The clone: what failed first is named, and it is gone when it is said to be."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from botocore.exceptions import EndpointConnectionError

from readiness import contract, staging, toolchain
from readiness.cloud import Connection
from readiness.contract import Output
from readiness.errors import CloudError, DeployError, ReadinessError, ToolError
from readiness.ledger import Ledger
from readiness.model import Clone, Environment
from tests.unit.samples import T0, FakeClient, client_error

RUN = "20260301-120000-abcd"
STACK = f"readiness-{RUN}"
STACK_ID = f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{STACK}/1"
ABSENT = client_error("ValidationError", f"Stack with id {STACK} does not exist")
OUTPUTS = [
    {"OutputKey": Output.SERVICE_URL, "OutputValue": "http://shop"},
    {"OutputKey": Output.CLUSTER, "OutputValue": "cluster"},
    {"OutputKey": Output.ALARMS, "OutputValue": '{"errors": "shop-errors"}'},
]


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture
def ran(monkeypatch):
    """The CDK commands that were run; a test may let one fail by setting ``ran.error``."""

    class Ran(list):
        error = None

        def __call__(self, argv, **how):
            self.append((argv, how))
            if self.error:
                raise self.error

    ran = Ran()
    monkeypatch.setattr(staging, "run_program", ran)
    monkeypatch.setattr(toolchain, "cdk_program", lambda repository: Path("cdk"))
    monkeypatch.setattr(toolchain, "cdk_environment", lambda repository, variables: dict(variables))
    return ran


def connection_to(*, ours=True, **services):
    return Connection(
        target="embedded",
        environment=Environment.EMULATED,
        region="eu-west-1",
        account="123456789012",
        time_scale=1.0,
        variables={"AWS_ENDPOINT_URL": "http://localhost:1"},
        bootstraps_itself=ours,
        make_client=services.__getitem__,
    )


# --- synthesize ------------------------------------------------------------------------------------------------------


def test_the_templates_of_the_assembly_are_found(ran, tmp_path):
    (tmp_path / "cdk.out").mkdir()
    for name in ("b.template.json", "a.template.json", "manifest.json"):
        (tmp_path / "cdk.out" / name).write_text("{}")

    assembly = staging.synthesize(
        tmp_path,
        tmp_path / "cdk.out",
        plan_file=tmp_path / "readiness.toml",
        variables={"A": "1"},
        run_id=RUN,
        expires_at=T0,
    )

    assert [file.name for file in assembly.templates] == ["a.template.json", "b.template.json"]
    ((argv, how),) = ran
    assert argv[:2] == ["cdk", "synth"]
    assert [argv[index + 1] for index, word in enumerate(argv) if word == "--context"] == [
        f"plan={tmp_path / 'readiness.toml'}",
        f"run_id={RUN}",
        "expires_at=2026-03-01T12:00:00+00:00",
    ]
    assert how["env"] == {"A": "1", "READINESS_RUN_ID": RUN}
    assert how["deadline_s"] > 0


def test_an_app_that_makes_no_template_is_an_error(ran, tmp_path):
    with pytest.raises(ReadinessError, match="made no template"):
        staging.synthesize(tmp_path, tmp_path / "cdk.out", plan_file=tmp_path / "readiness.toml", variables={})


# --- bootstrap -------------------------------------------------------------------------------------------------------


def test_an_account_that_is_bootstrapped_is_left_alone(ran, tmp_path):
    staging.ensure_bootstrapped(connection_to(ssm=FakeClient(get_parameter={})), tmp_path)

    assert ran == []


def test_our_own_account_is_bootstrapped(ran, tmp_path):
    staging.ensure_bootstrapped(
        connection_to(ssm=FakeClient(get_parameter=client_error("ParameterNotFound"))), tmp_path
    )

    ((argv, _),) = ran
    assert argv[:3] == ["cdk", "bootstrap", "aws://123456789012/eu-west-1"]


def test_nobody_elses_account_is_bootstrapped(ran, tmp_path):
    connection = connection_to(ours=False, ssm=FakeClient(get_parameter=client_error("ParameterNotFound")))

    with pytest.raises(ReadinessError, match="is not bootstrapped in aws://123456789012/eu-west-1") as caught:
        staging.ensure_bootstrapped(connection, tmp_path)
    assert "cdk bootstrap" in caught.value.hint
    assert ran == []


def test_an_account_that_does_not_say_whether_it_is_bootstrapped_is_an_error(ran, tmp_path):
    connection = connection_to(ssm=FakeClient(get_parameter=client_error("AccessDenied")))

    with pytest.raises(CloudError, match="bootstrap version"):
        staging.ensure_bootstrapped(connection, tmp_path)
    assert ran == []


# --- deploy ----------------------------------------------------------------------------------------------------------


def formation(status="CREATE_COMPLETE", **changes):
    stack = {"StackName": STACK, "StackId": STACK_ID, "StackStatus": status, "Outputs": OUTPUTS}
    resources = [
        {"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": "https://inbox", "LogicalResourceId": "Inbox"},
        {"ResourceType": "AWS::SNS::Topic", "LogicalResourceId": "Topic"},
    ]
    return FakeClient(
        **{
            "describe_stacks": {"Stacks": [stack]},
            "list_stack_resources": [{"StackResourceSummaries": resources}],
            "delete_stack": {},
        }
        | changes
    )


def deploy(cloudformation, ledger, tmp_path):
    connection = connection_to(cloudformation=cloudformation, ssm=FakeClient(get_parameter={}))
    assembly = staging.Assembly(folder=tmp_path / "cdk.out", templates=())
    return staging.deploy(connection, assembly, repository=tmp_path, run_id=RUN, expires_at=T0, ledger=ledger)


def test_a_deployed_clone_is_known_by_its_outputs(ran, ledger, tmp_path):
    clone = deploy(formation(), ledger, tmp_path)

    assert clone == Clone(
        run_id=RUN,
        stack_name=STACK,
        stack_id=STACK_ID,
        outputs={each["OutputKey"]: each["OutputValue"] for each in OUTPUTS},
        expires_at=T0,
    )
    assert staging.alarms(clone) == {"errors": "shop-errors"}


def test_the_stack_is_announced_before_it_is_deployed_and_its_resources_are_listed_after(ran, ledger, tmp_path):
    deploy(formation(), ledger, tmp_path)

    assert [(entry.event, entry.kind, entry.name) for entry in ledger.entries()] == [
        ("about-to-create", "stack", STACK),
        ("stack-deployed", "stack", STACK_ID),
        ("resource", "AWS::SQS::Queue", "https://inbox"),
        ("resource", "AWS::SNS::Topic", ""),
    ]
    assert ledger.entries()[0].details == {"region": "eu-west-1", "account": "123456789012"}


def test_a_failed_deployment_was_announced(ran, ledger, tmp_path):
    ran.error = ToolError(["cdk"], 1, "boom")

    with pytest.raises(ToolError):
        deploy(formation(describe_stack_events=ABSENT), ledger, tmp_path)

    assert [entry.name for entry in ledger.created()] == [STACK]


def event(second, status, logical="Inbox", reason="no"):
    return {
        "Timestamp": T0 + timedelta(seconds=second),
        "ResourceStatus": status,
        "LogicalResourceId": logical,
        "ResourceType": "AWS::SQS::Queue",
        "ResourceStatusReason": reason,
    }


def test_the_first_resource_that_failed_is_named_not_the_last(ran, ledger, tmp_path):
    events = [
        event(9, "ROLLBACK_COMPLETE"),
        event(5, "CREATE_FAILED", "Third", "Resource creation cancelled"),
        event(4, "CREATE_FAILED", "Second", "also no"),
        event(3, "CREATE_FAILED", "First", "the name is taken"),
        event(2, "CREATE_FAILED", "Zeroth", "Resource creation cancelled"),
        event(1, "CREATE_IN_PROGRESS"),
    ]
    ran.error = ToolError(["cdk"], 1, "boom")

    with pytest.raises(DeployError, match=r"First \(AWS::SQS::Queue\): the name is taken"):
        deploy(formation(describe_stack_events=[{"StackEvents": events}]), ledger, tmp_path)


@pytest.mark.parametrize(
    "answer", [[{"StackEvents": []}], ABSENT, EndpointConnectionError(endpoint_url="http://localhost:1")]
)
def test_without_a_failed_resource_the_command_says_what_happened(ran, ledger, tmp_path, answer):
    ran.error = ToolError(["cdk"], 1, "boom")

    with pytest.raises(ToolError, match="boom"):
        deploy(formation(describe_stack_events=answer), ledger, tmp_path)


def test_a_stack_without_our_outputs_is_not_ours(ran, ledger, tmp_path):
    stack = {"StackName": STACK, "StackId": STACK_ID, "StackStatus": "CREATE_COMPLETE"}

    with pytest.raises(CloudError, match="has no output ServiceUrl"):
        deploy(formation(describe_stacks={"Stacks": [stack]}), ledger, tmp_path)


def test_the_name_of_the_stack_carries_the_run():
    assert staging.stack_name(RUN) == contract.STACK_NAME_PREFIX + RUN == STACK
