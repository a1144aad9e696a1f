"""Whether what decided a run was fixed before it, in words."""

from __future__ import annotations

from collections.abc import Sequence

from readiness.model import RegisteredFile, Registration


def rows(registration: Registration) -> Sequence[tuple[str, str]]:
    """Return each file that the verdict depends on, and how it stood to the commit."""
    return [(each.path, _standing(each)) for each in registration.files]


def _standing(each: RegisteredFile) -> str:
    if each.committed is None:
        said = "in no commit"
    elif each.committed != each.digest:
        said = "differed from the commit"
    elif each.committed_at is None:
        said = "as committed" if each.commit else "there was none"
    else:
        said = f"as committed in {each.commit[:12]}, {each.committed_at:%Y-%m-%d %H:%M} UTC"
    return said + ("; changed during the run" if each.changed else "")
