"""Go on with a run whose runner was killed, from its last finished stage, where that is sound.

It is sound only as long as everything that was seen was seen of one candidate and of one clone. So a run is not gone on
with whose clone is gone while a gate still needs it, nor one that was killed in the middle of something that breaks the
clone on purpose: in which state that left it, nobody knows.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import readiness
from readiness import aftermath, evidence, gates, plan, production, progress, run, runner, staging, waivers
from readiness.cloud import Connection, reach_again, translated
from readiness.errors import ReadinessError
from readiness.evidence import BundleWriter
from readiness.ledger import Entry, Ledger
from readiness.model import Candidate, Clone, Plan, Record, Registration, Span, Stage
from readiness.narrator import Narrator
from readiness.registration import UNKNOWN, git_state
from readiness.removal import stop_tasks

_WHOLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_STOP_S = 30
"""After this long ECS kills a task that it was told to stop."""
_GAP = "Nobody was at work: the run was killed, and resumed"


def resume(repository: Path, run_id: str, narrator: Narrator) -> tuple[Record, Path]:
    """Go on with a run and return its record and its bundle.

    Raises:
        ReadinessError: it cannot be gone on with; says why, and what to do.
        TeardownError: something of it may still exist.
    """
    ledger = Ledger(aftermath.find_ledger(repository, run_id))
    begun = _check_ledger(run_id, ledger)
    this = _thaw(repository, ledger, begun, narrator)
    left = this.plan.budget.wall_clock - (datetime.now(UTC) - this.started_at)
    _check_time(this, left)
    _check_files(this)
    _check_templates(this)
    aftermath.end_programs(run_id)
    connection = reach_again(begun.details["region"], ledger.entries(), this.plan.aws.production_accounts)
    production.refuse(connection, this.plan, staging.stack_name(run_id))
    clone = _standing(this, connection)
    this.environment, this.time_scale = connection.environment, connection.time_scale
    this.spans.append(Span(name=_GAP, started_at=ledger.entries()[-1].at, ended_at=datetime.now(UTC)))
    ledger.note("run-resumed", name=run_id, **runner.mark())
    narrator.say(f"Run {run_id} goes on; {len(this.results)} gates were asked before: {_names(this)}")
    return run.see_through(this, lambda this: _go_on(this, connection, clone), max(left, timedelta(minutes=1)))


def _refuse(run_id: str, why: str) -> NoReturn:
    raise ReadinessError(
        f"{run_id} cannot be resumed: {why}.",
        hint=f"`readiness teardown {run_id}` cleans up what is left of it; then run again.",
    )


def _check_ledger(run_id: str, ledger: Ledger) -> Entry:
    """Return the ledger's first line, if what it says can be gone on with at all."""
    entries = ledger.entries()
    begun = next((entry for entry in entries if entry.event == "run-started"), None)
    if begun is None or "bundle" not in begun.details:
        _refuse(run_id, "its ledger does not say how it began")
    if any(entry.event == "run-decided" for entry in entries):
        _refuse(run_id, "it was decided; there is nothing to go on with")
    aftermath.refuse_living(run_id, entries)
    if any(entry.event == "clone-up" for entry in entries):
        _refuse(run_id, "it is no run but a clone that `readiness up` made")
    if begun.details["target"] == "embedded":
        _refuse(run_id, "its embedded AWS ended with its runner, and the clone with it")
    return begun


def _thaw(repository: Path, ledger: Ledger, begun: Entry, narrator: Narrator) -> run.Run:
    """Return the run as it was frozen, with what it has come to, if candidate, plan and harness are still the same."""
    run_id, folder, bundle = begun.name, ledger.path.parent, Path(begun.details["bundle"])
    file = bundle / evidence.PLAN
    if not file.exists() or plan.digest(file) != begun.details["plan"]:
        _refuse(run_id, f"the plan that it froze is not in {bundle} any more")
    if begun.details.get("version") != readiness.__version__ or "registration" not in begun.details:
        _refuse(run_id, f"it was begun by version {begun.details.get('version')} of the harness")
    commit, dirty = git_state(repository)
    if (commit, str(dirty).lower()) != (begun.details["commit"], begun.details["dirty"]):
        _refuse(run_id, f"the repository has moved on from {begun.details['commit'][:12]}, so the candidate is another")
    if dirty or commit == UNKNOWN:
        _refuse(run_id, "its candidate was not committed, so nobody knows whether the files are still the same")
    for partial in bundle.rglob("*.partial"):
        partial.unlink()
    frozen: Plan = plan.load_plan(file)
    # What is left is asked again: a resumed run makes or removes something after it was asked.
    results = [each for each in progress.finished(folder, ledger, bundle) if each.stage is not Stage.AFTER_TEARDOWN]
    return run.Run(
        id=run_id,
        request=run.Request(
            repository=repository,
            plan_file=file,
            waivers_file=bundle / evidence.WAIVERS,
            target="aws",
            only=tuple(json.loads(begun.details.get("only", "[]"))),
            baseline=Path(begun.details["baseline"]) if begun.details.get("baseline") else None,
        ),
        plan=frozen,
        waivers=waivers.load_waivers(bundle / evidence.WAIVERS, max_age=frozen.max_waiver_age),
        folder=folder,
        ledger=ledger,
        bundle=BundleWriter(bundle),
        narrator=narrator,
        started_at=begun.at,
        candidate=Candidate(commit=commit, dirty=dirty, template_digests={}, image=frozen.service.image),
        results=results,
        registration=evidence.from_json(
            Registration, begun.details["registration"].encode(), "what the ledger says of the plan's commit"
        ),
        spans=[Span(name=each.question, started_at=each.started_at, ended_at=each.ended_at) for each in results],
    )


def _unasked(this: run.Run, *stages: Stage) -> list[str]:
    """Return the gates of these stages that have no result yet."""
    done = {result.gate for result in this.results}
    return [gate.id for gate in this.asked if gate.stage in stages and gate.id not in done]


def _check_time(this: run.Run, left: timedelta) -> None:
    """Refuse to ask gates in time that the plan does not give; a teardown may always be gone on with."""
    if not _unasked(this, Stage.BEFORE_DEPLOY, Stage.STEADY, Stage.DISRUPTIVE):
        return
    if left <= timedelta(0):
        _refuse(this.id, "budget.wall_clock is over")
    if datetime.now(UTC) + left > this.started_at + this.plan.budget.clone_lifetime:
        _refuse(this.id, "its clone would expire before the end of the run")


def _standing(this: run.Run, connection: Connection) -> Clone | None:
    """Return the clone that still stands; None where none was finished, and what there was of one may be made anew."""
    entries = this.ledger.entries()
    deployed = [entry.name for entry in entries if entry.event == "stack-deployed"]
    needed = _unasked(this, Stage.STEADY, Stage.DISRUPTIVE)
    if not deployed:
        return None
    if broken := _broken_by(this):
        _refuse(this.id, f"it was killed during {broken}, which breaks the clone on purpose; nobody knows how it is")
    clone = _look(this, connection, deployed[-1])
    if clone is None and needed:
        _refuse(this.id, f"its clone is gone, and {', '.join(needed)} would be asked of another one")
    return clone


def _broken_by(this: run.Run) -> str:
    """Return the gate that was cut off and may have left the clone broken: a disruptive one, or one with a fault in."""
    stages = {gate.id: gate.stage for gate in gates.all_gates()}
    entries = this.ledger.entries()
    for gate in progress.begun(this.ledger):
        since = max(at for at, entry in enumerate(entries) if (entry.event, entry.name) == (progress.BEGUN, gate))
        faults = any(entry.event == "about-to-inject" for entry in entries[since:])
        if faults or stages.get(gate) is Stage.DISRUPTIVE:
            return gate
    return ""


def _look(this: run.Run, connection: Connection, stack_id: str) -> Clone | None:
    """Return the clone of a stack that is whole, or None."""
    cloudformation = connection.client("cloudformation")
    with translated(f"Describing stack {stack_id}"):
        pages = cloudformation.get_paginator("list_stacks").paginate()
        known = {each["StackId"]: each["StackStatus"] for page in pages for each in page["StackSummaries"]}
    if known.get(stack_id) not in _WHOLE:
        return None
    return staging.describe(cloudformation, stack_id, this.id, this.started_at + this.plan.budget.clone_lifetime)


def _go_on(this: run.Run, connection: Connection, clone: Clone | None) -> None:
    """Clear away what was cut off in its middle, and ask the gates that have no result yet."""
    expires_at = this.started_at + this.plan.budget.clone_lifetime
    assembly = staging.Assembly(folder=this.folder / "cdk.out", templates=())
    try:
        run.choose_baseline(this)
        assembly = _assembly(this, connection, expires_at)
        run.keep_templates(this, assembly)
        if clone is not None:
            _stop_load(this, connection)
        expense = run.estimated(this, assembly)
    except BaseException:
        _tear_down(this, connection, assembly)
        raise
    if clone is None and this.ledger.created():
        if not _unasked(this, Stage.STEADY, Stage.DISRUPTIVE):  # the run was killed in its teardown, or after it
            _tear_down(this, connection, assembly)
            return
        with this.signals.tearing_down(), this.span("Remove what was cut off in its middle"):
            run.take_away(this, connection)
    run.ask_all(this, connection, assembly, expense, expires_at, clone)


def _tear_down(this: run.Run, connection: Connection, assembly: staging.Assembly) -> None:
    """Remove all that there is of the run, and look for leftovers."""
    if not this.ledger.created():
        return
    try:
        with this.signals.tearing_down(), this.span("Destroy the clone"):
            run.take_away(this, connection)
    finally:
        with this.signals.tearing_down():
            run.ask(this, Stage.AFTER_TEARDOWN, run.make_context(this, connection, assembly))


def _stop_load(this: run.Run, connection: Connection) -> None:
    """Stop the tasks of a gate that was cut off: what they send would be seen by the next."""
    made = this.ledger.created()
    if any(entry.kind == "ecs-task" for entry in made):
        with this.span("Stop the load that was cut off, and let its last minute pass"):
            stop_tasks(connection.client("ecs"), made)
            time.sleep(_apart_s(datetime.now(UTC)))


def _apart_s(now: datetime) -> float:
    """Return the seconds until a whole minute begins in which nothing of the stopped tasks is counted any more.

    The load balancer counts by the minute.
    """
    stopped = now + timedelta(seconds=_STOP_S)
    return _STOP_S + 60 - (stopped.second + stopped.microsecond / 1e6)


def _check_templates(this: run.Run) -> None:
    """Refuse templates that are not those that gates were asked about."""
    kept, made = _templates(this.bundle.root / evidence.TEMPLATES), _templates(this.folder / "cdk.out")
    looked_at = bool(kept) or any(entry.event == progress.BEGUN for entry in this.ledger.entries())
    if looked_at and (not kept or kept != made):
        _refuse(this.id, f"{this.folder / 'cdk.out'} does not hold the templates that were looked at")


def _templates(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.glob("*.template.json")}


def _check_files(this: run.Run) -> None:
    """Refuse plan, waivers or workload files that are not those that were frozen."""
    for each in this.registration.files:
        if evidence.sha256(evidence.read_bytes(this.bundle.root, each.kept)) != each.digest:
            _refuse(this.id, f"{each.kept} in {this.bundle.root} is not the file that it froze")


def _made(this: run.Run) -> tuple[Path, ...]:
    return tuple(sorted((this.folder / "cdk.out").glob("*.template.json")))


def _assembly(this: run.Run, connection: Connection, expires_at: datetime) -> staging.Assembly:
    """Return the assembly that the run made, or make it where it was killed before."""
    if _made(this) and (this.bundle.root / evidence.TEMPLATES).is_dir():
        return staging.Assembly(folder=this.folder / "cdk.out", templates=_made(this))
    with this.span("Synthesize the templates"):
        return staging.synthesize(
            this.request.repository,
            this.folder / "cdk.out",
            plan_file=this.request.plan_file,
            variables=connection.variables,
            run_id=this.id,
            expires_at=expires_at,
        )


def _names(this: run.Run) -> str:
    return ", ".join(result.gate for result in this.results) or "none"
