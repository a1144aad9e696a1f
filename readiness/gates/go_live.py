"""Gate: does production run what was approved, and is it healthy? Asked after the cutover, by ``readiness go-live``.

Production's service is held against the one that the gate ``fidelity`` saw, and its health against what a GO rests on:
one completed deployment, alarms that are OK, healthy targets, an answer on the health path. The GO itself must still
hold.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from readiness import contract, deployed_service, probe
from readiness.cloud import translated
from readiness.cutover import Approved, Stack
from readiness.deployed_service import ServiceSeen
from readiness.gate import Context, Gate
from readiness.model import (
    Duration,
    Environment,
    Finding,
    Gap,
    Instant,
    Judgement,
    Measurement,
    Outcome,
    Severity,
    Stage,
    Verdict,
    record,
    spell_duration,
)
from readiness.probe import CanaryRun, Probe, ProbeSeen
from readiness.service_content import Comparison, PathOrGlob, compare

_ALARMS_AT_ONCE = 100
_WITHOUT_FAULT = frozenset({"CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"})


@record
class Settings:
    """The table ``[gates.settings.go-live]`` of the plan."""

    max_age: Duration = timedelta(days=7)
    """How old the decision may be."""
    may_differ: tuple[PathOrGlob, ...] = ()
    """Paths of the content, or globs of them, at which production may be other than the clone."""
    steady_for: Duration = timedelta(minutes=1)
    """How long the service has to be steady without a break."""
    settle: Duration = timedelta(minutes=10)
    """How long to wait until it has been, and until every alarm has data."""
    url: str = ""
    """Where the service is asked; default: what the stack's output ``ServiceUrl`` says."""
    alarms: tuple[str, ...] = ()
    """Alarms that have to be OK beside those of the stack."""


@record
class AlarmSeen:
    """An alarm; its state is "" if there is no such alarm."""

    name: str
    state: str
    reason: str = ""
    acts: bool = True


@record
class Observation:
    """Production, and what it was to be.

    Attributes:
        approved: What the bundle approved.
        production_accounts: What the plan calls production; empty = it does not say.
        commit: What is said to be live.
        asked_at: When the last look was taken.
        steady_since: Since when every look found the service steady; None = the last did not.
        unsteady: Why the last look that did not find it steady did not.
        looks: How many there were.
    """

    approved: Approved
    environment: Environment
    stack: Stack
    production_accounts: tuple[str, ...]
    commit: str
    begun_at: Instant
    asked_at: Instant
    service: ServiceSeen
    steady_since: Instant | None
    unsteady: str
    looks: int
    alarms: tuple[AlarmSeen, ...]
    probe: ProbeSeen


# --- observing -------------------------------------------------------------------------------------------------------


def observe(ctx: Context, settings: Settings) -> Observation:
    """Watch production until it was steady for long enough and its alarms have data, and then read all of it."""
    cutover = ctx.cutover
    base = settings.url or cutover.stack.outputs.get(contract.Output.SERVICE_URL, "")
    asking = Probe(url=probe.joined(base, ctx.plan.service.health_path))
    watch = Watch(
        look=lambda: deployed_service.unsteady(deployed_service.counts(ctx.clients, cutover.cluster, cutover.service)),
        alarms=lambda: alarm_states(ctx.clients("cloudwatch"), (*cutover.stack.alarms, *settings.alarms)),
        ask=asking.ask,
    )
    begun_at = datetime.now(UTC)
    ctx.narrate(f"Watching {cutover.cluster}/{cutover.service} of {cutover.stack.name}")
    watch.until_settled(settings, ctx.progress)
    service = deployed_service.see(ctx.clients, cutover.cluster, cutover.service)
    canaries = () if asking.answers else probe.last_runs(ctx.clients, cutover.stack.canaries)
    return Observation(
        approved=cutover.approved,
        environment=cutover.environment,
        stack=cutover.stack,
        production_accounts=ctx.plan.aws.production_accounts,
        commit=cutover.commit,
        begun_at=begun_at,
        asked_at=datetime.now(UTC),
        service=service,
        steady_since=watch.steady_since,
        unsteady=watch.unsteady,
        looks=watch.looks,
        alarms=watch.states,
        probe=asking.seen(canaries),
    )


class Watch:
    """Looks at production again and again: is it steady, do its alarms have data, does it answer?

    Attributes:
        steady_since: Since when every look found it steady; None = the last did not.
        unsteady: Why the last look that did not find it steady did not.
        looks: How many there were.
        states: The alarms as they were last seen.
    """

    def __init__(
        self,
        *,
        look: Callable[[], str],
        alarms: Callable[[], tuple[AlarmSeen, ...]],
        ask: Callable[[], None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._look, self._alarms, self._ask, self._now, self._sleep = look, alarms, ask, now, sleep
        self.steady_since: datetime | None = None
        self.unsteady = ""
        self.looks = 0
        self.states: tuple[AlarmSeen, ...] = ()

    def until_settled(self, settings: Settings, progress: Callable[[dict[str, str]], None]) -> None:
        """Look until the service was steady for long enough and every alarm has data, or one fires, or time is over."""
        deadline = self._now() + settings.settle
        pause_s = min(5.0, max(0.5, settings.steady_for.total_seconds() / 20))
        while True:
            self._once()
            steady = self._now() - self.steady_since if self.steady_since else timedelta(0)
            silent = sum(each.state == "INSUFFICIENT_DATA" for each in self.states)
            progress({"steady for": f"{steady.total_seconds():.0f} s", "alarms without data": str(silent)})
            rings = any(each.state == "ALARM" for each in self.states)
            settled = self.steady_since is not None and steady >= settings.steady_for and not silent
            if settled or rings or self._now() >= deadline:
                return
            self._sleep(pause_s)

    def _once(self) -> None:
        self.looks += 1
        self._ask()
        why = self._look()
        self.unsteady = why or self.unsteady
        self.steady_since = None if why else self.steady_since or self._now()
        self.states = self._alarms()


def alarm_states(cloudwatch: Any, names: tuple[str, ...]) -> tuple[AlarmSeen, ...]:
    """Return the state of each alarm, of either kind."""
    wanted = tuple(dict.fromkeys(names))
    found: dict[str, Mapping[str, Any]] = {}
    with translated("Describing the alarms"):
        for start in range(0, len(wanted), _ALARMS_AT_ONCE):
            told = cloudwatch.describe_alarms(
                AlarmNames=list(wanted[start : start + _ALARMS_AT_ONCE]), AlarmTypes=["MetricAlarm", "CompositeAlarm"]
            )
            found |= {each["AlarmName"]: each for key in _KINDS for each in told.get(key, ())}
    return tuple(_alarm(name, found.get(name, {})) for name in wanted)


_KINDS = ("MetricAlarms", "CompositeAlarms")


def _alarm(name: str, told: Mapping[str, Any]) -> AlarmSeen:
    return AlarmSeen(
        name=name,
        state=told.get("StateValue", ""),
        reason=told.get("StateReason", ""),
        acts=bool(told.get("ActionsEnabled", True)),
    )


# --- judging ---------------------------------------------------------------------------------------------------------


def judge(seen: Observation, settings: Settings) -> Judgement:
    """Find where production is not what was approved, is not healthy, or the approval does not hold any more."""
    content = compare(seen.approved.service, seen.service.content, may_differ=settings.may_differ)
    findings = [
        *_approval(seen, settings),
        *_place(seen),
        *_images(seen),
        *_content(content),
        *_running(seen, settings),
        *_alarms(seen),
        *_targets(seen),
        *_probe(seen),
    ]
    examined = (len(seen.approved.service) and content.compared) + len(seen.service.tasks)
    age = seen.asked_at - seen.approved.decided_at
    notes = [f"may differ, and does: {each.path} {each.told('approved was')}" for each in content.allowed]
    if seen.environment is Environment.EMULATED:
        notes.append("rehearsal: this was seen on an embedded AWS, and is no evidence of production")
    return Judgement(
        examined=examined + len(seen.alarms) + sum(seen.probe.answers.values()),
        findings=tuple(findings),
        gaps=tuple(_gaps(seen)),
        measurements=(
            Measurement(
                name="approval.age",
                value=age.total_seconds(),
                unit="s",
                samples=1,
                threshold=settings.max_age.total_seconds(),
                comparison="<=",
            ),
            Measurement(
                name="steady.for",
                value=_steady(seen).total_seconds(),
                unit="s",
                samples=seen.looks,
                threshold=settings.steady_for.total_seconds(),
                comparison=">=",
            ),
            Measurement(name="content.compared", value=content.compared, unit="values", samples=content.compared),
        ),
        notes=tuple(notes),
    )


def _approval(seen: Observation, settings: Settings) -> Iterator[Finding]:
    approved = seen.approved
    age = seen.asked_at - approved.decided_at
    if approved.environment is not seen.environment:
        told = "a rehearsal" if approved.environment is Environment.EMULATED else "made on AWS"
        here = "an embedded AWS" if seen.environment is Environment.EMULATED else "AWS"
        yield _fault(
            "other-environment",
            approved.run_id,
            f"The run is {told}, and the stack stands on {here}",
            "Approve a run on AWS; a rehearsal's bundle rehearses the cutover on an embedded AWS only.",
        )
    elif approved.environment is Environment.AWS and approved.verdict is not Verdict.GO:
        why = "; ".join(approved.reasons) or "no reason is given"
        yield _fault(
            "not-go", approved.run_id, f"The verdict is {approved.verdict}: {why}", "Roll back, and decide first."
        )
    if approved.outcome is not Outcome.PASSED:
        why = "; ".join(approved.reasons) or "no reason is given"
        yield _fault(
            "not-passed",
            approved.run_id,
            f"The required gates {_CAME_TO[approved.outcome]}: {why}",
            "Roll back, mend what failed, and run again.",
        )
    if age > settings.max_age:
        yield _fault(
            "stale-go",
            approved.run_id,
            f"Decided {approved.decided_at:%Y-%m-%d %H:%M} UTC, longer ago than {spell_duration(settings.max_age)}",
            "Run again: what was measured then may not hold now.",
        )
    if age < timedelta(0):
        yield _fault("future-go", approved.run_id, "The decision lies in the future", "Set the clock of this machine.")
    if "unknown" not in (approved.commit, seen.commit) and not _same_commit(approved.commit, seen.commit):
        yield _fault(
            "other-commit",
            seen.commit,
            f"Approved was commit {approved.commit}, and {seen.commit} is said to be live",
            "Check that commit out, or name it with --commit; if another one was deployed, roll back.",
        )
    if approved.dirty:
        yield _fault(
            "uncommitted",
            approved.commit,
            "What was approved had uncommitted changes, so no commit names it",
            "Commit, and run again.",
            Severity.MEDIUM,
        )


_CAME_TO = {Outcome.FAILED: "failed", Outcome.INCONCLUSIVE: "were inconclusive", Outcome.PASSED: "passed"}


def _same_commit(approved: str, live: str) -> bool:
    return approved == live or (len(live) >= 7 and approved.startswith(live.lower()))


def _place(seen: Observation) -> Iterator[Finding]:
    stack = seen.stack
    if stack.status not in _WITHOUT_FAULT:
        yield _fault(
            "stack-unfinished",
            stack.name,
            f"The stack is {stack.status}: its last update did not end well, or has not ended",
            "Wait for the update, or find out from the stack's events why it was taken back.",
        )
    if seen.production_accounts and stack.account not in seen.production_accounts:
        yield _fault(
            "other-account",
            stack.name,
            f"It stands in account {stack.account}; aws.production_accounts has {', '.join(seen.production_accounts)}",
            "Use the credentials of production.",
        )


def _images(seen: Observation) -> Iterator[Finding]:
    for container, running in seen.service.digests.items():
        approved = seen.approved.digests.get(container, ())
        for each in running:
            if approved and each not in approved:
                yield _fault(
                    "other-digest",
                    container,
                    f"Production runs {each}; approved was {', '.join(approved)}",
                    "Roll back, or deploy the image that was approved, named by its digest.",
                    Severity.CRITICAL,
                )


def _content(content: Comparison) -> Iterator[Finding]:
    for each in content.differences:
        yield _fault(
            "not-as-approved",
            each.path,
            f"In production it {each.told('approved was')}",
            "Deploy what was approved; a value that is meant to differ goes into gates.settings.go-live.may_differ.",
        )


def _running(seen: Observation, settings: Settings) -> Iterator[Finding]:
    service, approved = seen.service, seen.approved
    if not service.content:
        return
    if service.desired < approved.desired:
        message = f"{service.desired} tasks are wanted, {approved.desired} were approved"
        yield _fault("too-few-wanted", service.service, message, "Set the desired count.")
    if service.tasks and len(service.used_zones) < min(approved.zones, len(service.tasks)):
        message = (
            f"Tasks run in {', '.join(service.used_zones) or 'no known zone'}; approved were {approved.zones} zones"
        )
        yield _fault("too-few-zones", service.service, message, "Give the service subnets in as many zones.")
    for task in service.tasks:
        if task.task_definition != service.task_definition:
            message = f"runs {task.task_definition}, the service has {service.task_definition}"
            yield _fault("other-revision", task.task, message, "Wait for the deployment, or find out why it hangs.")
    why = deployed_service.unsteady(service)
    if not why and (seen.steady_since is None or _steady(seen) < settings.steady_for):
        before = f"; before, {seen.unsteady}" if seen.unsteady else ""
        why = f"it was seen steady for {_steady(seen).total_seconds():.0f} s only{before}"
    if why:
        message = f"The service is not steady: {why}; wanted is {spell_duration(settings.steady_for)} without a break"
        yield _fault("not-steady", service.service, message, "Wait for the deployment to end, and ask again.")


def _steady(seen: Observation) -> timedelta:
    return seen.asked_at - seen.steady_since if seen.steady_since else timedelta(0)


def _alarms(seen: Observation) -> Iterator[Finding]:
    for alarm in seen.alarms:
        if alarm.state == "ALARM":
            yield _fault("alarm", alarm.name, f"Is in ALARM: {alarm.reason}", "Follow its runbook, and roll back.")
        if alarm.state and not alarm.acts:
            message = "Its actions are switched off: it would wake nobody"
            yield _fault("alarm-muted", alarm.name, message, "Switch its actions on.", Severity.MEDIUM)


def _targets(seen: Observation) -> Iterator[Finding]:
    healthy = sum(states.get("healthy", 0) for states in seen.service.targets.values())
    ill = sum(states.get("unhealthy", 0) for states in seen.service.targets.values())
    if ill or (seen.service.targets and healthy < seen.service.desired):
        message = f"{healthy} targets are healthy and {ill} are not; {seen.service.desired} are wanted"
        yield _fault("targets", seen.service.service, message, "Look at the target group's reasons, and at the tasks.")


def _probe(seen: Observation) -> Iterator[Finding]:
    wrong = {status: count for status, count in seen.probe.answers.items() if status != "200"}
    if wrong:
        told = ", ".join(f"{count} x {status}" for status, count in sorted(wrong.items()))
        message = f"{told} of {sum(seen.probe.answers.values())} answers; 200 is wanted"
        yield _fault("probe", seen.probe.url, message, "Look at the service's log, and roll back.")
    if seen.probe.answers and seen.probe.errors:
        why, count = next(iter(seen.probe.errors.items()))
        message = f"{sum(seen.probe.errors.values())} requests were not answered ({count} x {why})"
        yield _fault("probe", seen.probe.url, message, "Look at the load balancer, and roll back.")
    for run in _since_deployment(seen):
        if run.state == "FAILED":
            yield _fault("probe", run.canary, f"The canary failed: {run.reason}", "Look at the canary's artifacts.")


def _since_deployment(seen: Observation) -> list[CanaryRun]:
    """Return the runs of canaries that met what is deployed now."""
    updated = [each.updated_at for each in seen.service.deployments if each.updated_at is not None]
    return [run for run in seen.probe.canaries if run.ended_at is not None and updated and run.ended_at > max(updated)]


def _gaps(seen: Observation) -> Iterator[Gap]:
    approved, service = seen.approved, seen.service
    if approved.fidelity is not Outcome.PASSED:
        came_to = "was not asked" if approved.fidelity is None else f"is {approved.fidelity}"
        yield Gap(what="what was approved", why=f"the run's gate fidelity {came_to}; require it, and run again")
    if not approved.service:
        yield Gap(what="the approved service", why="the bundle does not tell its content")
    for whose, commit in (("the approved", approved.commit), ("the live", seen.commit)):
        if commit == "unknown":
            yield Gap(what=f"{whose} commit", why="there was no git checkout to ask; name it with --commit")
    if not service.tasks:
        yield Gap(what="tasks", why="no task of the service runs")
    elif len(service.tasks) < service.running:
        yield Gap(what="tasks", why=f"{service.running} run, and ECS described {len(service.tasks)} of them")
    for task in service.tasks:
        for container in sorted({*task.digests, *approved.digests}):
            if not task.digests.get(container):
                yield Gap(what=f"image of {container} in {task.task}", why="ECS does not tell its digest")
            elif not approved.digests.get(container):
                yield Gap(what=f"image of {container}", why="the bundle does not tell which one was approved")
    if not seen.alarms:
        yield Gap(what="alarms", why="the stack has none, and gates.settings.go-live.alarms names none")
    for alarm in seen.alarms:
        if alarm.state not in ("OK", "ALARM"):
            yield Gap(what=f"alarm {alarm.name}", why=f"is {alarm.state}" if alarm.state else "there is no such alarm")
    if not service.targets:
        yield Gap(what="targets", why="the service has no target group, so nothing tells whether it is healthy")
    if not seen.probe.answers:
        yield from _unprobed(seen)


def _unprobed(seen: Observation) -> Iterator[Gap]:
    """Yield why the probe proves nothing, unless a canary has passed since the deployment."""
    if any(run.state == "PASSED" for run in _since_deployment(seen)):
        return
    if not seen.probe.url:
        why = "the stack has no output ServiceUrl; set gates.settings.go-live.url"
    else:
        why = f"no answer from here ({next(iter(seen.probe.errors), 'not asked')})"
    told = ", ".join(f"{run.canary} is {run.state or 'silent'}" for run in seen.probe.canaries)
    yield Gap(
        what="probe",
        why=f"{why}, and no canary has passed since the deployment" + (f": {told}" if told else ""),
    )


def _fault(rule: str, subject: str, message: str, mend: str, severity: Severity = Severity.HIGH) -> Finding:
    return Finding(rule=f"go-live/{rule}", subject=subject, severity=severity, message=message, help=mend)


GATE = Gate(
    id="go-live",
    question="Does production run what was approved, and is it healthy?",
    stage=Stage.AFTER_CUTOVER,
    settings=Settings,
    observation=Observation,
    observe=observe,
    judge=judge,
)
