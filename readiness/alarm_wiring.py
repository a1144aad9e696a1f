"""How the alarms of a clone are wired: their actions, the topic, who listens to it, and what keeps a message away.

Read once, before the drills, and judged purely. Whoever listens is taken from the topic's subscriptions: SNS has no way
to tell whether a person read a message, so a person's subscription is checked as it is configured, and that messages
arrive is shown by the harness's own inbox.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from readiness import contract, staging
from readiness.cloud import translated
from readiness.drill import ALARM_TYPES, Clients, Notification
from readiness.filter_policy import ATTRIBUTES, UnknownCondition, lets_through
from readiness.model import Clone, Finding, Gap, Severity, record

_PENDING = "PendingConfirmation"
_RUNBOOK = re.compile(r"\bRunbook: *(\S+?)[.,;)]*(?=\s|$)")
_CHILD = re.compile(r"""ALARM\(\s*["']?([^"')]+)["']?\s*\)""")
_STACK_TYPES = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_PAGE = 100


@record
class AlarmSeen:
    """One alarm, as CloudWatch describes it.

    Attributes:
        subject: Id of the objective that it watches, ``probe``, or its own name where it is of neither.
        missing_data: How it treats missing data; "" for a composite alarm.
        rule: What a composite alarm is made of; "" for any other.
        muted_by: What holds its actions back now: alarm mute rules, or a composite alarm's suppressor.
        runbook: What its description names; "" = nothing.
        runbook_found: Whether that is an address, or a file of the repository.
    """

    subject: str
    name: str
    arn: str
    kind: Literal["metric", "composite"]
    actions_enabled: bool
    alarm_actions: tuple[str, ...]
    ok_actions: tuple[str, ...]
    missing_data: str
    rule: str
    muted_by: tuple[str, ...]
    runbook: str
    runbook_found: bool

    @property
    def children(self) -> tuple[str, ...]:
        """Names of the alarms whose ALARM a composite alarm looks at."""
        return tuple(dict.fromkeys(name.rpartition(":alarm:")[2] for name in _CHILD.findall(self.rule)))

    @property
    def any_child_suffices(self) -> bool:
        """Whether one child in ALARM is enough: the rule is a plain OR of children."""
        return bool(self.rule) and not re.sub(r"\bOR\b|[()\s]", "", _CHILD.sub("", self.rule))


@record
class Subscriber:
    """One subscription of the topic.

    Attributes:
        confirmed: Whether its owner has confirmed it; a pending one gets nothing.
        filter_policy: JSON; "" = every message is delivered.
    """

    protocol: str
    endpoint: str
    confirmed: bool
    filter_policy: str = ""
    filter_scope: str = ATTRIBUTES


@record
class Wiring:
    """All that has to be right before an alarm can reach somebody.

    Attributes:
        missing: Names of alarms that the stack has and CloudWatch has not.
        subscribers: Those of the topic, without the harness's own inbox.
        people: Protocols by which a person is reached.
    """

    alarms: tuple[AlarmSeen, ...]
    missing: tuple[str, ...] = ()
    topic: str
    subscribers: tuple[Subscriber, ...]
    people: tuple[str, ...]

    @property
    def persons(self) -> tuple[Subscriber, ...]:
        """Subscriptions by which a person is reached, confirmed or not."""
        return tuple(each for each in self.subscribers if each.protocol in self.people)


# --- reading ---------------------------------------------------------------------------------------------------------


def read(clients: Clients, clone: Clone, repository: Path, people: tuple[str, ...]) -> Wiring:
    """Return how the alarms of a clone are wired now."""
    names, found = _described(clients, clone)
    subjects = {name: subject for subject, name in staging.alarms(clone).items()}
    cloudwatch = clients("cloudwatch")
    return Wiring(
        alarms=tuple(
            _alarm(found[name], subjects.get(name, name), mutes(cloudwatch, name), repository)
            for name in names
            if name in found
        ),
        missing=tuple(name for name in names if name not in found),
        topic=clone.outputs[contract.Output.TOPIC_ARN],
        subscribers=subscribers(clients, clone),
        people=people,
    )


def _described(clients: Clients, clone: Clone) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Return the names of the stack's alarms, those of objectives first, and what CloudWatch says of each."""
    with translated("Listing the alarms of the stack"):
        pages = clients("cloudformation").get_paginator("list_stack_resources").paginate(StackName=clone.stack_id)
        resources = [each for page in pages for each in page["StackResourceSummaries"]]
    of_stack = [each["PhysicalResourceId"] for each in resources if each["ResourceType"] in _STACK_TYPES]
    of_objectives = staging.alarms(clone).values()
    names = tuple(dict.fromkeys([*of_objectives, *(name.rpartition(":alarm:")[2] for name in of_stack)]))
    found = []
    with translated("Describing the alarms"):
        for start in range(0, len(names), _PAGE):
            told = clients("cloudwatch").describe_alarms(
                AlarmNames=list(names[start : start + _PAGE]), AlarmTypes=ALARM_TYPES, MaxRecords=_PAGE
            )
            found += [*told.get("MetricAlarms", ()), *told.get("CompositeAlarms", ())]
    return names, {each["AlarmName"]: each for each in found}


def _alarm(told: dict[str, Any], subject: str, muted_by: tuple[str, ...], repository: Path) -> AlarmSeen:
    named = _RUNBOOK.search(told.get("AlarmDescription", ""))
    runbook = named[1] if named else ""
    return AlarmSeen(
        subject=subject,
        name=told["AlarmName"],
        arn=told["AlarmArn"],
        kind="composite" if "AlarmRule" in told else "metric",
        actions_enabled=told.get("ActionsEnabled", True),
        alarm_actions=tuple(told.get("AlarmActions", ())),
        ok_actions=tuple(told.get("OKActions", ())),
        missing_data="" if "AlarmRule" in told else told.get("TreatMissingData", "missing"),
        rule=told.get("AlarmRule", ""),
        muted_by=(*muted_by, *([told["ActionsSuppressor"]] if told.get("ActionsSuppressedBy") else [])),
        runbook=runbook,
        runbook_found="://" in runbook or (bool(runbook) and (repository / runbook).is_file()),
    )


def mutes(cloudwatch: Any, alarm: str) -> tuple[str, ...]:
    """Return the mute rules that hold the actions of an alarm back now.

    An alarm that such a rule mutes goes on changing its state, and its actions do not run.
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutAlarmMuteRule.html
    """
    with translated(f"Listing the mute rules of {alarm}"):
        pages = cloudwatch.get_paginator("list_alarm_mute_rules").paginate(AlarmName=alarm, Statuses=["ACTIVE"])
        return tuple(each["AlarmMuteRuleArn"] for page in pages for each in page.get("AlarmMuteRuleSummaries", ()))


def subscribers(clients: Clients, clone: Clone) -> tuple[Subscriber, ...]:
    """Return the subscriptions of the clone's topic, without the harness's own inbox."""
    sns, topic = clients("sns"), clone.outputs[contract.Output.TOPIC_ARN]
    with translated("Reading who listens to the topic"):
        queue = clients("sqs").get_queue_attributes(
            QueueUrl=clone.outputs[contract.Output.INBOX_URL], AttributeNames=["QueueArn"]
        )
        inbox = queue["Attributes"]["QueueArn"]
        pages = sns.get_paginator("list_subscriptions_by_topic").paginate(TopicArn=topic)
        listed = [each for page in pages for each in page["Subscriptions"]]
        return tuple(_subscriber(sns, each) for each in listed if each["Endpoint"] != inbox)


def _subscriber(sns: Any, listed: dict[str, str]) -> Subscriber:
    arn = listed["SubscriptionArn"]
    if not arn.startswith("arn:"):  # "PendingConfirmation" stands in the ARN's place; "Deleted" for one that is gone
        return Subscriber(protocol=listed["Protocol"], endpoint=listed["Endpoint"], confirmed=False)
    told = sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]
    return Subscriber(
        protocol=listed["Protocol"],
        endpoint=listed["Endpoint"],
        confirmed=told.get(_PENDING, "false") != "true",
        filter_policy=told.get("FilterPolicy", ""),
        filter_scope=told.get("FilterPolicyScope", ATTRIBUTES),
    )


# --- judging ---------------------------------------------------------------------------------------------------------


def faults(wiring: Wiring, messages: Sequence[Notification]) -> list[Finding]:
    """Return what keeps an alarm from reaching a person who can act on it.

    Args:
        wiring: As it was before the drills.
        messages: Alarm messages of the drills, which a filter policy is held against.
    """
    found = [finding for alarm in wiring.alarms for finding in _faults_of_alarm(alarm, wiring.topic)]
    found += [
        _finding("missing", name, f"the stack has the alarm {name}, and CloudWatch does not: somebody deleted it")
        for name in wiring.missing
    ]
    found += _faults_of_audience(wiring)
    found += [finding for each in wiring.persons if each.confirmed for finding in _muted(each, messages)]
    return found


def blindness(wiring: Wiring, messages: Sequence[Notification]) -> list[Gap]:
    """Return what could not be found out about who gets the messages."""
    gaps = []
    for each in wiring.persons:
        if not each.confirmed or not each.filter_policy:
            continue
        try:
            why = "" if messages else "no message was received that its filter policy could be held against"
            for message in messages:
                lets_through(each.filter_policy, each.filter_scope, message.body)
        except UnknownCondition as error:
            why = error.message
        if why:
            gaps.append(Gap(what=f"what {each.endpoint} gets", why=why))
    return gaps


def _faults_of_alarm(alarm: AlarmSeen, topic: str) -> Iterator[Finding]:
    if not alarm.actions_enabled:
        yield _finding("actions-disabled", alarm.subject, f"{alarm.name} has its actions disabled: it tells nobody")
    for state, actions in (("ALARM", alarm.alarm_actions), ("OK", alarm.ok_actions)):
        if topic not in actions:
            others = f", but {', '.join(actions)}" if actions else ""
            message = f"{alarm.name} has no action to the topic when it goes to {state}{others}"
            yield _finding(f"no-{state.lower()}-action", alarm.subject, message)
    if alarm.muted_by:
        message = f"the actions of {alarm.name} are muted by {', '.join(alarm.muted_by)}"
        yield _finding("muted", alarm.subject, message)
    if not alarm.runbook:
        message = f"the description of {alarm.name} names no runbook: whoever it wakes is not told what to do"
        yield _finding("no-runbook", alarm.subject, message, help_="Write `Runbook: runbooks/NAME.md` into it.")
    elif not alarm.runbook_found:
        message = f"{alarm.name} names the runbook {alarm.runbook}, which the repository does not have"
        yield _finding("runbook-not-found", alarm.subject, message, help_="Write it, or name another.")


def _faults_of_audience(wiring: Wiring) -> Iterator[Finding]:
    """Yield what is wrong with who listens to the topic."""
    topic = wiring.topic.rpartition(":")[2]
    pending = [f"{each.protocol} {each.endpoint}" for each in wiring.persons if not each.confirmed]
    machines = [f"{each.protocol} {each.endpoint}" for each in wiring.subscribers if each not in wiring.persons]
    if not any(each.confirmed for each in wiring.persons):
        told = [
            f"not confirmed: {', '.join(pending)}" if pending else "",
            f"no person: {', '.join(machines)}" if machines else "",
        ]
        why = "; ".join(each for each in told if each) or "it has no subscription but the harness's own inbox"
        yield _finding(
            "nobody-listens",
            "topic",
            f"no person has a confirmed subscription of {topic}, so an alarm wakes nobody ({why})",
            help_="Name an address in [notify] of the plan, and confirm the subscription from its mailbox.",
        )
    elif pending:
        yield _finding(
            "subscription-pending",
            "topic",
            f"subscriptions of {topic} are not confirmed and get nothing: {', '.join(pending)}",
            severity=Severity.MEDIUM,
            help_="Confirm them, or take them out of [notify].",
        )


def _muted(person: Subscriber, messages: Sequence[Notification]) -> Iterator[Finding]:
    """Yield which messages of the drills the person's filter policy would have dropped."""
    if not person.filter_policy:
        return
    try:
        dropped = [each for each in messages if not lets_through(person.filter_policy, person.filter_scope, each.body)]
    except UnknownCondition:
        return  # a gap
    if not dropped:
        return
    which = sorted({f"{each.state} of {each.alarm}" for each in dropped})
    extent = "every message of the drills" if len(dropped) == len(messages) else ", ".join(which)
    yield _finding(
        "subscription-muted",
        person.endpoint,
        f"the filter policy {json.dumps(json.loads(person.filter_policy))} (over {person.filter_scope}) of the "
        f"subscription of {person.endpoint} drops {extent}",
        severity=Severity.HIGH if any(each.state == "ALARM" for each in dropped) else Severity.MEDIUM,
        help_="Take the filter policy away, or let ALARM and OK of every alarm through.",
    )


def _finding(
    rule: str,
    subject: str,
    message: str,
    *,
    severity: Severity = Severity.HIGH,
    help_: str = "Look at the alarm's actions and at the topic's subscriptions.",
) -> Finding:
    return Finding(rule=f"alarms/{rule}", subject=subject, severity=severity, message=message, help=help_)
