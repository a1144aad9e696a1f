"""After the cutover: is what was approved live, and well? The story of ``readiness go-live``, and its re-judging.

It looks at production, writes down what it saw, reads that back, judges it, and binds the result to the bundle by the
bundle's digest, in a folder that is not part of the sealed evidence. Anybody can judge it again, offline.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

import readiness
from readiness import contract, cutover, evidence, plan, sign_off, waivers
from readiness.cloud import Connection, connect_aws, connect_embedded, translated
from readiness.cutover import Approved, Cutover
from readiness.decision import SignOff, decided, lapsed_since
from readiness.errors import EvidenceError, PlanError, ReadinessError, UsageError
from readiness.evidence import BundleWriter
from readiness.gate import Context
from readiness.gates import fidelity, go_live
from readiness.ledger import FILE as LEDGER_FILE
from readiness.ledger import Ledger
from readiness.model import Decision, Environment, GateResult, Outcome, Plan, Verdict, Waiver
from readiness.narrator import Narrator
from readiness.run import checked, result_of, seen_and_judged, settings_of

GATE = go_live.GATE
_OBSERVATION: Final = "observation.json"
OBSERVATION: Final = f"{evidence.GO_LIVE}/{_OBSERVATION}"
RESULT: Final = sign_off.GO_LIVE_RESULT
ENDPOINT_VARIABLE: Final = "AWS_ENDPOINT_URL"

Target = Literal["aws", "embedded-endpoint"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the user asks about.

    Attributes:
        stack: Production's stack.
        service: ``CLUSTER/SERVICE``, where the stack has several.
        region: None = the plan's.
        commit: What is said to be live.
    """

    bundle: Path
    stack: str
    target: Target
    commit: str
    repository: Path
    service: str | None = None
    region: str | None = None


# --- asking ----------------------------------------------------------------------------------------------------------


def ask(asked: Asked, narrator: Narrator) -> tuple[GateResult, Environment]:
    """Look at production, judge what was seen, and write both beside the bundle. The caller has verified the bundle.

    Returns:
        What it came to, and whether it was seen on AWS.

    Raises:
        UsageError: the stack or the service is not there, or the target is not what it is called.
        EvidenceError: the bundle is none, or another such look at the same bundle is under way.
        CloudError: production cannot be reached.
    """
    bundle = asked.bundle
    frozen, register = frozen_of(bundle)
    now = datetime.now(UTC)
    _check_dates(sign_off.read(bundle, frozen), now)
    approved = approved_by(bundle, now)
    connection = reach(asked, frozen)
    stack, cluster, service = cutover.find(
        connection.client, asked.stack, service=asked.service, account=connection.account, region=connection.region
    )
    if stack.outputs.get(contract.Output.RUN_ID) == approved.run_id:
        raise UsageError(f"Stack {stack.name} is the clone that was approved.", hint="Name production's stack.")
    with _alone(bundle):
        _clear(bundle)
        writer = BundleWriter(bundle / evidence.GO_LIVE)
        context = Context(
            plan=frozen,
            repository=asked.repository,
            templates=(),
            clients=connection.client,
            ledger=Ledger(writer.root / LEDGER_FILE),  # nothing is made, so nothing is written to it
            bundle=writer,
            narrate=narrator.say,
            progress=narrator.figures,
            environment=connection.environment,
            gone_live=Cutover(
                approved=approved,
                stack=stack,
                cluster=cluster,
                service=service,
                commit=asked.commit,
                environment=connection.environment,
            ),
        )
        with narrator.stage(GATE.question):
            result = _look(frozen, register, context)
        BundleWriter(bundle).put_json(RESULT, GateResult, result)
        evidence.seal_after(bundle, evidence.GO_LIVE)
    return result, connection.environment


def _check_dates(signed: SignOff, now: datetime) -> None:
    """Refuse what was signed after now: it could be left out of a decision that is held against an instant.

    Raises:
        EvidenceError: names it.
    """
    acts = {each.path: each.tick.at for each in signed.ticks}
    acts |= {each.path: each.signature.at for each in signed.signatures}
    late = [f"{path} ({at:%Y-%m-%d %H:%M} UTC)" for path, at in acts.items() if at > now]
    if late:
        raise EvidenceError(
            f"Written down after now: {', '.join(late)}.", hint="Set the clock of this machine, or of whoever signed."
        )


def _look(frozen: Plan, register: tuple[Waiver, ...], context: Context) -> GateResult:
    begun = datetime.now(UTC)
    settings = settings_of(GATE, frozen, evidence.PLAN)
    judgement, written = seen_and_judged(GATE, context, settings, _OBSERVATION)
    path = None if written is None else f"{evidence.GO_LIVE}/{written}"
    return result_of(frozen, register, GATE, judgement, path, begun, datetime.now(UTC), begun)


@contextmanager
def _alone(bundle: Path) -> Iterator[None]:
    """Refuse a second look for the same bundle at the same time: the two would mix their evidence."""
    folder = os.open(bundle, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise ReadinessError(
            f"Another `readiness go-live` is at work on {bundle}.", hint="Wait for its end, or interrupt it."
        ) from None
    finally:
        os.close(folder)


def _clear(bundle: Path) -> None:
    """Take an earlier look away, its manifest first: what is cut off from here on can't be taken for a whole one.

    Raises:
        EvidenceError: it could not be taken away.
    """
    folder = bundle / evidence.GO_LIVE
    try:
        (folder / evidence.MANIFEST).unlink(missing_ok=True)
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise EvidenceError(f"{error.filename} of an earlier look cannot be removed: {error.strerror}.") from error


def reach(asked: Asked, frozen: Plan) -> Connection:
    """Return the way to where production stands; what is called AWS has to be AWS.

    Raises:
        UsageError: an endpoint is set that does not fit the target.
        CloudError: it does not answer, or there are no credentials.
    """
    region = asked.region or frozen.aws.region
    if asked.target == "embedded-endpoint":
        endpoint = os.environ.get(ENDPOINT_VARIABLE, "")
        if not _is_loopback(endpoint):
            raise UsageError(
                f"--target embedded-endpoint: {ENDPOINT_VARIABLE} is {endpoint!r}, which is no endpoint on loopback.",
                hint="`readiness aws` starts an embedded AWS and prints the line to paste.",
            )
        with translated(f"Asking the embedded AWS at {endpoint} who it is"):
            return connect_embedded(endpoint, region, frozen.embedded.time_scale)
    connection = connect_aws(region, ())
    if connection.endpoint:
        raise UsageError(
            f"--target aws: AWS calls go to {connection.endpoint}, which is not AWS.",
            hint=f"Unset {ENDPOINT_VARIABLE} and endpoint_url, or say --target embedded-endpoint.",
        )
    for service in ("ecs", "cloudformation", "cloudwatch", "elbv2"):
        connection.client(service)  # one that would be asked elsewhere is refused before anything is looked at
    return connection


def _is_loopback(endpoint: str) -> bool:
    try:
        host = urlsplit(endpoint).hostname or ""
    except ValueError:
        return False
    return host in ("localhost", "::1") or host.startswith("127.")


# --- what was approved -----------------------------------------------------------------------------------------------


def approved_by(bundle: Path, as_of: datetime) -> Approved:
    """Return what a bundle approved, and how that was decided until an instant.

    Raises:
        EvidenceError: it is no bundle that was sealed, or what people wrote down about it does not hold.
    """
    told = evidence.read_record(bundle)
    decision = decided(told, frozen_of(bundle)[0], evidence.files(bundle), _signed(bundle, as_of))
    lapsed = lapsed_since(decision, as_of.date())
    result = next((each for each in told.results if each.gate == fidelity.GATE.id), None)
    seen = None
    if result is not None and result.observation is not None:
        seen = evidence.read_json(bundle, result.observation, fidelity.Observation).service
    return Approved(
        bundle=evidence.bundle_digest(bundle),
        as_of=as_of,
        run_id=told.run_id,
        harness_version=told.harness_version,
        environment=told.environment,
        outcome=_outcome(decision),
        verdict=Verdict.NO_GO if lapsed else decision.verdict,
        reasons=(*decision.reasons, *lapsed),
        decided_at=told.decided_at,
        commit=told.candidate.commit,
        dirty=told.candidate.dirty,
        fidelity=None if result is None else result.outcome,
        service={} if seen is None else seen.content,
        digests={} if seen is None else seen.digests,
        desired=0 if seen is None else seen.desired,
        zones=0 if seen is None else len(seen.used_zones),
    )


def _signed(bundle: Path, as_of: datetime) -> SignOff:
    """Return what people had written down until an instant: a later no-go changes nothing of what was seen before."""
    signed = sign_off.read(bundle, frozen_of(bundle)[0])
    return replace(
        signed,
        ticks=tuple(each for each in signed.ticks if each.tick.at <= as_of),
        signatures=tuple(each for each in signed.signatures if each.signature.at <= as_of),
    )


def _outcome(told: Decision) -> Outcome:
    """Return what the gates came to; a run that may have left something behind did not pass."""
    return Outcome.INCONCLUSIVE if told.leftovers and told.outcome is Outcome.PASSED else told.outcome


def frozen_of(bundle: Path) -> tuple[Plan, tuple[Waiver, ...]]:
    """Return the plan and the waivers of a bundle.

    Raises:
        EvidenceError: this version cannot read them.
    """
    try:
        frozen = plan.load_plan(bundle / evidence.PLAN)
        return frozen, waivers.load_waivers(bundle / evidence.WAIVERS, max_age=frozen.max_waiver_age)
    except PlanError as error:
        raise EvidenceError(f"The bundle's own plan or waivers are invalid: {error.message}") from error


# --- judging again ---------------------------------------------------------------------------------------------------


def verify_go_live(bundle: Path) -> GateResult | None:
    """Judge a look at production again, offline; None if there was none.

    Raises:
        EvidenceError: something was altered, is of another bundle, or does not yield what the result says.
    """
    written = sign_off.read_go_live(bundle)
    if written is None:
        return None
    again = _judge_again(bundle, written)
    if written != again:
        raise EvidenceError(
            f"{RESULT} says {written.outcome}, but its observation yields another result: {again.outcome}.",
            hint=f"It was altered, or another version of the harness judged it; this is {readiness.__version__}.",
        )
    return again


def _judge_again(bundle: Path, written: GateResult) -> GateResult:
    frozen, register = frozen_of(bundle)
    judgement = written.judgement
    if written.observation is not None:
        seen = evidence.read_json(bundle, OBSERVATION, go_live.Observation)
        if seen.approved != approved_by(bundle, seen.approved.as_of):
            raise EvidenceError(f"{OBSERVATION} tells of another approval than {bundle} holds.")
        judgement = checked(GATE.judge(seen, settings_of(GATE, frozen, evidence.PLAN)))
    elif (bundle / OBSERVATION).exists() or judgement.examined or not judgement.gaps:
        raise EvidenceError(f"{RESULT} claims to have seen nothing, and yet to know something.")
    return result_of(
        frozen,
        register,
        GATE,
        judgement,
        written.observation,
        written.started_at,
        written.ended_at,
        written.started_at,
    )
