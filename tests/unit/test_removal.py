"""A stack is gone when it is said to be, and what keeps it is named."""

from __future__ import annotations

import pytest
from botocore.exceptions import EndpointConnectionError

from readiness import removal
from readiness.errors import CloudError, EvidenceError, TeardownError
from readiness.ledger import Ledger
from readiness.staging import stack_name
from tests.unit.samples import FakeClient, FakeClock, client_error

STACK = "readiness-20260301-120000-abcd"
STACK_ID = f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{STACK}/1"
ABSENT = client_error("ValidationError", f"Stack with id {STACK} does not exist")
QUEUE = {"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": "https://inbox", "LogicalResourceId": "Inbox"}
BUCKET = {
    "ResourceType": "AWS::S3::Bucket",
    "PhysicalResourceId": "artifacts",
    "LogicalResourceId": "Artifacts",
    "ResourceStatusReason": "the bucket is not empty",
}


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    clock = FakeClock()
    monkeypatch.setattr(removal, "time", clock)
    return clock


def going(*statuses, kept=(QUEUE,), **changes):
    """Return a CloudFormation whose stack has these statuses, one after the other; None = it is not there."""
    left = list(statuses)

    def describe_stacks(StackName):
        status = left.pop(0) if len(left) > 1 else left[0]
        if status is None:
            return ABSENT
        if isinstance(status, Exception):
            return status
        return {"Stacks": [{"StackId": STACK_ID, "StackStatus": status, "StackStatusReason": "it is in use"}]}

    resources = [{"ResourceStatus": "DELETE_FAILED", **each} for each in kept]
    return FakeClient(
        **{
            "describe_stacks": describe_stacks,
            "list_stack_resources": [{"StackResourceSummaries": resources}],
            "delete_stack": {},
        }
        | changes
    )


def remove(cloudformation, ledger, **clients):
    removal.remove_stack({"cloudformation": cloudformation, **clients}.__getitem__, STACK, ledger)


def list_queue(ledger):
    ledger.note("resource", kind="AWS::SQS::Queue", name="https://inbox", logical_id="Inbox")


def events(ledger):
    return [entry.event for entry in ledger.entries()] if ledger.path.exists() else []


@pytest.mark.parametrize("last", ["DELETE_COMPLETE", None])
def test_a_stack_is_deleted_and_waited_for(clock, ledger, last):
    cloudformation = going("CREATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_IN_PROGRESS", last)
    list_queue(ledger)

    remove(cloudformation, ledger)

    assert cloudformation.called("delete_stack") == [{"StackName": STACK_ID}]
    assert events(ledger) == ["resource", "stack-deleted"]
    assert clock.now == 3


def test_a_stack_that_is_not_there_needs_no_deletion(ledger):
    ledger.note("run-started")
    cloudformation = going(None)

    remove(cloudformation, ledger)

    assert not cloudformation.called("delete_stack")


def test_the_resources_of_a_stack_that_failed_half_way_are_listed_before_they_go(ledger):
    ledger.about_to_create("stack", STACK)

    remove(going("ROLLBACK_COMPLETE", "DELETE_COMPLETE"), ledger)

    assert events(ledger) == ["about-to-create", "resource", "stack-deleted"]


def test_resources_that_a_killed_runner_did_not_come_to_are_added(ledger):
    list_queue(ledger)

    remove(going("CREATE_COMPLETE", "DELETE_COMPLETE", kept=(QUEUE, BUCKET)), ledger)

    listed = [entry.name for entry in ledger.entries() if entry.event == "resource"]
    assert listed == ["https://inbox", "artifacts"]


def test_resources_that_cannot_be_listed_do_not_keep_the_stack_standing(ledger):
    ledger.about_to_create("stack", STACK)
    cloudformation = going("CREATE_COMPLETE", "DELETE_COMPLETE", list_stack_resources=client_error("AccessDenied"))

    remove(cloudformation, ledger)

    assert events(ledger) == ["about-to-create", "resources-not-listed", "stack-deleted"]


def test_a_stack_that_cannot_be_deleted_is_named_with_each_resource_that_stays_and_what_to_do(ledger):
    list_queue(ledger)
    cloudformation = going("CREATE_COMPLETE", "DELETE_IN_PROGRESS", "DELETE_FAILED")

    with pytest.raises(TeardownError) as caught:
        remove(cloudformation, ledger)

    (left,) = caught.value.leftovers
    assert left == f"stack {STACK} (DELETE_FAILED: AWS::SQS::Queue https://inbox: no reason given)"
    assert f"aws cloudformation delete-stack --stack-name {STACK}" in caught.value.hint
    assert len(cloudformation.called("delete_stack")) == 3
    assert events(ledger) == ["resource", *["deletion-failed"] * 3]


def test_a_deletion_that_fails_once_is_asked_for_again_later(clock, ledger):
    list_queue(ledger)

    remove(going("CREATE_COMPLETE", "DELETE_FAILED", "DELETE_IN_PROGRESS", "DELETE_COMPLETE"), ledger)

    assert events(ledger) == ["resource", "deletion-failed", "stack-deleted"]
    assert clock.now >= 5


def test_a_bucket_that_is_not_empty_is_emptied_with_all_its_versions(ledger):
    list_queue(ledger)
    versions = [
        {"Versions": [{"Key": "a", "VersionId": "1"}], "DeleteMarkers": [{"Key": "b", "VersionId": "2"}]},
        {},
    ]
    s3 = FakeClient(list_object_versions=versions, delete_objects={})

    remove(going("CREATE_COMPLETE", "DELETE_FAILED", "DELETE_COMPLETE", kept=(BUCKET,)), ledger, s3=s3)

    (deleted,) = s3.called("delete_objects")
    assert deleted["Bucket"] == "artifacts"
    assert deleted["Delete"]["Objects"] == [{"Key": "a", "VersionId": "1"}, {"Key": "b", "VersionId": "2"}]
    assert events(ledger)[2:] == ["deletion-failed", "about-to-clear", "cleared", "stack-deleted"]


def test_a_bucket_that_cannot_be_emptied_is_told_and_the_deletion_is_tried_all_the_same(ledger):
    list_queue(ledger)
    s3 = FakeClient(list_object_versions=client_error("AccessDenied"))

    remove(going("CREATE_COMPLETE", "DELETE_FAILED", "DELETE_COMPLETE", kept=(BUCKET,)), ledger, s3=s3)

    assert "not-cleared" in events(ledger)


def refuse_other_world(service):
    raise CloudError(f"{service} would be asked elsewhere.")


@pytest.mark.parametrize(
    ("bucket", "s3"),
    [(BUCKET, refuse_other_world), (BUCKET | {"PhysicalResourceId": None}, lambda service: FakeClient())],
)
def test_whatever_keeps_an_obstacle_from_being_cleared_is_told_and_ends_nothing(ledger, bucket, s3):
    bucket = {key: value for key, value in bucket.items() if value}

    removal._clear_the_way(s3, [bucket], ledger)

    assert events(ledger) == ["about-to-clear", "not-cleared"]


def test_a_stack_that_does_not_go_in_time_is_a_leftover(clock, ledger):
    list_queue(ledger)

    with pytest.raises(TeardownError, match="DELETE_IN_PROGRESS"):
        remove(going("CREATE_COMPLETE", "DELETE_IN_PROGRESS"), ledger)
    assert clock.now >= 3600


def test_a_stack_that_nobody_may_describe_is_not_taken_for_gone(ledger):
    with pytest.raises(CloudError, match="cannot be described"):
        remove(going(client_error("AccessDenied")), ledger)


@pytest.mark.parametrize(
    "error", [client_error("Throttling"), EndpointConnectionError(endpoint_url="https://cloudformation")]
)
def test_a_poll_that_fails_is_no_end_of_the_waiting(ledger, error):
    list_queue(ledger)

    remove(going("CREATE_COMPLETE", error, "DELETE_IN_PROGRESS", error, "DELETE_COMPLETE"), ledger)

    assert "stack-deleted" in events(ledger)


def test_credentials_that_expire_in_mid_teardown_are_told_with_the_way_to_go_on(ledger):
    list_queue(ledger)

    with pytest.raises(CloudError) as caught:
        remove(going("CREATE_COMPLETE", client_error("ExpiredToken")), ledger)
    assert "readiness teardown" in str(caught.value)


def test_a_deletion_that_is_refused_is_an_error(ledger):
    list_queue(ledger)

    with pytest.raises(CloudError, match=f"Deleting stack {STACK} failed"):
        remove(going("CREATE_COMPLETE", delete_stack=client_error("AccessDenied")), ledger)


def test_a_disk_that_takes_no_more_lines_does_not_keep_a_stack_standing(ledger, monkeypatch):
    def full(*args, **details):
        raise EvidenceError("The ledger cannot be written: No space left on device.")

    ledger.about_to_create("stack", STACK)
    monkeypatch.setattr(Ledger, "note", full)
    cloudformation = going("CREATE_COMPLETE", "DELETE_FAILED", "DELETE_COMPLETE")

    remove(cloudformation, ledger)

    assert len(cloudformation.called("delete_stack")) == 2


def test_a_deletion_that_takes_its_time_says_so_now_and_then(ledger):
    list_queue(ledger)
    said = []

    removal.remove_stack(
        {"cloudformation": going("CREATE_COMPLETE", *["DELETE_IN_PROGRESS"] * 40, "DELETE_COMPLETE")}.__getitem__,
        STACK,
        ledger,
        say=said.append,
    )

    assert said == ["The stack is DELETE_IN_PROGRESS for 15 s", "The stack is DELETE_IN_PROGRESS for 30 s"]


# --- a whole run -----------------------------------------------------------------------------------------------------

RUN = "20260301-120000-abcd"
FUNCTION = "readiness-20260301-120000-ab-Fault1234-x1Y2"
"""As CloudFormation cuts the stack's name short."""


class Account:
    """An account with a run's task, its bad release, its stack, and what services made for it."""

    def __init__(self, *log_groups, cloudformation=None) -> None:
        self.done = []
        self.services = {
            "cloudformation": cloudformation or going("CREATE_COMPLETE", "DELETE_COMPLETE"),
            "ecs": FakeClient(
                list_clusters={"clusterArns": ["cluster"]},
                list_tasks={"taskArns": ["task"]},
                stop_task=lambda **asked: self.done.append(f"stop {asked['task']}"),
                list_task_definitions={"taskDefinitionArns": [f"arn:x:task-definition/{STACK}-bad:1"]},
                deregister_task_definition=lambda **asked: self.done.append("deregister"),
            ),
            "logs": FakeClient(
                describe_log_groups={"logGroups": [{"logGroupName": name} for name in log_groups]},
                delete_log_group=lambda logGroupName: self.done.append(f"delete {logGroupName}"),
            ),
            "rds": FakeClient(
                describe_db_cluster_snapshots={
                    "DBClusterSnapshots": [{"DBClusterSnapshotIdentifier": f"{STACK}-snapshot-database-1"}]
                },
                describe_db_snapshots={"DBSnapshots": [{"DBSnapshotIdentifier": "nightly"}]},
                delete_db_cluster_snapshot=lambda **asked: self.done.append("delete a snapshot"),
            ),
            "elasticache": FakeClient(describe_snapshots={"Snapshots": []}),
        }

    def __call__(self, service):
        return self.services[service]


def announce(ledger):
    ledger.about_to_create("stack", stack_name(RUN))
    ledger.about_to_create("ecs-task", "fleet", started_by=RUN)
    ledger.about_to_create("task-definition", f"{STACK}-bad")
    ledger.note("resource", kind="AWS::Lambda::Function", name=FUNCTION, logical_id="Fault")
    ledger.note("resource", kind="AWS::Logs::LogGroup", name="/shop/production", logical_id="Logs")


def test_what_runs_goes_first_then_the_stack_then_what_services_made(ledger):
    announce(ledger)
    account = Account(f"/aws/lambda/{FUNCTION}", f"/aws/ecs/{STACK}-Cluster/performance")

    assert removal.remove_run(account, RUN, ledger) == []
    assert account.done == [
        "stop task",
        "deregister",
        f"delete /aws/lambda/{FUNCTION}",
        f"delete /aws/ecs/{STACK}-Cluster/performance",
        "delete a snapshot",
    ]


def test_what_only_looks_like_the_runs_is_left_alone(ledger):
    announce(ledger)
    account = Account(
        "/aws/lambda/readiness-20260301-120001-ffff-Fault1234-x1Y2",
        "/shop/production-payments",  # holds the name of a log group that the stack's author chose
        "/aws/lambda/readiness",
        f"/aws/lambda/{FUNCTION}z",  # another function, whose name goes on
    )

    removal.remove_run(account, RUN, ledger)

    assert not [each for each in account.done if each.startswith("delete /")]


def test_what_the_plan_retains_is_not_deleted(ledger):
    announce(ledger)
    account = Account(f"/aws/lambda/{FUNCTION}", f"/aws/ecs/{STACK}-Cluster/performance")

    removal.remove_run(account, RUN, ledger, keep=("/aws/lambda/{Fault}", "{stack}-snapshot-database*"))

    assert account.done[2:] == [f"delete /aws/ecs/{STACK}-Cluster/performance"]


def test_a_task_that_cannot_be_stopped_keeps_nothing_else_standing_and_is_told(ledger):
    announce(ledger)
    account = Account(f"/aws/lambda/{FUNCTION}")
    account("ecs").answers["stop_task"] = client_error("AccessDenied")

    (told,) = removal.remove_run(account, RUN, ledger)

    assert "Stopping the run's tasks failed" in told
    assert "teardown-step-failed" in events(ledger)
    assert account("cloudformation").called("delete_stack")
    assert f"delete /aws/lambda/{FUNCTION}" in account.done


def test_a_cluster_of_others_that_goes_meanwhile_keeps_no_task_of_ours_running(ledger):
    announce(ledger)
    account = Account()
    account("ecs").answers |= {
        "list_clusters": {"clusterArns": ["gone", "cluster"]},
        "list_tasks": lambda cluster, startedBy: (
            client_error("ClusterNotFoundException") if cluster == "gone" else {"taskArns": ["task"]}
        ),
    }

    assert removal.remove_run(account, RUN, ledger) == []
    assert "stop task" in account.done


def test_a_stack_that_stays_is_no_reason_to_let_a_log_group_stay(ledger):
    announce(ledger)
    account = Account(f"/aws/lambda/{FUNCTION}", cloudformation=going("CREATE_COMPLETE", "DELETE_FAILED"))

    with pytest.raises(TeardownError):
        removal.remove_run(account, RUN, ledger)
    assert f"delete /aws/lambda/{FUNCTION}" in account.done


def test_a_log_group_that_cannot_be_deleted_is_told(ledger):
    announce(ledger)
    account = Account(f"/aws/lambda/{FUNCTION}")
    account("logs").answers["delete_log_group"] = client_error("AccessDenied")

    (told,) = removal.remove_run(account, RUN, ledger)

    assert f"Deleting the log-group /aws/lambda/{FUNCTION} failed" in told


def test_a_run_that_announced_no_stack_deletes_nothing(ledger):
    ledger.note("run-started", name=RUN)

    assert removal.remove_run({}.__getitem__, RUN, ledger) == []
