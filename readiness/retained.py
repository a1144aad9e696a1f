"""What the plan says is meant to outlive a run: ``[gates.settings.leftovers] retained``.

An entry is a resource's logical id, or a name in which ``{run_id}``, ``{stack}`` and ``{<logical id>}`` stand for the
run's id, its stack's name and a resource's physical id. It may end in ``*`` where a service adds an end of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

ENTRY = r"^([^*]+|[^*{]*\{\w+\}[^*]{8,}\*)$"
"""An open end needs a name of the run before it, and enough besides: an entry must not excuse whatever there is."""

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


def meant_by(entries: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """Return entry -> the name that it means, for each entry whose placeholders are known."""
    meant = {}
    for entry in entries:
        if entry in known:
            meant[entry] = known[entry]
        elif all(name in known for name in _PLACEHOLDER.findall(entry)):
            meant[entry] = _PLACEHOLDER.sub(lambda found: known[found[1]], entry)
    return meant


def is_meant(name: str, meant: str) -> bool:
    """Say whether *name*, or the resource that an ARN names, is what an entry means."""
    if meant.endswith("*"):
        return any(each.startswith(meant[:-1]) for each in _spellings(name))
    return meant in _spellings(name)


def _spellings(name: str) -> set[str]:
    """Return the ways in which a resource may be named: an ARN names it by its end, a queue's URL too."""
    found = {name}
    if name.startswith("arn:"):
        path = name.split(":", 5)[-1]
        found |= {path, *(path[index + 1 :] for index, letter in enumerate(path) if letter in ":/")}
        found |= {each.removesuffix(":*") for each in found}
    return found
