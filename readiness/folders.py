"""Makes the folders that the harness writes to."""

from __future__ import annotations

from pathlib import Path

from readiness.errors import EvidenceError


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, where they are not there yet.

    Raises:
        EvidenceError: it cannot be made; a file may stand in its way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvidenceError(
            f"The folder {folder} cannot be made: {error.strerror}.",
            hint="Is a file in its way? If not, free the disk or mend the permissions.",
        ) from error
