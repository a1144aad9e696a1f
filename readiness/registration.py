"""Pre-registration: plan, waivers and workload files are held against the commit, before the run and at its end."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from readiness.model import RegisteredFile, Registration

UNKNOWN = "unknown"
_OWN = ".readiness"
_DEADLINE_S = 30
_ABSENT = b""
"""What a register of waivers that is not there reads as."""


def git_state(repository: Path) -> tuple[str, bool]:
    """Return the commit of the repository, and whether files differ from it; ``unknown`` where there is no git.

    The harness's own folder is left out: earlier runs are no part of the candidate.
    """
    try:
        commit = _git(repository, "rev-parse", "HEAD").decode().strip()
        return commit, bool(_git(repository, "status", "--porcelain", "--", ":/", f":(exclude){_OWN}").strip())
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN, True


def register(repository: Path, files: Mapping[Path, tuple[str, bytes]], *, allow_dirty: bool) -> Registration:
    """Return how files stand to the commit that the repository is at.

    Args:
        repository: Root folder of the user's repository.
        files: File -> its copy's path in the bundle, and the bytes that were frozen.
        allow_dirty: Whether the user said that this is a rehearsal.
    """
    commit, _ = git_state(repository)
    return Registration(
        commit=commit,
        files=tuple(_registered(repository, commit, file, kept, data) for file, (kept, data) in files.items()),
        allow_dirty=allow_dirty,
    )


def at_the_end(repository: Path, registration: Registration) -> Registration:
    """Return a registration that says which files are others now than they were."""
    return replace(
        registration,
        files=tuple(
            replace(each, changed=_digest(_present(repository / each.path)) != each.digest)
            for each in registration.files
        ),
    )


def _registered(repository: Path, commit: str, file: Path, kept: str, data: bytes) -> RegisteredFile:
    path = os.path.relpath(file.resolve(), repository.resolve())
    outside = path.startswith(os.pardir + os.sep)
    found = None if commit == UNKNOWN or outside else _committed(repository, commit, path)
    if found is None and not file.exists() and data == _ABSENT:
        found = _ABSENT  # no register in the folder, and none in the commit
    last, at = _last_change(repository, commit, path) if found else ("", None)
    return RegisteredFile(
        path=str(file.resolve()) if outside else path,
        kept=kept,
        digest=_digest(data),
        committed=None if found is None else _digest(found),
        commit=last,
        committed_at=at,
    )


def _committed(repository: Path, commit: str, path: str) -> bytes | None:
    try:
        return _git(repository, "cat-file", "blob", f"{commit}:./{path}")
    except (OSError, subprocess.SubprocessError):
        return None


def _last_change(repository: Path, commit: str, path: str) -> tuple[str, datetime | None]:
    try:
        said = _git(repository, "log", "-1", "--format=%H %cI", commit, "--", path).decode().split()
        return said[0], datetime.fromisoformat(said[1]).astimezone(UTC)
    except (OSError, subprocess.SubprocessError, IndexError, ValueError):
        return "", None


def _present(file: Path) -> bytes | None:
    """Return the bytes of a file now; None = it cannot be read."""
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return _ABSENT
    except OSError:
        return None


def _digest(data: bytes | None) -> str:
    return "" if data is None else "sha256:" + hashlib.sha256(data).hexdigest()


def _git(repository: Path, *arguments: str) -> bytes:
    argv = ["git", "-C", str(repository), *arguments]
    return subprocess.run(argv, check=True, capture_output=True, timeout=_DEADLINE_S).stdout
