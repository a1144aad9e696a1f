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
from readiness.gates import alarms, rollback, task_loss
from readiness.ledger import FILE, Ledger
from readiness.model import AlarmDrill, BadRelease, Judgement, Outcome
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


# --- alarms ----------------------------------------------------------------------------------------------------------

ALARMS = alarms.Settings(settle=timedelta(seconds=60), confirm=timedelta(seconds=1))


@contextmanager
def altered(standing: Standing, objective: str, **changes: Any) -> Iterator[None]:
    """Have an alarm of the clone otherwise than the stack made it, while the block lasts."""
    cloudwatch = standing.context.clients("cloudwatch")
    name = staging.alarms(standing.context.clone)[objective]
    told = cloudwatch.describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    settable = cloudwatch.meta.service_model.operation_model("PutMetricAlarm").input_shape.members
    as_made = {key: value for key, value in told.items() if key in settable and value not in (None, [])}
    cloudwatch.put_metric_alarm(**{**as_made, **changes})
    try:
        yield
    finally:
        cloudwatch.put_metric_alarm(**as_made)


@contextmanager
def person(standing: Standing) -> Iterator[tuple[Any, str]]:
    """Yield SNS and the ARN of the one subscription of a person, which is as it was afterwards."""
    sns, topic = standing.context.clients("sns"), standing.context.clone.outputs[contract.Output.TOPIC_ARN]
    listed = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    (theirs,) = (each for each in listed if each["Protocol"] == "email")
    try:
        yield sns, theirs["SubscriptionArn"]
    finally:
        sns.unsubscribe(SubscriptionArn=theirs["SubscriptionArn"])
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=theirs["Endpoint"])


class AlsoOfTheStack:
    """CloudFormation, of a stack that has one composite alarm more."""

    def __init__(self, cloudformation: Any, alarm: str) -> None:
        self._pages = cloudformation.get_paginator("list_stack_resources")
        self._alarm = {"ResourceType": "AWS::CloudWatch::CompositeAlarm", "PhysicalResourceId": alarm}

    def get_paginator(self, operation: str) -> AlsoOfTheStack:
        assert operation == "list_stack_resources"
        return self

    def paginate(self, **parameters: Any) -> list[Any]:
        return [*self._pages.paginate(**parameters), {"StackResourceSummaries": [self._alarm]}]


@contextmanager
def composite(standing: Standing, of: str) -> Iterator[Context]:
    """Yield the context of a clone that has a composite alarm of one of its alarms."""
    ctx = standing.context
    cloudwatch, topic = ctx.clients("cloudwatch"), ctx.clone.outputs[contract.Output.TOPIC_ARN]
    cloudwatch.put_composite_alarm(
        AlarmName="the-service",
        AlarmRule=f'ALARM("{staging.alarms(ctx.clone)[of]}")',
        AlarmDescription="Runbook: runbooks/unhealthy-hosts.md",
        AlarmActions=[topic],
        OKActions=[topic],
    )
    cloudformation = AlsoOfTheStack(ctx.clients("cloudformation"), "the-service")
    try:
        yield replace(ctx, clients=lambda name: cloudformation if name == "cloudformation" else ctx.clients(name))
    finally:
        cloudwatch.delete_alarms(AlarmNames=["the-service"])


def drill_alarms(ctx: Context, *each: AlarmDrill) -> tuple[alarms.Observation, Judgement, Outcome]:
    limits = replace(ctx.plan.drills.alarms, each=each, max_detect=timedelta(seconds=12))
    ctx = replace(ctx, plan=replace(ctx.plan, drills=replace(ctx.plan.drills, alarms=limits)))
    seen = alarms.observe(ctx, ALARMS)
    judgement = alarms.judge(seen, ALARMS)
    return seen, judgement, outcome(ctx, judgement)


def test_an_alarm_without_action_a_muted_person_and_a_threshold_that_never_trips_fail_and_the_rest_is_drilled(standing):
    with (
        composite(standing, "unhealthy-hosts") as ctx,
        altered(standing, "error-ratio", AlarmActions=[]),
        altered(standing, "latency-p95", Threshold=3600.0),
        person(standing) as (sns, theirs),
    ):
        for name, value in (("FilterPolicyScope", "MessageBody"), ("FilterPolicy", '{"NewStateValue": ["OK"]}')):
            sns.set_subscription_attributes(SubscriptionArn=theirs, AttributeName=name, AttributeValue=value)
        seen, judgement, came_to = drill_alarms(ctx)

    assert came_to is Outcome.FAILED
    found = {each.rule: each for each in judgement.findings}
    assert set(found) == {"alarms/no-alarm-action", "alarms/never-fired", "alarms/subscription-muted"}, judgement
    assert found["alarms/no-alarm-action"].subject == "error-ratio"
    assert found["alarms/never-fired"].subject == "latency-p95"
    assert "requests met the fault" in found["alarms/never-fired"].message
    assert "drops ALARM of" in found["alarms/subscription-muted"].message
    by_alarm = {each.objective: each for each in seen.drills}
    for whole in (by_alarm["unhealthy-hosts"], by_alarm["the-service"]):
        assert whole.method == "unhealthy-targets"
        assert whole.injected_at < whole.alarm_at < whole.removed_at < whole.ok_at
        assert (whole.alarm_message.arn, whole.ok_message.arn) == (whole.arn, whole.arn)
    healthy = standing.context.clients("elbv2").describe_target_health(
        TargetGroupArn=drill.live_target_group(standing.context.clients("elbv2"), standing.context.clone)
    )["TargetHealthDescriptions"]
    assert {each["TargetHealth"]["State"] for each in healthy} <= {"healthy", "draining"}


def test_a_topic_without_a_person_fails_a_fault_without_effect_is_a_gap_and_silence_makes_its_alarm_ring(standing):
    ctx = standing.context
    elbv2, rule = ctx.clients("elbv2"), ctx.clone.outputs[contract.Output.FAULT_RULE_ARN]
    matches = elbv2.describe_rules(RuleArns=[rule])["Rules"][0]["Conditions"]
    nobodys = {"HttpHeaderName": "X-Nobody-Sends-This", "Values": ["*"]}
    with altered(standing, "latency-p95", TreatMissingData="breaching"), person(standing) as (sns, theirs):
        sns.unsubscribe(SubscriptionArn=theirs)
        elbv2.modify_rule(RuleArn=rule, Conditions=[{"Field": "http-header", "HttpHeaderConfig": nobodys}])
        try:
            seen, judgement, came_to = drill_alarms(ctx, AlarmDrill(objective="latency-p95", method="no-traffic"))
        finally:
            header = matches[0]["HttpHeaderConfig"]
            elbv2.modify_rule(RuleArn=rule, Conditions=[{"Field": "http-header", "HttpHeaderConfig": header}])

    assert came_to is Outcome.FAILED
    assert [each.rule for each in judgement.findings] == ["alarms/nobody-listens"], judgement
    (gap,) = judgement.gaps
    assert (gap.what, "so it never took effect" in gap.why) == ("alarm error-ratio", True)
    silent = next(each for each in seen.drills if each.objective == "latency-p95")
    assert silent.injected_at < silent.alarm_at < silent.removed_at < silent.ok_at
    assert silent.effect.startswith("no request came for")
