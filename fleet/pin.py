"""Write ``requirements.txt`` of the fleet's image: what the load generators import, as the repository's lock pins it.

The lock holds the whole harness, the scanners and the CDK too; a load generator needs a tenth of that. Nothing is
resolved here: every version and hash is copied from the lock.

    .venv/bin/python fleet/pin.py
"""

from __future__ import annotations

import sys
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parent
LOCK = FOLDER.parent / "requirements" / "lock.txt"
PINNED = FOLDER / "requirements.txt"
IMPORTED = ("gevent", "locust", "numpy", "psutil", "pydantic")
"""Distributions that ``readiness.loadgen``, and what it imports of ``readiness``, import themselves."""

_IMAGE = {"sys_platform": "linux", "platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
_HEADER = "# Written by fleet/pin.py from requirements/lock.txt; change that, and run it again.\n"


def closure(names: tuple[str, ...]) -> set[str]:
    """Return *names* and all that they require in the image, as the distributions installed here say."""
    found: set[str] = set()
    waiting = [(canonicalize_name(name), frozenset[str]()) for name in names]
    while waiting:
        name, extras = waiting.pop()
        if name in found and not extras:
            continue
        found.add(name)
        for text in requires(name) or ():
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({**_IMAGE, "extra": extra}) for extra in ("", *extras)):
                waiting.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    return found


def pins(lock: str) -> dict[str, str]:
    """Return the pins of a lock with their hashes: canonical name -> lines, comments left out."""
    found: dict[str, list[str]] = {}
    name = ""
    for line in lock.splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            name = canonicalize_name(Requirement(line.rstrip(" \\")).name)
            found.setdefault(name, [])  # one package may be pinned twice, for different Pythons
        found[name].append(line)
    return {name: "\n".join(lines) + "\n" for name, lines in found.items()}


def requirements(lock: str) -> str:
    """Return the image's requirements.

    Raises:
        KeyError: something that the load generators need is not in the lock.
    """
    pinned = pins(lock)
    return _HEADER + "".join(pinned[name] for name in sorted(closure(IMPORTED)))


if __name__ == "__main__":
    PINNED.write_text(requirements(LOCK.read_text(encoding="utf-8")), encoding="utf-8")
    sys.stderr.write(f"Wrote {PINNED}.\n")
