from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from readiness.embedded import composite_rule
from readiness.embedded.alarms import AlarmEvaluator, decide, is_breaching, newest_closed_tick, samples_needed
from readiness.embedded.cloudwatch import CloudWatch
from readiness.embedded.composite_rule import AlarmRuleError
from readiness.embedded.metrics import Datum
from readiness.embedded.moto_adapter import AwsError
from readiness.embedded.settings import EmbeddedSettings

KEPT = None
INSUFFICIENT = "INSUFFICIENT_DATA"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alarms"
DIMENSIONS = [{"Name": "Service", "Value": "a"}]

# The tables of https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html, and of its
# previous edition the rows that it no longer has; columns: missing, ignore, breaching, notBreaching.
THREE_OF_THREE = {
    "0-X-X": ("OK", "OK", "OK", "OK"),
    "0----": ("OK", "OK", "OK", "OK"),
    "-----": (INSUFFICIENT, KEPT, "ALARM", "OK"),
    "0XX-X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "--X--": ("ALARM", KEPT, "ALARM", "OK"),
    "----X": (INSUFFICIENT, KEPT, "ALARM", "OK"),
    "X----": ("ALARM", KEPT, "ALARM", "OK"),
}
TWO_OF_THREE = {
    "0-X-X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "00X0X": ("ALARM", "ALARM", "ALARM", "ALARM"),
    "0-X--": ("OK", "OK", "ALARM", "OK"),
    "----0": ("OK", "OK", "ALARM", "OK"),
    "---X-": ("ALARM", KEPT, "ALARM", "OK"),
    "----X": (INSUFFICIENT, KEPT, "ALARM", "OK"),
}
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
ROWS = [
    (to_alarm, points, treatment, expected)
    for to_alarm, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
    for points, row in table.items()
    for treatment, expected in zip(TREATMENTS, row, strict=True)
]


@pytest.mark.parametrize(("to_alarm", "points", "treatment", "expected"), ROWS)
def test_the_documented_tables_of_missing_data(
    to_alarm: int, points: str, treatment: str, expected: str | None
) -> None:
    known = {"0": False, "X": True, "-": None}
    assert decide([known[point] for point in points], 3, to_alarm, treatment).state == expected


@pytest.mark.parametrize(
    ("points", "filled"), [("0-X-X", 0), ("0----", 2), ("-----", 3), ("0XX-X", 0), ("--X--", 2), ("0-X--", 1)]
)
def test_the_documented_number_of_points_is_filled(points: str, filled: int) -> None:
    known = {"0": False, "X": True, "-": None}
    assert decide([known[point] for point in points], 3, 3, "missing").filled == filled


@pytest.mark.parametrize("points", ["---X-", "----X"])
def test_a_young_breaching_point_alone_does_not_alarm_yet(points: str) -> None:
    known = {"0": False, "X": True, "-": None}
    assert decide([known[point] for point in points], 3, 3, "missing").state != "ALARM"


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanThreshold", [False, False, True]),
        ("GreaterThanOrEqualToThreshold", [False, True, True]),
        ("LessThanThreshold", [True, False, False]),
        ("LessThanOrEqualToThreshold", [True, True, False]),
    ],
)
def test_comparison_operators_have_the_statistic_first(comparison: str, breaching: list[bool]) -> None:
    assert [is_breaching(comparison, value, 5.0) for value in (4.0, 5.0, 6.0)] == breaching


def test_the_documented_sample_sizes_of_percentiles() -> None:
    assert samples_needed(0.99) == pytest.approx(1000)
    assert samples_needed(0.5) == pytest.approx(20)
    assert samples_needed(0.1) == pytest.approx(100)


def test_a_period_that_is_still_open_is_not_evaluated() -> None:
    assert newest_closed_tick(119, 60) == 60
    assert newest_closed_tick(120, 60) == 120
    assert newest_closed_tick(119, 10) == 110
    # of longer periods the window slides by a minute
    assert newest_closed_tick(365, 300) == 360


class World:
    """A CloudWatch with a clock that is set by hand and an SNS that takes notes."""

    def __init__(self, time_scale: float = 1.0) -> None:
        self.now = 1_700_000_040.0
        self.published: list[dict[str, Any]] = []
        self.invoked: list[dict[str, Any]] = []
        self.sns_error = ""
        self.refusal = ""
        settings = EmbeddedSettings(state_dir=Path("/nonexistent"), time_scale=time_scale)
        self.cloudwatch = CloudWatch(
            settings, lambda _: self, clock=lambda: self.now, refusal=lambda action, alarm: self.refusal
        )
        self._actions = self.cloudwatch.actions["cloudwatch"]

    def publish(self, **message: str) -> None:
        if self.sns_error:
            raise RuntimeError(self.sns_error)
        self.published.append(message | {"document": json.loads(message["Message"])})

    def invoke(self, **call: Any) -> None:
        self.invoked.append(json.loads(call["Payload"]))

    def __call__(self, operation: str, **params: Any) -> Any:
        return self._actions[operation](params)

    def alarm(self, **changes: Any) -> None:
        configuration: dict[str, Any] = {
            "AlarmName": "errors",
            "Namespace": "App",
            "MetricName": "Errors",
            "Dimensions": DIMENSIONS,
            "Statistic": "Sum",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 5.0,
            "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": [TOPIC],
            "OKActions": [TOPIC],
        } | changes
        self("PutMetricAlarm", **{key: value for key, value in configuration.items() if value is not None})

    def minute(self, *values: float, name: str = "Errors") -> None:
        """Put values into the minute that is open, let it close, and evaluate."""
        if values:
            key = tuple((one["Name"], one["Value"]) for one in DIMENSIONS)
            counts = (1.0,) * len(values)
            self.cloudwatch.put([Datum("App", name, key, self.now, "None", values, counts)])
        self.now += 60 / self.cloudwatch.store.time_scale
        self.evaluate()

    def evaluate(self) -> None:
        self.cloudwatch.evaluator.evaluate_all()
        self.cloudwatch.run_waiting_actions()

    def state(self, name: str = "errors") -> str:
        return self.cloudwatch.alarm_state(name)

    def described(self, name: str = "errors", kind: str = "MetricAlarm") -> dict[str, Any]:
        found: dict[str, Any] = self("DescribeAlarms", AlarmNames=[name], AlarmTypes=[kind])[f"{kind}s"][0]
        return found

    def history(self, **params: Any) -> list[dict[str, Any]]:
        kinds = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"], "ScanBy": "TimestampAscending"}
        found: list[dict[str, Any]] = self("DescribeAlarmHistory", **(kinds | params))["AlarmHistoryItems"]
        return found


@pytest.fixture
def world() -> World:
    return World()


def test_a_new_alarm_has_insufficient_data(world: World) -> None:
    world.alarm()
    assert world.state() == INSUFFICIENT
    assert world.described()["StateReason"] == "Unchecked: Initial alarm creation"


def test_an_alarm_follows_its_metric_and_notifies_on_transitions_only(world: World) -> None:
    world.alarm()
    for value in (1, 9, 9, 1):
        world.minute(value)
    assert [one["document"]["NewStateValue"] for one in world.published] == ["OK", "ALARM", "OK"]


def test_no_data_is_insufficient_data_and_never_ok(world: World) -> None:
    world.alarm()
    for _ in range(5):
        world.minute()
    assert world.state() == INSUFFICIENT
    assert world.published == []


def test_data_of_the_open_minute_do_not_count(world: World) -> None:
    world.alarm()
    world.cloudwatch.put([Datum("App", "Errors", (("Service", "a"),), world.now, "None", (9.0,), (1.0,))])
    world.now += 59.9
    world.evaluate()
    assert world.state() == INSUFFICIENT
    world.now += 0.1
    world.evaluate()
    assert world.state() == "ALARM"


def test_two_of_three_breaching_datapoints_are_enough_wherever_they_are(world: World) -> None:
    world.alarm(EvaluationPeriods=3, DatapointsToAlarm=2)
    states = []
    for value in (1, 1, 1, 9, 1, 9, 1, 1):
        world.minute(value)
        states.append(world.state())
    assert states[2:] == ["OK", "OK", "OK", "ALARM", "OK", "OK"]


def test_a_time_scale_of_twenty_makes_a_minute_three_seconds() -> None:
    world = World(time_scale=20.0)
    world.alarm()
    began = world.now
    world.minute(9)
    assert world.state() == "ALARM"
    assert world.now - began == pytest.approx(3.0)
    assert AlarmEvaluator(world.cloudwatch.book, world.cloudwatch.store).interval_s == 0.5


def test_long_periods_slide_by_a_minute(world: World) -> None:
    world.alarm(Period=300)
    world.minute(9)
    for _ in range(4):
        world.minute()
        assert world.state() == "ALARM"


def test_a_percentile_of_few_samples_keeps_the_state_when_told_to_ignore(world: World) -> None:
    world.alarm(Statistic=None, ExtendedStatistic="p90", EvaluateLowSampleCountPercentile="ignore")
    world.minute(*[9.0] * 99)
    assert world.state() == INSUFFICIENT
    world.minute(*[9.0] * 100)
    assert world.state() == "ALARM"
    world.minute(1.0)
    assert world.state() == "ALARM"


def test_a_percentile_of_few_samples_is_evaluated_by_default(world: World) -> None:
    world.alarm(Statistic=None, ExtendedStatistic="p90")
    world.minute(9.0)
    assert world.state() == "ALARM"


def test_no_samples_at_all_are_missing_data_even_when_few_are_ignored(world: World) -> None:
    world.alarm(Statistic=None, ExtendedStatistic="p90", EvaluateLowSampleCountPercentile="ignore")
    world.minute(*[9.0] * 100)
    for _ in range(4):
        world.minute()
    assert world.state() == INSUFFICIENT


def ratio_alarm() -> dict[str, Any]:
    def metric(query_id: str, name: str) -> dict[str, Any]:
        stat = {
            "Metric": {"Namespace": "App", "MetricName": name, "Dimensions": DIMENSIONS},
            "Period": 60,
            "Stat": "Sum",
        }
        return {"Id": query_id, "MetricStat": stat, "ReturnData": False}

    ratio = {"Id": "ratio", "Expression": "100 * errors / requests", "Label": "Error %"}
    one_metric = ("Namespace", "MetricName", "Dimensions", "Statistic", "Period")
    metrics = [ratio, metric("errors", "Errors"), metric("requests", "Requests")]
    return dict.fromkeys(one_metric) | {"Metrics": metrics}


def test_an_alarm_on_an_expression_watches_the_query_that_returns_data(world: World) -> None:
    world.alarm(**ratio_alarm())
    world.minute(3.0, name="Requests")
    assert world.state() == "OK"
    world.cloudwatch.put([Datum("App", "Requests", (("Service", "a"),), world.now, "None", (50.0,), (1.0,))])
    world.minute(3.0)
    assert world.state() == "ALARM"
    trigger = world.published[-1]["document"]["Trigger"]
    assert [one["Id"] for one in trigger["Metrics"]] == ["ratio", "errors", "requests"]
    assert "MetricName" not in trigger


def test_errors_without_requests_divide_by_zero_and_are_no_evidence(world: World) -> None:
    world.alarm(**ratio_alarm())
    for _ in range(3):
        world.minute(3.0)
    assert world.state() == INSUFFICIENT


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"AlarmActions": ["arn:aws:automate:eu-west-1:ec2:stop"]}, "NotImplemented", "automate"),
        ({"AlarmActions": ["arn:aws:autoscaling:eu-west-1:1:x"]}, "NotImplemented", "autoscaling"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "NotImplemented", "GreaterThanUpperThreshold"),
        ({"ThresholdMetricId": "ad1"}, "NotImplemented", "ThresholdMetricId"),
        ({"Statistic": None, "ExtendedStatistic": "tm90"}, "ValidationError", "tm90"),
        ({"Period": 45}, "ValidationError", "45"),
        ({"Period": 5}, "ValidationError", "period 5"),
        ({"Period": 86400, "EvaluationPeriods": 8}, "ValidationError", "at most"),
        ({"Period": 3600, "EvaluationPeriods": 3}, "NotImplemented", "3 hours"),
        ({"DatapointsToAlarm": 2}, "ValidationError", "DatapointsToAlarm"),
        ({"Threshold": None}, "MissingParameter", "Threshold"),
        ({"Statistic": None}, "MissingParameter", "Statistic"),
        ({"TreatMissingData": "whatever"}, "ValidationError", "whatever"),
    ],
)
def test_an_alarm_that_cannot_be_evaluated_is_refused_when_put(
    world: World, changes: dict[str, Any], code: str, told: str
) -> None:
    with pytest.raises(AwsError, match=told) as refused:
        world.alarm(**changes)
    assert refused.value.code == code


def test_an_expression_that_is_not_done_is_refused_when_put(world: World) -> None:
    metrics = ratio_alarm()
    metrics["Metrics"][0]["Expression"] = "ANOMALY_DETECTION_BAND(errors, 2)"
    with pytest.raises(AwsError, match="ANOMALY_DETECTION_BAND"):
        world.alarm(**metrics)


def test_the_message_is_the_documented_one(world: World) -> None:
    world.alarm(AlarmDescription="too many", DatapointsToAlarm=1, TreatMissingData="notBreaching")
    world.minute(9)
    sent = world.published[0]
    assert sent["TopicArn"] == TOPIC
    assert sent["Subject"] == 'ALARM: "errors" in EU (Ireland)'
    document = sent["document"]
    changed_at = datetime.fromtimestamp(world.now, UTC)
    minute = datetime.fromtimestamp(world.now - 60, UTC)
    assert document == {
        "AlarmName": "errors",
        "AlarmDescription": "too many",
        "AWSAccountId": "123456789012",
        "AlarmConfigurationUpdatedTimestamp": f"{minute:%Y-%m-%dT%H:%M:%S}.000+0000",
        "NewStateValue": "ALARM",
        "NewStateReason": f"Threshold Crossed: 1 out of the last 1 datapoints [9.0 ({minute:%d/%m/%y %H:%M:%S})] was "
        "greater than the threshold (5.0) (minimum 1 datapoint for OK -> ALARM transition).",
        "StateChangeTime": f"{changed_at:%Y-%m-%dT%H:%M:%S}.000+0000",
        "Region": "EU (Ireland)",
        "AlarmArn": "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:errors",
        "OldStateValue": "INSUFFICIENT_DATA",
        "OKActions": [TOPIC],
        "AlarmActions": [TOPIC],
        "InsufficientDataActions": [],
        "Trigger": {
            "MetricName": "Errors",
            "Namespace": "App",
            "StatisticType": "Statistic",
            "Statistic": "SUM",
            "Unit": None,
            "Dimensions": [{"value": "a", "name": "Service"}],
            "Period": 60,
            "EvaluationPeriods": 1,
            "DatapointsToAlarm": 1,
            "ComparisonOperator": "GreaterThanThreshold",
            "Threshold": 5.0,
            "TreatMissingData": "notBreaching",
            "EvaluateLowSampleCountPercentile": "",
        },
    }


@pytest.mark.parametrize(
    ("changes", "values", "told"),
    [
        ({}, (9,), "Threshold Crossed: 1 datapoint [9.0 (AT)] was greater than the threshold (5.0)."),
        ({}, (1,), "Threshold Crossed: 1 datapoint [1.0 (AT)] was not greater than the threshold (5.0)."),
        (
            {"EvaluationPeriods": 3, "TreatMissingData": "breaching"},
            (9,),
            "Threshold Crossed: 1 datapoint [9.0 (AT)] was greater than the threshold (5.0) and 2 missing datapoints "
            "were treated as [Breaching].",
        ),
        (
            {"TreatMissingData": "breaching"},
            (),
            "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
            "[Breaching].",
        ),
    ],
)
def test_the_reason_is_worded_as_cloudwatch_words_it(
    world: World, changes: dict[str, Any], values: tuple[float, ...], told: str
) -> None:
    world.alarm(**changes)
    world.minute(*values)
    at = datetime.fromtimestamp(world.now - 60, UTC)
    assert world.described()["StateReason"] == told.replace("AT", f"{at:%d/%m/%y %H:%M:%S}")
    data = json.loads(world.described()["StateReasonData"])
    assert data["recentDatapoints"] == [float(value) for value in values]
    assert data["threshold"] == 5.0


def test_a_long_name_is_cut_to_a_subject_of_one_hundred_characters(world: World) -> None:
    world.alarm(AlarmName="x" * 200)
    world.minute(9)
    subject = world.published[0]["Subject"]
    assert len(subject) == 100
    assert subject.endswith('x..." in EU (Ireland)')


def test_a_failed_notification_is_a_failed_action_in_the_history(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.alarm()
    world.sns_error = "Topic does not exist"
    world.minute(9)
    (action,) = world.history(HistoryItemType="Action")
    assert action["HistorySummary"] == f'Failed to execute action {TOPIC}. Received error: "Topic does not exist"'
    data = json.loads(action["HistoryData"])
    assert (data["actionState"], data["error"]) == ("Failed", "Topic does not exist")
    assert "Topic does not exist" in capsys.readouterr().err


def test_the_history_has_configuration_state_and_action_in_order(world: World) -> None:
    world.alarm()
    world.minute(9)
    world.alarm(Threshold=50.0)
    world("DeleteAlarms", AlarmNames=["errors"])
    items = world.history(AlarmName="errors")
    assert [(one["HistoryItemType"], one["HistorySummary"]) for one in items] == [
        ("ConfigurationUpdate", 'Alarm "errors" created'),
        ("StateUpdate", "Alarm updated from INSUFFICIENT_DATA to ALARM"),
        ("Action", f"Successfully executed action {TOPIC}"),
        ("ConfigurationUpdate", 'Alarm "errors" updated'),
        ("ConfigurationUpdate", 'Alarm "errors" deleted'),
    ]
    update = json.loads(items[1]["HistoryData"])
    assert update["oldState"]["stateValue"] == INSUFFICIENT
    assert update["newState"]["stateReasonData"]["recentDatapoints"] == [9.0]
    assert json.loads(items[3]["HistoryData"])["originalUpdatedFields"]["threshold"] == 5.0


def test_an_update_leaves_the_state_and_overwrites_the_rest(world: World) -> None:
    world.alarm(AlarmDescription="first")
    world.minute(9)
    world.alarm(Threshold=50.0)
    assert world.state() == "ALARM"
    assert "AlarmDescription" not in world.described()
    world.minute(9)
    assert world.state() == "OK"


def test_disabled_actions_do_not_run_but_the_state_changes(world: World) -> None:
    world.alarm()
    world("DisableAlarmActions", AlarmNames=["errors"])
    world.minute(9)
    assert (world.state(), world.published) == ("ALARM", [])
    world("EnableAlarmActions", AlarmNames=["errors"])
    world.minute(1)
    assert [one["document"]["NewStateValue"] for one in world.published] == ["OK"]


def test_a_state_that_was_set_by_hand_notifies_and_is_corrected_by_the_next_evaluation(world: World) -> None:
    world.alarm()
    world.minute(1)
    world("SetAlarmState", AlarmName="errors", StateValue="ALARM", StateReason="drill")
    world.evaluate()
    assert [one["document"]["NewStateValue"] for one in world.published] == ["OK", "ALARM", "OK"]
    assert world.published[1]["document"]["NewStateReason"] == "drill"
    world("SetAlarmState", AlarmName="errors", StateValue="OK", StateReason="the state that it has")
    world.cloudwatch.run_waiting_actions()
    assert len(world.published) == 3


def test_an_unknown_alarm_has_no_state(world: World) -> None:
    with pytest.raises(AwsError, match="nothing-of-this-name") as refused:
        world.state("nothing-of-this-name")
    assert refused.value.code == "ResourceNotFound"


def test_a_lambda_action_gets_the_documented_event(world: World) -> None:
    world.alarm(AlarmActions=["arn:aws:lambda:eu-west-1:123456789012:function:f"])
    world.minute(9)
    (event,) = world.invoked
    assert event["source"] == "aws.cloudwatch"
    assert event["alarmData"]["state"]["value"] == "ALARM"
    metric = event["alarmData"]["configuration"]["metrics"][0]["metricStat"]["metric"]
    assert metric == {"namespace": "App", "name": "Errors", "dimensions": {"Service": "a"}}


def test_one_alarm_that_cannot_be_computed_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.alarm(AlarmName="broken")
    world.alarm(AlarmName="sound")
    broken = world.cloudwatch.book.alarms["broken"]
    broken.watched = "no such query"
    world.minute(9)
    assert (world.state("broken"), world.state("sound")) == (INSUFFICIENT, "ALARM")
    assert "broken" in capsys.readouterr().err


# Composite alarms


@pytest.mark.parametrize(
    ("rule", "states", "holds"),
    [
        ("ALARM(a)", {"a": "ALARM"}, True),
        ("ALARM(a)", {"a": "OK"}, False),
        ('OK("a")', {"a": "OK"}, True),
        ('INSUFFICIENT_DATA("a b")', {"a b": INSUFFICIENT}, True),
        ("ALARM(a) AND NOT ALARM(b)", {"a": "ALARM", "b": "OK"}, True),
        ("ALARM(a) AND NOT ALARM(b)", {"a": "ALARM", "b": "ALARM"}, False),
        ("(ALARM(a) OR ALARM(b)) AND OK(c)", {"a": "OK", "b": "ALARM", "c": "OK"}, True),
        ("ALARM(a) OR ALARM(b) AND OK(c)", {"a": "ALARM", "b": "OK", "c": "ALARM"}, True),
        ("NOT (ALARM(a) OR FALSE)", {"a": "OK"}, True),
        ("TRUE", {}, True),
        ("false", {}, False),
        ("ALARM(arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a:b)", {"a:b": "ALARM"}, True),
        ('alarm( "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:a" )', {"a": "ALARM"}, True),
    ],
)
def test_alarm_rules(rule: str, states: dict[str, str], holds: bool) -> None:
    assert composite_rule.parse(rule).holds(states) is holds


@pytest.mark.parametrize(
    "rule",
    ["", "ALARM()", "ALARM(a) ALARM(b)", "ALARM(a) AND", "(ALARM(a)", "MAYBE(a)", "AT_LEAST(2, ALARM, (a, b))", "a"],
)
def test_a_rule_that_cannot_be_read_is_refused(rule: str) -> None:
    with pytest.raises(AlarmRuleError):
        composite_rule.parse(rule)


def test_a_composite_alarm_follows_its_children_and_notifies(world: World) -> None:
    world.alarm(AlarmActions=[], OKActions=[])
    world("PutCompositeAlarm", AlarmName="any", AlarmRule='ALARM("errors") OR FALSE', AlarmActions=[TOPIC])
    assert world.state("any") == "OK"
    world.minute(9)
    assert world.state("any") == "ALARM"
    document = world.published[0]["document"]
    assert document["AlarmRule"] == 'ALARM("errors") OR FALSE'
    assert document["TriggeringChildren"][0]["Arn"] == "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:errors"
    assert document["NewStateReason"].startswith(
        "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:errors transitioned to ALARM at "
    )
    world.minute(1)
    assert world.state("any") == "OK"


def test_a_composite_alarm_runs_the_actions_of_its_first_state(world: World) -> None:
    world("PutCompositeAlarm", AlarmName="always", AlarmRule="TRUE", AlarmActions=[TOPIC])
    world.cloudwatch.run_waiting_actions()
    assert world.published[0]["document"]["OldStateValue"] == INSUFFICIENT


def test_composite_alarms_of_composite_alarms_follow_and_a_circle_ends(world: World) -> None:
    world.alarm(AlarmActions=[], OKActions=[])
    world("PutCompositeAlarm", AlarmName="b", AlarmRule="ALARM(errors)")
    world("PutCompositeAlarm", AlarmName="c", AlarmRule="ALARM(b)")
    world("PutCompositeAlarm", AlarmName="b", AlarmRule="ALARM(errors) OR ALARM(c)")
    world.minute(9)
    assert (world.state("b"), world.state("c")) == ("ALARM", "ALARM")


def test_a_rule_over_an_alarm_that_does_not_exist_is_refused(world: World) -> None:
    with pytest.raises(AwsError, match="nobody"):
        world("PutCompositeAlarm", AlarmName="any", AlarmRule="ALARM(nobody)")


def test_an_alarm_that_a_composite_alarm_depends_on_cannot_be_deleted(world: World) -> None:
    world.alarm()
    world("PutCompositeAlarm", AlarmName="any", AlarmRule="ALARM(errors)")
    with pytest.raises(AwsError, match="any"):
        world("DeleteAlarms", AlarmNames=["errors"])
    world("DeleteAlarms", AlarmNames=["any", "errors"])
    assert world("DescribeAlarms", AlarmTypes=["MetricAlarm", "CompositeAlarm"]) == {
        "MetricAlarms": [],
        "CompositeAlarms": [],
    }


# The rest of the API


def test_describe_alarms_filters_and_pages(world: World) -> None:
    for name in ("a1", "a2", "b1"):
        world.alarm(AlarmName=name)
    world("PutCompositeAlarm", AlarmName="c", AlarmRule="ALARM(a1)", AlarmActions=[TOPIC])

    def names(**params: Any) -> list[str]:
        found = world("DescribeAlarms", **params)
        return [one["AlarmName"] for one in (*found["CompositeAlarms"], *found["MetricAlarms"])]

    assert names() == ["a1", "a2", "b1"]
    assert names(AlarmTypes=["CompositeAlarm"]) == ["c"]
    assert names(AlarmNamePrefix="a") == ["a1", "a2"]
    assert names(StateValue="ALARM") == []
    assert names(ActionPrefix="arn:aws:lambda") == []
    assert names(ChildrenOfAlarmName="c") == ["a1"]
    assert names(ParentsOfAlarmName="a1") == ["c"]
    first = world("DescribeAlarms", MaxRecords=2)
    assert names(MaxRecords=2, NextToken=first["NextToken"]) == ["b1"]


def test_alarms_are_found_by_their_metric(world: World) -> None:
    world.alarm()
    metric = {"Namespace": "App", "MetricName": "Errors"}
    assert len(world("DescribeAlarmsForMetric", **metric, Dimensions=DIMENSIONS)["MetricAlarms"]) == 1
    assert world("DescribeAlarmsForMetric", **metric)["MetricAlarms"] == []
    assert world("DescribeAlarmsForMetric", **metric, Dimensions=DIMENSIONS, Statistic="Average")["MetricAlarms"] == []


def test_metric_data_come_back_as_they_were_put(world: World) -> None:
    at = datetime.fromtimestamp(world.now, UTC)
    data = [
        {"MetricName": "T", "Timestamp": at, "Value": 4.0},
        {"MetricName": "T", "Timestamp": at, "Values": [1.0, 3.0], "Counts": [2.0, 1.0]},
        {
            "MetricName": "S",
            "Timestamp": at,
            "StatisticValues": {"SampleCount": 4.0, "Sum": 8.0, "Minimum": 1.0, "Maximum": 3.0},
        },
    ]
    world("PutMetricData", Namespace="App", MetricData=data)

    def query(query_id: str, name: str, stat: str) -> dict[str, Any]:
        metric = {"Metric": {"Namespace": "App", "MetricName": name}, "Period": 60, "Stat": stat}
        return {"Id": query_id, "MetricStat": metric}

    hour = {
        "StartTime": datetime.fromtimestamp(world.now - 600, UTC),
        "EndTime": datetime.fromtimestamp(world.now + 60, UTC),
    }
    queries = [query("a", "T", "Average"), query("p", "T", "p75"), query("s", "S", "Sum"), query("n", "S", "p99")]
    queries.append({"Id": "e", "Expression": "a * 2"})
    found = world("GetMetricData", MetricDataQueries=queries, **hour)["MetricDataResults"]
    assert {one["Id"]: one["Values"] for one in found} == {"a": [2.25], "p": [3.0], "s": [8.0], "n": [], "e": [4.5]}
    statistics = world("GetMetricStatistics", Namespace="App", MetricName="T", Period=60, Statistics=["Sum"], **hour)
    assert [one["Sum"] for one in statistics["Datapoints"]] == [9.0]
    assert [one["MetricName"] for one in world("ListMetrics", Namespace="App")["Metrics"]] == ["S", "T"]


@pytest.mark.parametrize(
    ("namespace", "datum", "told"),
    [
        ("AWS/ECS", {"Value": 1.0}, "Namespace"),
        ("App", {}, "exactly one"),
        ("App", {"Value": 1.0, "Values": [1.0]}, "exactly one"),
        ("App", {"Value": float("nan")}, "NaN"),
        ("App", {"Values": [1.0], "Counts": [1.0, 2.0]}, "Counts"),
        ("App", {"Value": 1.0, "Timestamp": datetime(2020, 1, 1, tzinfo=UTC)}, "two weeks"),
    ],
)
def test_data_that_cannot_be_taken_are_refused(world: World, namespace: str, datum: dict[str, Any], told: str) -> None:
    with pytest.raises(AwsError, match=told):
        world("PutMetricData", Namespace=namespace, MetricData=[{"MetricName": "T"} | datum])


def test_dashboards_are_kept_and_their_body_is_checked(world: World) -> None:
    world("PutDashboard", DashboardName="d", DashboardBody='{"widgets": []}')
    assert world("GetDashboard", DashboardName="d")["DashboardBody"] == '{"widgets": []}'
    assert [one["DashboardName"] for one in world("ListDashboards")["DashboardEntries"]] == ["d"]
    with pytest.raises(AwsError, match="not JSON"):
        world("PutDashboard", DashboardName="d", DashboardBody="{")
    with pytest.raises(AwsError, match="none was deleted"):
        world("DeleteDashboards", DashboardNames=["d", "e"])
    world("DeleteDashboards", DashboardNames=["d"])
    with pytest.raises(AwsError, match="does not exist"):
        world("GetDashboard", DashboardName="d")


def test_tags_belong_to_an_alarm_and_go_with_it(world: World) -> None:
    world.alarm(Tags=[{"Key": "readiness:run-id", "Value": "r1"}])
    arn = world.described()["AlarmArn"]
    world("TagResource", ResourceARN=arn, Tags=[{"Key": "owner", "Value": "me"}])
    world("UntagResource", ResourceARN=arn, TagKeys=["owner"])
    assert world("ListTagsForResource", ResourceARN=arn)["Tags"] == [{"Key": "readiness:run-id", "Value": "r1"}]
    world("DeleteAlarms", AlarmNames=["errors"])
    assert world.cloudwatch.tags() == {}
    with pytest.raises(AwsError, match="Unknown resource"):
        world("ListTagsForResource", ResourceARN=arn)
