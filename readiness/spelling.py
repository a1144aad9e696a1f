"""The nearest right spelling of a word that nothing knows."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, among: Iterable[str]) -> str | None:
    """Return the one of *among* that *word* is probably meant to be; None if none is near."""
    known = {each.casefold(): each for each in sorted(among)}
    found = get_close_matches(word.casefold(), known, n=1, cutoff=0.6)
    return known[found[0]] if found else None


def did_you_mean(word: str, among: Iterable[str]) -> str:
    """Return a question to end a message with; empty if nothing is near."""
    near = nearest(word, among)
    return "" if near is None else f"; did you mean {near!r}?"
