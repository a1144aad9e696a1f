"""A run that is killed after any line of its ledger, before or after the act that the line announces, is cleaned up.

The account is a fake with a memory: what is made there stays until something deletes it.
"""

from __future__ import annotations

import pytest

from readiness import aftermath, contract, removal
from readiness.ledger import Ledger
from tests.unit.samples import FakeClient, FakeClock, client_error

RUN = "20260301-120000-abcd"
STACK = f"readiness-{RUN}"
QUEUE = f"https://sqs.eu-west-1.amazonaws.com/123456789012/{STACK}-Inbox-1"
FAMILY = f"{STACK}-Service-bad-release"
LOGS = f"/aws/lambda/{STACK}-Fault-1"
OTHERS = f"/aws/lambda/readiness-{RUN[:-1]}e-Fault-1"
SNAPSHOT = f"{STACK}-snapshot-Database-1"


class Account:
    """What stands in the account: names, by kind. What belongs to somebody else stands there from the beginning."""

    def __init__(self) -> None:
        self.there = {"log-group": {OTHERS}, "task": set(), "family": {"shop:1"}, "snapshot": {"nightly"}}
        self.stack = False

    def make(self, what):
        if what == "stack":
            self.stack = True
        else:
            kind, name = what
            self.there[kind].add(name)

    @property
    def ours(self):
        """What is there of the run."""
        return [name for names in self.there.values() for name in names if RUN in name] + [STACK] * self.stack

    def describe_stacks(self, StackName):
        if not self.stack:
            return client_error("ValidationError", f"Stack with id {StackName} does not exist")
        return {"Stacks": [{"StackId": f"arn:{STACK}", "StackStatus": "CREATE_COMPLETE"}]}

    def delete_stack(self, StackName):
        assert not self.there["task"], "ECS deletes no cluster in which a task runs"
        self.stack = False

    def client(self, service):
        there = self.there
        resources = [{"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": QUEUE, "LogicalResourceId": "Inbox"}]
        return {
            "cloudformation": FakeClient(
                describe_stacks=self.describe_stacks,
                delete_stack=self.delete_stack,
                list_stack_resources={"StackResourceSummaries": resources},
                list_stacks=lambda: {
                    "StackSummaries": [
                        {"StackName": STACK, "StackId": f"arn:{STACK}", "StackStatus": "CREATE_COMPLETE"}
                    ]
                    if self.stack
                    else []
                },
            ),
            "sqs": FakeClient(
                get_queue_attributes=lambda QueueUrl: (
                    {"Attributes": {}} if self.stack else client_error("QueueDoesNotExist")
                )
            ),
            "ecs": FakeClient(
                list_clusters={"clusterArns": ["cluster"]},
                list_tasks=lambda **asked: {"taskArns": sorted(there["task"])},
                stop_task=lambda cluster, task, reason: there["task"].discard(task),
                list_task_definitions=lambda familyPrefix, status: {
                    "taskDefinitionArns": [
                        f"arn:x:task-definition/{name}" for name in there["family"] if name.startswith(familyPrefix)
                    ]
                },
                deregister_task_definition=lambda taskDefinition: there["family"].discard(
                    taskDefinition.rpartition("/")[2]
                ),
            ),
            "logs": FakeClient(
                describe_log_groups=lambda: {"logGroups": [{"logGroupName": name} for name in there["log-group"]]},
                delete_log_group=lambda logGroupName: there["log-group"].discard(logGroupName),
            ),
            "rds": FakeClient(
                describe_db_cluster_snapshots=lambda: {
                    "DBClusterSnapshots": [{"DBClusterSnapshotIdentifier": name} for name in there["snapshot"]]
                },
                delete_db_cluster_snapshot=lambda DBClusterSnapshotIdentifier: there["snapshot"].discard(
                    DBClusterSnapshotIdentifier
                ),
                describe_db_snapshots={"DBSnapshots": []},
            ),
            "elasticache": FakeClient(describe_snapshots={"Snapshots": []}),
            "resourcegroupstaggingapi": FakeClient(get_resources={"ResourceTagMappingList": []}),
        }[service]


def story(ledger, account):
    """Yield what a run does, one step at a time: a line of its ledger, or an act that the line before it announces."""
    yield lambda: ledger.note("run-started", name=RUN, target="aws", region="eu-west-1")
    yield lambda: ledger.note("connected", name="123456789012", region="eu-west-1", endpoint="")
    yield lambda: ledger.about_to_create("stack", STACK, account="123456789012")
    yield lambda: account.make("stack")
    yield lambda: ledger.note("stack-deployed", kind="stack", name=f"arn:{STACK}")
    yield lambda: ledger.note("resource", kind="AWS::SQS::Queue", name=QUEUE, logical_id="Inbox")
    yield lambda: account.make(("log-group", LOGS))  # a service makes it; nobody announces it
    yield lambda: ledger.about_to_create("ecs-task", "1 x fleet master", started_by=RUN)
    yield lambda: account.make(("task", f"{RUN}/master"))
    yield lambda: ledger.about_to_create("ecs-task", "2 x fleet worker", started_by=RUN)
    yield lambda: account.make(("task", f"{RUN}/worker"))
    yield lambda: ledger.about_to_create("task-definition", FAMILY)
    yield lambda: account.make(("family", f"{FAMILY}:1"))
    yield lambda: account.there["task"].clear()
    yield lambda: account.delete_stack(STACK)
    yield lambda: account.make(("snapshot", SNAPSHOT))  # the database's last one
    yield lambda: ledger.note("stack-deleted", kind="stack", name=f"arn:{STACK}")


STEPS = 17


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(removal, "time", FakeClock())
    return Ledger(tmp_path / "ledger.jsonl"), Account()


def test_the_story_is_whole(world):
    assert len(list(story(*world))) == STEPS


@pytest.mark.parametrize("torn", [False, True], ids=["", "within-the-line"])
@pytest.mark.parametrize("kill_after", range(1, STEPS + 1))
def test_one_command_cleans_up_after_a_kill_at_every_step(world, kill_after, torn):
    ledger, account = world
    for step in list(story(ledger, account))[:kill_after]:
        step()
    if torn:  # the next line had only begun to be written, so its act was never done
        with ledger.path.open("a") as file:
            file.write('{"at": "2026-03-01T12:00:00+00:00", "event": "about-to-cr')

    said = aftermath.remove(account.client, RUN, ledger, lambda text: None)

    assert account.ours == []
    assert OTHERS in account.there["log-group"]
    assert account.there["family"] == {"shop:1"}
    assert account.there["snapshot"] == {"nightly"}
    assert "none is left" in said[-1]


@pytest.mark.parametrize("kill_after", range(3, STEPS + 1))
def test_a_second_teardown_finds_nothing_more_to_do(world, kill_after):
    ledger, account = world
    for step in list(story(ledger, account))[:kill_after]:
        step()

    aftermath.remove(account.client, RUN, ledger, lambda text: None)
    said = aftermath.remove(account.client, RUN, ledger, lambda text: None)

    assert "none is left" in said[-1]
    assert contract.STACK_NAME_PREFIX + RUN == STACK
