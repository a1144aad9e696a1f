"""The teardown of a run that was killed: from its ledger, and proven."""

from __future__ import annotations

import os
import signal
from types import SimpleNamespace

import pytest

from readiness import aftermath, cloud, removal, runner
from readiness.errors import CloudError, ReadinessError, TeardownError
from readiness.gates import leftovers
from readiness.inventory import Resource
from readiness.ledger import Ledger
from readiness.run import RUNS
from tests.unit.samples import FakeClient, client_error

RUN = "20260301-120000-abcd"
STACK = f"readiness-{RUN}"
ACCOUNT = "123456789012"


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / RUNS / RUN / "ledger.jsonl")


@pytest.fixture
def teardown(tmp_path):
    """Return a function that tears the run down and returns what it says."""
    return lambda run_id=RUN: aftermath.teardown(tmp_path, run_id, lambda text: None)


# --- which run -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run_id", ["20260301-120000-ffff", "", "..", "../../etc", "20260301", f"{RUN}/..", f"{RUN} "])
def test_what_is_no_run_is_refused_with_the_runs_that_there_are(ledger, teardown, run_id):
    ledger.note("run-started", target="embedded")

    with pytest.raises(ReadinessError, match="There is no run") as caught:
        teardown(run_id)
    assert f"Known: {RUN}." in caught.value.hint


def test_where_no_run_was_started_it_says_so(teardown):
    with pytest.raises(ReadinessError) as caught:
        teardown()
    assert "Known: none. Call this in the folder where the run was started." in caught.value.hint


def test_a_run_that_was_killed_before_its_first_line_made_nothing(ledger, teardown):
    ledger.path.write_text('{"at": "2026-03-01T12:0')

    assert teardown() == [f"{RUN}: its ledger announces nothing; nothing was made"]


def test_a_ledger_without_its_first_line_is_not_taken_for_an_empty_one(ledger, teardown):
    ledger.about_to_create("stack", STACK)

    with pytest.raises(ReadinessError, match="does not say where the run stood") as caught:
        teardown()
    assert f"readiness:run-id={RUN}" in caught.value.hint


# --- a run on the embedded AWS ---------------------------------------------------------------------------------------


@pytest.fixture
def processes(monkeypatch):
    """The processes that are left, and who was asked for."""
    left = SimpleNamespace(servers=[], strays=[], programs_of=[], asked=[], ended=[])

    def find(kind):
        def found(name):
            left.asked.append((kind, name))
            return list(getattr(left, kind))

        return found

    def await_end(find, *, deadline_s):
        for each in find():
            left.ended.append(each)
            for kind in (left.servers, left.strays, left.programs_of):
                if each in kind:
                    kind.remove(each)

    monkeypatch.setattr(aftermath, "servers", find("servers"))
    monkeypatch.setattr(aftermath, "strays", find("strays"))
    monkeypatch.setattr(aftermath, "programs_of", find("programs_of"))
    monkeypatch.setattr(aftermath, "await_end", await_end)
    return left


def embedded(ledger, ready=True, decided=False):
    ledger.note("run-started", name=RUN, target="embedded", region="eu-west-1")
    ledger.about_to_create("embedded-aws", "/runs/embedded")
    if ready:
        ledger.note("embedded-aws-ready", name="one", endpoint="http://localhost:4000", pid="7")
    if decided:
        ledger.note("run-decided", name=RUN)


def test_the_processes_of_a_run_that_was_cut_off_are_ended_and_proven_gone(ledger, teardown, processes):
    embedded(ledger)
    processes.servers, processes.strays = ["server"], ["service", "fleet"]

    said = teardown()

    assert processes.ended == ["server", "service", "fleet"]
    assert said == [
        f"{RUN}: the run was cut off",
        f"{RUN}: no process of its embedded AWS is left (3 were still there when asked)",
    ]


def test_a_deployment_that_goes_on_without_its_runner_is_ended_before_anything_is_asked(ledger, teardown, processes):
    embedded(ledger)
    processes.programs_of = ["cdk deploy"]

    teardown()

    assert processes.ended == ["cdk deploy"]
    assert processes.asked[0] == ("programs_of", RUN)


def test_a_run_that_is_still_at_work_is_not_torn_down_from_under_itself(ledger, teardown, processes):
    ledger.note("run-started", name=RUN, target="embedded", region="eu-west-1", **runner.mark())

    with pytest.raises(ReadinessError, match=f"{RUN} is still at work, in process {os.getpid()}") as caught:
        teardown()
    assert f"kill {os.getpid()}" in caught.value.hint
    assert processes.asked == []


def test_an_embedded_aws_that_was_never_ready_is_looked_for_too(ledger, teardown, processes):
    embedded(ledger, ready=False)
    processes.servers = ["server"]

    said = teardown()

    assert ("servers", "/runs/embedded") in processes.asked
    assert "(1 were still there when asked)" in said[-1]


def test_a_run_that_ended_by_itself_is_still_looked_after(ledger, teardown, processes):
    embedded(ledger, decided=True)

    said = teardown()

    assert said[0] == f"{RUN}: the run ended by itself and tore down what it had made"
    assert ("strays", "one") in processes.asked


def test_a_run_that_was_killed_before_its_embedded_aws_began_has_no_processes(ledger, teardown, processes):
    ledger.note("run-started", name=RUN, target="embedded", region="eu-west-1")

    assert teardown() == [f"{RUN}: the run was cut off"]


def test_a_process_that_cannot_be_ended_is_a_leftover(ledger, teardown, processes, monkeypatch):
    def await_end(find, *, deadline_s):
        raise TeardownError(["process 7"])

    monkeypatch.setattr(aftermath, "await_end", await_end)
    embedded(ledger)

    with pytest.raises(TeardownError, match="process 7"):
        teardown()


def test_a_clone_that_was_left_up_is_noted_as_down_once(ledger, teardown, processes):
    embedded(ledger)
    ledger.note("clone-up", name=RUN)

    teardown()
    teardown()

    assert [entry.event for entry in ledger.entries()].count("clone-down") == 1


# --- a run on AWS ----------------------------------------------------------------------------------------------------


class Aws:
    """An account with the run's tasks in one of two clusters, its bad release, and its stack."""

    def __init__(self) -> None:
        self.account = ACCOUNT
        self.endpoint = ""
        self.steps = []
        self.quiet = {
            "logs": FakeClient(describe_log_groups={"logGroups": []}),
            "rds": FakeClient(
                describe_db_cluster_snapshots={"DBClusterSnapshots": []}, describe_db_snapshots={"DBSnapshots": []}
            ),
            "elasticache": FakeClient(describe_snapshots={"Snapshots": []}),
        }
        self.left = []
        family = f"{STACK}-bad-release"
        self.ecs = FakeClient(
            list_clusters=[{"clusterArns": ["one"]}, {"clusterArns": ["other"]}],
            list_tasks=lambda cluster, startedBy: {
                "taskArns": ["task"] if (cluster, startedBy) == ("other", RUN) else []
            },
            stop_task=lambda **asked: self.steps.append(f"stop {asked['task']}"),
            list_task_definitions={"taskDefinitionArns": [f"arn:x:task-definition/{family}:1", "arn:x:a/other:1"]},
            deregister_task_definition=lambda **asked: self.steps.append(f"deregister {asked['taskDefinition']}"),
        )

    def remove(self, name):
        self.steps.append(f"destroy {name}")

    def client(self, service):
        return {"ecs": self.ecs, "cloudformation": "cloudformation", **self.quiet}[service]


@pytest.fixture
def aws(monkeypatch):
    aws = Aws()
    regions = []
    monkeypatch.setattr(cloud, "connect_aws", lambda region, production: regions.append(region) or aws)
    monkeypatch.setattr(removal, "remove_stack", lambda clients, name, ledger, say: aws.remove(name))

    def look(clients, ledger):
        aws.steps.append("look")
        return leftovers.Observation(resources=tuple(aws.left))

    monkeypatch.setattr(leftovers, "look", look)
    aws.regions = regions
    return aws


def on_aws(ledger):
    ledger.note("run-started", name=RUN, target="aws", region="eu-central-1")
    ledger.about_to_create("stack", STACK, account=ACCOUNT, region="eu-central-1")
    ledger.about_to_create("ecs-task", f"{STACK}/master", started_by=RUN)
    ledger.about_to_create("task-definition", f"{STACK}-bad-release")


def resource(standing, name="queue"):
    return Resource(kind="AWS::SQS::Queue", name=name, source="stack", standing=standing, why="access denied")


def test_tasks_task_definitions_and_stack_go_in_this_order_and_are_looked_for(ledger, teardown, aws):
    on_aws(ledger)
    aws.left = [resource("gone"), resource("phantom")]

    said = teardown()

    assert aws.regions == ["eu-central-1"]
    assert aws.steps == [
        "stop task",
        f"deregister arn:x:task-definition/{STACK}-bad-release:1",
        f"destroy {STACK}",
        "look",
    ]
    assert said == [f"{RUN}: 2 things were asked for; none is left"]


@pytest.mark.parametrize(("standing", "name"), [("there", "queue"), ("unknown", "AWS::SQS::Queue queue")])
def test_what_is_there_or_cannot_be_ruled_out_is_a_leftover(ledger, teardown, aws, standing, name):
    on_aws(ledger)
    aws.left = [resource("gone", "other"), resource(standing)]

    with pytest.raises(TeardownError) as caught:
        teardown()
    assert caught.value.leftovers == (name,)
    assert f"readiness teardown {RUN}" in caught.value.hint


def test_nothing_is_touched_in_another_account(ledger, teardown, aws):
    on_aws(ledger)
    aws.account = "999999999999"

    with pytest.raises(TeardownError, match=f"May still exist: stack {STACK}") as caught:
        teardown()
    assert f"is in account {ACCOUNT}, but your credentials are for 999999999999" in caught.value.hint
    assert aws.steps == []


def test_a_run_that_made_no_stack_has_none_destroyed(ledger, teardown, aws):
    ledger.note("run-started", name=RUN, target="aws", region="eu-central-1")

    teardown()

    assert aws.steps == ["look"]


def test_tasks_that_cannot_be_stopped_do_not_keep_the_stack_standing(ledger, teardown, aws):
    on_aws(ledger)
    aws.ecs.answers["list_clusters"] = client_error("AccessDenied")

    with pytest.raises(CloudError, match="Stopping the run's tasks failed"):
        teardown()
    assert aws.steps == [f"deregister arn:x:task-definition/{STACK}-bad-release:1", f"destroy {STACK}", "look"]


def test_what_is_left_is_named_with_what_went_wrong_on_the_way(ledger, teardown, aws):
    on_aws(ledger)
    aws.left = [resource("there")]

    def refuse(name):
        raise TeardownError([f"stack {name} (DELETE_FAILED: in use)"])

    aws.remove = refuse

    with pytest.raises(TeardownError) as caught:
        teardown()
    assert caught.value.leftovers == ("queue",)
    assert "DELETE_FAILED: in use" in caught.value.hint


def test_expired_credentials_leave_the_run_standing_with_the_way_to_go_on(ledger, teardown, aws, monkeypatch):
    """Whoever may not even ask cannot say that nothing is left."""
    on_aws(ledger)

    def expired(region, production):
        raise CloudError("AWS does not say who you are: ExpiredToken.", hint="Log in.")

    monkeypatch.setattr(cloud, "connect_aws", expired)

    with pytest.raises(TeardownError, match=f"stack {STACK}") as caught:
        teardown()
    assert "Log in." in caught.value.hint
    assert f"readiness teardown {RUN}" in caught.value.hint


def test_a_source_that_does_not_answer_is_no_proof(ledger, teardown, aws, monkeypatch):
    on_aws(ledger)

    def look(clients, ledger):
        raise CloudError("Reading the tag index failed: AccessDenied")

    monkeypatch.setattr(leftovers, "look", look)

    with pytest.raises(TeardownError, match="May still exist") as caught:
        teardown()
    assert "AccessDenied" in caught.value.hint
    assert f"readiness teardown {RUN}" in caught.value.hint


def test_what_the_plan_retains_is_told_and_is_no_leftover(ledger, teardown, aws):
    ledger.note("run-started", name=RUN, target="aws", region="eu-central-1", retained='["archive"]')
    ledger.about_to_create("stack", STACK, account=ACCOUNT, region="eu-central-1")
    aws.left = [resource("gone"), resource("there", name="archive")]

    said = teardown()

    assert "archive: AWS::SQS::Queue stays on purpose" in said[0]
    assert said[1] == f"{RUN}: 2 things were asked for; nothing else is left"


# --- a teardown that is interrupted ----------------------------------------------------------------------------------


def interrupt(times):
    for _ in range(times):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_teardown_that_is_interrupted_once_goes_on_to_its_proof(ledger, teardown, aws):
    on_aws(ledger)
    aws.left = [resource("gone")]
    aws.remove = lambda name: interrupt(1)

    assert teardown() == [f"{RUN}: 1 things were asked for; none is left"]


def test_a_teardown_that_is_given_up_names_what_may_be_left(ledger, teardown, aws):
    on_aws(ledger)
    aws.remove = lambda name: interrupt(2)

    with pytest.raises(TeardownError, match=f"stack {STACK}") as caught:
        teardown()
    assert f"readiness teardown {RUN}" in caught.value.hint
