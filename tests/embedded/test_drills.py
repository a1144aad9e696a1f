"""Stories: what must not pass a drill does not, on one clone of the embedded AWS, and says why."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from readiness import contract, decide, drill, staging
from readiness.cloud import connect
from readiness.evidence import BundleWriter
from readiness.gate import Context
from readiness.gates import rollback, task_loss
from readiness.ledger import FILE, Ledger
from readiness.model import BadRelease, Judgement, Outcome
from readiness.plan import load_plan
from readiness.runbook import content_hash
from tests.embedded import harness

RUN_ID = "20260101-000000-d111"
QUICK = rollback.Settings(steady=timedelta(seconds=3), settle=timedelta(seconds=60), restored=timedelta(seconds=20))


@dataclass
class Standing:
    """A clone, and a repository whose runbook a story may spoil."""

    context: Context

    @property
    def ecs(self) -> Any:
        return self.context.clients("ecs")

    def spoil(self, old: str, new: str) -> None:
        file = self.context.repository / "runbooks" / "rollback.md"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    def changed(self, **drills: Any) -> Context:
        plan = self.context.plan
        return replace(self.context, plan=replace(plan, drills=replace(plan.drills, **drills)))

    def state(self) -> drill.ServiceState:
        return drill.service_state(self.ecs, self.context.clone)


@pytest.fixture(autouse=True)
def nothing_left_running() -> None:
    """Take the place of the check after each story: the clone outlives it, and its end proves that nothing is left."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory) -> Iterator[Context]:
    folder = tmp_path_factory.mktemp("drills")
    repository = folder / "repository"
    repository.mkdir()
    shutil.copytree(harness.ROOT / "workload", repository / "workload")
    plan_file = harness.write_plan(folder)
    plan = load_plan(plan_file)
    ledger = Ledger(folder / FILE)
    expires_at = datetime.now(UTC) + timedelta(hours=1)
    with connect("embedded", plan, repository=harness.ROOT, folder=folder / "embedded", ledger=ledger) as connection:
        assembly = staging.synthesize(
            harness.ROOT,
            folder / "cdk.out",
            plan_file=plan_file,
            variables=connection.variables,
            run_id=RUN_ID,
            expires_at=expires_at,
        )
        clone = staging.deploy(
            connection, assembly, repository=harness.ROOT, run_id=RUN_ID, expires_at=expires_at, ledger=ledger
        )
        yield Context(
            plan=plan,
            repository=repository,
            templates=assembly.templates,
            clients=connection.client,
            ledger=ledger,
            bundle=BundleWriter(folder / "bundle"),
            environment=connection.environment,
            variables=connection.variables,
            deployed=clone,
        )


@pytest.fixture
def standing(deployed) -> Standing:
    runbooks = deployed.repository / "runbooks"
    shutil.rmtree(runbooks, ignore_errors=True)
    shutil.copytree(harness.ROOT / "runbooks", runbooks)
    return Standing(deployed)


def outcome(ctx: Context, judgement: Judgement) -> Outcome:
    findings = decide.dispose(judgement.findings, (), datetime.now(UTC).date())
    return decide.outcome(judgement, findings, ctx.plan.blocking_severities)


def rehearse(ctx: Context) -> tuple[rollback.Observation, Judgement, Outcome]:
    seen = rollback.observe(ctx, QUICK)
    judgement = rollback.judge(seen, QUICK)
    return seen, judgement, outcome(ctx, judgement)


def test_the_runbook_takes_a_release_back_and_leaves_everything_as_it_was(standing):
    before = standing.state()

    seen, judgement, came_to = rehearse(standing.context)

    assert came_to is Outcome.PASSED, judgement
    assert standing.state().task_definition == before.task_definition
    followed = seen.rehearsals[-1]
    assert [each.fault for each in followed.steps] == [""] * len(followed.planned_steps) != []
    assert followed.runbook_hash == content_hash((harness.ROOT / "runbooks" / "rollback.md").read_text())
    assert followed.effective_at < followed.decided_at < followed.rolled_back_at
    configuration = standing.ecs.describe_services(
        cluster=standing.context.clone.outputs[contract.Output.CLUSTER],
        services=[standing.context.clone.outputs[contract.Output.SERVICE]],
    )["services"][0]["deploymentConfiguration"]
    assert configuration["alarms"]["enable"]
    assert configuration["deploymentCircuitBreaker"]["enable"]
    assert configuration["canaryConfiguration"]["canaryBakeTimeInMinutes"] == 2


def test_a_runbook_with_a_wrong_command_fails_and_the_clone_is_put_back(standing):
    before = standing.state()
    standing.spoil("aws ecs update-service --cluster", "aws ecs update-servise --cluster")

    seen, judgement, came_to = rehearse(standing.context)

    assert came_to is Outcome.FAILED
    messages = {each.rule: each.message for each in judgement.findings}
    assert "step deploy-previous" in messages["rollback/runbook-step-failed"]
    assert "rollback/previous-revision-not-back" in messages
    assert seen.rehearsals[-1].put_back
    assert standing.state().task_definition == before.task_definition


def test_a_runbook_that_restores_the_wrong_revision_fails(standing):
    """Its steps all succeed: only what runs afterwards tells."""
    standing.spoil('echo "PREVIOUS=$PREVIOUS" >>', 'PREVIOUS="$CURRENT"; echo "PREVIOUS=$PREVIOUS" >>')
    standing.spoil('if [ -n "$PREVIOUS" ]; then\n  aws ecs update-service', "if false; then\n  aws ecs update-service")

    seen, judgement, came_to = rehearse(standing.context)

    assert came_to is Outcome.FAILED
    assert not any(each.fault for each in seen.rehearsals[-1].steps), seen.rehearsals[-1].steps
    rules = {each.rule for each in judgement.findings}
    assert {"rollback/previous-revision-not-back", "rollback/bad-task-left"} <= rules
    assert seen.rehearsals[-1].put_back


def test_a_fault_without_effect_is_inconclusive_and_the_clone_is_put_back(standing):
    before = standing.state()
    plan = standing.context.plan.drills.rollback
    harmless = replace(
        plan,
        bad=(BadRelease(kind="errors", environment={"NOBODY_READS_THIS": "1"}),),
        runbook=replace(plan.runbook, max_detect=timedelta(seconds=3)),
    )

    _, judgement, came_to = rehearse(standing.changed(rollback=harmless))

    assert came_to is Outcome.INCONCLUSIVE
    assert judgement.findings == ()
    assert sum("never took effect" in gap.why for gap in judgement.gaps) == 2
    assert standing.state().task_definition == before.task_definition


@pytest.mark.parametrize(
    "bad",
    [
        BadRelease(kind="slow", environment={"PROXY_ADDED_LATENCY_MS": "800"}),
        BadRelease(kind="crash", environment={"PROXY_CRASH_ON_START": "true"}),
        BadRelease(kind="never-healthy", environment={"PROXY_UNHEALTHY": "true"}),
        BadRelease(kind="unpullable", image="llm-proxy:no-such-tag"),
    ],
    ids=lambda bad: bad.kind,
)
def test_ecs_takes_back_a_release_that_is_bad_in_another_way(standing, bad):
    """Only the way back by itself: the runbook's is the same whatever was bad."""
    ctx = standing.context
    fleet = rollback.Fleet(ctx.clients, ctx.clone, ctx.plan, ctx.ledger, repository=ctx.repository)
    with fleet.drive(rate_per_s=50, headers={}, until_stopped=True) as load:
        rehearsal = rollback.rehearse(ctx, QUICK, "automatic", bad)
        result = load.stop()
    seen = rollback.observed(ctx, (rehearsal,), result)
    judgement = rollback.judge(seen, QUICK)

    assert judgement.findings == (), judgement
    assert [gap.what for gap in judgement.gaps] == ["the runbook rollback"]
    assert rehearsal.release.status == "ROLLBACK_SUCCESSFUL"
    if not bad.starts:
        assert rehearsal.stopped or rehearsal.failed_tasks


def test_a_lost_zone_is_outlived(standing):
    ctx = standing.changed(task_loss=replace(standing.context.plan.drills.task_loss, lose="zone"))

    seen = task_loss.observe(ctx, task_loss.Settings())
    judgement = task_loss.judge(seen, task_loss.Settings())

    assert outcome(ctx, judgement) is Outcome.PASSED, judgement
    assert {each.zone for each in seen.lost} <= {"eu-west-1a", "eu-west-1b"}
    assert all(each.gone_at for each in seen.lost)


@contextmanager
def nothing_may_start(standing: Standing) -> Iterator[None]:
    """Stop every task of the service that was not there before, as soon as there is one."""
    cluster = standing.context.clone.outputs[contract.Output.CLUSTER]
    service = standing.context.clone.outputs[contract.Output.SERVICE]
    known = set(standing.ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"])
    over = threading.Event()

    def stop() -> None:
        while not over.wait(0.05):
            for task in set(standing.ecs.list_tasks(cluster=cluster, serviceName=service)["taskArns"]) - known:
                standing.ecs.stop_task(cluster=cluster, task=task, reason="the story wants it so")

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_count_that_never_comes_back_fails(standing):
    plan = standing.context.plan.drills.task_loss
    ctx = standing.changed(task_loss=replace(plan, max_recover=timedelta(seconds=6)))

    with nothing_may_start(standing):
        seen = task_loss.observe(ctx, task_loss.Settings(settle=timedelta(seconds=20)))
    judgement = task_loss.judge(seen, task_loss.Settings())

    assert outcome(ctx, judgement) is Outcome.FAILED
    assert "task-loss/not-replaced" in {each.rule for each in judgement.findings}


def test_runbooks_are_read_from_the_repository_of_the_user(standing):
    (Path(standing.context.repository) / "runbooks" / "rollback.md").unlink()
    followed = rollback.follow_runbook(
        standing.context, "rollback", rollback.Timeline("x", lambda _: None, lambda _: None)
    )

    assert (followed.steps, followed.planned_steps) == ((), ())
    assert "No such file" in followed.runbook_fault
