"""The story of one run, top to bottom: freeze, scan, deploy, ask, drill, tear down, look for leftovers, decide."""

from __future__ import annotations

import secrets
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import readiness
from readiness import baseline, decide, estimate, evidence, gates, plan, registration, report, staging, triage, waivers
from readiness.cloud import Connection, Target, connect
from readiness.errors import EvidenceError, Fault, PlanError, ReadinessError, TeardownError, UsageError
from readiness.gate import Context, Gate
from readiness.interruption import Interrupted, OutOfTime, Signals
from readiness.ledger import FILE as LEDGER_FILE
from readiness.ledger import Ledger
from readiness.loadgen import template, workload_files
from readiness.model import (
    Candidate,
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
    Waiver,
    spell_duration,
)
from readiness.narrator import Narrator
from readiness.registration import git_state
from readiness.removal import remove_stack
from readiness.spelling import did_you_mean

RUNS = Path(".readiness") / "runs"


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
            gate for gate in gates.all_gates() if not chosen or gate.id in chosen or gate.stage is Stage.AFTER_TEARDOWN
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
        UsageError: a gate was asked for that does not exist; nothing was started.
    """
    this = freeze(request, narrator)
    narrator.say(f"Run {this.id}: {this.plan.service.name} on {request.target}; evidence in {this.bundle.root}")
    try:
        with this.signals.caught(narrator.warn, this.plan.budget.wall_clock.total_seconds()):
            observe_everything(this)
    except OutOfTime:
        limit = spell_duration(this.plan.budget.wall_clock)
        this.troubles.append(f"The run took longer than budget.wall_clock ({limit})")
        narrator.warn(this.troubles[-1])
    except Interrupted:
        if this.signals.gave_up:
            this.leftovers.append(f"what run {this.id} had made (its teardown was given up)")
            narrator.warn(f"The teardown was given up; `readiness teardown {this.id}` finishes it.")
        else:
            narrator.warn("Interrupted, and torn down.")
    except TeardownError as error:
        this.leftovers.extend(error.leftovers)
        this.troubles.append(str(error))
        narrator.warn(str(error))
    except PlanError:
        raise
    except ReadinessError as error:
        this.troubles.append(str(error))
        narrator.warn(str(error))
    except Exception as error:  # noqa: BLE001 - a bug is a gap with its traceback in the bundle, never a lost record
        this.bundle.write("traceback.txt", traceback.format_exc().encode())
        this.troubles.append(f"The harness failed: {error!r}; see artifacts/traceback.txt")
        narrator.warn(this.troubles[-1])
    this.interrupted = this.signals.interrupted
    return conclude(this), this.bundle.root


def freeze(request: Request, narrator: Narrator) -> Run:
    """Read and check all that is decided beforehand, and write it down before anything is made."""
    frozen = plan.load_plan(request.plan_file)
    register = waivers.load_waivers(request.waivers_file, max_age=frozen.max_waiver_age)
    check_gates(frozen, request)
    files = checked_workload_files(frozen, request)
    refuse_used_folder(request.evidence)
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
    commit, dirty = git_state(request.repository)
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
    named += [(f"checklist[{index}].gate", item.gate) for index, item in enumerate(frozen.checklist) if item.gate]
    faults = [
        Fault(key, f"there is no gate {gate_id!r}{did_you_mean(gate_id, known)}", hint="`readiness gates` lists them.")
        for key, gate_id in named
        if gate_id not in known
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
        this.baseline = request.baseline or baseline.latest(request.repository / RUNS, this.environment)
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
        context = make_context(this, connection, assembly)
        ask(this, Stage.BEFORE_DEPLOY, context)
        if not deployable(this):
            return
        try:
            deploy_and_drill(this, connection, assembly, context, expires_at)
        finally:
            with this.signals.tearing_down():
                ask(this, Stage.AFTER_TEARDOWN, context)


def deploy_and_drill(
    this: Run, connection: Connection, assembly: staging.Assembly, context: Context, expires_at: datetime
) -> None:
    """Deploy the clone, ask the steady and then the disruptive gates, and destroy it."""
    try:
        with this.span("Deploy the clone"):
            deployed = staging.deploy(
                connection,
                assembly,
                repository=this.request.repository,
                run_id=this.id,
                expires_at=expires_at,
                ledger=this.ledger,
            )
        standing = replace(context, deployed=deployed)
        ask(this, Stage.STEADY, standing)
        ask(this, Stage.DISRUPTIVE, standing)
    finally:
        with this.signals.tearing_down(), this.span("Destroy the clone"):
            remove_stack(connection.client, staging.stack_name(this.id), this.ledger)


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
    """Ask the gates of a stage, one after the other."""
    for gate in this.asked:
        if gate.stage is stage:
            with this.span(gate.question):
                result = attempt(this, gate, context)
            this.results.append(result)
            this.narrator.result(result)


def attempt(this: Run, gate: Gate[Any, Any], context: Context) -> GateResult:
    """Observe, write the observation down, read it back, and judge what was read.

    The one place where an exception becomes a gap.
    """
    begun = datetime.now(UTC)
    settings = settings_of(gate, this.plan, evidence.PLAN)
    path: str | None = None
    try:
        observation = gate.observe(context, settings)
        path = this.bundle.put_json(evidence.observation_path(gate.id), gate.observation, observation)
        judgement = checked(gate.judge(evidence.read_json(this.bundle.root, path, gate.observation), settings))
    except ReadinessError as error:
        judgement = blind(gate, str(error))
    except Exception as error:  # noqa: BLE001 - a bug must not end the run: it is a gap, with its traceback kept
        kept = this.bundle.write(f"tracebacks/{gate.id}.txt", traceback.format_exc().encode())
        judgement = blind(gate, f"the harness failed: {error!r}; see {kept}")
    return result_of(this.plan, this.waivers, gate, judgement, path, begun, datetime.now(UTC), this.started_at)


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
    reached, verdict, reasons = decide.verdict(
        this.results,
        required=this.plan.gates.required,
        owners=this.plan.owners,
        signatures=(),
        environment=this.environment,
        interrupted=this.interrupted,
        troubles=this.troubles,
        registration=registered,
    )
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
        signatures=(),
        spans=tuple(this.spans),
        required=this.plan.gates.required,
        unused_waivers=decide.unused(this.waivers, this.results),
        compared_with=earlier,
        fixed=diff.fixed if diff else (),
        known=tuple(each.mark for each in diff.unchanged) if diff else (),
        interrupted=this.interrupted,
        troubles=tuple(this.troubles),
        outcome=reached,
        verdict=verdict,
        reasons=reasons,
    )
    this.bundle.put_json(evidence.RECORD, Record, record)
    this.bundle.put(evidence.REPORT, report.markdown(record, this.plan).encode())
    put_page(this, record)
    for name, data in report.findings_of(record, this.plan.blocking_severities).items():
        this.bundle.put(name, data)
    this.bundle.put(evidence.SUMMARY, report.as_summary(record, this.plan.service.name))
    sealed = this.bundle.seal()
    this.ledger.note("run-decided", name=this.id, outcome=reached, verdict=verdict, bundle=sealed)
    return record


def put_page(this: Run, record: Record) -> None:
    """Write the report for people; a page that cannot be made costs neither the record nor the run."""
    from readiness.report.html import Content, as_html  # what makes pages is of no use to `readiness verify`

    try:
        page = as_html(Content(record=record, plan=this.plan, root=this.bundle.root))
    except Exception:  # noqa: BLE001 - the decision is in the record; the page only tells it
        kept = this.bundle.write(f"tracebacks/{evidence.PAGE}.txt", traceback.format_exc().encode())
        this.narrator.warn(
            f"{evidence.PAGE} could not be made: see {kept}. The record and {evidence.REPORT} are whole."
        )
        return
    this.bundle.put(evidence.PAGE, page)


def remaining(results: list[GateResult]) -> tuple[str, ...]:
    """Return what the gates after the teardown found, or could not rule out, to be still there."""
    names: list[str] = []
    for result in results:
        if result.stage is Stage.AFTER_TEARDOWN:
            names += [each.finding.subject for each in result.findings]
            names += [gap.what for gap in result.judgement.gaps]
    return tuple(names)
