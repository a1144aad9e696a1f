"""The folder ``go-live`` of a bundle: what was seen in production, what it came to, and which bundle it is bound to."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from readiness import evidence
from readiness.errors import EvidenceError
from readiness.model import GateResult, record

OBSERVATION: Final = "observation.json"
RESULT: Final = "result.json"
MANIFEST: Final = "manifest.json"


@record
class Manifest:
    """What a look at production rests on.

    Attributes:
        bundle: Digest of the bundle that approved it.
        files: Every file of the folder beside this one -> its digest.
    """

    schema: Literal["readiness.go-live/v1"] = "readiness.go-live/v1"
    bundle: str
    run_id: str
    harness_version: str
    files: dict[str, str]


def folder(bundle: Path) -> Path:
    """Return where in a bundle a look at production lies."""
    return bundle / evidence.GO_LIVE


def digests(looked: Path) -> dict[str, str]:
    """Return every file below the folder, beside the manifest, with its digest."""
    found = {file.relative_to(looked).as_posix(): file for file in sorted(looked.rglob("*")) if file.is_file()}
    return {path: evidence.sha256(file.read_bytes()) for path, file in found.items() if path != MANIFEST}


def read(bundle: Path) -> tuple[Manifest, GateResult] | None:
    """Return a look at production, as it was written and bound to this bundle; None if there was none.

    Raises:
        EvidenceError: it was cut off or altered, or is of another bundle.
    """
    looked = folder(bundle)
    if not looked.exists():
        return None
    if not (looked / MANIFEST).exists():
        raise EvidenceError(
            f"{looked} holds no {MANIFEST}: the look at production was cut off.",
            hint="Ask again: `readiness go-live`.",
        )
    manifest = evidence.read_json(looked, MANIFEST, Manifest)
    digest = evidence.bundle_digest(bundle)
    if manifest.bundle != digest:
        raise EvidenceError(f"{looked} is of bundle {manifest.bundle}, and this one is {digest}.")
    there = digests(looked)
    faults = [f"{path} is missing" for path in sorted(manifest.files.keys() - there.keys())]
    faults += [f"{path} was added" for path in sorted(there.keys() - manifest.files.keys())]
    both = sorted(manifest.files.keys() & there.keys())
    faults += [f"{path} was altered" for path in both if manifest.files[path] != there[path]]
    if faults:
        raise EvidenceError(f"{looked} was altered: {'; '.join(faults)}.")
    return manifest, evidence.read_json(looked, RESULT, GateResult)
