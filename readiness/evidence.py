"""Write, read and re-hash an evidence bundle: one folder, every file of it named with its SHA-256 in the manifest."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

import readiness
from readiness.errors import EvidenceError
from readiness.model import Decision, Record
from readiness.secrecy import conceal_bytes

T = TypeVar("T")

MANIFEST = "manifest.json"
RECORD = "record.json"
PLAN = "plan.toml"
WAIVERS = "waivers.toml"
REPORT = "report.md"
PAGE = "report.html"
GO_NO_GO = "go-no-go.md"
STATEMENT = "statement.intoto.json"
SUMMARY = "summary.json"
CONTROLS = "controls.json"
"""What became of faults that were planted in this very evidence: a tuple of ``ControlShown``."""
TEMPLATES = "templates"
SIGN_OFF = "sign-off"
"""Folder of what people decide on the sealed evidence: signatures, ticks. They name the bundle's digest."""
GO_LIVE = "go-live"
"""Folder of what was seen in production after the cutover. It names the bundle's digest."""
DECISION = f"{SIGN_OFF}/decision.json"
AFTER_SEAL = (SIGN_OFF, GO_LIVE)
"""What is written after the manifest, and therefore is not in it; each file there is bound to it by its digest."""


def observation_path(gate_id: str) -> str:
    """Return where in a bundle the observation of a gate lies."""
    return f"observations/{gate_id}.json"


def sha256(data: bytes) -> str:
    """Return the digest of *data* as ``sha256:<hex>``."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class BundleWriter:
    """A bundle that is being filled.

    Attributes:
        root: Its folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._create(root)

    @staticmethod
    def _create(folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EvidenceError(
                f"Evidence cannot be written to {folder}: {error.strerror}.",
                hint="Free the disk or name another folder with --evidence; a run without evidence proves nothing.",
            ) from error

    def write(self, path: str, data: bytes) -> str:
        """Write an artifact below ``artifacts/`` and return its path in the bundle."""
        return self.put(f"artifacts/{path}", data)

    def put(self, path: str, data: bytes) -> str:
        """Write any file of the bundle, whole or not at all, without secrets of the environment; return its path.

        Raises:
            EvidenceError: it could not be written.
        """
        target = self.root / _inside(path)
        self._create(target.parent)
        partial = target.with_name(target.name + ".partial")
        try:
            with partial.open("wb") as file:
                file.write(conceal_bytes(data))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            raise EvidenceError(
                f"Evidence cannot be written to {target}: {error.strerror}.", hint="Free the disk and run again."
            ) from error
        return path

    def put_json(self, path: str, kind: type[T], value: T) -> str:
        """Write a record as JSON and return its path."""
        return self.put(path, to_json(kind, value))

    def seal(self) -> str:
        """Write the manifest over all files and return the bundle's digest: the manifest's own."""
        data = _manifest(self.root)
        self.put(MANIFEST, data)
        return sha256(data)


_ADAPTERS: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    """Return what reads and writes a kind of record; to make one takes longer than to use it."""
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def to_json(kind: type[T], value: T) -> bytes:
    """Return a record as indented JSON. Whether it is one shows when it is read back."""
    return _adapter(kind).dump_json(value, indent=1, warnings="none") + b"\n"


def read_json(root: Path, path: str, kind: type[T]) -> T:
    """Return a record that the bundle holds.

    Raises:
        EvidenceError: the file is missing or is not a *kind*.
    """
    return from_json(kind, read_bytes(root, path), str(root / path))


def read_bytes(root: Path, path: str) -> bytes:
    """Return a file of the bundle.

    Raises:
        EvidenceError: it is missing or cannot be read.
    """
    file = root / _inside(path)
    try:
        return file.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{file} cannot be read: {error.strerror}.") from error


def from_json(kind: type[T], data: bytes, what: str) -> T:
    """Return the record that *data* spells; *what* names it in an error.

    Raises:
        EvidenceError: it is not a *kind*.
    """
    try:
        return _adapter(kind).validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        words = [".".join(str(part) for part in first["loc"]), first["msg"]]
        raise EvidenceError(f"{what} is no {kind.__name__}: {': '.join(filter(None, words))}.") from error


def read_record(root: Path) -> Record:
    """Return the record of the bundle in *root*."""
    if not root.is_dir():
        raise EvidenceError(f"{root} is no evidence bundle: there is no such folder.")
    try:
        return read_json(root, RECORD, Record)
    except EvidenceError as error:
        raise EvidenceError(error.message, hint=_made_by(root)) from error


def _made_by(root: Path) -> str:
    """Return which version can read a record that this one cannot; "" if it does not say."""
    try:
        told = json.loads((root / RECORD).read_bytes())["harness_version"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f"readiness {told} made it, and this is {readiness.__version__}: read it with the version that made it."


def read_decision(root: Path) -> Decision | None:
    """Return the decision that lies in a bundle; None = nobody has decided anything since it was sealed.

    Whether it follows from what people wrote down is for ``verify`` to say.

    Raises:
        EvidenceError: it was altered, is unreadable, or is about another bundle.
    """
    if not (root / SIGN_OFF).exists():
        return None
    check_after(root, SIGN_OFF)
    return read_json(root, DECISION, Decision)


def check_manifest(root: Path) -> int:
    """Re-hash every file of a bundle against its manifest.

    Returns:
        How many files were hashed.

    Raises:
        EvidenceError: a file is missing, altered or not in the manifest; or the manifest itself was altered.
    """
    try:
        written = (root / MANIFEST).read_bytes()
    except OSError as error:
        raise EvidenceError(
            f"{root} holds no {MANIFEST}: it is no evidence bundle, or its run never ended.",
            hint="`readiness teardown RUN_ID` finishes a run that was killed.",
        ) from error
    actual = _manifest(root)
    if actual == written:
        return len(json.loads(actual)["files"])
    try:
        expected = dict[str, str](json.loads(written)["files"])
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{root / MANIFEST} was altered: it is no manifest.") from error
    found: dict[str, str] = json.loads(actual)["files"]
    raise EvidenceError(f"{root} was altered: {_differences(expected, found)}.")


def bundle_digest(root: Path) -> str:
    """Return the digest of a sealed bundle: its manifest's own, which names every file of the evidence.

    Raises:
        EvidenceError: the bundle was never sealed.
    """
    return sha256(read_bytes(root, MANIFEST))


_TOLD_LAST = frozenset(
    {
        RECORD,
        REPORT,
        GO_NO_GO,
        STATEMENT,
        "findings.json",
        "findings.csv",
        "findings.sarif",
        "findings.junit.xml",
    }
)
"""What every run writes after it has decided."""


def files(root: Path) -> frozenset[str]:
    """Return the paths of a bundle's evidence, as a decision may name it: before and after it is sealed alike.

    The page is not in it: a run whose page could not be made is decided all the same.
    """
    found = (file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())
    return _TOLD_LAST | {path for path in found if path not in (MANIFEST, PAGE) and not _after_seal(path)}


def seal_after(root: Path, folder: str) -> None:
    """Write the manifest of a folder that lies in a sealed bundle and is not part of it; it names the bundle's digest.

    Args:
        root: The bundle.
        folder: One of ``AFTER_SEAL``.
    """
    BundleWriter(root).put(f"{folder}/{MANIFEST}", manifest_after(root, root / folder, folder))


def check_after(root: Path, folder: str) -> None:
    """Re-hash every file of such a folder against its manifest.

    Raises:
        EvidenceError: a file is missing, altered or not in the manifest; or all of it is about another bundle.
    """
    written = read_bytes(root, f"{folder}/{MANIFEST}")
    actual = manifest_after(root, root / folder, folder)
    if written == actual:
        return
    try:
        said = json.loads(written)
        expected, about = dict[str, str](said["files"]), str(said["bundle"])
    except (ValueError, KeyError, TypeError) as error:
        raise EvidenceError(f"{root / folder / MANIFEST} was altered: it is no manifest.") from error
    if about != bundle_digest(root):
        raise EvidenceError(
            f"{root / folder} is about another bundle ({about}); this one is {bundle_digest(root)}.",
            hint="What is decided on one bundle says nothing of another: decide on this one.",
        )
    raise EvidenceError(
        f"{root / folder} was altered: {_differences(expected, json.loads(actual)['files'])}.",
        hint="Put the files back as they were. What was added, or left behind when a command was killed, is to be "
        "deleted.",
    )


def manifest_after(root: Path, source: Path, folder: str) -> bytes:
    """Return the one spelling of the manifest of a folder that is written after the seal.

    Args:
        root: The bundle.
        source: Where the folder's files lie now, if it is not in its place yet.
        folder: Its name in the bundle.
    """
    digests = {
        f"{folder}/{path}": sha256(file.read_bytes())
        for file in sorted(source.rglob("*"))
        if file.is_file() and (path := file.relative_to(source).as_posix()) != MANIFEST
    }
    said = {"schema": "readiness.after-seal/v1", "bundle": bundle_digest(root), "files": digests}
    return json.dumps(said, indent=1, sort_keys=True).encode() + b"\n"


def _after_seal(path: str) -> bool:
    return path.split("/", 1)[0] in AFTER_SEAL


def _differences(expected: dict[str, str], found: dict[str, str]) -> str:
    """Return how the files of a folder differ from those of its manifest."""
    faults = [f"{path} is missing" for path in sorted(expected.keys() - found.keys())]
    faults += [f"{path} was added" for path in sorted(found.keys() - expected.keys())]
    faults += [
        f"{path} was altered" for path in sorted(expected.keys() & found.keys()) if expected[path] != found[path]
    ]
    return "; ".join(faults or [f"{MANIFEST} was rewritten"])


def _manifest(root: Path) -> bytes:
    """Return the one spelling of the manifest of a folder."""
    files = {}
    for file in sorted(root.rglob("*")):
        path = file.relative_to(root).as_posix()
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise EvidenceError(f"{file} is no plain file or folder: what it leads to is not sealed.")
        if file.is_file() and path != MANIFEST and not _after_seal(path):
            files[path] = sha256(file.read_bytes())
    return json.dumps({"schema": "readiness.manifest/v1", "files": files}, indent=1, sort_keys=True).encode() + b"\n"


def _inside(path: str) -> PurePosixPath:
    """Return *path*, refusing one that leaves the bundle."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise EvidenceError(f"{path} would lie outside the evidence bundle.")
    return pure
