"""The gate ``leftovers``: passes, fails, and is inconclusive on nothing."""

from __future__ import annotations

import pytest

from readiness import contract, decide
from readiness.errors import CloudError, PlanError
from readiness.evidence import from_json, to_json
from readiness.gates.leftovers import GATE, Observation, Settings, judge, look, remaining
from readiness.inventory import Resource
from readiness.ledger import Ledger
from readiness.model import Outcome, Severity, Stage
from readiness.plan import parse
from tests.unit.samples import BLOCKING, T0, FakeClient, a_context, client_error

RUN = "20260301-120000-abcd"
STACK = f"readiness-{RUN}"
QUEUE = f"https://sqs.eu-west-1.amazonaws.com/123456789012/{STACK}-Inbox-1"


def resource(standing, **changes):
    return Resource(**{"kind": "AWS::SQS::Queue", "name": "inbox", "source": "stack", "standing": standing} | changes)


def came_to(*resources):
    judgement = judge(Observation(resources=resources), Settings())
    return decide.outcome(judgement, decide.dispose(judgement.findings, (), T0.date()), BLOCKING)


# --- judge -----------------------------------------------------------------------------------------------------------


def test_all_gone_passes():
    assert came_to(resource("gone"), resource("phantom")) is Outcome.PASSED


def test_one_thing_that_is_there_fails():
    assert came_to(resource("gone"), resource("there")) is Outcome.FAILED


def test_one_thing_that_nobody_could_ask_for_is_inconclusive():
    assert came_to(resource("gone"), resource("unknown", why="access denied")) is Outcome.INCONCLUSIVE


def test_nothing_asked_for_is_inconclusive():
    assert came_to() is Outcome.INCONCLUSIVE


def test_a_finding_says_what_is_there_and_how_to_go_on():
    (finding,) = judge(Observation(resources=(resource("there", why="it is running"),)), Settings()).findings

    assert finding.rule == "leftovers/stack"
    assert finding.subject == "inbox"
    assert finding.message == "AWS::SQS::Queue is still there: it is running"
    assert "readiness teardown" in finding.help


def test_a_gap_says_what_could_not_be_asked_for_and_why():
    (gap,) = judge(Observation(resources=(resource("unknown", why="access denied"),)), Settings()).gaps

    assert (gap.what, gap.why) == ("AWS::SQS::Queue inbox", "access denied")


def test_the_gate_is_asked_after_the_teardown():
    assert GATE.stage is Stage.AFTER_TEARDOWN


def test_what_it_sees_reads_back_as_it_was_written():
    seen = Observation(resources=(resource("there"), resource("unknown", why="access denied")))

    assert from_json(Observation, to_json(Observation, seen), "it") == seen


# --- what is meant to stay -------------------------------------------------------------------------------------------

LOGS = f"/aws/lambda/{STACK}-Fault-1"
NAMES = {"run_id": RUN, "stack": STACK, "Fault": f"{STACK}-Fault-1", "Inbox": QUEUE}


def judged(*resources, retained):
    return judge(Observation(resources=resources, names=NAMES), Settings(retained=retained))


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ("Inbox", QUEUE),
        ("/aws/lambda/{Fault}", LOGS),
        ("/aws/lambda/{stack}-Fault-1", LOGS),
        ("/aws/lambda/{Fault}", f"arn:aws:logs:eu-west-1:123456789012:log-group:{LOGS}:*"),
        ("{stack}-snapshot-Database*", f"{STACK}-snapshot-Database-1X2Y"),
        ("{stack}-snapshot-Database*", f"arn:aws:rds:eu-west-1:1:cluster-snapshot:{STACK}-snapshot-Database-1X2Y"),
        ("shop-archive", "shop-archive"),
    ],
)
def test_what_the_plan_names_stays_on_purpose_and_is_told(entry, name):
    judgement = judged(resource("there", name=name), retained=(entry,))

    (told,) = judgement.findings
    assert (told.rule, told.subject, told.severity) == (contract.RETAINED_RULE, name, Severity.INFO)
    assert entry in told.message
    disposed = decide.dispose(judgement.findings, (), T0.date())
    assert decide.outcome(judgement, disposed, BLOCKING) is Outcome.PASSED


@pytest.mark.parametrize("entry", ["Inbox", "/aws/lambda/{Fault}", "{Nobody}-snapshot", "shop-archive"])
def test_what_should_have_stayed_and_is_not_there_is_a_fault(entry):
    judgement = judged(resource("gone", name=QUEUE), retained=(entry,))

    (found,) = judgement.findings
    assert (found.rule, found.subject) == (contract.RETAINED_MISSING_RULE, entry)
    assert found.severity is Severity.HIGH


def test_an_entry_excuses_what_it_names_and_nothing_else():
    judgement = judged(resource("there", name=LOGS), resource("there", name=LOGS + "0"), retained=("{stack}", LOGS))

    assert [each.rule for each in judgement.findings] == [
        "leftovers/stack",
        contract.RETAINED_RULE,
        contract.RETAINED_MISSING_RULE,
    ]


def test_where_nothing_was_deployed_nothing_can_have_stayed():
    assert judged(retained=("Inbox",)).findings == ()


@pytest.mark.parametrize("kind", ["stack", "ecs-task", "task-definition"])
def test_what_the_run_is_torn_down_by_cannot_stay_on_purpose(kind):
    judgement = judged(resource("there", kind=kind, name=STACK), retained=("{stack}",))

    assert {each.severity for each in judgement.findings} == {Severity.HIGH}
    assert remaining(judgement) == [STACK]


@pytest.mark.parametrize("entry", ["*", "readiness-*", "{stack}*", "{run_id}-*", "a*b"])
def test_an_entry_that_would_excuse_whatever_there_is_is_refused(entry):
    with pytest.raises(PlanError, match="retained"):
        parse(Settings, {"retained": [entry]}, "plan.toml", "gates.settings.leftovers")


# --- look ------------------------------------------------------------------------------------------------------------


class Account:
    """An account in which nothing of the run is left, unless a test puts it there."""

    def __init__(self) -> None:
        self.services = {
            "cloudformation": FakeClient(list_stacks={"StackSummaries": []}),
            "ecs": FakeClient(
                list_clusters={"clusterArns": []},
                list_tasks={"taskArns": []},
                list_task_definitions={"taskDefinitionArns": []},
            ),
            "resourcegroupstaggingapi": FakeClient(get_resources={"ResourceTagMappingList": []}),
            "logs": FakeClient(describe_log_groups={"logGroups": []}),
            "rds": FakeClient(
                describe_db_cluster_snapshots={"DBClusterSnapshots": []}, describe_db_snapshots={"DBSnapshots": []}
            ),
            "elasticache": FakeClient(describe_snapshots={"Snapshots": []}),
            "sqs": FakeClient(get_queue_attributes=client_error("QueueDoesNotExist")),
        }

    def __call__(self, service):
        return self.services[service]

    def answers(self, service, **answers):
        self.services[service].answers.update(answers)

    def tags(self, *arns):
        self.answers(
            "resourcegroupstaggingapi",
            get_resources={"ResourceTagMappingList": [{"ResourceARN": arn} for arn in arns]},
        )


@pytest.fixture
def account():
    return Account()


@pytest.fixture
def ledger(tmp_path):
    """The ledger of a run that made a stack with a queue, tasks and a task definition."""
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.note("run-started", name=RUN)
    ledger.about_to_create("stack", STACK)
    ledger.note("resource", kind="AWS::SQS::Queue", name=QUEUE)
    ledger.about_to_create("ecs-task", f"{STACK}/fleet", started_by=RUN)
    ledger.about_to_create("task-definition", f"{STACK}-bad-release")
    return ledger


def left(account, ledger):
    return [(each.source, each.name) for each in look(account, ledger).resources if each.standing == "there"]


def test_a_run_that_left_nothing_was_asked_about_everything_it_made(account, ledger):
    seen = look(account, ledger)

    assert {(each.kind, each.standing) for each in seen.resources} == {
        ("AWS::SQS::Queue", "gone"),
        ("stack", "gone"),
        ("ecs-task", "gone"),
        ("task-definition", "gone"),
    }


def test_a_ledger_without_its_first_line_is_looked_for_by_the_name_of_its_stack(account, tmp_path):
    ledger = Ledger(tmp_path / "cut.jsonl")
    ledger.about_to_create("stack", STACK)
    ledger.note("resource", kind="AWS::SQS::Queue", name=QUEUE)

    look(account, ledger)

    (asked,) = account("resourcegroupstaggingapi").called("get_resources")
    assert asked["TagFilters"][0]["Values"] == [RUN]


def test_the_gate_looks_with_the_clients_and_the_ledger_of_the_run(account, ledger, tmp_path):
    seen = GATE.observe(a_context(tmp_path, clients=account, ledger=ledger), Settings())

    assert seen == look(account, ledger)


def test_a_run_that_announced_nothing_leaves_nothing_to_ask_for(account, tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.note("run-started", name=RUN)

    assert look(account, ledger).resources == ()


def test_where_nobody_listed_the_resources_the_deleted_stack_tells_of_them(account, tmp_path):
    """A runner was killed while it deployed, and the reaper deleted the stack: the ledger names no resource."""
    ledger = Ledger(tmp_path / "killed.jsonl")
    ledger.note("run-started", name=RUN)
    ledger.about_to_create("stack", STACK)
    gone = {"StackName": STACK, "StackId": "arn:the-stack", "StackStatus": "DELETE_COMPLETE"}
    queue = {"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": QUEUE, "LogicalResourceId": "Inbox"}
    account.answers(
        "cloudformation",
        list_stacks={"StackSummaries": [gone, {**gone, "StackName": "another", "StackId": "arn:another"}]},
        list_stack_resources=lambda StackName: {"StackResourceSummaries": [queue]} if "the" in StackName else None,
    )
    account.answers("sqs", get_queue_attributes={"Attributes": {}})

    seen = look(account, ledger)

    assert [(each.name, each.logical_id) for each in seen.resources if each.standing == "there"] == [(QUEUE, "Inbox")]
    assert seen.names == {"run_id": RUN, "stack": STACK, "Inbox": QUEUE}


def test_a_stack_that_is_listed_is_there_with_its_status(account, ledger):
    summaries = [
        {"StackName": STACK, "StackStatus": "DELETE_FAILED"},
        {"StackName": "another", "StackStatus": "CREATE_COMPLETE"},
    ]
    account.answers("cloudformation", list_stacks=[{"StackSummaries": []}, {"StackSummaries": summaries}])

    (found,) = [each for each in look(account, ledger).resources if each.standing == "there"]
    assert (found.name, found.why) == (STACK, "DELETE_FAILED")


def test_a_stack_that_was_deleted_is_gone_although_it_is_listed(account, ledger):
    account.answers(
        "cloudformation", list_stacks={"StackSummaries": [{"StackName": STACK, "StackStatus": "DELETE_COMPLETE"}]}
    )

    assert left(account, ledger) == []


def test_a_resource_is_asked_for_although_cloudformation_calls_it_deleted(account, ledger):
    account.answers("sqs", get_queue_attributes={"Attributes": {}})

    assert left(account, ledger) == [("stack", QUEUE)]


def test_a_task_that_runs_is_found_in_whichever_cluster(account, ledger):
    task = "arn:aws:ecs:eu-west-1:123456789012:task/other/1"
    account.answers(
        "ecs",
        list_clusters={"clusterArns": ["one", "other"]},
        list_tasks=lambda cluster, startedBy, desiredStatus: {
            "taskArns": [task] if (cluster, startedBy) == ("other", RUN) else []
        },
    )

    assert left(account, ledger) == [("ledger", task)]


def test_a_cluster_that_goes_meanwhile_runs_nothing(account, ledger):
    account.answers("ecs", list_clusters={"clusterArns": ["one"]}, list_tasks=client_error("ClusterNotFoundException"))

    assert left(account, ledger) == []


def test_a_cluster_that_may_not_be_asked_is_an_error_never_an_absence(account, ledger):
    account.answers("ecs", list_clusters={"clusterArns": ["one"]}, list_tasks=client_error("AccessDeniedException"))

    with pytest.raises(CloudError, match="Listing tasks failed"):
        look(account, ledger)


def test_an_active_revision_of_the_bad_release_is_there_and_another_family_is_not_ours(account, ledger):
    arns = [f"arn:aws:ecs:eu-west-1:123456789012:task-definition/{STACK}-bad-release{end}" for end in (":3", "2:1")]
    account.answers("ecs", list_task_definitions={"taskDefinitionArns": arns})

    assert left(account, ledger) == [("ledger", arns[0])]


@pytest.mark.parametrize(
    "arn",
    [
        f"arn:aws:sqs:eu-west-1:123456789012:{STACK}-Inbox-1",
        f"arn:aws:ecs:eu-west-1:123456789012:task-definition/{STACK}-bad-release:1",
        f"arn:aws:cloudformation:eu-west-1:123456789012:stack/{STACK}/0123-4567",
    ],
)
def test_the_tag_index_may_lag_behind_what_was_proven_gone(account, ledger, arn):
    account.tags(arn)

    (found,) = [each for each in look(account, ledger).resources if each.source == "tag"]
    assert found.standing == "phantom"
    assert "lags behind" in found.why


def test_the_tag_index_finds_what_no_other_source_names(account, ledger):
    account.tags("arn:aws:dynamodb:eu-west-1:123456789012:table/forgotten")

    assert left(account, ledger) == [("tag", "arn:aws:dynamodb:eu-west-1:123456789012:table/forgotten")]


def test_the_tag_index_is_asked_for_this_run_alone(account, ledger):
    look(account, ledger)

    (asked,) = account("resourcegroupstaggingapi").called("get_resources")
    assert asked == {"TagFilters": [{"Key": contract.TAG_RUN_ID, "Values": [RUN]}]}


def test_what_only_goes_with_something_else_proves_nothing(account, ledger):
    """The id of a capacity provider association is the name of its cluster, which may well be there."""
    ledger.note("resource", kind="AWS::ECS::ClusterCapacityProviderAssociations", name=f"{STACK}-Cluster-1")
    arn = f"arn:aws:ecs:eu-west-1:123456789012:cluster/{STACK}-Cluster-1"
    account.tags(arn)

    assert left(account, ledger) == [("tag", arn)]


def test_a_name_that_ends_in_a_common_word_proves_nothing_about_that_word(account, ledger):
    ledger.note("resource", kind="AWS::Logs::LogGroup", name="/readiness/service")
    arn = "arn:aws:ecs:eu-west-1:123456789012:service/cluster/shop"
    account.tags(arn)

    assert left(account, ledger) == [("tag", arn)]


def test_the_id_of_the_run_proves_nothing_about_what_is_called_like_it(account, ledger):
    arn = f"arn:aws:scheduler:eu-west-1:123456789012:schedule/{RUN}/reaper"
    account.tags(arn)

    assert left(account, ledger) == [("tag", arn)]


def test_a_parameter_is_known_by_its_path(account, ledger):
    account.services["ssm"] = FakeClient(get_parameter=client_error("ParameterNotFound"))
    ledger.note("resource", kind="AWS::SSM::Parameter", name="/shop/region")
    account.tags("arn:aws:ssm:eu-west-1:123456789012:parameter/shop/region")

    assert left(account, ledger) == []


@pytest.mark.parametrize(
    "group", [f"/aws/rds/cluster/{STACK}-database/postgresql", f"/aws/lambda/{STACK}-Fault-1", RUN]
)
def test_a_log_group_that_a_service_made_by_itself_is_there(account, ledger, group):
    account.answers(
        "logs",
        describe_log_groups=[{"logGroups": [{"logGroupName": "other"}]}, {"logGroups": [{"logGroupName": group}]}],
    )

    assert left(account, ledger) == [("log-group", group)]


def test_the_log_groups_of_others_are_none_of_ours(account, ledger):
    account.answers("logs", describe_log_groups={"logGroups": [{"logGroupName": "/aws/lambda/readiness-20260301"}]})

    assert left(account, ledger) == []


def test_a_snapshot_that_carries_the_run_is_there(account, ledger):
    found = [{"DBClusterSnapshotIdentifier": name} for name in (f"{STACK}-database-final", "nightly")]
    account.answers("rds", describe_db_cluster_snapshots={"DBClusterSnapshots": found})

    assert left(account, ledger) == [("snapshot", f"{STACK}-database-final")]


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("cloudformation", "list_stacks"),
        ("ecs", "list_clusters"),
        ("ecs", "list_task_definitions"),
        ("resourcegroupstaggingapi", "get_resources"),
        ("logs", "describe_log_groups"),
        ("rds", "describe_db_cluster_snapshots"),
        ("rds", "describe_db_snapshots"),
        ("elasticache", "describe_snapshots"),
    ],
)
def test_a_source_that_does_not_answer_is_an_error_never_an_absence(account, ledger, service, operation):
    account.answers(service, **{operation: client_error("ThrottlingException")})

    with pytest.raises(CloudError):
        look(account, ledger)


def test_a_resource_that_may_not_be_asked_for_is_unknown(account, ledger):
    account.answers("sqs", get_queue_attributes=client_error("AccessDenied"))

    (found,) = [each for each in look(account, ledger).resources if each.source == "stack"]
    assert found.standing == "unknown"
