"""The story of one run, top to bottom: freeze, scan, deploy, ask, drill, tear down, look for leftovers, decide."""

from __future__ import annotations

import json
import secrets
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import readiness
from readiness import (
    baseline,
    consent,
    contract,
    controls,
    decide,
    decision,
    doctor,
    estimate,
    evidence,
    gates,
    plan,
    production,
    progress,
    registration,
    report,
    runner,
    staging,
    triage,
    waivers,
)
from readiness.cloud import Connection, Target, connect
from readiness.cost import Estimate
from readiness.errors import EvidenceError, Fault, PlanError, ReadinessError, TeardownError, UsageError
from readiness.gate import Context, Gate
from readiness.gates import cost as cost_gate
from readiness.interruption import Interrupted, OutOfMoney, OutOfTime, Signals
from readiness.ledger import FILE as LEDGER_FILE
from readiness.ledger import Ledger
from readiness.loadgen import template, workload_files
from readiness.model import (
    Candidate,
    Clone,
    ControlShown,
    Decision,
    Environment,
    Gap,
    GateResult,
    Judgement,
    Outcome,
    Plan,
    Record,
    Registration,
    ScanTerms,
    Span,
    Stage,
    Verdict,
    Waiver,
    spell_duration,
)
from readiness.narrator import Narrator
from readiness.registration import git_state
from readiness.removal import remove_run
from readiness.scan.template import read_template
from readiness.secrecy import refuse_secrets_in
from readiness.spelling import did_you_mean

RUNS = Path(".readiness") / "runs"
_BASELINE = "baseline-chosen"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for."""

    repository: Path
    plan_file: Path
    waivers_file: Path
    target: Target
    only: tuple[str, ...] = ()
    evidence: Path | None = None
    baseline: Path | None = None
    """Bundle that relative objectives compare with; None = the newest of this repository that may be one."""
    yes: bool = False
    """What costs money is agreed to beforehand."""
    allow_dirty: bool = False
    """Whether this is a rehearsal only, so that plan, waivers and workload files need not be committed."""


@dataclass(kw_only=True)
class Run:
    """A run under way: what was frozen before it, and what it has come to so far."""

    id: str
    request: Request
    plan: Plan
    waivers: tuple[Waiver, ...]
    folder: Path
    ledger: Ledger
    bundle: evidence.BundleWriter
    narrator: Narrator
    started_at: datetime
    candidate: Candidate
    registration: Registration = field(default_factory=Registration)
    results: list[GateResult] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    signals: Signals = field(default_factory=Signals)
    interrupted: bool = False
    baseline: Path | None = None
    """Bundle of the earlier run that this one is compared with."""
    environment: Environment = Environment.EMULATED
    time_scale: float = 1.0

    @property
    def asked(self) -> tuple[Gate[Any, Any], ...]:
        """The gates of this run, in order."""
        chosen = self.request.only
        return tuple(
            gate
            for gate in gates.all_gates()
            if gate.stage is not Stage.AFTER_CUTOVER
            and (not chosen or gate.id in chosen or gate.stage is Stage.AFTER_TEARDOWN)
        )

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Time a part of the run and show it."""
        begun = datetime.now(UTC)
        with self.narrator.stage(name):
            try:
                yield
            finally:
                self.spans.append(Span(name=name, started_at=begun, ended_at=datetime.now(UTC)))


def run(request: Request, narrator: Narrator) -> tuple[Record, Path]:
    """Do a whole run and return its record and its bundle.

    Raises:
        PlanError: the plan or the waivers are invalid; nothing was started.
        UsageError: a gate was asked for that does not exist, or nobody agreed to what it costs; nothing was made.
    """
    this = freeze(request, narrator)
    narrator.say(f"Run {this.id}: {this.plan.service.name} on {request.target}; evidence in {this.bundle.root}")
    return see_through(this, observe_everything, this.plan.budget.wall_clock)


def see_through(this: Run, observe: Callable[[Run], None], within: timedelta) -> tuple[Record, Path]:
    """Let *observe* ask the gates, and decide, whatever becomes of it; return the record and the bundle.

    Raises:
        PlanError: the account is one that the plan lists as production.
        EvidenceError: there could be no record.
        Interrupted: somebody insisted on the end before there was one.
        TeardownError: there could be none, and something may be left.
    """
    try:
        with this.signals.caught(this.narrator.warn):
            watch(this, observe, within)
            with this.signals.tearing_down():
                return conclude(this), this.bundle.root
    except (Exception, Interrupted) as error:
        if left := (*this.leftovers, *remaining(this.results)):
            why = f"There is no record: {str(error) or repr(error)}"
            hint = f"{why}\n  To finish the teardown: readiness teardown {this.id}"
            raise TeardownError(tuple(dict.fromkeys(left)), hint=hint) from error
        raise


def watch(this: Run, observe: Callable[[Run], None], within: timedelta) -> None:
    """Let *observe* ask the gates, and write down in the run what ended it early."""
    narrator = this.narrator
    try:
        with this.signals.caught(narrator.warn, within.total_seconds()):
            observe(this)
    except OutOfMoney:
        this.troubles.append(f"The run has cost budget.usd ({this.plan.budget.usd} USD), by the estimate")
        narrator.warn(this.troubles[-1])
    except OutOfTime:
        limit = spell_duration(this.plan.budget.wall_clock)
        this.troubles.append(f"The run took longer than budget.wall_clock ({limit})")
        narrator.warn(this.troubles[-1])
    except Interrupted:
        if this.signals.gave_up:
            this.leftovers.extend(announced(this, "the teardown was given up"))
            narrator.warn("The teardown was given up. May still exist: " + ", ".join(this.leftovers))
            narrator.warn(f"`readiness teardown {this.id}` finishes it.")
        else:
            narrator.warn("Interrupted, and torn down.")
    except TeardownError as error:
        this.leftovers.extend(error.leftovers)
        this.troubles.append(str(error))
        narrator.warn(str(error))
    except (PlanError, UsageError):
        raise
    except ReadinessError as error:
        this.troubles.append(str(error))
        narrator.warn(str(error))
    except Exception as error:  # noqa: BLE001 - a bug is a gap with its traceback in the bundle, never a lost record
        this.troubles.append(f"The harness failed: {error!r}{kept_traceback(this, 'traceback.txt')}")
        narrator.warn(this.troubles[-1])
    this.interrupted = this.signals.interrupted


def kept_traceback(this: Run, path: str) -> str:
    """Keep the traceback of the error at hand, and say where; one that cannot be kept must not cost the record."""
    with suppress(EvidenceError):
        return f"; see {this.bundle.write(path, traceback.format_exc().encode())}"
    return ""


def announced(this: Run, why: str) -> list[str]:
    """Return what may be left of a run where nobody could look: all that its ledger announces, or what came of it."""
    entries = this.ledger.entries()
    if any(entry.event == "stack-deleted" for entry in entries):
        return [f"what services made for run {this.id}, outside of its stack ({why})"]
    names = dict.fromkeys(f"{entry.kind} {entry.name}" for entry in entries if entry.event == "about-to-create")
    return [f"{name} ({why})" for name in names if not name.startswith("embedded-aws ")]


def freeze(request: Request, narrator: Narrator) -> Run:
    """Read and check all that is decided beforehand, and write it down before anything is made."""
    if request.target == "aws":
        consent.require_voice(request.yes)
    frozen = plan.load_plan(request.plan_file)
    register = waivers.load_waivers(request.waivers_file, max_age=frozen.max_waiver_age)
    check_gates(frozen, request)
    files = checked_workload_files(frozen, request)
    refuse_used_folder(request.evidence)
    kept_files = (request.repository / workload_files.FOLDER / path for path in files)
    refuse_secrets_in([request.plan_file, request.waivers_file, *kept_files])
    commit, dirty = git_state(request.repository)  # before evidence is written there
    started_at = datetime.now(UTC)
    run_id = f"{started_at:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    folder = request.repository / RUNS / run_id
    ledger = Ledger(folder / LEDGER_FILE)
    bundle = evidence.BundleWriter(request.evidence or folder / "bundle")
    decisive = {
        request.plan_file: (evidence.PLAN, request.plan_file.read_bytes()),
        request.waivers_file: (
            evidence.WAIVERS,
            request.waivers_file.read_bytes() if request.waivers_file.exists() else b"",
        ),
    }
    for path, data in files.items():
        kept = f"{workload_files.FOLDER}/{path}"
        decisive[request.repository / kept] = (kept, data)
    for kept, data in decisive.values():
        bundle.put(kept, data)
    registered = registration.register(request.repository, decisive, allow_dirty=request.allow_dirty)
    environment = Environment.AWS if request.target == "aws" else Environment.EMULATED
    for fault in estimate.findings(frozen, estimate.estimate(frozen, environment)):
        narrator.warn(fault)
    warn_of_unregistered(registered, narrator)
    ledger.note(
        "run-started",
        name=run_id,
        target=request.target,
        region=frozen.aws.region,
        plan=plan.digest(request.plan_file),
        commit=commit,
        dirty=str(dirty).lower(),
        bundle=str(bundle.root),
        baseline=str(request.baseline.resolve()) if request.baseline else "",
        version=readiness.__version__,
        only=json.dumps(request.only),
        registration=evidence.to_json(Registration, registered).decode(),
        retained=json.dumps(frozen.gates.settings.get("leftovers", {}).get("retained", [])),
        **runner.mark(),
    )
    return Run(
        id=run_id,
        request=request,
        plan=frozen,
        waivers=register,
        folder=folder,
        ledger=ledger,
        bundle=bundle,
        narrator=narrator,
        started_at=started_at,
        environment=environment,
        candidate=Candidate(commit=commit, dirty=dirty, template_digests={}, image=frozen.service.image),
        registration=registered,
    )


def warn_of_unregistered(registered: Registration, narrator: Narrator) -> None:
    """Say before the run, and not only in its record, that what decides it is not fixed in a commit."""
    faults = decide.not_registered(registered)
    for fault in faults:
        narrator.warn(fault)
    if faults and registered.allow_dirty:
        narrator.warn("--allow-dirty: this is a rehearsal only, whatever it comes to.")
    elif faults:
        narrator.warn(
            "The run will be inconclusive: what decides it has to be committed before it. Commit it, or say "
            "--allow-dirty for a rehearsal that is never a GO."
        )


def refuse_used_folder(folder: Path | None) -> None:
    """Refuse to mix a run's evidence with what a folder holds already."""
    if folder is not None and folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise EvidenceError(
            f"{folder} is not an empty folder, so it would not hold this run's evidence alone.",
            hint="Name a new folder with --evidence.",
        )


def check_gates(frozen: Plan, request: Request) -> None:
    """Refuse gates that do not exist and settings that a gate does not have, before anything is started."""
    known = {gate.id: gate for gate in gates.all_gates()}
    file = str(request.plan_file)
    named = [(f"gates.required[{index}]", gate_id) for index, gate_id in enumerate(frozen.gates.required)]
    named += [(f"gates.settings.{gate_id}", gate_id) for gate_id in frozen.gates.settings]
    named += gates_of_people(frozen)
    faults = [
        Fault(key, f"there is no gate {gate_id!r}{did_you_mean(gate_id, known)}", hint="`readiness gates` lists them.")
        for key, gate_id in named
        if gate_id not in known
    ]
    faults += [
        Fault(f"gates.required[{index}]", f"{gate_id} is asked after the cutover, so no run can pass it")
        for index, gate_id in enumerate(frozen.gates.required)
        if gate_id in known and known[gate_id].stage is Stage.AFTER_CUTOVER
    ]
    faults += [
        Fault(
            key,
            f"{gate_id} is asked after the cutover, so what rests on it would never be done before",
            hint="A criterion with `go_live = true` tells of production.",
        )
        for key, gate_id in gates_of_people(frozen)
        if gate_id in known and known[gate_id].stage is Stage.AFTER_CUTOVER
    ]
    for gate_id in frozen.gates.settings.keys() & known:
        try:
            settings_of(known[gate_id], frozen, file)
        except PlanError as error:
            faults += error.faults
    if faults:
        with plan.located(request.plan_file):
            raise PlanError.of(file, faults)
    for gate_id in request.only:
        if gate_id not in known:
            raise UsageError(
                f"--only: there is no gate {gate_id!r}{did_you_mean(gate_id, known)}.",
                hint="`readiness gates` lists them.",
            )
        if known[gate_id].stage is Stage.AFTER_CUTOVER:
            raise UsageError(
                f"--only: a run does not ask {gate_id}.",
                hint=f"`readiness {gate_id} BUNDLE` asks it after the cutover.",
            )


def gates_of_people(frozen: Plan) -> Iterator[tuple[str, str]]:
    """Yield each gate that the checklist or a criterion rests on, with the key that names it."""
    for index, item in enumerate(frozen.checklist):
        if item.gate is not None:
            yield f"checklist[{index}].gate", item.gate
    for index, criterion in enumerate(frozen.criteria):
        for gate_id in criterion.gates:
            yield f"criteria[{index}].gates", gate_id
        for figure in criterion.figures:
            yield f"criteria[{index}].figures", figure.partition("/")[0]


def checked_workload_files(frozen: Plan, request: Request) -> dict[str, bytes]:
    """Return the files that the workload names, after every request that it describes was found to be one."""
    try:
        files = workload_files.contents(request.repository, frozen.workload)
        template.check(workload_files.inlined(frozen.workload, files), tuple(frozen.fleet.secrets))
    except ReadinessError as error:
        raise PlanError(str(request.plan_file), "workload", error.message, hint=error.hint) from None
    return files


def settings_of(gate: Gate[Any, Any], frozen: Plan | ScanTerms, file: str) -> Any:
    """Return a gate's settings: its defaults, changed by the plan."""
    raw = frozen.gates.settings.get(gate.id, {})
    return plan.parse(gate.settings, raw, file, f"gates.settings.{gate.id}")


def observe_everything(this: Run) -> None:
    """Ask every gate in its stage; whatever happens, what was made is torn down on the way out."""
    request = this.request
    expires_at = this.started_at + this.plan.budget.clone_lifetime
    with connect(
        request.target,
        this.plan,
        repository=request.repository,
        folder=this.folder / "embedded",
        ledger=this.ledger,
    ) as connection:
        this.environment, this.time_scale = connection.environment, connection.time_scale
        production.refuse(connection, this.plan, staging.stack_name(this.id))
        if connection.costs:
            doctor.demand(doctor.cheap(connection, this.plan))
        choose_baseline(this)
        with this.span("Synthesize the templates"):
            assembly = staging.synthesize(
                request.repository,
                this.folder / "cdk.out",
                plan_file=request.plan_file,
                variables=connection.variables,
                run_id=this.id,
                expires_at=expires_at,
            )
            keep_templates(this, assembly)
        ask_all(this, connection, assembly, estimated(this, assembly), expires_at)


def choose_baseline(this: Run) -> None:
    """Choose the earlier run that this one is compared with, once: a resumed run keeps to what it chose before."""
    chosen = [entry.name for entry in this.ledger.entries() if entry.event == _BASELINE]
    if chosen:
        this.baseline = Path(chosen[-1]) if chosen[-1] else None
        return
    request = this.request
    this.baseline = request.baseline or baseline.latest(request.repository / RUNS, this.environment)
    this.ledger.note(_BASELINE, name=str(this.baseline.resolve()) if this.baseline else "")


def ask_all(
    this: Run,
    connection: Connection,
    assembly: staging.Assembly,
    expense: Estimate,
    expires_at: datetime,
    clone: Clone | None = None,
) -> None:
    """Ask the gates of every stage, with a clone in between; one that stands already is given as *clone*."""
    context = make_context(this, connection, assembly)
    if clone is None:
        agree(this, connection, assembly, expense, expires_at)
        ask(this, Stage.BEFORE_DEPLOY, context)
        if not deployable(this):
            return
    try:
        deploy_and_drill(this, connection, assembly, expense, context, expires_at, clone)
    finally:
        with this.signals.tearing_down():
            ask(this, Stage.AFTER_TEARDOWN, context)


def estimated(this: Run, assembly: staging.Assembly) -> Estimate:
    """Return what the clone costs, and write it down."""
    settings = settings_of(cost_gate.GATE, this.plan, evidence.PLAN)
    estimate = cost_gate.price(this.plan, this.request.repository, assembly.templates, settings)
    this.ledger.note("estimated", usd_per_hour=f"{estimate.usd_per_hour_most:.4f}", usd=f"{estimate.usd_per_run:.2f}")
    return estimate


def agree(
    this: Run, connection: Connection, assembly: staging.Assembly, estimate: Estimate, expires_at: datetime
) -> None:
    """Where a clone costs money, go on only if somebody agrees, or has agreed to this very run before.

    Raises:
        UsageError: nobody agreed.
    """
    if not connection.costs or any(entry.event == "agreed" for entry in this.ledger.entries()):
        return
    proposal = consent.Proposal(
        account=connection.account,
        region=connection.region,
        stack=staging.stack_name(this.id),
        resources=consent.count_resources([read_template(path).body for path in assembly.templates]),
        estimate=estimate,
        budget_usd=this.plan.budget.usd,
        expires_at=expires_at,
        lifetime=this.plan.budget.clone_lifetime,
    )
    how = consent.obtain(proposal, assumed=this.request.yes, say=this.narrator.show)
    this.ledger.note("agreed", name=staging.stack_name(this.id), how=how)


def limit_spending(this: Run, estimate: Estimate) -> None:
    """End the run once its clone has stood for as long as the budget pays for, as estimated."""
    if this.plan.budget.usd is not None and estimate.usd_per_hour_most:
        hours = this.plan.budget.usd / estimate.usd_per_hour_most
        this.signals.end_within(hours * 3600 - stood_s(this), OutOfMoney)


def stood_s(this: Run) -> float:
    """Return for how long the run has had a stack: a resumed one pays for what stood before, too."""
    began = [entry.at for entry in this.ledger.created() if entry.kind == "stack"]
    return (datetime.now(UTC) - began[0]).total_seconds() if began else 0.0


def deploy_and_drill(
    this: Run,
    connection: Connection,
    assembly: staging.Assembly,
    expense: Estimate,
    context: Context,
    expires_at: datetime,
    clone: Clone | None,
) -> None:
    """Deploy the clone, ask the steady and then the disruptive gates, and destroy it."""
    try:
        limit_spending(this, expense)  # in here, as a resumed run may have spent all, and its clone stands
        ask(this, Stage.BEFORE_DEPLOY, context)
        if clone is None:
            with this.span("Deploy the clone"):
                clone = staging.deploy(
                    connection,
                    assembly,
                    repository=this.request.repository,
                    run_id=this.id,
                    expires_at=expires_at,
                    ledger=this.ledger,
                )
        standing = replace(context, deployed=clone)
        ask(this, Stage.STEADY, standing)
        ask(this, Stage.DISRUPTIVE, standing)
    finally:
        with this.signals.tearing_down(), this.span("Destroy the clone"):
            take_away(this, connection)


def take_away(this: Run, connection: Connection) -> None:
    """Remove all that the run made; what is in doubt afterwards is for the gate ``leftovers`` to tell."""
    keep = tuple(this.plan.gates.settings.get("leftovers", {}).get("retained", ()))
    for trouble in remove_run(connection.client, this.id, this.ledger, say=this.narrator.say, keep=keep):
        this.narrator.warn(trouble)


def keep_templates(this: Run, assembly: staging.Assembly) -> None:
    """Copy the templates into the bundle and name them, by digest, as what is judged."""
    digests = {}
    for file in assembly.templates:
        data = file.read_bytes()
        this.bundle.put(f"{evidence.TEMPLATES}/{file.name}", data)
        digests[file.name] = evidence.sha256(data)
    this.candidate = replace(this.candidate, template_digests=digests)


def make_context(this: Run, connection: Connection, assembly: staging.Assembly) -> Context:
    """Return what the gates of this run may use."""
    return Context(
        plan=this.plan,
        repository=this.request.repository,
        templates=assembly.templates,
        clients=connection.client,
        ledger=this.ledger,
        bundle=this.bundle,
        narrate=this.narrator.say,
        progress=this.narrator.figures,
        environment=this.environment,
        baseline=this.baseline,
        variables=connection.variables,
    )


def deployable(this: Run) -> bool:
    """Say whether a clone is worth deploying: something needs it, and nothing required has failed already."""
    failed = [result.gate for result in this.results if result.required and result.outcome is Outcome.FAILED]
    if failed:
        this.narrator.warn(f"Nothing is deployed, because a required gate failed: {', '.join(failed)}")
        return False
    return any(gate.stage in (Stage.STEADY, Stage.DISRUPTIVE) for gate in this.asked)


def ask(this: Run, stage: Stage, context: Context) -> None:
    """Ask the gates of a stage that have no result yet, one after the other."""
    for gate in this.asked:
        if gate.stage is stage and all(result.gate != gate.id for result in this.results):
            if stage is not Stage.AFTER_TEARDOWN:
                progress.note_begun(this.ledger, gate.id)
            with this.span(gate.question):
                result = attempt(this, gate, context)
            this.results.append(result)
            progress.keep(this.folder, this.ledger, this.bundle.root, result)
            if stage is Stage.AFTER_TEARDOWN and result.observation is None:
                this.leftovers.extend(announced(this, "nobody could look for it"))
            this.narrator.result(result)


def attempt(this: Run, gate: Gate[Any, Any], context: Context) -> GateResult:
    """Ask a gate, and return what it came to."""
    begun = datetime.now(UTC)
    settings = settings_of(gate, this.plan, evidence.PLAN)
    judgement, path = seen_and_judged(gate, context, settings, evidence.observation_path(gate.id))
    return result_of(this.plan, this.waivers, gate, judgement, path, begun, datetime.now(UTC), this.started_at)


def seen_and_judged(gate: Gate[Any, Any], context: Context, settings: Any, path: str) -> tuple[Judgement, str | None]:
    """Observe, write the observation down, read it back, and judge what was read.

    The one place where an exception becomes a gap.

    Returns:
        The judgement, and where the observation lies; None = there is none.
    """
    bundle = context.bundle
    written: str | None = None
    try:
        if gate.acts:
            production.prove_ours(context.clients, context.clone, context.clone.run_id, context.plan)
        observation = gate.observe(context, settings)
        written = bundle.put_json(path, gate.observation, observation)
        return checked(gate.judge(evidence.read_json(bundle.root, written, gate.observation), settings)), written
    except ReadinessError as error:
        return blind(gate, str(error)), written
    except Exception as error:  # noqa: BLE001 - a bug must not end the run: it is a gap, with its traceback kept
        kept = bundle.write(f"tracebacks/{gate.id}.txt", traceback.format_exc().encode())
        return blind(gate, f"the harness failed: {error!r}; see {kept}"), written


def checked(judgement: Judgement) -> Judgement:
    """Return a judgement as the record will hold it.

    Raises:
        EvidenceError: it does not survive being written, as a figure that is not a number does not.
    """
    return evidence.from_json(Judgement, evidence.to_json(Judgement, judgement), "the judgement")


def blind(gate: Gate[Any, Any], why: str) -> Judgement:
    """Return the judgement of a gate that could not see."""
    return Judgement(examined=0, gaps=(Gap(what=gate.question, why=why),))


def result_of(
    frozen: Plan | ScanTerms,
    register: tuple[Waiver, ...],
    gate: Gate[Any, Any],
    judgement: Judgement,
    observation: str | None,
    begun: datetime,
    ended: datetime,
    run_started: datetime,
) -> GateResult:
    """Return what a gate came to. Waivers are in force, or not, on the day that the run started."""
    findings = decide.dispose(judgement.findings, register, run_started.date())
    return GateResult(
        gate=gate.id,
        question=gate.question,
        stage=gate.stage,
        required=gate.id in frozen.gates.required,
        outcome=decide.outcome(judgement, findings, frozen.blocking_severities),
        judgement=judgement,
        findings=findings,
        observation=observation,
        started_at=begun,
        ended_at=ended,
    )


def conclude(this: Run) -> Record:
    """Decide, write the record and the report, and seal the bundle."""
    now = datetime.now(UTC)
    registered = registration.at_the_end(this.request.repository, this.registration)
    register = decide.register_result(this.waivers, this.results, this.plan.gates.required, this.started_at.date(), now)
    results = (*this.results, *([register] if register else []))
    earlier, diff = triage.since_baseline(this.baseline, results)
    record = Record(
        run_id=this.id,
        harness_version=readiness.__version__,
        environment=this.environment,
        time_scale=this.time_scale,
        candidate=this.candidate,
        plan_digest=plan.digest(this.bundle.root / evidence.PLAN),
        waivers_digest=plan.digest(this.bundle.root / evidence.WAIVERS),
        registration=registered,
        started_at=this.started_at,
        decided_at=now,
        results=results,
        leftovers=tuple(dict.fromkeys((*this.leftovers, *remaining(this.results)))),
        spans=tuple(this.spans),
        required=this.plan.gates.required,
        unused_waivers=decide.unused(this.waivers, this.results),
        compared_with=earlier,
        fixed=diff.fixed if diff else (),
        known=tuple(each.mark for each in diff.unchanged) if diff else (),
        interrupted=this.interrupted,
        troubles=tuple(this.troubles),
        outcome=Outcome.INCONCLUSIVE,
        verdict=Verdict.NO_GO,
        reasons=(),
    )
    record = replace(record, troubles=(*record.troubles, *unnoticed(this, record)))
    decided = decision.decided(record, this.plan, evidence.files(this.bundle.root))
    record = replace(record, outcome=decided.outcome, verdict=decided.verdict, reasons=decided.reasons)
    put_reports(this, record, decided)
    sealed = this.bundle.seal()
    this.ledger.note("run-decided", name=this.id, outcome=record.outcome, verdict=record.verdict, bundle=sealed)
    return record


def unnoticed(this: Run, record: Record) -> list[str]:
    """Plant faults in what this run saw, keep what became of each, and return a sentence for each that got through."""
    try:
        settings = {gate.id: settings_of(gate, this.plan, evidence.PLAN) for gate in gates.all_gates()}
        rows = controls.on_evidence(this.bundle.root, record, this.plan, this.waivers, lambda gate: settings[gate.id])
        this.bundle.put_json(evidence.CONTROLS, tuple[ControlShown, ...], rows)
    except ReadinessError as error:
        return [f"Nobody knows whether the gates notice a planted fault: {error.message}"]
    except Exception as error:  # noqa: BLE001 - a bug in a control costs the verdict, never the record
        kept = kept_traceback(this, "tracebacks/controls.txt")
        return [f"Nobody knows whether the gates notice a planted fault: {error!r}{kept}"]
    return [f"A planted fault got through: {row.plants} ({row.id})" for row in controls.let_through(rows)]


def put_reports(this: Run, record: Record, decided: Decision) -> None:
    """Write the record, and every form in which it is told."""
    this.bundle.put_json(evidence.RECORD, Record, record)
    this.bundle.put(evidence.REPORT, report.markdown(record, this.plan, decided, this.bundle.root).encode())
    put_page(this, record, decided)
    for name, data in report.told_of(record, this.plan, decided).items():
        this.bundle.put(name, data)


def put_page(this: Run, record: Record, decided: Decision) -> None:
    """Write the report for people; a page that cannot be made costs neither the record nor the run."""
    from readiness.report.html import Content, as_html  # what makes pages is of no use to `readiness verify`

    try:
        page = as_html(Content(record=record, plan=this.plan, decision=decided, root=this.bundle.root))
    except Exception:  # noqa: BLE001 - the decision is in the record; the page only tells it
        kept = this.bundle.write(f"tracebacks/{evidence.PAGE}.txt", traceback.format_exc().encode())
        this.narrator.warn(
            f"{evidence.PAGE} could not be made: see {kept}. The record and {evidence.REPORT} are whole."
        )
        return
    this.bundle.put(evidence.PAGE, page)


def remaining(results: list[GateResult]) -> tuple[str, ...]:
    """Return what the gates after the teardown found, or could not rule out, to be still there.

    A gate that could not look at all has its own question as its gap; what may be left then, ``ask`` has told.
    """
    names: list[str] = []
    for result in results:
        if result.stage is Stage.AFTER_TEARDOWN:
            told = (contract.RETAINED_RULE, contract.RETAINED_MISSING_RULE)
            names += [each.finding.subject for each in result.findings if each.finding.rule not in told]
            names += [gap.what for gap in result.judgement.gaps if gap.what != result.question]
    return tuple(names)
