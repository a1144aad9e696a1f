"""Pieces of Markdown: tables, prose and code spans that stay what they are, whatever text they hold."""

from __future__ import annotations

import re
from collections.abc import Sequence


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table with a head."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def prose(text: str) -> str:
    """Return *text* as one line of prose that is no HTML."""
    return _one_line(text).replace("<", "&lt;")


def code(text: str) -> str:
    """Return *text* as a code span, whatever backticks it holds."""
    fence = "`"
    while fence in text:
        fence += "`"
    gap = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{gap}{text}{gap}{fence}"


def _cell(text: str) -> str:
    """Return *text* so that it stays in its cell."""
    return _one_line(text).replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.splitlines())


_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: str) -> str:
    """Return a text in which no character hides or turns the text around it: those that would are spelled out.

    Names and messages come from elsewhere, and a right-to-left override in one of them can make a report read as its
    opposite; on a terminal an escape sequence can do more. Letters that are written from right to left are no such
    characters, and stay.
    """
    return _INVISIBLE.sub(lambda match: f"⟨U+{ord(match.group()):04X}⟩", text)
