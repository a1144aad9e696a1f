"""What people wrote down about a sealed bundle: ticks and signatures, read and checked to be about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from readiness import approval, envelope, evidence, keys
from readiness.decision import NOTHING_SIGNED, SignOff
from readiness.envelope import Opened
from readiness.errors import EvidenceError
from readiness.model import FiledSignature, FiledTick, GateResult, Owner, Plan, Signature, Tick

TICKS = f"{evidence.SIGN_OFF}/ticks"
SIGNATURES = f"{evidence.SIGN_OFF}/signatures"
ARTIFACTS = f"{evidence.SIGN_OFF}/artifacts"
GO_NO_GO = f"{evidence.SIGN_OFF}/{evidence.GO_NO_GO}"
PAGE = f"{evidence.SIGN_OFF}/{evidence.PAGE}"
GO_LIVE_RESULT = f"{evidence.GO_LIVE}/result.json"
PREDICATE_TYPE = "urn:readiness:sign-off:v1"
_WRITTEN = {evidence.DECISION, GO_NO_GO, PAGE, f"{evidence.SIGN_OFF}/{evidence.MANIFEST}"}


def read(root: Path, plan: Plan) -> SignOff:
    """Return the ticks and signatures of a bundle; none if nobody has written any.

    Args:
        root: A sealed bundle.
        plan: That it holds.

    Raises:
        EvidenceError: a file was altered, added or is about another bundle; a signature is not by whom it says.
    """
    if not (root / evidence.SIGN_OFF).exists():
        return NOTHING_SIGNED
    evidence.check_after(root, evidence.SIGN_OFF)
    bundle = evidence.bundle_digest(root)
    of_plan = evidence.sha256(evidence.read_bytes(root, evidence.PLAN))
    ticks = tuple(_tick(root, path, plan, bundle, of_plan) for path in _in(root, TICKS))
    signatures = tuple(_signature(root, path, plan, bundle, of_plan) for path in _in(root, SIGNATURES))
    _refuse_strangers(root, ticks, signatures)
    return SignOff(bundle=bundle, ticks=ticks, signatures=signatures)


def read_go_live(root: Path) -> GateResult | None:
    """Return what was seen in production after the cutover; None = nobody has looked.

    Raises:
        EvidenceError: it was cut off or altered, or is about another bundle.
    """
    folder = root / evidence.GO_LIVE
    if not folder.exists():
        return None
    if not (folder / evidence.MANIFEST).exists():
        raise EvidenceError(
            f"{folder} holds no {evidence.MANIFEST}: the look at production was cut off.",
            hint="Look again with `readiness go-live`, or delete the folder.",
        )
    evidence.check_after(root, evidence.GO_LIVE)
    return evidence.read_json(root, GO_LIVE_RESULT, GateResult)


def _in(root: Path, folder: str) -> Iterator[str]:
    """Yield the paths of a folder's files in the order in which they were written: each begins with its number."""
    for file in sorted((root / folder).glob("*")):
        yield f"{folder}/{file.name}"


def _refuse_strangers(root: Path, ticks: tuple[FiledTick, ...], signatures: tuple[FiledSignature, ...]) -> None:
    """Refuse files that the manifest names and nothing accounts for."""
    known = _WRITTEN | {each.path for each in ticks} | {each.path for each in signatures}
    known |= {each.tick.artifact for each in ticks if each.tick.artifact is not None}
    found = (file.relative_to(root).as_posix() for file in (root / evidence.SIGN_OFF).rglob("*") if file.is_file())
    strange = sorted(path for path in found if path not in known)
    if strange:
        raise EvidenceError(f"{root} was altered: {', '.join(strange)} belongs to no tick and no signature.")


def _tick(root: Path, path: str, plan: Plan, bundle: str, of_plan: str) -> FiledTick:
    data = evidence.read_bytes(root, path)
    tick = evidence.from_json(Tick, data, str(root / path))
    _refuse_others(root / path, (tick.bundle, bundle), (tick.plan, of_plan))
    item = next((each for each in plan.checklist if each.id == tick.item and each.gate is None), None)
    if item is None:
        raise EvidenceError(f"{root / path} ticks {tick.item}, which is no manual item of the bundle's plan.")
    if item.owner is not None and not approval.may_answer(plan.owners[item.owner], tick.name):
        raise EvidenceError(f"{root / path} is by {tick.name}, who may not tick for {item.owner}.")
    if tick.artifact is not None and evidence.sha256(evidence.read_bytes(root, tick.artifact)) != tick.artifact_digest:
        raise EvidenceError(f"{root / tick.artifact} is not the file that {path} names: it was altered.")
    return FiledTick(tick=tick, path=path, digest=evidence.sha256(data))


def _signature(root: Path, path: str, plan: Plan, bundle: str, of_plan: str) -> FiledSignature:
    opened = envelope.opened(evidence.read_bytes(root, path), str(root / path))
    said = opened.statement
    if said.get("predicateType") != PREDICATE_TYPE:
        raise EvidenceError(f"{root / path} is no sign-off: it says {said.get('predicateType')!r}.")
    predicate = envelope.spelt(said.get("predicate"))
    signature = evidence.from_json(Signature, predicate, str(root / path))
    _refuse_others(root / path, (_subject(said), bundle), (signature.plan, of_plan))
    if signature.role not in plan.owners:
        raise EvidenceError(
            f"{root / path} is signed as {signature.role}, a role that the bundle's plan does not have."
        )
    owner = plan.owners[signature.role]
    if not approval.may_answer(owner, signature.name):
        raise EvidenceError(f"{root / path} is by {signature.name}, who may not sign as {signature.role}.")
    return FiledSignature(signature=signature, path=path, key=_key(root / path, opened, signature, owner))


def _subject(said: dict[str, Any]) -> str:
    """Return the digest of the bundle that a statement is about; empty if it is about no bundle."""
    match said.get("subject"):
        case [{"name": evidence.MANIFEST, "digest": {"sha256": str(digest)}}]:
            return f"sha256:{digest}"
    return ""


def _refuse_others(path: Path, bundle: tuple[str, str], plan: tuple[str, str]) -> None:
    """Refuse what names another bundle, or another plan, than it lies in."""
    for what, (named, actual) in (("bundle", bundle), ("plan", plan)):
        if named != actual:
            raise EvidenceError(
                f"{path} is about another {what} ({named or 'none'}); this one is {actual}.",
                hint="What is decided on one bundle says nothing of another: delete it, and decide on this one.",
            )


def _key(path: Path, opened: Opened, signature: Signature, owner: Owner) -> str:
    """Return the fingerprint of the key that signed, "" if none did.

    Raises:
        EvidenceError: the signature is invalid, or is not by the key that the plan asks for.
    """
    claimed = signature.public_key
    if bool(opened.signatures) != (claimed is not None):
        raise EvidenceError(f"{path} was altered: its signature, or the key that it names, is missing.")
    if claimed is not None and not envelope.signed_by(opened, claimed):
        raise EvidenceError(f"{path} was altered: its signature is not by the key that it names.")
    if owner.public_key is not None:
        asked = keys.spelt(keys.read_public(owner.public_key))
        if claimed != asked:
            by = f"by the key {keys.fingerprint(claimed)}" if claimed else "without a key"
            raise EvidenceError(
                f"{path} is signed {by}, but the plan asks {signature.role} for {keys.fingerprint(asked)}.",
                hint="Only the holder of that key signs for the role.",
            )
    return keys.fingerprint(claimed) if claimed else ""
