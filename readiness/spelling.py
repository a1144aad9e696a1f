"""The nearest right spelling of a name that nothing has."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint: what was probably meant, and otherwise all that there is."""
    there = sorted(known)
    close = get_close_matches(name, there, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"There are: {', '.join(there)}." if there else "There are none."
