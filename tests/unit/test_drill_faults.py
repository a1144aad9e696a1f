"""Faults of the alarm drills: written down before, seen to take effect, taken out whatever happens."""

from __future__ import annotations

from datetime import timedelta

import pytest

from readiness import drill, drill_faults
from readiness.contract import PROBE_HEADER, Output
from readiness.errors import CloudError
from readiness.ledger import Ledger
from readiness.model import Clone
from tests.unit.samples import T0, FakeClient, client_error

GROUP = "arn:live"
CLONE = Clone(
    run_id="20260301-120000-abcd",
    stack_name="readiness-20260301-120000-abcd",
    stack_id="s",
    outputs={
        Output.PRODUCTION_RULE_ARN: "arn:production",
        Output.LISTENER_ARN: "arn:listener",
        Output.FAULT_TARGET_GROUP_ARN: "arn:fault",
    },
    expires_at=T0,
)
PRODUCTION = {"Rules": [{"Actions": [{"ForwardConfig": {"TargetGroups": [{"TargetGroupArn": GROUP, "Weight": 1}]}}]}]}


class Balancer(FakeClient):
    """A target group of which a few targets are known, each in a state."""

    def __init__(self, states, **answers):
        self.states = states
        super().__init__(
            describe_rules=PRODUCTION,
            describe_target_health=self.health,
            **{"register_targets": {}, "deregister_targets": {}, **answers},
        )

    def health(self, *, TargetGroupArn, Targets=()):
        assert TargetGroupArn == GROUP
        asked = [(each["Id"], each["Port"]) for each in Targets] or list(self.states)
        return {
            "TargetHealthDescriptions": [
                {
                    "Target": {"Id": host, "Port": port},
                    "TargetHealth": {"State": self.states.get((host, port), "initial"), "Reason": "Target.Timeout"},
                }
                for host, port in asked
            ]
        }


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.jsonl")


def clients(**by_name):
    return lambda name: by_name[name]


def test_targets_that_nobody_serves_stand_beside_the_services_own_and_go_again(ledger):
    elbv2 = Balancer({("10.0.2.7", 8080): "healthy", ("10.0.2.7", 1): "draining", ("10.0.3.9", 8080): "unhealthy"})

    with drill_faults.unhealthy_targets(clients(elbv2=elbv2), CLONE, 2, ledger) as effect:
        planted = [{"Id": "10.0.2.7", "Port": 2}, {"Id": "10.0.2.7", "Port": 3}]
        assert elbv2.called("register_targets") == [{"TargetGroupArn": GROUP, "Targets": planted}]
        assert effect() == ""
        elbv2.states[("10.0.2.7", 2)] = "unhealthy"
        assert effect() == "", "one of two is not enough"
        elbv2.states[("10.0.2.7", 3)] = "unhealthy"
        assert effect() == "unhealthy in the target group: 10.0.2.7:2, 10.0.2.7:3 (Target.Timeout)"

    assert elbv2.called("deregister_targets") == [{"TargetGroupArn": GROUP, "Targets": planted}]
    (entry,) = ledger.entries()
    assert (entry.event, entry.name) == ("about-to-inject", "10.0.2.7:2, 10.0.2.7:3")


@pytest.mark.parametrize("raised", [KeyboardInterrupt, CloudError])
def test_whatever_interrupts_a_drill_the_targets_go(ledger, raised):
    elbv2 = Balancer({("10.0.2.7", 8080): "healthy"})

    with pytest.raises(raised), drill_faults.unhealthy_targets(clients(elbv2=elbv2), CLONE, 1, ledger):
        raise raised("now")

    assert len(elbv2.called("deregister_targets")) == 1


def test_a_registration_whose_answer_was_lost_is_taken_back_too(ledger):
    elbv2 = Balancer({("10.0.2.7", 8080): "healthy"}, register_targets=client_error("ServiceUnavailable"))

    with pytest.raises(CloudError), drill_faults.unhealthy_targets(clients(elbv2=elbv2), CLONE, 1, ledger):
        pass

    assert len(elbv2.called("deregister_targets")) == 1


def test_without_a_healthy_target_none_is_put_beside_it(ledger):
    elbv2 = Balancer({("10.0.2.7", 8080): "initial"})

    with (
        pytest.raises(CloudError, match="no healthy target"),
        drill_faults.unhealthy_targets(clients(elbv2=elbv2), CLONE, 1, ledger),
    ):
        pass

    assert not ledger.path.exists()


def runs(*told):
    return {
        "CanaryRuns": [
            {"Id": f"run-{index}", "Status": {"State": state}, "Timeline": timeline}
            for index, (state, timeline) in enumerate(told)
        ]
    }


def test_only_the_probes_requests_meet_the_fault_and_the_rule_goes_again(ledger):
    rules = {"Rules": [{"Priority": "5", "RuleArn": "arn:ours"}, {"Priority": "10", "RuleArn": "arn:other"}]}
    elbv2 = FakeClient(create_rule={}, describe_rules=rules, delete_rule={})
    synthetics = FakeClient(get_canary_runs=runs(("FAILED", {"Started": drill.now() + timedelta(seconds=9)})))

    with drill_faults.failing_probe(clients(elbv2=elbv2, synthetics=synthetics), CLONE, ledger) as effect:
        (made,) = elbv2.called("create_rule")
        assert made["ListenerArn"] == "arn:listener"
        assert made["Conditions"][0]["HttpHeaderConfig"]["HttpHeaderName"] == PROBE_HEADER
        assert made["Actions"] == [{"Type": "forward", "TargetGroupArn": "arn:fault"}]
        assert effect() == "run run-0 of canary readiness-20260301-120000-abcd failed"

    assert elbv2.called("delete_rule") == [{"RuleArn": "arn:ours"}]
    assert [entry.event for entry in ledger.entries()] == ["about-to-inject"]


def test_a_rule_whose_making_failed_half_way_is_looked_for_and_deleted(ledger):
    rules = {"Rules": [{"Priority": "5", "RuleArn": "arn:ours"}]}
    elbv2 = FakeClient(create_rule=client_error("ServiceUnavailable"), describe_rules=rules, delete_rule={})

    with (
        pytest.raises(CloudError),
        drill_faults.failing_probe(clients(elbv2=elbv2, synthetics=FakeClient()), CLONE, ledger),
    ):
        pass

    assert elbv2.called("delete_rule") == [{"RuleArn": "arn:ours"}]


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ((), ""),
        ((("PASSED", {"Started": T0}),), ""),
        ((("FAILED", {"Started": T0 - timedelta(seconds=1)}),), ""),
        ((("FAILED", {}),), ""),
        ((("PASSED", {"Started": T0}), ("FAILED", {"Started": T0})), "run run-1 of canary c failed"),
    ],
)
def test_only_a_run_of_the_probe_that_began_after_the_fault_tells_of_it(told, found):
    assert drill_faults.failed_probe_since(FakeClient(get_canary_runs=runs(*told)), "c", T0) == found


def test_a_state_that_is_set_by_hand_is_written_down_before(ledger):
    cloudwatch = FakeClient(set_alarm_state=lambda **_: ledger.entries() or pytest.fail("nothing was written down"))

    with drill_faults.set_by_hand(cloudwatch, ("a", "b"), ledger) as effect:
        assert effect() == "SetAlarmState on a, b"

    assert [each["AlarmName"] for each in cloudwatch.called("set_alarm_state")] == ["a", "b"]
