"""Which alarm is drilled how."""

from __future__ import annotations

from dataclasses import replace

import pytest

from readiness.alarm_wiring import AlarmSeen
from readiness.drill_orders import Order, orders
from readiness.model import AlarmDrill, AlarmSettings, Plan, Probe, UnhealthyHostsObjective
from tests.unit.samples import a_plan

HOSTS = UnhealthyHostsObjective(
    kind="unhealthy-hosts", id="hosts", max_hosts=2, alarm=AlarmSettings(runbook="runbooks/hosts.md")
)


def alarm(subject: str, name: str = "", rule: str = "", missing_data: str = "missing") -> AlarmSeen:
    name = name or f"clone-{subject}"
    return AlarmSeen(
        subject=subject,
        name=name,
        arn=f"arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}",
        kind="composite" if rule else "metric",
        actions_enabled=True,
        alarm_actions=(),
        ok_actions=(),
        missing_data="" if rule else missing_data,
        rule=rule,
        muted_by=(),
        runbook="",
        runbook_found=False,
    )


def plan(*each: AlarmDrill, probe: Probe | None = None) -> Plan:
    made = a_plan()
    drills = replace(made.drills, alarms=replace(made.drills.alarms, each=each))
    return replace(made, objectives=(*made.objectives, HOSTS), drills=drills, probe=probe)


def methods(some_plan: Plan, *alarms: AlarmSeen) -> dict[str, str]:
    return {each.subject: each.method for each in orders(some_plan, alarms)[0]}


def only(some_plan: Plan, *alarms: AlarmSeen) -> Order:
    made, refused = orders(some_plan, alarms)
    assert refused == {}
    return made[-1]


def test_every_alarm_has_a_drill_by_what_it_watches_although_the_plan_names_none():
    probed = plan(probe=Probe(runbook="runbooks/probe.md"))
    alarms = [alarm(each) for each in ("latency", "errors", "hosts", "probe", "somebody-elses")]

    assert methods(probed, *alarms) == {
        "latency": "fault-slow",
        "errors": "fault-errors",
        "hosts": "unhealthy-targets",
        "probe": "probe-fault",
        "somebody-elses": "set-state",
    }


def test_the_plan_may_say_otherwise():
    order = only(plan(AlarmDrill(objective="latency", method="set-state")), alarm("latency"))

    assert (order.method, order.set_by_hand, order.breaches) == ("set-state", ("clone-latency",), False)
    assert only(plan(AlarmDrill(objective="latency", fault_percent=50)), alarm("latency")).fault_percent == 50


def test_one_target_more_is_made_unhealthy_than_the_objective_allows():
    assert only(plan(), alarm("hosts")).targets == 3


def test_silence_drills_only_an_alarm_that_rings_on_silence():
    silent = plan(AlarmDrill(objective="errors", method="no-traffic"))

    assert only(silent, alarm("errors", missing_data="breaching")).method == "no-traffic"
    made, refused = orders(silent, [alarm("errors")])
    assert made == ()
    assert refused == {"errors": "it treats missing data as 'missing', so silence cannot make it ring"}


@pytest.mark.parametrize(
    "rule",
    [
        'ALARM("clone-errors") OR ALARM("clone-latency")',
        "(ALARM(clone-errors) OR ALARM('clone-latency'))",
        'ALARM("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:clone-errors")',
    ],
)
def test_a_composite_alarm_that_one_child_makes_ring_is_drilled_by_that_childs_fault(rule):
    order = only(plan(), alarm("errors"), alarm("latency"), alarm("any", "clone-any", rule))

    assert (order.alarm, order.method, order.by) == ("clone-any", "fault-errors", "clone-errors")


@pytest.mark.parametrize(
    "rule",
    [
        'ALARM("clone-errors") AND ALARM("clone-latency")',
        'ALARM("clone-errors") AND NOT ALARM("clone-latency")',
        'ALARM("clone-errors") OR (TRUE AND ALARM("clone-latency"))',
    ],
)
def test_any_other_composite_alarm_is_drilled_by_setting_its_children(rule):
    order = only(plan(), alarm("errors"), alarm("latency"), alarm("both", "clone-both", rule))

    assert (order.method, order.set_by_hand) == ("set-state", ("clone-errors", "clone-latency"))


def test_no_state_of_somebody_elses_alarm_is_ever_set():
    _, refused = orders(plan(), [alarm("both", "clone-both", 'ALARM("production-errors")')])

    assert refused == {
        "both": "its rule looks at production-errors, which is no alarm of this clone that can be drilled"
    }


def test_a_composite_alarm_that_looks_at_no_alarm_ringing_is_refused():
    _, refused = orders(plan(), [alarm("errors"), alarm("quiet", "clone-quiet", 'OK("clone-errors")')])

    assert refused == {"quiet": "its rule names no alarm that makes it ring by going to ALARM"}


def test_a_probe_without_an_alarm_is_told():
    _, refused = orders(plan(probe=Probe()), [alarm("errors")])

    assert list(refused) == ["probe"]
