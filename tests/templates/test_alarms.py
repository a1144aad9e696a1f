"""One alarm per objective that asks for one; nobody's silence looks like health."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App

from readiness import contract
from readiness.embedded.metric_math import Environment, parse
from readiness.evidence import BundleWriter
from readiness.gate import Context
from readiness.gates import runbooks
from readiness.ledger import Ledger
from readiness.model import AlarmSettings, ErrorObjective, LatencyObjective, Plan
from readiness.plan import parse as parse_record
from stacks.readiness_stack import ReadinessStack, identity
from tests.templates.conftest import REPOSITORY, Synthesized


def _alarms(stack: Synthesized) -> dict[str, dict[str, Any]]:
    """Return the alarms by objective; that of the synthetic probe is called ``probe``."""
    return {
        stack.path_of(name).removeprefix("Alarms/").replace("Probe/Alarm", contract.PROBE): alarm
        for name, alarm in stack.of_type("AWS::CloudWatch::Alarm").items()
    }


def _asked(plan: Plan) -> dict[str, AlarmSettings]:
    alarms = {objective.id: getattr(objective, "alarm", None) for objective in plan.objectives}
    if plan.probe is not None and plan.probe.runbook is not None:
        alarms[contract.PROBE] = AlarmSettings(runbook=plan.probe.runbook)
    return {name: alarm for name, alarm in alarms.items() if alarm is not None}


def test_there_is_an_alarm_per_objective_that_asks_for_one_and_no_other(any_plan: Synthesized) -> None:
    assert set(_alarms(any_plan)) == set(_asked(any_plan.plan))


def test_every_alarm_names_its_objective_and_its_runbook(any_plan: Synthesized) -> None:
    for objective, settings in _asked(any_plan.plan).items():
        description = _alarms(any_plan)[objective]["AlarmDescription"]
        assert objective in description.lower()
        assert f"Runbook: {settings.runbook}" in description


def test_every_alarm_tells_the_topic_of_every_state(any_plan: Synthesized) -> None:
    (topic,) = any_plan.of_type("AWS::SNS::Topic")
    for alarm in _alarms(any_plan).values():
        for key in ("AlarmActions", "OKActions", "InsufficientDataActions"):
            assert alarm[key] == [{"Ref": topic}]


def test_missing_data_is_neither_health_nor_fault_unless_the_plan_has_it_ring(any_plan: Synthesized) -> None:
    for objective, settings in _asked(any_plan.plan).items():
        assert _alarms(any_plan)[objective]["TreatMissingData"] == settings.missing_data


def test_silence_takes_no_release_back_where_the_plan_has_it_ring(other_service: Synthesized) -> None:
    assert _alarms(other_service)["right"]["TreatMissingData"] == "breaching"
    (service,) = other_service.of_type("AWS::ECS::Service").values()
    watched = service["DeploymentConfiguration"]["Alarms"]["AlarmNames"]
    assert {other_service.path_of(name["Ref"]) for name in watched} == {"Alarms/fast"}


def test_the_probes_alarm_rings_as_soon_as_one_run_fails(imported_network: Synthesized) -> None:
    alarm = _alarms(imported_network)[contract.PROBE]
    assert (alarm["Namespace"], alarm["MetricName"]) == ("CloudWatchSynthetics", "SuccessPercent")
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (100, "LessThanThreshold")
    assert (alarm["EvaluationPeriods"], alarm["Period"]) == (1, 60)
    told = imported_network.document["Outputs"][contract.Output.ALARMS]["Value"]["Fn::Join"][1]
    assert f'"{contract.PROBE}":"' in "".join(part for part in told if isinstance(part, str))


def test_alarms_have_the_objectives_own_thresholds_and_evaluation(other_service: Synthesized) -> None:
    fast = _alarms(other_service)["fast"]
    assert (fast["Threshold"], fast["ExtendedStatistic"], fast["ComparisonOperator"]) == (
        1,
        "p99",
        "GreaterThanThreshold",
    )
    assert (fast["EvaluationPeriods"], fast["DatapointsToAlarm"], fast["Period"]) == (3, 2, 60)
    assert fast["EvaluateLowSampleCountPercentile"] == "evaluate"
    assert _alarms(other_service)["right"]["Threshold"] == 0.02


def test_the_alarms_output_is_json_of_objective_to_alarm(default: Synthesized) -> None:
    parts = default.document["Outputs"][contract.Output.ALARMS]["Value"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else part["Ref"] for part in parts)
    by_objective = {default.path_of(name): name for name in default.of_type("AWS::CloudWatch::Alarm")}
    assert json.loads(text) == {path.removeprefix("Alarms/"): name for path, name in by_objective.items()}


def test_deployments_are_taken_back_by_errors_and_latency_but_not_by_hosts(default: Synthesized) -> None:
    (service,) = default.of_type("AWS::ECS::Service").values()
    alarms = service["DeploymentConfiguration"]["Alarms"]
    assert (alarms["Enable"], alarms["Rollback"]) == (True, True)
    assert {default.path_of(name["Ref"]) for name in alarms["AlarmNames"]} == {
        "Alarms/latency-p95",
        "Alarms/error-ratio",
    }


Metrics = dict[str, dict[int, float]]


def _compute(alarm: dict[str, Any], metrics: Metrics, ticks: tuple[int, ...]) -> dict[int, float]:
    """Return what the alarm's metric math comes to; series are values by tick."""
    queries = {query["Id"]: query for query in alarm["Metrics"]}

    def value(name: str) -> Any:
        query = queries[name]
        if "Expression" not in query:
            return metrics.get(name, {})
        expression = parse(query["Expression"])
        series = {other: value(other) for other in expression.ids}
        return expression.compute(
            Environment(series=series, metrics=sorted(metrics), timeline=ticks, period_s=60, seconds_per_tick=60)
        )

    (returned,) = (name for name, query in queries.items() if query.get("ReturnData", True))
    computed: dict[int, float] = value(returned)
    return computed


@pytest.mark.parametrize(
    ("metrics", "ratio"),
    [
        pytest.param({"requests": {0: 100.0}}, {0: 0.0}, id="no errors is zero"),
        pytest.param(
            {"requests": {0: 100.0}, "target5xx": {0: 4.0}, "balancer5xx": {0: 1.0}}, {0: 0.05}, id="both count"
        ),
        pytest.param({}, {}, id="no request is no datapoint"),
        pytest.param({"balancer5xx": {0: 7.0}}, {0: 1.0}, id="an outage of everything is a ratio of 1"),
        pytest.param({"requests": {0: 1.0}, "balancer5xx": {0: 9.0}}, {0: 1.0}, id="never more than 1"),
    ],
)
def test_the_error_ratio(default: Synthesized, metrics: Metrics, ratio: dict[int, float]) -> None:
    assert _compute(_alarms(default)["error-ratio"], metrics, (0,)) == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("metrics", "hosts"),
    [
        pytest.param({"primary": {0: 2.0}}, {0: 2.0}, id="the empty target group is silent"),
        pytest.param({"primary": {0: 1.0}, "alternate": {0: 2.0}}, {0: 3.0}, id="both count during a deployment"),
        pytest.param({}, {}, id="no target at all is no datapoint"),
    ],
)
def test_unhealthy_hosts(default: Synthesized, metrics: Metrics, hosts: dict[int, float]) -> None:
    assert _compute(_alarms(default)["unhealthy-hosts"], metrics, (0,)) == hosts


def test_messages_are_encrypted_with_a_key_that_cloudwatch_may_use(default: Synthesized) -> None:
    ((key, policy),) = default.of_type("AWS::KMS::Key").items()
    (topic,) = default.of_type("AWS::SNS::Topic").values()
    (queue,) = default.of_type("AWS::SQS::Queue").values()
    assert topic["KmsMasterKeyId"] == queue["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}
    permitted = {
        statement["Principal"]["Service"]: statement
        for statement in policy["KeyPolicy"]["Statement"]
        if "Service" in statement["Principal"]
    }
    assert set(permitted) == {"cloudwatch.amazonaws.com", "sns.amazonaws.com"}
    for statement in permitted.values():
        assert statement["Action"] == ["kms:Decrypt", "kms:GenerateDataKey*"]
        assert "aws:SourceArn" in statement["Condition"]["ArnLike"]


def test_topic_and_inbox_refuse_plaintext_and_strangers(default: Synthesized) -> None:
    (topic_policy,) = default.of_type("AWS::SNS::TopicPolicy").values()
    (queue_policy,) = default.of_type("AWS::SQS::QueuePolicy").values()
    for policy in (topic_policy, queue_policy):
        denied, allowed = sorted(
            policy["PolicyDocument"]["Statement"], key=lambda each: str(each["Effect"]), reverse=True
        )
        assert denied["Effect"] == "Deny"
        assert denied["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
        assert allowed["Effect"] == "Allow"
        assert "aws:SourceArn" in json.dumps(allowed["Condition"])


def test_the_inbox_gets_the_envelope_and_the_plans_subscribers_get_mail(other_service: Synthesized) -> None:
    subscriptions = other_service.of_type("AWS::SNS::Subscription").values()
    assert all("RawMessageDelivery" not in each for each in subscriptions)
    by_protocol = {each["Protocol"]: each["Endpoint"] for each in subscriptions}
    (inbox,) = other_service.of_type("AWS::SQS::Queue")
    assert by_protocol == {
        "sqs": {"Fn::GetAtt": [inbox, "Arn"]},
        "email": "greeters@example.com",
        "https": "https://hooks.example.com/readiness",
    }


def _synthesize(plan: Plan) -> None:
    app = App()
    ReadinessStack(app, contract.STACK_ID, plan=plan, identity=identity(app.node, plan))


def test_an_alarm_for_one_scenario_is_refused(synthesize: Callable[[str], Synthesized], default: Synthesized) -> None:
    plan = default.plan
    objectives = tuple(
        replace(objective, scenario="models")
        if isinstance(objective, LatencyObjective) and objective.alarm
        else objective
        for objective in plan.objectives
    )
    with pytest.raises(ValueError, match="latency-p95: has an alarm and a scenario"):
        _synthesize(replace(plan, objectives=objectives))


def test_an_alarm_faster_than_its_metric_is_refused(default: Synthesized) -> None:
    plan = default.plan
    quick = parse_record(AlarmSettings, {"runbook": "r.md", "period": "30s"}, "a test")
    objectives = tuple(
        replace(objective, alarm=quick) if isinstance(objective, ErrorObjective) else objective
        for objective in plan.objectives
    )
    with pytest.raises(ValueError, match=r"error-ratio: alarm.period is 30 s"):
        _synthesize(replace(plan, objectives=objectives))


def test_alarms_and_shipped_runbooks_name_each_other(default: Synthesized, tmp_path: Path) -> None:
    context = Context(
        plan=default.plan,
        repository=REPOSITORY,
        templates=(default.path,),
        clients=lambda service: pytest.fail(f"asked for {service}"),
        ledger=Ledger(tmp_path / "ledger.jsonl"),
        bundle=BundleWriter(tmp_path / "bundle"),
    )
    settings = runbooks.settings_in(default.plan, "readiness.toml")
    seen = runbooks.observe(context, settings)

    assert {alarm.names[0] for alarm in seen.alarms} == set(_asked(default.plan))
    findings = runbooks.judge(seen, settings).findings
    assert [each for each in findings if "review" not in each.rule] == []
