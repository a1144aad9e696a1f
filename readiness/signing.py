"""`readiness tick` and `readiness sign`: a person's decision, checked, written beside the evidence, and told anew."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import TypeAdapter

from readiness import approval, envelope, evidence, keys, plan, report, sign_off
from readiness.decision import SignOff, decided
from readiness.errors import EvidenceError, PlanError, ReadinessError, UsageError
from readiness.model import (
    ChecklistItem,
    Decision,
    FiledSignature,
    FiledTick,
    Outcome,
    Owner,
    Plan,
    Record,
    ResidualRisk,
    Signature,
    Tick,
    record,
)
from readiness.rendering import told_by
from readiness.report.html import as_html
from readiness.spelling import nearest
from readiness.verify import verify

T = TypeVar("T")

_LARGEST_ARTIFACT_BYTES = 20_000_000
_LONGEST_NAME = 200


class SignatureRefusedError(ReadinessError):
    """A go that nothing supports. Nothing was written; the decision stays as it was.

    Attributes:
        decision: As it stands.
    """

    def __init__(self, message: str, decision: Decision, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.decision = decision


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """A bundle that was verified, and what it holds so far."""

    root: Path
    bundle: str
    of_plan: str
    record: Record
    plan: Plan
    decision: Decision
    sign_off: SignOff


# --- ticks -----------------------------------------------------------------------------------------------------------


def tick(bundle: Path, item: str, *, by: str, shown_by: str, note: str, done: bool, at: datetime) -> Decision:
    """Write a person's word that an item of the checklist is done, or that it is not after all.

    Args:
        bundle: A sealed bundle.
        item: Of the checklist of its plan.
        by: Who says so.
        shown_by: What shows it: a sentence, an address, or the path of a file, which is kept.
        note: Anything else.
        done: False takes an earlier tick back.
        at: When.

    Raises:
        EvidenceError: the bundle does not verify.
        UsageError: there is no such item, or it is none that this person may tick.
    """
    with _opened(bundle) as sealed:
        _tickable(sealed.plan, item, by)
        path = _next(sealed.root, sign_off.TICKS, f"{item}.json")
        name, data = _artifact(shown_by)
        artifact = f"{sign_off.ARTIFACTS}/{Path(path).stem}-{name}" if data is not None else None
        said = _parsed(
            Tick,
            {
                "bundle": sealed.bundle,
                "plan": sealed.of_plan,
                "item": item,
                "name": by,
                "at": at,
                "evidence": name,
                "artifact": artifact,
                "artifact_digest": None if data is None else evidence.sha256(data),
                "note": note,
                "done": done,
            },
        )
        files = {path: evidence.to_json(Tick, said)}
        filed = FiledTick(tick=said, path=path, digest=evidence.sha256(files[path]))
        if artifact is not None and data is not None:
            files[artifact] = data
        return _written(
            sealed, replace(sealed.sign_off, bundle=sealed.bundle, ticks=(*sealed.sign_off.ticks, filed)), files
        )


def _tickable(frozen: Plan, item_id: str, by: str) -> ChecklistItem:
    items = {each.id: each for each in frozen.checklist}
    if item_id not in items:
        raise UsageError(f"The checklist has no item {item_id!r}.", hint=_meant(item_id, items))
    item = items[item_id]
    if item.gate is not None:
        raise UsageError(
            f"{item_id} is automatic: the gate {item.gate} answers it, and nobody's word does.",
            hint="To change its answer, mend what the gate saw and run again.",
        )
    if item.owner is not None and not approval.may_answer(frozen.owners[item.owner], by):
        raise UsageError(
            f"{by} may not tick {item_id}: it belongs to {item.owner}.",
            hint=_who(item.owner, frozen.owners[item.owner]),
        )
    return item


def _artifact(shown_by: str) -> tuple[str, bytes | None]:
    """Return what shows a tick: a sentence, or the name of a file with its content."""
    file = Path(shown_by)
    try:
        there, size = file.is_file(), file.stat().st_size if file.is_file() else 0
        if there and size <= _LARGEST_ARTIFACT_BYTES:
            return file.name, file.read_bytes()
    except (OSError, ValueError) as error:
        if len(shown_by) < _LONGEST_NAME:
            raise UsageError(f"--evidence: {shown_by} cannot be read: {error}.") from error
        return shown_by, None  # a sentence, too long for the name of a file
    if there:
        raise UsageError(
            f"--evidence: {file} is larger than {_LARGEST_ARTIFACT_BYTES // 10**6} MB.",
            hint="Keep it where it belongs, and give its address and digest.",
        )
    if os.sep in shown_by and not any(mark in shown_by for mark in (" ", "://")):
        raise UsageError(
            f"--evidence: there is no file {shown_by}.", hint="Name a file, or write a sentence or an address."
        )
    return shown_by, None


# --- signatures ------------------------------------------------------------------------------------------------------


@record
class _Risks:
    """A file of residual risks."""

    risks: tuple[ResidualRisk, ...]


def read_risks(path: Path) -> tuple[ResidualRisk, ...]:
    """Return the residual risks of a TOML file: tables ``[[risks]]``.

    Raises:
        UsageError: there is no such file.
        PlanError: names what is wrong with it.
    """
    if not path.is_file():
        raise UsageError(f"--risks: there is no file {path}.")
    return plan.parse(_Risks, plan.read_toml(path), str(path)).risks


def sign(
    bundle: Path,
    role: str,
    *,
    name: str,
    decision: Literal["go", "no-go"],
    note: str,
    risks: Sequence[ResidualRisk],
    key: Path | None,
    passphrase: str | None,
    at: datetime,
) -> Decision:
    """Write a person's decision on a bundle.

    Args:
        bundle: A sealed bundle.
        role: That the plan asks to sign.
        name: Who signs.
        decision: What they decide.
        note: Anything else.
        risks: What they accept with it.
        key: File of the Ed25519 key that signs; None = a name and no more.
        passphrase: Of that key.
        at: When.

    Raises:
        EvidenceError: the bundle does not verify.
        UsageError: the plan has no such role, or does not let this person, or this key, sign for it.
        SignatureRefusedError: a go on a run that did not pass.
    """
    with _opened(bundle) as sealed:
        owner = _signer(sealed.plan, role, name)
        _check_risks(risks, at)
        if decision == "go" and sealed.decision.outcome is not Outcome.PASSED:
            raise SignatureRefusedError(
                f"A go on a run whose required gates came to {sealed.decision.outcome} would have no effect: refused.",
                sealed.decision,
                hint="Mend what is named below and run again; a no-go can be signed.",
            )
        private = None if key is None else keys.read_private(key, passphrase)
        public = None if private is None else keys.spelt(private.public_key())
        _check_key(role, owner, public)
        ticked = approval.in_force(sealed.sign_off.ticks)
        signature = _parsed(
            Signature,
            {
                "role": role,
                "name": name,
                "decision": decision,
                "at": at,
                "note": note,
                "plan": sealed.of_plan,
                "risks": tuple(risks),
                "seen_ticks": {item: filed.digest for item, filed in ticked.items()},
                "seen_risks": sealed.decision.risks,
                "public_key": public,
            },
        )
        predicate = TypeAdapter(Signature).dump_python(signature, mode="json")
        payload = envelope.statement(evidence.MANIFEST, sealed.bundle, sign_off.PREDICATE_TYPE, predicate)
        path = _next(sealed.root, sign_off.SIGNATURES, f"{role}.dsse.json")
        filed = FiledSignature(signature=signature, path=path, key=keys.fingerprint(public) if public else "")
        signed = (*sealed.sign_off.signatures, filed)
        return _written(
            sealed,
            replace(sealed.sign_off, bundle=sealed.bundle, signatures=signed),
            {path: envelope.wrapped(payload, private)},
        )


def _signer(frozen: Plan, role: str, name: str) -> Owner:
    if not name.strip():
        raise UsageError("--name: is empty.", hint="Whoever decides is named.")
    if role not in frozen.owners:
        raise UsageError(f"The plan has no role {role!r}.", hint=_meant(role, frozen.owners))
    owner = frozen.owners[role]
    if not approval.may_answer(owner, name):
        raise UsageError(f"{name} may not sign as {role}.", hint=_who(role, owner))
    return owner


def _meant(word: str, known: Collection[str]) -> str:
    """Return what was probably meant, and otherwise all that there is."""
    near = nearest(word, known)
    return f"There are: {', '.join(known) or 'none'}." if near is None else f"Did you mean {near!r}?"


def _who(role: str, owner: Owner) -> str:
    people = ", ".join((owner.name, *owner.deputies))
    return f"The plan names for {role}: {people}. Whoever else may is added to owners.{role}.deputies before a run."


def _check_key(role: str, owner: Owner, public: str | None) -> None:
    if owner.public_key is None:
        return
    asked = keys.spelt(keys.read_public(owner.public_key))
    if public != asked:
        used = "no key signs" if public is None else f"{keys.fingerprint(public)} would sign"
        raise UsageError(
            f"The plan asks {role} for a signature by the key {keys.fingerprint(asked)}, but {used}.",
            hint="Give the private key that belongs to it: --key FILE.",
        )


def _check_risks(risks: Sequence[ResidualRisk], at: datetime) -> None:
    ids = [risk.id for risk in risks]
    for risk in risks:
        if ids.count(risk.id) > 1:
            raise UsageError(f"The residual risk {risk.id} is stated twice.", hint="Give each an id of its own.")
    for reason in approval.lapsed(risks, (), at.date()):
        raise UsageError(f"{reason.capitalize()}.", hint="Accept it until a day that is still to come, or mend it.")


# --- writing ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(bundle: Path) -> Iterator[Sealed]:
    """Verify a bundle and keep it for oneself: two people who sign at the same time do so one after the other."""
    if not bundle.is_dir():
        raise EvidenceError(f"{bundle} is no evidence bundle: there is no such folder.")
    folder = os.open(bundle, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        _settle(bundle)
        verified = verify(bundle)
        yield Sealed(
            root=bundle,
            bundle=evidence.bundle_digest(bundle),
            of_plan=verified.record.plan_digest,
            record=verified.record,
            plan=verified.plan,
            decision=verified.decision,
            sign_off=verified.sign_off,
        )
    finally:
        os.close(folder)


def _next(root: Path, folder: str, name: str) -> str:
    """Return the path of the next file of a folder; its number says in which order they were written."""
    taken = [int(file.name.split("-", 1)[0]) for file in (root / folder).glob("*")]
    return f"{folder}/{max(taken, default=0) + 1:04d}-{name}"


def _parsed(kind: type[T], said: dict[str, object]) -> T:
    """Return a record of what was said on the command line, or say what is wrong with it."""
    try:
        return plan.parse(kind, said, "the command line")
    except PlanError as error:
        raise UsageError(error.message) from error


def _written(sealed: Sealed, sign_off_now: SignOff, files: dict[str, bytes]) -> Decision:
    """Write files into the bundle's folder for it, with everything that is told of them: all of it, or nothing.

    The folder is made anew beside the old one and then put in its place, so that a command that is killed leaves the
    bundle as it was.
    """
    root = sealed.root
    now = decided(sealed.record, sealed.plan, evidence.files(root), sign_off_now)
    told = {
        evidence.DECISION: evidence.to_json(Decision, now),
        sign_off.GO_NO_GO: report.go_no_go(now).encode(),
        sign_off.PAGE: as_html(told_by(sealed.record, sealed.plan, now, root)),
    }
    folder, made, old = root / evidence.SIGN_OFF, root / _MADE, root / _OLD
    try:
        if folder.exists():
            shutil.copytree(folder, made)
        writer = evidence.BundleWriter(made)
        for path, data in {**files, **told}.items():
            writer.put(path.removeprefix(f"{evidence.SIGN_OFF}/"), data)
        writer.put(evidence.MANIFEST, evidence.manifest_after(root, made, evidence.SIGN_OFF))
        if folder.exists():
            folder.rename(old)
        made.rename(folder)
    except OSError as error:
        raise EvidenceError(f"Nothing can be written to {root}: {error.strerror}.") from error
    finally:
        _settle(root)
    return now


_MADE = f"{evidence.SIGN_OFF}.made"
_OLD = f"{evidence.SIGN_OFF}.old"


def _settle(root: Path) -> None:
    """Clear away what a command that was cut off left; only who holds the bundle may."""
    folder, made, old = root / evidence.SIGN_OFF, root / _MADE, root / _OLD
    if old.exists() and not folder.exists():
        old.rename(folder)
    for each in (made, old):
        if each.exists():
            shutil.rmtree(each)
