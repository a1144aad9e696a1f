"""What is ours, and has outlived its time, is swept; what only looks like ours is refused and never touched."""

from __future__ import annotations

from datetime import timedelta

import pytest

from readiness import aftermath, contract, runner, sweep
from readiness.cloud import Connection
from readiness.errors import CloudError, TeardownError
from readiness.ledger import Ledger
from readiness.model import Environment
from readiness.run import RUNS
from tests.unit.samples import T0, FakeClient, client_error

HOUR = timedelta(hours=1)


def run_id(number):
    return f"20260301-120000-{number:04x}"


def a_stack(run, *, name=None, expires=HOUR, made=HOUR, status="CREATE_COMPLETE", **tags):
    """Return a stack of a run as CloudFormation describes it; a tag that is None is left out."""
    carried = {
        contract.TAG_RUN_ID: run,
        contract.TAG_OWNER: "Ada",
        contract.TAG_EXPIRES_AT: (T0 + expires).isoformat(),
    } | {f"readiness:{key.replace('_', '-')}": value for key, value in tags.items()}
    return {
        "StackName": name or f"readiness-{run}",
        "StackId": f"arn:stack/{run}",
        "StackStatus": status,
        "CreationTime": T0 - made,
        "Tags": [{"Key": key, "Value": value} for key, value in carried.items() if value is not None],
    }


class Account:
    """An account with stacks, and with things that carry the tag of a run."""

    def __init__(self, *stacks, tagged=()) -> None:
        pages = [{"Stacks": list(stacks[first : first + 100])} for first in range(0, max(1, len(stacks)), 100)]
        index = [{"ResourceARN": arn, "Tags": [{"Key": contract.TAG_RUN_ID, "Value": run}]} for run, arn in tagged] + [
            {"ResourceARN": stack["StackId"], "Tags": stack["Tags"]}
            for stack in stacks
            if any(tag["Key"] == contract.TAG_RUN_ID for tag in stack["Tags"])
        ]

        def get_resources(TagFilters):
            wanted = TagFilters[0].get("Values")
            return {
                "ResourceTagMappingList": [
                    each for each in index if wanted is None or any(tag["Value"] in wanted for tag in each["Tags"])
                ]
            }

        self.services = {
            "cloudformation": FakeClient(
                describe_stacks=pages, list_stacks={"StackSummaries": []}, list_stack_resources=None
            ),
            "resourcegroupstaggingapi": FakeClient(get_resources=get_resources),
            "ecs": FakeClient(
                list_task_definition_families={"families": []},
                list_clusters={"clusterArns": []},
                list_task_definitions={"taskDefinitionArns": []},
            ),
            "logs": FakeClient(describe_log_groups={"logGroups": []}),
            "rds": FakeClient(
                describe_db_cluster_snapshots={"DBClusterSnapshots": []}, describe_db_snapshots={"DBSnapshots": []}
            ),
            "elasticache": FakeClient(describe_snapshots={"Snapshots": []}),
            "s3": FakeClient(),
            "ec2": FakeClient(),
            "elbv2": FakeClient(),
        }

    @property
    def connection(self):
        return Connection(
            target="aws",
            environment=Environment.AWS,
            region="eu-west-1",
            account="123456789012",
            time_scale=1,
            variables={},
            bootstraps_itself=False,
            make_client=self.services.__getitem__,
        )

    @property
    def calls(self):
        return [name for client in self.services.values() for name, _ in client.calls]


def survey(account, folder, **how):
    return sweep.survey(account.connection, folder, now=T0, **how)


def chosen(found):
    return {each.name: each.choice for each in found}


@pytest.mark.parametrize(
    ("stack", "choice", "why"),
    [
        (a_stack(run_id(1), expires=-3 * HOUR), "sweep", "it expired 3 h ago"),
        (a_stack(run_id(1), expires=timedelta(0)), "sweep", "it expired 0 min ago"),
        (a_stack(run_id(1), expires=HOUR), "leave", "it expires in 60 min"),
        (a_stack(run_id(1), expires=-HOUR, status="DELETE_FAILED"), "sweep", "DELETE_FAILED"),
        (a_stack(run_id(1), expires=-HOUR, status="DELETE_IN_PROGRESS"), "leave", "it is being deleted"),
        (a_stack("manual-ada", expires=-HOUR), "sweep", "owner Ada"),
        (a_stack(run_id(1), expires=-HOUR, run_id=None), "refuse", "it has our name, but no tag readiness:run-id"),
        (a_stack(run_id(1), expires=-HOUR, name="billing"), "refuse", f"it has our tag (of run {run_id(1)})"),
        (a_stack(run_id(1), expires=-HOUR, run_id=run_id(2)), "refuse", "but not its name"),
        (a_stack(run_id(1), expires_at=None), "refuse", "readiness:expires-at is missing or no instant"),
        (a_stack(run_id(1), expires_at="tomorrow"), "refuse", "is missing or no instant"),
    ],
)
def test_a_stack_is_swept_left_or_refused_for_a_reason(tmp_path, stack, choice, why):
    found = [each for each in survey(Account(stack), tmp_path) if each.name == stack["StackName"]]

    assert [each.choice for each in found] == [choice]
    assert why in found[0].why
    assert bool(found[0].run_id) == (choice != "refuse")


def test_what_has_neither_our_name_nor_our_tag_is_not_even_listed(tmp_path):
    stack = a_stack(run_id(1), name="billing", run_id=None, expires=-HOUR)

    assert survey(Account(stack), tmp_path) == []


def test_what_is_older_than_asked_for_is_swept_although_it_has_not_expired(tmp_path):
    account = Account(a_stack(run_id(1), made=7 * HOUR), a_stack(run_id(2), made=5 * HOUR))

    found = survey(account, tmp_path, older_than=6 * HOUR)

    assert chosen(found) == {f"readiness-{run_id(1)}": "sweep", f"readiness-{run_id(2)}": "leave"}


def started(folder, run, *events, **mark):
    ledger = Ledger(folder / RUNS / run / "ledger.jsonl")
    ledger.note("run-started", name=run, target="aws", region="eu-west-1", **mark)
    for event in events:
        ledger.note(event)


def test_a_run_whose_runner_is_gone_is_swept_before_its_expiry(tmp_path):
    started(tmp_path, run_id(1), **(runner.mark() | {"pid": "0"}))

    (found,) = survey(Account(a_stack(run_id(1))), tmp_path)

    assert (found.choice, found.why[:19]) == ("sweep", "its runner is gone ")


def test_a_run_that_is_at_work_is_left_alone_however_old_it_is(tmp_path):
    started(tmp_path, run_id(1), **runner.mark())

    (found,) = survey(Account(a_stack(run_id(1), made=9 * HOUR)), tmp_path, older_than=HOUR)

    assert (found.choice, found.why[:27]) == ("leave", "its runner is still at work")


def test_a_clone_that_somebody_left_up_stands_until_its_expiry(tmp_path):
    started(tmp_path, run_id(1), "clone-up", **(runner.mark() | {"pid": "0"}))

    assert [each.choice for each in survey(Account(a_stack(run_id(1))), tmp_path)] == ["leave"]


def test_resources_whose_stack_is_gone_are_an_orphaned_run(tmp_path):
    account = Account(tagged=[(run_id(1), "arn:aws:dynamodb:eu-west-1:123456789012:table/forgotten")])

    (found,) = survey(account, tmp_path)

    assert found.choice == "sweep"
    assert "its stack is gone, but there may still be arn:aws:dynamodb" in found.why
    assert not (tmp_path / RUNS).exists(), "a survey writes nothing"


def test_a_tag_index_that_lags_behind_is_no_orphan(tmp_path):
    arn = f"arn:aws:cloudformation:eu-west-1:123456789012:stack/readiness-{run_id(1)}/0123"

    (found,) = survey(Account(tagged=[(run_id(1), arn)]), tmp_path)

    assert (found.choice, "none is left" in found.why) == ("leave", True)


def topic_of(run):
    return (run, "arn:aws:sns:eu-west-1:123456789012:topic")


def test_what_carries_the_tag_of_a_refused_stack_does_not_make_that_stack_ours(tmp_path):
    account = Account(a_stack("shop-prod", run_id=None, expires=-HOUR), tagged=[topic_of("shop-prod")])

    assert chosen(survey(account, tmp_path)) == {"readiness-shop-prod": "refuse"}


def test_a_stack_that_nobody_judged_is_refused_and_not_taken_for_gone(tmp_path):
    account = Account(tagged=[topic_of(run_id(1))])
    made_meanwhile = {"StackName": f"readiness-{run_id(1)}", "StackId": "arn:1", "StackStatus": "CREATE_IN_PROGRESS"}
    account.services["cloudformation"].answers |= {
        "list_stacks": {"StackSummaries": [made_meanwhile]},
        "list_stack_resources": {"StackResourceSummaries": []},
    }

    assert chosen(survey(account, tmp_path)) == {f"readiness-{run_id(1)}": "refuse"}


def test_a_tag_that_is_no_runs_id_becomes_no_path(tmp_path):
    account = Account(tagged=[topic_of("../../../outside")])

    found = survey(account, tmp_path / "repository")
    list(sweep.sweep(account.connection, tmp_path / "repository", found, print))

    assert [each.choice for each in found] == ["refuse"]
    assert list(tmp_path.rglob("ledger.jsonl")) == []


# --- 200 stacks ------------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd():
    """An account with 200 stacks: 50 expired, 120 not, 10 each of ours by name only and by tag only, 10 of others."""
    return Account(
        *(a_stack(run_id(n), expires=-HOUR) for n in range(50)),
        *(a_stack(run_id(n)) for n in range(50, 170)),
        *(a_stack(run_id(n), expires=-HOUR, run_id=None) for n in range(170, 180)),
        *(a_stack(run_id(n), expires=-HOUR, name=f"billing-{n}") for n in range(180, 190)),
        *(a_stack(run_id(n), expires=-HOUR, name=f"shop-{n}", run_id=None) for n in range(190, 200)),
    )


def test_of_200_stacks_the_right_ones_are_chosen_with_one_listing_and_one_reading_of_the_index(tmp_path, crowd):
    found = survey(crowd, tmp_path)
    counts = {choice: sum(each.choice == choice for each in found) for choice in ("sweep", "refuse")}

    assert counts == {"sweep": 50, "refuse": 20}
    assert {each.name for each in found if each.choice == "sweep"} == {f"readiness-{run_id(n)}" for n in range(50)}
    listings = [name for name in crowd.calls if name in ("describe_stacks", "get_resources")]
    assert listings.count("describe_stacks") == 1, "which pages: two requests for 200 stacks"
    assert listings.count("get_resources") == 1


def test_a_sweep_tears_down_what_was_chosen_and_nothing_else(tmp_path, crowd, monkeypatch):
    removed = []

    def remove(clients, run, ledger, narrate):
        removed.append(run)
        assert ledger.path == tmp_path / RUNS / run / "ledger.jsonl"
        return [f"{run}: none is left"]

    monkeypatch.setattr(aftermath, "remove", remove)

    results = list(sweep.sweep(crowd.connection, tmp_path, survey(crowd, tmp_path), print))

    assert sorted(removed) == [run_id(n) for n in range(50)]
    assert [error for _, _, error in results if error] == []
    assert sweep.leftovers_of(results) == []


def test_a_clone_that_was_left_up_and_is_swept_is_noted_as_down(tmp_path, monkeypatch):
    started(tmp_path, run_id(1), "clone-up")
    account = Account(a_stack(run_id(1), expires=-HOUR))
    monkeypatch.setattr(aftermath, "remove", lambda *_: ["gone"])

    list(sweep.sweep(account.connection, tmp_path, survey(account, tmp_path), print))

    assert Ledger(tmp_path / RUNS / run_id(1) / "ledger.jsonl").entries()[-1].event == "clone-down"


def test_one_that_cannot_be_torn_down_keeps_no_other_from_it(tmp_path, monkeypatch):
    account = Account(*(a_stack(run_id(n), expires=-HOUR) for n in range(3)))
    errors = {run_id(0): TeardownError(["a queue"]), run_id(1): KeyError("StackId")}

    def remove(clients, run, ledger, narrate):
        if run in errors:
            raise errors[run]
        return [f"{run}: none is left"]

    monkeypatch.setattr(aftermath, "remove", remove)

    results = list(sweep.sweep(account.connection, tmp_path, survey(account, tmp_path), print))

    assert [bool(error) for _, _, error in results] == [True, True, False]
    assert sweep.leftovers_of(results) == ["a queue", f"readiness-{run_id(1)}"]


def test_a_run_of_another_machine_gets_a_ledger_that_a_teardown_can_go_on_from(tmp_path, monkeypatch):
    account = Account(a_stack(run_id(1), expires=-HOUR))
    family = f"readiness-{run_id(1)}-bad-release"
    account.services["ecs"].answers["list_task_definition_families"] = {"families": [family]}
    monkeypatch.setattr(aftermath, "remove", lambda *_: ["gone"])

    list(sweep.sweep(account.connection, tmp_path, survey(account, tmp_path), print))

    ledger = Ledger(aftermath.find_ledger(tmp_path, run_id(1)))
    assert [(entry.kind, entry.name) for entry in ledger.created()] == [
        ("stack", f"readiness-{run_id(1)}"),
        ("ecs-task", f"tasks of readiness-{run_id(1)}"),
        ("task-definition", family),
    ]
    assert ledger.entries()[0].details["target"] == "aws"


def test_a_ledger_that_lost_its_lines_is_completed_before_it_is_followed(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / RUNS / run_id(1) / "ledger.jsonl")
    ledger.path.write_text('{"at": "2026-03-01T12:0')
    account = Account(a_stack(run_id(1), expires=-HOUR))
    monkeypatch.setattr(aftermath, "remove", lambda *_: ["gone"])

    for _ in range(2):
        list(sweep.sweep(account.connection, tmp_path, survey(account, tmp_path), print))

    assert [entry.event for entry in ledger.entries()] == ["run-started", "connected", *["about-to-create"] * 2]
    assert {entry.kind for entry in ledger.created()} == {"stack", "ecs-task"}


def test_families_that_cannot_be_listed_leave_no_half_ledger_behind(tmp_path):
    account = Account(a_stack(run_id(1), expires=-HOUR))
    account.services["ecs"].answers["list_task_definition_families"] = client_error("ThrottlingException")

    ((_, _, error),) = sweep.sweep(account.connection, tmp_path, survey(account, tmp_path), print)

    assert "Listing task definitions failed" in str(error)
    assert not (tmp_path / RUNS).exists()


def test_the_survey_of_an_orphan_does_not_touch_its_ledger(tmp_path):
    path = Ledger(tmp_path / RUNS / run_id(1) / "ledger.jsonl").path
    path.write_text("unreadable\n")

    assert chosen(survey(Account(tagged=[topic_of(run_id(1))]), tmp_path)) == {f"readiness-{run_id(1)}": "sweep"}
    assert path.read_text() == "unreadable\n"


def test_an_account_that_does_not_tell_is_an_error_never_an_empty_one(tmp_path):
    account = Account()
    account.services["cloudformation"].answers["describe_stacks"] = client_error("AccessDenied")

    with pytest.raises(CloudError, match="Listing stacks failed"):
        survey(account, tmp_path)
