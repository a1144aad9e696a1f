"""How ``readiness up`` ends, and which clone is meant by ``readiness drill`` and ``readiness down``."""

from __future__ import annotations

import os
import signal
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import pytest
from botocore.exceptions import EndpointConnectionError

from readiness import doctor, production, staging, standing
from readiness.errors import CloudError, ReadinessError, TeardownError, UsageError
from readiness.interruption import Interrupted
from readiness.ledger import FILE, Ledger
from readiness.model import Clone
from readiness.narrator import Narrator
from readiness.run import RUNS, Request
from tests.unit.samples import PLAN, a_plan

ONE, TWO = "20260301-120000-aaaa", "20260301-120000-bbbb"


def a_run(repository, run_id, *events, target="embedded"):
    ledger = Ledger(repository / RUNS / run_id / FILE)
    ledger.note("run-started", name=run_id, target=target, region="eu-west-1")
    for event in events:
        ledger.note(event, name=run_id)


def down(repository, run_id=None):
    return standing.down(repository, run_id, lambda text: None)


def test_without_a_clone_there_is_nothing_to_take_down(tmp_path):
    a_run(tmp_path, ONE)

    with pytest.raises(UsageError, match="No clone is up"):
        down(tmp_path)


def test_a_clone_that_was_taken_down_is_not_up(tmp_path):
    a_run(tmp_path, ONE, "clone-up", "clone-down")

    with pytest.raises(UsageError, match="No clone is up"):
        down(tmp_path)
    with pytest.raises(ReadinessError, match=f"No clone of {ONE} is up"):
        down(tmp_path, ONE)


def test_of_two_clones_one_has_to_be_named(tmp_path):
    a_run(tmp_path, ONE, "clone-up", target="aws")
    a_run(tmp_path, TWO, "clone-up", target="aws")

    with pytest.raises(UsageError, match=f"Several clones may be up: {ONE}, {TWO}"):
        down(tmp_path)


def test_of_several_clones_those_do_not_count_whose_embedded_aws_is_gone(tmp_path):
    a_run(tmp_path, ONE, "clone-up")
    a_run(tmp_path, TWO, "clone-up", target="aws")

    assert standing._ledger(tmp_path, None).path.parent.name == TWO


def test_a_clone_whose_embedded_aws_is_gone_is_said_to_be_gone(tmp_path):
    a_run(tmp_path, ONE, "clone-up")

    with pytest.raises(ReadinessError, match="is not running any more"):
        down(tmp_path)


def test_a_name_that_is_no_runs_is_refused(tmp_path):
    with pytest.raises(ReadinessError, match="There is no run"):
        standing.drill(tmp_path, "rollback", "../../etc", Narrator())


def test_two_drills_at_once_on_one_clone_are_refused(tmp_path):
    refused = pytest.raises(ReadinessError, match="Another drill is under way")
    with standing._alone(tmp_path), refused, standing._alone(tmp_path):
        pytest.fail("it began")
    with standing._alone(tmp_path):
        pass


def test_a_ledger_without_its_first_line_is_no_place_to_go_to(tmp_path):
    Ledger(tmp_path / RUNS / ONE / FILE).note("clone-up", name=ONE)

    with pytest.raises(ReadinessError, match="does not say where the run stood"):
        down(tmp_path)


def test_an_embedded_aws_that_is_dead_while_a_task_of_it_runs_is_an_error_in_a_sentence(tmp_path, monkeypatch):
    a_run(tmp_path, ONE, "clone-up")
    ledger = Ledger(tmp_path / RUNS / ONE / FILE)
    ledger.note("embedded-aws-ready", name="one", endpoint="http://127.0.0.1:9", pid="1")
    (ledger.path.parent / "bundle").mkdir()
    (ledger.path.parent / "bundle" / "plan.toml").write_text(PLAN)
    monkeypatch.setattr(standing, "strays", lambda name: ["a task"])
    dead = EndpointConnectionError(endpoint_url="http://127.0.0.1:9")
    monkeypatch.setattr(standing, "connect_embedded", fail(dead))

    with pytest.raises(CloudError, match=f"Asking the embedded AWS of {ONE} failed"):
        down(tmp_path)


@pytest.fixture
def on_aws(tmp_path, monkeypatch):
    """A clone that is up on AWS, which can be reached."""
    a_run(tmp_path, ONE, "clone-up")
    ledger = Ledger(tmp_path / RUNS / ONE / FILE)
    ledger.about_to_create("stack", f"readiness-{ONE}")
    monkeypatch.setattr(standing, "_reach", lambda ledger: SimpleNamespace(target="aws", client=None))
    return ledger


def test_taking_a_clone_down_takes_two_interruptions_to_give_up(tmp_path, monkeypatch, on_aws):
    monkeypatch.setattr(standing, "_remove", lambda *args: [interrupt(), "gone"])
    assert down(tmp_path)[-1] == "gone"

    monkeypatch.setattr(standing, "_remove", lambda *args: [interrupt(), interrupt()])
    with pytest.raises(TeardownError, match=f"stack readiness-{ONE}"):
        down(tmp_path)


# --- up --------------------------------------------------------------------------------------------------------------


def interrupt(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGINT)


def fail(error):
    def failing(*args, **kwargs):
        raise error

    return failing


@pytest.fixture
def up(tmp_path, monkeypatch):
    """Return a function that brings a clone up, with a cloud in which nothing happens but what a test puts there."""
    (tmp_path / "readiness.toml").write_text(PLAN.replace('["numbers", "words"]', '["alarms"]'))
    connection = SimpleNamespace(target="aws", client=None, variables={}, costs=False)
    monkeypatch.setattr(standing, "connect", lambda *args, **kwargs: nullcontext(connection))
    monkeypatch.setattr(production, "refuse", lambda *args: None)
    monkeypatch.setattr(doctor, "cheap", lambda *args: [])
    monkeypatch.setattr(staging, "synthesize", lambda *args, **kwargs: None)
    monkeypatch.setattr(standing, "estimated", lambda *args: None)
    monkeypatch.setattr(standing, "_remove", lambda *args: ["gone"])

    def bring_up(target="aws", costs=False, **steps):
        connection.costs = costs
        for name, step in steps.items():
            monkeypatch.setattr(staging if name == "deploy" else standing, name, step)
        request = Request(
            repository=tmp_path,
            plan_file=tmp_path / "readiness.toml",
            waivers_file=tmp_path / "waivers.toml",
            target=target,
            yes=True,
        )
        return standing.up(request, Narrator())

    return bring_up


@pytest.mark.parametrize("target", ["aws", "embedded"])
@pytest.mark.parametrize("step", ["agree", "deploy"])
def test_a_clone_that_is_interrupted_before_it_stands_is_taken_down_and_not_told_as_up(up, target, step):
    removed = []

    with pytest.raises(Interrupted):
        up(target, **{step: interrupt, "_remove": lambda run_id, *_: removed.append(run_id) or []})
    assert len(removed) == 1


def test_a_teardown_that_is_given_up_names_what_may_be_left(up):
    def deploy(*args, ledger, **kwargs):
        ledger.about_to_create("stack", "readiness-x")
        interrupt()

    with pytest.raises(TeardownError, match="stack readiness-x") as caught:
        up(deploy=deploy, _remove=lambda *args: [interrupt(), interrupt()])
    assert "readiness teardown" in caught.value.hint


def test_whoever_does_not_agree_is_told_so_and_nothing_is_torn_down(up):
    with pytest.raises(UsageError, match="Not confirmed"):
        up(agree=fail(UsageError("Not confirmed: nothing was made.")), _remove=fail(TeardownError(["a queue"])))


@pytest.mark.parametrize(("usd", "refused"), [(7.99, True), (8.0, False), (None, False)])
def test_a_clone_that_would_cost_more_than_the_budget_before_it_expires_is_refused(usd, refused):
    plan = a_plan()
    plan = replace(plan, budget=replace(plan.budget, usd=usd, clone_lifetime=timedelta(hours=4)))

    with pytest.raises(UsageError, match=r"may cost 8\.00 USD") if refused else nullcontext():
        standing._refuse_over_budget(plan, SimpleNamespace(usd_per_hour_most=2.0))


def test_the_budget_is_asked_before_anybody_agrees(up, monkeypatch):
    monkeypatch.setattr(standing, "_refuse_over_budget", fail(UsageError("Over the budget.")))

    with pytest.raises(UsageError, match="Over the budget"):
        up(costs=True, agree=fail(AssertionError("it was asked")))


def test_what_a_later_command_reads_of_the_clone_holds_no_secret(up, tmp_path, monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", "s3cr3t-abcdefgh")
    outputs = {"ServiceUrl": "http://clone", "Note": "s3cr3t-abcdefgh"}

    def deploy(connection, assembly, *, run_id, expires_at, **how):
        return Clone(run_id=run_id, stack_name="s", stack_id="arn:s", outputs=outputs, expires_at=expires_at)

    run_id = up(agree=lambda *args: None, deploy=deploy)

    told = (tmp_path / RUNS / run_id / "clone.json").read_text()
    assert "http://clone" in told
    assert "s3cr3t" not in told
