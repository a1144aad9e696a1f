"""Faults besides the fault target: targets that are unhealthy, a probe that fails, a state that is set by hand.

Each is written to the ledger before it is put in, and taken out again whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from readiness import contract, drill
from readiness.cloud import translated
from readiness.drill import Clients
from readiness.errors import CloudError
from readiness.ledger import Ledger
from readiness.model import Clone

Effect = Callable[[], str]
"""Says what a fault has done so far; "" as long as nothing is seen of it."""

_PROBE_PRIORITY = 5
_REASON = "readiness: drill of the alarm"


@contextmanager
def bad_answers(clients: Clients, clone: Clone, percent: int, ledger: Ledger) -> Iterator[Effect]:
    """Have the fault target answer a share of the drill's requests; only the load itself can tell what they met."""
    with drill.fault_target(clients("elbv2"), clone, percent, ledger):
        yield lambda: ""


@contextmanager
def unhealthy_targets(clients: Clients, clone: Clone, count: int, ledger: Ledger) -> Iterator[Effect]:
    """Register *count* targets that fail their health check, while the block lasts.

    They have the address of a task of the service and ports on which nobody listens: "you can register each [...] IP
    address with the same target group multiple times using different ports". They never become healthy, so they get no
    request, and the service keeps all its tasks. ``UnHealthyHostCount`` counts the targets that are unhealthy. Stopping
    tasks would not move it: ECS drains the target of a task that it stops first, which then is ``draining``, and its
    successor is ``initial`` until it is healthy.
    https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_RegisterTargets.html
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html#target-health-states
    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/load-balancer-connection-draining.html

    Raises:
        CloudError: the service has no healthy target whose address could be taken.
    """
    elbv2 = clients("elbv2")
    group = drill.live_target_group(elbv2, clone)
    planted = _free_ports(_health(elbv2, group), group, count)
    named = ", ".join(f"{each['Id']}:{each['Port']}" for each in planted)
    ledger.note("about-to-inject", kind="target", name=named, target_group=group)

    def effect() -> str:
        ill = [each for each in _health(elbv2, group, planted) if each["TargetHealth"]["State"] == "unhealthy"]
        if len(ill) < count:
            return ""
        reasons = sorted({str(each["TargetHealth"].get("Reason", "no reason given")) for each in ill})
        return f"unhealthy in the target group: {named} ({', '.join(reasons)})"

    try:  # a call that fails on the way back may have worked: the targets are taken out even then
        with translated("Registering targets that nobody serves"):
            elbv2.register_targets(TargetGroupArn=group, Targets=planted)
        yield effect
    finally:
        with translated("Deregistering the targets of the drill"):
            elbv2.deregister_targets(TargetGroupArn=group, Targets=planted)


def _health(elbv2: Any, group: str, targets: Sequence[dict[str, Any]] = ()) -> list[Any]:
    asked: dict[str, Any] = {"Targets": targets} if targets else {}
    with translated("Describing target health"):
        return list(elbv2.describe_target_health(TargetGroupArn=group, **asked)["TargetHealthDescriptions"])


def _free_ports(known: Sequence[Any], group: str, count: int) -> list[dict[str, Any]]:
    """Return targets with the address of a healthy one, and ports that no target of the group has."""
    healthy = sorted(each["Target"]["Id"] for each in known if each["TargetHealth"]["State"] == "healthy")
    if not healthy:
        raise CloudError(
            f"Target group {group} has no healthy target, so no unhealthy one can be put beside it.",
            hint="Is the service up?",
        )
    taken = {each["Target"]["Port"] for each in known if each["Target"]["Id"] == healthy[0]}
    # From 1 on: ports on which no service answers HTTP.
    free = [port for port in range(1, count + len(taken) + 1) if port not in taken][:count]
    return [{"Id": healthy[0], "Port": port} for port in free]


@contextmanager
def failing_probe(clients: Clients, clone: Clone, ledger: Ledger) -> Iterator[Effect]:
    """Send the probe's requests, and no others, to the fault target while the block lasts.

    By a listener rule of its own on the header that the probe sends: a rule that stood there always would have to
    follow the live target group, which every release swaps. The fault target answers 400 to a request without a drill
    header, and a canary's step fails on any status but 200 to 299.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Synthetics_Canaries_Library_Nodejs.html
    """
    elbv2, synthetics = clients("elbv2"), clients("synthetics")
    ledger.note("about-to-inject", kind="listener-rule", name=f"{contract.PROBE_HEADER} at priority {_PROBE_PRIORITY}")
    injected_at = drill.now()
    listener = clone.outputs[contract.Output.LISTENER_ARN]
    header = {"HttpHeaderName": contract.PROBE_HEADER, "Values": ["*"]}
    try:  # a call that fails on the way back may have worked: the rule is looked for, and deleted, even then
        with translated("Making the listener rule of the probe's drill"):
            elbv2.create_rule(
                ListenerArn=listener,
                Priority=_PROBE_PRIORITY,
                Conditions=[{"Field": "http-header", "HttpHeaderConfig": header}],
                Actions=[{"Type": "forward", "TargetGroupArn": clone.outputs[contract.Output.FAULT_TARGET_GROUP_ARN]}],
                Tags=[{"Key": contract.TAG_RUN_ID, "Value": clone.run_id}],
            )
        yield lambda: failed_probe_since(synthetics, clone.stack_name, injected_at)
    finally:
        with translated("Deleting the listener rule of the probe's drill"):
            for rule in elbv2.describe_rules(ListenerArn=listener)["Rules"]:
                if rule["Priority"] == str(_PROBE_PRIORITY):
                    elbv2.delete_rule(RuleArn=rule["RuleArn"])


def failed_probe_since(synthetics: Any, canary: str, since: datetime) -> str:
    """Say which run of a canary that began at or after an instant failed; "" if none did."""
    with translated(f"Reading the runs of canary {canary}"):
        runs = synthetics.get_canary_runs(Name=canary)["CanaryRuns"]
    begun = [run for run in runs if "Started" in run.get("Timeline", {}) and run["Timeline"]["Started"] >= since]
    failed = [run for run in begun if run["Status"]["State"] == "FAILED"]
    return f"run {failed[-1]['Id']} of canary {canary} failed" if failed else ""


@contextmanager
def set_by_hand(cloudwatch: Any, alarms: Sequence[str], ledger: Ledger) -> Iterator[Effect]:
    """Set the state of alarms to ALARM; the next evaluation of each sets it right again, so nothing is put back."""
    for name in alarms:
        ledger.note("about-to-inject", kind="alarm-state", name=name)
        with translated(f"Setting the state of alarm {name}"):
            cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason=_REASON)
    told = f"SetAlarmState on {', '.join(alarms)}"
    yield lambda: told
