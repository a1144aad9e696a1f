"""A clone that stays up for drills by hand: ``readiness up``, ``readiness drill`` and ``readiness down``.

On AWS ``up`` returns once the clone stands; its reaper deletes it at its expiry. An embedded AWS lives as long as the
command that started it, so there ``up`` stays in the foreground until ``down``, Ctrl-C or the expiry: whatever ends it,
nothing is left.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from readiness import aftermath, doctor, evidence, gates, production, staging
from readiness.cloud import Connection, connect, connect_embedded, reach_again, strays, translated
from readiness.cost import Estimate
from readiness.errors import ReadinessError, TeardownError, UsageError
from readiness.evidence import BundleWriter
from readiness.gate import Context
from readiness.interruption import Interrupted
from readiness.ledger import FILE, Ledger
from readiness.model import Candidate, Clone, GateResult, Plan
from readiness.narrator import Narrator
from readiness.plan import load_plan
from readiness.registration import git_state
from readiness.run import RUNS, Request, Run, agree, announced, attempt, estimated, freeze
from readiness.secrecy import conceal_bytes

DRILLS: Final = ("alarms", "rollback", "task-loss")
_CLONE = "clone.json"
_UP, _DOWN = "clone-up", "clone-down"
_POLL_S = 1.0
_ENDING_S = 60.0


def up(request: Request, narrator: Narrator) -> str:
    """Deploy a clone and leave it; return its run's id. With an embedded AWS, only once it is down again.

    Raises:
        ReadinessError: it could not be deployed; what there was of it is gone again.
        UsageError: nobody agreed to what it costs, or it is over the budget; nothing was made.
        TeardownError: something of it may still exist.
        Interrupted: somebody ended it before it stood; it is gone again.
    """
    this = freeze(request, narrator)
    expires_at = this.started_at + this.plan.budget.clone_lifetime
    with (
        this.signals.caught(narrator.warn),
        connect(
            request.target,
            this.plan,
            repository=request.repository,
            folder=this.folder / "embedded",
            ledger=this.ledger,
        ) as connection,
    ):
        production.refuse(connection, this.plan, staging.stack_name(this.id))
        if connection.costs:
            doctor.demand(doctor.cheap(connection, this.plan))
        try:
            clone = _deploy(this, connection, expires_at)
            narrator.say(f"{this.id} is up at {clone.outputs['ServiceUrl']} until {expires_at:%Y-%m-%d %H:%M} UTC")
            narrator.say(f"In another terminal: readiness drill rollback {this.id}; readiness down {this.id}")
            if request.target == "aws":
                return this.id
            _stay(connection, this.ledger, expires_at)
        except Interrupted:
            narrator.warn("Interrupted: the clone is taken down.")
            _destroy(this, connection)
            if request.target == "aws" or not _has(this.ledger, _UP):
                raise
            return this.id
        except UsageError:  # what it costs was refused, so nothing was made
            raise
        except BaseException:
            _destroy(this, connection)
            raise
        _destroy(this, connection)
    return this.id


def _deploy(this: Run, connection: Connection, expires_at: datetime) -> Clone:
    """Synthesize and deploy the clone, and write down what a later command needs to find it."""
    request = this.request
    with this.span("Synthesize the templates"):
        assembly = staging.synthesize(
            request.repository,
            this.folder / "cdk.out",
            plan_file=request.plan_file,
            variables=connection.variables,
            run_id=this.id,
            expires_at=expires_at,
        )
    estimate = estimated(this, assembly)
    if connection.costs:
        _refuse_over_budget(this.plan, estimate)
    agree(this, connection, assembly, estimate, expires_at)
    with this.span("Deploy the clone"):
        clone = staging.deploy(
            connection,
            assembly,
            repository=request.repository,
            run_id=this.id,
            expires_at=expires_at,
            ledger=this.ledger,
        )
    (this.folder / _CLONE).write_bytes(conceal_bytes(evidence.to_json(Clone, clone)))
    this.ledger.note(_UP, kind="stack", name=clone.stack_id)
    return clone


def _refuse_over_budget(plan: Plan, estimate: Estimate) -> None:
    """Refuse a clone that would cost more than the budget before it expires: no gate holds it against that.

    Raises:
        UsageError: it would.
    """
    usd = estimate.usd_per_hour_most * (plan.budget.clone_lifetime / timedelta(hours=1))
    if plan.budget.usd is not None and usd > plan.budget.usd:
        raise UsageError(
            f"Until it expires the clone may cost {usd:.2f} USD, and budget.usd is {plan.budget.usd:.2f} USD: "
            "nothing was made.",
            hint="Shorten budget.clone_lifetime, make the clone smaller, or raise budget.usd.",
        )


def _stay(connection: Connection, ledger: Ledger, expires_at: datetime) -> None:
    """Stay until somebody takes the clone down, or until its expiry."""
    while datetime.now(UTC) < expires_at and not _has(ledger, _DOWN):
        with translated("Asking whether the embedded AWS is up"):
            connection.client("sts").get_caller_identity()
        time.sleep(_POLL_S)


def _destroy(this: Run, connection: Connection) -> None:
    """Destroy the clone and prove it, unless ``down`` has done so already."""
    if _has(this.ledger, _DOWN):
        return
    try:
        with this.signals.tearing_down(), this.span("Destroy the clone"):
            for line in _remove(this.id, connection, this.ledger, this.narrator.say):
                this.narrator.say(line)
    except Interrupted:
        if left := announced(this, "the teardown was given up"):
            raise TeardownError(left, hint=f"`readiness teardown {this.id}` finishes it.") from None
        raise


def _remove(run_id: str, connection: Connection, ledger: Ledger, narrate: Callable[[str], None]) -> list[str]:
    """Stop the run's tasks, deregister its task definitions, delete its stack, and ask for each thing by name."""
    lines = aftermath.remove(connection.client, run_id, ledger, narrate)
    ledger.note(_DOWN, name=run_id)
    return lines


def down(repository: Path, run_id: str | None, narrate: Callable[[str], None]) -> list[str]:
    """Take a clone down and prove that nothing of it is left; return what was done, a line each.

    Raises:
        ReadinessError: no such clone is up.
        TeardownError: something of it may still exist.
    """
    ledger = _ledger(repository, run_id)
    run_id = ledger.path.parent.name
    connection = _reach(ledger)
    with aftermath.seen_through(run_id, ledger, narrate):
        lines = _remove(run_id, connection, ledger, narrate)
        if connection.target == "embedded":
            ids = [entry.name for entry in ledger.entries() if entry.event == "embedded-aws-ready"]
            until = time.monotonic() + _ENDING_S
            while any(strays(each) for each in ids) and time.monotonic() < until:
                time.sleep(0.2)
            lines += aftermath.teardown_embedded(run_id, ledger.entries())[1:]
    return lines


def drill(repository: Path, name: str, run_id: str | None, narrator: Narrator) -> tuple[GateResult, Path]:
    """Do one drill on a clone that is up; return what its gate came to, and the folder of the evidence.

    Raises:
        ReadinessError: no such clone is up, or another drill is under way on it.
    """
    ledger = _ledger(repository, run_id)
    folder = ledger.path.parent
    plan_file = folder / "bundle" / evidence.PLAN
    plan = load_plan(plan_file)
    clone = evidence.read_json(folder, _CLONE, Clone)
    gate = next(each for each in gates.all_gates() if each.id == name)
    started_at = datetime.now(UTC)
    bundle = BundleWriter(folder / "drills" / f"{started_at:%Y%m%d-%H%M%S}-{name}")
    commit, dirty = git_state(repository)
    connection = _reach(ledger, plan.aws.production_accounts)
    production.refuse(connection, plan, clone.stack_name)
    this = Run(
        id=folder.name,
        request=Request(
            repository=repository, plan_file=plan_file, waivers_file=folder / "none", target=connection.target
        ),
        plan=plan,
        waivers=(),
        folder=folder,
        ledger=ledger,
        bundle=bundle,
        narrator=narrator,
        started_at=started_at,
        environment=connection.environment,
        candidate=Candidate(commit=commit, dirty=dirty, template_digests={}, image=plan.service.image),
    )
    context = Context(
        plan=plan,
        repository=repository,
        templates=(),
        clients=connection.client,
        ledger=ledger,
        bundle=bundle,
        narrate=narrator.say,
        progress=narrator.figures,
        environment=connection.environment,
        variables=connection.variables,
        deployed=clone,
    )
    with _alone(folder), this.signals.caught(narrator.warn), this.span(gate.question):
        result = attempt(this, gate, context)
    bundle.put_json("result.json", GateResult, result)
    bundle.seal()
    narrator.result(result)
    return result, bundle.root


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second drill on the same clone: the two would judge each other's faults."""
    with (folder / "drill.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ReadinessError(
                f"Another drill is under way on {folder.name}.", hint="Wait for its end, or interrupt it."
            ) from None
        yield


def _reach(ledger: Ledger, production_accounts: tuple[str, ...] = ()) -> Connection:
    """Return the way to where a clone stands, unless that is a production account. Only ``down`` goes everywhere."""
    entries = ledger.entries()
    run_id = ledger.path.parent.name
    begun = next((entry for entry in entries if entry.event == "run-started"), None)
    if begun is None:
        raise aftermath.nowhere(run_id, ledger)
    region = begun.details["region"]
    if begun.details["target"] == "aws":
        return reach_again(region, entries, production_accounts)
    ready = [entry for entry in entries if entry.event == "embedded-aws-ready"]
    if not ready or not strays(ready[-1].name):
        raise ReadinessError(
            f"The embedded AWS of {run_id} is not running any more, and its clone went with it.",
            hint=f"`readiness teardown {run_id}` proves that nothing is left; `readiness up` makes another.",
        )
    plan = load_plan(ledger.path.parent / "bundle" / evidence.PLAN)
    with translated(f"Asking the embedded AWS of {run_id}"):  # its server may be gone, and a task of it still run
        return connect_embedded(ready[-1].details["endpoint"], region, plan.embedded.time_scale)


def _ledger(repository: Path, run_id: str | None) -> Ledger:
    """Return the ledger of a clone that is up; without an id, of the only one.

    Raises:
        UsageError: which one is meant cannot be told.
        ReadinessError: it is not up.
    """
    if run_id is not None:
        ledger = Ledger(aftermath.find_ledger(repository, run_id))
        if not _has(ledger, _UP) or _has(ledger, _DOWN):
            raise ReadinessError(f"No clone of {run_id} is up.", hint="`readiness up` makes one.")
        return ledger
    found = [Ledger(path) for path in sorted((repository / RUNS).glob(f"*/{FILE}"))]
    standing = [ledger for ledger in found if _has(ledger, _UP) and not _has(ledger, _DOWN)]
    if len(standing) > 1:
        standing = [ledger for ledger in standing if not _died(ledger)]
    if len(standing) != 1:
        known = ", ".join(ledger.path.parent.name for ledger in standing)
        raise UsageError(
            f"Several clones may be up: {known}." if standing else "No clone is up.",
            hint="Name the run." if standing else "`readiness up` makes one.",
        )
    return standing[0]


def _died(ledger: Ledger) -> bool:
    """Say whether a clone went with its embedded AWS, as when ``up`` was killed."""
    entries = ledger.entries()
    embedded = any(entry.event == "run-started" and entry.details.get("target") == "embedded" for entry in entries)
    ids = [entry.name for entry in entries if entry.event == "embedded-aws-ready"]
    return embedded and not any(strays(each) for each in ids)


def _has(ledger: Ledger, event: str) -> bool:
    return any(entry.event == event for entry in ledger.entries())
