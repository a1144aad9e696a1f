"""Evidence bundles for the tests of the reports: what the gates judge of drives and drills that never were."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from readiness import decide, evidence, gates, load_result, server_side
from readiness.alarm_wiring import AlarmSeen, Subscriber, Wiring
from readiness.decision import decided
from readiness.drill import Notification, Release, ServiceState
from readiness.drill_clients import ClientsSeen, SecondSeen, Watched
from readiness.gates import alarms, load, rollback, runbooks
from readiness.load import LoadResult, Validity
from readiness.loadgen import rows
from readiness.loadgen.rows import tally_of, to_rows
from readiness.model import (
    Candidate,
    ControlFamily,
    Environment,
    FiledSignature,
    Finding,
    Gap,
    GateResult,
    Judgement,
    Measurement,
    OpenLimit,
    Outcome,
    Plan,
    Record,
    Severity,
    Signature,
    SignatureStanding,
    Span,
    Verdict,
    Waiver,
)
from readiness.plan import load_plan
from readiness.report.html import Content
from readiness.run import result_of
from readiness.runbook import SECTIONS, FrontMatter, Review, Runbook
from readiness.runbook_steps import StepRun
from readiness.server_side import ClientSide, ServerSide

ROOT = Path(__file__).parents[3]
T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
NASTY = "<script>alert(1)</script>\"'&‮evil‬ " + "W" * 300 + " שלום"


def plan() -> Plan:
    return load_plan(ROOT / "readiness.toml")


# --- a drive ---------------------------------------------------------------------------------------------------------


def a_drive(seconds: int = 35, *, per_second: int = 100, failed: int = 0, silent: range = range(0)) -> LoadResult:
    """Return a drive of the plan's workload: uncached answers are slow; in *silent* seconds nothing is answered."""
    workload = plan().workload
    choose = random.Random(7)
    tallies: rows.Tallies = {}
    left = failed
    for second in range(seconds):
        for number in range(per_second):
            cached = number % 3 > 0
            tally = tally_of(tallies, second, "chat-cached" if cached else "chat-uncached")
            tally.count(rows.OFFERED)
            if second in silent:
                continue
            latency = int(1000 * choose.lognormvariate(0.2 if cached else 3.2, 0.3))
            if left and second >= 10:
                left -= 1
                tally.time(rows.OUTCOME_SERIES + rows.STATUS, latency)
                tally.count("status/503")
                continue
            tally.count(rows.ANSWERED)
            tally.count("status/200")
            tally.time(rows.OUTCOME_SERIES + rows.OK, latency)
            tally.time(rows.CACHE_SERIES + ("hit" if cached else "miss"), latency)
            if not cached:
                tally.time(rows.UPSTREAM, int(latency * 0.9))
                tally.time(rows.PROXY, latency - int(latency * 0.9))
        tally_of(tallies, second, rows.EVERY).time(rows.LAG, 200)
    offered = seconds * per_second
    return LoadResult(
        started_at=T0,
        ended_at=T0 + timedelta(seconds=seconds),
        workload=workload,
        rows=to_rows(tallies),
        validity=Validity(
            finished=True,
            stopped=False,
            ran_out=False,
            workers_expected=2,
            workers_seen=2,
            workers_lost=(),
            workers_failed=(),
            offered=offered,
            sent=offered,
            recorded=offered,
            dropped=0,
            unreported=0,
            missing_reports=0,
            missing_lines=0,
            reconnects=0,
            in_flight_max=9,
            generator_cpu_ratio=0.2,
            clock_skew_ms=0.3,
            dispatcher_lag_p99_ms=0.5,
        ),
        problems=(),
        samples={},
    )


def load_seen(drive: LoadResult, artifact: str) -> load.Observation:
    clients: ClientSide = server_side.client_side(drive)
    times = {name: (max(1.0, value - 1),) for name, value in clients.latency_ms.items()}
    server = ServerSide(
        start=T0,
        end=T0 + timedelta(minutes=1),
        requests=clients.sent,
        target_5xx=clients.status_5xx,
        response_time_ms=times,
    )
    return load.observation_of(load.load_objectives(plan()), drive, artifact, clients, server)


# --- drills and runbooks ---------------------------------------------------------------------------------------------

GOOD = "arn:aws:ecs:eu-west-1:123456789012:task-definition/s:1"


RELEASE = Release(
    status="ROLLBACK_SUCCESSFUL",
    reason="",
    started_at=T0 + timedelta(seconds=1),
    rollback_reason="alarm",
    rollback_started_at=T0 + timedelta(seconds=20),
    finished_at=T0 + timedelta(seconds=30),
    alarms=("errors",),
    failed_tasks=0,
)


def step_run(step: str, fault: str = "") -> StepRun:
    """Return a step of a runbook that took two seconds."""
    begun = T0 + timedelta(seconds=59)
    return StepRun(
        id=step,
        started_at=begun,
        ended_at=begun + timedelta(seconds=2),
        exit_code=1 if fault else 0,
        stdout="",
        stderr="",
        fault=fault,
    )


def rollback_seen(*, artifact: str = "", **changes: Any) -> rollback.Observation:
    """Return a bad release that is rolled back by itself, which *changes* change, and one by the runbook."""
    state = ServiceState(task_definition=GOOD, desired=2, tasks={"a": GOOD, "b": GOOD}, digests=("sha256:1",))
    rehearsal = rollback.Rehearsal(
        way="automatic",
        kind="errors",
        limits=rollback.Limits(
            max_detect=timedelta(seconds=60),
            max_recover=timedelta(seconds=60),
            max_failed_ratio=0.25,
            max_failed_requests=None,
        ),
        before=state,
        after=state,
        alarms_before={"errors": "OK"},
        bad_task_definition=GOOD + "-bad",
        begun_at=T0 - timedelta(seconds=8),
        injected_at=T0,
        detected_at=T0 + timedelta(seconds=19),
        decided_at=T0 + timedelta(seconds=20),
        rolled_back_at=T0 + timedelta(seconds=30),
        restored_at=T0 + timedelta(seconds=31),
        ended_at=T0 + timedelta(seconds=41),
        failed_tasks=0,
        stopped=(),
        release=RELEASE,
    )
    automatic = replace(rehearsal, **changes)
    followed = replace(
        rehearsal,
        way="runbook",
        begun_at=T0 + timedelta(seconds=42),
        injected_at=T0 + timedelta(seconds=50),
        effective_at=T0 + timedelta(seconds=55),
        detected_at=T0 + timedelta(seconds=57),
        decided_at=T0 + timedelta(seconds=58),
        rolled_back_at=T0 + timedelta(seconds=66),
        restored_at=T0 + timedelta(seconds=67),
        ended_at=T0 + timedelta(seconds=80),
        release=replace(RELEASE, status="SUCCESSFUL", alarms=()),
        runbook="runbooks/rollback.md",
        steps=(step_run("find-previous"), step_run("restore")),
        planned_steps=("find-previous", "restore"),
    )
    erring = {*range(18, 32), *range(60, 74)}
    seconds = (
        SecondSeen(second=each, requests=40, failed=7 if each in erring else 0, slow={}, p95_ms=30.0)
        for each in range(90)
    )
    clients = ClientsSeen(
        started_at=T0 - timedelta(seconds=8),
        watched=(Watched(id="error-ratio", kind="errors", max_ratio=0.01),),
        seconds=tuple(seconds),
        problems=(),
    )
    return rollback.Observation(
        rehearsals=(automatic, followed),
        clients=clients,
        recovered_for=timedelta(seconds=5),
        artifact=artifact,
    )


CLONE_ERRORS = "arn:aws:cloudwatch:eu-west-1:123456789012:alarm:clone-errors"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:clone-topic"


def message(state: str, at: datetime) -> Notification:
    return Notification(
        alarm="clone-errors",
        arn=CLONE_ERRORS,
        account="123456789012",
        topic=TOPIC,
        message_id=f"message-{state.lower()}",
        state=state,
        changed_at=at - timedelta(seconds=1),
        published_at=at - timedelta(milliseconds=500),
        received_at=at,
        body="{}",
    )


def wiring() -> Wiring:
    alarm = AlarmSeen(
        subject="error-ratio",
        name="clone-errors",
        arn=CLONE_ERRORS,
        kind="metric",
        actions_enabled=True,
        alarm_actions=(TOPIC,),
        ok_actions=(TOPIC,),
        missing_data="missing",
        rule="",
        muted_by=(),
        runbook="runbooks/high-error-rate.md",
        runbook_found=True,
    )
    person = Subscriber(protocol="email", endpoint="ada@example.com", confirmed=True)
    return Wiring(alarms=(alarm,), topic=TOPIC, subscribers=(person,), people=("email",))


def alarms_seen() -> alarms.Observation:
    drilled = alarms.Drilled(
        objective="error-ratio",
        alarm="clone-errors",
        arn=CLONE_ERRORS,
        method="fault-errors",
        state_before="OK",
        injected_at=T0,
        effect="200 of 200 requests met the fault",
        fault_requests=200,
        requests=200,
        alarm_at=T0 + timedelta(seconds=6),
        alarm_message=message("ALARM", T0 + timedelta(seconds=7)),
        removed_at=T0 + timedelta(seconds=7),
        ok_at=T0 + timedelta(seconds=12),
        ok_message=message("OK", T0 + timedelta(seconds=13)),
    )
    return alarms.Observation(
        wiring=wiring(),
        drills=(drilled,),
        undrilled={},
        max_detect=timedelta(minutes=5),
        max_clear=timedelta(minutes=5),
    )


def runbooks_seen() -> runbooks.Observation:
    about = FrontMatter(
        id="high-error-rate",
        title="Too many errors",
        service="s",
        owner="Service team",
        author="Ada",
        alarms=("error-ratio",),
        reviewers=(Review(name="Bob", date=date(2026, 2, 1), content_hash="sha256:1"),),
        next_review=date(2026, 9, 1),
    )
    book = Runbook(
        path="runbooks/high-error-rate.md", about=about, content_hash="sha256:1", sections=SECTIONS, blocks=()
    )
    return runbooks.Observation(
        on=T0.date(),
        environment=Environment.EMULATED,
        folder="runbooks",
        templates=("t",),
        alarms=(),
        promised={"error-ratio": "runbooks/high-error-rate.md"},
        runbooks=(
            book,
            *(
                replace(book, path=f"runbooks/{name}.md", about=replace(about, id=name, alarms=()))
                for name in ("deploy", "rollback")
            ),
        ),
        unreadable={},
    )


# --- findings --------------------------------------------------------------------------------------------------------


def a_finding(number: int, **changes: Any) -> Finding:
    severities = list(Severity)
    families = [*ControlFamily, None]
    return Finding(
        **{
            "rule": f"checkov/CKV_AWS_{number}",
            "subject": f"Stack/Thing/Number{number}",
            "severity": severities[number % len(severities)],
            "family": families[number % len(families)],
            "message": f"Fault number {number}",
            "help": "Mend it.",
        }
        | changes
    )


def a_waiver(**changes: Any) -> Waiver:
    return Waiver(
        **{
            "rule": "checkov/CKV_AWS_0",
            "subject": "*",
            "reason": "It is as much as it was last year.",
            "owner": "Ada",
            "approver": "Grace",
            "ticket": "T-1",
            "created": date(2026, 2, 1),
            "expires": date(2026, 4, 1),
        }
        | changes
    )


def coverage(family: str, examined: int) -> tuple[Measurement, ...]:
    counts = {"examined": examined, "passed": examined, "failed": 0, "skipped": 0}
    return tuple(
        Measurement(name=f"{family}.{name}", value=value, unit="results", samples=examined)
        for name, value in counts.items()
    )


# --- the bundle ------------------------------------------------------------------------------------------------------


@dataclass(kw_only=True)
class Story:
    """What a run saw; tests change it."""

    drive: LoadResult | None = field(default_factory=a_drive)
    rollback: rollback.Observation | None = field(default_factory=rollback_seen)
    rollback_drive: LoadResult = field(default_factory=lambda: a_drive(45, per_second=40, failed=90))
    alarms: alarms.Observation | None = field(default_factory=alarms_seen)
    runbooks: runbooks.Observation | None = field(default_factory=runbooks_seen)
    findings: tuple[Finding, ...] = ()
    gaps: tuple[Gap, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    limits: tuple[OpenLimit, ...] = ()
    waivers: tuple[Waiver, ...] = ()
    plan: Plan = field(default_factory=plan)
    changes: dict[str, Any] = field(default_factory=dict)
    """Of the record."""


def a_bundle(folder: Path, story: Story | None = None) -> Path:
    """Write a sealed bundle, without reports, and return its folder."""
    story = story or Story()
    writer = evidence.BundleWriter(folder)
    writer.put(evidence.PLAN, (ROOT / "readiness.toml").read_bytes())
    writer.put(evidence.WAIVERS, b"")
    known = {gate.id: gate for gate in gates.all_gates()}
    results: list[GateResult] = []

    def asked(gate_id: str, seen: Any) -> None:
        gate = known[gate_id]
        path = writer.put_json(evidence.observation_path(gate_id), gate.observation, seen)
        judgement = gate.judge(seen, gate.settings())
        ended = T0 + timedelta(seconds=60)
        results.append(result_of(story.plan, story.waivers, gate, judgement, path, T0, ended, T0))

    if story.runbooks is not None:
        asked("runbooks", story.runbooks)
    if story.drive is not None:
        path = writer.write("load/rows.json.gz", load_result.artifact(story.drive))
        asked("load", load_seen(story.drive, path))
    if story.alarms is not None:
        asked("alarms", story.alarms)
    if story.rollback is not None:
        if story.rollback.artifact:
            writer.put(story.rollback.artifact, load_result.artifact(story.rollback_drive))
        asked("rollback", story.rollback)
    if story.findings or story.gaps or story.measurements:
        judgement = Judgement(
            examined=len(story.findings) or 1,
            findings=story.findings,
            gaps=story.gaps,
            measurements=story.measurements,
            limits=story.limits,
        )
        gate = known["security"]
        results.append(result_of(story.plan, story.waivers, gate, judgement, None, T0, T0, T0))
    writer.put_json(evidence.RECORD, Record, a_record(story, tuple(results)))
    writer.seal()
    return folder


def a_record(story: Story, results: tuple[GateResult, ...]) -> Record:
    environment = story.changes.get("environment", Environment.EMULATED)
    undecided = Record(
        **{
            "run_id": "20260301-120000-abcd",
            "harness_version": "0.1.0",
            "environment": environment,
            "time_scale": 20.0,
            "candidate": Candidate(
                commit="c0ffee" * 6, dirty=True, template_digests={"t.json": "sha256:3"}, image="s:1"
            ),
            "plan_digest": "sha256:1",
            "waivers_digest": "sha256:2",
            "started_at": T0,
            "decided_at": T0 + timedelta(minutes=3),
            "results": results,
            "leftovers": (),
            "spans": (Span(name="Deploy the clone", started_at=T0, ended_at=T0 + timedelta(seconds=30)),),
            "required": story.plan.gates.required,
            "unused_waivers": decide.unused(story.waivers, results),
            "interrupted": False,
            "troubles": (),
            "outcome": Outcome.INCONCLUSIVE,
            "verdict": Verdict.NO_GO,
            "reasons": (),
        }
        | {name: change for name, change in story.changes.items() if name not in _DECIDED}
    )
    now = decided(undecided, story.plan, frozenset())
    found = {name: getattr(now, name) for name in _DECIDED}
    return replace(undecided, **(found | {name: story.changes[name] for name in _DECIDED if name in story.changes}))


_DECIDED = ("outcome", "verdict", "reasons")


def a_signature(role: str, decision: str = "go", why: str = "", **changes: Any) -> SignatureStanding:
    """Return a signature, as a report tells of it; *why* it does not count."""
    signature = Signature(
        **{"role": role, "name": f"{role.title()} Person", "decision": decision, "at": T0, "plan": "sha256:1"} | changes
    )
    path = f"sign-off/signatures/0001-{role}.dsse.json"
    return SignatureStanding(filed=FiledSignature(signature=signature, path=path), why=why)


def content(folder: Path, story: Story | None = None) -> Content:
    """Return what a report of such a bundle is made of."""
    story = story or Story()
    root = a_bundle(folder, story)
    return told(evidence.read_record(root), story.plan, root)


def told(record: Record, frozen: Plan, root: Path) -> Content:
    """Return what a report is made of, where nobody has signed; it says what the record says, right or wrong."""
    now = decided(record, frozen, evidence.files(root))
    now = replace(now, **{name: getattr(record, name) for name in _DECIDED})
    return Content(record=record, plan=frozen, decision=now, root=root)
